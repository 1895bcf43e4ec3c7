"""Checkpoints: whole or not there, two at a time; tensors and random states that come back to the bit."""

from __future__ import annotations

import random

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pip install 'vicino[torch]'")

from vicino.errors import ArtifactCorrupt, ArtifactError, InputError  # noqa: E402
from vicino.learning.checkpoints import (  # noqa: E402
    Checkpoints,
    as_arrays,
    as_tensors,
    moments,
    plain,
    put_back,
    random_states,
    seeded,
    set_moments,
    set_random_states,
    tensors,
)

CPU = torch.device("cpu")
numpys = np.random.mtrand._rand  # numpy's global generator


def opened(data, arrays):
    return data["n"], arrays["v"].tolist()


def test_the_last_two_are_kept_and_the_newest_is_opened(tmp_path):
    run = Checkpoints(tmp_path / "run", {"seed": 1})
    assert run.load(opened) is None
    for n in range(5):
        run.save({"n": n}, {"v": np.arange(n)})
    (tmp_path / "run" / "mine.txt").write_text("left alone")
    assert sorted(path.name for path in run.folder.iterdir()) == ["checkpoint-000004", "checkpoint-000005", "mine.txt"]
    assert Checkpoints(run.folder, {"seed": 1}).load(opened) == (4, [0, 1, 2, 3])


def test_what_is_damaged_makes_room_only_for_what_is_whole(tmp_path, caplog):
    """After a fall back, the one that was whole stays until there are two newer ones."""
    Checkpoints(tmp_path, {}).save({"n": 1}, {"v": np.zeros(1)})
    Checkpoints(tmp_path, {}).save({"n": 2}, {"v": np.zeros(1)})
    (tmp_path / "checkpoint-000002" / "manifest.json").write_text('{"format"')
    run = Checkpoints(tmp_path, {})
    assert run.load(opened) == (1, [0.0])
    run.save({"n": 3}, {"v": np.zeros(1)})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-000001", "checkpoint-000003"]
    for folder in tmp_path.iterdir():
        (folder / "arrays.safetensors").write_bytes(b"")
    with pytest.raises(ArtifactCorrupt, match="0 bytes where"):
        Checkpoints(tmp_path, {}).load(opened)


def test_contents_that_cannot_be_are_damage(tmp_path):
    run = Checkpoints(tmp_path, {})
    run.save({"n": 1}, {"v": np.zeros(1)})
    for error in (KeyError("v"), TypeError("v"), ValueError("v"), OverflowError("v")):

        def refuses(data, arrays, error=error):
            raise error

        with pytest.raises(ArtifactCorrupt):
            run.load(refuses)


def test_another_run_is_told_from_this_one(tmp_path):
    then = {"seed": 1, "model": {"a": [1], "b": [2]}, "gone": None, "old": 3}
    Checkpoints(tmp_path, then).save({"n": 1}, {"v": np.zeros(1)})
    with pytest.raises(ArtifactError) as caught:
        Checkpoints(tmp_path, {"seed": 2, "model": {"a": [1], "b": [3]}, "new": "x"}).load(opened)
    assert "seed was 1 and is 2; model b was [2] and is [3]; new was None and is 'x'; old was 3 and is None" in caught.value.what


def test_only_plain_data_identifies():
    assert plain({"a": (1, 2), "b": {"c": 1.5}}) == {"a": [1, 2], "b": {"c": 1.5}}
    for value in (object(), float("nan"), b"bytes"):
        with pytest.raises(InputError, match="plain data"):
            plain({"a": value})


def test_a_folder_that_cannot_be_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot be read"):
        Checkpoints(tmp_path / "file", {}).load(opened)
    with pytest.raises(ArtifactError, match="cannot write"), Checkpoints(tmp_path / "file", {}).held():
        pass
    ours, theirs = Checkpoints(tmp_path / "new", {}), Checkpoints(tmp_path / "new", {})
    with ours.held(), pytest.raises(ArtifactError, match="another process"), theirs.held():
        pass


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.int64, torch.bool]
)
@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (2, 3)])
def test_tensors_of_all_types_come_back_to_the_bit(tmp_path, dtype, shape):
    from safetensors.numpy import load, save

    value = {"x": torch.randn(shape).to(dtype)}
    arrays = load(save(as_arrays("w", value)))
    found = as_tensors("w", value, arrays)["x"]
    assert (found.dtype, found.shape) == (dtype, value["x"].shape)
    assert torch.equal(found.double(), value["x"].double())


def test_tensors_of_another_shape_type_or_name_are_refused():
    like = {"x": torch.zeros(2, 3)}
    arrays = as_arrays("w", like)
    for other in (torch.zeros(3, 2), torch.zeros(2, 3, dtype=torch.float64), torch.zeros(2, 3, dtype=torch.bfloat16)):
        with pytest.raises(ValueError, match="w/x has shape"):
            as_tensors("w", {"x": other}, arrays)
    with pytest.raises(KeyError):
        as_tensors("w", {"y": torch.zeros(1)}, arrays)
    with pytest.raises(ValueError, match="1 tensors more"):
        as_tensors("w", like, arrays | {"w/z": np.zeros(1)})


def test_tied_weights_come_once_and_stay_tied():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    model.append(model[0])
    model[1].register_buffer("made_anew", torch.zeros(3), persistent=False)
    kept = {name: tensor.clone() for name, tensor in tensors(model).items()}
    assert set(kept) == {"0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked"}
    before = model[0].weight
    model(torch.randn(4, 2))
    torch.nn.init.zeros_(model[2].weight)
    put_back(model, kept)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in tensors(model).items())
    assert model[0].weight is before is model[2].weight


def test_adamw_goes_on_from_its_moments():
    """Against an optimizer that was never taken apart; one parameter has no gradient before the second half."""
    ends = []
    for apart in (False, True):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
        trained = dict(model.named_parameters())

        def adamw(model=model):
            return torch.optim.AdamW(
                [{"params": [each.weight for each in model]}, {"params": [each.bias for each in model]}], lr=0.1, fused=True
            )

        optimizer = adamw()
        for step in range(6):
            if apart and step == 3:
                saved, optimizer = moments(optimizer, trained), adamw()
                assert len(saved) == 6
                set_moments(optimizer, trained, saved)
            (model if step >= 3 else model[0])(torch.ones(2, 3)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        ends.append(torch.cat([each.detach().flatten() for each in trained.values()]))
    assert torch.equal(*ends)
    with pytest.raises(ValueError, match="has shape"):
        set_moments(optimizer, trained, saved | {"optimizer/0.bias/exp_avg": np.zeros(2, dtype=np.float32)})


def test_all_generators_draw_again_what_they_drew():
    model = torch.nn.Linear(1, 1)
    model.own = torch.Generator().manual_seed(1)

    def drawn():
        return (
            *(torch.rand(1).item(), torch.rand(1, generator=model.own).item()),
            *(random.random(), random.gauss(), numpys.random(), numpys.normal()),
        )

    for _ in range(2):  # with and without a second Gaussian number waiting
        states = random_states(model, CPU)
        first = drawn()
        set_random_states(model, CPU, states)
        assert drawn() == first
        random.gauss(), numpys.normal()
    before = random_states(model, CPU)
    with seeded(model, CPU, 3):
        first = drawn()
    with seeded(model, CPU, 3):
        assert drawn()[2:] == first[2:]
    after = random_states(model, CPU)
    assert all(np.array_equal(before[name], after[name], equal_nan=before[name].dtype.kind == "f") for name in before)


def test_another_generator_of_numpy_is_left_alone():
    """Somebody may have put another in the place of numpy's own: we cannot write that down."""
    usual = np.random.get_bit_generator()
    np.random.set_bit_generator(np.random.PCG64(1))
    try:
        states = random_states(torch.nn.Linear(1, 1), CPU)
        assert "numpy" not in states
        set_random_states(torch.nn.Linear(1, 1), CPU, states)
    finally:
        np.random.set_bit_generator(usual)
