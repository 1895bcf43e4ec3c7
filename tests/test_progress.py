"""Progress: silent alone, complete for whoever listens."""

from __future__ import annotations

import threading

import pytest

from vicino import progress
from vicino.progress import Event, bars, listen, task, track


@pytest.fixture
def events(monkeypatch) -> list[Event]:
    """What a listener heard, with no event held back for coming soon after another."""
    monkeypatch.setattr(progress, "_INTERVAL", 0.0)
    return []


def states(events: list[Event]) -> list[tuple[str, int]]:
    return [(event.state, event.done) for event in events]


def test_nothing_is_said_where_nobody_listens(capfd):
    assert list(track(range(3), "counting")) == [0, 1, 2]
    assert capfd.readouterr() == ("", "")


def test_a_loop_tells_its_start_each_unit_and_its_end(events):
    with listen(events.append):
        assert list(track([10, 20], "adding", unit="numbers")) == [10, 20]
    assert states(events) == [("start", 0), ("advance", 1), ("advance", 2), ("finish", 2)]
    assert {(event.label, event.total, event.unit, event.version) for event in events} == {("adding", 2, "numbers", 1)}
    assert len({event.number for event in events}) == 1
    assert [event.elapsed for event in events] == sorted(event.elapsed for event in events)


@pytest.mark.parametrize(("items", "given", "total"), [([1, 2], None, 2), (iter([1, 2]), None, None), (iter([1, 2]), 5, 5)])
def test_the_total_is_what_is_known(events, items, given, total):
    with listen(events.append):
        list(track(items, "adding", total=given))
    assert {event.total for event in events} == {total}


def test_a_failure_is_told_and_passed_on(events):
    with listen(events.append), pytest.raises(ZeroDivisionError), task("dividing", total=1):
        1 / 0  # noqa: B018
    assert states(events) == [("start", 0), ("fail", 0)]


def test_a_loop_left_early_has_not_finished(events):
    with listen(events.append):
        loop = track([1, 2, 3], "adding")
        next(loop)
        loop.close()
    assert states(events) == [("start", 0), ("fail", 0)]


def test_events_that_come_too_soon_are_held_back_but_not_the_end(monkeypatch):
    monkeypatch.setattr(progress, "_INTERVAL", 3600.0)
    events: list[Event] = []
    with listen(events.append):
        list(track(range(100), "counting"))
    assert states(events) == [("start", 0), ("finish", 100)]


def test_a_listener_hears_only_its_block_and_several_hear_alike(events):
    others: list[Event] = []
    with listen(events.append):
        with listen(others.append):
            list(track([1], "inner"))
        list(track([1], "outer"))
    list(track([1], "after"))
    assert {event.label for event in others} == {"inner"}
    assert {event.label for event in events} == {"inner", "outer"}
    assert [event for event in events if event.label == "inner"] == others


def test_a_failing_block_stops_listening_too():
    with pytest.raises(ZeroDivisionError), listen(lambda event: None):
        1 / 0  # noqa: B018
    assert progress._listeners == []


def test_threads_may_advance_one_task(events):
    with listen(events.append), task("together", total=400) as work:
        threads = [threading.Thread(target=lambda: [work.advance() for _ in range(100)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert events[-1].done == 400


def test_bars_are_drawn_on_standard_error_only(capfd, monkeypatch):
    monkeypatch.setattr(progress, "_INTERVAL", 0.0)
    monkeypatch.setattr(progress, "_SHORT", -1.0)
    with bars():
        list(track(range(5), "counting stars", unit="stars"))
    assert capfd.readouterr().out == ""
    assert progress._listeners == []
