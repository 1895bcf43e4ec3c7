"""The compiled half of paragraph vectors: one document after another, and in it one window after another.

A document is one more neighbour of each of its words. So what is around a word, its document with it, is made into a small matrix
that meets the same targets (`window_kernels`), by one of four ways:

- GROUPED: the document alone. It meets several words at once, and they share what is drawn against them;
- BESIDE: the document and each word around predict the centre, each by itself;
- AVERAGED: their mean (or sum) does;
- JOINED: one long row does, the document first, then a place for each word of the window, zeros where the text is over.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vicino.learning.draw_kernels import GOLDEN, Array, Bits, Paths, below, compiled, draw, inlined, mixed, oppose
from vicino.learning.lane_kernels import expect, scratch
from vicino.learning.skipgram_kernels import JUDGED
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

__all__ = ["AVERAGED", "BESIDE", "GROUPED", "JOINED", "Settings", "Texts", "Weights", "learn"]

GROUPED, BESIDE, AVERAGED, JOINED = range(4)

_AHEAD = 2  # windows from asking for the rows of a word to reading them
_40 = np.uint64(40)
_UNIT = np.float32(2**-24)
_ONE = np.float32(1)
_NOUGHT = np.zeros(1, np.uint32)


class Texts(NamedTuple):
    """Document d is `ids[offsets[d]:offsets[d + 1]]`, and d = `order[place]`; word w is read with probability `keep[w]`."""

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    keep: NDArray[np.float32]
    order: NDArray[np.int64]


class Weights(NamedTuple):
    """`inputs` (words, width) and `documents` (documents, width) predict; `outputs` (targets, width) are what they meet.

    See `vicino.learning.skipgram_kernels.Weights`. GROUPED reads no `inputs`; JOINED has 2 window + 1 widths in an output.
    """

    inputs: NDArray[np.float32]
    outputs: NDArray[np.float32]
    documents: NDArray[np.float32]


class Settings(NamedTuple):
    """What the kernel must know of the parameters; see `vicino.learning.documents.Recipe`.

    `frozen` lets nothing learn but documents, and makes chance depend on their words and not on their place.
    """

    way: int
    together: int
    window: int
    shrink: bool
    negative: int
    mean: bool
    frozen: bool


@compiled
def learn(
    texts: Texts,
    span: tuple[int, int],
    weights: Weights,
    noise: Array,
    paths: Paths,
    settings: Settings,
    rates: tuple[float, float],
    seed: int,
) -> tuple[float, int]:
    """Learn from the documents at a span of places, the rate falling from `rates[0]` to `rates[1]`; `weights` change in place.

    Returns the summed loss, in nats, of the pairs that were judged, and their number.
    """
    inputs, outputs, documents = weights
    first, last = span
    words = np.empty(_longest(texts, span), np.uint32)
    way, window = settings.way, settings.window
    together = settings.together if way == GROUPED else 1
    m = together + settings.negative + 2  # as many targets as a window may have, and two more
    if paths.starts.size:
        m += together * _deepest(texts, span, paths)
    targets, labels, drawn = np.empty(m, np.uint32), np.empty(m, np.float32), np.empty(settings.negative, np.uint32)
    rows, places, here = np.empty(2 * window, np.uint32), np.zeros(2 * window, np.uint32), np.empty(1, np.uint32)
    shares = np.ones(2 * window, np.float32)
    X = scratch(2 * window + 1 if way in (BESIDE, JOINED) else 1, documents.shape[1])
    Y = X.reshape(1, X.size) if way == JOINED else X
    O = scratch(m, outputs.shape[1])  # noqa: E741
    G = np.zeros(len(Y) * m, np.float32)
    windows, judged, loss, n = 0, 0, 0.0, 0
    ahead = _AHEAD * together + (0 if way == GROUPED else window)
    for place in range(first, last):
        rate = np.float32(rates[0] + (rates[1] - rates[0]) * ((place - first) / (last - first)))
        here[0] = texts.order[place]
        n_words, state = _read(texts, texts.order[place], settings.frozen, seed, words)
        state = draw(noise, drawn, state)
        for centre in range(0, n_words, together):
            if way != GROUPED:
                n, state = _surround(words[:n_words], centre, settings, rows, places, state)
            group = min(together, n_words - centre)
            for soon in range(centre + ahead, min(centre + ahead + together, n_words)):
                expect(outputs, words[soon])
                if way != GROUPED:
                    expect(inputs, words[soon])
            m, negatives = _oppose_group(words[centre : centre + group], drawn, paths, targets, labels)
            state = draw(noise, drawn, state)
            for i in range(drawn.size):
                expect(outputs, drawn[i])
            stride = m + (3 - m % 3) % 3
            n_inputs = n + 1 if way == BESIDE else 1
            _gather(weights, here, rows, places, n, shares, settings, X)
            fetch(outputs, targets, m, O)
            multiply(Y, n_inputs, O, G, stride)
            if windows % JUDGED == 0:
                loss += cross_entropy(G, labels, n_inputs, m, stride)
                loss += (group - 1) * cross_entropy(G[1:], labels[1:], 1, negatives, stride)
                judged += n_inputs * group
            windows += 1
            grade(G, labels, n_inputs, m, stride, rate)
            G[1 : negatives + 1] *= np.float32(group)
            if not settings.frozen:
                teach_targets(outputs, targets, m, Y, n_inputs, G, stride)
            _give_back(weights, here, rows, places, n, settings, X, Y, O, G, stride)
    return loss, judged


@compiled
def _longest(texts: Texts, span: tuple[int, int]) -> int:
    """The most words that a document at these places has."""
    most = 0
    for document in texts.order[span[0] : span[1]]:
        most = max(most, texts.offsets[document + 1] - texts.offsets[document])
    return most


@compiled
def _deepest(texts: Texts, span: tuple[int, int], paths: Paths) -> int:
    """The longest path of a word in the documents at these places; of all words it would cost what the vocabulary costs."""
    most = 0
    for document in texts.order[span[0] : span[1]]:
        for at in range(texts.offsets[document], texts.offsets[document + 1]):
            most = max(most, paths.starts[texts.ids[at] + 1] - paths.starts[texts.ids[at]])
    return most


@compiled
def _read(texts: Texts, document: int, frozen: bool, seed: int, words: Array) -> tuple[int, Bits]:
    """Write down the words that are read this time; returns how many, and the random state that this document begins with."""
    ids, offsets, keep, _ = texts
    span = range(offsets[document], offsets[document + 1])
    key: Bits = np.uint64(0 if frozen else document)
    if frozen:
        for at in span:
            key = mixed(key + GOLDEN + np.uint64(ids[at]))
    state: Bits = mixed(mixed(np.uint64(seed)) + key)
    n = 0
    for at in span:
        state += GOLDEN
        words[n] = ids[at]
        n += np.float32(mixed(state) >> _40) * _UNIT < keep[ids[at]]
    return n, state


@inlined
def _surround(words: Array, centre: int, settings: Settings, rows: Array, places: Array, state: Bits) -> tuple[int, Bits]:
    """Find the words around a centre, and the places that they have in a joined row; returns how many, and the next state."""
    reach, joined = settings.window, settings.way == JOINED
    if settings.shrink and not joined:
        state += GOLDEN
        reach -= int(below(mixed(state), np.uint64(settings.window)))
    n = 0
    for at in range(max(0, centre - reach), min(len(words), centre + reach + 1)):
        if at != centre:
            rows[n], places[n] = words[at], reach + at - centre + (at < centre) if joined else 0
            n += 1
    return n, state


@inlined
def _oppose_group(group: Array, drawn: Array, paths: Paths, targets: Array, labels: Array) -> tuple[int, int]:
    """The targets of words that are predicted at once; what was drawn is set against the first one, and comes second.

    Returns how many targets there are, and how many of them were drawn.
    """
    m = oppose(group[0], drawn, paths, targets, labels)
    negatives = 0
    if drawn.size:
        negatives = m - 1
        if paths.starts.size:
            negatives -= int(paths.starts[group[0] + 1] - paths.starts[group[0]])
    for word in group[1:]:
        if drawn.size:
            targets[m], labels[m] = word, _ONE
            m += 1
        m += oppose(word, drawn[:0], paths, targets[m:], labels[m:])
    return m, negatives


@inlined
def _gather(
    weights: Weights, here: Array, rows: Array, places: Array, n: int, shares: Array, settings: Settings, X: Array
) -> None:
    """Make X of the document and of the n words around."""
    inputs, _, documents = weights
    if settings.way == AVERAGED:
        average(inputs, rows, n, shares, X)
        _give(documents, here, X, _NOUGHT, 1)
        if settings.mean:
            X[0] *= np.float32(1 / (n + 1))
    elif settings.way == JOINED:
        X[1:] = 0
        fetch(documents, here, 1, X)
        _give(inputs, rows, X, places, n)
    else:
        fetch(inputs, rows, n, X)
        fetch(documents, here, 1, X[n:])


@inlined
def _give_back(  # noqa: PLR0913 - a window has so many parts
    weights: Weights,
    here: Array,
    rows: Array,
    places: Array,
    n: int,
    settings: Settings,
    X: Array,
    Y: Array,
    O: Array,  # noqa: E741
    G: Array,
    stride: int,
) -> None:
    """Give the document, and the words where they are not frozen, what X should change by."""
    inputs, _, documents = weights
    taught = 0 if settings.frozen else n
    if settings.way == AVERAGED:
        share = _ONE if settings.mean else np.float32(1 / (n + 1))
        teach_average(inputs, rows, taught, O, G, stride, share)
        teach_average(documents, here, 1, O, G, stride, share)
    elif settings.way == JOINED:
        X[:] = 0
        teach_rows(Y, _NOUGHT, 1, O, G, stride)
        _give(X, places, inputs, rows, taught)
        _give(X, _NOUGHT, documents, here, 1)
    else:
        teach_rows(inputs, rows, taught, O, G, stride)
        teach_rows(documents, here, 1, O, G[n * stride :], stride)


@compiled
def _give(source: Array, rows: Array, into: Array, places: Array, n: int) -> None:
    """Add the rows to those at the places."""
    for i in range(n):
        row, place = rows[i], places[i]
        for k in range(into.shape[1]):
            into[place, k] += source[row, k]
