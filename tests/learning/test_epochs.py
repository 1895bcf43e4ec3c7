"""Epochs: what is done in which order, and what is left where one does not end."""

from __future__ import annotations

import logging
import math
import threading

import numpy as np
import pytest

from vicino.errors import InputError
from vicino.learning.epochs import Epochs
from vicino.progress import listen


def epochs(weights, n: int = 3, threads: int = 1, **more) -> Epochs:
    return Epochs([weights], n, 4, threads, "learning", "items", "do less", **more)


def adds(weights, loss: float = 1.0):
    def job():
        weights[:] += 1
        return 2, loss, 4

    return job


@pytest.mark.parametrize("threads", [1, 3])
def test_every_job_of_every_wave_is_done(threads):
    weights = np.zeros(3)
    training = epochs(weights, threads=threads).run(lambda number: [[adds(weights, number)], [adds(weights, number)]])
    assert weights.tolist() == [6, 6, 6]
    assert (training.losses, training.ended) == ([0, 0.25, 0.5], "whole")


def test_a_wave_begins_when_the_last_one_is_done():
    """Many at once within a wave, and none of the next."""
    running, most, seen = set(), [], threading.Barrier(2)

    def job(wave):
        running.add(wave)
        seen.wait(timeout=60)
        most.append(set(running))
        seen.wait(timeout=60)
        running.discard(wave)
        return 1, 0.0, 1

    epochs(np.zeros(1), 1, 2).run(lambda _: ([lambda wave=wave: job(wave)] * 2 for wave in range(3)))
    assert most == [{0}, {0}, {1}, {1}, {2}, {2}]


def test_what_runs_when_another_stops_ends_before_the_last_epoch_is_put_back():
    weights, stopped = np.zeros(2), threading.Event()

    def stops():
        stopped.set()
        raise KeyboardInterrupt

    def late():
        stopped.wait(timeout=60)
        weights[:] = 99
        return 1, 0.0, 1

    training = epochs(weights, threads=2).run(lambda number: [[late, stops]] if number else [[adds(weights)]])
    assert (training.ended, weights.tolist()) == ("interrupted", [1, 1])


@pytest.mark.parametrize("loss", [math.nan, math.inf])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_loss_that_is_no_number_keeps_the_last_whole_epoch(loss, threads, caplog):
    weights = np.zeros(1)
    with caplog.at_level(logging.WARNING):
        training = epochs(weights, threads=threads).run(lambda number: [[adds(weights, loss if number == 2 else 1)]])
    assert (training.losses, training.ended, weights.tolist()) == ([0.25, 0.25], "diverged", [2])
    assert "diverged in epoch 3 of 3: epoch 2 is kept" in caplog.text


def test_weights_that_are_no_numbers_are_noticed():
    weights = np.full(1, 1e308)

    def grows():
        weights[:] *= 10
        return 1, 0.0, 1

    with np.errstate(over="ignore"), pytest.raises(InputError, match="epoch 1") as caught:
        epochs(weights).run(lambda _: [[grows]])
    assert caught.value.mend == "do less"
    assert weights.tolist() == [1e308]


@pytest.mark.parametrize("when", [0, 1])
def test_an_interrupt_goes_on_where_nothing_is_worth_keeping(when):
    weights = np.zeros(1)

    def waves(number):
        if number == when:
            raise KeyboardInterrupt
        return [[adds(weights)]]

    with pytest.raises(KeyboardInterrupt):
        epochs(weights, partial=False).run(waves)
    assert weights.tolist() == [when]


def test_the_loss_so_far_stands_in_the_label(monkeypatch):
    monkeypatch.setattr("vicino.progress._INTERVAL", 0)
    events = []
    with listen(events.append):
        epochs(np.zeros(1), 1).run(lambda _: [[lambda: (1, 2.0, 1), lambda: (3, 4.0, 2)]])
    assert [(event.label, event.done) for event in events][-2:] == [("learning, loss 2.000", 4)] * 2


def test_an_interrupt_while_an_epoch_is_put_aside_loses_nothing(monkeypatch):
    """The epoch was whole: its weights stay, though its copy is half made."""
    from vicino.learning import epochs as module

    weights, whole, calls = np.zeros(2), module._copy, []

    def copy(sources, targets):
        calls.append(1)
        if len(calls) == 2:
            targets[0][0] = sources[0][0]
            raise KeyboardInterrupt
        whole(sources, targets)

    monkeypatch.setattr(module, "_copy", copy)
    training = epochs(weights, 5).run(lambda _: [[adds(weights)]])
    assert (training.ended, training.losses, weights.tolist()) == ("interrupted", [0.25, 0.25], [2, 2])


def test_a_second_interrupt_waits_until_the_last_epoch_is_back(monkeypatch):
    from vicino.learning import epochs as module

    weights, whole, calls = np.zeros(2), module._copy, []

    def copy(sources, targets):
        if sources[0] is not weights:
            calls.append(1)
            if len(calls) < 3:
                targets[0][0] = sources[0][0]
                raise KeyboardInterrupt
        whole(sources, targets)

    def stops():
        weights[:] = 99
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_copy", copy)
    epochs(weights).run(lambda number: [[stops]] if number else [[adds(weights)]])
    assert (len(calls), weights.tolist()) == (3, [1, 1])
