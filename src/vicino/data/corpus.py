"""A corpus: text of any size as integers on disk, with the words that they stand for.

Text is read as bytes and cut into pieces by compiled code, several cores at once; each distinct piece is analysed once, by the
`Analyzer` that everything else uses, so that the fast way and the plain one give the same words. What is read is written at
once, so that memory holds the vocabulary and not the text.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts
from vicino.data.corpus_pieces import Spool, read_pieces
from vicino.data.scratch import reserve, scratch
from vicino.data.text import Analyzer, TokenIds, Vocabulary
from vicino.errors import ArtifactCorrupt, EmptyInput, InputError

__all__ = ["Corpus", "Rules", "join_phrases", "open_corpus", "read_corpus"]

LONG = 10_000  # words: a longer sentence is cut
LARGE = 1_000_000  # words: from so many on, rare ones are left out unless it is said otherwise
RARE = 5

Ids = NDArray[np.int32]


@dataclass(frozen=True)
class Rules:
    """What is a word, what is a sentence, and which words are kept.

    `min_count` leaves out words that come fewer times; None means 5 from a million words on, and 1 below. `max_vocab` keeps the
    most frequent. With `lines` a line is a sentence, and one of more than `max_sentence` words is several; sentences without a
    word are left out. Without `lines` each text (item, row, file) is one sentence, however long, and an empty one too.
    """

    analyzer: Analyzer = field(default_factory=Analyzer)
    min_count: int | None = None
    max_vocab: int | None = None
    lines: bool = True
    max_sentence: int = LONG

    def __post_init__(self) -> None:
        for name, least in (("min_count", 1), ("max_vocab", 1), ("max_sentence", 2)):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < least):
                raise InputError(f"{name}={value!r} cannot be", mend=f"give a whole number from {least} on")


@dataclass(frozen=True, eq=False)
class Corpus(TokenIds):
    """Sentence s is `corpus[s]`, an int32 array of words; `corpus.vocabulary.terms[w]` came `counts[w]` times.

    Words are numbered from the most frequent on, those of equal count by their spelling. `ids` and `offsets` are mapped from
    `folder`. `undecodable` counts the pieces of text with bytes that are not UTF-8, which were read as U+FFFD, so that the
    letters around them are words of their own; `left_out` says in a line what could not be read at all.
    """

    counts: NDArray[np.int64]
    folder: Path
    undecodable: int = 0
    left_out: str = ""


def read_corpus(
    source: Any,
    rules: Rules | None = None,
    *,
    vocabulary: Vocabulary | None = None,
    folder: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    label: str = "reading words",
) -> Corpus:
    """Text as a `Corpus`. The same for any number of `threads` (by default, all cores).

    `source` is a path, or an iterable of str or of lists of str. A file of text (also .gz, .xz) is read line by line and never
    held in memory; any other kind that `read_documents` knows, such as .jsonl, gives its documents, and a folder all of its
    files. Words in lists are taken as they are. A given `vocabulary` keeps its words and their numbers, and new ones that the
    rules let in come after them.

    The arrays live in `folder`, which `open_corpus` opens again, or else in a temporary folder that goes when the corpus goes.

    Raises EmptyInput where there is no word, or `min_count` leaves none; UnreadableSource for a path that cannot be read;
    InputError for items of another kind; ArtifactError where the folder cannot be written.

    >>> corpus = read_corpus(["A wing lifts.\\nThe wing", "", "a kite lifts"])
    >>> corpus.vocabulary.terms, corpus.counts.tolist(), corpus[1].tolist(), len(corpus)
    (['a', 'lifts', 'wing', 'kite', 'the'], [2, 2, 2, 1, 1], [4, 2], 3)
    """
    rules = rules or Rules()
    found = Vocabulary(vocabulary or ())
    known = len(found)
    with Spool(_beside(folder)) as spool:
        read_pieces(source, spool, found, rules.analyzer, lines=rules.lines, threads=threads or os.cpu_count() or 1, label=label)
        return _written(spool, found, known, rules, folder)


def open_corpus(folder: str | os.PathLike[str]) -> Corpus:
    """Open what `read_corpus` left in a folder. Raises ArtifactError, ArtifactCorrupt or ArtifactTooNew."""
    saved = artifacts.read(folder, kind="corpus")
    terms, counts = saved.arrays["terms"], saved.arrays["counts"]
    ids, offsets = (_mapped(saved.path / "tokens" / name) for name in ("ids.npy", "offsets.npy"))
    whole = ids.dtype == np.int32 and offsets.dtype == np.int64 and [len(ids), len(offsets) - 1] == saved.data["size"]
    whole = whole and len(terms) == len(counts) and 0 <= ids.min(initial=0) <= ids.max(initial=0) < len(terms)
    if not whole or offsets[0] != 0 or offsets[-1] != len(ids) or (np.diff(offsets) < 0).any():
        raise _damaged(saved.path)
    return Corpus(ids, offsets, Vocabulary(terms), counts, saved.path, saved.data["undecodable"], saved.data["left_out"])


def join_phrases(
    corpus: Corpus, *, threshold: float = 0.5, min_count: int = 5, folder: str | os.PathLike[str] | None = None
) -> Corpus:
    """The corpus with pairs of words that belong together made one word, "new" "york" -> "new_york".

    Those are the neighbours that come `min_count` times or more, and whose normalised pointwise mutual information,
    ln(p(ab) / p(a) p(b)) / -ln p(ab), is `threshold` or more (Bouma 2009). Call it again for phrases of more words. Takes 16
    bytes of memory a word of text. Raises InputError for a threshold outside of -1 to 1.

    >>> corpus = read_corpus(["new york is new", "a new york", "is it new"])
    >>> join_phrases(corpus, min_count=2).vocabulary.terms
    ['is', 'new', 'new_york', 'a', 'it']
    """
    from vicino.data.corpus_kernels import join_pairs

    if not -1 <= threshold <= 1:
        raise InputError(f"threshold={threshold} is no normalised mutual information", mend="give a number in -1 to 1")
    n, terms = len(corpus.vocabulary), corpus.vocabulary.terms
    keys = _phrases(corpus, threshold, min_count)
    found = Vocabulary(terms)
    with Spool(_beside(folder)) as spool:
        stream = np.empty(len(corpus.ids) + len(corpus), np.int32)
        stream = stream[: join_pairs(corpus.ids, corpus.offsets, keys, n, stream)]
        spool.add(0, stream)
        joined = [[found.add(f"{terms[key // n]}_{terms[key % n]}")] for key in keys.tolist()]
        counts = np.bincount(stream[stream >= 0], minlength=n + len(keys))
        spool.tables.append(([[word] for word in range(n)] + joined, counts))
        spool.undecodable, spool.left_out = corpus.undecodable, corpus.left_out
        return _written(spool, found, 0, Rules(min_count=1, lines=False), folder)


def _phrases(corpus: Corpus, threshold: float, min_count: int) -> NDArray[np.int64]:
    """The keys, left · n + right, of the pairs to join, ascending."""
    inside = np.ones(max(len(corpus.ids) - 1, 0), bool)
    inside[corpus.offsets[1:-1][corpus.offsets[1:-1] < len(corpus.ids)] - 1] = False  # no pair across two sentences
    n = len(corpus.vocabulary)
    pairs = corpus.ids[:-1][inside].astype(np.int64) * n + corpus.ids[1:][inside]
    keys, times = np.unique(pairs, return_counts=True)
    often = times >= min_count
    keys, together = keys[often], times[often] / len(corpus.ids)
    left, right = corpus.counts[keys // n] / len(corpus.ids), corpus.counts[keys % n] / len(corpus.ids)
    chosen: NDArray[np.int64] = keys[np.log(together / (left * right)) >= -threshold * np.log(together)]
    return chosen


# From pieces to words on disk -----------------------------------------------------------------------------------------


def _beside(folder: str | os.PathLike[str] | None) -> Path | None:
    """Where the arrays will live, there is room for what is temporary."""
    return None if folder is None else Path(folder).absolute().parent


def _written(spool: Spool, found: Vocabulary, known: int, rules: Rules, folder: str | os.PathLike[str] | None) -> Corpus:
    """Choose and number the words, put them in place of the pieces, and open what is written."""
    flat = [_flat(words_of) for words_of, _ in spool.tables]
    counts = np.zeros(len(found), np.int64)
    for (firsts, words), (_, times) in zip(flat, spool.tables, strict=True):
        counts += np.bincount(words, np.repeat(times, np.diff(firsts)), minlength=len(found)).astype(np.int64)
    kept = _kept(found.terms, counts, known, rules)
    rank = np.full(len(found), -1, np.int32)
    rank[kept] = np.arange(len(kept))
    flat = [_renumbered(firsts, words, rank) for firsts, words in flat]
    size = [int(counts[kept].sum()), 0]

    def write_tokens(target: Path) -> None:
        target.mkdir()
        size[1] = _place(spool, flat, rules, size[0], target)

    data = {"rules": asdict(rules), "size": size, "undecodable": spool.undecodable, "left_out": spool.left_out}
    arrays = {"terms": [found.terms[word] for word in kept.tolist()], "counts": counts[kept]}
    with ExitStack() as stack:
        path = stack.enter_context(scratch("corpus")) / "corpus" if folder is None else Path(folder)
        artifacts.write(path, kind="corpus", data=data, arrays=arrays, parts={"tokens": write_tokens})
        corpus = open_corpus(path)
        weakref.finalize(corpus, stack.pop_all().close)
    return corpus


def _kept(terms: Sequence[str], counts: NDArray[np.int64], known: int, rules: Rules) -> NDArray[np.int64]:
    """The words to keep: those known before, then the others by falling count and rising spelling."""
    least = rules.min_count or (RARE if counts.sum() >= LARGE else 1)
    new = [word for word in np.flatnonzero(counts >= least).tolist() if word >= known]
    new.sort(key=lambda word: (-counts[word], terms[word]))
    if rules.max_vocab is not None:
        del new[max(rules.max_vocab - known, 0) :]
    kept = np.array([*range(known), *new], np.int64)
    if not counts[kept].sum():
        if counts.any():
            mend = "lower min_count, or give more text"
            raise EmptyInput(f"no word comes {least} times: the most frequent comes {counts.max()} times", mend=mend)
        raise EmptyInput("there is no word in there", mend="give text with letters or digits in it")
    return kept


def _flat(words_of: list[list[int]]) -> tuple[NDArray[np.int64], Ids]:
    """Lists one after another: list i is words[firsts[i]:firsts[i + 1]]."""
    firsts = np.zeros(len(words_of) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, words_of), np.int64, len(words_of)), out=firsts[1:])
    return firsts, np.fromiter(chain.from_iterable(words_of), np.int32, int(firsts[-1]))


def _renumbered(firsts: NDArray[np.int64], words: Ids, rank: Ids) -> tuple[NDArray[np.int64], Ids]:
    """The same lists with the words' new numbers, without those that are not kept."""
    words = rank[words]
    before = np.concatenate([[0], np.cumsum(words >= 0)])
    return before[firsts], words[words >= 0]


def _place(spool: Spool, flat: Sequence[tuple[NDArray[np.int64], Ids]], rules: Rules, total: int, target: Path) -> int:
    """Write the two arrays; returns the number of sentences."""
    from vicino.data.corpus_kernels import place

    limit = rules.max_sentence if rules.lines else 0
    ids = np.lib.format.open_memmap(target / "ids.npy", "w+", np.int32, (total,))
    reserve(target / "ids.npy", ids.offset + ids.nbytes)
    offsets = np.zeros(spool.ends + (total // limit if limit else 0) + 1, np.int64)
    done = 0, 0
    for table, stream in spool:
        done = place(stream, *flat[table], limit, not rules.lines, np.asarray(ids), offsets, done)
    ids.flush()
    np.save(target / "offsets.npy", offsets[: done[1] + 1])
    return done[1]


def _mapped(path: Path) -> NDArray[Any]:
    try:
        # copy on write: compiled code then sees the type that it was compiled for, and the file stays as it is
        return np.asarray(np.load(path, mmap_mode="c", allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(path.parent.parent) from error


def _damaged(folder: Path) -> ArtifactCorrupt:
    return ArtifactCorrupt(f"{folder} is damaged: its words are not those that were written", mend="read the text again")
