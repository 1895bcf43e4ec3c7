"""Linear maps of a base's vectors that learn from texts alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from vicino import encoders, workbench
from vicino.data.examples import Examples
from vicino.data.records import Document
from vicino.encoders.transformer import Transformer
from vicino.errors import InputError
from vicino.training import mapped
from vicino.training.distilled import Teacher
from vicino.training.maps import Maps
from vicino.training.recipe import TextRecipe
from vicino.vectors import normalise

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

LEARN = {"epochs": 40, "batch_size": 32, "learning_rate": 1e-2, "precision": "float32", "threads": 1, "seed": 1}


@pytest.fixture(scope="module")
def notes(ciphered, tmp_path_factory) -> Path:
    """Texts with titles of three of their words: BM25 finds what a network of random weights does not."""
    random = np.random.default_rng(3)
    words = sorted({word for line in ciphered().read_text().splitlines() for word in json.loads(line)["question"].split()})
    path = tmp_path_factory.mktemp("notes") / "notes.jsonl"
    rows = []
    for number in range(300):
        chosen = random.choice(words, 9, replace=False).tolist()
        text = f"{' '.join(chosen[:6]).capitalize()}. {' '.join(chosen[3:]).capitalize()}."
        rows.append({"id": str(number), "title": " ".join(chosen[2:5]), "text": text})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_maps_begin_as_nothing_and_a_shared_one_is_one():
    at = torch.nn.functional.normalize(torch.randn(5, 6))
    for shared in (True, False):
        maps = Maps(6, shared=shared)
        torch.testing.assert_close(maps(at, "query"), at)
        assert (maps.query is maps.document) == shared
        assert len(list(maps.parameters())) == 2 - shared


def test_titles_ask_and_sentences_do(monkeypatch):
    documents = [
        Document("a", "Wings lift when air flows past them. No. Gliders have long and narrow wings."),
        Document("b", "Tea steeps in water that is hot."),
        Document("c.py", "def near(): return 'these words are not a sentence.'"),
        Document("d", " ".join(f"Sentence number {number} has words enough." for number in range(9))),
    ]
    learn = Examples("pairs", ["On lift"], ["?"], query_ids=["q"], document_ids=["a"])
    material = type("Material", (), {"learn": learn, "judge": type("Judge", (), {"documents": documents})})()
    found = mapped.questions(material, 0)
    assert found[0] == "On lift"
    assert sorted(found[1:3]) == ["Gliders have long and narrow wings.", "Wings lift when air flows past them."]
    assert found[3] == "Tea steeps in water that is hot."
    assert len(set(found[4:])) == len(found) - 4 == 4  # of nine
    assert found == mapped.questions(material, 0)
    assert found != mapped.questions(material, 1)
    monkeypatch.setattr(mapped, "_ASKING", 5)
    assert len(set(mapped.questions(material, 0)) & set(found)) == 5


def test_a_batch_ranks_all_documents_or_many_drawn_anew(monkeypatch):
    random = np.random.default_rng(0)
    asked, answers = (normalise(random.normal(size=(n, 4)).astype(np.float32)) for n in (11, 7))
    found = np.array([random.permutation(7)[:3] for _ in range(11)])
    teacher = Teacher(asked, answers, found, random.uniform(1, 9, size=(11, 3)).astype(np.float32), temperature=0.1)
    batches = mapped._Batches(teacher, 4)
    assert len(batches) == 2
    for batch in batches.epoch(0, 0):
        rows = [int(np.flatnonzero((asked == one).all(axis=1))[0]) for one in batch["asked"].numpy()]
        np.testing.assert_array_equal(batch["teacher"], teacher.logits(np.array(rows), np.arange(7)))
        np.testing.assert_array_equal(batch["told"], answers)
    monkeypatch.setattr(mapped, "_RANKED", 5)
    one, other = batches.epoch(0, 0)
    assert one["told"].shape == (5, 4)
    assert one["teacher"].shape == (4, 5)
    assert not torch.equal(one["told"], other["told"])
    again = next(iter(batches.epoch(0, 0)))
    torch.testing.assert_close(one, again)


@pytest.mark.long
@pytest.mark.parametrize("towers", ["shared", "separate"])
def test_the_base_stays_and_its_vectors_learn_what_bm25_knows(towers, notes, base, tmp_path, sentence_transformers):
    given = LEARN | {"way": "maps", "towers": towers}
    found = workbench.train_text(notes, tmp_path / "m", base=base, unlabelled=True, controls=[], **given)
    assert "score all documents" in found.told
    assert found.scores["after"] > found.scores["before"] + 0.02, found.scores
    tuned = encoders.load(found.path)
    texts = [json.loads(line)["text"] for line in notes.read_text().splitlines()]
    begun = Transformer(model=base, precision="float32").encode(texts, normalize_embeddings=True)
    learnt = []
    for encode in ("encode_query", "encode_document"):
        after = getattr(tuned, encode)(texts, normalize_embeddings=True)
        linear = normalise((begun @ np.linalg.lstsq(begun, after, rcond=None)[0]).astype(np.float32))
        assert np.abs(after - begun).max() > 0.05
        assert (linear * after).sum(axis=1).mean() > 0.99
        learnt.append(after)
    assert np.allclose(*learnt, atol=1e-3) == (towers == "shared")
    theirs = sentence_transformers.SentenceTransformer(str(found.path), device="cpu")
    np.testing.assert_allclose(theirs.encode_query(texts[:9]), tuned.encode_query(texts[:9]), atol=1e-5)
    np.testing.assert_allclose(theirs.encode_document(texts[:9]), tuned.encode_document(texts[:9]), atol=1e-5)


def test_the_weights_of_the_network_stay_and_dims_turn_what_was_mapped(notes, base, tmp_path):
    given = LEARN | {"way": "maps", "epochs": 2, "dims": [8]}
    found = workbench.train_text(notes, tmp_path / "m", base=base, unlabelled=True, controls=[], **given)
    before, after = (load_file(Path(each) / "model.safetensors") for each in (base, found.path))
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value.astype(np.float32))
    layers = sorted(each.name for each in found.path.glob("*_Dense"))
    assert len(layers) == 2  # a map, and a turn


def test_the_plan_and_what_cannot_be_mapped(notes, base, tmp_path):
    given = LEARN | {"way": "maps", "unlabelled": True, "controls": []}
    plan = workbench.train_text(notes, tmp_path / "m", base=base, dry_run=True, **given)
    assert plan.trained == Transformer(model=base).dim ** 2
    cut = Transformer(model=base, truncate_dim=8).save(tmp_path / "cut")
    with pytest.raises(InputError, match="8 of its"):
        workbench.train_text(notes, tmp_path / "m", base=str(cut), **given)
    assert not (tmp_path / "m").exists()


def test_what_was_interrupted_goes_on_to_the_same_maps(notes, base, tmp_path, ctrl_c):
    given = LEARN | {"way": "maps", "epochs": 3, "unlabelled": True, "controls": [], "base": base}
    whole = workbench.train_text(notes, tmp_path / "whole", **given)
    with ctrl_c(Maps, "forward", at=150):
        workbench.train_text(notes, tmp_path / "cut", **given)
    again = workbench.train_text(notes, tmp_path / "cut", **given)
    assert again.run.resumed is not None
    texts = ["cold water", "a glider lifts"]
    np.testing.assert_array_equal(*(encoders.load(each.path).encode(texts) for each in (whole, again)))


def test_the_recipe_of_maps():
    recipe = TextRecipe.of(way="maps")
    assert (recipe.batch_size, recipe.learning_rate, recipe.limit) == (256, 1e-3, None)
    assert TextRecipe.of(way="maps", learning_rate=1e-4).learning_rate == 1e-4
    with pytest.raises(InputError, match="queries make pairs"):
        TextRecipe.of(way="maps", queries=len)
    with pytest.raises(InputError, match="without labels"):
        workbench.train_text("pairs.jsonl", "m", way="maps")
