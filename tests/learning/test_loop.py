"""The loop against AdamW by hand; going on after a kill, to the bit; two processes that are one; every way to end."""

from __future__ import annotations

import copy
import logging
import math
import os
import random
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pip install 'vicino[torch]'")

from vicino.errors import ArtifactCorrupt, ArtifactError, DimensionMismatch, EmptyInput, InputError  # noqa: E402
from vicino.learning import devices  # noqa: E402
from vicino.learning.loop import InParts, Plan, Run, Settings, fit, plan  # noqa: E402
from vicino.learning.losses.in_batch import Temperature, info_nce  # noqa: E402
from vicino.learning.losses.margins import ClassMargins  # noqa: E402
from vicino.learning.processor import multiplies_bfloat16  # noqa: E402
from vicino.progress import listen  # noqa: E402

HERE = Path(__file__)
numpys = np.random.mtrand._rand  # numpy's global generator, which libraries draw from
EXACT = {"precision": "float32", "threads": 1}


class Numbered:
    """Batches of rows of a table, in an order that the number and the seed give."""

    def __init__(self, *tables, size: int = 4, drop_last: bool = True) -> None:
        self.tables, self.size, self.drop_last = tables, size, drop_last

    def __len__(self) -> int:
        n = len(self.tables[0])
        return n // self.size if self.drop_last else -(-n // self.size)

    def epoch(self, number, seed):
        order = torch.randperm(len(self.tables[0]), generator=torch.Generator().manual_seed(1000 * seed + number))
        for chosen in list(order.split(self.size))[: len(self)]:
            yield tuple(table[chosen] for table in self.tables)


def regression(n: int = 24, size: int = 4):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, 3, generator=generator)
    return Numbered(x, x @ torch.tensor([[1.0], [-2.0], [0.5]]) + 0.3, size=size)


def squared(model, batch):
    x, y = batch
    return (model(x) - y).square().mean()


def linear(seed: int = 0):
    torch.manual_seed(seed)
    return torch.nn.Linear(3, 1)


def state(model) -> dict:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_same(ours, theirs) -> None:
    ours, theirs = (each if isinstance(each, dict) else state(each) for each in (ours, theirs))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs | ours)


# One step, by hand ----------------------------------------------------------------------------------------------------


def test_two_steps_of_adamw_with_warm_up_by_hand():
    """The gradient is 2 for both weight and bias, so that each step moves by its rate: .05, .1; only the matrix decays."""
    model = torch.nn.Linear(1, 1)
    torch.nn.init.ones_(model.weight)
    torch.nn.init.zeros_(model.bias)
    settings = Settings(epochs=2, learning_rate=0.1, weight_decay=0.5, warmup=1.0, clip=None, **EXACT)
    run = fit(model, Numbered(torch.ones(4, 1)), lambda model, batch: 2 * model(batch[0]).mean(), settings)
    assert model.weight.item() == pytest.approx((1 * (1 - 0.05 * 0.5) - 0.05) * (1 - 0.1 * 0.5) - 0.1, abs=1e-6)
    assert model.bias.item() == pytest.approx(-0.15, abs=1e-6)
    assert run.losses == pytest.approx([2.0, 2 * (0.925 - 0.05)])
    assert (run.ended, run.steps, run.examples, run.kept, run.best, run.resumed) == ("whole", 2, 8, 2, None, None)
    assert model.weight.grad is None


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("linear", [0.5, 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]),
        ("constant", [0.5, 1, 1, 1, 1, 1, 1, 1]),
        ("cosine", [0.5, 1, 1, (1 + math.sqrt(0.75)) / 2, 0.75, 0.5, 0.25, (1 - math.sqrt(0.75)) / 2]),
    ],
)
def test_schedules(schedule, expected):
    settings = Settings(learning_rate=0.3, warmup=0.25, schedule=schedule)
    assert [settings.rate(step, 8) for step in range(8)] == pytest.approx([0.3 * share for share in expected])
    assert Settings(warmup=0, schedule=schedule).rate(0, 8) == 2e-5
    assert Settings(warmup=1.0, schedule=schedule).rate(7, 8) == 2e-5


def slow_adamw(model, batches, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """AdamW with clipping and a schedule, plainly, for linear regression."""
    values = [model.weight.detach().numpy().astype(np.float64).T, model.bias.detach().numpy().astype(np.float64)]
    first, second = [np.zeros_like(value) for value in values], [np.zeros_like(value) for value in values]
    step, steps = 0, settings.epochs * len(batches)
    for epoch in range(settings.epochs):
        for x, y in batches.epoch(epoch, settings.seed):
            error = x.numpy() @ values[0] + values[1] - y.numpy()
            slopes = [2 * x.numpy().T @ error / len(x), 2 * error.mean(axis=0)]
            norm = math.sqrt(sum((slope**2).sum() for slope in slopes))
            rate, step = settings.rate(step, steps), step + 1
            for value, slope, m, v, decay in zip(values, slopes, first, second, (settings.weight_decay, 0), strict=True):
                slope = slope * min(1, (settings.clip or math.inf) / norm)
                m += 0.1 * (slope - m)
                v += 0.001 * (slope**2 - v)
                value *= 1 - rate * decay
                value -= rate * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    return values[0].T, values[1]


@pytest.mark.parametrize(("schedule", "clip"), [("linear", 0.5), ("cosine", None), ("constant", 1.0)])
def test_against_a_slow_adamw(schedule, clip):
    model, batches = linear(), regression()
    settings = Settings(epochs=5, learning_rate=0.1, weight_decay=0.1, schedule=schedule, clip=clip, seed=3, **EXACT)
    weight, bias = slow_adamw(model, batches, settings)
    fit(model, batches, squared, settings)
    np.testing.assert_allclose(model.weight.detach(), weight, atol=1e-5)
    np.testing.assert_allclose(model.bias.detach(), bias, atol=1e-5)


# A model with all that a checkpoint must hold -------------------------------------------------------------------------


class Restless(torch.nn.Module):
    """Dropout, batch norm, tied and frozen weights, one of bfloat16, a generator of its own, and a slow copy that follows."""

    def __init__(self, width: int = 6) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = torch.nn.Linear(3, width)
        self.norm = torch.nn.BatchNorm1d(width)
        self.drop = torch.nn.Dropout(0.4)
        self.middle = torch.nn.Linear(width, width, bias=False)
        self.tied = self.middle
        self.frozen = torch.nn.Linear(width, width).requires_grad_(False)
        self.slow = copy.deepcopy(self.first).requires_grad_(False)
        self.last = torch.nn.Linear(width, 1)
        self.scale = torch.nn.Parameter(torch.ones((), dtype=torch.bfloat16))
        self.unused = torch.nn.Parameter(torch.ones(2))
        self.own = torch.Generator().manual_seed(9)

    def forward(self, x):
        x = self.tied(self.middle(self.drop(self.norm(self.first(x) + self.slow(x))))) + self.frozen(self.first(x))
        if self.training:
            with torch.no_grad():
                self.slow.weight.lerp_(self.first.weight, 0.1)
            x = x + 0.1 * torch.randn(x.shape, generator=self.own)
        return self.last(x) * self.scale


class Chancy(Numbered):
    """Batches that draw from everybody's generators, at once (as torch's DataLoader does) and while they are made."""

    def epoch(self, number, seed):
        torch.rand(())
        return self._made(number, seed)

    def _made(self, number, seed):
        for x, y in super().epoch(number, seed):
            yield x + 0.01 * (torch.rand(()) + numpys.normal() + random.gauss()), y


def restless(folder=None, loss=squared, **more) -> tuple[Restless, Run]:
    model, whole = Restless(), {"epochs": 3, "learning_rate": 0.05, "evaluate_every": 4.0, **EXACT}
    settings = Settings(**{**whole, **more.pop("settings", {})})

    def evaluate(network) -> float:
        random.random(), numpys.normal()  # what an evaluation draws does not change what is learnt
        return -float(sum(squared(network, batch) for batch in regression().epoch(0, 0))) - torch.rand(()).item() / 100

    tables = regression(32).tables
    return model, fit(model, Chancy(*tables), loss, settings, folder=folder, **{"evaluate": evaluate, **more})


@pytest.fixture(scope="module")
def undisturbed():
    return restless()


def assert_undisturbed(found, undisturbed) -> None:
    (model, run), (expected, whole) = found, undisturbed
    assert_same(model, expected)
    assert (run.losses, run.metrics, run.kept, run.examples) == (whole.losses, whole.metrics, whole.kept, whole.examples)
    assert run.ended == "whole"


def dying(where: str, folder: str) -> None:
    """In a process of its own: train, and be killed at step 11, in the middle of it or while its checkpoint is written."""
    steps = 0

    def loss(model, batch):
        nonlocal steps
        steps += 1
        found = squared(model, batch)
        if steps == 12 and where == "a step":
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    if where == "writing":
        from safetensors import numpy as written

        original = written.save_file

        def save_file(*arguments):
            original(*arguments)
            if steps == 12:
                os.kill(os.getpid(), signal.SIGKILL)

        written.save_file = save_file
    restless(folder, loss, settings={"save_minutes": 0})


@pytest.mark.long
@pytest.mark.parametrize("where", ["a step", "writing"])
def test_what_is_killed_goes_on_to_the_same_bits(tmp_path, undisturbed, where):
    folder = tmp_path / "run"
    program = f"import runpy; runpy.run_path({str(HERE)!r})['dying']({where!r}, {str(folder)!r})"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    half = list(folder.glob(".checkpoint-*"))
    assert len(half) == (where == "writing")
    found = restless(folder)
    assert found[1].resumed == 11
    assert_undisturbed(found, undisturbed)
    assert len(list(folder.glob("checkpoint-*"))) == 2
    assert not list(folder.glob(".checkpoint-*"))


def test_weights_that_lie_otherwise_in_memory_go_on_as_well(tmp_path):
    """Moments of a convolution laid out channels_last meet their own weights, and not those at their place in a saved file."""

    class Convolved(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.convolve = torch.nn.Conv2d(3, 5, 3).to(memory_format=torch.channels_last)

        def forward(self, images):
            return self.convolve(images).square().mean((2, 3)).sum(1, keepdim=True)

    generator = torch.Generator().manual_seed(0)
    tables = torch.randn(16, 3, 6, 6, generator=generator), torch.randn(16, 1, generator=generator)
    settings = Settings(epochs=2, learning_rate=0.05, **EXACT)
    whole, half = Convolved(), Convolved()
    expected = fit(whole, Numbered(*tables), squared, settings, device="cpu")

    def stopping(model, batch, *, steps=[0]):  # noqa: B006
        steps[0] += 1
        if steps[0] == 3:
            signal.raise_signal(signal.SIGINT)
        return squared(model, batch)

    assert fit(half, Numbered(*tables), stopping, settings, folder=tmp_path, device="cpu").ended == "interrupted"
    resumed = Convolved()
    run = fit(resumed, Numbered(*tables), squared, settings, folder=tmp_path, device="cpu")
    assert (run.resumed, run.losses) == (3, expected.losses)
    assert_same(resumed, whole)


def test_what_is_over_is_not_done_again(tmp_path, undisturbed):
    assert_undisturbed(restless(tmp_path), undisturbed)

    def never(model, batch):
        raise AssertionError

    found = restless(tmp_path, never)
    assert found[1].resumed == 24
    assert_undisturbed(found, undisturbed)


@pytest.mark.parametrize("at", [1, 4, 8, 11, 16, 24])
def test_ctrl_c_ends_the_step_saves_and_goes_on_later(tmp_path, undisturbed, at):
    """At any step: before an evaluation, at the end of an epoch (8, 16), in the very last."""

    def loss(model, batch, *, steps=[0]):  # noqa: B006
        steps[0] += 1
        if steps[0] == at:
            signal.raise_signal(signal.SIGINT)
        return squared(model, batch)

    before = signal.getsignal(signal.SIGINT)
    _, run = restless(tmp_path, loss)
    assert (run.ended, run.steps) == ("interrupted", at)
    assert signal.getsignal(signal.SIGINT) is before
    assert_undisturbed(restless(tmp_path), undisturbed)


@pytest.mark.parametrize("at", [0, 8, 24])
def test_ctrl_c_while_evaluating_leaves_the_evaluation_for_later(tmp_path, at):
    seen, stopping = [], True

    def evaluate(model) -> float:
        if stopping and len(seen) == at // 4:
            signal.raise_signal(signal.SIGINT)
        seen.append(len(seen))
        return float(seen[-1])

    model, run = restless(tmp_path, evaluate=evaluate)
    assert (run.ended, run.steps, len(run.metrics)) == ("interrupted", at, at // 4)
    stopping = False
    model, run = restless(tmp_path, evaluate=evaluate)
    assert (run.ended, run.kept, run.metrics) == ("whole", 24, {step: step / 4 for step in range(0, 25, 4)})
    assert_same(model, restless(evaluate=by_steps(range(9)))[0])


def test_a_second_ctrl_c_insists():
    def loss(model, batch):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(linear(), regression(), loss, Settings(**EXACT))
    assert signal.getsignal(signal.SIGINT) is before


def test_where_signals_are_not_ours_training_goes_on():
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(fit, linear(), regression(), squared, Settings(**EXACT)).result().ended == "whole"
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert interrupted(None)[1].ended == "whole"
    finally:
        signal.signal(signal.SIGINT, usual)


# Checkpoints of others, damaged ones, full disks ----------------------------------------------------------------------


def interrupted(folder, at: int = 9, **more):
    def loss(model, batch, *, steps=[0]):  # noqa: B006
        steps[0] += 1
        if steps[0] == at:
            signal.raise_signal(signal.SIGINT)
        return squared(model, batch)

    return restless(folder, loss, **more)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"settings": {"learning_rate": 0.1, "seed": 1}}, "learning_rate was 0.05 and is 0.1; seed was 0 and is 1"),
        ({"fingerprint": {"data": "b"}}, "fingerprint data was 'a' and is 'b'"),
        ({"settings": {"precision": "bfloat16"}}, "precision was 'float32' and is 'bfloat16'"),
    ],
)
def test_a_checkpoint_of_another_run_says_what_differs(tmp_path, more, told):
    interrupted(tmp_path, fingerprint={"data": "a"})
    with pytest.raises(ArtifactError, match=told) as caught:
        restless(tmp_path, **{"fingerprint": {"data": "a"}, **more})
    assert "another folder" in caught.value.mend
    _, run = restless(tmp_path, fingerprint={"data": "a"}, settings={"threads": 2, "save_minutes": 1.0})  # these may differ
    assert (run.resumed, run.ended) == (9, "whole")


def test_a_checkpoint_of_another_model_or_of_other_data_says_what_differs(tmp_path):
    fit(linear(), regression(), squared, Settings(**EXACT), folder=tmp_path)
    with pytest.raises(ArtifactError, match=r"model weight was .*1, 3.* and is .*2, 3"):
        fit(torch.nn.Linear(3, 2), regression(), squared, Settings(**EXACT), folder=tmp_path)
    frozen = linear()
    frozen.bias.requires_grad_(False)
    with pytest.raises(ArtifactError, match=r"model bias was .*True.* and is .*False"):
        fit(frozen, regression(), squared, Settings(**EXACT), folder=tmp_path)
    with pytest.raises(ArtifactError, match="steps of an epoch was 6 and is 4"):
        fit(linear(), regression(16), squared, Settings(**EXACT), folder=tmp_path)
    with pytest.raises(InputError, match="plain data"):
        fit(linear(), regression(), squared, Settings(**EXACT), folder=tmp_path, fingerprint={"data": object()})


def checkpoints(folder) -> list[Path]:
    return sorted(folder.glob("checkpoint-*"))


def test_a_truncated_checkpoint_falls_back_to_the_one_before(tmp_path, undisturbed, caplog):
    interrupted(tmp_path)
    newest = checkpoints(tmp_path)[-1] / "arrays.safetensors"
    os.truncate(newest, newest.stat().st_size // 2)
    with caplog.at_level(logging.WARNING):
        found = restless(tmp_path)
    assert "the checkpoint before it is tried" in caplog.text
    assert found[1].resumed == 8
    assert_undisturbed(found, undisturbed)


def test_where_all_checkpoints_are_damaged_nothing_is_overwritten(tmp_path):
    interrupted(tmp_path)
    for folder in checkpoints(tmp_path):
        (folder / "manifest.json").write_text("{}")
    with pytest.raises(ArtifactCorrupt, match="damaged") as caught:
        restless(tmp_path)
    assert "begin anew" in caught.value.mend
    assert len(checkpoints(tmp_path)) == 2


@pytest.mark.parametrize(
    "change",
    [
        lambda data, arrays: arrays.pop("weights/first.weight"),
        lambda data, arrays: arrays.update({"weights/first.weight": np.zeros((2, 2), dtype=np.float32)}),
        lambda data, arrays: arrays.update({"weights/first.weight": arrays["weights/first.weight"].astype(np.float64)}),
        lambda data, arrays: arrays.update({"weights/other": np.zeros(1)}),
        lambda data, arrays: arrays.update({"optimizer/last.bias/exp_avg": np.zeros(5, dtype=np.float32)}),
        lambda data, arrays: arrays.update({"losses": np.zeros(1000)}),
        lambda data, arrays: arrays.update({"random/0/torch": np.zeros(3, dtype=np.uint8)}),
        lambda data, arrays: arrays.update({"random/0/python": np.full(626, -1)}),
        lambda data, arrays: arrays.update({"random/0/numpy": np.full(626, -1)}),
        lambda data, arrays: arrays.pop("random/0/numpy"),
        lambda data, arrays: data.update({"kept": 10**6}),
        lambda data, arrays: data.update({"kept": None}),
        lambda data, arrays: data.update({"metrics": [[0, 1], 3]}),
        lambda data, arrays: data.pop("metrics"),
        lambda data, arrays: data.update({"identity": 3}),
    ],
)
def test_a_checkpoint_that_cannot_be_is_damaged_whatever_its_checksums_say(tmp_path, undisturbed, change):
    from vicino import artifacts

    interrupted(tmp_path)
    newest = checkpoints(tmp_path)[-1]
    artifact = artifacts.read(newest)
    data, arrays = dict(artifact.data), dict(artifact.arrays)
    change(data, arrays)
    artifacts.write(newest, kind="checkpoint", data=data, arrays=arrays)
    found = restless(tmp_path)
    assert found[1].resumed == 8
    assert_undisturbed(found, undisturbed)


@pytest.mark.parametrize("limit", [100, 2_000])
def test_a_full_disk_leaves_the_checkpoints_whole(tmp_path, undisturbed, limit):
    import resource

    interrupted(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, usual[1]))  # no file may grow beyond
    try:
        with pytest.raises(ArtifactError, match="free some space"):
            restless(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert_undisturbed(restless(tmp_path), undisturbed)


# Several processes ----------------------------------------------------------------------------------------------------


def pairs(n: int = 45):
    generator = torch.Generator().manual_seed(1)
    left = torch.randn(n, 5, generator=generator)
    return Numbered(left, left + 0.3 * torch.randn(n, 5, generator=generator), size=8, drop_last=False)  # the last has 5


def towers():
    torch.manual_seed(0)
    tower = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 4))
    return torch.nn.ModuleDict({"tower": tower, "temperature": Temperature(0.2), "idle": torch.nn.Linear(2, 2)})


def contrast(model, batch, left, right):
    assert len(left) == len(batch[0])
    return info_nce(left, right, temperature=model["temperature"](), symmetric=True)


IN_PARTS = InParts((lambda model, batch: model["tower"](batch[0]), lambda model, batch: model["tower"](batch[1])), contrast)


def mean(model, batch):
    return (model["tower"](batch[0]) - batch[1][:, :4]).square().mean()


def whole_batch(model, batch):
    left, right = (devices.gathered(model["tower"](part)) for part in batch)
    return info_nce(left, right, temperature=model["temperature"]())


CASES = {
    "mean": (mean, {}),
    "vectors": (IN_PARTS, {}),
    "cached": (IN_PARTS, {"small_batch": 3}),
    "gathered": (whole_batch, {}),
}


def trained(case: str, folder=None, interrupt: int | None = None) -> tuple:
    loss, more = CASES[case]
    settings = Settings(epochs=3, learning_rate=0.02, evaluate_every=3.0, **{**EXACT, **more})
    model, steps = towers(), [0]

    def stopping(model, batch):
        steps[0] += 1
        if steps[0] == interrupt and devices.find_place("cpu").rank == 1:
            signal.raise_signal(signal.SIGINT)  # one process is told, and both end
        return loss(model, batch)

    def evaluate(network) -> float:
        x, y = pairs().tables
        return -float((network["tower"](x) - network["tower"](y)).square().mean())

    found = stopping if interrupt else loss
    return model, fit(model, pairs(), found, settings, evaluate=evaluate, folder=folder, device="cpu")


def one_of_two(rank: int, folder: str) -> None:
    """In a process of its own: train all cases, and one of them in two goes."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    results = {}
    for case in CASES:
        model, run = trained(case)
        results |= {f"{case}/{name}": tensor.numpy() for name, tensor in model.state_dict().items()}
        results |= {f"{case}/losses": np.array(run.losses), f"{case}/metrics": np.array(list(run.metrics.values()))}
    _, run = trained("mean", Path(folder, "run"), interrupt=7)
    assert (run.ended, run.steps) == ("interrupted", 7), run
    model, run = trained("mean", Path(folder, "run"))
    assert run.resumed == 7
    assert all(np.array_equal(results[f"mean/{name}"], tensor.numpy()) for name, tensor in model.state_dict().items())
    with pytest.raises(InputError, match="checkpoints of steps 18, 0"):
        trained("mean", Path(folder, "run" if rank == 0 else "elsewhere"))
    with pytest.raises(InputError, match="average away"):
        fit(ClassMargins(3, 4, sharded=True), regression(), squared, Settings(**EXACT), device="cpu")
    np.savez(Path(folder, f"{rank}.npz"), **results)
    torch.distributed.destroy_process_group()


def two_processes(call: str, **shared: str) -> list[str]:
    """What two processes print that run `call`, a line of this file that may name the `rank`."""
    running = []
    for rank in range(2):
        told = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", **shared}
        told |= {"RANK": str(rank), "LOCAL_RANK": str(rank)} if "WORLD_SIZE" in shared else {}
        program = f"import runpy; globals().update(runpy.run_path({str(HERE)!r})); rank = {rank}; {call}"
        program += "; import sys; sys.stdout.flush(); os._exit(0)"  # gloo's threads sometimes abort an interpreter that winds up
        running.append(subprocess.Popen([sys.executable, "-c", program], env=told, stdout=subprocess.PIPE, text=True))
    try:
        printed = [process.communicate(timeout=120)[0] for process in running]
        assert [process.returncode for process in running] == [0, 0]
    finally:
        for process in running:
            process.kill()
    return printed


def test_processes_that_a_launcher_started_find_one_another():
    """By what torchrun and `accelerate launch` tell their processes."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = str(listening.getsockname()[1])
    call = "place = devices.find_place('cpu'); print(place.rank, place.world, place.sum(rank + 1, 5)); "
    printed = two_processes(
        call + "torch.distributed.destroy_process_group()",
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=port,
        WORLD_SIZE="2",
    )
    assert printed == ["0 2 [3.0, 10.0]\n", "1 2 [3.0, 10.0]\n"]


@pytest.mark.long
def test_two_processes_are_one(tmp_path):
    """Means and comparisons, cached and gathered, batches that do not halve, evaluation, interruption and resuming."""
    two_processes(f"one_of_two(rank, {str(tmp_path)!r})")
    for case in CASES:
        model, run = trained(case)
        for rank in range(2):
            found = np.load(tmp_path / f"{rank}.npz")
            np.testing.assert_allclose(found[f"{case}/losses"], run.losses, atol=1e-5)
            np.testing.assert_allclose(found[f"{case}/metrics"], list(run.metrics.values()), atol=1e-5)
            for name, tensor in model.state_dict().items():
                np.testing.assert_allclose(found[f"{case}/{name}"], tensor, atol=1e-5, err_msg=f"{case} {name}")


def test_what_two_processes_cannot_share_is_named():
    place = devices.Place(torch.device("cpu"), 0, 2)
    assert [devices.Place(torch.device("cpu"), rank, 3).share(8) for rank in range(3)] == [(0, 2), (2, 5), (5, 8)]
    with pytest.raises(InputError, match="1 examples cannot be shared by 2"):
        place.share(1)
    with pytest.raises(DimensionMismatch, match="3 and 4"):
        devices.size({"a": torch.zeros(3), "b": [torch.zeros(4)]})
    with pytest.raises(DimensionMismatch, match="no examples"):
        devices.size((1.0, "name", torch.zeros(())))
    with pytest.raises(InputError, match="no device 'nonsense'"):
        devices.find_place("nonsense")


def test_batches_are_cut_whatever_they_are_made_of():
    from collections import namedtuple

    Named = namedtuple("Named", "x texts scale")
    batch = {"a": Named(torch.arange(4), ["a", "b", "c", "d"], 2.0), "b": [torch.arange(8).reshape(4, 2)], "c": np.arange(4)}
    assert devices.size(batch) == 4
    cut = devices.rows(devices.on(batch, torch.device("cpu")), 1, 3)
    assert cut["a"].x.tolist() == [1, 2]
    assert cut["a"][1:] == (["b", "c"], 2.0)
    assert (cut["b"][0].tolist(), cut["c"].tolist()) == ([[2, 3], [4, 5]], [1, 2])


def test_a_batch_that_is_never_cut_may_have_any_shapes():
    class Graphs(Numbered):
        def epoch(self, number, seed):
            for x, y in super().epoch(number, seed):
                yield x, y, torch.arange(9)

    run = fit(linear(), Graphs(*regression().tables), lambda model, batch: squared(model, batch[:2]), Settings(**EXACT))
    assert run.examples == 24
    parts = InParts((lambda model, batch: model(batch[0]),), lambda model, batch, vectors: vectors.mean())
    with pytest.raises(DimensionMismatch, match="4 and 9"):
        fit(linear(), Graphs(*regression().tables), parts, Settings(**EXACT))


# Parts ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_cached_gradients_are_those_of_the_whole(precision):
    """Under bfloat16 too, where a weight that is rounded once without gradients must not serve afterwards."""
    models = []
    for small in (None, 3):
        models.append(towers())
        settings = Settings(learning_rate=0.01, small_batch=small, precision=precision, threads=1)
        fit(models[-1], pairs(), IN_PARTS, settings, device="cpu")
    for ours, theirs in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5 if precision == "float32" else 2e-3, rtol=0)
    assert not torch.equal(models[1]["tower"][0].weight, towers()["tower"][0].weight)


# Ends -----------------------------------------------------------------------------------------------------------------


def by_steps(values):
    """An evaluation that gives one value after another."""
    left = iter(values)
    return lambda model: next(left)


def snapshots(model, batches, settings, **more) -> list[dict]:
    """The weights before each step."""
    found = []

    def loss(network, batch):
        found.append(state(network))
        return squared(network, batch)

    fit(model, batches, loss, settings, **more)
    return found


def test_the_best_weights_are_put_back_and_patience_ends_it():
    settings = Settings(epochs=9, learning_rate=0.05, evaluate_every=2.0, patience=2, **EXACT)
    before = snapshots(linear(), regression(), settings)
    model = linear()
    run = fit(model, regression(), squared, settings, evaluate=by_steps([0.1, 0.5, 0.7, 0.7, 0.6]))
    assert (run.ended, run.steps, run.best, run.kept) == ("early", 8, 0.7, 4)
    assert run.metrics == {0: 0.1, 2: 0.5, 4: 0.7, 6: 0.7, 8: 0.6}
    assert_same(model, before[4])


def test_a_base_that_nothing_betters_comes_back():
    model = linear()
    run = fit(model, regression(), squared, Settings(epochs=2, learning_rate=0.1, **EXACT), evaluate=by_steps([1, 0, 0]))
    assert (run.ended, run.kept, list(run.metrics)) == ("whole", 0, [0, 6, 12])
    assert_same(model, linear())


def test_what_ended_early_has_ended(tmp_path):
    settings = Settings(epochs=9, learning_rate=0.05, patience=1, **EXACT)
    first, second = linear(), linear()
    run = fit(first, regression(), squared, settings, evaluate=by_steps([1, 2, 0]), folder=tmp_path)
    again = fit(second, regression(), squared, settings, evaluate=by_steps([]), folder=tmp_path)
    assert (again.ended, again.resumed, again.metrics) == ("early", 12, run.metrics)
    assert_same(first, second)


@pytest.mark.parametrize("what", ["loss", "gradient", "infinite"])
@pytest.mark.parametrize("measured", [True, False])
def test_numbers_that_are_not_finite_put_the_last_good_weights_back(caplog, what, measured):
    settings = Settings(epochs=3, learning_rate=0.05, evaluate_every=2.0, **EXACT)
    before, steps = snapshots(linear(), regression(), settings), [0]

    def loss(network, batch):
        steps[0] += 1
        found = squared(network, batch)
        if steps[0] < 8:
            return found
        if what == "gradient":  # the square root of nothing: 0, of infinite slope
            return found + (found - found.detach()).abs().sqrt()
        return found * (math.inf if what == "infinite" else math.nan)

    model = linear()
    with caplog.at_level(logging.WARNING):
        run = fit(model, regression(), loss, settings, evaluate=by_steps([1, 3, 2, 2]) if measured else None)
    kept = 2 if measured else 6
    assert (run.ended, run.steps, run.kept) == ("diverged", 7, kept)
    assert_same(model, before[kept])
    assert f"diverged after step 7: the weights of step {kept} are put back" in caplog.text


def test_a_metric_that_is_no_number():
    settings = Settings(epochs=3, learning_rate=0.05, **EXACT)
    model = linear()
    run = fit(model, regression(), squared, settings, evaluate=by_steps([1, math.nan]))
    assert (run.ended, run.steps, run.kept) == ("diverged", 6, 0)
    assert_same(model, linear())
    with pytest.raises(InputError, match="untrained"):
        fit(linear(), regression(), squared, settings, evaluate=by_steps([math.nan]))


# What is around it ----------------------------------------------------------------------------------------------------


def test_all_is_left_as_it_was():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 1))
    model.eval()
    model[2].train()
    torch.manual_seed(5), random.seed(5), numpys.seed(5)
    expected = torch.rand(1).item(), random.random(), numpys.rand()
    torch.manual_seed(5), random.seed(5), numpys.seed(5)
    threads, seen = torch.get_num_threads(), []

    def evaluate(network):
        seen.append((network[1].training, torch.is_grad_enabled(), torch.get_num_threads()))
        return 0.0

    def loss(network, batch):
        seen.append((network[1].training, torch.is_grad_enabled(), torch.get_num_threads()))
        return squared(network, batch)

    fit(model, regression(4), loss, Settings(**EXACT), evaluate=evaluate)
    assert seen == [(False, False, 1), (True, True, 1), (False, False, 1)]
    assert [module.training for module in model.modules()] == [False, False, False, True]
    assert torch.get_num_threads() == threads
    assert (torch.rand(1).item(), random.random(), numpys.rand()) == expected


def test_the_seed_decides():
    def dropped(seed: int):
        model = Restless()
        fit(model, regression(), squared, Settings(learning_rate=0.1, seed=seed, **EXACT))
        return model

    assert_same(dropped(3), dropped(3))
    assert not torch.equal(dropped(3).first.weight, dropped(4).first.weight)


def test_frozen_weights_stay_and_tied_ones_stay_tied():
    model = Restless()
    before = state(model)
    fit(model, regression(), squared, Settings(epochs=2, learning_rate=0.1, **EXACT), evaluate=by_steps([0, 1, 0]))
    after = state(model)
    assert torch.equal(after["frozen.weight"], before["frozen.weight"])
    assert not torch.equal(after["scale"], before["scale"])
    assert model.tied is model.middle
    assert not torch.equal(after["middle.weight"], before["middle.weight"])


def test_progress_tells_the_loss_and_how_far(monkeypatch, tmp_path):
    monkeypatch.setattr("vicino.progress._INTERVAL", 0)
    events = []
    with listen(events.append):
        fit(
            linear(),
            regression(),
            lambda *both: squared(*both) * 0 + 0.5,
            Settings(**EXACT),
            folder=tmp_path,
            label="fine-tuning",
        )
    assert (events[-1].label, events[-1].done, events[-1].total, events[-1].unit) == ("fine-tuning, loss 0.500", 6, 6, "steps")
    assert len(events) == 9  # start, what a checkpoint had done, six steps, end


@pytest.mark.skipif(not multiplies_bfloat16(), reason="this processor does not multiply bfloat16")
def test_bfloat16_where_the_processor_has_it():
    losses = []
    for precision in ("auto", "bfloat16", "float32"):
        model = towers()
        losses.append(
            fit(model, pairs(), IN_PARTS, Settings(learning_rate=0.01, precision=precision, threads=1), device="cpu").losses
        )
        assert all(each.dtype == torch.float32 for each in model.parameters())
    assert losses[0] == losses[1] != losses[2]
    assert losses[1] == pytest.approx(losses[2], abs=0.02)


@pytest.mark.parametrize("found", [True, False])
def test_what_the_processor_has_is_the_usual_precision(monkeypatch, found):
    monkeypatch.setattr(devices, "multiplies_bfloat16", lambda: found)
    assert devices.usual_precision(torch.device("cpu")) == ("bfloat16" if found else "float32")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_on_a_gpu_what_is_killed_goes_on(tmp_path, precision):
    def on_gpu(folder=None, loss=IN_PARTS, **more):
        model = towers()
        settings = Settings(epochs=2, learning_rate=0.01, small_batch=4, precision=precision)
        return model, fit(model, pairs(), loss, settings, folder=folder, device="cuda", **more)

    expected, run = on_gpu()
    assert expected["tower"][0].weight.device.type == "cuda"
    stopped = iter(range(99))

    def of(*arguments):
        if next(stopped) == 4:
            signal.raise_signal(signal.SIGINT)
        return contrast(*arguments)

    _, half = on_gpu(tmp_path, InParts(IN_PARTS.towers, of))
    assert (half.ended, half.steps) == ("interrupted", 5)
    model, again = on_gpu(tmp_path)
    assert again.losses == pytest.approx(run.losses, abs=1e-4)
    for ours, theirs in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


# The plan -------------------------------------------------------------------------------------------------------------


def test_the_plan_counts_by_hand_and_changes_nothing():
    """8 rows: Tanh and the two linear layers remember (8, 5) and (8, 8) numbers of each tower."""
    model = towers()
    model["tower"][0].weight.requires_grad_(False)
    before, chance = state(model), torch.get_rng_state()
    found = plan(model, pairs(), IN_PARTS, Settings(epochs=3, **EXACT), device="cpu")
    numbers, trained = 5 * 8 + 8 + 8 * 4 + 4 + 1 + 6, 8 + 8 * 4 + 4 + 1 + 6
    assert (found.steps, found.epoch_steps, found.trained, found.frozen) == (18, 6, trained, 40)
    assert (found.weights, found.kept) == (4 * numbers, 4 * numbers)
    assert found.gradients == 4 * (trained - 6)  # what the loss does not reach has none
    assert found.optimizer == 2 * 4 * (trained - 6) + 4 * 4  # two moments, and the number of steps of each of four
    assert found.bytes == found.weights + found.gradients + found.optimizer + found.activations + found.kept
    assert (found.precision, found.device, found.processes) == ("float32", "cpu", 1)
    assert found.seconds == pytest.approx(18 * found.step_seconds)
    assert "18 steps, 6 in an epoch" in str(found)
    assert_same(model, before)
    assert torch.equal(chance, torch.get_rng_state())
    assert all(each.grad is None for each in model.parameters())


def test_activations_are_those_that_are_remembered_and_parts_need_fewer():
    table = torch.randn(64, 8)
    model = torch.nn.Linear(8, 16)
    found = plan(model, Numbered(table, size=64), lambda model, batch: model(batch[0]).square().mean(), Settings(**EXACT))
    assert found.activations == 4 * (64 * 8 + 64 * 16)  # the input, and what is squared
    tower = torch.nn.Sequential(*(torch.nn.Sequential(torch.nn.Linear(32, 32), torch.nn.Tanh()) for _ in range(9)))
    loss = InParts((lambda model, batch: model(batch[0]),), lambda model, batch, vectors: vectors.square().mean())
    batches = Numbered(torch.randn(64, 32), size=64)
    whole, parts = (plan(tower, batches, loss, Settings(small_batch=small, **EXACT)) for small in (None, 8))
    assert parts.activations < whole.activations / 4
    assert isinstance(parts, Plan)


# Bad input ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("epochs", value) for value in (0, -1, 1.5, True, "3")],
        *[("batch_size", 0), ("small_batch", 0), ("patience", 0), ("threads", 0), ("seed", -1), ("seed", 2**32)],
        *[("learning_rate", value) for value in (0, -1.0, math.nan, math.inf, "1e-5", None)],
        *[("weight_decay", -0.1), ("warmup", 1.5), ("warmup", -0.1), ("clip", 0), ("clip", -1), ("save_minutes", -1)],
        *[("evaluate_every", value) for value in (0, 1.5, -2, math.nan)],
        *[("schedule", "exponential"), ("precision", "float16")],
    ],
)
def test_settings_that_cannot_be_are_named(name, value):
    with pytest.raises(InputError, match=name) as caught:
        Settings(**{name: value})
    assert name in caught.value.mend


def test_evaluations_come_by_shares_of_an_epoch_or_by_steps():
    assert [Settings(evaluate_every=every).interval(10) for every in (0.25, 1.0, 0.01, 3, 25.0)] == [2, 10, 1, 3, 25]


class Short(Numbered):
    def __len__(self) -> int:
        return 7


@pytest.mark.parametrize(
    ("batches", "loss", "told"),
    [
        (regression(2), squared, "no batches"),
        (Short(*regression().tables), squared, "epoch 0 gave 6 batches where 7"),
        (regression(), lambda model, batch: model(batch[0]), "one number"),
        (regression(), lambda model, batch: 3.0, "one number: it is a float"),
        (regression(), lambda model, batch: torch.zeros(()), "does not depend"),
    ],
    ids=["empty", "short", "vector", "float", "apart"],
)
def test_what_cannot_be_learnt_is_named(batches, loss, told):
    with pytest.raises(EmptyInput if told == "no batches" else InputError, match=told):
        fit(linear(), batches, loss, Settings(**EXACT))


def test_models_and_settings_that_do_not_go_together_are_named(tmp_path):
    frozen = linear().requires_grad_(False)
    for call in (fit, plan):
        with pytest.raises(InputError, match="no parameter"):
            call(frozen, regression(), squared, Settings(**EXACT))
        with pytest.raises(InputError, match="gradients can be cached only"):
            call(linear(), regression(), squared, Settings(small_batch=2, **EXACT))
    with pytest.raises(InputError, match="first steps is not finite"):
        plan(linear(), regression(), lambda model, batch: squared(model, batch) / 0, Settings(**EXACT))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ArtifactError, match="cannot write"):
        fit(linear(), regression(), squared, Settings(**EXACT), folder=tmp_path / "file")


def test_nobody_else_may_train_in_the_folder(tmp_path):
    def loss(model, batch):
        fit(linear(), regression(), squared, Settings(**EXACT), folder=tmp_path)

    with pytest.raises(ArtifactError, match="another process trains"):
        fit(linear(), regression(), loss, Settings(**EXACT), folder=tmp_path)


def test_loop_itself_does_not_load_torch(python):
    program = "import sys; from vicino.learning.loop import Settings; Settings(); print('torch' in sys.modules)"
    assert python(program).strip() == "False"
