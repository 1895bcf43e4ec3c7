"""A network, its tokenizer and what follows it, opened from a folder, made fast, and run over batches of texts.

`Runner` is what all networks share; `Network` gives vectors of texts, and `pairs.PairNetwork` scores of pairs of them.
"""

from __future__ import annotations

import logging
import os
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from vicino import progress
from vicino.encoders.base import Tokens
from vicino.encoders.transformer import acceleration, heads, opening
from vicino.encoders.transformer.folder import ModelFolder
from vicino.encoders.transformer.tokenising import Ids, Tokenizer, padded
from vicino.learning import processor
from vicino.vectors import Ragged, normalise

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["SAMPLE", "TOLERANCE", "Arithmetic", "Network", "Runner", "in_batches", "workers"]

Arithmetic = Literal["auto", "float32", "bfloat16"]

TOLERANCE = 0.9995  # mean cosine to the plain float32 network under which a faster one is not used
_WINDOW = 1 << 14  # texts tokenised, sorted and encoded together
_TOKENS = 128  # a batch holds batch_size * this many tokens, padding included: 4,096 were fastest among 512 to 8,192
_DEVICE_FACTOR = 8  # an accelerator wants larger batches
_EXACT = 0.999999  # the same for float32, which differs by the order of sums alone
_SMALL = 10e9  # multiplications and additions that one thread does in some 50 ms
_STREAMS = 8  # more streams than this wait for one another at Python's lock
# Texts of several lengths on which a faster network must agree with the plain one.
SAMPLE = (
    "near",
    "Which embedding is best for my text?",
    "Wings lift an aeroplane because the air above them flows faster than the air below, and pressure falls where air is quick.",
    "def nearest(query, vectors, k=10):\n    scores = vectors @ query\n    return scores.argsort()[::-1][:k]",
    "東京都の天気は晴れです。 Straße, naïve, Ελλάδα; 3.14159 × 2 = 6.28318 …!?",
    " ".join(["A map is good when what lies near on it lies near in the world, and every map leaves something out."] * 8),
)
T = TypeVar("T")
_log = logging.getLogger(__name__)
_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}
_starting = threading.Lock()
os.register_at_fork(after_in_child=_pools.clear)  # threads do not survive a fork


class Runner(ABC):
    """An opened model. `arithmetic` is what it computes with: "float32" or "bfloat16".

    Raises MissingExtra (no torch), UnreadableSource (what transformers cannot open) and InputError (a limit that is too long
    or too short, a device that is not there).
    """

    def __init__(self, folder: ModelFolder, *, arithmetic: Arithmetic = "auto", device: str = "auto") -> None:
        opening.require_torch()
        self._folder = folder
        self._device = opening.pick_device(device)
        with opening.quiet():
            self._network = self._open()
            self.limit = min(filter(None, (folder.limit, opening.most_positions(self._network))), default=None)
            self._tokenizer = self._open_tokenizer()
            self.arithmetic = self._settle(arithmetic)
            embedded = self._network.get_input_embeddings().weight.numel()
            self._parameters = sum(each.numel() for each in self._network.parameters()) - embedded

    @abstractmethod
    def _open(self) -> Any:
        """The network, plain."""

    @abstractmethod
    def _open_tokenizer(self) -> Tokenizer:
        """The tokenizer, with the network's limit."""

    @property
    def _body(self) -> Any:
        """What of the network is made fast."""
        return self._network

    @abstractmethod
    def _sample(self) -> NDArray[np.float32]:
        """What the network gives for a few texts of several lengths."""

    @abstractmethod
    def _is_near(self, fast: NDArray[np.float32], plain: NDArray[np.float32], dtype: torch.dtype) -> bool:
        """Whether two samples are the same but for rounding."""

    @property
    def _on_processor(self) -> bool:
        return self._device.type == "cpu"

    # How batches are made and run ----------------------------------------------------------------------------------------

    def _for_each_batch(
        self,
        texts: Sequence[T],
        read: Callable[[Sequence[T]], list[Ids]],
        batch_size: int,
        write: Callable[[NDArray[np.int64], list[Ids]], None],
    ) -> None:
        """Tokenise by `read`, sort by length, and hand out batches of rows and their ids."""
        budget = batch_size * _TOKENS * (1 if self._on_processor else _DEVICE_FACTOR)
        with progress.task("Encoding", total=len(texts), unit="documents") as task:
            for start in range(0, len(texts), _WINDOW):
                ids = read(texts[start : start + _WINDOW])

                def work(rows: list[int], start: int = start, ids: list[Ids] = ids) -> None:
                    write(np.array(rows) + start, [ids[row] for row in rows])
                    task.advance(len(rows))

                lengths = [len(own) for own in ids]
                small = 2 * self._parameters * sum(lengths) < _SMALL
                share = sum(lengths) if small else -(-sum(lengths) // self._threads())
                self._run(list(in_batches(lengths, min(budget, share))), work, small)

    def _threads(self) -> int:
        """In how many threads to encode: as many as torch may use, one where an accelerator does the work."""
        import torch

        return torch.get_num_threads() if self._on_processor else 1

    def _run(self, batches: list[list[int]], work: Callable[[list[int]], None], small: bool) -> None:
        """Do all batches, in streams that each take the next one.

        Streams of one thread do not wait for one another as the threads of one product do: that is faster, and much faster where
        other programs want the same cores. A single large batch has all threads; a small one is done before a second begins.
        """
        import torch

        waiting = deque(batches)

        def stream() -> None:
            with torch.inference_mode():
                while waiting:
                    try:
                        batch = waiting.popleft()
                    except IndexError:  # another stream took the last one
                        return
                    work(batch)

        threads = self._threads()
        if threads == 1:
            stream()
            return
        streams = min(threads, _STREAMS, len(batches))
        each = 1 if small else threads // streams
        pool = workers(min(threads // each, _STREAMS), each)
        tasks = [pool.submit(stream) for _ in range(streams)]
        try:
            for task in tasks:
                task.result()
        finally:
            waiting.clear()
            wait(tasks)

    # How the network is made fast ----------------------------------------------------------------------------------------

    def _settle(self, wanted: Arithmetic) -> str:
        """Put the network on its device in the fastest form that still gives its vectors; say in which arithmetic."""
        import torch

        self._network.to(self._device)
        plain = self._sample()
        for name in self._candidates(wanted):
            dtype = torch.bfloat16 if name == "bfloat16" else torch.float32
            if self._agrees(dtype, plain):
                return name
            self._network = self._open().to(self._device)
        if wanted == "bfloat16":
            self._body.to(torch.bfloat16)
        return "bfloat16" if wanted == "bfloat16" else "float32"

    def _candidates(self, wanted: Arithmetic) -> list[str]:
        import torch

        if wanted != "auto":
            return [wanted]
        if self._on_processor:
            native = processor.multiplies_bfloat16()
        else:
            native = self._device.type != "cuda" or torch.cuda.is_bf16_supported()
        return ["bfloat16", "float32"] if native else ["float32"]

    def _agrees(self, dtype: torch.dtype, plain: NDArray[np.float32]) -> bool:
        """Make the network fast; tell whether it gives the vectors that the plain one gave."""
        own, body = getattr(self._network.config, "_attn_implementation", None), self._body
        try:
            if self._on_processor:
                acceleration.accelerate(body, dtype)
            else:
                acceleration.cast(body, dtype)
            try:
                fast = self._sample()
            except acceleration.UnusualAttention:
                body.set_attn_implementation(own)
                fast = self._sample()
        except (RuntimeError, TypeError, ValueError, AttributeError) as error:
            _log.info("%s cannot be made fast in %s: %s", self._folder.path, dtype, error)
            return False
        return self._is_near(fast, plain, dtype)


class Network(Runner):
    """The vectors of texts; see `Runner`."""

    def __init__(self, folder: ModelFolder, *, arithmetic: Arithmetic = "auto", device: str = "auto") -> None:
        opening.require_torch()
        self._head = heads.after_pooling(folder.steps[1:])
        super().__init__(folder, arithmetic=arithmetic, device=device)

    def encode(self, texts: Sequence[str], *, prompt: str = "", batch_size: int = 32) -> NDArray[np.float32]:
        """(n, d) float32 vectors, in the order of the texts."""
        vectors = np.empty((len(texts), self._folder.width), dtype=np.float32)
        taken = 0 if self._folder.pooling.include_prompt else self._tokenizer.prompt_length(prompt)

        def write(rows: NDArray[np.int64], ids: list[Ids]) -> None:
            vectors[rows] = self._vectors(ids, taken)

        self._for_each_batch(texts, self._after(prompt), batch_size, write)
        return vectors

    def token_vectors(self, texts: Sequence[str], *, prompt: str = "", batch_size: int = 32) -> Ragged:
        """The network's output: a vector for each real token of each text, special tokens included."""
        blocks: list[NDArray[np.float32]] = [np.empty((0, 0), dtype=np.float32)] * len(texts)

        def write(rows: NDArray[np.int64], ids: list[Ids]) -> None:
            hidden = self._hidden(ids)[0].float().cpu().numpy()
            for row, tokens, own in zip(rows, hidden, ids, strict=True):
                blocks[row] = tokens[: len(own)].copy()

        self._for_each_batch(texts, self._after(prompt), batch_size, write)
        return Ragged.of(blocks, self._folder.token_width)

    def lengths(self, texts: Sequence[str], *, prompt: str = "") -> NDArray[np.int64]:
        """How many tokens each text has before it is cut at the limit."""
        return self._tokenizer.lengths([prompt + text for text in texts])

    def tokens(self, text: str) -> Tokens:
        """How one text is read."""
        ids = self._tokenizer.ids([text])[0]
        pieces, known = self._tokenizer.pieces(ids)
        table = self._network.get_input_embeddings().weight
        rows = table[ids.astype(np.int64)].detach().float().cpu().numpy()
        return Tokens(pieces, ids.astype(np.int64), known, len(table), rows)

    def _open(self) -> Any:
        return opening.open_network(self._folder)

    def _open_tokenizer(self) -> Tokenizer:
        return Tokenizer(opening.open_tokenizer(self._folder), self.limit, lower=self._folder.lower)

    def _after(self, prompt: str) -> Callable[[Sequence[str]], list[Ids]]:
        """What reads texts that come after a prompt."""
        return lambda texts: self._tokenizer.ids([prompt + text for text in texts])

    def _hidden(self, ids: list[Ids]) -> tuple[Tensor, Tensor]:
        """The network's output for a batch, padded on the right: (n, l, d), and the lengths (n,)."""
        given, lengths = padded(ids, self._tokenizer.padding, self._device)
        hidden: Tensor = self._network(**given).last_hidden_state
        return hidden, lengths

    def _vectors(self, ids: list[Ids], prompt: int) -> NDArray[np.float32]:
        hidden, lengths = self._hidden(ids)
        found: NDArray[np.float32] = self._head(heads.pool(hidden, lengths, self._folder.pooling, prompt)).cpu().numpy()
        return found

    def _sample(self) -> NDArray[np.float32]:
        """Unit vectors of the sample, encoded as one padded batch, longest text first."""
        import torch

        ids = sorted(self._tokenizer.ids(SAMPLE), key=len, reverse=True)
        with torch.inference_mode():
            return normalise(self._vectors(ids, 0))

    def _is_near(self, fast: NDArray[np.float32], plain: NDArray[np.float32], dtype: torch.dtype) -> bool:
        import torch

        return float((fast * plain).sum(axis=1).mean()) >= (TOLERANCE if dtype == torch.bfloat16 else _EXACT)


def in_batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Rows in batches of about one length, longest first, each of at most `budget` tokens, padding included.

    >>> list(in_batches([3, 9, 4, 3], budget=10))
    [[1], [2, 0], [3]]
    """
    batch: list[int] = []
    longest = 0
    for row in np.argsort(-np.asarray(lengths), kind="stable").tolist():
        if batch and (len(batch) + 1) * longest > budget:
            yield batch
            batch = []
        if not batch:
            longest = lengths[row]
        batch.append(row)
    if batch:
        yield batch


def workers(count: int, threads: int) -> ThreadPoolExecutor:
    """`count` threads of Python, made once and kept, in each of which torch uses `threads` threads."""
    import torch

    def begin() -> None:
        torch.get_num_threads()  # a thread that was not asked before takes the number that the process has when it is
        torch.set_num_threads(threads)  # counts for this thread, and for those that begin before it is put back

    with _starting:
        if (count, threads) not in _pools:
            before, ready = torch.get_num_threads(), threading.Barrier(count)
            pool = ThreadPoolExecutor(count, "encoding", initializer=begin)
            list(pool.map(lambda _: ready.wait(), range(count)))  # until each of them has begun
            torch.set_num_threads(before)
            _pools[count, threads] = pool
        return _pools[count, threads]
