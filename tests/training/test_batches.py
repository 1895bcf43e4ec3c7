"""Batches of text: the same for the same number and seed, as large as was asked for, and without their own false negatives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino.errors import EmptyInput, InputError
from vicino.training.batches import TextBatches, embedded, parted


def batches(positives, batch_size: int, texts: int = 2, **more) -> TextBatches:
    rows = [[np.array([10 * row + place], np.int32) for place in range(texts)] for row in range(len(positives))]
    more.setdefault("anchors", range(len(positives)))
    return TextBatches(rows, more.pop("anchors"), positives, batch_size, **more)


def test_an_epoch_has_every_example_once():
    made = batches(range(10), 3)
    assert len(made) == 3
    orders = [np.concatenate(list(made.order(number, 7))) for number in range(2)]
    assert all(len(set(order.tolist())) == 9 for order in orders)
    assert orders[0].tolist() != orders[1].tolist()
    assert orders[0].tolist() == np.concatenate(list(made.order(0, 7))).tolist()
    assert orders[0].tolist() != np.concatenate(list(made.order(0, 8))).tolist()


def test_equal_positives_are_kept_apart():
    positives = np.repeat(np.arange(20), 3)
    for rows in batches(positives, 8).order(0, 0):
        assert len(set(positives[rows].tolist())) == 8


def test_equal_anchors_are_kept_apart():
    anchors = np.repeat(np.arange(20), 3)
    for rows in batches(range(60), 8, anchors=anchors).order(0, 0):
        assert len(set(anchors[rows].tolist())) == 8


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(1, 12), st.integers(0, 3))
def test_batches_are_as_large_and_never_repeat_an_example(positives, batch_size, seed):
    made = batches(positives, batch_size)
    found = list(made.order(0, seed))
    assert len(found) == len(made) == len(positives) // min(batch_size, len(positives))
    rows = np.concatenate(found)
    assert {len(each) for each in found} == {made.batch_size}
    assert len(set(rows.tolist())) == len(rows)


def test_a_batch_holds_texts_numbers_and_targets():
    made = batches(["a", "b", "a"], 3, targets=np.float32([0, 0.5, 1]))
    [batch] = made.epoch(0, 0)
    [rows] = made.order(0, 0)
    assert [text[0].tolist() for text in batch["texts"]] == [[10 * row] for row in rows]
    assert batch["positive"].tolist() == [[0, 1, 0][row] for row in rows]
    assert batch["target"].tolist() == [row / 2 for row in rows]


def test_texts_go_through_the_network_together_and_come_apart_again():
    torch = pytest.importorskip("torch")
    calls = []

    def network(ids):
        calls.append(len(ids))
        return torch.tensor([[float(each[0]), 1.0] for each in ids])

    [batch] = batches(range(3), 3, texts=4).epoch(0, 0)
    [rows] = batches(range(3), 3, texts=4).order(0, 0)
    anchors, positives, negatives = parted(embedded(network, batch), 4)
    assert calls == [12]
    assert anchors[:, 0].tolist() == [10 * row for row in rows]
    assert positives[:, 0].tolist() == [10 * row + 1 for row in rows]
    assert negatives[:, :, 0].tolist() == [[10 * row + 2, 10 * row + 3] for row in rows]
    assert parted(embedded(network, next(batches(range(3), 3).epoch(0, 0))), 2)[2] is None


def test_what_cannot_be_is_named():
    with pytest.raises(EmptyInput):
        batches([], 3)
    with pytest.raises(InputError, match="numbers of texts"):
        TextBatches([[np.zeros(1, np.int32)], [np.zeros(1, np.int32)] * 2], [0, 1], [0, 1], 2)
