"""Slices: a planted weakness is found and leads, what is even is not accused, and the cuts are what their names say."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from vicino.data.records import Document, Judgement, Query
from vicino.errors import UnknownName
from vicino.evaluation.slices import cut, cut_by_judged, slice_test, weigh_slices
from vicino.evaluation.tasks import RetrievalTask, judged, open_task
from vicino.metrics.ranking import judge

N = 60
APART = np.arange(N)


@pytest.fixture(scope="module")
def task() -> RetrievalTask:
    """Query i has 2 + i // 10 words, of which every third document lacks one; documents are of 1 + i words and more."""
    documents, queries = [], []
    for i in range(N):
        own = [f"w{i}x{place}" for place in range(2 + i // 10)]
        text = " ".join([*own[: 2 + i // 10 - (i % 3 == 0)], *["filler"] * (1 + i)])
        metadata = {"area": "north" if i % 4 else "south", "year": 1950 + i, "tags": ["all", "even" if i % 2 == 0 else "odd"]}
        documents.append(Document(f"d{i}", text, metadata=metadata))
        queries.append(Query(f"q{i}", " ".join(own), metadata={"channel": "phone" if i < 15 else "web"}))
    return judged("made", documents, queries, [Judgement(f"q{i}", f"d{i}", 1) for i in range(N)])


def by_name(cuts):
    return {(each.by, each.name): each.mask for each in cuts}


def test_queries_are_cut_into_what_the_names_say(task):
    cuts = by_name(cut(task))
    lengths = np.array([len(query.text.split()) for query in task.queries])
    assert (cuts["query length", "up to 3 words"] == (lengths <= 3)).all()
    assert (cuts["query length", "over 3, up to 5 words"] == ((lengths > 3) & (lengths <= 5))).all()
    assert (cuts["query length", "over 5 words"] == (lengths > 5)).all()
    long = np.array([len(document.text.split()) for document in task.documents])
    thirds = [mask for (by, _), mask in cuts.items() if by == "document length"]
    assert len(thirds) == 3
    assert np.sum(thirds, axis=0).tolist() == [1] * N
    assert long[thirds[0]].max() < long[thirds[1]].min()
    shared = [1.0 if i % 3 else 1 - 1 / (2 + i // 10) for i in range(N)]
    low = next(mask for (by, name), mask in cuts.items() if by == "words shared with the answer" and name.startswith("up to"))
    assert np.mean(np.array(shared)[low]) < np.mean(np.array(shared)[~low])


def test_metadata_of_queries_and_documents(task):
    cuts = by_name(cut(task, ["area", "channel", "year", "tags"]))
    assert cuts["document: area", "south"].sum() == 15
    assert cuts["query: channel", "phone"].tolist() == [i < 15 for i in range(N)]
    assert ("document: tags", "even") in cuts
    assert ("document: tags", "all") not in cuts  # leaves nobody to compare with
    assert cuts["document: year", "up to 1969"].tolist() == [i < 20 for i in range(N)]
    with pytest.raises(UnknownName, match="did you mean area"):
        cut(task, ["areas"])


def test_metadata_is_read_with_the_queries(tmp_path):
    kinds = [{"kind": "odd" if i % 2 else "even"} for i in range(30)]
    people = [{"who": "anna" if i < 12 else "ben"} for i in range(30)]
    lines = {
        "corpus.jsonl": [{"_id": f"d{i}", "text": f"text number {i}", "metadata": kinds[i]} for i in range(30)],
        "queries.jsonl": [{"_id": f"q{i}", "text": f"number {i}", "metadata": people[i]} for i in range(30)],
    }
    for name, rows in lines.items():
        (tmp_path / name).write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    (tmp_path / "qrels").mkdir()
    judgements = "".join(f"q{i}\td{i}\t1\n" for i in range(30))
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + judgements, encoding="utf-8")
    cuts = by_name(cut(open_task(tmp_path), ["who", "kind"]))
    assert cuts["query: who", "anna"].tolist() == [i < 12 for i in range(30)]
    assert cuts["document: kind", "odd"].tolist() == [i % 2 == 1 for i in range(30)]


def test_small_slices_are_not_cut(task):
    few = judged("few", task.documents, task.queries[:15], [Judgement(f"q{i}", f"d{i}", 1) for i in range(15)])
    assert cut(few) == ()
    assert weigh_slices((), np.zeros(15), groups=np.arange(15)) == ()


def test_a_planted_weakness_leads_and_the_rest_is_not_accused(task):
    rng = np.random.default_rng(0)
    cuts = cut(task, ["area"])
    south = by_name(cuts)["document: area", "south"]
    pick = rng.normal(0.7, 0.05, N) - 0.4 * south
    found = weigh_slices(cuts, pick, pick - 0.2 * south, groups=APART, seed=1)
    worst = found[0]
    assert (worst.by, worst.name, worst.queries) == ("document: area", "south", 15)
    assert worst.pick.mean == pytest.approx(pick[south].mean())
    assert worst.rest == pytest.approx(pick[~south].mean())
    assert worst.p < 0.05
    assert worst.against_baseline.mean == pytest.approx(0.2)
    assert worst.baseline_p < 0.05
    assert [each for each in found if each.p < 0.05 and each.by != "document: area"] == []
    assert [each.pick.mean - each.rest for each in found] == sorted(each.pick.mean - each.rest for each in found)


def test_even_values_are_rarely_accused(task):
    rng = np.random.default_rng(1)
    cuts = cut(task, ["area", "channel"])
    accused = [any(each.p < 0.05 for each in weigh_slices(cuts, rng.random(N), groups=APART)) for _ in range(25)]
    assert np.mean(accused) <= 0.05 + 4 * (0.05 * 0.95 / 25) ** 0.5


def test_without_a_baseline_only_the_rest_is_compared(task):
    found = weigh_slices(cut(task), np.random.default_rng(0).random(N), groups=APART)
    assert {(each.against_baseline, each.baseline_p) for each in found} == {(None, None)}


def test_the_test_agrees_with_scipy():
    rng = np.random.default_rng(2)
    values, mask = rng.random(40), np.arange(40) < 12
    values[mask] -= 0.15

    def apart(x, y, axis):
        return np.mean(x, axis=axis) - np.mean(y, axis=axis)

    theirs = stats.permutation_test((values[mask], values[~mask]), apart, n_resamples=20_000, vectorized=True, rng=3).pvalue
    assert slice_test(mask[None], values)[0] == pytest.approx(theirs, abs=0.02)
    assert slice_test(mask[None], np.ones(40)) == [1.0]  # all ties


def test_groups_are_shuffled_whole():
    groups = np.repeat(np.arange(6), 10)
    values, mask = np.repeat([0.0, 0, 1, 1, 1, 1], 10), np.repeat([True, True, False, False, False, False], 10)
    assert slice_test(mask[None], values)[0] < 0.001
    assert slice_test(mask[None], values, groups=groups)[0] == pytest.approx(1 / 15, abs=0.02)  # 2 of 6 places


def test_judged_answers_are_cut_only_where_wrong_ones_were_judged():
    names = [f"n{place}" for place in range(4)]
    ranked = np.array([names] * N, dtype=object)
    qrels = [{"n0": 1, **dict.fromkeys(names[1 : 1 + i % 4], 0)} for i in range(N)]
    cuts = cut_by_judged(judge(ranked, qrels), [grade for row in qrels for grade in row.values()])
    assert {each.by for each in cuts} == {"judged, of the answers not relevant"}
    assert cuts[0].mask.tolist() == [i % 4 <= 1 for i in range(N)]  # none or one of three
    assert cut_by_judged(judge(ranked, [{"n0": 1}] * N), [1] * N) == ()
