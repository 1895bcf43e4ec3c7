"""Classes spread over two processes: the loss and all gradients of one."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pip install 'vicino[torch]'")

from vicino.learning.losses.margins import ClassMargins  # noqa: E402

PROCESS = """
import sys
import numpy as np, torch
from torch import distributed
from vicino.learning.losses.margins import ClassMargins

rank, folder, classes, sample = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
torch.set_num_threads(1)
distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
data = np.load(f"{folder}/data.npz")
head = ClassMargins(4, classes, scale=16, sharded=True, sample=sample, seed=3).double()
vectors = torch.tensor(data["vectors"][4 * rank : 4 * rank + 4], requires_grad=True)
loss = head(vectors, torch.tensor(data["labels"][4 * rank : 4 * rank + 4]))
loss.backward()
np.savez(f"{folder}/{rank}.npz", loss=loss.item(), vectors=vectors.grad, directions=head.directions.grad)
distributed.destroy_process_group()
"""


def two_processes(folder, classes: int, sample: float = 1.0) -> list[dict[str, np.ndarray]]:
    environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo"}
    running = [
        subprocess.Popen([sys.executable, "-c", PROCESS, str(rank), str(folder), str(classes), str(sample)], env=environment)
        for rank in range(2)
    ]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    return [dict(np.load(folder / f"{rank}.npz")) for rank in range(2)]


@pytest.mark.parametrize("classes", [7, pytest.param(2, marks=pytest.mark.long)])
def test_two_processes_are_one(tmp_path, classes):
    vectors, labels = np.random.default_rng(0).normal(size=(8, 4)), np.arange(8) % classes
    np.savez(tmp_path / "data.npz", vectors=vectors, labels=labels)
    found = two_processes(tmp_path, classes)
    head = ClassMargins(4, classes, scale=16, seed=3).double()
    whole = torch.tensor(vectors, requires_grad=True)
    loss = head(whole, torch.tensor(labels))
    loss.backward()
    for each in found:
        assert each["loss"] == pytest.approx(loss.item(), abs=1e-5)
    np.testing.assert_allclose(np.concatenate([each["vectors"] for each in found]), whole.grad, atol=1e-5)
    np.testing.assert_allclose(np.concatenate([each["directions"] for each in found]), head.directions.grad, atol=1e-5)


@pytest.mark.long
def test_a_sample_on_two_processes_meets_every_class_of_both_batches(tmp_path):
    labels = np.array([0, 1, 48, 30, 2, 0, 26, 49])
    np.savez(tmp_path / "data.npz", vectors=np.random.default_rng(0).normal(size=(8, 4)), labels=labels)
    found = two_processes(tmp_path, 50, sample=0.2)
    met = [np.flatnonzero(each["directions"].any(axis=1)) + 25 * rank for rank, each in enumerate(found)]
    assert set(labels) <= set(np.concatenate(met))
    assert [len(each) for each in met] == [5, 5]
    assert found[0]["loss"] == found[1]["loss"]
