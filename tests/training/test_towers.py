"""Two networks that begin as one and learn apart: one to encode questions, the other documents."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vicino import encoders, workbench
from vicino.encoders.transformer import Transformer
from vicino.errors import InputError, UnknownName

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

LEARN = {
    "towers": "separate",
    "controls": [],
    "epochs": 12,
    "batch_size": 16,
    "learning_rate": 1e-2,
    "temperature": 0.1,
    "evaluate_every": 100.0,
    "precision": "float32",
    "threads": 1,
    "seed": 1,
}
ROLES = ("encode_query", "encode_document", "encode")


@pytest.fixture(scope="module")
def accepted(ciphered, base, tmp_path_factory):
    """A training that helps; only for looking."""
    return workbench.train_text(ciphered(), tmp_path_factory.mktemp("trained") / "model", base=base, **LEARN)


def test_what_helps_is_accepted(accepted):
    assert accepted.gate.accepted, accepted.gate.sentence
    assert accepted.scores["after"] > accepted.scores["before"] + 0.2
    assert set(accepted.scores) == {"bm25", "before", "after"}
    record = json.loads((accepted.path / "training.json").read_text())
    assert record["recipe"]["towers"] == "separate"
    assert not list(accepted.path.parent.glob(".*training"))


def test_the_two_have_learnt_different_things(accepted, base, ciphered):
    pair, one = encoders.load(accepted.path), Transformer(model=base)
    texts = [json.loads(line)["question"] for line in ciphered().read_text().splitlines()[:50]]
    asked, told, began = (
        each(texts, normalize_embeddings=True) for each in (pair.encode_query, pair.encode_document, one.encode)
    )
    np.testing.assert_array_equal(pair.encode(texts, normalize_embeddings=True), told)
    for left, right in ((asked, told), (asked, began), (told, began)):
        assert (left * right).sum(axis=1).mean() < 0.95
    assert pair.space.dim == one.dim
    assert pair.space.id != one.space.id


def test_the_folder_opens_everywhere(accepted, sentence_transformers):
    texts = ["wings lift an aeroplane", "tea"]
    opened = encoders.make(accepted.path).set_params(precision="float32")
    theirs = sentence_transformers.SentenceTransformer(str(accepted.path), device="cpu")
    for role in ROLES:
        np.testing.assert_allclose(getattr(opened, role)(texts), getattr(theirs, role)(texts), atol=1e-5, err_msg=role)
    assert encoders.load(accepted.path).space == opened.space


def test_both_begin_as_the_base(base):
    import torch

    from vicino.training.batches import asked, embedded, told
    from vicino.training.towers import Towers

    one = Transformer(model=base)
    pair = Towers(one.trainable(), one.trainable())
    ids = pair.tower("query").ids(["wings lift", "tea", "an aeroplane", "a map of the world", "bread dough", "near"])
    batch = {"texts": [tuple(ids[:3]), tuple(ids[3:])]}
    parts = [asked(pair, batch), told(pair, batch)]
    assert [part.shape for part in parts] == [(2, 32), (2, 64)]
    torch.testing.assert_close(torch.cat(parts, dim=1), embedded(one.trainable(), batch), atol=1e-5, rtol=0)
    parts[0].sum().backward()
    assert any(each.grad is not None for each in pair.query.parameters())
    assert all(each.grad is None for each in pair.document.parameters())


def test_what_was_interrupted_goes_on_to_the_same_weights(ciphered, base, tmp_path, ctrl_c):
    from vicino.training import ranking

    changes = {**LEARN, "base": base, "epochs": 2, "remine": 1}
    whole = workbench.train_text(ciphered(n=200), tmp_path / "whole", **changes)
    when = len(whole.run.losses) * 3 // 4  # in the middle of the second epoch
    with ctrl_c(ranking, "ranking_loss", at=when):
        workbench.train_text(ciphered(n=200), tmp_path / "model", **changes)
    assert not (tmp_path / "model").exists()
    found = workbench.train_text(ciphered(n=200), tmp_path / "model", **changes)
    assert found.run.resumed == when
    assert found.run.losses == whole.run.losses
    ours, theirs = (encoders.load(each.path) for each in (found, whole))
    assert ours.space == theirs.space
    for role in ROLES:
        np.testing.assert_array_equal(getattr(ours, role)(["wings lift"]), getattr(theirs, role)(["wings lift"]))


def test_cached_gradients_are_the_same(ciphered, base, tmp_path):
    changes = {**LEARN, "base": base, "epochs": 1, "learning_rate": 1e-4}
    whole, cached = (
        workbench.train_text(ciphered(n=120), tmp_path / str(size), **changes, small_batch=size) for size in (None, 5)
    )
    np.testing.assert_allclose(cached.run.losses, whole.run.losses, rtol=1e-3)
    assert whole.run.losses[0] != whole.run.losses[-1]


def test_no_negatives_and_the_first_dimensions_too(ciphered, base, tmp_path):
    changes = {**LEARN, "base": base, "epochs": 1, "negatives": 0, "dims": [8, 16]}
    found = workbench.train_text(ciphered(n=120), tmp_path / "model", **changes)
    assert found.run.steps > 2
    assert np.isfinite(found.run.losses).all()
    assert encoders.load(found.path).dim == Transformer(model=base).dim


@pytest.fixture(scope="module")
def texts(ciphered, tmp_path_factory):
    """Texts without labels."""
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    random = np.random.default_rng(0)
    words = sorted({word for line in ciphered().read_text().splitlines() for word in json.loads(line)["question"].split()})
    chosen = [random.choice(words, 9, replace=False).tolist() for _ in range(150)]
    path.write_text("".join(json.dumps({"title": " ".join(own[:3]), "text": " ".join(own)}) + "\n" for own in chosen))
    return path


def test_a_teacher_can_teach_both(texts, base, tmp_path):
    changes = {**LEARN, "base": base, "epochs": 8, "learning_rate": 3e-3, "way": "distil", "unlabelled": True}
    losses = workbench.train_text(texts, tmp_path / "model", **changes).run.losses
    quarter = len(losses) // 4
    assert np.mean(losses[-quarter:]) < 0.8 * np.mean(losses[:quarter])


def test_what_knows_no_questions_is_refused(texts, base, tmp_path):
    for way in ("simcse", "tsdae"):
        with pytest.raises(InputError, match=f"{way} knows no queries") as told:
            workbench.train_text(texts, tmp_path / "m", **{**LEARN, "base": base, "way": way, "unlabelled": True})
        assert "towers" in told.value.mend
    with pytest.raises(InputError, match="towers='both'"):
        workbench.train_text(texts, tmp_path / "m", **{**LEARN, "base": base, "towers": "both"})
    rows = ["score\tsentence1\tsentence2", *(f"{n % 6}\tnear tea {n}\tfar water {n}" for n in range(120))]
    (tmp_path / "scored.tsv").write_text("\n".join(rows) + "\n")
    with pytest.raises(InputError, match="no queries and documents"):
        workbench.train_text(tmp_path / "scored.tsv", tmp_path / "m", **{**LEARN, "base": base})
    assert not (tmp_path / "m").exists()


def test_a_pair_is_no_base(ciphered, router, tmp_path):
    for towers in ("shared", "separate"):
        with pytest.raises(UnknownName, match="Router"):
            workbench.train_text(ciphered(), tmp_path / "m", **{**LEARN, "base": str(router()), "towers": towers})
