"""Counts of neighbours: against a plain double loop, by hand, and the same whatever memory and threads there are."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino.errors import ArtifactError, EmptyInput, InputError, UnknownName
from vicino.learning import cooccurrence as room
from vicino.learning.cooccurrence import Cooccurrence, cooccurrence, distance_weights, thinned
from vicino.learning.piles import Pile
from vicino.progress import listen


def packed(sequences) -> tuple[np.ndarray, np.ndarray]:
    ids = np.array([word for sequence in sequences for word in sequence], np.int32)
    return ids, np.cumsum([0, *map(len, sequences)], dtype=np.int64)


def dense(counts: Cooccurrence) -> np.ndarray:
    matrix = np.zeros((counts.n, counts.n))
    matrix[counts.rows, counts.columns] = counts.values
    return matrix


def oracle(sequences, n: int, weights: np.ndarray, both: bool) -> np.ndarray:
    """Every pair of places, one after another."""
    matrix = np.zeros((n, n))
    for sequence in sequences:
        for right, word in enumerate(sequence):
            for left in range(max(0, right - len(weights)), right):
                matrix[word, sequence[left]] += weights[right - left - 1]
                if both:
                    matrix[sequence[left], word] += weights[right - left - 1]
    return matrix


def test_an_example_worked_by_hand():
    """a b a | c: a stands 1 from b twice, and 2 from itself, seen from both; c has no neighbour."""
    counts = cooccurrence(*packed([[0, 1, 0], [2]]), 3, window=2)
    np.testing.assert_array_equal(dense(counts), [[1, 2, 0], [2, 0, 0], [0, 0, 0]])
    assert (len(counts), counts.n, counts.on_disk) == (3, 3, False)
    before = cooccurrence(*packed([[0, 1, 0], [2]]), 3, window=2, symmetric=False)
    np.testing.assert_array_equal(dense(before), [[0.5, 1, 0], [1, 0, 0], [0, 0, 0]])


@given(
    sequences=st.lists(st.lists(st.integers(0, 40), max_size=30), max_size=12),
    window=st.integers(1, 20),
    weighting=st.sampled_from(["harmonic", "linear", "flat"]),
    symmetric=st.booleans(),
)
def test_the_counts_are_those_of_a_plain_loop(sequences, window, weighting, symmetric):
    expected = oracle(sequences, 41, distance_weights(window, weighting), symmetric)
    if not expected.any():
        with pytest.raises(EmptyInput, match="neighbours"):
            cooccurrence(*packed(sequences), 41, window=window, weighting=weighting, symmetric=symmetric)
        return
    counts = cooccurrence(*packed(sequences), 41, window=window, weighting=weighting, symmetric=symmetric)
    np.testing.assert_allclose(dense(counts), expected, rtol=1e-4, atol=1e-6)
    assert (np.diff(counts.rows * 41 + counts.columns) > 0).all()  # in order, none twice
    assert (counts.values > 0).all()
    for found, axis in zip(counts.totals(), (1, 0), strict=True):
        np.testing.assert_allclose(found, expected.sum(axis=axis), rtol=1e-4, atol=1e-5)


def some_text(n: int = 60_000, words: int = 700) -> tuple[np.ndarray, np.ndarray]:
    """Words by Zipf's law; sentences of none to 40 words, and one of 5000."""
    random = np.random.default_rng(0)
    ids = np.minimum(random.zipf(1.3, n) - 1, words - 1).astype(np.int32)
    cuts = np.cumsum(random.integers(0, 40, n // 10))
    cuts = cuts[(cuts < 20_000) | (cuts > 25_000)]
    return ids, np.array([0, *cuts[cuts < n], n], np.int64)


@pytest.fixture
def small_steps(monkeypatch):
    """Stretches and blocks so small that a short text has many."""
    monkeypatch.setattr(room, "_STRETCH", 1000)
    monkeypatch.setattr(room, "_BLOCK", 5000)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("memory", [1, 1_000_000, 1 << 30])
def test_memory_and_threads_change_no_digit(small_steps, tmp_path, memory, threads):
    ids, offsets = some_text()
    whole = cooccurrence(ids, offsets, 700)
    counts = cooccurrence(ids, offsets, 700, memory=memory, threads=threads, folder=tmp_path)
    assert counts.on_disk == (memory < len(whole) * 16)
    for name in ("starts", "columns", "values"):
        np.testing.assert_array_equal(getattr(counts, name), getattr(whole, name), strict=True)
    assert list(tmp_path.iterdir()) == []  # the files have no name
    values = counts.values
    values[:] = 0  # a mapped file can be written on, and is the reader's own


def test_the_text_is_told_token_by_token(small_steps, monkeypatch):
    monkeypatch.setattr("vicino.progress._INTERVAL", 0)
    events = []
    ids, offsets = some_text()
    with listen(events.append):
        cooccurrence(ids, offsets, 700, memory=1)
    counting = [event for event in events if event.label == "counting neighbours"]
    assert counting[-1].done == counting[-1].total == len(ids)
    adding = [event for event in events if event.label == "adding up neighbours"]
    assert len(adding) > 3
    assert adding[-1].done == adding[-1].total


@given(
    sequences=st.lists(st.lists(st.integers(0, 5), max_size=9), max_size=9),
    block=st.integers(1, 7),
    keep=st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=6, max_size=6),
)
def test_what_is_left_of_sequences_is_the_same_in_any_blocks(sequences, block, keep):
    ids, offsets = packed(sequences)
    probabilities = np.array(keep, np.float32)
    left, places = thinned(ids, offsets, probabilities, seed=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "_BLOCK", block)
        again = thinned(ids, offsets, probabilities, seed=3, memory=1)
    assert (left.tolist(), places.tolist()) == tuple(each.tolist() for each in again)
    rest = [left[begin:end].tolist() for begin, end in itertools.pairwise(places.tolist())]
    assert len(rest) == len(sequences)
    for whole, part in zip(sequences, rest, strict=True):
        surely = [word for word in whole if keep[word] == 1]
        assert [word for word in part if keep[word] == 1] == surely
        assert all(keep[word] > 0 for word in part)
        steps = iter(whole)
        assert all(word in steps for word in part)  # in their order


def test_as_many_occurrences_are_left_as_was_asked_for():
    ids = np.tile(np.arange(2, dtype=np.int32), 20_000)
    left, _ = thinned(ids, np.array([0, 40_000]), np.array([0.25, 1.0], np.float32), seed=1)
    zeros, ones = np.bincount(left)
    assert ones == 20_000
    assert 4_700 < zeros < 5_300  # five standard deviations
    assert len(thinned(ids, np.array([0, 40_000]), np.array([0.25, 1.0], np.float32), seed=2)[0]) != len(left)


def test_a_folder_that_cannot_be_written_is_named(small_steps, tmp_path):
    file = tmp_path / "file"
    file.touch()
    for folder in (file, tmp_path / "absent"):
        with pytest.raises(ArtifactError, match="does not fit into memory"):
            cooccurrence(*some_text(), 700, memory=1, folder=folder)
    assert list(tmp_path.iterdir()) == [file]


FULL = """
import resource, sys
import numpy as np
from vicino.errors import ArtifactError
from vicino.learning.piles import Pile
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
pile = Pile(np.int64, 0, sys.argv[1])
try:
    for _ in range(10):
        pile.add(np.zeros(200))
except ArtifactError as error:
    print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files as POSIX does")
def test_a_full_disk_is_named_and_left_as_it_was(python, tmp_path):
    said = python(FULL, tmp_path)
    assert str(tmp_path) in said
    assert "free some space" in said
    assert list(tmp_path.iterdir()) == []


def test_a_pile_is_what_was_put_on_it(tmp_path):
    for room_left in (1 << 20, 30, 0):
        pile = Pile(np.float32, room_left, tmp_path)
        for piece in ([1.5, 2], [], [3], range(4, 20)):
            pile.add(np.array(piece))
        assert (len(pile), pile.on_disk) == (19, room_left < 76)
        np.testing.assert_array_equal(pile.whole(), np.array([1.5, *range(2, 20)], np.float32), strict=True)
    empty = Pile(np.int32, 0)
    assert empty.whole().shape == (0,)
    assert list(Path(tmp_path).iterdir()) == []


@pytest.mark.parametrize("sequences", [[], [[]], [[0], [1], [2]]], ids=str)
def test_nothing_that_stands_together_is_named(sequences):
    with pytest.raises(EmptyInput, match="neighbours"):
        cooccurrence(*packed(sequences), 3)


@pytest.mark.parametrize("ids", [[0, 3], [-1, 0]], ids=str)
def test_ids_outside_are_named(ids):
    with pytest.raises(InputError, match="of 3 words"):
        cooccurrence(*packed([ids]), 3)


@pytest.mark.parametrize("offsets", [[0, 10**7], [500, 400, 300, 0, 1000], [0, 999], []], ids=str)
def test_offsets_that_are_not_those_of_the_ids_are_named(offsets):
    with pytest.raises(InputError, match="do not lead from 0 to 1,000"):
        cooccurrence(np.zeros(1000, np.int32), np.array(offsets), 1)


def test_no_memory_makes_stretches_that_int32_cannot_number(monkeypatch):
    seen = []
    monkeypatch.setattr(room._Counting, "_count", lambda counting, begin, end, *rest: seen.append(end - begin))
    monkeypatch.setattr(room._Counting, "_added", lambda counting, runs: None)
    ids = np.broadcast_to(np.int32(0), 2**32)  # four numbers of memory
    room._Counting(ids, np.array([0, 2**32]), 1, np.ones(5), True, 2**50, None, 1).counted("counting")
    assert (sum(seen), max(seen)) == (2**32, 2**29)


@pytest.mark.parametrize("params", [{"window": 0}, {"window": 10**9}, {"window": 2.5}, {"memory": 0}, {"threads": 0}], ids=str)
def test_parameters_that_cannot_be_are_named(params):
    with pytest.raises(InputError, match=f"{next(iter(params))}="):
        cooccurrence(*packed([[0, 1]]), 2, **params)
    with pytest.raises(UnknownName, match="harmonic"):
        cooccurrence(*packed([[0, 1]]), 2, weighting="harmonious")
