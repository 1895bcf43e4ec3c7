"""One retriever on one task: fusion weights that never saw their query, and a cache that is neither stale nor trusted."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import numpy as np
import pytest

from vicino.data.records import Document, Hits, Judgement, Query, Recipe
from vicino.errors import InputError
from vicino.evaluation import measure
from vicino.evaluation.measure import Bench, Measurement
from vicino.evaluation.tasks import RetrievalTask, judged
from vicino.metrics import parse as metric
from vicino.retrieval import from_recipe, parse
from vicino.retrieval.dense import Dense

TFIDF, LSA = Recipe("dense", {"encoder": "tfidf"}), Recipe("dense", {"encoder": "lsa", "encoder_params": {"n_components": 2}})


@pytest.fixture(scope="module")
def task(texts) -> RetrievalTask:
    """Each text asked for by three of its words."""
    words = [text.split() for text in texts]
    documents = [Document(f"d{row}", text) for row, text in enumerate(texts)]
    queries = [Query(f"q{row}", " ".join(each[1:4])) for row, each in enumerate(words)]
    return judged("words", documents, queries, [Judgement(f"q{row}", f"d{row}", 1) for row in range(len(texts))])


def same(left: Measurement, right: Measurement) -> None:
    assert left.recipe == right.recipe
    assert left.hits.ids.tolist() == right.hits.ids.tolist()
    np.testing.assert_array_equal(left.hits.scores, right.hits.scores, strict=True)
    assert (left.index_bytes, left.truncation, left.tuning) == (right.index_bytes, right.truncation, right.tuning)


# Measuring ------------------------------------------------------------------------------------------------------------


def test_a_measurement_is_what_the_retriever_does(task):
    bench = Bench(task, metric("MRR@10"), depth=8)
    found = bench.measure(TFIDF)
    retriever = bench.retriever(TFIDF)
    expected = retriever.search(task.queries, 8)
    assert found.hits.ids.tolist() == expected.ids.tolist()
    assert found.index_bytes == retriever.nbytes
    assert found.build_seconds >= 0
    assert found.query_ms.shape == (12,)
    assert (found.query_ms >= 0).all()
    assert (found.tuning, found.truncation, found.cached) == (None, None, False)
    assert bench.measure(TFIDF) is found


def test_at_most_a_hundred_queries_are_timed(fixed, by_hand, monkeypatch):
    monkeypatch.undo()  # the real clock
    task = judged(
        "many",
        [Document("a", "tea")],
        [Query(str(n), "tea") for n in range(150)],
        [Judgement(str(n), "a", 1) for n in range(150)],
    )
    assert Bench(task, metric("MRR")).measure(TFIDF).query_ms.shape == (100,)


@pytest.mark.parametrize("method", [":rrf", ""])
def test_what_is_scored_is_what_the_recipe_then_does(method):
    rng = random.Random(0)
    words = [f"w{number}" for number in range(60)]
    documents = [Document(f"d{row}", " ".join(rng.choices(words, k=12))) for row in range(320)]
    queries = [Query(f"q{row}", " ".join(rng.choices(words, k=4))) for row in range(10)]
    task = judged("random", documents, queries, [Judgement(f"q{row}", f"d{row}", 1) for row in range(10)])
    plain = parse(f"tfidf+lsa(n_components=8){method}")
    for recipe in (
        plain,
        Recipe("fused", {"depth": 30}, plain.parts),
        Recipe("fused", {"method": "convex", "weights": [1, 2]}, plain.parts),
    ):
        for depth in (200, 300):
            bench = Bench(task, metric("MRR"), depth=depth)
            found = bench.measure(recipe)
            delivered = bench.retriever(found.recipe).search(task.queries, 10)
            assert found.hits.ids[:, :10].tolist() == delivered.ids.tolist()


# Weights --------------------------------------------------------------------------------------------------------------


def rivals(seed: int = 0, queries: int = 12) -> tuple[dict, dict, dict]:
    """Two parts of random scores over ten documents, and each query's answer; some queries share theirs."""
    rng = random.Random(seed)
    names = [f"d{number}" for number in range(10)]
    left, right, answers = {}, {}, {}
    for number in range(queries):
        query = f"q{number}"
        answers[query] = f"d{rng.randrange(8)}"
        left[query] = {name: rng.random() for name in rng.sample(names, 6)}
        right[query] = {name: rng.random() for name in rng.sample(names, 6)}
    return left, right, answers


def slow_ranking(left: dict[str, float], right: dict[str, float], weight: float) -> list[str]:
    """Fusion of two scored lists, written anew: min-max, weigh, sort."""

    def scaled(scores: dict[str, float]) -> dict[str, float]:
        scores = {name: float(np.float32(score)) for name, score in scores.items()}
        low, high = min(scores.values()), max(scores.values())
        return {name: (score - low) / (high - low) for name, score in scores.items()}

    counted = [(share, part) for share, part in ((weight, scaled(left)), (1 - weight, scaled(right))) if share > 0]
    order = [sorted(part, key=lambda name: -part[name]) for _, part in counted]
    names = dict.fromkeys(itertools.chain(*order))
    total = {name: sum(share * part.get(name, 0.0) for share, part in counted) for name in names}
    return sorted(total, key=lambda name: -round(total[name], 12))


def slow_mrr(ranking: list[str], answer: str) -> float:
    return 1 / (1 + ranking.index(answer)) if answer in ranking else 0.0


GRID = [1.0, 0.0, *(step / 20 for step in range(1, 20))]  # the left part's weight, in the order in which they are tried


@pytest.mark.parametrize("seed", range(4))
def test_cross_fitted_weights_by_hand(fixed, by_hand, seed):
    left, right, answers = rivals(seed)
    task = by_hand(answers, [f"d{number}" for number in range(10)])
    bench = Bench(task, metric("MRR"), folds=3, seed=seed)
    found = bench.measure(Recipe("fused", {"method": "convex"}, (fixed(left), fixed(right))))

    queries = list(answers)
    table = {(q, w): slow_mrr(slow_ranking(left[q], right[q], w), answers[q]) for q in queries for w in GRID}
    by_answer = {answer: [q for q in queries if answers[q] == answer] for answer in answers.values()}
    fold = dict(zip(queries, measure.splits.folds([{answers[q]} for q in queries], 3, seed=seed).tolist(), strict=True))
    assert all(len({fold[q] for q in group}) == 1 for group in by_answer.values())
    for number, weights in enumerate(found.tuning.folds):
        others = [q for q in queries if fold[q] != number]
        means = [round(float(np.mean([table[q, w] for q in others])), 12) for w in GRID]
        assert weights == pytest.approx((GRID[int(np.argmax(means))], 1 - GRID[int(np.argmax(means))]))
    for row, query in enumerate(queries):
        weight = found.tuning.folds[fold[query]][0]
        assert [name for name, _ in found.hits.top(row)] == slow_ranking(left[query], right[query], weight)
    means = [round(float(np.mean([table[q, w] for q in queries])), 12) for w in GRID]
    assert found.tuning.final[0] == pytest.approx(GRID[int(np.argmax(means))])


def test_a_query_cannot_move_the_weight_that_scores_it(fixed, by_hand):
    rng = random.Random(5)
    queries = [f"q{row}" for row in range(12)]
    pools = [[f"right{row}", f"wrong{row}", "x", "y", "z"] for row in range(12)]
    parts = tuple(fixed({q: {name: rng.random() for name in pool} for q, pool in zip(queries, pools, strict=True)}) for _ in "ab")
    documents = [name for pool in pools for name in pool]

    def tuned(**other: str) -> Measurement:
        answers = {query: f"right{row}" for row, query in enumerate(queries)} | other
        return Bench(by_hand(answers, documents), metric("MRR"), folds=4).measure(Recipe("fused", {"method": "convex"}, parts))

    before = tuned()
    fold = measure.splits.folds([{query} for query in queries], 4, seed=0)
    others = 0
    for number in range(4):
        after = tuned(**{query: f"wrong{row}" for row, query in enumerate(queries) if fold[row] == number})
        assert after.tuning.folds[number] == before.tuning.folds[number]
        others += after.tuning.folds != before.tuning.folds
    assert others  # the change did reach the weights that may see it


def test_the_tuner_may_answer_do_not_fuse(fixed, by_hand):
    rng = random.Random(1)
    names = [f"d{number}" for number in range(12)]
    answers = {f"q{number}": name for number, name in enumerate(names)}
    good = {query: {answer: 2.0, **{name: rng.random() for name in names if name != answer}} for query, answer in answers.items()}
    noise = {query: {name: rng.random() for name in names} for query in answers}
    for parts, alone in (((good, noise), 0), ((noise, good), 1)):
        recipes = tuple(fixed(part, milliseconds=10.0 + place) for place, part in enumerate(parts))
        found = Bench(by_hand(answers), metric("MRR")).measure(Recipe("fused", {"method": "convex"}, recipes))
        assert not found.tuning.fuses
        assert found.tuning.final == tuple(float(place == alone) for place in range(2))
        assert found.recipe == recipes[alone]
        assert found.index_bytes == 100  # what is used, and paid for, is one part
        assert found.query_ms[0] == 10.0 + alone
        assert [found.hits.top(row)[0][0] for row in range(12)] == names


def test_the_tuner_fuses_where_each_part_knows_half(fixed, by_hand):
    names = [f"d{number}" for number in range(12)]
    answers = {f"q{number}": name for number, name in enumerate(names)}
    left = {
        q: ({a: 9.0, "x": 1.0} if row % 2 else {"x": 9.0, "y": 8.9, a: 8.8, "z": 0.0})
        for row, (q, a) in enumerate(answers.items())
    }
    right = {
        q: ({"z": 9.0, "y": 8.9, a: 8.8, "x": 0.0} if row % 2 else {a: 9.0, "z": 1.0})
        for row, (q, a) in enumerate(answers.items())
    }
    task = by_hand(answers, [*names, "x", "y", "z"])
    found = Bench(task, metric("MRR")).measure(Recipe("fused", {"method": "convex"}, (fixed(left), fixed(right))))
    assert found.tuning.fuses
    assert found.recipe.params["weights"] == list(found.tuning.final)
    assert all(found.hits.top(row)[0][0] == name for row, name in enumerate(names))


def test_few_queries_make_fewer_folds_and_one_group_none(fixed, by_hand):
    left, right, answers = rivals(0, queries=3)
    fused = Recipe("fused", {"method": "convex"}, (fixed(left), fixed(right)))
    distinct = by_hand({query: f"d{row}" for row, query in enumerate(answers)}, [f"d{number}" for number in range(10)])
    assert len(Bench(distinct, metric("MRR"), folds=5).measure(fused).tuning.folds) == 3
    shared = by_hand(dict.fromkeys(answers, "d1"), [f"d{number}" for number in range(10)])
    with pytest.raises(InputError, match="all queries have the same answers"):
        Bench(shared, metric("MRR")).measure(fused)
    with pytest.raises(InputError, match="1 folds"):
        Bench(shared, metric("MRR"), folds=1)


def test_queries_of_the_same_answers_share_a_fold(fixed, by_hand, monkeypatch):
    left, right, answers = rivals(1)
    two = {query: {answer: 1, "d9": 2} for query, answer in answers.items()}  # d9 alone does not bind them
    seen = []
    folds = measure.splits.folds
    monkeypatch.setattr(measure.splits, "folds", lambda *given, **more: seen.append(folds(*given, **more)) or seen[-1])
    task = by_hand(two, [f"d{number}" for number in range(10)])
    Bench(task, metric("MRR"), folds=3).measure(Recipe("fused", {"method": "convex"}, (fixed(left), fixed(right))))
    of_answer: dict[str, set[int]] = {}
    for answer, fold in zip(answers.values(), seen[0].tolist(), strict=True):
        of_answer.setdefault(answer, set()).add(fold)
    assert len(of_answer) < len(answers)
    assert all(len(found) == 1 for found in of_answer.values())
    assert set().union(*of_answer.values()) == {0, 1, 2}


def test_given_weights_are_not_tuned(fixed, by_hand):
    left, right, answers = rivals()
    task = by_hand(answers, [f"d{number}" for number in range(10)])
    recipe = Recipe("fused", {"method": "convex", "weights": [0.5, 0.5]}, (fixed(left), fixed(right)))
    found = Bench(task, metric("MRR")).measure(recipe)
    assert found.tuning is None
    assert found.recipe == from_recipe(recipe).recipe


def test_weights_learnt_on_the_same_task_are_cross_fitted_again(fixed, by_hand):
    left, right, answers = rivals()
    task = by_hand(answers, [f"d{number}" for number in range(10)])
    learnt = Bench(task, metric("MRR")).measure(Recipe("fused", {"method": "convex"}, (fixed(left), fixed(right))))
    again = Bench(task, metric("MRR")).measure(learnt.recipe)
    assert learnt.recipe.params["learnt_on"] == task.fingerprint
    assert again.tuning == learnt.tuning
    assert again.hits.ids.tolist() == learnt.hits.ids.tolist()


# Keeping --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def counted(monkeypatch) -> list[str]:
    """What was built, searched and timed, in order."""
    calls: list[str] = []
    for owner, name in ((measure.Retriever, "build"), (measure.Retriever, "search"), (Bench, "_time")):
        original = getattr(owner, name)

        def counting(self, *arguments, _name=name, _original=original, **options):
            calls.append(_name)
            return _original(self, *arguments, **options)

        monkeypatch.setattr(owner, name, counting)
    return calls


FUSED = Recipe("fused", {"method": "convex"}, (TFIDF, LSA))


@pytest.mark.parametrize("recipe", [TFIDF, LSA, FUSED], ids=["tfidf", "lsa", "fused"])
def test_a_second_run_does_nothing_again(task, tmp_path, counted, recipe):
    first = Bench(task, metric("MRR@10"), cache=tmp_path).measure(recipe)
    assert counted
    assert not first.cached
    counted.clear()
    again = Bench(task, metric("MRR@10"), cache=tmp_path).measure(recipe)
    assert counted == []
    assert again.cached
    same(again, first)
    assert again.build_seconds == first.build_seconds
    np.testing.assert_array_equal(again.query_ms, first.query_ms)


def test_what_was_built_for_one_metric_serves_another(task, tmp_path, counted):
    Bench(task, metric("MRR@10"), cache=tmp_path).measure(TFIDF)
    counted.clear()
    bench = Bench(task, metric("nDCG@10"), cache=tmp_path)
    assert bench.measure(TFIDF).cached  # the time of the build is an older one
    assert "build" not in counted
    assert {"search", "_time"} <= set(counted)
    assert bench.retriever(TFIDF).search("tea").top()


@pytest.mark.parametrize("kept", [False, True])
def test_another_index_encodes_nothing_again(task, tmp_path, monkeypatch, kept):
    cache, wanted = (tmp_path if kept else None), Recipe("dense", LSA.params | {"index": "int8"})
    alone = Bench(task, metric("MRR@10")).measure(wanted)
    bench = Bench(task, metric("MRR@10"), cache=cache)
    plain = bench.measure(LSA)
    bench = Bench(task, metric("MRR@10"), cache=cache) if kept else bench
    monkeypatch.setattr(Dense, "_build", lambda *_: pytest.fail("encoded again"))
    found = bench.measure(wanted)
    same(alone, found)
    assert found.build_seconds > plain.build_seconds


def test_other_content_is_measured_anew(task, tmp_path, counted):
    Bench(task, metric("MRR@10"), cache=tmp_path).measure(TFIDF)
    others = [
        (task, metric("MRR@5"), {}, TFIDF),
        (task, metric("MRR@10"), {"depth": 5}, TFIDF),
        (task, metric("MRR@10"), {"seed": 1}, TFIDF),
        (task, metric("MRR@10"), {"folds": 3}, TFIDF),
        (task, metric("MRR@10"), {}, LSA),
        (judged("w", task.documents[::-1], task.queries, [Judgement("q1", "d1", 1)]), metric("MRR@10"), {}, TFIDF),
    ]
    for other, how, options, recipe in others:
        counted.clear()
        found = Bench(other, how, cache=tmp_path, **options).measure(recipe)
        assert {"search", "_time"} <= set(counted)
        same(found, Bench(other, how, **options).measure(recipe))


def test_a_model_file_that_changed_under_its_name_is_measured_anew(task, tmp_path, texts):
    from vicino import encoders

    folder = str(encoders.make("lsa", n_components=2).fit(texts).save(tmp_path / "model"))
    recipe = Recipe("dense", {"encoder": folder})
    Bench(task, metric("MRR"), cache=tmp_path / "cache").measure(recipe)
    assert Bench(task, metric("MRR"), cache=tmp_path / "cache").measure(recipe).cached
    encoders.make("lsa", n_components=3).fit(texts).save(folder)
    assert not Bench(task, metric("MRR"), cache=tmp_path / "cache").measure(recipe).cached


def damaged(file: Path) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[:30] + bytes([whole[30] ^ 1]) + whole[31:])


@pytest.mark.parametrize("file", ["manifest.json", "arrays.safetensors"])
def test_a_damaged_measurement_is_done_again(task, tmp_path, counted, caplog, file):
    first = Bench(task, metric("MRR@10"), cache=tmp_path).measure(TFIDF)
    (entry,) = (tmp_path / "measured").iterdir()
    damaged(entry / file)
    counted.clear()
    again = Bench(task, metric("MRR@10"), cache=tmp_path).measure(TFIDF)
    assert "_time" in counted
    assert "doing again what the cache lost" in caplog.text
    same(again, first)
    assert Bench(task, metric("MRR@10"), cache=tmp_path).measure(TFIDF).cached


@pytest.mark.parametrize("part", ["", "retriever", "retriever/encoder", "retriever/index"])
@pytest.mark.parametrize("file", ["manifest.json", "arrays.safetensors"])
def test_a_damaged_retriever_is_built_again(task, tmp_path, counted, caplog, part, file):
    first = Bench(task, metric("MRR@10"), cache=tmp_path).measure(LSA)
    (entry,) = (tmp_path / "built").iterdir()
    if not (entry / part / file).exists():
        return  # the outermost folder has no arrays
    damaged(entry / part / file)
    counted.clear()
    bench = Bench(task, metric("MRR@5"), cache=tmp_path)
    same(bench.measure(LSA), first)
    assert counted.count("build") == 1
    assert "doing again what the cache lost" in caplog.text
    counted.clear()
    Bench(task, metric("MRR@7"), cache=tmp_path).measure(LSA)
    assert "build" not in counted


def test_without_a_cache_nothing_is_written(task, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Bench(task, metric("MRR@10")).measure(TFIDF)
    assert list(tmp_path.iterdir()) == []


def test_hits_are_kept_with_their_padding(fixed, by_hand, tmp_path):
    task = by_hand({"q1": "a", "q2": "b"}, ["a", "b", "c"])
    recipe = fixed({"q1": {"a": 2.0, "c": 1.0}, "q2": {}})
    Bench(task, metric("MRR"), cache=tmp_path).measure(recipe)
    again = Bench(task, metric("MRR"), cache=tmp_path, depth=200).measure(recipe)
    assert again.cached
    assert isinstance(again.hits, Hits)
    assert [again.hits.top(row) for row in range(2)] == [[("a", 2.0), ("c", 1.0)], []]


def test_a_cache_that_cannot_be_written_costs_no_result(task, tmp_path, caplog):
    (tmp_path / "cache").write_text("a file stands where the folder should be")
    found = Bench(task, metric("MRR@10"), cache=tmp_path / "cache").measure(TFIDF)
    same(found, Bench(task, metric("MRR@10")).measure(TFIDF))
    assert "not kept for the next run" in caplog.text
