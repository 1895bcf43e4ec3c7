"""The compiled half of skip-gram and CBOW: one sentence after another, one window after another.

Each window is a small product of matrices (`window_kernels`). The `rows` of the inputs (for skip-gram each word around the
centre, for CBOW one average of them) meet the same targets: the centre, the words drawn against it, the nodes of its Huffman
path. So negatives are drawn once a window and not once a pair (Ji et al. 2016, "Parallelizing Word2Vec in shared and distributed
memory"), which is what makes it fast: rows are fetched once and everything else happens in the first level of the cache.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vicino.learning.draw_kernels import GOLDEN, Array, Bits, Paths, aim, below, compiled, mixed
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

__all__ = ["Settings", "Text", "Weights", "learn"]

JUDGED = 64  # one window in so many tells its loss

_40 = np.uint64(40)
_UNIT = np.float32(2**-24)


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
                reach -= int(below(mixed(state), np.uint64(settings.window)))
            n = 0
            for at in range(max(0, centre - reach), min(n_words, centre + reach + 1)):
                if at != centre:
                    rows[n] = words[at]
                    n += 1
            if n == 0:
                continue
            m, state = aim(words[centre], noise, paths, settings.negative, targets, labels, state)
            stride = m + (3 - m % 3) % 3
            n_inputs = n if settings.skip_gram else 1
            if settings.skip_gram:
                fetch(inputs, rows, n, X)
            else:
                average(inputs, rows, n, X, settings.mean)
            fetch(outputs, targets, m, O)
            multiply(X, n_inputs, O, G, stride)
            if windows % JUDGED == 0:
                loss += cross_entropy(G, labels, n_inputs, m, stride)
                judged += n_inputs
            windows += 1
            grade(G, labels, n_inputs, m, stride, rate)
            teach_targets(outputs, targets, m, X, n_inputs, G, stride)
            if settings.skip_gram:
                teach_rows(inputs, rows, n, O, G, stride)
            else:
                teach_average(inputs, rows, n, O, G, stride, X, settings.mean)
    return loss, judged
