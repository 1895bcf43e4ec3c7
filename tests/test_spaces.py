"""Spaces: named by content, and never mixed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from vicino.errors import SpaceMismatch
from vicino.spaces import Canaries, Space, fingerprint, require_same

ARRAYS = arrays_of.arrays(
    st.sampled_from(["f4", "i8", "u1"]), arrays_of.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=3)
)


def test_a_known_fingerprint_stays():
    # SHA-256 of '{"a":1}' by another program: printf '{"a":1}' | sha256sum
    assert fingerprint({"a": 1}) == "015abd7f5cc57a2d"
    assert fingerprint({"a": 1}, {}) == fingerprint({"a": 1}, None)


def test_a_fingerprint_does_not_depend_on_order_nor_layout():
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    one = fingerprint({"a": 1, "b": 2}, {"x": values, "y": values})
    assert one == fingerprint({"b": 2, "a": 1}, {"y": np.asfortranarray(values), "x": values})


@given(ARRAYS, ARRAYS)
def test_arrays_share_a_fingerprint_only_where_they_are_equal(a, b):
    same = a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    assert (fingerprint({}, {"x": a}) == fingerprint({}, {"x": b})) == same


def test_names_and_borders_of_arrays_count():
    a, b = np.array([1, 2], dtype=np.uint8), np.array([3], dtype=np.uint8)
    joined = np.array([1, 2, 3], dtype=np.uint8)
    prints = {
        fingerprint({}, {"x": a, "y": b}),
        fingerprint({}, {"x": b, "y": a}),
        fingerprint({}, {"x": joined}),
        fingerprint({}, {"x": joined.reshape(3, 1)}),
        fingerprint({}, {"x": joined.view(np.int8)}),
        fingerprint({"x": 1}),
    }
    assert len(prints) == 6


@pytest.mark.parametrize("seed", ["0", "1"])
def test_another_process_gives_the_same_name(python, seed):
    program = """
import numpy as np
from vicino.spaces import fingerprint
print(fingerprint({"words": ["é", "b"], "n": 0.1}, {"x": np.arange(4.0)}))
"""
    here = fingerprint({"words": ["é", "b"], "n": 0.1}, {"x": np.arange(4.0)})
    assert python(program, PYTHONHASHSEED=seed).strip() == here


def test_a_space_survives_json_and_reads_well():
    space = Space("abc", 3, "dot")
    assert Space.from_json(json.loads(json.dumps(space.to_json()))) == space
    assert str(space) == "abc (3 dimensions, dot)"


def test_fewer_dimensions_are_another_space():
    space = Space("abc", 3)
    assert space.truncated(3) is space
    assert space.truncated(2) == space.truncated(2) != space
    assert space.truncated(2).dim == 2
    assert space.truncated(2).id != Space("abd", 3).truncated(2).id


@pytest.mark.parametrize("other", [Space("b", 3), Space("a", 4), Space("a", 3, "dot")])
def test_two_spaces_do_not_meet(other):
    space = Space("a", 3)
    require_same(space, Space("a", 3), doing="search")
    with pytest.raises(SpaceMismatch, match="cannot search: the vectors live in two spaces"):
        require_same(space, other, doing="search")


# Canaries -------------------------------------------------------------------------------------------------------------

VECTORS = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 0.0]], dtype=np.float32)
CANARIES = Canaries(["a", "b", "a text without a known word"], VECTORS)


def test_canaries_sing_where_nothing_moved():
    assert CANARIES.check(lambda texts: VECTORS) == pytest.approx(1)
    assert CANARIES.check(lambda texts: VECTORS * 3) == pytest.approx(1)
    assert Canaries([], np.empty((0, 2), dtype=np.float32)).check(lambda texts: np.empty((0, 2))) == 1


def test_canaries_leave_room_for_arithmetic_but_not_for_another_model():
    turned = VECTORS @ np.array([[0.995, 0.0998], [-0.0998, 0.995]], dtype=np.float32)  # by 5.7 degrees
    assert CANARIES.check(lambda texts: turned) == pytest.approx(0.995, abs=1e-3)
    with pytest.raises(SpaceMismatch, match=r"lowest cosine 0\.99"):
        CANARIES.check(lambda texts: turned, tolerance=0.999)


@pytest.mark.parametrize(
    "now",
    [
        VECTORS[:, ::-1],
        -VECTORS,
        VECTORS[:2],
        np.zeros((3, 3)),
        np.zeros((3, 2)),
        VECTORS + np.array([[0, 0], [0, 0], [0, 1]]),
        np.full((3, 2), np.nan),
    ],
)
def test_canaries_fall_silent_where_the_model_moved(now):
    with pytest.raises(SpaceMismatch, match="bring the old model back"):
        CANARIES.check(lambda texts: now)
