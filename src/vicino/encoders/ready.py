"""Vectors that were made elsewhere, looked up: a file of items by their ids, or of words."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts
from vicino.data.records import Chunk, Document, Query
from vicino.data.text import Analyzer
from vicino.data.vector_files import VectorFile, ending, ids_file, read_vectors
from vicino.encoders.base import Encoder, Role, Tokens
from vicino.encoders.transformer.saving import check_files, file_stamps
from vicino.errors import DimensionMismatch, InputError, NotFitted, UnknownName
from vicino.spaces import Space, require_same
from vicino.vectors import Similarity

__all__ = ["Ready"]

_WORDS = (".txt", ".vec", ".bin")  # endings of files of words
_SHOWN = 5  # missing ids in an error


class _Asked(NamedTuple):
    """An item as it is looked up."""

    key: str
    text: str


class Ready(Encoder):
    """Vectors from a file: what another program, or `vicino embed`, made of these items before.

    `path` is a file that `vicino.data.vector_files.read_vectors` reads: `.npy` with its ids in `NAME.npy.json`, `.parquet`, or
    word2vec's text (`.txt`, `.vec`; GloVe's too) and binary (`.bin`).

    **How items are found.** A `Document` or a `Query` by its id, a `Chunk` by "document:start-end"; a str as if it were an id.
    What is not found so, by its text, where the file holds the texts beside the vectors. A passage "document:0-end" that is not
    there is taken to be the whole document. What is missing then is an UnknownName that counts it; only an item without text has
    a vector of zeros.

    In a file of **words** an item is its text instead: a known word as it stands, otherwise the mean of the words in it that are
    known (as they stand, else in lower case), zeros where none is. `words` says which of the two a file is; by default its ending
    does: word2vec's formats hold words. With `words=False` their words are ids, of nodes or documents.

    **Queries** are looked up in the same file, or in `queries`: another file of vectors, or the name of an encoder that embeds
    into the same space (see `vicino.encoders.make`; it must have learnt already). A search hands over the text of a query, not
    its id: so a file of queries must hold their texts.

    **The space** is the one that vicino noted in the file, and then these vectors may meet the model that made them. For other
    files it is `model`, the name that you give to what made them: files with one `model` share a space. Without it the content is
    the space, so that a file that grew is another one.

    The file is read and checked when it is first needed; saving copies it.

    >>> Ready(path="vectors.parquet", queries="minilm")
    Ready(path='vectors.parquet', queries='minilm')
    """

    family: ClassVar[str] = "ready"
    pretrained: ClassVar[bool] = True

    _origin: Path | None = None  # the saved folder that this was loaded from
    _opened: VectorFile | None = None
    _asked: Encoder | None = None
    _rows: Mapping[str, int] | None = None

    def __init__(
        self,
        *,
        path: str | PathLike[str] = "",
        queries: str | PathLike[str] | None = None,
        words: bool | None = None,
        model: str | None = None,
    ) -> None:
        self.path = path
        self.queries = queries
        self.words = words
        self.model = model

    @classmethod
    def of(cls, **params: Any) -> Self:
        """As the constructor, with the full paths of files, so that a recipe means the same in another folder."""
        for name in ("path", "queries"):
            if ending(Path(str(params.get(name)))):
                params[name] = str(Path(params[name]).resolve())
        return super().of(**params)

    def set_params(self, **params: Any) -> Self:
        super().set_params(**params)
        self._origin = self._opened = self._asked = self._rows = None
        return self

    @property
    def accepts(self) -> frozenset[str]:  # type: ignore[override]  # the file decides, not the family
        """Texts, where the file holds words; otherwise things with an id."""
        return frozenset({"text" if self._holds_words else "id"})

    @property
    def similarity(self) -> Similarity:  # type: ignore[override]  # likewise
        """What vicino noted; cosine for other files."""
        known = self._file.space
        return known.similarity if known else "cosine"

    @property
    def dim(self) -> int:
        """The width of a vector."""
        return int(self._file.vectors.shape[1])

    @property
    def space(self) -> Space:
        """The noted space; for other files the one of `model`, or of the content."""
        self._query_encoder()  # raises where queries would live elsewhere
        return self._file.space or super().space

    def tokens(self, text: str) -> Tokens:
        """The words of a text, and the row of each. Raises InputError for files that do not hold words."""
        if not self._holds_words:
            return super().tokens(text)
        pieces = _split(text)
        ids = np.array([self._word(piece) for piece in pieces], dtype=np.int64)
        rows = np.where((ids >= 0)[:, None], self._file.vectors[ids], 0).astype(np.float32)
        return Tokens(pieces, ids, ids >= 0, len(self._file), rows)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write a folder with a copy of the file, and with the encoder of queries."""
        params = {name: str(value) if isinstance(value, PathLike) else value for name, value in self.get_params().items()}
        data = {"encoder": self.family, "params": params, "space": self.space.to_json()}

        def write(target: Path) -> None:  # runs before the manifest, which then vouches for these files
            for file in (self._path, ids_file(self._path)):
                if file.is_file():
                    shutil.copyfile(file, target / _copied(file))
            data["files"] = file_stamps(target)

        queries = self._query_encoder()
        parts = {".": write, **({"queries": queries.save} if queries else {})}
        return artifacts.write(path, kind="encoder", data=data, parts=parts)

    # What the contract asks of a family ---------------------------------------------------------------------------------

    def _fit(self, items: list[Any], y: Any, validation: Any) -> None:
        """Nothing: the vectors are there."""

    def _item(self, row: int, item: Any) -> _Asked:
        text = super()._item(row, item)
        if isinstance(item, Document | Query):
            return _Asked(item.id, text)
        return _Asked(f"{item.document_id}:{item.start}-{item.end}" if isinstance(item, Chunk) else text, text)

    def _encode(self, items: list[_Asked], role: Role, batch_size: int, output_value: str) -> NDArray[np.float32]:  # noqa: ARG002
        if role == "query" and (queries := self._query_encoder()):
            asked = [Query(*item) for item in items]
            found: NDArray[np.float32] = queries.encode_query(asked, batch_size=batch_size, truncate_dim=self.dim)
            return found
        if self._holds_words:
            return np.stack([self._mean(item.text) for item in items])
        rows = np.array([self._row(*item) for item in items], dtype=np.int64)
        missing = [item.key for item, row in zip(items, rows, strict=True) if row < 0 and item.text.strip()]
        if missing:
            shown = ", ".join(repr(key[:60]) for key in missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
            raise UnknownName(
                f"{self._path} has no vector for {len(missing):,} of {len(items):,} items: {shown}",
                mend="embed them too, or leave them out"
                if role != "query"
                else "name what embeds queries, such as queries=minilm, or a file of vectors with their texts",
            )
        found = np.asarray(self._file.vectors[rows], dtype=np.float32)
        found[rows < 0] = 0
        return found

    def _identity(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        made = {"model": self.model} if self.model else {"content": self._file.fingerprint, "words": self._holds_words}
        queries = self._query_encoder()
        return {**made, "queries": queries.space.id if queries else None}, {}

    def _arrays(self) -> dict[str, Any]:
        return {}  # the vectors stay in their file

    def _restore(self, folder: Path, data: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:  # noqa: ARG002 - there are none
        check_files(folder, data["files"])
        self._origin = folder

    # What is opened late ------------------------------------------------------------------------------------------------

    @property
    def _path(self) -> Path:
        if not str(self.path):
            raise InputError("Ready was given no file", mend="name one: ready(path=vectors.parquet)")
        return self._origin / _copied(Path(self.path)) if self._origin else Path(self.path)

    @property
    def _file(self) -> VectorFile:
        if self._opened is None:
            self._opened = read_vectors(self._path)
        return self._opened

    @property
    def _holds_words(self) -> bool:
        return ending(self._path) in _WORDS if self.words is None else self.words

    def _query_encoder(self) -> Encoder | None:
        """What embeds queries, known to do it into the same space; None where this file does."""
        if self.queries is None:
            return None
        if self._asked is None:
            self._asked = self._checked(self._open_queries())
        return self._asked

    def _open_queries(self) -> Encoder:
        from vicino import encoders

        if self._origin is not None:
            return encoders.load(self._origin / "queries")
        name = str(self.queries)
        return Ready(path=name, words=self.words, model=self.model) if ending(Path(name)) else encoders.make(name)

    def _checked(self, encoder: Encoder) -> Encoder:
        known = self._file.space
        try:
            dim = encoder.dim
        except NotFitted as error:
            raise InputError(
                f"{self.queries} has not learnt yet and cannot embed queries", mend="give a saved encoder"
            ) from error
        theirs = None if isinstance(encoder, Ready) and encoder._file.space is None else encoder.space
        if known and theirs:
            require_same(theirs.truncated(self.dim) if dim > self.dim else theirs, known, doing="embed queries")
        elif dim != self.dim:
            raise DimensionMismatch(
                f"{self.queries} gives vectors of {dim} dimensions, {self._path} holds {self.dim}",
                mend="embed documents and queries with one model",
            )
        return encoder

    # Looking up ---------------------------------------------------------------------------------------------------------

    def _row(self, key: str, text: str = "") -> int:
        """The row of a key, else of a text, else of the document that a passage begins; -1 for none."""
        if self._rows is None:
            rows = {text: row for row, text in enumerate(self._file.texts or ())}
            self._rows = rows | {key: row for row, key in enumerate(self._file.keys)}
        if key in self._rows:
            return self._rows[key]
        document, _, place = key.rpartition(":")
        names = (text, document if place.startswith("0-") else key)
        return next((self._rows[name] for name in names if name in self._rows), -1)

    def _word(self, word: str) -> int:
        row = self._row(word)
        return row if row >= 0 else self._row(word.lower())

    def _mean(self, text: str) -> NDArray[np.float32]:
        whole = self._row(text)
        rows = [whole] if whole >= 0 else [row for piece in _split(text) if (row := self._word(piece)) >= 0]
        if not rows:
            return np.zeros(self.dim, dtype=np.float32)
        return np.asarray(self._file.vectors[rows].mean(axis=0), dtype=np.float32)


def _split(text: str) -> list[str]:
    return Analyzer(lowercase=False).terms(text)


def _copied(file: Path) -> str:
    """The name of a file in a saved folder: without its own, so that one folder says nothing of another."""
    for end in (".npy.json", *(f"{last}{more}" for last in (".npy", ".parquet", *_WORDS) for more in ("", ".gz", ".xz"))):
        if file.name.lower().endswith(end):
            return f"vectors{end}"
    return file.name
