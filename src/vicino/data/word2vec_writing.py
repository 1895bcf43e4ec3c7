"""Words and their vectors to files that others read: the reverse of `word2vec.py`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vicino import progress
from vicino.errors import ArtifactError, InputError, UnknownName

__all__ = ["WordFormat", "write_word_vectors"]

WordFormat = Literal["word2vec", "word2vec-binary", "glove"]


def write_word_vectors(path: Path, words: Sequence[str], vectors: NDArray[np.float32], form: WordFormat) -> Path:
    """Write a row a word, whole or not at all. Numbers in text have nine digits, from which the same float32 is read.

    "word2vec": a line with the numbers of words and dimensions, then a line a word. "word2vec-binary": the same first line, then
    of each word its name, a space and little-endian float32. "glove": "word2vec" without the first line. Bytes that were no UTF-8
    where words were read are written as they were.

    Raises UnknownName for another format, InputError for a word with white space in it or that is no text (a lone surrogate),
    ArtifactError for a full disk.
    """
    if form not in get_args(WordFormat):
        raise UnknownName.among(form, get_args(WordFormat), kind="format of word vectors")
    for word in words:
        if not word or any(character.isspace() for character in word):
            raise InputError(f"the word {word!r} cannot stand in this format", mend='join its parts with "_", then learn again')
        try:
            _encoded(word)
        except UnicodeEncodeError as error:
            raise InputError(f"the word {word!r} is no text: {error.reason}", mend="learn again without it") from error
    head = b"" if form == "glove" else f"{len(words)} {vectors.shape[1]}\n".encode()
    rows = _binary(words, vectors) if form == "word2vec-binary" else _text(words, vectors)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(head)
                file.writelines(progress.track(rows, "writing vectors", total=len(words), unit="words"))
            os.chmod(name, 0o644)
            os.replace(name, path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise ArtifactError(f"cannot write {path}: {error}", mend="free some space or choose another folder") from error
    return path


def _encoded(word: str) -> bytes:
    """As the readers decode it."""
    return word.encode("utf-8", "surrogateescape")


def _text(words: Sequence[str], vectors: NDArray[np.float32]) -> Iterator[bytes]:
    line = b" ".join([b"%s", *[b"%.9g"] * vectors.shape[1]]) + b"\n"
    for word, row in zip(words, vectors, strict=True):
        yield line % (_encoded(word), *row.tolist())


def _binary(words: Sequence[str], vectors: NDArray[np.float32]) -> Iterator[bytes]:
    for word, row in zip(words, vectors.astype("<f4", copy=False), strict=True):
        yield _encoded(word) + b" " + row.tobytes() + b"\n"
