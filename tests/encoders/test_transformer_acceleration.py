"""The fast network computes what the plain one does; where it would not, the plain one is kept."""

from __future__ import annotations

import itertools
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vicino import progress
from vicino.encoders.transformer import Transformer, acceleration
from vicino.encoders.transformer.acceleration import UnusualAttention, accelerate, attend
from vicino.encoders.transformer.network import TOLERANCE, in_batches
from vicino.vectors import normalise

torch = pytest.importorskip("torch")

# Attention ------------------------------------------------------------------------------------------------------------


def by_definition(q: Any, k: Any, v: Any, scaling: float, bias: Any, causal: bool) -> Any:
    """softmax(q k' * scaling + bias) v for one text and one head, in float64."""
    scores = q.astype(float) @ k.astype(float).T * scaling + bias
    if causal:
        scores[np.triu_indices(len(scores), 1)] = -np.inf
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True) @ v.astype(float)


@given(
    lengths=st.lists(st.integers(0, 9), min_size=1, max_size=5),
    heads=st.sampled_from([(1, 1), (4, 4), (4, 2), (6, 1)]),
    causal=st.booleans(),
    biased=st.sampled_from([None, "one for all", "one each"]),
    size=st.sampled_from([0.0, 1.0, 30.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_attention_is_what_its_definition_says(lengths, heads, causal, biased, size, seed):
    rng = np.random.default_rng(seed)
    (own, shared), longest, d = heads, max(*lengths, 1), 3
    q = rng.normal(size=(len(lengths), own, longest, d)).astype(np.float32) * size  # 30: scores beyond what exp can take
    k, v = rng.normal(size=(2, len(lengths), shared, longest, d)).astype(np.float32)
    rows = {None: 0, "one for all": 1, "one each": len(lengths)}[biased]
    bias = rng.normal(size=(rows, own, longest, longest)).astype(np.float32)
    mask = np.arange(longest) < np.array(lengths)[:, None]
    found, _ = attend(
        SimpleNamespace(is_causal=causal),
        *map(torch.from_numpy, (q, k, v)),
        torch.from_numpy(mask),
        scaling=0.5,
        position_bias=torch.from_numpy(bias) if biased else None,
        dropout=0.0,
    )
    assert found.shape == (len(lengths), longest, own, d)
    for row, n in enumerate(lengths):
        assert not found[row, n:].any()
        for head in range(own) if n else ():
            other = head // (own // shared)
            extra = bias[min(row, rows - 1), head, :n, :n] if biased else 0.0
            expected = by_definition(q[row, head, :n], k[row, other, :n], v[row, other, :n], 0.5, extra, causal)
            np.testing.assert_allclose(found[row, :n, head], expected, atol=2e-5)


def test_attention_in_small_pieces_is_the_same(monkeypatch):
    states = torch.randn(3, 40, 4, 12, 8, generator=torch.Generator().manual_seed(0))
    whole, _ = attend(SimpleNamespace(), *states, None)
    for scores in (1, 3 * 144, 9 * 144):  # one head of one text, three heads, two texts
        monkeypatch.setattr(acceleration, "_SCORES", scores)
        torch.testing.assert_close(attend(SimpleNamespace(), *states, None)[0], whole)
    expected = torch.nn.functional.scaled_dot_product_attention(*states).transpose(1, 2)
    torch.testing.assert_close(whole, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_attention_over_long_texts_is_the_same(monkeypatch, causal):
    states = torch.randn(3, 5, 4, 12, 8, generator=torch.Generator().manual_seed(0))
    flags = torch.arange(12) < torch.tensor([12, 9, 9, 3, 0])[:, None]
    expected, _ = attend(SimpleNamespace(is_causal=causal), *states, flags)
    monkeypatch.setattr(acceleration, "_LONG", 5)
    torch.testing.assert_close(attend(SimpleNamespace(is_causal=causal), *states, flags)[0], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("others", [{"sliding_window": 4}, {"softcap": 30.0}, {"s_aux": torch.ones(4)}], ids=str)
def test_attention_of_another_kind_is_left_alone(others):
    states = torch.ones(1, 4, 6, 8)
    with pytest.raises(UnusualAttention):
        attend(SimpleNamespace(), states, states, states, None, **others)


def test_masks_of_another_kind_are_left_alone():
    from transformers.masking_utils import and_masks, bidirectional_mask_function, causal_mask_function

    states = torch.ones(1, 4, 6, 8)
    with pytest.raises(UnusualAttention):
        attend(SimpleNamespace(), states, states, states, torch.ones(1, 1, 6, 6))
    with pytest.raises(UnusualAttention):
        attend(SimpleNamespace(), states, states[:, :, :3], states[:, :, :3], None)
    with pytest.raises(UnusualAttention):
        acceleration.unpadded_mask(mask_function=and_masks(causal_mask_function, causal_mask_function), attention_mask=None)
    flags = torch.ones(2, 3, dtype=torch.bool)
    assert acceleration.unpadded_mask(mask_function=bidirectional_mask_function, attention_mask=flags, q_length=3) is flags


# Packed layers --------------------------------------------------------------------------------------------------------


class Block(torch.nn.Module):
    """A network with layers of each kind that is packed, named as transformers names them."""

    def __init__(self, activation: Any) -> None:
        super().__init__()
        self.query = torch.nn.Linear(12, 12, bias=False)
        self.dense = torch.nn.Linear(12, 20)
        self.intermediate_act_fn = activation
        self.output = torch.nn.Linear(20, 12)
        self.config = SimpleNamespace(_attn_implementation="eager")

    def forward(self, x: Any) -> Any:
        return self.output(self.intermediate_act_fn(self.dense(self.query(x))))

    def set_attn_implementation(self, name: str) -> None:
        self.config._attn_implementation = name


ACTIVATIONS = ["GELUActivation", "NewGELUActivation", "GELUTanh", "ReLU", "SiLU", "Tanh"]


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("packs", [True, False])
@torch.inference_mode()
def test_a_packed_network_is_the_same_network(monkeypatch, name, packs):
    import transformers.activations

    torch.manual_seed(0)
    known = getattr(torch.nn, name, None) or getattr(transformers.activations, name)
    block, x = Block(known()), torch.randn(7, 5, 12)
    expected = block(x)
    if not packs:
        monkeypatch.setattr(acceleration, "can_pack", lambda _: False)
    accelerate(block, torch.float32)
    torch.testing.assert_close(block(x), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(block(x[0, :1]), expected[0, :1], atol=1e-5, rtol=1e-5)
    assert block.config._attn_implementation == acceleration.ATTENTION
    if packs and acceleration.can_pack(torch.float32):
        assert isinstance(block.intermediate_act_fn, torch.nn.Identity) == (name not in ("SiLU", "Tanh"))
        assert block.dense.weight.shape == (20, 12)
        assert block.dense.weight.untyped_storage().nbytes() == 4


def test_a_torch_without_packed_products_is_noticed(monkeypatch):
    def absent(*_: Any) -> None:
        raise AttributeError("no such operator")

    monkeypatch.setattr(acceleration, "_pack", absent)
    acceleration.can_pack.cache_clear()
    assert not acceleration.can_pack(torch.float32)
    monkeypatch.setattr(acceleration, "_pack", lambda layer, fused: None)  # ... or one whose products are wrong
    acceleration.can_pack.cache_clear()
    assert not acceleration.can_pack(torch.float32)
    acceleration.can_pack.cache_clear()


def test_only_parameters_are_rounded():
    module = torch.nn.Linear(3, 3)
    module.register_buffer("frequencies", torch.tensor([0.123456789]))
    acceleration.cast(module, torch.bfloat16)
    assert (module.weight.dtype, module.frequencies.dtype) == (torch.bfloat16, torch.float32)


# The fast network is measured before it is used -----------------------------------------------------------------------


@pytest.fixture
def folder(checkpoint) -> str:
    return str(checkpoint("bert"))


@pytest.fixture
def native(monkeypatch) -> None:
    """A processor that multiplies bfloat16, whatever this one does."""
    monkeypatch.setattr("vicino.learning.processor.multiplies_bfloat16", lambda: True)


def test_bfloat16_is_used_where_it_agrees(native, folder, phrases):
    exact, fast = Transformer(model=folder, precision="float32"), Transformer(model=folder)
    vectors = [normalise(encoder.encode(phrases)) for encoder in (exact, fast)]
    assert (exact.arithmetic, fast.arithmetic) == ("float32", "bfloat16")
    assert (vectors[0] * vectors[1]).sum(axis=1).mean() >= TOLERANCE
    assert exact.space == fast.space


def spoil(monkeypatch: Any, *dtypes: Any) -> None:
    """Let the fast network be wrong in these arithmetics."""

    def wrong(network: Any, dtype: Any) -> None:
        accelerate(network, dtype)
        if dtype in dtypes:
            network.embeddings.word_embeddings.weight.data[::2] *= -1

    monkeypatch.setattr(acceleration, "accelerate", wrong)


@pytest.mark.parametrize("dtypes", [[torch.bfloat16], [torch.bfloat16, torch.float32]])
def test_a_fast_network_that_disagrees_is_not_used(native, monkeypatch, folder, phrases, dtypes):
    expected = Transformer(model=folder, precision="float32").encode(phrases)
    spoil(monkeypatch, *dtypes)
    encoder = Transformer(model=folder)
    np.testing.assert_allclose(encoder.encode(phrases), expected, atol=1e-5)
    assert encoder.arithmetic == "float32"


def test_bfloat16_that_was_asked_for_is_used_all_the_same(native, monkeypatch, folder, phrases):
    exact = normalise(Transformer(model=folder, precision="float32").encode(phrases))
    spoil(monkeypatch, torch.bfloat16)
    encoder = Transformer(model=folder, precision="bfloat16")
    assert (normalise(encoder.encode(phrases)) * exact).sum(axis=1).mean() >= 0.999
    assert encoder.arithmetic == "bfloat16"


@pytest.mark.parametrize("trouble", [RuntimeError, TypeError, UnusualAttention])
def test_a_network_that_cannot_be_made_fast_stays_as_it_is(native, monkeypatch, folder, phrases, trouble):
    expected = Transformer(model=folder, precision="float32").encode(phrases)

    def refuse(*_: Any, **__: Any) -> None:
        raise trouble("not this network")

    monkeypatch.setattr(acceleration, "attend", refuse)
    np.testing.assert_allclose(Transformer(model=folder, precision="float32").encode(phrases), expected, atol=1e-5)


@pytest.mark.parametrize("precision", ["auto", "float32"])
def test_the_way_of_an_accelerator(monkeypatch, folder, phrases, precision):
    """No accelerator is here: the processor goes its way, without packing and without streams."""
    expected = normalise(Transformer(model=folder, precision="float32").encode(phrases))
    monkeypatch.setattr("vicino.encoders.transformer.network.Network._on_processor", False)
    encoder = Transformer(model=folder, precision=precision)
    found = normalise(encoder.encode(phrases))
    assert (found * expected).sum(axis=1).mean() >= TOLERANCE
    assert encoder.arithmetic == ("bfloat16" if precision == "auto" else "float32")
    network = encoder._network._network
    assert network.config._attn_implementation == "sdpa"
    assert not any("forward" in vars(module) for module in network.modules())


# Batches and streams --------------------------------------------------------------------------------------------------


@given(lengths=st.lists(st.integers(0, 40)), budget=st.integers(1, 200))
def test_batches_hold_every_row_once_and_few_tokens(lengths, budget):
    batches = list(in_batches(lengths, budget))
    rows = [row for batch in batches for row in batch]
    assert sorted(rows) == list(range(len(lengths)))
    assert [lengths[row] for row in rows] == sorted(lengths, reverse=True)
    for batch, following in itertools.pairwise(batches):
        assert len(batch) * lengths[batch[0]] <= budget or len(batch) == 1
        assert (len(batch) + 1) * lengths[batch[0]] > budget  # and not one text fewer than would fit
        assert following


@pytest.fixture
def threads():
    """Lets a test set torch's number of threads; it is put back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 2, 3, 20])
def test_the_number_of_threads_is_honoured_and_left_alone(folder, phrases, threads, count):
    texts = phrases * 30
    encoder = Transformer(model=folder, precision="float32")
    expected = encoder.encode(texts)
    threads(count)
    np.testing.assert_allclose(encoder.encode(texts, batch_size=1), expected, atol=1e-5)
    seen: list[int] = [torch.get_num_threads()]
    other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert seen == [count, count]


@pytest.mark.long
@pytest.mark.parametrize(("count", "each"), [(2, 1), (3, 1), (8, 1), (16, 2), (20, 2)])
def test_streams_share_the_threads(folder, phrases, threads, monkeypatch, count, each):
    threads(count)
    encoder = Transformer(model=folder, precision="float32")
    network, seen = encoder._network, []
    hidden = network._hidden

    def look(ids: Any) -> Any:
        found = hidden(ids)
        seen.append((threading.current_thread().name, torch.get_num_threads()))
        return found

    monkeypatch.setattr(network, "_hidden", look)
    monkeypatch.setattr("vicino.encoders.transformer.network._SMALL", 0)
    encoder.encode(phrases * 200, batch_size=1)
    assert {used for _, used in seen} == {each}
    seen.clear()
    encoder.encode("near")  # alone, it has them all
    assert {used for _, used in seen} == {count}
    monkeypatch.setattr("vicino.encoders.transformer.network._SMALL", 10e9)
    encoder.encode("near")  # ... unless it is soon done
    assert seen[-1][1] == 1
    assert not any(name == "MainThread" for name, _ in seen)


def test_encoding_from_several_threads_at_once(folder, phrases, threads):
    threads(2)
    encoder = Transformer(model=folder, precision="float32")
    expected = encoder.encode(phrases * 5, batch_size=1)
    found: list[Any] = []
    callers = [threading.Thread(target=lambda: found.append(encoder.encode(phrases * 5, batch_size=1))) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(found) == 4
    for vectors in found:
        np.testing.assert_allclose(vectors, expected, atol=1e-5)
    assert torch.get_num_threads() == 2


def test_an_error_in_one_stream_ends_all(monkeypatch, folder, phrases, threads):
    threads(2)
    encoder = Transformer(model=folder, precision="float32")
    network, done = encoder._network, []
    hidden = network._hidden

    def fail(ids: Any) -> Any:
        if len(done) == 3:
            raise MemoryError("no room")
        done.append(len(ids))
        return hidden(ids)

    monkeypatch.setattr(network, "_hidden", fail)
    with pytest.raises(MemoryError, match="no room"):
        encoder.encode(phrases * 100, batch_size=1)
    assert len(done) == 3
    assert torch.get_num_threads() == 2


def test_progress_counts_every_document(folder, phrases):
    events: list[progress.Event] = []
    with progress.listen(events.append):
        Transformer(model=folder).encode(phrases * 3)
    assert (events[0].label, events[0].total, events[-1].state) == ("Encoding", 21, "finish")
    assert events[-1].done == 21


def test_windows_of_texts_come_back_in_order(monkeypatch, folder, phrases):
    encoder = Transformer(model=folder, precision="float32")
    expected = encoder.encode(phrases), encoder.encode(phrases, output_value="token_embeddings")
    monkeypatch.setattr("vicino.encoders.transformer.network._WINDOW", 3)
    np.testing.assert_allclose(encoder.encode(phrases), expected[0], atol=1e-5)
    found = encoder.encode(phrases, output_value="token_embeddings")
    np.testing.assert_allclose(found.values, expected[1].values, atol=1e-5)
    np.testing.assert_array_equal(found.offsets, expected[1].offsets)
