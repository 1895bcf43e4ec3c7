"""Judgements by hand joined with others, and silver held against gold."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kendalltau

from vicino.data.known_items import known_items
from vicino.data.pools import GIVEN, MADE, Pool, PoolRow, write_pool
from vicino.data.records import Document, Judgement, Query
from vicino.errors import DimensionMismatch, EmptyInput, InputError
from vicino.evaluation.silver import agreement, calibrate, open_pooled, with_judgements
from vicino.evaluation.tasks import judged, open_task, synthetic

NOTES = {
    "wings": ("How wings lift", "Air that flows over a wing is turned downwards. The wing is pushed up in return."),
    "tea": ("How tea steeps", "Hot water draws colour and taste out of the leaves. Three minutes are enough for most."),
    "bees": ("How bees dance", "A forager tells the hive where flowers are. The angle of her dance is the sun's."),
}


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    file = tmp_path / "notes.jsonl"
    file.write_text("\n".join(json.dumps({"id": name, "title": a, "text": b}) for name, (a, b) in NOTES.items()))
    return file


def beir(folder: Path) -> Path:
    (folder / "qrels").mkdir(parents=True)
    rows = [json.dumps({"_id": name, "title": a, "text": b}) for name, (a, b) in NOTES.items()]
    (folder / "corpus.jsonl").write_text("\n".join(rows))
    (folder / "queries.jsonl").write_text('{"_id": "1", "text": "lift"}\n{"_id": "2", "text": "dance"}\n')
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n1\twings\t1\n1\ttea\t0\n")
    return folder


def pool_of(path: Path, *rows: tuple[str, str, str, int | None], origin: str = GIVEN) -> Path:
    write_pool(path, Pool(tuple(PoolRow(Query(q, text), d, "", grade, origin) for q, text, d, grade in rows)))
    return path


def test_queries_of_people_are_asked_of_whole_documents_and_nothing_is_synthetic(notes, tmp_path):
    file = pool_of(tmp_path / "pool.csv", ("a", "lift", "wings", 2), ("a", "lift", "tea", 0), ("b", "insects", "bees", 1))
    task = open_pooled(notes, file)
    assert [query.text for query in task.queries] == ["lift", "insects"]
    assert task.qrels == {"a": {"wings": 2, "tea": 0}, "b": {"bees": 1}}
    assert {document.title for document in task.documents} == {title for title, _ in NOTES.values()}  # nothing withheld
    assert task.synthetic == ""
    assert any("3 judgements of 2 queries were made by hand" in note for note in task.notes)


def test_known_items_with_judgements_by_hand_say_so(notes, tmp_path):
    whole = open_task(notes)
    query = whole.queries[0]
    file = pool_of(tmp_path / "pool.csv", (query.id, query.text, "tea", 1), (query.id, query.text, "bees", None), origin=MADE)
    task = open_pooled(notes, file)
    assert task.documents == whole.documents  # their titles are withheld as before
    assert task.qrels[query.id] == {"wings": 1, "tea": 1}
    assert task.synthetic.startswith(whole.synthetic)
    assert "1 judgements of 1 queries were made by hand, in a pool, and added to the 3 known items" in task.synthetic


def test_queries_of_the_pool_are_among_the_made_ones_however_few_are_asked_for(notes, tmp_path):
    for query in open_task(notes).queries:
        file = pool_of(tmp_path / "pool.csv", (query.id, query.text, "tea", 1), origin=MADE)
        assert query.id in [one.id for one in open_pooled(notes, file, queries=1).queries]


def test_judgements_are_added_to_those_of_the_data_and_the_pool_counts_where_both_judged(tmp_path):
    file = pool_of(tmp_path / "pool.csv", ("1", "lift", "tea", 1), ("1", "lift", "bees", 0), ("2", "dance", "bees", 1))
    task = open_pooled(beir(tmp_path / "data"), file)
    assert task.qrels == {"1": {"wings": 1, "tea": 1, "bees": 0}, "2": {"bees": 1}}
    assert task.synthetic == ""
    told = " ".join(task.notes)
    assert "3 judgements of 2 queries were made by hand, in a pool, and added to the 2 judgements of the data" in told
    assert "1 pairs have another grade by hand" in told


def test_a_task_keeps_its_train_split_and_its_cut(by_hand):
    made = by_hand({"q1": "a", "q2": "b"}, documents=["c"])
    task = replace(made, train={"q9": {"a": 1}}, analyzer="code")
    joined = with_judgements(task, Pool((PoolRow(Query("q1", "q1"), "c", "", 3),)))
    assert joined.qrels["q1"] == {"a": 1, "c": 3}
    assert (joined.train, joined.analyzer) == (task.train, task.analyzer)
    assert joined.fingerprint != task.fingerprint  # nothing measured before is taken for it


def test_bad_pools_have_named_errors(notes, tmp_path):
    file = tmp_path / "pool.csv"
    with pytest.raises(EmptyInput, match="is judged yet"):
        open_pooled(notes, pool_of(file, ("a", "lift", "wings", None)))
    with pytest.raises(InputError, match="not made of this data"):
        open_pooled(notes, pool_of(file, ("q0", "another text", "wings", 1), origin=MADE))
    with pytest.raises(InputError, match="pooled on other data"):
        open_pooled(beir(tmp_path / "data"), pool_of(file, ("q0", "x", "wings", 1), origin=MADE))
    with pytest.raises(InputError, match="no splits"):
        open_pooled(notes, pool_of(file, ("a", "lift", "wings", 1)), split="dev")
    write_pool(file, Pool((PoolRow(Query("a", "x"), "tea", "", 1, GIVEN), PoolRow(Query("b", "y"), "tea", "", 1, MADE))))
    with pytest.raises(InputError, match="several origins"):
        open_pooled(notes, file)
    with pytest.raises(EmptyInput, match="'9' has no text"):
        open_pooled(beir(tmp_path / "more"), pool_of(file, ("9", "", "wings", 1)))
    with pytest.raises(EmptyInput, match="no query of"):
        open_pooled(notes, pool_of(file, ("a", "lift", "wings", 0)))


# Silver held against gold -------------------------------------------------------------------------------------------------


def values(means, queries, seed, noise=0.2):
    rng = np.random.default_rng(seed)
    return np.clip(np.asarray(means)[:, None] + noise * rng.standard_normal((len(means), queries)), 0, 1)


def test_two_rankings_that_agree():
    found = agreement("abc", values([0.7, 0.5, 0.3], 300, 0), values([0.9, 0.6, 0.2], 400, 1))
    assert (found.gold_winner, found.silver_winner) == ("a", "a")
    assert found.same_winner > 0.99
    assert found.kendall.mean == 1
    assert (found.pairs, found.in_order, found.denied) == (3, 3, 0)
    assert found.loss == (0, 0, 0)
    assert (found.gold_queries, found.silver_queries) == (300, 400)
    assert found.gold[0].low < found.gold[0].mean < found.gold[0].high
    assert json.loads(json.dumps(found.to_json()))["candidates"] == ["a", "b", "c"]


def test_a_silver_that_turns_the_order_around():
    gold = values([0.7, 0.5, 0.3], 300, 0)
    found = agreement("abc", gold, values([0.2, 0.6, 0.9], 400, 1))
    assert found.silver_winner == "c"
    assert found.same_winner < 0.01
    assert found.kendall.mean == -1
    assert (found.pairs, found.in_order, found.denied) == (3, 0, 3)
    assert found.loss.mean == pytest.approx(gold[0].mean() - gold[2].mean())
    assert found.loss.low > 0.3


def test_gold_that_cannot_tell_counts_no_pairs():
    found = agreement("ab", values([0.5, 0.5], 40, 0), values([0.5, 0.5], 40, 1))
    assert (found.pairs, found.in_order, found.denied) == (0, 0, 0)
    assert 0.1 < found.same_winner < 0.9


def test_kendall_is_scipys_also_with_ties():
    rng = np.random.default_rng(0)
    for seed in range(20):
        gold, silver = (rng.integers(0, 4, (5, 1)) / 4 for _ in range(2))
        expected = kendalltau(gold[:, 0], silver[:, 0], variant="b").statistic
        found = agreement("abcde", np.repeat(gold, 2, 1), np.repeat(silver, 2, 1), resamples=5, seed=seed).kendall.mean
        assert found == pytest.approx(0 if np.isnan(expected) else expected, abs=1e-12)


def test_queries_that_hang_together_are_drawn_together():
    gold = np.repeat(values([0.55, 0.5], 20, 3), 20, axis=1)  # twenty queries, each of them twenty times
    silver = values([0.9, 0.1], 50, 1)
    alone = agreement("ab", gold, silver)
    together = agreement("ab", gold, silver, gold_groups=np.repeat(np.arange(20), 20))
    width = [found.gold[0].high - found.gold[0].low for found in (alone, together)]
    assert width[1] > 3 * width[0]


def test_equal_seeds_agree_and_shapes_are_checked():
    gold, silver = values([0.6, 0.5, 0.5], 30, 0), values([0.5, 0.6, 0.5], 30, 1)
    assert agreement("abc", gold, silver, seed=4) == agreement("abc", gold, silver, seed=4)
    with pytest.raises(InputError, match="have no order"):
        agreement(["a"], gold[:1], silver[:1])
    with pytest.raises(DimensionMismatch, match="for 3 candidates"):
        agreement("abc", gold, silver[:2])


def test_known_items_of_judged_documents_are_held_against_the_judgements():
    subjects = ["wings", "tea", "bees", "ice", "bread", "rain"]
    documents = [
        Document(f"{name}{number}", f"This text number {number} tells about {name} and only of {name}.", f"On {name} no {number}")
        for name in subjects
        for number in range(5)
    ]
    queries = [Query(name, f"tell me about {name}") for name in subjects]
    grades = [(query.id, document.id) for query in queries for document in documents if document.id.startswith(query.id)]
    task = judged("subjects", documents, queries, [Judgement(*pair, 1) for pair in grades])
    found = calibrate(task, candidates=["bm25", "tfidf"])
    assert found.candidates == ("bm25", "tfidf")
    assert found.gold_queries == 6
    assert found.silver_queries == len(known_items(documents).queries)
    assert found.gold[0].mean == 1
    with pytest.raises(EmptyInput, match="no judgements by people"):
        calibrate(synthetic("made", documents))
