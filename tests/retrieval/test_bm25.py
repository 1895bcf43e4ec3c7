"""BM25: its formulas against the papers' own, and its search against plain addition."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino.errors import ArtifactCorrupt, InputError, NotFitted, UnknownName
from vicino.retrieval.bm25 import BM25, VARIANTS

K1, B = 1.2, 0.75


def built(documents, n_terms, **params):
    ids = np.array([term for document in documents for term in document], np.int32)
    offsets = np.cumsum([0, *map(len, documents)])
    return BM25(**params).build(ids, offsets, n_terms)


def answers(engine, query, k=10):
    rows, scores = engine.search([np.array(query, np.int32)], k)
    return [(int(row), float(score)) for row, score in zip(rows[0], scores[0], strict=True) if row >= 0]


def as_published(variant, tf, df, n, length, mean):
    """One term's share, written as Trotman et al. 2014 and Kamphuis et al. 2020 write it."""
    norm = 1 - B + B * length / mean
    saturated = (K1 + 1) * tf / (K1 * norm + tf)
    if variant == "lucene":
        return math.log(1 + (n - df + 0.5) / (df + 0.5)) * tf / (tf + K1 * norm)
    if variant == "robertson":
        return max(0.0, math.log((n - df + 0.5) / (df + 0.5))) * tf / (K1 * norm + tf)
    if variant == "atire":
        return math.log(n / df) * saturated
    if variant == "bm25+":
        return math.log((n + 1) / df) * (saturated + 1.0)
    if variant == "bm25l":
        c = tf / norm
        return math.log((n + 1) / (df + 0.5)) * (K1 + 1) * (c + 0.5) / (K1 + c + 0.5)
    raise AssertionError(variant)


def plainly(documents, query, variant):
    mean = sum(map(len, documents)) / len(documents)
    scores = {}
    for row, document in enumerate(documents):
        score = 0.0
        for term in query:
            tf, df = document.count(term), sum(term in other for other in documents)
            if tf:
                score += as_published(variant, tf, df, len(documents), len(document), mean)
        if score:
            scores[row] = score
    return scores


def added_up(engine, query, k):
    """The same float32 sums, made without leaving anything out."""
    arrays = engine.arrays()
    starts, n_terms = arrays["starts"], len(arrays["starts"]) - 1
    sums = np.zeros(arrays["n_rows"][0], np.float32)
    terms, counts = np.unique([term for term in query if 0 <= term < n_terms], return_counts=True)
    terms = terms.astype(int)
    spans = {term: slice(starts[term], starts[term + 1]) for term in terms}
    highest = [arrays["impacts"][spans[term]].max(initial=0) for term in terms]
    for i in np.lexsort([terms, -np.array(highest)]):
        span = spans[terms[i]]
        sums[arrays["rows"][span]] += np.float32(counts[i]) * arrays["impacts"][span]
    order = np.lexsort([np.arange(len(sums)), -sums])[:k]
    return [(int(row), float(sums[row])) for row in order if sums[row] > 0]


def zipf_corpus(seed, n_documents, n_terms, mean_length):
    random = np.random.default_rng(seed)
    lengths = random.poisson(mean_length, n_documents)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    chances = 1 / np.arange(1, n_terms + 1) ** 1.1
    ids = random.choice(n_terms, offsets[-1], p=chances / chances.sum()).astype(np.int32)
    queries = [ids[offsets[row] : offsets[row + 1]][:length] for row, length in enumerate(random.integers(1, 30, 150))]
    return ids, offsets, queries


def test_a_score_by_hand():
    engine = built([[0], [1, 1, 0], [2]], 3)
    # Lengths 1, 3, 1: mean 5/3. Row 1: l = .25 + .75 · 9/5 = 1.6, so tf / (tf + 1.92); idf(1 of 3) = ln(1 + 2.5/1.5).
    expected = math.log(1 + 2.5 / 1.5) * 2 / 3.92 + math.log(1 + 1.5 / 2.5) * 1 / 2.92
    assert answers(engine, [1, 0], k=1) == [(1, pytest.approx(expected, rel=1e-6))]


documents_and_query = st.tuples(
    st.lists(st.lists(st.integers(0, 7), max_size=9), min_size=1, max_size=12).filter(any),
    st.lists(st.integers(0, 7), max_size=6),
)


@pytest.mark.parametrize("variant", sorted(VARIANTS))
@given(case=documents_and_query)
def test_every_variant_is_its_published_formula(variant, case):
    documents, query = case
    expected = plainly(documents, query, variant)
    found = answers(built(documents, 8, k1=K1, b=B, variant=variant), query, k=20)
    assert dict(found) == pytest.approx(expected, rel=1e-5)
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)


@given(
    case=documents_and_query,
    k=st.integers(1, 15),
    variant=st.sampled_from(sorted(VARIANTS)),
    k1=st.floats(0, 5),
    b=st.floats(0, 1),
)
def test_what_search_leaves_out_changes_nothing(case, k, variant, k1, b):
    documents, query = case
    engine = built(documents, 8, k1=k1, b=b, variant=variant)
    assert answers(engine, query, k) == added_up(engine, query, k)


@pytest.mark.parametrize("k", [1, 10, 100])
@pytest.mark.parametrize("seed", range(3))
def test_what_search_leaves_out_changes_nothing_on_thousands_of_documents(seed, k):
    ids, offsets, queries = zipf_corpus(seed, n_documents=4000, n_terms=3000, mean_length=40)
    engine = BM25().build(ids, offsets, 3000)
    rows, scores = engine.search(queries, k)
    for query, found, sums in zip(queries, rows, scores, strict=True):
        expected = added_up(engine, query, k)
        assert found[found >= 0].tolist() == [row for row, _ in expected]
        assert sums[found >= 0].tolist() == [score for _, score in expected]


def test_a_document_may_be_the_query():
    ids, offsets, _ = zipf_corpus(5, n_documents=200, n_terms=900, mean_length=600)
    engine = BM25().build(ids, offsets, 900)
    for row in (0, 100):
        query = [-1, *ids[offsets[row] : offsets[row + 1]].tolist(), 900]
        assert answers(engine, query) == added_up(engine, query, 10)


def test_threads_answer_the_same():
    ids, offsets, queries = zipf_corpus(7, n_documents=500, n_terms=400, mean_length=20)
    engine = BM25().build(ids, offsets, 400)
    alone, together = engine.search(queries, 10), engine.search(queries, 10, threads=3)
    np.testing.assert_array_equal(alone[0], together[0])
    np.testing.assert_array_equal(alone[1], together[1])


def test_equal_scores_go_by_row():
    assert [row for row, _ in answers(built([[0, 1]] * 9 + [[2, 2]] * 30, 3), [1, 0], k=4)] == [0, 1, 2, 3]
    assert [row for row, _ in answers(built([[1], [0]], 2), [0, 1], k=1)] == [0]  # although term 0 comes first


def test_a_repeated_term_counts_again():
    engine = built([[0, 1], [1, 2], [2, 2]], 3)
    once, twice = dict(answers(engine, [0])), dict(answers(engine, [0, 0]))
    assert twice == {row: pytest.approx(2 * score) for row, score in once.items()}


@pytest.mark.parametrize("query", [[], [-1], [3], [99], [-1, 99, -1]])
def test_terms_that_no_document_has_find_nothing(query):
    engine = built([[0, 1], [1]], 4)
    assert answers(engine, query) == []
    assert answers(engine, [*query, 0]) == answers(engine, [0])


def test_what_is_missing_is_padding():
    rows, scores = built([[0], [], [1]], 2).search([np.array([0, 1]), np.array([], np.int32)], k=5)
    assert rows.tolist() == [[0, 2, -1, -1, -1], [-1] * 5]
    assert np.isneginf(scores).tolist() == [[False, False, True, True, True], [True] * 5]
    assert (rows.dtype, scores.dtype) == (np.int64, np.float32)


@pytest.mark.parametrize("documents", [[], [[]], [[], []]])
def test_a_corpus_without_terms_has_no_answers(documents):
    assert answers(built(documents, 0), [0]) == []
    assert answers(built(documents, 3), [0]) == []


def test_no_queries_no_answers():
    rows, scores = built([[0]], 1).search([], k=3)
    assert rows.shape == scores.shape == (0, 3)


def test_unknown_terms_of_a_document_leave_no_trace():
    with_them, without = built([[0, -1, 1, -1], [1, 1, -1]], 2), built([[0, 1], [1, 1]], 2)
    assert answers(with_them, [0, 1]) == answers(without, [0, 1])


def test_a_term_without_weight_makes_no_answer():
    engine = built([[0], [0], [0, 1]], 2, variant="robertson")
    assert answers(engine, [0]) == []
    assert [row for row, _ in answers(engine, [0, 1])] == [2]


@given(case=documents_and_query)
def test_explanations_add_up(case):
    documents, query = case
    engine = built(documents, 8)
    scores = dict(answers(engine, query, k=20))
    for row in range(len(documents)):
        why = engine.explain(np.array(query, np.int32), row)
        assert sum(share for _, share in why) == pytest.approx(scores.get(row, 0.0), rel=1e-5)
        assert [share for _, share in why] == sorted((share for _, share in why), reverse=True)
        assert {term for term, _ in why} == set(query) & set(documents[row])


def test_arrays_bring_an_index_back():
    ids, offsets, queries = zipf_corpus(1, n_documents=300, n_terms=200, mean_length=15)
    engine = BM25(k1=0.9, b=0.4).build(ids, offsets, 200)
    frozen = {name: array.copy() for name, array in engine.arrays().items()}
    for array in frozen.values():
        array.flags.writeable = False
    again = BM25(k1=0.9, b=0.4).from_arrays(frozen)
    np.testing.assert_array_equal(engine.search(queries, 10), again.search(queries, 10))
    assert again.nbytes == engine.nbytes > sum(array.nbytes for array in frozen.values()) - 8


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("rows", lambda rows: rows[:-1]),
        ("rows", lambda rows: rows + 1),
        ("rows", lambda rows: rows[::-1]),
        ("rows", lambda rows: rows - 1),
        ("starts", lambda starts: starts[1:]),
        ("starts", lambda starts: np.array([0, 4, 1, 5])),
        ("impacts", lambda impacts: impacts * np.nan),
        ("impacts", lambda impacts: -impacts),
        ("impacts", lambda impacts: impacts * [1, 0, 1, 1, 1]),
        ("n_rows", lambda n_rows: n_rows - 1),
        ("n_rows", lambda n_rows: n_rows - 9),
    ],
)
def test_a_damaged_index_is_refused(name, change):
    arrays = built([[0, 1], [0, 2], [0]], 3).arrays()
    with pytest.raises(ArtifactCorrupt, match="do not fit"):
        BM25().from_arrays({**arrays, name: change(arrays[name])})
    with pytest.raises(ArtifactCorrupt, match=f"lacks {name}"):
        BM25().from_arrays({other: array for other, array in arrays.items() if other != name})


@pytest.mark.parametrize("params", [{"k1": -0.1}, {"k1": math.inf}, {"k1": math.nan}, {"b": -0.1}, {"b": 1.1}])
def test_parameters_out_of_range_are_refused(params):
    with pytest.raises(InputError, match="out of range"):
        BM25(**params)


def test_a_variant_with_a_slip_is_told_the_name():
    with pytest.raises(UnknownName, match="did you mean lucene"):
        BM25(variant="lucine")


@pytest.mark.parametrize(
    ("ids", "offsets", "message"),
    [
        ([0, 1], [0, 1], "frame"),
        ([0, 1], [1, 2], "frame"),
        ([0, 1], [], "frame"),
        ([[0, 1]], [0, 2], "frame"),
        ([0, 1], [0, 3, 1, 2], "fall"),
        ([0, 2], [0, 2], "not under n_terms"),
    ],
)
def test_a_corpus_that_cannot_be_is_refused(ids, offsets, message):
    with pytest.raises(InputError, match=message):
        BM25().build(np.array(ids, np.int32), np.array(offsets, np.int64), 2)


def test_searching_nothing_or_for_nothing_is_an_error():
    with pytest.raises(NotFitted):
        BM25().search([], 1)
    with pytest.raises(NotFitted):
        BM25().arrays()
    with pytest.raises(InputError, match="at least 1"):
        built([[0]], 1).search([np.array([0])], 0)
    with pytest.raises(InputError, match="at least 1"):
        built([[0]], 1).search([np.array([0])], 1, threads=0)


def test_thousands_of_answers_are_in_the_same_order_as_few():
    rng = np.random.default_rng(0)
    documents = [rng.integers(0, 8, rng.integers(1, 6)).tolist() for _ in range(4000)]
    engine = built(documents, 8)
    every = answers(engine, [1, 5], 4000)
    assert len(every) > 1000  # from there on they are sorted otherwise
    assert every[:900] == answers(engine, [1, 5], 900)
    assert every == sorted(every, key=lambda pair: (-pair[1], pair[0]))
