"""A collection looked at: planted faults are found, each by its own finding, and the clean copy is accused of nothing."""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vicino.catalog import Entry
from vicino.data.kinds import kind_of
from vicino.data.records import Document
from vicino.evaluation.checkup import look_at
from vicino.retrieval.ingest import Source, ingest
from vicino.store.collection import Collection

DIM = 32
NUMBER = r"\d+(?:\.\d+)?"
LATER = 4_000_000_000  # seconds since 1970: after any ingest

MODEL = f"""
import zlib
import numpy as np

SEED, KNOWN = 0, {{}}

def _word(word):
    if (SEED, word) not in KNOWN:
        KNOWN[SEED, word] = np.random.default_rng([SEED, zlib.crc32(word.encode())]).normal(size={DIM})
    return KNOWN[SEED, word]

def clean(texts):
    return [np.sum([_word(word) for word in text.split()] or [np.zeros({DIM})], axis=0) for text in texts]

def cone(texts):
    return [row + 12 for row in np.array(clean(texts))]

def collapsed(texts):
    return [0.001 * row + 12 for row in np.array(clean(texts))]

def dead(texts):
    rows = np.array(clean(texts))
    rows[:, 5] = 0.25
    return rows

def flat(texts):
    return np.array(clean(texts)) * np.array([1.0] * 2 + [0.01] * 30)

def loud(texts):
    return [row * (50 if "item3" in text else 1) for row, text in zip(clean(texts), texts)]

def short(texts):
    return clean([text.split()[1][:-1] for text in texts])
"""


@pytest.fixture
def model(tmp_path, monkeypatch, need):
    """The module whose functions embed: a text is the sum of its words."""
    need(Entry("", "", "store"))
    monkeypatch.setenv("VICINO_HOME", str(tmp_path / "home"))
    (tmp_path / "planted_model.py").write_text(MODEL)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("planted_model")
    sys.modules.pop("planted_model")


def text_of(number: int, subject: str) -> str:
    """Forty words of one of ten subjects, none of which stands in another's; `subject` is what they are all about."""
    random = np.random.default_rng([number, len(subject)])
    words = [f"{subject}{number % 10}{at}" for at in random.integers(0, 40, 25)]
    return " ".join([f"{subject} item{number}", *words, *(f"{subject}{at}" for at in random.integers(0, 60, 15))])


def written(folder: Path, texts: dict[str, str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def kept(home: Path, folder: Path, function: str = "clean", name: str = "c") -> Collection:
    """The collection, with a folder of text in it."""
    reading = kind_of([]).read(folder, None)
    source = Source(str(folder), reading, reading.lacks, reading.summary)
    recipe = None if name in Collection.names(home) else f"callable(function=planted_model:{function})"
    ingest(home, name, source, recipe=recipe, cut="whole")
    return Collection.open(home, name)


def first(tmp_path: Path) -> Path:
    return written(tmp_path / "first", {f"a{number}": text_of(number, "tea") for number in range(160)})


def accused(collection: Collection, **asked: Any) -> set[str]:
    return {finding.about.split()[0] for finding in look_at(collection, **asked).findings if finding.state == "problem"}


def test_five_planted_faults_are_all_found_and_the_clean_copy_is_accused_of_nothing(tmp_path, model, monkeypatch):
    home = tmp_path / "home" / "collections"
    one, two = first(tmp_path), {f"b{number}": text_of(number, "tea") for number in range(200, 260)}
    clean = kept(home, one)
    clean = kept(home, written(tmp_path / "second", two))
    os.utime(one / "a7.txt", (LATER, LATER))  # touched, and not changed
    found = look_at(clean)
    assert [finding for finding in found.findings if finding.state == "problem"] == []
    looked = {finding.about.removesuffix(" of callable") for finding in found.findings}
    assert looked >= {"lengths", "dimensions", "direction", "rank", "hubs", "metric", "vectors", "domain", "values", "duplicates"}
    assert looked >= {"model callable", "same texts", "near texts", "stale", "unembedded", "files"}

    ill = kept(home, written(tmp_path / "ill", {path.stem: path.read_text() for path in one.glob("*.txt")}), "cone", "ill")  # (1)
    again = {f"again{number}": text_of(number, "tea") for number in range(30)}  # (2) the same texts under other names
    other = {f"c{number}": text_of(number, "violin") for number in range(150)}  # (3) of another domain
    ill = kept(home, written(tmp_path / "later", again | other), name="ill")
    (tmp_path / "ill" / "a7.txt").write_text("something else stands here now")  # (4) changed since
    os.utime(tmp_path / "ill" / "a7.txt", (LATER, LATER))
    monkeypatch.setattr(model, "SEED", 1)  # (5) another model under the same name
    ill = Collection.open(home, "ill")
    problems = {one.about: one for one in look_at(ill).findings if one.state == "problem"}
    assert set(problems) == {"direction of callable", "same texts", "domain of callable", "stale", "model callable"}
    assert all(one.value and one.threshold and one.cause and one.mend for one in problems.values())
    assert problems["same texts"].value.startswith("30 of 340")
    assert "violin" not in problems["stale"].value
    assert "1 documents are new or changed" in problems["stale"].value
    assert "such as c" in problems["domain of callable"].value


@pytest.mark.parametrize(
    ("function", "about"),
    [
        ("cone", {"direction"}),
        ("collapsed", {"direction"}),
        ("dead", {"dimensions"}),
        ("flat", {"rank"}),
    ],
)
def test_what_ruins_stored_vectors_is_found(tmp_path, model, function, about):
    assert accused(kept(tmp_path / "home", first(tmp_path), function)) == about


@pytest.mark.parametrize(("function", "about"), [("loud", "lengths"), ("short", "duplicates")])
def test_what_ruins_some_vectors_is_found_whatever_else_it_does(tmp_path, model, function, about):
    assert about in accused(kept(tmp_path / "home", first(tmp_path), function))


def test_another_metric_than_trained_for_is_found_only_where_it_finds_others(tmp_path, model):
    from vicino.data.records import Recipe
    from vicino.evaluation.symptoms import metric
    from vicino.vectors import normalise

    collection = kept(tmp_path / "home", first(tmp_path))
    rows = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    loud = rows * np.geomspace(0.1, 10, 200, dtype=np.float32)[:, None]
    assert "metric" not in accused(collection)
    plain = collection.recipe.to_json()
    plain["params"]["index_params"] = {"similarity": "euclidean"}
    collection.recipe = Recipe.from_json(plain)
    (found,) = [one for one in look_at(collection).findings if one.about.startswith("metric")]
    assert found.value.startswith("trained for cosine, searched by euclidean")
    from vicino.evaluation.contents import mends_of

    mends = mends_of(collection, 0)
    assert metric(normalise(loud), "cosine", "dot", mends).state == "ok"
    assert metric(loud, "cosine", "dot", mends).state == "problem"
    assert metric(loud, "cosine", "cosine", mends).state == "ok"


def test_texts_that_nearly_repeat_are_found_and_parts_of_one_document_are_not(tmp_path, model):
    near = {f"n{number}": f"{text_of(number, 'tea')} more" for number in range(20)}
    assert accused(kept(tmp_path / "home", written(first(tmp_path), near))) == {"near"}


def test_near_texts_fall_together_where_only_some_are_compared(tmp_path, model, monkeypatch):
    from vicino.evaluation import contents

    near = {f"n{number}": f"{text_of(number, 'tea')} more" for number in range(60)}
    collection = kept(tmp_path / "home", written(first(tmp_path), near))
    monkeypatch.setattr(contents, "TEXTS", 80)  # of 220
    (found,) = [one for one in look_at(collection).findings if one.about == "near texts"]
    twice, _, looked, *_ = found.value.split()
    assert int(looked) < 160
    assert 0.15 < int(twice) / int(looked) < 0.45  # 60 of 220 do


def test_documents_that_came_and_went_are_stale_and_ingest_mends_it(tmp_path, model):
    home, folder = tmp_path / "home", first(tmp_path)
    collection = kept(home, folder)
    (folder / "a0.txt").unlink()
    written(folder, {"new": text_of(900, "tea")})
    os.utime(folder, (LATER, LATER))
    (found,) = [one for one in look_at(collection).findings if one.about == "stale"]
    assert found.state == "problem"
    assert "1 documents are new or changed" in found.value
    assert "1 are gone" in found.value
    assert found.mend.startswith(f"vicino ingest {folder} --collection c")
    assert "stale" not in accused(kept(home, folder))


def test_a_reference_stands_for_what_came_first(tmp_path, model):
    collection = kept(tmp_path / "home", first(tmp_path))
    alike = [Document(f"r{number}", text_of(number, "tea")) for number in range(300, 400)]
    other = [Document(f"r{number}", text_of(number, "violin")) for number in range(300, 400)]
    assert "domain" not in {one.about.split()[0] for one in look_at(collection).findings}  # all came at once
    assert accused(collection, reference=alike) == set()
    assert accused(collection, reference=other) == {"domain"}


def test_a_reference_is_cut_as_the_collection_is(tmp_path, model):
    """Whole documents beside passages of the same documents are no other domain, and nobody is named who is not out of one."""
    home, texts = tmp_path / "home", {f"d{n}": "\n\n".join(text_of(5 * n + at, "tea") for at in range(5)) for n in range(60)}
    reading = kind_of([]).read(written(tmp_path / "long", texts), None)
    source = Source("long", reading, reading.lacks, reading.summary)
    ingest(home, "c", source, recipe="callable(function=planted_model:clean)", cut="paragraph")
    collection = Collection.open(home, "c")
    found = look_at(collection, reference=[Document(name, text) for name, text in texts.items()])
    (domain,) = [one for one in found.findings if one.about.startswith("domain")]
    assert domain.state == "ok"
    assert "out of the old domain" not in domain.value


def test_cures_are_tried_on_a_copy_with_before_and_after(tmp_path, model):
    texts = {
        f"s{n}": f"{text_of(n, 'tea')}. What is said of thing{n} and part{n} here? {text_of(n + 500, 'tea')}." for n in range(120)
    }
    collection = kept(tmp_path / "home", written(tmp_path / "sentences", texts), "cone")
    before = collection.store.version
    cures = {cure.name: cure for cure in look_at(collection, cure=True).cures}
    assert set(cures) == {"centring", "all-but-the-top", "whitening"}
    was, became = cures["centring"].signs["mean cosine"]
    assert was > 0.5 > 0.1 > became
    assert cures["centring"].check.n > 50
    assert "mean cosine" in str(cures["centring"])
    told = cures["whitening"].to_json()
    assert told["decision"] in ("better", "worse", "not told apart")
    assert told["signs"]["hubness"].keys() == {"before", "after"}
    collection.refresh()
    assert collection.store.version == before
    assert look_at(collection).cures == ()


def test_scores_are_looked_at_where_people_judged(tmp_path, model):
    from vicino.store import judgments

    collection = kept(tmp_path / "home", first(tmp_path))
    assert not [one for one in look_at(collection).findings if one.about.startswith("scores")]  # nobody judged

    def judged(relevant: Callable[[int, int], bool]) -> Any:
        for number in range(40):
            query = " ".join(text_of(number, "tea").split()[:20])
            for at, document in enumerate((number, (number + 7) % 160, (number + 14) % 160)):
                judgments.add(collection.folder, judgments.Judgment(query, f"a{document}.txt", int(relevant(number, at))))
        (found,) = [one for one in look_at(collection).findings if one.about.startswith("scores")]
        return found

    fine = judged(lambda _, at: at == 0)
    assert fine.about == "scores of callable"
    assert fine.state == "ok"
    assert "90 % were relevant there, and here" in fine.value
    odd = judged(lambda number, at: (at == 0) == (number % 2 == 0))  # judged again: the last word counts
    assert odd.state == "problem"
    assert odd.cause
    (low,) = [one for one in look_at(collection, precision=0.4).findings if one.about.startswith("scores")]
    assert low.numbers["threshold"]["precision"] == 0.4


def test_looking_twice_says_the_same(tmp_path, model):
    collection = kept(tmp_path / "home", first(tmp_path), "cone")
    one, two = (look_at(collection, seed=3).findings for _ in range(2))
    assert [replace(each, value="") for each in one] == [replace(each, value="") for each in two]
    for each, other in zip(one, two, strict=True):  # the last bits of a product decide between neighbours that are equally near
        assert re.sub(NUMBER, "", each.value) == re.sub(NUMBER, "", other.value)
        told = [[float(number) for number in re.findall(NUMBER, value)] for value in (each.value, other.value)]
        assert told[0] == pytest.approx(told[1], rel=0.1, abs=0.1)


def test_a_collection_without_vectors_is_looked_at_too(tmp_path, model):
    home, folder = tmp_path / "home", first(tmp_path)
    reading = kind_of([]).read(folder, None)
    ingest(home, "words", Source(str(folder), reading, reading.lacks, reading.summary), recipe="bm25", cut="whole")
    found = look_at(Collection.open(home, "words"), cure=True)
    assert found.healthy
    assert found.cures == ()
    assert {one.about for one in found.findings} >= {"same texts", "near texts", "stale"} - {"stale"}


def test_the_command_shows_before_and_after_and_ends_with_one(tmp_path, model, capsys, monkeypatch):
    from vicino.cli import main

    texts = {f"s{n}": f"{text_of(n, 'tea')}. What is said of thing{n} and part{n} here? {text_of(n, 'leaf')}." for n in range(80)}
    kept(tmp_path / "home" / "collections", written(tmp_path / "sentences", texts), "cone")

    def run(*given: str) -> tuple[int, str, str]:
        code = 0
        try:
            main(["doctor", *given])
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    code, out, _ = run("c", "--fix", "-q")
    assert code == 1
    assert out.index("PROBLEM") < out.index(" ok ")  # what is broken comes first
    assert "→ centring, all-but-the-top or whitening; measured on a copy by: vicino doctor c --fix" in out
    assert "reference: Ethayarajh 2019" in out
    assert "tried on a copy: nDCG@10 with centring" in out
    assert "; mean cosine 0." in out
    assert "worth applying to callable(function=planted_model:cone): " in out
    told = json.loads(run("c", "--fix", "--json", "-q")[1])
    assert [cure["cure"] for cure in told["cures"]] == ["centring", "all-but-the-top", "whitening"]
    assert {"about", "state", "value", "threshold", "reference", "cause", "mend"} == set(told["findings"][0])
    assert isinstance(json.loads(run("c", "--json", "-q")[1]), list)
    wrong = [["--fix"], ["--reference", str(tmp_path)], ["c", "--similarity", "dot"], ["c", str(tmp_path)], ["--report", "x.md"]]
    for given in (*wrong, ["c", "--report", "x.txt"], ["c", "--precision", "1.5"]):
        assert run(*given)[0] == 2
    for ending in ("html", "md", "json"):
        file = tmp_path / f"report.{ending}"
        code, _, err = run("c", "--fix", "--report", str(file), "-q")
        assert (code, str(file) in err) == (1, True)
        assert "worth applying to callable" in file.read_text("utf-8")
    assert json.loads(file.read_text("utf-8"))["about"] == "the collection c"
    code, _, err = run("model", str(tmp_path / "sentences"), "--encoder", "lsa", "--similarity", "sideways")
    assert code == 2
    assert "similarity" in err
