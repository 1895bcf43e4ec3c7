"""A large batch in parts has the gradients of the whole; a queue remembers the last; a slow network follows."""

from __future__ import annotations

import copy
from functools import partial

import pytest

torch = pytest.importorskip("torch", reason="pip install 'vicino[torch]'")

from vicino.errors import DimensionMismatch, EmptyInput, InputError  # noqa: E402
from vicino.learning.large_batches import MemoryQueue, cached_backward, follow  # noqa: E402
from vicino.learning.losses.in_batch import Temperature, info_nce  # noqa: E402


def network(dropout: float = 0.0, seed: int = 0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(12, 32), torch.nn.GELU(), torch.nn.Dropout(dropout), torch.nn.Linear(32, 8))


def parts(tower, items, size: int):
    return [partial(tower, some) for some in items.split(size)]


def gradients(*modules) -> list:
    return [parameter.grad.clone() for module in modules for parameter in module.parameters()]


@pytest.mark.parametrize("size", [32, 100, 1024, 5000])
def test_1024_pairs_in_parts_have_the_gradients_of_one_batch(size):
    left, right = torch.randn(1024, 12), torch.randn(1024, 12)
    tower, temperature = network(), Temperature()
    whole = info_nce(tower(left), tower(right), temperature=temperature(), symmetric=True)
    whole.backward()
    expected = gradients(tower, temperature)
    tower.zero_grad()
    temperature.zero_grad()

    def loss(queries, documents):
        return info_nce(queries, documents, temperature=temperature(), symmetric=True)

    found = cached_backward([parts(tower, left, size), parts(tower, right, size)], loss)
    assert found.item() == pytest.approx(whole.item(), abs=1e-5)
    for ours, theirs in zip(gradients(tower, temperature), expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_dropout_falls_on_the_same_units_both_times():
    left, right = torch.randn(24, 12), torch.randn(24, 12)
    tower = network(dropout=0.5)
    torch.manual_seed(7)
    vectors = [torch.cat([part() for part in parts(tower, items, 8)]) for items in (left, right)]
    info_nce(*vectors).backward()
    expected, after = gradients(tower), torch.rand(3)
    tower.zero_grad()
    torch.manual_seed(7)
    cached_backward([parts(tower, left, 8), parts(tower, right, 8)], info_nce)
    for ours, theirs in zip(gradients(tower), expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)
    assert torch.equal(torch.rand(3), after)  # and what comes next is as if nothing had been drawn twice


def test_a_tower_that_the_loss_ignores_gets_no_gradient():
    used, ignored = network(seed=1), network(seed=2)
    items = torch.randn(6, 12)
    cached_backward([parts(used, items, 2), parts(ignored, items, 2)], lambda left, _: left.square().sum())
    assert all(parameter.grad.any() for parameter in used.parameters())
    assert not any(parameter.grad.any() for parameter in ignored.parameters())


def test_all_parts_but_the_last_are_carried_back_unsynchronised():
    from contextlib import contextmanager

    entered = []

    @contextmanager
    def unsynchronised():
        entered.append(1)
        yield

    tower, items = network(), torch.randn(6, 12)
    cached_backward([parts(tower, items, 2), parts(tower, items, 3)], info_nce, unsynchronised=unsynchronised)
    assert len(entered) == 4  # of 3 + 2


@pytest.mark.parametrize("towers", [[], [[]], [[lambda: torch.ones(1, 2)], []]], ids=["none", "empty", "one empty"])
def test_nothing_to_embed_is_named(towers):
    with pytest.raises(EmptyInput):
        cached_backward(towers, info_nce)


def test_the_queue_holds_the_last_ones():
    queue, everything = MemoryQueue(10, 2), torch.arange(66.0).reshape(33, 2)
    assert len(queue.vectors) == 0
    for some in everything.split([3, 4, 4, 22]):
        queue.push(some.requires_grad_())
    assert sorted(queue.vectors[:, 0].tolist()) == everything[-10:, 0].tolist()
    assert not queue.vectors.requires_grad
    other = MemoryQueue(10, 2)
    other.load_state_dict(queue.state_dict())
    assert torch.equal(other.vectors, queue.vectors)
    other.push(everything[:1])
    assert everything[-10, 0] not in other.vectors[:, 0]  # the oldest went
    with pytest.raises(DimensionMismatch):
        queue.push(torch.ones(2, 3))
    with pytest.raises(InputError):
        MemoryQueue(0, 2)


def test_whole_numbers_go_through_a_queue_as_they_are():
    queue, large = MemoryQueue(2, 1, dtype=torch.int64), 2**62 + 1  # no float holds it
    queue.push(torch.tensor([[5], [large], [-large]]))
    assert sorted(queue.vectors[:, 0].tolist()) == [-large, large]


def test_queued_vectors_are_negatives():
    queue = MemoryQueue(65_536, 8)
    queue.push(torch.randn(70_000, 8))
    left, right = torch.randn(4, 8), torch.randn(4, 8)
    assert len(queue.vectors) == 65_536
    assert info_nce(left, right, negatives=queue.vectors) > info_nce(left, right)


def test_a_slow_network_follows():
    slow, fast = (torch.nn.Sequential(network(seed=seed), torch.nn.BatchNorm1d(8)) for seed in (0, 1))
    before = copy.deepcopy(slow)
    fast(torch.randn(5, 12))
    follow(slow, fast, momentum=0.9)
    for now, was, goal in zip(slow.parameters(), before.parameters(), fast.parameters(), strict=True):
        torch.testing.assert_close(now, 0.9 * was + 0.1 * goal)
    assert torch.equal(slow[1].running_mean, fast[1].running_mean)
    with pytest.raises(InputError, match="not alike"):
        follow(slow, network())
    with pytest.raises(InputError, match="momentum"):
        follow(slow, fast, momentum=1.5)
