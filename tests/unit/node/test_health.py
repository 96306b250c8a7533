from types import SimpleNamespace

from tierbroker.node.health import Health, Phase


def test_each_phase_has_its_reason() -> None:
    health = Health()
    assert health.reasons() == ["the broker starts"]
    health.note_progress(3, 10)
    assert health.reasons() == ["the broker starts: 3 of 10 logs are open"]
    health.phase = Phase.SERVING
    assert health.reasons() == []
    health.loads = lambda: "groups are read"
    assert health.reasons() == ["groups are read"]
    health.phase = Phase.STOPPING
    assert health.reasons() == ["the broker stops"]


def test_a_lost_disk_is_a_reason_of_its_own() -> None:
    health = Health()
    health.phase = Phase.SERVING
    dirs = [SimpleNamespace(path="/a", error=None), SimpleNamespace(path="/b", error=OSError("no"))]
    health.log_dirs = dirs  # type: ignore[assignment]
    assert health.reasons() == ["log directory /b is offline: no"]
