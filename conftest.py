"""For every test of the repository: under `CI=true` nothing may be skipped.

A skip on a developer's machine says what is missing there. In CI it would say that something is
no longer tested.
"""

import os

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped under CI=true, where nothing may be: {report.longrepr}"
    return report
