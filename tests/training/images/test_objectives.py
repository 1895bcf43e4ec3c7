"""Objectives of images: each learns, draws its own views, is saved and goes on, and is what its paper says."""

from __future__ import annotations

import copy
import os
import signal
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pip install 'vicino[torch]'")

from vicino.catalog import call  # noqa: E402
from vicino.encoders.images.network import make_backbone  # noqa: E402
from vicino.errors import InputError, UnknownName  # noqa: E402
from vicino.learning.loop import InParts, Settings, fit, plan  # noqa: E402
from vicino.training.images.batches import ClassBatches, PixelBatches  # noqa: E402
from vicino.training.images.objectives import OBJECTIVES  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

SIZE, CLASSES = 16, 4
VIT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "patch_size": 4}
LABELS = np.arange(64) % CLASSES
SETTINGS = Settings(epochs=2, batch_size=16, learning_rate=2e-3, precision="float32", threads=1)
every_objective = pytest.mark.parametrize("name", OBJECTIVES)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """Noise, in which a bright square stands in the corner of its class: uint8 (64, 16, 16, 1)."""
    random = np.random.default_rng(0)
    found = random.integers(0, 128, (64, SIZE, SIZE, 1))
    for image, label in zip(found, LABELS, strict=True):
        down, right = int(label) // 2 * 8, int(label) % 2 * 8
        image[down : down + 8, right : right + 8] += 127
    return found.astype(np.uint8)


def made(name: str, channels: int = 1, **recipe):
    kind = OBJECTIVES[name]
    torch.manual_seed(0)
    name, config = call(kind.backbone_name)
    config |= VIT if name == "vit" else {"width": 16, "pooling": "mean"}  # by places, these are told apart untaught
    backbone = make_backbone(name, size=SIZE, channels=channels, **config)
    return kind(backbone, classes=CLASSES if kind.needs_labels else None, recipe=recipe)


def batch(pixels: np.ndarray, n: int = 16) -> dict:
    return next(iter(ClassBatches(pixels, LABELS, n, each=4).epoch(0, 0)))


def learn(objective, pixels, settings=SETTINGS, **given):
    batches = objective.batches(pixels, LABELS if objective.needs_labels else None, settings.batch_size)
    return fit(objective, batches, objective.loss, settings, device="cpu", **given)


@pytest.mark.long
@every_objective
def test_a_batch_that_is_seen_again_and_again_is_learnt(name, pixels):
    """No changes of the images, one batch: the loss must fall, and reach all of the backbone."""
    plain = {"crop": 1.0, "flip": 0.0, "shift": 0, "jitter": 0.0}
    harder = {"moco": {"queue_size": 16, "momentum": 0.9, "temperature": 0.5}, "triplet": {"margin": 0.9}}
    objective = made(name, **plain, **harder.get(name, {}))
    optimizer = torch.optim.AdamW([each for each in objective.parameters() if each.requires_grad], lr=3e-3)
    same, losses, steps = batch(pixels), [], 40
    objective.train()
    for step in range(steps):
        torch.manual_seed(step % 2)
        loss = objective(same)
        assert loss.shape == ()
        loss.backward()
        if step == 1:
            untaught = [key for key, each in objective.backbone.named_parameters() if each.grad is None]
            assert not untaught
            assert all(each.grad is None for each in getattr(objective, "slow", torch.nn.Module()).parameters())
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert np.mean(losses[-4:]) < 0.93 * np.mean(losses[1:5])  # after the first one, which has no queue


@pytest.mark.long
@every_objective
def test_all_learn_by_the_loop_and_the_same_seed_gives_the_same_weights(name, pixels):
    trained = [made(name) for _ in range(2)]
    runs = [learn(objective, pixels) for objective in trained]
    assert [run.ended for run in runs] == ["whole", "whole"]
    assert runs[0].losses == runs[1].losses
    for ours, theirs in zip(*(each.state_dict().values() for each in trained), strict=True):
        assert torch.equal(ours, theirs)
    fresh = made(name).backbone.state_dict()
    moved = [key for key, value in trained[0].backbone.state_dict().items() if not torch.equal(value, fresh[key])]
    assert len(moved) > 0.9 * len(fresh)


@pytest.mark.parametrize("name", ["supervised", "triplet", "simclr", "moco", "masked", "data2vec"])
def test_what_was_interrupted_goes_on_to_the_same_weights(name, pixels, tmp_path):
    whole = made(name)
    expected = learn(whole, pixels)
    halted = made(name)
    forward, calls = type(halted).forward, []
    compared = getattr(type(halted), "compared", None)

    def interrupting(work):
        def stopped(*given):
            calls.append(1)
            if len(calls) == 3:
                os.kill(os.getpid(), signal.SIGINT)
            return work(*given)

        return stopped

    with pytest.MonkeyPatch.context() as patch:
        if compared is None:
            patch.setattr(type(halted), "forward", interrupting(forward))
        else:
            patch.setattr(type(halted), "compared", interrupting(compared))
        assert learn(halted, pixels, folder=tmp_path / "run").ended == "interrupted"
    resumed = made(name)
    run = learn(resumed, pixels, folder=tmp_path / "run")
    assert run.resumed == 3
    assert run.losses == expected.losses
    for ours, theirs in zip(resumed.state_dict().values(), whole.state_dict().values(), strict=True):
        assert torch.equal(ours, theirs)


@every_objective
def test_a_plan_changes_nothing_and_colours_and_bfloat16_do(name, pixels):
    coloured = np.repeat(pixels, 3, axis=3)
    objective = made(name, channels=3)
    before = copy.deepcopy(objective.state_dict())
    batches = objective.batches(coloured, LABELS, 16)
    found = plan(objective, batches, objective.loss, replace(SETTINGS, precision="bfloat16"), device="cpu")
    assert found.steps == 2 * len(batches) == 8
    assert all(torch.equal(value, before[key]) for key, value in objective.state_dict().items())


@pytest.mark.parametrize("name", ["supervised", "simclr", "triplet", "arcface"])
def test_vectors_in_parts_have_the_gradients_of_the_whole(name, pixels):
    """What the loop embeds in parts must be what is embedded at once; batch norm and chance aside."""
    objective = made(name, crop=1.0, flip=0.0, shift=0, jitter=0.0, grey=0.0).eval()
    whole = batch(pixels)
    loss = objective.loss
    assert isinstance(loss, InParts)
    parts = [{key: value[start : start + 4] for key, value in whole.items()} for start in range(0, 16, 4)]
    of_parts = loss.of(objective, whole, torch.cat([loss.towers[0](objective, part) for part in parts]))
    torch.testing.assert_close(of_parts, objective(whole))


def test_views_are_drawn_anew_and_stay_pictures(pixels):
    options = OBJECTIVES["simclr"].Options(blur=0.5)
    some = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    torch.manual_seed(0)
    first, second = options.seen(some), options.seen(some)
    torch.manual_seed(0)
    assert torch.equal(options.seen(some), first)
    assert not torch.equal(first, second)
    assert first.shape == some.shape
    assert 0 <= first.min() <= first.max() <= 1
    unchanged = OBJECTIVES["simclr"].Options(crop=1.0, flip=0.0, jitter=0.0, grey=0.0).seen(some)
    torch.testing.assert_close(unchanged, some / 255)


def test_the_slow_copy_of_moco_follows_and_the_queue_fills(pixels):
    objective = made("moco", queue_size=24, momentum=0.75)
    objective.train()
    start = [each.clone() for each in objective.slow.parameters()]
    with torch.no_grad():
        for each in objective.backbone.parameters():
            each += 1
    objective(batch(pixels))
    own = list(objective.backbone.parameters())
    for was, now, fast in zip(start, objective.slow.parameters(), own, strict=False):
        torch.testing.assert_close(now, 0.75 * was + 0.25 * fast)
    assert len(objective.queue.vectors) == 16
    objective(batch(pixels))
    assert len(objective.queue.vectors) == 24


def test_a_masked_autoencoder_sees_only_what_is_not_hidden(pixels):
    """What is under a hidden patch changes neither what the backbone tells of the others, nor the mask."""
    objective = made("masked", mask_ratio=0.5, crop=1.0, flip=0.0)
    assert objective.number == 16
    assert objective.seen == 8
    seen, hidden = objective._chosen(64, torch.device("cpu"))
    assert hidden.sum(1).tolist() == [8] * 64
    assert not hidden.gather(1, seen).any()
    lengths = []
    block = next(module for module in objective.vit.modules() if type(module).__name__ == "ViTLayer")
    block.register_forward_hook(lambda module, given, found: lengths.append(given[0].shape[1]))
    objective(batch(pixels))
    assert lengths == [1 + 8]


def test_blocks_are_those_of_the_backbone(pixels):
    """Nothing hidden, the way through the parts is the network's own."""
    from vicino.training.images.objectives.masked import _blocks, _placed

    objective = made("masked").eval()
    some = objective.backbone.normalised(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    blocks = _blocks(objective.vit, _placed(objective.vit, objective.vit.embeddings.patch_embeddings(some)))
    torch.testing.assert_close(objective.vit.layernorm(blocks[-1]).mean(1), objective.backbone(some), atol=1e-5, rtol=1e-5)


def test_what_data2vec_aims_at_does_not_learn_and_moves_with_the_network(pixels):
    objective = made("data2vec", momentum=1.0, top_k=1)
    before = copy.deepcopy(objective.slow.state_dict())
    learn(objective, pixels)
    assert all(torch.equal(value, before[key]) for key, value in objective.slow.state_dict().items())
    objective = made("data2vec", momentum=0.5)
    learn(objective, pixels)
    assert any(not torch.equal(value, before[key]) for key, value in objective.slow.state_dict().items())


def test_an_autoencoder_paints_images_of_their_own_shape(pixels):
    for size, channels in ((8, 1), (16, 3), (30, 1), (64, 3)):
        torch.manual_seed(0)
        backbone = make_backbone("small", size=size, channels=channels, width=16)
        objective = OBJECTIVES["autoencoder"](backbone, recipe={"width": 16})
        some = np.zeros((3, size, size, channels), dtype=np.uint8)
        assert objective.reconstruct(some).shape == some.shape
    objective = made("autoencoder", flip=0.0)
    blurred = np.abs(objective.reconstruct(pixels).astype(float) - pixels).mean()
    learn(objective, pixels, Settings(epochs=60, batch_size=16, learning_rate=5e-3, precision="float32", threads=1))
    objective.train()
    painted = objective.reconstruct(pixels)
    assert objective.training
    assert painted.dtype == np.uint8
    assert np.abs(painted.astype(float) - pixels).mean() < 0.9 * blurred
    mean = np.abs(pixels.astype(float) - pixels.mean(0)).mean()  # the best that one picture for all could do
    assert np.abs(painted.astype(float) - pixels).mean() < 0.9 * mean
    assert objective.reconstruct(pixels[:0]).shape == (0, SIZE, SIZE, 1)


def test_labelled_objectives_bring_classes_together(pixels):
    for name in ("supervised", "triplet", "arcface", "cosface"):
        objective = made(name, flip=0.0, shift=0, crop=1.0)
        learn(objective, pixels, Settings(epochs=15, batch_size=16, learning_rate=5e-3, precision="float32", threads=1))
        with torch.no_grad():
            vectors = objective.backbone.eval()(objective.backbone.normalised(torch.from_numpy(pixels).permute(0, 3, 1, 2)))
        units = torch.nn.functional.normalize(vectors, dim=1)
        cosines = (units @ units.T).fill_diagonal_(-2)
        assert (LABELS[cosines.argmax(1)] == LABELS).mean() > 0.9, name


def test_triplets_are_made_of_classes_and_the_others_take_any_order(pixels):
    triplets = made("triplet").batches(pixels, LABELS, 16)
    assert isinstance(triplets, ClassBatches)
    assert triplets.each == 4
    assert not isinstance(made("arcface").batches(pixels, LABELS, 16), ClassBatches)
    assert type(made("simclr").batches(pixels, None, 16)) is PixelBatches
    with pytest.raises(InputError, match="labels"):
        made("triplet").batches(pixels, None, 16)


def test_arcface_and_cosface_are_margins_of_their_own_kind():
    arc, cos = made("arcface", arc=0.4, scale=20).margins, made("cosface", gap=0.3, scale=20).margins
    assert (arc.arc, arc.gap, arc.scale) == (0.4, 0.0, 20)
    assert (cos.arc, cos.gap, cos.scale) == (0.0, 0.3, 20)
    assert arc.directions.shape == cos.directions.shape == (CLASSES, 16)


@every_objective
def test_each_says_what_it_is_for_and_what_it_is_usually_set_to(name):
    kind = OBJECTIVES[name]
    assert Settings(**kind.usual)
    assert kind.Options.of() == kind.Options()
    assert isinstance(made(name).options, kind.Options)
    assert kind.needs_labels == (name in ("supervised", "triplet", "arcface", "cosface"))
    assert kind.identities == (name in ("triplet", "arcface", "cosface"))


@every_objective
def test_what_cannot_be_is_named(name, pixels):
    kind = OBJECTIVES[name]
    backbone = made(name).backbone
    classes = CLASSES if kind.needs_labels else None
    with pytest.raises(UnknownName, match="tempreature"):
        kind(backbone, classes=classes, recipe={"tempreature": 1})
    for option, value in (("crop", 0), ("flip", 1.5), ("shift", -1), ("jitter", float("nan")), ("blur", "much"), ("grey", True)):
        with pytest.raises(InputError, match=option):
            kind(backbone, classes=classes, recipe={option: value})
    if kind.needs_labels:
        for too_few in (None, 0, 1):
            with pytest.raises(InputError, match="classes"):
                kind(backbone, classes=too_few)


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("supervised", "smoothing", 1.0),
        ("supervised", "dropout", -0.1),
        ("triplet", "margin", 0.0),
        ("triplet", "mining", "soft"),
        ("triplet", "each", 1),
        ("arcface", "arc", 2.0),
        ("arcface", "scale", 0.0),
        ("cosface", "gap", -0.1),
        ("cosface", "sample", 0.0),
        ("simclr", "temperature", 0.0),
        ("simclr", "projection_dim", 0),
        ("moco", "queue_size", 0),
        ("moco", "momentum", 1.1),
        ("masked", "mask_ratio", 1.0),
        ("masked", "decoder_dim", 20),
        ("data2vec", "top_k", 0),
        ("autoencoder", "noise", 1.0),
    ],
)
def test_options_that_cannot_be_are_named(name, option, value):
    with pytest.raises(InputError, match=option):
        made(name, **{option: value})


def test_patches_need_a_vision_transformer_and_more_than_one():
    small = make_backbone("small", size=SIZE, channels=1, width=16)
    for name in ("masked", "data2vec"):
        with pytest.raises(InputError, match="vision transformer"):
            OBJECTIVES[name](small)
    whole = make_backbone("vit", size=SIZE, channels=1, **{**VIT, "patch_size": 16})
    with pytest.raises(InputError, match="none is hidden"):
        OBJECTIVES["masked"](whole)
