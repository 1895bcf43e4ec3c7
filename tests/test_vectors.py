"""Array maths against values worked by hand and against slow, obvious versions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from scipy.sparse import csr_array

from vicino.errors import DimensionMismatch, InputError, InvalidVectors
from vicino.vectors import (
    Ragged,
    as_vectors,
    dequantise,
    distances,
    normalise,
    product_codebooks,
    quantisation_loss,
    quantise,
    similarity,
    top_k,
    truncate,
)

MODERATE = st.floats(-1e6, 1e6, width=32)


def matrices(rows: st.SearchStrategy[int], columns: int) -> st.SearchStrategy[np.ndarray]:
    return rows.flatmap(lambda n: arrays_of.arrays(np.float32, (n, columns), elements=MODERATE))


# What may come in -----------------------------------------------------------------------------------------------------


def test_lists_and_other_types_become_contiguous_float32():
    given_ = np.asfortranarray(np.arange(6).reshape(2, 3))
    for values in ([[0, 1, 2], [3, 4, 5]], given_, given_.astype(np.float16), ((0.0, 1.0, 2.0), (3.0, 4.0, 5.0))):
        made = as_vectors(values, dim=3)
        assert made.dtype == np.float32
        assert made.flags.c_contiguous
        assert made.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_no_rows_are_vectors_too():
    assert as_vectors(np.empty((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("values", [[1.0, 2.0], 3.0, [], [[[1.0]]], [[1.0], [1.0, 2.0]], [["a"]], [[None]], np.empty((3, 0))])
def test_what_is_not_a_matrix_of_numbers_is_named(values):
    with pytest.raises(InvalidVectors):
        as_vectors(values)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_the_first_row_that_is_not_finite_is_named(bad):
    values = np.zeros((5, 2))
    values[[2, 4], 1] = bad
    with pytest.raises(InvalidVectors, match=r"2 of 5 vectors .*first: row 2"):
        as_vectors(values)


def test_numbers_whose_squares_are_no_float32_are_finite_all_the_same():
    values = np.array([[1e30, -1e30], [3e38, 3e38]], dtype=np.float32)
    np.testing.assert_array_equal(as_vectors(values), values)


def test_another_width_is_named():
    with pytest.raises(DimensionMismatch, match="3 dimensions where 2 are needed"):
        as_vectors(np.zeros((1, 3)), dim=2)


# Lengths and likeness -------------------------------------------------------------------------------------------------


def test_normalise_by_hand():
    assert normalise([[3, 4], [0, 0], [-5, 0]]).tolist() == [[np.float32(0.6), np.float32(0.8)], [0, 0], [-1, 0]]
    assert normalise([3.0, 4.0]).tolist() == [np.float32(0.6), np.float32(0.8)]


def test_a_row_is_normalised_alike_alone_and_among_others():
    values = np.random.default_rng(0).standard_normal((9, 101)).astype(np.float32)
    values[4] = 0
    np.testing.assert_array_equal(normalise(values), np.concatenate([normalise(row[None]) for row in values]))
    np.testing.assert_array_equal(normalise(values), np.stack([normalise(row) for row in values]))


@given(matrices(st.integers(0, 6), 3))
def test_rows_are_of_length_one_or_zero_and_keep_their_direction(values):
    unit = normalise(values)
    assert unit.dtype == np.float32
    lengths = np.linalg.norm(values.astype(np.float64), axis=1)
    measurable = lengths > 1e-18  # the square of less is no float32
    np.testing.assert_allclose(np.linalg.norm(unit[measurable], axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(unit[measurable] * lengths[measurable, None], values[measurable], rtol=1e-5, atol=1e-30)
    assert (unit[lengths == 0] == 0).all()


def test_similarities_by_hand():
    a, b = [[1.0, 0.0], [3.0, 4.0]], [[1.0, 0.0], [0.0, 2.0]]
    assert similarity(a, b, "dot").tolist() == [[1, 0], [3, 8]]
    np.testing.assert_allclose(similarity(a, b, "cosine"), [[1, 0], [0.6, 0.8]], rtol=1e-6)
    np.testing.assert_allclose(similarity(a, b, "euclidean"), [[0, -(5**0.5)], [-(20**0.5), -(13**0.5)]], rtol=1e-6)


def test_similarities_that_rows_have_not():
    with pytest.raises(InputError, match="maxsim"):
        similarity([[1.0]], [[1.0]], "maxsim")
    with pytest.raises(DimensionMismatch):
        similarity([[1.0]], [[1.0, 2.0]])


@given(matrices(st.integers(1, 4), 3), matrices(st.integers(1, 4), 3))
def test_distances_are_those_of_subtraction(a, b):
    slow = np.sqrt(((a[:, None, :].astype(np.float64) - b[None]) ** 2).sum(axis=2))
    scale = max(1.0, float(np.abs(a).max(initial=0)), float(np.abs(b).max(initial=0)))
    np.testing.assert_allclose(distances(a, b), slow, rtol=1e-6, atol=1e-7 * scale)
    np.testing.assert_allclose(distances(csr_array(a), csr_array(b)), slow, rtol=1e-6, atol=1e-7 * scale)


def test_distances_far_from_the_origin_are_not_noise():
    far = np.full((1, 100), 1000.0, dtype=np.float32)
    near = far + np.float32(0.125)
    assert distances(far, near).tolist() == [[1.25]]


# The best k -----------------------------------------------------------------------------------------------------------


def test_the_best_come_first_and_ties_by_column():
    scores = np.array([[1, 3, 3, 2, 3], [0, 0, 0, 0, 0]], dtype=np.float32)
    rows, best = top_k(scores, 2)
    assert rows.tolist() == [[1, 2], [0, 1]]
    assert best.tolist() == [[3, 3], [0, 0]]
    assert top_k(scores, 9)[0].tolist() == [[1, 2, 4, 3, 0], [0, 1, 2, 3, 4]]


@given(
    arrays_of.arrays(
        np.float32,
        arrays_of.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=9),
        elements=st.sampled_from([0, 1, 2, 5, -3]),
    ),
    st.integers(1, 12),
)
def test_the_best_k_are_those_of_a_stable_sort(scores, k):
    rows, best = top_k(scores, k)
    slow = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(rows, slow)
    assert rows.dtype == np.int64
    np.testing.assert_array_equal(best, np.take_along_axis(scores, slow, axis=1))


def test_less_than_one_is_not_asked_for():
    with pytest.raises(InputError, match="k is 0"):
        top_k(np.zeros((1, 1), dtype=np.float32), 0)


# Fewer columns, fewer bits --------------------------------------------------------------------------------------------


def test_truncate_keeps_the_first_columns():
    vectors = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert truncate(vectors, 2).tolist() == [[0, 1], [3, 4]]
    assert truncate(vectors, 2).flags.c_contiguous
    for dim in (0, 4, -1):
        with pytest.raises(DimensionMismatch, match="choose 1 to 3"):
            truncate(vectors, dim)


def test_quantise_by_hand():
    vectors = np.array([[0, 1, -100], [255, 1, 155]], dtype=np.float32)
    assert quantise(vectors, "float32") is vectors
    assert quantise(vectors, "float16").dtype == np.float16
    eights = quantise(vectors, "int8")
    assert eights.dtype == np.int8
    assert eights.tolist() == [[-128, -128, -128], [127, -128, 127]]  # the second dimension does not vary
    wide = np.array([[-10, -10, 0], [500, 500, 510]], dtype=np.float32)  # steps of 2
    assert quantise(vectors, "int8", ranges=wide).tolist() == [[-123, -122, -128], [4, -122, -50]]
    assert quantise(vectors, "ubinary").tolist() == [[0b01000000], [0b11100000]]
    assert quantise(vectors, "binary").tolist() == [[0b01000000 - 128], [0b11100000 - 128]]


def test_int8_of_a_range_too_small_for_steps():
    tiny = np.array([[0.0], [1.3e-44]], dtype=np.float32)
    assert quantise(tiny, "int8").tolist() == [[-128], [127]]


@given(matrices(st.integers(0, 4), 5))
def test_int8_stays_in_its_steps(vectors):
    codes = quantise(vectors, "int8")
    assert codes.shape == vectors.shape
    if len(vectors):
        low, high = vectors.min(axis=0), vectors.max(axis=0)
        back = (codes.astype(np.float64) + 128) * (high - low) / 255 + low
        assert (np.abs(back - vectors) <= (high - low) / 255 * 1.01 + 1e-6 * np.abs(vectors).max()).all()


@given(matrices(st.integers(0, 4), 11))
def test_bits_are_the_signs(vectors):
    bits = np.unpackbits(quantise(vectors, "ubinary"), axis=1, count=11)
    np.testing.assert_array_equal(bits, vectors > 0)
    np.testing.assert_array_equal(quantise(vectors, "binary").astype(int) + 128, quantise(vectors, "ubinary"))


def test_a_precision_that_does_not_exist():
    with pytest.raises(InputError, match="choose one of float32, float16, bfloat16, int8, binary, ubinary, pq"):
        quantise(np.zeros((1, 1), dtype=np.float32), "int4")


@given(matrices(st.integers(0, 4), 5))
def test_bfloat16_is_that_of_torch(vectors):
    torch = pytest.importorskip("torch")
    expected = torch.from_numpy(vectors).to(torch.bfloat16)
    codes = quantise(vectors, "bfloat16")
    np.testing.assert_array_equal(codes.view(np.int16), expected.view(torch.int16).numpy())
    np.testing.assert_array_equal(dequantise(codes, "bfloat16", 5), expected.float().numpy())


@given(matrices(st.integers(1, 6), 5))
def test_int8_comes_back_within_a_step(vectors):
    ranges = np.stack([vectors.min(axis=0), vectors.max(axis=0)])
    back = dequantise(quantise(vectors, "int8"), "int8", 5, ranges=ranges)
    step = (ranges[1].astype(np.float64) - ranges[0]) / 255
    assert (np.abs(back - vectors) <= step * 1.01 + 1e-6 * np.abs(vectors).max()).all()


@pytest.mark.parametrize("precision", ["binary", "ubinary"])
def test_signs_come_back(precision):
    vectors = np.array([[1, -2, 3, 4, -5, 6, 7, 8, -9, 0.5]], dtype=np.float32)
    assert dequantise(quantise(vectors, precision), precision, 10).tolist() == [[1, -1, 1, 1, -1, 1, 1, 1, -1, 1]]


def test_product_codes_by_hand():
    vectors = np.array([[0, 0, 5], [0, 0, 6], [9, 9, 5], [9, 9, 6]] * 3, dtype=np.float32)
    books = product_codebooks(vectors, 2, size=2)
    assert books.tolist() == [[[0, 0], [9, 9]], [[5, 0], [6, 0]]]  # the last run is filled up
    codes = quantise(vectors[:4], "pq", codebooks=books)
    assert codes.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    np.testing.assert_array_equal(dequantise(codes, "pq", 3, codebooks=books), vectors[:4])


def test_codebooks_are_learnt_alike_from_a_seed():
    vectors = np.random.default_rng(0).standard_normal((300, 10)).astype(np.float32)
    one, two = (product_codebooks(vectors, 3, size=16, seed=5) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_what_does_not_fit_product_codes_is_named():
    vectors = np.ones((10, 4), dtype=np.float32)
    for parts, size in ((0, 2), (5, 2), (2, 0), (2, 11), (2, 300)):
        with pytest.raises(InputError, match="do not fit 10 vectors"):
            product_codebooks(vectors, parts, size=size)
    with pytest.raises(InputError, match="cannot be read alone"):
        quantise(vectors, "pq")
    with pytest.raises(InputError, match="cannot be read alone"):
        dequantise(np.zeros((1, 4), dtype=np.int8), "int8", 4)
    with pytest.raises(DimensionMismatch, match="codebooks of 2 × 2"):
        quantise(np.ones((1, 6), dtype=np.float32), "pq", codebooks=np.zeros((2, 3, 2), dtype=np.float32))


@pytest.mark.long
def test_fewer_bits_lose_more():
    rng = np.random.default_rng(1)
    vectors, queries = (rng.standard_normal((n, 64)).astype(np.float32) for n in (2000, 100))
    losses = [quantisation_loss(vectors, queries, each) for each in ("float32", "float16", "bfloat16", "int8", "pq", "binary")]
    assert (losses[0].recall, round(losses[0].cosine, 6)) == (1, 1)
    recalls, cosines = [loss.recall for loss in losses], [loss.cosine for loss in losses]
    assert recalls[1] > 0.98 < recalls[2] + 0.1
    assert recalls[3] > 0.9 > recalls[4] > recalls[5] > 0.1
    assert cosines[1] > cosines[2] > cosines[3] > cosines[4] > cosines[5] > 0.7  # of normal numbers' signs: sqrt(2 / pi), .798
    for nothing in ((vectors[:0], queries), (vectors, queries[:0])):
        with pytest.raises(InputError, match="nothing to measure"):
            quantisation_loss(*nothing, "int8")


# Several vectors an item ----------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 4), max_size=6))
def test_ragged_blocks_come_back(sizes):
    rng = np.random.default_rng(0)
    blocks = [rng.random((size, 3), dtype=np.float32) for size in sizes]
    ragged = Ragged.of(blocks, 3)
    assert len(ragged) == len(blocks)
    assert ragged.values.shape == (sum(sizes), 3)
    for block, back in zip(blocks, ragged, strict=True):
        np.testing.assert_array_equal(back, block)
    if blocks:
        np.testing.assert_array_equal(ragged[-1], blocks[-1])
    with pytest.raises(IndexError):
        ragged[len(blocks)]


@pytest.mark.parametrize(
    ("values", "offsets"),
    [
        (np.ones(3), [0, 3]),
        (np.ones((3, 2)), []),
        (np.ones((3, 2)), [1, 3]),
        (np.ones((3, 2)), [0, 2, 1, 3]),
        (np.ones((3, 2)), [0, 2]),
    ],
)
def test_offsets_that_do_not_fit_are_named(values, offsets):
    with pytest.raises(InvalidVectors):
        Ragged(values, np.array(offsets, dtype=np.int64))
