"""The compiled half of skip-gram and CBOW: one sentence after another, one window after another.

Each window is a small product of matrices (`window_kernels`). The `rows` of the inputs (for skip-gram each word around the
centre, for CBOW one average of them) meet the same targets: the centre, the words drawn against it, the nodes of its Huffman
path. So negatives are drawn once a window and not once a pair (Ji et al. 2016, "Parallelizing Word2Vec in shared and distributed
memory"), which is what makes it fast: rows are fetched once and everything else happens in the first level of the cache. Rows are
asked for before they are needed: words are known that early, and what a window is set against is drawn one window early.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vicino.learning.draw_kernels import GOLDEN, Array, Bits, Paths, below, compiled, draw, inlined, mixed, oppose
from vicino.learning.lane_kernels import LANES, add, expect, fma, load, scratch, spread, store
from vicino.learning.window_kernels import (
    average,
    cross_entropy,
    fetch,
    grade,
    multiply,
    teach_average,
    teach_rows,
    teach_targets,
)

__all__ = ["Parts", "Settings", "Text", "Weights", "learn", "no_parts"]

JUDGED = 64  # one window in so many tells its loss
AHEAD = 2  # windows from asking for the rows of a word to reading them

_40 = np.uint64(40)
_UNIT = np.float32(2**-24)
_ONE = np.float32(1)


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


class Parts(NamedTuple):
    """Word w is the mean of the inputs `rows[starts[w]:starts[w + 1]]`, at least one; all are empty where it is input w.

    Such a mean is made when the word comes into reach, learns like any vector, and when the word is out of reach again all of its
    rows change by what the mean has changed. So they are read and written once a word, and not once a window.
    """

    starts: NDArray[np.int64]
    rows: NDArray[np.uint32]


class Settings(NamedTuple):
    """What the kernel must know of the parameters; see `vicino.learning.skipgram.Recipe`."""

    window: int
    shrink: bool
    negative: int
    skip_gram: bool
    mean: bool


@compiled
def learn(
    text: Text,
    span: tuple[int, int],
    weights: Weights,
    parts: Parts,
    noise: Array,
    paths: Paths,
    settings: Settings,
    rates: tuple[float, float],
    seed: int,
) -> tuple[float, int]:
    """Learn from the sentences of a span, the rate falling from `rates[0]` to `rates[1]`; `weights` change in place.

    Returns the summed loss, in nats, of the pairs that were judged, and their number.
    """
    offsets, window = text.offsets, settings.window
    inputs, outputs = weights
    first, last = span
    begin, tokens = offsets[first], max(offsets[last] - offsets[first], 1)
    words = np.empty(np.diff(offsets[first : last + 1]).max(), np.uint32)
    n, m = 2 * window, 3 + settings.negative  # as many inputs and targets as a window may have, and two more
    if paths.starts.size:
        m += np.diff(paths.starts).max()
    rows, targets, labels = np.empty(n, np.uint32), np.empty(m, np.uint32), np.empty(m, np.float32)
    X, O = scratch(n, inputs.shape[1]), scratch(m, inputs.shape[1])  # noqa: E741
    G = np.zeros(n * m, np.float32)
    names, vectors = words, inputs  # each neighbour is vectors[names[where it stands]]
    made, before = scratch(n + 1, inputs.shape[1]), scratch(n + 1, inputs.shape[1])
    if parts.starts.size:
        names, vectors = (np.arange(words.size) % (n + 1)).astype(np.uint32), made
    shares = np.ones(n, np.float32)
    drawn = np.empty(settings.negative, np.uint32)
    state: Bits = draw(noise, drawn, mixed(np.uint64(seed)))
    windows, judged, loss = 0, 0, 0.0
    for sentence in range(first, last):
        rate = np.float32(rates[0] + (rates[1] - rates[0]) * ((offsets[sentence] - begin) / tokens))
        n_words, state = _read(text, sentence, words, state)
        seen = 0
        for centre in range(n_words):
            _ask(inputs, outputs, parts, words, centre + window + AHEAD, n_words)
            seen = _move(inputs, parts, words, n_words, seen, centre + window + 1, made, before)
            reach = window
            if settings.shrink:
                state += GOLDEN
                reach -= int(below(mixed(state), np.uint64(window)))
            n = _around(centre, reach, names, n_words, rows)
            if n == 0:
                continue
            m = oppose(words[centre], drawn, paths, targets, labels)
            state = draw(noise, drawn, state)
            for i in range(settings.negative):
                expect(outputs, drawn[i])
            stride = m + (3 - m % 3) % 3
            n_inputs, whole = n, _ONE
            if settings.skip_gram:
                fetch(vectors, rows, n, X)
            else:
                n_inputs, whole = 1, _share_out(parts, words, centre, reach, n_words, settings.mean, shares)
                average(vectors, rows, n, shares, X)
            fetch(outputs, targets, m, O)
            multiply(X, n_inputs, O, G, stride)
            if windows % JUDGED == 0:
                loss += cross_entropy(G, labels, n_inputs, m, stride)
                judged += n_inputs
            windows += 1
            grade(G, labels, n_inputs, m, stride, rate)
            teach_targets(outputs, targets, m, X, n_inputs, G, stride)
            if settings.skip_gram:
                teach_rows(vectors, rows, n, O, G, stride)
            else:
                teach_average(vectors, rows, n, O, G, stride, _ONE if settings.mean else _ONE / whole)
        _move(inputs, parts, words, n_words, seen, n_words + len(made), made, before)
    return loss, judged


@inlined
def _read(text: Text, sentence: int, words: Array, state: Bits) -> tuple[int, Bits]:
    """Fill in the words of a sentence that are read; returns how many, and the next random state."""
    n = 0
    for at in range(text.offsets[sentence], text.offsets[sentence + 1]):
        state += GOLDEN
        words[n] = text.ids[at]
        n += np.float32(mixed(state) >> _40) * _UNIT < text.keep[text.ids[at]]
    return n, state


@inlined
def _around(centre: int, reach: int, names: Array, n_words: int, rows: Array) -> int:
    """Fill in the names of the words around a centre; returns how many."""
    n = 0
    for at in range(max(0, centre - reach), min(n_words, centre + reach + 1)):
        if at != centre:
            rows[n] = names[at]
            n += 1
    return n


@inlined
def _share_out(parts: Parts, words: Array, centre: int, reach: int, n_words: int, mean: bool, shares: Array) -> Any:
    """How much each word around a centre counts in their average (or sum), by its parts; returns how many parts there are."""
    n, whole = 0, np.float32(0)
    for at in range(max(0, centre - reach), min(n_words, centre + reach + 1)):
        if at != centre:
            shares[n] = np.float32(parts.starts[words[at] + 1] - parts.starts[words[at]]) if parts.starts.size else _ONE
            whole += shares[n]
            n += 1
    if mean:
        for i in range(n):
            shares[i] /= whole
    return whole


@inlined
def _ask(inputs: Array, outputs: Array, parts: Parts, words: Array, at: int, n_words: int) -> None:
    """Ask for all that a word will need soon."""
    if at < n_words:
        word = words[at]
        expect(outputs, word)
        if parts.starts.size:
            for part in range(parts.starts[word], parts.starts[word + 1]):
                expect(inputs, parts.rows[part])
        else:
            expect(inputs, word)


@compiled
def _move(inputs: Array, parts: Parts, words: Array, n_words: int, seen: int, until: int, made: Array, before: Array) -> int:
    """Go on in a sentence of which `seen` words have been in reach, until so many have; returns `until`.

    The vector of word `at` is row `at % len(made)` of `made`, and as it was made in `before`. So a word leaves its row to the
    one that comes into reach as it goes out of it, and past the end of the sentence to none.
    """
    if parts.starts.size:
        for at in range(seen, until):
            row = at % len(made)
            if at >= len(made):
                gone = words[at - len(made)]
                for k in range(0, inputs.shape[1], LANES):
                    learnt = fma(spread(-1), load(before, row, k), load(made, row, k))
                    for part in range(parts.starts[gone], parts.starts[gone + 1]):
                        add(inputs, parts.rows[part], k, learnt)
            if at < n_words:
                start, end = parts.starts[words[at]], parts.starts[words[at] + 1]
                share = spread(1 / (end - start))
                for k in range(0, inputs.shape[1], LANES):
                    x = spread(0)
                    for part in range(start, end):
                        x = fma(share, load(inputs, parts.rows[part], k), x)
                    store(made, row, k, x)
                    store(before, row, k, x)
    return until


def no_parts() -> Parts:
    """The empty parts that say: each word is one input."""
    return Parts(np.empty(0, np.int64), np.empty(0, np.uint32))
