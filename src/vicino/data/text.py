"""Text to terms, terms to integers: the one analysis that BM25, TF-IDF, word vectors and topics share.

A text is analysed in three steps, of which the second and third are done once for each distinct piece of a corpus:

1. pieces: runs of ASCII letters, digits and `_`, and of anything that is not ASCII (ASCII spaces and punctuation part them);
2. words: a piece in normal form NFC, cut by Unicode's classes: letters, digits and connectors with the marks that combine
   with them. Scripts written without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) give overlapping pairs of
   characters, and a lone character itself: their words cannot be told apart without a dictionary;
3. terms: identifiers also give their parts (`tokens="code"`); full case folding; short words and stop words go; stems.

NFC and not NFKC, so that `x²` is not `x2`; case folding and not lower case, so that `Straße` meets `STRASSE`.
"""

from __future__ import annotations

import re
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import chain, count
from typing import Any, Literal
from unicodedata import normalize

import numpy as np
import regex
from numpy.typing import NDArray

from vicino.errors import DuplicateIds, InputError, UnknownName
from vicino.progress import track

__all__ = ["UNKNOWN", "Analyzer", "TokenIds", "Vocabulary", "encode_corpus"]

UNKNOWN = -1  # the id of a term that is not in the vocabulary

_BLOCK = 1 << 15  # pieces
_PIECE = re.compile(r"[^\x00-/:-@\[-^`{-\x7f]+")  # no ASCII but letters, digits and _
_UNSPACED = r"[\w&&[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}ーｰ]]"
_WORD = regex.compile(rf"(?P<run>{_UNSPACED}+)|[\w--{_UNSPACED}--\p{{M}}--\p{{Join_Control}}][\w--{_UNSPACED}]*", regex.VERSION1)
_RUN = regex.compile(_UNSPACED, regex.VERSION1)
_PART = regex.compile(r"\p{Lu}+(?!\p{Ll})[^\p{L}_]*|\p{Lu}?[^\p{Lu}_]+")
_ENGLISH = """a about after all also an and any are as at be been but by can could did do does for from had has have he her
his how if in into is it its may more most no not of on or other our she should so some such than that the their them then there
these they this those to was we were what when where which who why will with would you your"""
_STOPWORDS = {"english": frozenset(_ENGLISH.split())}


@dataclass(frozen=True)
class Analyzer:
    """How a text becomes terms, as plain data: equal fields give equal terms.

    `tokens` is "words", or "code", where an identifier of several parts gives itself and its parts. `stemmer` is None or a
    Snowball language; `stopwords` None or "english"; `min_length` is in characters of the unstemmed word, and does not apply to
    scripts that are written without spaces.
    Raises UnknownName or InputError where a field cannot be.

    >>> Analyzer(stemmer="english", stopwords="english").terms("The wings of a gliding plane, naïvely")
    ['wing', 'glide', 'plane', 'naïv']
    >>> Analyzer(tokens="code").terms("self.parseHTTPBody(max_length)")
    ['self', 'parsehttpbody', 'parse', 'http', 'body', 'max_length', 'max', 'length']
    >>> Analyzer().terms("東京都 Straße")
    ['東京', '京都', 'strasse']
    """

    tokens: Literal["words", "code"] = "words"
    lowercase: bool = True
    stemmer: str | None = None
    stopwords: str | None = None
    min_length: int = 1

    def __post_init__(self) -> None:
        if self.tokens not in ("words", "code"):
            raise UnknownName.among(str(self.tokens), ["words", "code"], kind="way to cut text")
        if self.stopwords is not None and self.stopwords not in _STOPWORDS:
            raise UnknownName.among(self.stopwords, _STOPWORDS, kind="list of stop words")
        if self.min_length < 1:
            raise InputError(f"min_length={self.min_length} is not a length", mend="give 1 to keep every word")
        if self.stemmer is not None:
            _stem(self.stemmer)

    def terms(self, text: str) -> list[str]:
        """The terms of `text`, in its order, repeats and all."""
        return [term for piece in _PIECE.findall(text) for term in self._terms_of(piece)]

    def to_json(self) -> dict[str, Any]:
        """The fields, as JSON can say them."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Analyzer:
        """The analyser whose `to_json` gave `plain`. Raises InputError for an unknown field."""
        try:
            return cls(**plain)
        except TypeError as error:
            raise InputError(f"not the fields of an analyser: {error}", mend="save it again with to_json()") from error

    def _terms_of(self, piece: str) -> list[str]:
        words = [piece] if piece.isascii() else list(_words(normalize("NFC", piece)))
        if self.tokens == "code":
            words = [part for word in words for part in _with_parts(word)]
        if self.lowercase:
            words = [normalize("NFC", word.casefold()) for word in words]
        if self.stopwords:
            stopwords = _STOPWORDS[self.stopwords]
            words = [word for word in words if word.casefold() not in stopwords]
        if self.min_length > 1:
            words = [word for word in words if len(word) >= self.min_length or _RUN.match(word)]
        return list(map(_stem(self.stemmer), words)) if self.stemmer else words


def _words(piece: str) -> Iterator[str]:
    for match in _WORD.finditer(piece):
        word = match[0]
        if match["run"] and len(word) > 1:
            yield from (word[at : at + 2] for at in range(len(word) - 1))
        else:
            yield word


def _with_parts(identifier: str) -> list[str]:
    parts = _PART.findall(identifier)
    return [identifier] if parts == [identifier] else [identifier, *parts]


@lru_cache
def _stem(language: str) -> Callable[[str], str]:
    import Stemmer

    if language not in Stemmer.algorithms():
        raise UnknownName.among(language, Stemmer.algorithms(), kind="Snowball stemmer")
    stem: Callable[[str], str] = Stemmer.Stemmer(language).stemWord
    return stem


class Vocabulary:
    """Terms and their ids: 0, 1, 2 ... in the order in which they came.

    >>> vocabulary = Vocabulary(["wing", "lift"])
    >>> vocabulary["lift"], vocabulary.terms[1], vocabulary.get("drag"), vocabulary.add("drag"), len(vocabulary)
    (1, 'lift', -1, 2, 3)
    """

    def __init__(self, terms: Iterable[str] = ()) -> None:
        """Raises DuplicateIds where a term comes twice."""
        self.terms: list[str] = list(terms)
        self._ids = {term: number for number, term in enumerate(self.terms)}
        if len(self._ids) < len(self.terms):
            raise DuplicateIds("a vocabulary names a term twice", mend="give each term once")

    def add(self, term: str) -> int:
        """The id of `term`, a new one where it is new."""
        number = self._ids.setdefault(term, len(self._ids))
        if number == len(self.terms):
            self.terms.append(term)
        return number

    def get(self, term: str, default: int = UNKNOWN) -> int:
        """The id of `term`, or `default`."""
        return self._ids.get(term, default)

    def __getitem__(self, term: str) -> int:
        return self._ids[term]

    def __contains__(self, term: object) -> bool:
        return term in self._ids

    def __iter__(self) -> Iterator[str]:
        return iter(self.terms)

    def __len__(self) -> int:
        return len(self.terms)


@dataclass(frozen=True, eq=False)
class TokenIds:
    """Texts as integers: text i is `ids[offsets[i]:offsets[i + 1]]`; `ids` is int32, `offsets` int64 of length texts + 1."""

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    vocabulary: Vocabulary

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> NDArray[np.int32]:
        row = range(len(self))[row]
        return self.ids[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """How many terms each text has."""
        return np.diff(self.offsets)

    def joined(self, more: TokenIds) -> TokenIds:
        """These texts, then `more` of the same vocabulary."""
        ids, offsets = np.concatenate([self.ids, more.ids]), np.concatenate([self.offsets, self.offsets[-1] + more.offsets[1:]])
        return TokenIds(ids, offsets, self.vocabulary)

    def rows(self, rows: NDArray[np.int64]) -> TokenIds:
        """Only the texts at these places, in this order."""
        lengths = self.lengths[rows]
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        places = np.repeat(self.offsets[rows] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return TokenIds(self.ids[places], offsets, self.vocabulary)


def encode_corpus(
    texts: Iterable[str],
    analyzer: Analyzer,
    vocabulary: Vocabulary | None = None,
    *,
    grow: bool = True,
    label: str = "reading words",
) -> TokenIds:
    """The ids of every term of every text, read as a stream; equal to `analyzer.terms` text by text.

    A given `vocabulary` is added to, unless `grow` is False: then a term that it lacks keeps its place as UNKNOWN (-1).
    About 20 MB a second: pieces are numbered as they come, and each distinct one is analysed once.

    >>> corpus = encode_corpus(["a wing", "lift, a wing"], Analyzer())
    >>> corpus[1].tolist(), corpus.vocabulary.terms
    ([2, 0, 1], ['a', 'wing', 'lift'])
    >>> encode_corpus(["a kite"], Analyzer(), corpus.vocabulary, grow=False).ids.tolist()
    [0, -1]
    """
    vocabulary = Vocabulary() if vocabulary is None else vocabulary
    number_of: defaultdict[str, int] = defaultdict(count().__next__)
    pieces = array("i")
    ends = array("q", [0])
    for text in track(texts, label, unit="texts"):
        pieces.extend(map(number_of.__getitem__, _PIECE.findall(text)))
        ends.append(len(pieces))
    look_up = vocabulary.add if grow else vocabulary.get
    terms_of = [[look_up(term) for term in analyzer._terms_of(piece)] for piece in number_of]
    return TokenIds(*_expand(np.frombuffer(pieces, np.int32), np.frombuffer(ends, np.int64), terms_of), vocabulary)


def _expand(
    pieces: NDArray[np.int32], ends: NDArray[np.int64], terms_of: list[list[int]]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Put the terms of each piece in its place, block by block so that the temporary arrays stay in the cache."""
    sizes = np.fromiter(map(len, terms_of), np.int32, len(terms_of))
    terms = np.fromiter(chain.from_iterable(terms_of), np.int32, int(sizes.sum()))
    firsts = np.cumsum(sizes) - sizes
    blocks = [np.empty(0, np.int32)]
    ahead = np.zeros(len(pieces) + 1, np.int64)  # how many terms stand before each piece, and in all
    for start in range(0, len(pieces), _BLOCK):
        block, total = pieces[start : start + _BLOCK], ahead[start + 1 : start + 1 + _BLOCK]
        here = sizes[block]
        np.cumsum(here, out=total)
        blocks.append(terms[np.repeat(firsts[block] - total + here, here) + np.arange(here.sum())])
        total += ahead[start]
    return np.concatenate(blocks), ahead[ends]
