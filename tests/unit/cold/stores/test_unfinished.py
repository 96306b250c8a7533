"""What is under way is counted, and whoever waits hears when nothing is."""

from tierbroker.cold.stores.unfinished import UnderWay


def test_without_anything_under_way_nobody_waits() -> None:
    assert UnderWay().settled().done


def test_the_last_one_tells() -> None:
    under_way = UnderWay()
    under_way.begin()
    waiting = [under_way.settled()]
    under_way.begin()
    waiting.append(under_way.settled())
    under_way.end()
    assert not any(settled.done for settled in waiting)
    under_way.end()
    assert all(settled.done for settled in waiting)
    assert under_way.settled().done


def test_one_that_begins_again_does_not_take_it_back() -> None:
    under_way = UnderWay()
    under_way.begin()
    settled = under_way.settled()
    settled.on_done(lambda _: under_way.begin())
    under_way.end()
    assert settled.done
    assert not under_way.settled().done
