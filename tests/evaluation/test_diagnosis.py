"""An encoder looked at: each planted fault is found, by its own finding, and the clean copy is not accused of it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vicino.catalog import call
from vicino.data.records import Document, Judgement, Query
from vicino.encoders.isotropic import Isotropic
from vicino.encoders.wrapped import Callable
from vicino.errors import InputError
from vicino.evaluation.cures import Ranked, Target
from vicino.evaluation.diagnosis import diagnose
from vicino.evaluation.symptoms import calibration
from vicino.evaluation.tasks import judged
from vicino.vectors import normalise

N, DIM = 600, 24


@dataclass
class Looked:
    """What an encoder shows of itself: the vector of each text, by name."""

    vectors: dict[str, Any]
    cut: Any = None
    sparse: bool = False
    pretrained: bool = True
    similarity: str = "cosine"

    def encode_document(self, documents):
        return np.array([self.vectors[document.text] for document in documents], np.float32)

    def encode_query(self, texts):
        return np.array([self.vectors[text] for text in texts], np.float32)

    def truncation(self, documents):
        return self.cut


@pytest.fixture(scope="module")
def task():
    words = [f"{a}{b}" for a in "bcdfghjklm" for b in "aeiouy"]
    random = np.random.default_rng(1)
    texts = [" ".join(random.choice(words, 12)) for _ in range(N)]
    documents = [Document(f"d{n}", text) for n, text in enumerate(texts)]
    queries = [Query(f"q{n}", f"about {n}") for n in range(200)]
    return judged("made", documents, queries, [Judgement(f"q{n}", f"d{n}", 1) for n in range(200)])


@pytest.fixture(scope="module")
def clean(task):
    random = np.random.default_rng(0)
    rows = normalise(random.normal(size=(N, DIM)))
    asked = normalise(rows[:200] + 0.6 * normalise(random.normal(size=(200, DIM))))
    texts = [document.text for document in task.documents]
    return {**dict(zip(texts, rows, strict=True)), **dict(zip([q.text for q in task.queries], asked, strict=True))}


def accused(found):
    return {finding.about for finding in found.findings if finding.state == "problem"}


def changed(clean, change):
    names = list(clean)
    return Looked(dict(zip(names, change(np.array([clean[name] for name in names])), strict=True)))


def test_a_healthy_encoder_is_accused_of_nothing(task, clean):
    found = diagnose(Looked(clean), task)
    assert accused(found) == set()
    assert found.healthy
    assert {finding.about for finding in found.findings} >= {"lengths", "direction", "rank", "hubs", "duplicates", "scores"}
    assert all(finding.threshold for finding in found.findings)


def zeroed(rows):
    rows[5] = 0
    return rows


def dead(rows):
    rows[:, 3] = 0.01
    return rows


def shared(rows):
    rows[100:120] = rows[100]
    return rows


def flat(rows):
    rows[:, 2:] *= 0.02
    return rows


@pytest.mark.parametrize(
    ("change", "about"),
    [
        (zeroed, "lengths"),
        (dead, "dimensions"),
        (lambda rows: rows + 0.5, "direction"),
        (lambda rows: rows * 1e-3 + 1, "direction"),
        (flat, "rank"),
        (shared, "one vector"),
    ],
)
def test_a_planted_fault_is_found_with_its_cause_and_mend(task, clean, change, about):
    found = next(one for one in diagnose(changed(clean, change), task).findings if one.about == about)
    assert found.state == "problem"
    assert found.cause
    assert found.mend


def test_hubs_are_found(task, clean):
    def crowned(rows):
        cone = normalise(rows) * 0.9 + 1
        cone[7] = 1  # in the middle of all
        cone[8] = 1.01
        cone[9] = 1 + 0.01 * rows[9]
        return cone

    found = next(one for one in diagnose(changed(clean, crowned), task).findings if one.about == "hubs")
    assert found.state == "problem"


def test_a_collapse_is_called_so(task, clean):
    found = diagnose(changed(clean, lambda rows: rows * 1e-3 + 1), task)
    assert "collapsed" in next(one.cause for one in found.findings if one.about == "direction")


def test_what_was_cut_and_what_repeats_is_found(task, clean):
    cut = SimpleNamespace(share=0.3, limit=8, items_cut=400)
    assert accused(diagnose(Looked(clean, cut), task)) == {"length limit"}
    twice = [replace(task.documents[0], id=f"again{n}") for n in range(40)]
    assert "duplicates" in accused(diagnose(Looked(clean), replace(task, documents=[*task.documents, *twice])))
    leaky = replace(task, train={"t1": {f"d{n}": 1 for n in range(50)}})
    assert accused(diagnose(Looked(clean), leaky)) == {"leakage"}


def test_a_new_domain_is_found_and_its_documents_named(task, clean):
    random = np.random.default_rng(9)
    others = [Document(f"r{n}", f"old {n}") for n in range(400)]
    near = {one.text: row for one, row in zip(others, normalise(random.normal(size=(400, DIM))), strict=True)}
    far = {text: row + 0.2 for text, row in near.items()}
    assert accused(diagnose(Looked({**clean, **near}), task, reference=others)) == set()
    found = diagnose(Looked({**clean, **far}), task, reference=others)
    domain = next(one for one in found.findings if one.about == "domain")
    assert domain.state == "problem"
    assert "out of the old domain, such as d" in domain.value


def test_a_cure_is_measured_on_the_task_and_helps_where_it_should(task, clean):
    def tilted_rows(rows):
        """One direction drowns the others, and says nothing."""
        return rows + 8 * np.eye(DIM)[0] * np.random.default_rng(4).normal(size=(len(rows), 1))

    tilted = changed(clean, tilted_rows)
    found = diagnose(tilted, task, cure=True)
    assert {cure.check.name for cure in found.cures} == {
        f"nDCG@10 with {name}" for name in ("centring", "all-but-the-top", "whitening")
    }
    centred, topless, _ = found.cures
    assert topless.check.difference.low > 0.1
    assert (topless.decision, centred.decision) == ("better", "not told apart")
    before, after = topless.signs["effective rank"]
    assert after > 2 * before
    healthy = diagnose(Looked(clean), task, cure=True)
    assert all(cure.decision != "better" for cure in healthy.cures)
    assert found.to_json()["cures"][0]["n"] == 200
    assert "-> " in str(topless)
    assert "better" in str(topless)
    best = max((cure for cure in found.cures if cure.decision == "better"), key=lambda cure: cure.check.after)
    assert found.advice == (f"{best.name} is worth applying to ENCODER: {best.to_json()['apply']}",)
    assert healthy.advice == ("no cure is worth applying to ENCODER: none was better beyond chance",)
    assert found.to_json()["advice"] == list(found.advice)
    assert diagnose(Looked(clean), task).advice == ()


def test_the_encoder_that_is_named_gives_what_the_cure_promised(task, clean):
    tilt = 8 * np.eye(DIM)[0] * np.random.default_rng(4).normal(size=(len(clean), 1))
    vectors = dict(zip(clean, np.array(list(clean.values())) + tilt, strict=True))
    inner = Callable(function=lambda texts: [vectors[text] for text in texts])
    target = Target("mine", "vicino migrate c --to ENCODER --from 'old one'")
    for cure in diagnose(inner, task, cure=True, target=target).cures:
        name, params = call(shlex.split(cure.to_json()["apply"])[4])
        assert (name, params) == ("isotropic", {"encoder": "mine", "cure": cure.name})
        even = Isotropic(**params)
        even._given = inner
        even.fit(task.documents)
        asked = even.encode_query([query.text for query in task.queries])
        ranked = Ranked.of(even.encode_document(task.documents), asked, task, even.similarity)
        assert ranked.values("nDCG@10", task).mean() == pytest.approx(cure.check.after, abs=1e-3)


def test_a_metric_that_the_model_was_not_trained_for_is_found(task, clean):
    def loud(rows):
        return rows * np.geomspace(0.2, 5, len(rows))[:, None]

    told = {name: diagnose(changed(clean, loud), task, similarity=name) for name in ("cosine", "dot", "euclidean")}
    metric = {name: next(one for one in found.findings if one.about == "metric") for name, found in told.items()}
    assert [metric[name].state for name in metric] == ["ok", "problem", "problem"]
    assert metric["dot"].value.startswith("trained for cosine, searched by dot: ")
    unit = next(one for one in diagnose(Looked(clean), task, similarity="dot").findings if one.about == "metric")
    assert unit.state == "ok"


def test_queries_that_were_left_in_their_documents_are_found(task, clean):
    copied = {f"q{n}": " ".join(document.text.split()[2:9]) for n, document in enumerate(task.documents[:60])}
    queries = [replace(query, text=copied.get(query.id, query.text)) for query in task.queries]
    vectors = {**clean, **{copied[query.id]: clean[query.text] for query in task.queries if query.id in copied}}
    found = diagnose(Looked(vectors), replace(task, queries=queries))
    assert accused(found) == {"copied queries"}
    few = [replace(query, text=copied[query.id]) if query.id in ("q1", "q2") else query for query in task.queries]
    assert accused(diagnose(Looked(vectors), replace(task, queries=few))) == set()


def test_scores_that_mean_another_thing_for_each_query_are_found():
    random = np.random.default_rng(3)
    places = random.random((300, 1))
    signal = random.random((300, 10))
    relevant = (random.random((300, 10)) < signal**3).astype(float)
    even = calibration(list(signal), list(relevant))
    assert even is not None
    assert even.state == "ok"
    odd = calibration(list(0.1 * signal + places), list(relevant))  # each query has a level of its own
    assert odd is not None
    assert odd.state == "problem"
    drift = calibration(list(signal), list(np.where(np.arange(300)[:, None] % 2, random.random((300, 10)) < 0.02, relevant)))
    assert drift is not None
    assert drift.state == "problem"  # what one half of the queries teaches is wrong for the other
    assert calibration(list(signal), list(np.zeros((300, 10)))) is None


def test_what_scores_mean_is_told_in_numbers_and_a_threshold_is_looked_for():
    random = np.random.default_rng(3)
    signal = random.random((300, 10))
    relevant = (random.random((300, 10)) < signal).astype(float)
    told = {wanted: calibration(list(signal), list(relevant), precision=wanted) for wanted in (0.6, 0.95)}
    found = told[0.6].numbers
    assert sum(one["count"] for one in found["bins"]) == 1500  # half of the queries
    assert all(one["low"] <= one["observed"] <= one["high"] for one in found["bins"])
    assert np.average([abs(one["observed"] - one["predicted"]) for one in found["bins"]]) == pytest.approx(found["error"])
    easy, hard = (told[wanted].numbers["threshold"] for wanted in told)
    assert easy["score"] < 0.5 < 0.8 < hard["score"]
    assert easy["relevant"] / easy["pairs"] == pytest.approx(0.6, abs=0.1)
    assert easy["relevant"] <= easy["of"] == relevant[1::2].sum()
    assert "60 % were relevant there" in told[0.6].value
    assert "numbers" in told[0.6].to_json()
    nothing = calibration(list(signal), list(relevant * (signal < 0.9)), precision=1.0)
    assert nothing.numbers["threshold"]["score"] is None
    assert "no score gives a precision of 100 %" in nothing.value


def test_the_command_tells_what_a_finding_is_measured_against(task, clean):
    found = diagnose(Looked(clean), task)
    described = {"direction": "Ethayarajh 2019", "hubs": "Radovanović et al. 2010", "rank": "Roy and Vetterli 2007"}
    told = {one.about: one.reference for one in found.findings}
    assert {about: told[about].partition(";")[0] for about in described} == described


def test_sparse_vectors_are_refused(task, clean):
    with pytest.raises(InputError, match="sparse"):
        diagnose(Looked(clean, sparse=True), task)
