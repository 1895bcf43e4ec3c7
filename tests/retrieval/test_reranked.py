"""Reranking: what the cross-encoder's order is, what follows it, why, and in a collection."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import vicino
from vicino import cli, retrieval, workbench
from vicino.data.records import Document, Recipe
from vicino.encoders.rerankers import LateInteraction
from vicino.encoders.transformer.crossing import CrossEncoder
from vicino.errors import ArtifactCorrupt, InputError, NotFitted, UnknownName, VicinoError
from vicino.evaluation.tasks import RetrievalTask
from vicino.retrieval import from_recipe, parse
from vicino.retrieval.reranked import Reranked
from vicino.retrieval.text import reasons

QUERIES = ["black tea in boiling water", "wings of an aeroplane"]


@pytest.fixture(scope="module")
def model(crossing) -> CrossEncoder:
    return CrossEncoder.load(crossing)


def test_the_first_are_in_the_cross_encoders_order_and_the_rest_follows(crossing, model, documents):
    contents = {one.id: one.content for one in documents}
    first = from_recipe(parse("lsa")).build(documents)
    found = Reranked(parts=[first.clone()], reranker=str(crossing), depth=5).build(documents).search(QUERIES, k=9)
    for row, query in enumerate(QUERIES):
        names = [name for name, _ in first.search(query, 9).top()]
        scores = model.predict([(query, contents[name]) for name in names[:5]])
        order = np.argsort(-scores, kind="stable")
        assert [name for name, _ in found.top(row)] == [names[place] for place in order] + names[5:]
        np.testing.assert_allclose(found.scores[row, :5], scores[order], atol=1e-6)
        np.testing.assert_allclose(found.scores[row, 5:], scores.min() - np.arange(1, 5), atol=1e-5)


@pytest.mark.parametrize(("blend", "alike"), [(1.0, "first stage"), (0.0, "reranker")])
def test_a_blend_of_all_is_one_stage_alone(crossing, documents, blend, alike):
    made = Reranked(parts=[from_recipe(parse("lsa"))], reranker=str(crossing), depth=12, blend=blend).build(documents)
    first = made.parts[0].search(QUERIES, 12)
    alone = first if alike == "first stage" else made.clone().set_params(blend=0.0).build(documents).search(QUERIES, 12)
    assert made.search(QUERIES, 12).ids.tolist() == alone.ids.tolist()


def test_half_a_blend_is_the_mean_of_scaled_scores(crossing, model):
    documents = [Document(name, text) for name, text in (("a", "tea tea tea"), ("b", "tea water"), ("c", "tea bread far"))]
    made = Reranked(parts=[from_recipe(parse("bm25"))], reranker=str(crossing), blend=0.5).build(documents)
    lexical = dict(made.parts[0].search("tea", 3).top())
    read = dict(zip("abc", model.predict([("tea", one.text) for one in documents]), strict=True))
    low, high = min(read.values()), max(read.values())
    expected = {name: (lexical[name] / max(lexical.values()) + (read[name] - low) / (high - low)) / 2 for name in "abc"}
    assert dict(made.search("tea", 3).top()) == pytest.approx(expected, abs=1e-5)


def test_an_explanation_has_both_ranks_and_scores(crossing, documents):
    made = from_recipe(parse(f"bm25+lsa>{crossing}(depth=3)")).build(documents)
    hits = made.search(QUERIES, k=5, explain=True)
    first = made.parts[0].search(QUERIES, k=5)
    for row in range(2):
        places = {name: rank for rank, (name, _) in enumerate(first.top(row), start=1)}
        for rank, ((name, score), why) in enumerate(zip(hits.top(row), hits.why[row], strict=True), start=1):
            assert why["first"]["rank"] == places[name]
            assert why["first"]["why"]["method"] == "rrf"
            assert (why["rank"], why["score"]) == ((rank, pytest.approx(score)) if rank <= 3 else (None, None))
    told = "\n".join(reasons(hits.why[0][0]))
    assert f"{crossing}: rank 1, " in told
    assert "by the first stage" in told
    assert "rrf: " in told
    assert "not read" in "\n".join(reasons(hits.why[0][4]))


def test_an_identity_follows_the_weights_and_not_the_place(crossing, tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    shutil.copytree(crossing, tmp_path / "moved")
    one, moved = (from_recipe(parse(f"bm25>{place}")) for place in (crossing, tmp_path / "moved"))
    assert one.identity() == moved.identity()
    weights = load_file(tmp_path / "moved" / "model.safetensors")
    weights["classifier.bias"] = torch.ones(1)
    for name in ("manifest.json", "model.safetensors"):
        (tmp_path / "moved" / name).unlink()
    save_file(weights, tmp_path / "moved" / "model.safetensors", metadata={"format": "pt"})
    assert from_recipe(parse(f"bm25>{tmp_path / 'moved'}")).identity() != one.identity()


# Names ----------------------------------------------------------------------------------------------------------------


def test_names_of_rerankers_mean_recipes(crossing, documents, tmp_path, monkeypatch):
    hybrid = parse("bm25+minilm")
    assert parse(str(crossing)) == Recipe("reranked", {"reranker": str(crossing)}, (hybrid,))
    assert parse(f"bm25+minilm>{crossing}") == parse(str(crossing))
    assert parse("bm25 > org/model(depth=20,blend=0.5)").params == {"reranker": "org/model", "depth": 20, "blend": 0.5}
    assert parse("bm25>org/small>org/large").parts == (parse("bm25>org/small"),)
    saved = from_recipe(parse("bm25(k1=0.9)+lsa")).build(documents).save(tmp_path / "winner")
    assert parse(f"{saved}>{crossing}").parts == (parse(str(saved)),)
    monkeypatch.chdir(crossing.parent)
    assert parse("bm25>rr/").params == {"reranker": str(crossing)}


@pytest.mark.parametrize("name", ["bm25>", ">org/model", "bm25>nothing", "bm25+lsa:tuned>org/model", "bm25>org/model(dep=2)"])
def test_names_that_mean_nothing_are_named(name):
    with pytest.raises((InputError, UnknownName)):
        from_recipe(parse(name))


@pytest.mark.parametrize("wrong", [{"depth": 0}, {"blend": 1.5}, {"blend": -0.1}, {"parts": []}])
def test_parameters_that_cannot_be_are_named(crossing, documents, wrong):
    made = Reranked(**{"parts": [from_recipe(parse("bm25"))], "reranker": str(crossing), **wrong})
    with pytest.raises(InputError, match="cannot be"):
        made.build(documents)


def test_a_folder_that_is_no_cross_encoder_is_named(documents, tmp_path):
    (tmp_path / "empty").mkdir()
    made = from_recipe(parse(f"bm25>{tmp_path / 'empty'}")).build(documents)
    with pytest.raises(VicinoError, match=r"config\.json"):
        made.search("tea")


def test_texts_that_are_not_the_first_stages_are_named(crossing, documents, tmp_path):
    made = Reranked(parts=[from_recipe(parse("bm25"))], reranker=str(crossing)).build(documents)
    first = made.parts[0]
    with pytest.raises(InputError, match="not the documents"):
        Reranked.of_built([first], documents[1:], reranker=str(crossing))
    name, *others = made.texts_
    found = made.search(made.texts_[name]).top()
    assert name in dict(found)
    text = made.texts_[name]
    made.texts_ = {f"{name}-other": text, **{each: made.texts_[each] for each in others}}
    with pytest.raises(NotFitted, match=f"such as '{name}'"):
        made.search(text)
    with pytest.raises(ArtifactCorrupt, match="not those of its first stage"):
        retrieval.load(made.save(tmp_path / "r"))


# The ladder -----------------------------------------------------------------------------------------------------------


def test_compare_climbs_it_and_its_winner_opens(crossing, documents, texts, tmp_path):
    from vicino.data.records import Query

    queries = [Query(f"q{number}", " ".join(text.split()[:4])) for number, text in enumerate(texts)]
    task = RetrievalTask("toy", documents, queries, {f"q{n}": {f"d{n}": 1} for n in range(len(texts))})
    name = f"bm25>{crossing}(blend=0.9,depth=6)"
    options = {"candidates": ["bm25", name], "cache": False}
    found = vicino.compare(task, **options)
    assert not any(candidate.error for candidate in found.candidates)
    made = from_recipe(parse(name)).build(documents)
    measured = next(candidate for candidate in found.candidates if candidate.name == name).found
    expected = made.search(queries, measured.hits.ids.shape[1])
    assert measured.hits.ids.tolist() == expected.ids.tolist()
    again = retrieval.load(made.save(tmp_path / "winner"))
    assert again.search(queries).ids.tolist() == made.search(queries).ids.tolist()


# In a collection ------------------------------------------------------------------------------------------------------


@pytest.fixture
def collection(documents, tmp_path, monkeypatch, need) -> str:
    from vicino.store import STORES

    need(STORES.entry("lance"))
    monkeypatch.setenv("VICINO_HOME", str(tmp_path / "home"))
    workbench.ingest(documents, "texts", recipe="bm25+lsa(n_components=3)", chunk="whole")
    return "texts"


def test_any_collection_is_reranked_without_building_it_anew(collection, crossing, model, documents, tmp_path):
    plain = vicino.search(collection, QUERIES[0], 12)
    rows = tmp_path / "home" / "collections" / collection / "rows"
    kept = {file: file.read_bytes() for file in rows.rglob("*") if file.is_file()}
    found = vicino.search(collection, QUERIES[0], 12, rerank=crossing, depth=4, explain=True)
    scores = dict(
        zip([one.document for one in plain[:4]], model.predict([(QUERIES[0], one.text) for one in plain[:4]]), strict=True)
    )
    assert [one.document for one in found[:4]] == sorted(scores, key=scores.get, reverse=True)
    assert [one.document for one in found[4:]] == [one.document for one in plain[4:]]
    assert [one.score for one in found[:4]] == pytest.approx(sorted(scores.values(), reverse=True), abs=1e-5)
    assert {one.why["first"]["rank"] for one in found} == set(range(1, 13))
    assert {file: file.read_bytes() for file in rows.rglob("*") if file.is_file()} == kept
    workbench.ingest([Document("new", "Black tea in boiling water, black tea in boiling water.")], collection)
    assert "new" in [one.document for one in vicino.search(collection, QUERIES[0], 3, rerank=crossing, depth=3)]
    packed = vicino.context(collection, QUERIES[0], 60, rerank=crossing, depth=4)
    assert packed.excerpts[0].document == vicino.search(collection, QUERIES[0], 1, rerank=crossing, depth=4)[0].document


def test_a_collection_may_rerank_by_its_own_recipe(documents, crossing, tmp_path, monkeypatch, need):
    from vicino.store import STORES

    need(STORES.entry("lance"))
    monkeypatch.setenv("VICINO_HOME", str(tmp_path / "home"))
    workbench.ingest(documents, "own", recipe=f"bm25>{crossing}(depth=5)", chunk="whole")
    found = vicino.search("own", QUERIES[0], 5)
    built = from_recipe(parse(f"bm25>{crossing}(depth=5)")).build(documents).search(QUERIES[0], 5)
    assert [one.document for one in found] == [name for name, _ in built.top()]
    assert workbench.collections()[0]["recipe"]["retriever"] == "reranked"


def test_the_command_reranks_and_says_why(collection, crossing, capsys):
    def ask(*options: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main(["search", collection, QUERIES[0], "--quiet", *options])
        shown = capsys.readouterr()
        return int(ended.value.code or 0), shown.out, shown.err

    code, out, _ = ask("--rerank", str(crossing), "--depth", "3", "-k", "2", "--explain")
    assert code == 0
    assert f"{crossing}: rank 1, " in out
    assert "by the first stage" in out
    listed = json.loads(ask("--rerank", str(crossing), "--depth", "3", "--json")[1])
    expected = vicino.search(collection, QUERIES[0], 3, rerank=crossing, depth=3)
    assert [one["document"] for one in listed[:3]] == [one.document for one in expected]
    code, _, err = ask("--rerank", "nowhere/")
    assert code == 2
    assert "nowhere" in err


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--depth", "3"], "--rerank"),
        (["--context", "100", "--explain"], "--context"),
        (["--context", "100", "-k", "3"], "--context"),
    ],
    ids=str,
)
def test_options_without_effect_are_refused(options, named, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["search", "texts", "tea", "--quiet", *options])
    assert int(ended.value.code or 0) == 2
    assert f"error: {options[0]}" in (told := capsys.readouterr().err)
    assert named in told.partition("→")[2]


def test_an_encoders_tokens_rerank_and_leave_the_first_stage_one_half(checkpoint, documents, tmp_path):
    encoder = str(checkpoint("bert"))
    made = from_recipe(parse(f"bm25>{encoder}(depth=6)")).build(documents)
    assert isinstance(made.reranker_, LateInteraction)
    found = made.search(QUERIES, k=6, explain=True)
    half = from_recipe(parse(f"bm25>{encoder}(depth=6,blend=0.5)")).build(documents)
    assert half.search(QUERIES, k=6).ids.tolist() == found.ids.tolist()
    assert half.identity() == made.identity()
    contents = {one.id: one.content for one in documents}
    for row, query in enumerate(QUERIES):
        first = dict(made.parts[0].search(query, 6).top())
        read = dict(zip(first, made.reranker_.predict([(query, contents[name]) for name in first]), strict=True))
        low, high = min(read.values()), max(read.values())
        expected = {name: (first[name] / max(first.values()) + (read[name] - low) / (high - low)) / 2 for name in first}
        assert dict(found.top(row)) == pytest.approx(expected, abs=1e-5)
    lines = list(reasons(found.why[0][0]))
    assert lines[0].endswith("blended with 0.5 of the first stage")
    opened = retrieval.load(made.save(tmp_path / "kept"))
    assert opened.search(QUERIES, k=6).top() == found.top()
    assert opened.identity() == made.identity()


def test_the_name_of_an_encoder_reranks_and_that_of_another_is_refused():
    assert parse("bm25+minilm>minilm").params == {"reranker": "minilm"}
    with pytest.raises(UnknownName, match="no reranker 'lsa'"):
        parse("bm25+minilm>lsa")
