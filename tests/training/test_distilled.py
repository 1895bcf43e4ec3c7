"""An encoder that learns what BM25 and itself, fused, say of a batch's documents."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from vicino import workbench
from vicino.data.records import Hits
from vicino.retrieval.fused import combine, pool
from vicino.training.distilled import Teacher, TopicalBatches, distilling_loss, topics
from vicino.training.recipe import TextRecipe
from vicino.vectors import normalise

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def teacher(random) -> Teacher:
    """Of twelve questions about documents of the same numbers, of which BM25 found eight for each."""
    asked, answers = (normalise(random.normal(size=(12, 4)).astype(np.float32)) for _ in range(2))
    found = np.sort([random.permutation(12)[:8] for _ in range(12)], axis=1)
    scores = random.uniform(1, 9, size=(12, 8)).astype(np.float32)
    return Teacher(asked, answers, found, scores, temperature=0.05)


def test_the_teacher_ranks_as_convex_fusion_does(teacher):
    rows = np.arange(12)
    order = np.argsort(-teacher.scores, axis=1)
    ids = np.vectorize(lambda number: f"d{number:02}", otypes=[object])
    lexical = Hits(ids(np.take_along_axis(teacher.found, order, 1)), np.take_along_axis(teacher.scores, order, 1))
    cosines = teacher.asked @ teacher.answers.T
    order = np.argsort(-cosines, axis=1)
    dense = Hits(ids(order), np.take_along_axis(cosines, order, 1))
    fused = combine(pool([lexical, dense], "convex", floors=[0.0, -1.0]), np.array([0.3, 0.7]), 12)
    logits = teacher.logits(rows, rows)
    np.testing.assert_array_equal(ids(np.argsort(-logits, axis=1))[:, :8], fused.ids[:, :8])
    ours = (np.sort(logits, axis=1)[:, ::-1] * 0.05 + 1) * 0.7 / (cosines.max(axis=1, keepdims=True) + 1)  # not sharpened
    np.testing.assert_allclose(ours[:, :8], fused.scores[:, :8], atol=1e-5)


def test_documents_of_a_batch_are_near_each_other(random):
    middles = normalise(random.normal(size=(4, 16)).astype(np.float32))
    of = random.integers(4, size=203)
    vectors = normalise(middles[of] + random.normal(size=(203, 16)).astype(np.float32) * 0.05)
    parts = topics(vectors, 10, random)
    assert len(parts) == 20
    assert {len(part) for part in parts} == {10}
    assert len(np.unique(np.concatenate(parts))) == 200
    assert np.mean([(of[part] == np.bincount(of[part]).argmax()).mean() for part in parts]) > 0.8
    assert len(topics(np.zeros((7, 2), np.float32), 3, random)) == 2  # where nothing is near, any will do


def test_batches_depend_on_epoch_and_seed_alone(teacher):
    texts = [(np.array([row]), np.array([row, row])) for row in range(12)]
    batches = TopicalBatches(texts, np.arange(12), teacher, 5)
    assert len(batches) == 2

    def drawn(*of: int) -> list[list[int]]:
        return [[int(text[0][0]) for text in batch["texts"]] for batch in batches.epoch(*of)]

    assert drawn(0, 1) == drawn(0, 1)
    assert drawn(0, 1) != drawn(1, 1)
    batch = next(batches.epoch(0, 1))
    rows = np.array(drawn(0, 1)[0])
    np.testing.assert_array_equal(batch["teacher"], teacher.logits(rows, rows))


def test_the_loss_is_nothing_where_the_student_says_the_same(teacher):
    rows = np.arange(12)
    batch = {"teacher": torch.from_numpy((teacher.asked @ teacher.answers.T / 0.05)[:, rows])}
    vectors = torch.from_numpy(np.concatenate([teacher.asked, teacher.answers], axis=1))
    assert float(distilling_loss(None, batch, vectors, recipe=TextRecipe())) == pytest.approx(0, abs=1e-5)
    batch = {"teacher": torch.from_numpy(teacher.logits(rows, rows))}
    assert float(distilling_loss(None, batch, vectors, recipe=TextRecipe())) > 0.1
    assert float(distilling_loss(None, batch, vectors, recipe=TextRecipe(dims=(2,)))) > 0.1


def test_an_encoder_learns_what_words_tell(checkpoint, ciphered, tmp_path, random):
    base = str(checkpoint("bert"))
    words = sorted({word for line in ciphered().read_text().splitlines() for word in json.loads(line)["question"].split()})
    rows = []
    for number in range(400):
        chosen = random.choice(words, 14, replace=False).tolist()
        rows.append({"id": str(number), "title": " ".join(chosen[:3]), "text": " ".join(chosen[:9])})
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    learn = {"epochs": 6, "batch_size": 16, "learning_rate": 3e-3, "precision": "float32", "threads": 1, "evaluate_every": 1.0}
    found = workbench.train_text(texts, tmp_path / "m", base=base, unlabelled=True, controls=[], way="distil", **learn)
    assert "BM25 (weight 0.3)" in found.told
    assert found.scores["after"] > found.scores["before"] + 0.03, found.scores
