"""Texts -> token ids, cut at the limit, in chunks that keep memory small whatever the texts are.

A text of millions of characters is not tokenised whole only to be cut: its first piece is, up to a white space, and the rest
only where that piece does not fill the limit. Counting is honest all the same: `lengths` goes through the whole text, piece
by piece (a tokenizer that does not break words at white space may count a token more or less at each border).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino.errors import InputError, UnreadableSource

__all__ = ["Tokenizer"]

_PIECE = 1 << 18  # characters: a longer text is read in pieces
_CHUNK = 1 << 20  # characters tokenised at a time: an encoding takes some 200 bytes a token

Ids = NDArray[np.int32]


class Tokenizer:
    """A tokenizer of transformers with one length limit; `limit` counts the special tokens too and may be None."""

    def __init__(self, tokenizer: Any, limit: int | None, *, lower: bool = False) -> None:
        self.limit = limit
        self.padding = int(tokenizer.pad_token_id or 0)
        self.special = int(tokenizer.num_special_tokens_to_add(False))
        self._tokenizer = tokenizer
        self._fast: Any = getattr(tokenizer, "backend_tokenizer", None)  # the tokenizers library; None for one in Python
        if limit is not None and limit <= self.special:
            raise InputError(
                f"a max_seq_length of {limit} leaves no room beside {self.special} special tokens",
                mend=f"give at least {self.special + 1}",
            )
        if self._fast is not None:
            self._set_up(lower)
        elif lower:
            tokenizer.do_lower_case = True

    def _set_up(self, lower: bool) -> None:
        from tokenizers.normalizers import Lowercase, Sequence

        if any(self._fast.encode("a").type_ids):  # XLNet, Funnel: nothing else numbers the parts of a single text
            raise UnreadableSource(
                "this tokenizer gives types to tokens, which vicino does not pass on", mend="choose another model"
            )
        if lower:
            self._fast.normalizer = Sequence([Lowercase(), *filter(None, [self._fast.normalizer])])
        self._fast.no_padding()
        self._fast.no_truncation()
        if self.limit is not None:
            self._fast.enable_truncation(self.limit, direction=getattr(self._tokenizer, "truncation_side", "right"))
        self._many = getattr(self._fast, "encode_batch_fast", self._fast.encode_batch)  # fast: without offsets

    def ids(self, texts: Sequence[str]) -> list[Ids]:
        """The token ids of each text, special ones included, at most `limit`."""
        found: list[Ids] = []
        for chunk in _chunks(texts):
            heads = [next(_pieces(text)) if self.limit is not None else text for text in chunk]
            read = [ids for ids, _ in self._read(heads)]
            for place, (text, head) in enumerate(zip(chunk, heads, strict=True)):
                if len(head) < len(text) and len(read[place]) < (self.limit or 0):
                    read[place] = self._read([text])[0][0]  # a first piece of next to nothing but white space
            found += read
        return found

    def lengths(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """How many tokens each text has in full, special ones included: (n,)."""
        counts = np.full(len(texts), self.special, dtype=np.int64)
        pieces = [(row, piece) for row, text in enumerate(texts) for piece in _pieces(text)]
        rows = iter(row for row, _ in pieces)
        for chunk in _chunks([piece for _, piece in pieces]):
            for _, length in self._read(chunk):
                counts[next(rows)] += length - self.special
        return counts

    def pieces(self, ids: Ids) -> tuple[tuple[str, ...], NDArray[np.bool_]]:
        """The piece of text that each id stands for, and whether it is one that the vocabulary knows."""
        unknown = self._tokenizer.unk_token_id
        found = tuple(str(piece) for piece in self._tokenizer.convert_ids_to_tokens(ids.tolist()))
        return found, np.ones(len(ids), dtype=np.bool_) if unknown is None else ids != unknown

    def prompt_length(self, prompt: str) -> int:
        """How many of a text's tokens a prompt takes; a special token that closes the text is not of the prompt."""
        ids = self.ids([prompt])[0].tolist()
        return len(ids) - (bool(ids) and ids[-1] in self._tokenizer.all_special_ids)

    def _read(self, texts: Sequence[str]) -> list[tuple[Ids, int]]:
        """The ids of each text and how many there were before the cut."""
        texts = [_whole(text) for text in texts]
        if self._fast is None:
            return self._read_slowly(texts)
        return [(np.array(found.ids, dtype=np.int32), self._full(found)) for found in self._many(texts)]

    def _full(self, found: Any) -> int:
        length = len(found)
        if self.limit is not None and length >= self.limit:
            length += sum(len(rest) - self.special for rest in found.overflowing)
        return length

    def _read_slowly(self, texts: list[str]) -> list[tuple[Ids, int]]:
        full = cut = self._tokenizer(texts, verbose=False)["input_ids"]
        if self.limit is not None:
            cut = self._tokenizer(texts, truncation=True, max_length=self.limit)["input_ids"]
        return [(np.array(ids, dtype=np.int32), len(whole)) for ids, whole in zip(cut, full, strict=True)]


def _chunks(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Neighbouring texts of about `_CHUNK` characters together; an endless text counts only as its first piece."""
    start = size = 0
    for place, text in enumerate(texts):
        if size >= _CHUNK:
            yield texts[start:place]
            start, size = place, 0
        size += min(len(text), _PIECE)
    if start < len(texts):
        yield texts[start:]


def _pieces(text: str) -> Iterator[str]:
    """A text in pieces of about `_PIECE` characters that end before a white space; "" has one piece.

    >>> list(_pieces("near")), [len(piece) for piece in _pieces("near " * 100_000)]
    (['near'], [262139, 237861])
    """
    start = 0
    while len(text) - start > _PIECE:
        end = _last_space(text, start + _PIECE // 2, start + _PIECE)
        yield text[start:end]
        start = end
    yield text[start:]


def _last_space(text: str, start: int, stop: int) -> int:
    """Where the last white space between two places is; `stop` where there is none."""
    first = re.search(r"\s", text[start:stop][::-1])
    return stop if first is None else stop - first.start() - 1


def _whole(text: str) -> str:
    """Lone surrogates, which are no characters, become U+FFFD: tokenizers read Unicode only."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
