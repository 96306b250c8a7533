"""For every test of the repository: under `CI=true` nothing may be skipped.

A skip on a developer's machine says what is missing there. In CI it would say that something is
no longer tested.

And a run that a script put into the background ignores Ctrl-C, as do the programs that it starts:
those that are tested must hear it all the same.
"""

import os
import signal

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped under CI=true, where nothing may be: {report.longrepr}"
    return report
