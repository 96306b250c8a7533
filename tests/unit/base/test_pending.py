import pytest

from tierbroker.base.pending import Pending, when_all_done


def test_callbacks_run_in_order_and_late_ones_at_once() -> None:
    pending: Pending[int] = Pending()
    seen: list[str] = []
    pending.on_done(lambda done: seen.append(f"first {done.result()}"))
    pending.on_done(lambda done: seen.append(f"second {done.result()}"))
    assert seen == []
    pending.resolve(4)
    pending.on_done(lambda done: seen.append(f"late {done.result()}"))
    assert seen == ["first 4", "second 4", "late 4"]


def test_a_failure_is_raised_by_result() -> None:
    pending: Pending[int] = Pending()
    pending.fail(OSError("disk"))
    with pytest.raises(OSError, match="disk"):
        pending.result()


def test_resolving_twice_is_a_bug() -> None:
    pending: Pending[None] = Pending()
    pending.resolve(None)
    with pytest.raises(AssertionError):
        pending.resolve(None)


def test_cancel_tells_the_owner_once_and_drops_callbacks() -> None:
    told: list[str] = []
    pending: Pending[int] = Pending(on_cancel=lambda: told.append("cancelled"))
    pending.on_done(lambda _: told.append("called"))
    pending.cancel()
    pending.cancel()
    pending.resolve(1)
    assert told == ["cancelled"]


def test_cancel_after_the_fact_does_nothing() -> None:
    told: list[str] = []
    pending: Pending[int] = Pending(on_cancel=lambda: told.append("cancelled"))
    pending.resolve(1)
    pending.cancel()
    assert told == []


async def test_it_can_be_awaited_before_and_after() -> None:
    import asyncio

    pending: Pending[int] = Pending()
    asyncio.get_running_loop().call_soon(pending.resolve, 5)
    assert await pending == 5
    assert await pending == 5


def test_when_all_are_done() -> None:
    seen: list[str] = []
    pendings: list[Pending[None]] = [Pending(), Pending(), Pending()]
    pendings[1].resolve(None)
    when_all_done(pendings, lambda: seen.append("all"))
    pendings[2].fail(OSError("no matter"))
    assert seen == []
    pendings[0].resolve(None)
    assert seen == ["all"]
    when_all_done(pendings, lambda: seen.append("at once"))
    when_all_done([], lambda: seen.append("none to wait for"))
    assert seen == ["all", "at once", "none to wait for"]
