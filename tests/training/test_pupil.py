"""What is learnt or remembered beside a sentence encoder: the temperature, and documents of batches gone by."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pip install 'vicino[torch]'")

from vicino import encoders, workbench  # noqa: E402
from vicino.encoders.transformer import Transformer  # noqa: E402
from vicino.errors import InputError  # noqa: E402
from vicino.learning.losses.in_batch import info_nce  # noqa: E402
from vicino.training.batches import asked, embedded, told  # noqa: E402
from vicino.training.likeness import Likeness  # noqa: E402
from vicino.training.pupil import Pupil  # noqa: E402
from vicino.training.ranking import ranking_loss  # noqa: E402
from vicino.training.recipe import TextRecipe  # noqa: E402
from vicino.training.towers import Towers  # noqa: E402
from vicino.training.unlabelled import network_to_train  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

LEARN = {
    "controls": [],
    "epochs": 12,
    "batch_size": 16,
    "learning_rate": 1e-2,
    "evaluate_every": 100.0,
    "precision": "float32",
    "threads": 1,
    "seed": 1,
}


@pytest.fixture
def encoder(base):
    return Transformer(model=base).trainable()


def test_a_recipe_without_either_trains_the_model_itself(encoder):
    assert network_to_train(encoder, TextRecipe()) is encoder
    for wanted in ({"temperature": "learned"}, {"queue_size": 8}):
        assert isinstance(network_to_train(encoder, TextRecipe(**wanted)), Pupil)


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": "warm"},
        {"temperature": "learned", "way": "simcse"},
        {"temperature": "learned", "way": "distil"},
        {"queue_size": -1},
        {"queue_size": 65_537},
        {"queue_size": 1.5},
        {"queue_size": True},
        {"queue_size": 8, "way": "maps"},
        {"momentum": 1.1, "queue_size": 8},
        {"momentum": 0.5},
    ],
    ids=str,
)
def test_what_cannot_be_or_would_change_nothing_is_named(wrong):
    with pytest.raises(InputError, match=next(iter(wrong)).removesuffix("_size")):
        TextRecipe.of(**wrong)


def test_checkpoints_of_before_are_still_known():
    assert {"queue_size", "momentum"} & set(TextRecipe().identity()) == set()
    assert TextRecipe().identity()["temperature"] == 0.05
    assert TextRecipe(queue_size=8).identity()["queue_size"] == 8
    assert TextRecipe.of(temperature="learned").identity()["temperature"] == "learned"


def test_pairs_with_scores_have_neither():
    for wanted in ({"temperature": "learned"}, {"queue_size": 8}):
        with pytest.raises(InputError, match=f"{next(iter(wanted))} are for pairs without scores"):
            Likeness(None, None, TextRecipe.of(**wanted))


# The queue --------------------------------------------------------------------------------------------------------------


def of(encoder, *examples):
    """A batch of (question, answer, negative, ...) texts; "world map" is also answered by what others have as a negative."""
    rows = [tuple(encoder.ids(list(each))) for each in examples]
    more = {"world map": encoder.ids(["air", "bread dough", "water"])}
    answers = [[row[1], *more.get(each[0], [])] for row, each in zip(rows, examples, strict=True)]
    return {"texts": rows, "positive": torch.arange(len(rows)), "answers": answers}


def by_hand(questions, candidates, out=()):
    """The mean cross entropy of candidate i for question i, one question after another, at the temperature 0.1."""
    unit = [each / each.norm(dim=-1, keepdim=True) for each in (questions, candidates)]
    losses = []
    for i, row in enumerate(unit[0] @ unit[1].T / 0.1):
        left = [row[j].exp() for j in range(len(row)) if (i, j) not in out]
        losses.append(-row[i] + sum(left).log())
    return float(sum(losses) / len(losses))


def test_documents_of_batches_gone_by_are_candidates_but_not_a_question_s_own_answer(encoder):
    recipe = TextRecipe(queue_size=5, momentum=1.0, temperature=0.1, precision="float32")  # the copy stays as it is
    pupil = Pupil(encoder, recipe)
    first = of(encoder, ("near tea", "wings", "water"), ("world map", "bread dough", "violin"))
    second = of(encoder, ("far tea", "wings", "cello"), ("world map", "air", "aeroplane"), ("map", "violin", "dough"))

    def sides(batch):
        with torch.no_grad():
            vectors = encoder([text for example in batch["texts"] for text in example]).view(len(batch["texts"]), 3, -1)
        return vectors[:, 0], vectors[:, 1], vectors[:, 2]

    def loss(batch):
        return float(ranking_loss(pupil, batch, embedded(pupil, batch), recipe=recipe))

    questions, answers, negatives = sides(first)
    past = torch.cat([answers, negatives])  # wings, bread dough, water, violin
    assert loss(first) == pytest.approx(by_hand(questions, past), abs=1e-5)  # nothing is remembered yet
    torch.testing.assert_close(pupil.past.vectors, past, atol=1e-5, rtol=0)
    questions, answers, negatives = sides(second)
    candidates = torch.cat([answers, negatives, past])  # the past are numbers 6 to 9
    # The same answer; two other answers of the same question, of which one was a negative; an answer that was a negative.
    own = {(0, 6), (1, 7), (1, 8), (2, 9)}
    expected = by_hand(questions, candidates, own)
    assert expected < by_hand(questions, candidates) - 0.01
    assert loss(second) == pytest.approx(expected, abs=1e-5)
    assert len(pupil.past.vectors) == 5  # of 4 + 6, the last


def test_the_copy_follows_and_has_no_gradients(encoder):
    recipe = TextRecipe(queue_size=4, momentum=0.9, precision="float32")
    pupil = Pupil(encoder, recipe)
    batch = of(encoder, ("near tea", "wings"), ("world map", "bread dough"))
    before = [each.clone() for each in pupil.past.slow.parameters()]
    with torch.no_grad():
        for each in encoder.parameters():
            each.add_(torch.randn(each.shape, generator=torch.Generator().manual_seed(0)), alpha=0.01)
    ranking_loss(pupil, batch, embedded(pupil, batch), recipe=recipe).backward()
    assert all(each.grad is not None for each in encoder.network.encoder.parameters())
    assert all(each.grad is None and not each.requires_grad for each in pupil.past.slow.parameters())
    for was, now, goal in zip(before, pupil.past.slow.parameters(), encoder.parameters(), strict=True):
        torch.testing.assert_close(now, 0.9 * was + 0.1 * goal)
    with torch.no_grad():
        slow = pupil.past.slow([example[1] for example in batch["texts"]])
    torch.testing.assert_close(pupil.past.vectors, slow, atol=1e-5, rtol=0)


def test_of_two_networks_that_of_documents_is_followed(base):
    one = Transformer(model=base)
    towers = Towers(one.trainable(), one.trainable())
    with torch.no_grad():
        for each in towers.query.parameters():
            each.add_(1.0)
    recipe = TextRecipe(queue_size=4, towers="separate", precision="float32")
    pupil = Pupil(towers, recipe)
    batch = of(towers.document, ("near tea", "wings"), ("world map", "bread dough"))
    ranking_loss(pupil, batch, asked(pupil, batch), told(pupil, batch), recipe=recipe)
    with torch.no_grad():
        expected = towers.document([example[1] for example in batch["texts"]])
    torch.testing.assert_close(pupil.past.vectors, expected, atol=1e-5, rtol=0)


# The temperature --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [3e-5, 1e-2])
def test_a_temperature_learns_at_a_rate_of_its_own(encoder, rate):
    recipe = TextRecipe.of(temperature="learned", learning_rate=rate)
    pupil = Pupil(encoder, recipe)
    assert float(pupil.temperature()) == pytest.approx(0.05)
    batch = of(encoder, ("near tea", "wings"), ("world map", "bread dough"))
    loss = ranking_loss(pupil, batch, embedded(pupil, batch), recipe=recipe)
    plain = ranking_loss(encoder, batch, embedded(encoder, batch), recipe=TextRecipe())
    assert float(loss) == pytest.approx(float(plain), abs=1e-5)
    loss.backward()
    # d loss / d log t, by a small difference: a pace that scaled it would have all gradients clipped
    vectors = embedded(encoder, batch).detach().view(2, 2, -1)
    up, down = (float(info_nce(vectors[:, 0], vectors[:, 1], temperature=0.05 * np.exp(by))) for by in (0.01, -0.01))
    assert float(pupil.temperature.log.grad) == pytest.approx((up - down) / 0.02, rel=0.02)
    torch.optim.Adam([pupil.temperature.log], lr=rate).step()
    assert abs(np.log(float(pupil.temperature()) / 0.05)) == pytest.approx(3e-3, rel=1e-2)


# Whole trainings --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def accepted(ciphered, base, tmp_path_factory):
    """A training with both that helps; only for looking."""
    both = {"temperature": "learned", "queue_size": 64}
    return workbench.train_text(ciphered(), tmp_path_factory.mktemp("trained") / "model", base=base, **LEARN | both)


def test_what_helps_is_accepted_and_the_temperature_is_told(accepted):
    assert accepted.gate.accepted, accepted.gate.sentence
    assert "the temperature that was learnt is 0." in accepted.told
    assert float(accepted.told.rsplit(maxsplit=1)[1]) != pytest.approx(0.05, abs=1e-3)
    record = json.loads((accepted.path / "training.json").read_text())
    assert record["told"] == accepted.told
    assert record["recipe"]["temperature"] == "learned"


def test_the_folder_holds_the_encoder_alone(accepted, base, sentence_transformers):
    texts = ["wings lift an aeroplane", "tea"]
    opened = Transformer(model=str(accepted.path), precision="float32")
    theirs = sentence_transformers.SentenceTransformer(str(accepted.path), device="cpu")
    np.testing.assert_allclose(opened.encode(texts), theirs.encode(texts), atol=1e-5)
    sizes = [(opened.trainable() if at else Transformer(model=base).trainable()).state_dict().keys() for at in (0, 1)]
    assert sizes[0] == sizes[1]
    assert not list(accepted.path.parent.glob(".*training"))


@pytest.mark.long
@pytest.mark.parametrize(
    "changes",
    [
        {"temperature": "learned", "queue_size": 40, "dims": [8], "symmetric": True},
        {"temperature": "learned", "queue_size": 40, "towers": "separate", "dropout": 0.1, "remine": 1},
        {"temperature": "learned", "queue_size": 40, "small_batch": 5, "margin": 0.1},
    ],
    ids=str,
)
def test_what_was_killed_goes_on_to_the_same_weights_to_the_bit(ciphered, base, tmp_path, monkeypatch, changes):
    from vicino.training import ranking

    changes = {**LEARN, "base": base, "epochs": 2, "evaluate_every": 4.0, **changes}
    whole = workbench.train_text(ciphered(n=160), tmp_path / "whole", **changes)
    loss, calls, last = ranking.ranking_loss, [], whole.run.steps - 1
    pupils = []

    def killed(*given, **more):
        calls.append(1)
        if len(calls) == last:
            raise SystemExit  # some steps after the last checkpoint
        return loss(*given, **more)

    def told(network, *given, **more):
        if not pupils:
            pupils.append((float(network.temperature()), network.past.vectors.clone()))
        return loss(network, *given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(ranking, "ranking_loss", killed)
        with pytest.raises(SystemExit):
            workbench.train_text(ciphered(n=160), tmp_path / "model", **changes)
    monkeypatch.setattr(ranking, "ranking_loss", told)
    found = workbench.train_text(ciphered(n=160), tmp_path / "model", **changes)
    temperature, past = pupils[0]
    assert 0 < found.run.resumed < last
    assert temperature != pytest.approx(0.05, abs=1e-4)  # it had moved, and what it was is there again
    assert len(past) == 40
    assert found.run.losses == whole.run.losses
    assert found.run.metrics == whole.run.metrics
    assert found.told == whole.told
    ours, theirs = (encoders.load(each.path) for each in (found, whole))
    for role in ("encode_query", "encode_document"):
        np.testing.assert_array_equal(getattr(ours, role)(["wings lift"]), getattr(theirs, role)(["wings lift"]))


def test_cached_gradients_are_the_same(ciphered, base, tmp_path):
    changes = {**LEARN, "base": base, "epochs": 2, "learning_rate": 1e-4, "temperature": "learned", "queue_size": 40}
    whole, cached = (
        workbench.train_text(ciphered(n=120), tmp_path / str(size), **changes, small_batch=size) for size in (None, 5)
    )
    np.testing.assert_allclose(cached.run.losses, whole.run.losses, rtol=1e-3)
    assert cached.told == whole.told
    assert whole.run.losses[0] != whole.run.losses[-1]


def test_a_dry_run_plans_the_copy_too(ciphered, base, tmp_path):
    plain, queued = (
        workbench.train_text(ciphered(n=120), tmp_path / "m", base=base, dry_run=True, **LEARN | {"queue_size": size})
        for size in (0, 64)
    )
    assert (plain.frozen, queued.frozen) == (0, plain.trained)
    assert queued.weights >= 2 * plain.weights
    assert queued.steps == plain.steps
    assert list(tmp_path.iterdir()) == []
