"""The compiled half of skip-gram and CBOW: one sentence after another, one window after another.

Each window is a small product of matrices. The `rows` of the inputs (for skip-gram each word around the centre, for CBOW one
average of them) meet the same targets: the centre, the words drawn against it, the nodes of its Huffman path. With X (n, d) the
inputs and O (m, d) the outputs as they were before the window,

    G = alpha · (labels - sigmoid(X Oᵀ)),   O += Gᵀ X,   X += G O

so that negatives are drawn once a window and not once a pair (Ji et al. 2016, "Parallelizing Word2Vec in shared and distributed
memory"), which is what makes it fast: rows are fetched once and everything else happens in the first level of the cache.

Other models share all of this. What a document adds to a window is a row more in `rows`; where an input is not a row but
the mean of several (subwords), `_fetch` and `_average` read it and `_teach_rows` and `_teach_average` give back to each.

Random numbers are SplitMix64 (Steele, Lea and Flood 2014): 64 bits a draw, all bits good, and no draw waits for another.
Words are drawn by the alias method (Walker 1977; Vose 1991), a cell a word: 32 bits of alias above 32 bits of threshold.

Indices are unsigned where a loop is hot, for numba would test signed ones for being negative. Loops take two or three rows at a
time, because a row that stays in a register need not be fetched again.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

__all__ = ["GOLDEN", "Paths", "Settings", "Text", "Weights", "alias_table", "huffman", "learn", "mixed", "no_paths"]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # SplitMix64's step
JUDGED = 64  # one window in so many tells its loss

_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31, _32, _40 = (np.uint64(shift) for shift in (30, 27, 31, 32, 40))
_LOW = np.uint64(0xFFFFFFFF)
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_STEEP = np.float32(6)  # where tanh is 1 to five digits
_UNIT = np.float32(2**-24)
_NOUGHT = np.zeros(1, np.uint32)

Array = NDArray[Any]
Bits = Any  # uint64; kernels know it, and no type checker does

_LOOSE = True
compiled = njit(cache=True, nogil=True, fastmath=_LOOSE, error_model="numpy")
inlined = njit(cache=True, nogil=True, fastmath=_LOOSE, error_model="numpy", inline="always")


class Text(NamedTuple):
    """Sentence s is `ids[offsets[s]:offsets[s + 1]]`; `keep[w]` is the probability that an occurrence of w is read."""

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    keep: NDArray[np.float32]


class Weights(NamedTuple):
    """`inputs` (rows, width) are the vectors; `outputs` (targets, width) what they are multiplied with to predict.

    A target is a word, or with hierarchical softmax, after the words, an inner node of the tree. Width is a multiple of 16; the
    columns past the dimension hold zeros, and stay zero.
    """

    inputs: NDArray[np.float32]
    outputs: NDArray[np.float32]


class Paths(NamedTuple):
    """Word w's way through the Huffman tree: `targets[starts[w]:starts[w + 1]]`, each with the label it should be given.

    All are empty without hierarchical softmax.
    """

    starts: NDArray[np.int64]
    targets: NDArray[np.uint32]
    labels: NDArray[np.float32]


class Settings(NamedTuple):
    """What the kernel must know of the parameters; see `vicino.learning.skipgram.Recipe`."""

    window: int
    shrink: bool
    negative: int
    skip_gram: bool
    mean: bool


@inlined
def mixed(state: Bits) -> Bits:
    """The random 64 bits of a state; the next state is `state + GOLDEN`."""
    z = (state ^ (state >> _30)) * _FIRST
    z = (z ^ (z >> _27)) * _SECOND
    return z ^ (z >> _31)


@compiled
def learn(
    text: Text,
    span: tuple[int, int],
    weights: Weights,
    noise: Array,
    paths: Paths,
    settings: Settings,
    rates: tuple[float, float],
    seed: int,
) -> tuple[float, int]:
    """Learn from the sentences of a span, the rate falling from `rates[0]` to `rates[1]`; `weights` change in place.

    Returns the summed loss, in nats, of the pairs that were judged, and their number.
    """
    ids, offsets, keep = text
    inputs, outputs = weights
    first, last = span
    begin, tokens = offsets[first], max(offsets[last] - offsets[first], 1)
    words = np.empty(np.diff(offsets[first : last + 1]).max(), np.uint32)
    n, m = 2 * settings.window, 3 + settings.negative  # as many inputs and targets as a window may have, and two more
    if paths.starts.size:
        m += np.diff(paths.starts).max()
    rows, targets, labels = np.empty(n, np.uint32), np.empty(m, np.uint32), np.empty(m, np.float32)
    X, O = np.zeros((n, inputs.shape[1]), np.float32), np.zeros((m, inputs.shape[1]), np.float32)  # noqa: E741
    G = np.zeros(n * m, np.float32)
    state: Bits = mixed(np.uint64(seed))
    windows, judged, loss = 0, 0, 0.0
    for sentence in range(first, last):
        rate = np.float32(rates[0] + (rates[1] - rates[0]) * ((offsets[sentence] - begin) / tokens))
        n_words = 0
        for at in range(offsets[sentence], offsets[sentence + 1]):
            state += GOLDEN
            words[n_words] = ids[at]
            n_words += np.float32(mixed(state) >> _40) * _UNIT < keep[ids[at]]
        for centre in range(n_words):
            reach = settings.window
            if settings.shrink:
                state += GOLDEN
                reach -= int(_below(mixed(state), np.uint64(settings.window)))
            n = 0
            for at in range(max(0, centre - reach), min(n_words, centre + reach + 1)):
                if at != centre:
                    rows[n] = words[at]
                    n += 1
            if n == 0:
                continue
            m, state = _aim(words[centre], noise, paths, settings.negative, targets, labels, state)
            stride = m + (3 - m % 3) % 3
            n_inputs = n if settings.skip_gram else 1
            if settings.skip_gram:
                _fetch(inputs, rows, n, X)
            else:
                _average(inputs, rows, n, X, settings.mean)
            _fetch(outputs, targets, m, O)
            _multiply(X, n_inputs, O, G, stride)
            if windows % JUDGED == 0:
                loss += _loss(G, labels, n_inputs, m, stride)
                judged += n_inputs
            windows += 1
            _grade(G, labels, n_inputs, m, stride, rate)
            _teach_targets(outputs, targets, m, X, n_inputs, G, stride)
            if settings.skip_gram:
                _teach_rows(inputs, rows, n, O, G, stride)
            else:
                _teach_average(inputs, rows, n, O, G, stride, X, settings.mean)
    return loss, judged


@inlined
def _below(bits: Bits, n: Bits) -> Bits:
    """A whole number under n < 2^32, from the upper half of 64 random bits."""
    return ((bits >> _32) * n) >> _32


@inlined
def _aim(centre: int, noise: Array, paths: Paths, negative: int, targets: Array, labels: Array, state: Bits) -> tuple[int, Bits]:
    """Fill in the targets of a window and their labels; returns how many, and the next random state."""
    m = 0
    if negative:
        targets[0], labels[0] = centre, _ONE
        m = 1
    for _ in range(negative):
        state += GOLDEN
        bits = mixed(state)
        drawn = _below(bits, np.uint64(noise.size))
        cell = noise[drawn]
        if (bits & _LOW) >= (cell & _LOW):
            drawn = cell >> _32
        if drawn != centre:
            targets[m], labels[m] = drawn, _ZERO
            m += 1
    if paths.starts.size:
        for at in range(paths.starts[centre], paths.starts[centre + 1]):
            targets[m], labels[m] = paths.targets[at], paths.labels[at]
            m += 1
    return m, state


@compiled
def _fetch(matrix: Array, rows: Array, n: int, into: Array) -> None:
    for i in range(n):
        row = rows[i]
        for k in range(matrix.shape[1]):
            into[i, k] = matrix[row, k]


@compiled
def _average(inputs: Array, rows: Array, n: int, X: Array, mean: bool) -> None:
    """The mean (or sum) of the rows, in X[0]."""
    share = np.float32(1 / n) if mean else _ONE
    X[0] = 0
    for i in range(n):
        row = rows[i]
        for k in range(inputs.shape[1]):
            X[0, k] += inputs[row, k] * share


@compiled
def _multiply(X: Array, n: int, O: Array, G: Array, stride: int) -> None:  # noqa: E741
    """G = X Oᵀ, two rows by three targets at a time."""
    for t in range(0, stride, 3):
        for i in range(0, n - 1, 2):
            a0 = a1 = a2 = b0 = b1 = b2 = _ZERO
            for k in range(X.shape[1]):
                a, b = X[i, k], X[i + 1, k]
                a0 += a * O[t, k]
                a1 += a * O[t + 1, k]
                a2 += a * O[t + 2, k]
                b0 += b * O[t, k]
                b1 += b * O[t + 1, k]
                b2 += b * O[t + 2, k]
            at = i * stride + t
            G[at], G[at + 1], G[at + 2] = a0, a1, a2
            at += stride
            G[at], G[at + 1], G[at + 2] = b0, b1, b2
        if n % 2:
            a0 = a1 = a2 = _ZERO
            for k in range(X.shape[1]):
                a = X[n - 1, k]
                a0 += a * O[t, k]
                a1 += a * O[t + 1, k]
                a2 += a * O[t + 2, k]
            at = (n - 1) * stride + t
            G[at], G[at + 1], G[at + 2] = a0, a1, a2


@compiled
def _loss(G: Array, labels: Array, n: int, m: int, stride: int) -> float:
    """The cross entropy of all pairs: ln(1 + e^z) - label · z."""
    loss = 0.0
    for i in range(n):
        for t in range(m):
            z = np.float64(G[i * stride + t])
            loss += max(z, 0.0) + np.log1p(np.exp(-abs(z))) - labels[t] * z
    return loss


@compiled
def _grade(G: Array, labels: Array, n: int, m: int, stride: int, rate: Any) -> None:
    """G = rate · (labels - sigmoid(G)), zeros past the last target.

    sigmoid(z) = ½ + ½ tanh(z / 2), and tanh by nine terms of Lambert's continued fraction, to 1e-6: no table, no branch, so
    that sixteen are made at a time.
    """
    for i in range(n * stride):
        x = min(max(G[i] * _HALF, -_STEEP), _STEEP)
        q = x * x
        above = np.float32(34459425) + q * (np.float32(4729725) + q * (np.float32(135135) + q * (np.float32(990) + q)))
        below = np.float32(34459425) + q * (
            np.float32(16216200) + q * (np.float32(945945) + q * (np.float32(13860) + q * np.float32(45)))
        )
        G[i] = -rate * (_HALF + _HALF * x * above / below)
    for t in range(stride):
        if t >= m:
            for i in range(n):
                G[i * stride + t] = _ZERO
        elif labels[t]:
            for i in range(n):
                G[i * stride + t] += rate * labels[t]


@compiled
def _teach_targets(outputs: Array, targets: Array, m: int, X: Array, n: int, G: Array, stride: int) -> None:
    """O += Gᵀ X, where the outputs live."""
    for t in range(m):
        target = targets[t]
        for i in range(0, n - 1, 2):
            g, h = G[i * stride + t], G[(i + 1) * stride + t]
            for k in range(X.shape[1]):
                outputs[target, k] += g * X[i, k] + h * X[i + 1, k]
        if n % 2:
            g = G[(n - 1) * stride + t]
            for k in range(X.shape[1]):
                outputs[target, k] += g * X[n - 1, k]


@compiled
def _teach_rows(inputs: Array, rows: Array, n: int, O: Array, G: Array, stride: int) -> None:  # noqa: E741
    """X += G O, where the inputs live."""
    for i in range(n):
        row = rows[i]
        for t in range(0, stride, 3):
            f, g, h = G[i * stride + t], G[i * stride + t + 1], G[i * stride + t + 2]
            for k in range(O.shape[1]):
                inputs[row, k] += f * O[t, k] + g * O[t + 1, k] + h * O[t + 2, k]


@compiled
def _teach_average(inputs: Array, rows: Array, n: int, O: Array, G: Array, stride: int, X: Array, mean: bool) -> None:  # noqa: E741
    """Give each word of the context what the average should change by.

    As word2vec.c and gensim do it: whole where the words were averaged, and in equal parts where they were summed.
    """
    X[0] = 0
    _teach_rows(X, _NOUGHT, 1, O, G, stride)
    share = _ONE if mean else np.float32(1 / n)
    for i in range(n):
        row = rows[i]
        for k in range(inputs.shape[1]):
            inputs[row, k] += X[0, k] * share


@compiled
def alias_table(weights: Array) -> Array:
    """The cells by which to draw i with probability `weights[i]` / sum; (n,) float64 -> (n,) uint64."""
    n = weights.size
    scaled = weights * (n / weights.sum())
    cells = np.empty(n, np.uint64)
    order = np.empty(n, np.int64)  # the small ones from the left, the large ones from the right
    small, large = 0, n
    for i in range(n):
        if scaled[i] < 1:
            order[small] = i
            small += 1
        else:
            large -= 1
            order[large] = i
    while small > 0 and large < n:
        small -= 1
        little, big = order[small], order[large]
        cells[little] = (np.uint64(big) << _32) | np.uint64(scaled[little] * 4294967295.0)
        scaled[big] -= 1 - scaled[little]
        if scaled[big] < 1:
            large += 1
            order[small] = big
            small += 1
    for at in range(small):  # 1 but for rounding
        cells[order[at]] = (np.uint64(order[at]) << _32) | _LOW
    for at in range(large, n):
        cells[order[at]] = (np.uint64(order[at]) << _32) | _LOW
    return cells


@compiled
def huffman(counts: Array) -> Paths:
    """Every word's path in the Huffman tree of (n,) int64 `counts`; inner nodes are the targets n to 2n - 2, the root last."""
    n = counts.size
    order = np.argsort(counts, kind="mergesort")
    weight = np.empty(2 * n - 1, np.int64)
    weight[:n] = counts[order]
    parent = np.zeros(2 * n - 1, np.int64)
    second = np.zeros(2 * n - 1, np.float32)
    leaf, inner = 0, n
    for node in range(n, 2 * n - 1):
        for child in range(2):
            if leaf < n and (inner >= node or weight[leaf] <= weight[inner]):
                chosen = leaf
                leaf += 1
            else:
                chosen = inner
                inner += 1
            weight[node] = weight[chosen] if child == 0 else weight[node] + weight[chosen]
            parent[chosen] = node
            second[chosen] = child
    starts = np.zeros(n + 1, np.int64)
    for leaf in range(n):
        node = leaf
        while node != 2 * n - 2:
            starts[order[leaf] + 1] += 1
            node = parent[node]
    starts = np.cumsum(starts)
    targets = np.empty(starts[-1], np.uint32)
    labels = np.empty(starts[-1], np.float32)
    for leaf in range(n):
        at, node = starts[order[leaf]], leaf
        while node != 2 * n - 2:
            targets[at], labels[at] = parent[node], 1 - second[node]
            at += 1
            node = parent[node]
    return Paths(starts, targets, labels)


def no_paths() -> Paths:
    """The empty paths that say: no hierarchical softmax."""
    return Paths(np.empty(0, np.int64), np.empty(0, np.uint32), np.empty(0, np.float32))
