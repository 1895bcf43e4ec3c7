"""Ranking metrics: worked by hand, bounded, and equal to trec_eval's (through ir-measures) on random and real runs."""

import json
import math
import re
from collections import Counter, defaultdict

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vicino.errors import DuplicateIds, InputError
from vicino.metrics import METRICS
from vicino.metrics.ranking import (
    average_precision,
    judge,
    judged_share,
    mrr,
    ndcg,
    precision,
    recall,
    success,
)

ORACLES = {
    ndcg: ir_measures.nDCG,
    recall: ir_measures.R,
    mrr: ir_measures.RR,
    average_precision: ir_measures.AP,
    precision: ir_measures.P,
    success: ir_measures.Success,
    judged_share: ir_measures.Judged,
}
NEED_A_CUTOFF = {ir_measures.R, ir_measures.P, ir_measures.Success}


def table(rankings, depth):
    """(n, depth) object array, padded with None."""
    ids = np.full((len(rankings), depth), None, dtype=object)
    for row, ranking in enumerate(rankings):
        ids[row, : len(ranking)] = ranking[:depth]
    return ids


def oracle(metric, cutoff, rankings, qrels):
    """ir-measures' value for each query. Scores are distinct, so that nobody has to break a tie."""
    measure = ORACLES[metric] if cutoff is None else ORACLES[metric] @ cutoff
    run = {str(row): {name: float(-rank) for rank, name in enumerate(r)} for row, r in enumerate(rankings)}
    judgments = {str(row): dict(grades) for row, grades in enumerate(qrels)}
    values = {int(value.query_id): value.value for value in ir_measures.iter_calc([measure], judgments, run)}
    return np.array([values[row] for row in range(len(rankings))])


# --- worked by hand ---------------------------------------------------------------------------------------------------

# Ranked a..e; x and y are relevant and were not found. Grades: a 1, b judged 0, c unjudged, d 3, e judged -1.
RANKED = np.array([["a", "b", "c", "d", "e"]], dtype=object)
GRADES = {"a": 1, "b": 0, "d": 3, "e": -1, "x": 2, "y": 1}


@pytest.mark.parametrize(
    ("metric", "k", "expected"),
    [
        (ndcg, None, (1 + 3 / math.log2(5)) / (3 + 2 / math.log2(3) + 1 / 2 + 1 / math.log2(5))),
        (ndcg, 2, 1 / (3 + 2 / math.log2(3))),
        (recall, None, 2 / 4),
        (recall, 3, 1 / 4),
        (mrr, None, 1.0),
        (average_precision, None, (1 / 1 + 2 / 4) / 4),
        (average_precision, 3, (1 / 1) / 4),
        (precision, None, 2 / 5),
        (precision, 3, 1 / 3),
        (precision, 10, 2 / 10),
        (success, 1, 1.0),
        (judged_share, None, 4 / 5),
        (judged_share, 3, 2 / 3),
        (judged_share, 10, 4 / 5),
    ],
)
def test_worked_by_hand(metric, k, expected):
    assert metric(judge(RANKED, [GRADES]), k) == pytest.approx([expected], abs=1e-15)


def test_mrr_looks_no_further_than_its_cutoff():
    judged = judge(np.array([["x", "y", "a"]], dtype=object), [{"a": 2}])
    assert mrr(judged, 2).tolist() == [0.0]
    assert mrr(judged, 3).tolist() == [1 / 3]


def test_judge_by_hand():
    judged = judge(np.array([["a", "b", None], ["d", None, None]], dtype=object), [{"a": -1, "b": 2, "z": 3}, {}])
    assert judged.gains.tolist() == [[0, 2, 0], [0, 0, 0]]
    assert judged.known.tolist() == [[True, True, False], [False, False, False]]
    assert judged.retrieved.tolist() == [[True, True, False], [True, False, False]]
    assert judged.ideal.tolist() == [[3, 2], [0, 0]]
    assert judged.relevant.tolist() == [2, 0]


@pytest.mark.parametrize("name", [name for name in METRICS if name != "judged"])
@pytest.mark.parametrize("grades", [{}, {"a": 0, "b": -1}])
def test_a_query_without_relevant_documents_gets_zero(name, grades):
    assert METRICS[name](judge(RANKED, [grades]), 3).tolist() == [0.0]


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("shape", [(2, 0), (2, 3)])
def test_rankings_that_found_nothing_get_zero(name, shape):
    nothing = np.full(shape, None, dtype=object)
    for k in (None, 1, 10):
        assert METRICS[name](judge(nothing, [{"a": 1}, {}]), k).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", METRICS)
def test_no_queries_no_values(name):
    assert METRICS[name](judge(np.empty((0, 5), dtype=object), []), 3).shape == (0,)


# --- bad input --------------------------------------------------------------------------------------------------------


def test_a_document_ranked_twice_is_named():
    with pytest.raises(DuplicateIds, match=r"'b'.*row 1"):
        judge(np.array([["a", "b", "c"], ["a", "b", "b"]], dtype=object), [{}, {}])


def test_padding_is_no_duplicate():
    judge(np.array([["a", None, None]], dtype=object), [{}])


@pytest.mark.parametrize("ids", [np.array(["a"], dtype=object), np.array([["a"], ["b"]], dtype=object)])
def test_shapes_that_do_not_fit(ids):
    with pytest.raises(InputError, match="do not fit"):
        judge(ids, [{}])


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("k", [0, -1])
def test_a_cutoff_below_one(name, k):
    with pytest.raises(InputError, match="cannot be cut"):
        METRICS[name](judge(RANKED, [GRADES]), k)


# --- properties -------------------------------------------------------------------------------------------------------

NAMES = [f"d{number}" for number in range(12)]
RANKING = st.lists(st.sampled_from(NAMES), min_size=1, max_size=10, unique=True)
JUDGMENTS = st.dictionaries(st.sampled_from(NAMES), st.integers(-1, 4), min_size=1)
QUERIES = st.lists(st.tuples(RANKING, JUDGMENTS), min_size=1, max_size=5)
CUTOFF = st.none() | st.integers(1, 15)


@given(queries=QUERIES, k=CUTOFF)
def test_every_metric_is_between_zero_and_one(queries, k):
    judged = judge(table([ranking for ranking, _ in queries], 10), [grades for _, grades in queries])
    for name in METRICS:
        values = METRICS[name](judged, k)
        assert values.shape == (len(queries),)
        assert values.dtype == np.float64
        assert ((values >= 0) & (values <= 1)).all(), name


@given(grades=JUDGMENTS.filter(lambda grades: max(grades.values()) > 0))
def test_the_ideal_ranking_is_perfect(grades):
    ideal = sorted(grades, key=grades.__getitem__, reverse=True)
    relevant = sum(grade > 0 for grade in grades.values())
    judged = judge(table([ideal], 12), [grades])
    for metric in (ndcg, recall, mrr, average_precision, success, judged_share):
        assert metric(judged)[0] == pytest.approx(1.0)
    assert precision(judged, relevant)[0] == 1.0


@given(ranking=RANKING, grades=JUDGMENTS)
def test_looking_further_never_finds_less(ranking, grades):
    judged = judge(table([ranking], 10), [grades])
    for metric in (recall, mrr, average_precision, success):
        values = [metric(judged, k)[0] for k in range(1, 12)]
        assert np.diff(values).min() >= -1e-12


@given(queries=QUERIES, k=CUTOFF, extra=st.integers(0, 4))
def test_a_query_is_judged_alike_alone_and_in_company(queries, k, extra):
    rankings, qrels = [ranking for ranking, _ in queries], [grades for _, grades in queries]
    together = judge(table(rankings, 10), qrels)
    for name in METRICS.keys() - {"P"} if k is None else METRICS:  # P without k counts the columns, padding too
        values = METRICS[name](together, k)
        for row, value in enumerate(values):
            alone = judge(table([rankings[row]], 10 + extra), [qrels[row]])
            assert METRICS[name](alone, k)[0] == pytest.approx(value, abs=1e-12)


# --- the oracle -------------------------------------------------------------------------------------------------------


# trec_eval's nDCG reads past an array where all grades of a query are negative, and may never return: not asked here.
ANSWERABLE = st.lists(st.tuples(RANKING, JUDGMENTS.filter(lambda grades: max(grades.values()) >= 0)), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(queries=ANSWERABLE, k=CUTOFF)
def test_random_runs_agree_with_ir_measures(queries, k):
    rankings, qrels = [ranking for ranking, _ in queries], [grades for _, grades in queries]
    judged = judge(table(rankings, 10), qrels)
    for metric, measure in ORACLES.items():
        if k is not None or measure not in NEED_A_CUTOFF:
            np.testing.assert_allclose(metric(judged, k), oracle(metric, k, rankings, qrels), atol=1e-12)


@pytest.fixture(scope="module")
def cranfield(shared_data):
    """A plain TF-IDF run over Cranfield, 100 deep, with its graded judgments."""
    folder = shared_data("cranfield")
    postings = defaultdict(dict)
    for line in (folder / "corpus.jsonl").read_text(encoding="utf-8").splitlines():
        document = json.loads(line)
        for word, count in Counter(re.findall(r"\w+", document["text"].lower())).items():
            postings[word][document["_id"]] = count
    qrels = defaultdict(dict)
    for line in (folder / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        query, document, grade = line.split("\t")
        qrels[query][document] = int(grade)
    rankings = []
    queries = [json.loads(line) for line in (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines()]
    for query in queries:
        scores = Counter()
        for word in re.findall(r"\w+", query["text"].lower()):
            for document, count in postings[word].items():
                scores[document] += math.log1p(count) * math.log(1400 / len(postings[word])) ** 2
        rankings.append([document for document, _ in scores.most_common(100)])
    return rankings, [qrels[query["_id"]] for query in queries]


@pytest.mark.parametrize("k", [None, 1, 5, 10, 100])
@pytest.mark.parametrize("metric", ORACLES, ids=lambda metric: metric.__name__)
def test_a_real_run_agrees_with_ir_measures(cranfield, metric, k):
    rankings, qrels = cranfield
    if k is None and ORACLES[metric] in NEED_A_CUTOFF:
        k = 1000  # deeper than the run: the same as no cutoff but for P, which divides by it
    values = metric(judge(table(rankings, 100), qrels), k)
    assert 0 < values.mean() < 1
    np.testing.assert_allclose(values, oracle(metric, k, rankings, qrels), atol=1e-12)
