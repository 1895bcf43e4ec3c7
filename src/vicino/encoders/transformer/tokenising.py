"""Texts, or pairs of them, -> token ids, cut at the limit, in chunks that keep memory small whatever the texts are.

A text of millions of characters is not tokenised whole only to be cut: its first piece is, up to a white space, and the rest
only where that piece does not fill the limit. Counting is honest all the same: `lengths` goes through the whole text, piece
by piece (a tokenizer that does not break words at white space may count a token more or less at each border).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vicino.errors import InputError, UnreadableSource

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["Ids", "Tokenizer", "padded"]

_PIECE = 1 << 18  # characters: a longer text is read in pieces
T = TypeVar("T", bound="str | tuple[str, str]")
_CHUNK = 1 << 20  # characters tokenised at a time: an encoding takes some 200 bytes a token

Ids = NDArray[np.int32]  # (l,); of pairs (l, 2) where the network reads beside each token which text it is of, 0 or 1


class Tokenizer:
    """A tokenizer of transformers with one length limit; `limit` counts the special tokens too and may be None.

    With `paired` it reads pairs; with `typed` it says of each token, besides, which text of the pair it is of.
    """

    def __init__(
        self, tokenizer: Any, limit: int | None, *, lower: bool = False, paired: bool = False, typed: bool = False
    ) -> None:
        self.limit = limit
        self.padding = int(tokenizer.pad_token_id or 0)
        self.special = int(tokenizer.num_special_tokens_to_add(paired))
        self._typed = typed and "token_type_ids" in tokenizer.model_input_names
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

    def words(self, texts: Sequence[str]) -> list[Ids]:
        """Which word each of a text's `ids` is of, counted from 0; -1 of special tokens. A tokenizer in Python does not tell:
        there each token is a word."""
        if self._fast is None:
            special = self._tokenizer.all_special_ids
            return [np.where(np.isin(own, special), -1, np.arange(len(own))).astype(np.int32) for own in self.ids(texts)]
        found: list[Ids] = []
        for chunk in _chunks(texts):
            heads = [_whole(next(_pieces(text)) if self.limit is not None else text) for text in chunk]
            for text, head, read in zip(chunk, heads, self._fast.encode_batch(heads), strict=True):
                short = len(head) < len(text) and len(read) < (self.limit or 0)
                words = (self._fast.encode(_whole(text)) if short else read).word_ids
                found.append(np.array([-1 if word is None else word for word in words], dtype=np.int32))
        return found

    def pairs(self, pairs: Sequence[tuple[str, str]]) -> list[Ids]:
        """The token ids of each pair, special ones included, at most `limit`: what is too long loses its end, the longer text
        of a pair first."""
        found: list[Ids] = []
        for chunk in _chunks(pairs):
            heads = [tuple(_whole(next(_pieces(text)) if self.limit is not None else text) for text in pair) for pair in chunk]
            found += self._read_pairs(heads)
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

    def _read_pairs(self, pairs: Sequence[Any]) -> list[Ids]:
        if self._fast is None:
            cut = {} if self.limit is None else {"truncation": "longest_first", "max_length": self.limit}
            read = self._tokenizer([a for a, _ in pairs], [b for _, b in pairs], verbose=False, **cut)
            ids, types = read["input_ids"], read.get("token_type_ids", read["input_ids"])
        else:
            both = self._many(pairs)
            ids, types = [found.ids for found in both], [found.type_ids for found in both]
        listed = zip(ids, types, strict=True)
        return [np.array(own if self._typed else own[0], dtype=np.int32).T for own in listed]

    def _read_slowly(self, texts: list[str]) -> list[tuple[Ids, int]]:
        full = cut = self._tokenizer(texts, verbose=False)["input_ids"]
        if self.limit is not None:
            cut = self._tokenizer(texts, truncation=True, max_length=self.limit)["input_ids"]
        return [(np.array(ids, dtype=np.int32), len(whole)) for ids, whole in zip(cut, full, strict=True)]


def padded(ids: Sequence[Ids], padding: int, device: torch.device) -> tuple[dict[str, Tensor], Tensor]:
    """What a network takes for rows of tokens, padded on the right to (n, l), and their lengths (n,)."""
    import torch

    lengths = np.array([len(own) for own in ids])
    filled = np.full((len(ids), max(1, lengths.max()), *ids[0].shape[1:]), padding, dtype=np.int64)
    real = np.arange(filled.shape[1]) < lengths[:, None]
    filled[real] = np.concatenate(ids)
    given = {"input_ids": filled} if filled.ndim == 2 else {"input_ids": filled[..., 0], "token_type_ids": filled[..., 1] * real}
    if not real.all():
        given["attention_mask"] = real.astype(np.int64)
    return {name: torch.from_numpy(each).to(device) for name, each in given.items()}, torch.from_numpy(lengths).to(device)


def _chunks(texts: Sequence[T]) -> Iterator[Sequence[T]]:
    """Neighbouring texts, or pairs, of about `_CHUNK` characters together; an endless text counts only as its first piece."""
    start = size = 0
    for place, text in enumerate(texts):
        if size >= _CHUNK:
            yield texts[start:place]
            start, size = place, 0
        size += sum(min(len(each), _PIECE) for each in ([text] if isinstance(text, str) else text))
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
