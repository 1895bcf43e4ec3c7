"""Judged data on disk: BEIR folders, TREC qrels and TREC runs.

A BEIR folder holds `corpus.jsonl`, `queries.jsonl` (each may end in .gz or .xz) and `qrels/<split>.tsv`. Judged data is
read strictly: a broken query or judgement is an error with its line, never skipped, because scores would change.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from vicino.data.files import MAX_CHARACTERS, Lines, opened, text_stream
from vicino.data.formats import kind_of
from vicino.data.records import Judgement, Query
from vicino.data.rows import TABLES, Columns, table_documents
from vicino.errors import DuplicateIds, EmptyInput, InputError, UnknownName, UnreadableSource

__all__ = ["corpus_file", "is_beir", "read_judgements", "read_qrels", "read_queries", "read_run", "splits_of", "write_run"]

_ENDINGS = ("", ".gz", ".xz")


def _find(folder: Path, name: str) -> Path | None:
    return next((folder / (name + ending) for ending in _ENDINGS if (folder / (name + ending)).is_file()), None)


def is_beir(path: str | Path) -> bool:
    """Whether a folder holds a corpus, queries and at least one split of judgements."""
    folder = Path(path)
    return bool(_find(folder, "corpus.jsonl") and _find(folder, "queries.jsonl") and _splits(folder))


def corpus_file(folder: str | Path) -> Path:
    """Where the corpus of a BEIR folder lies. Raises UnreadableSource."""
    return _required(Path(folder), "corpus.jsonl")


def _required(folder: Path, name: str) -> Path:
    path = _find(folder, name)
    if path is None:
        raise UnreadableSource(f"there is no {folder / name}", mend="give a folder in BEIR's format")
    return path


def _splits(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.glob("qrels/*.tsv"))}


def splits_of(path: str | Path) -> list[str]:
    """The names of a BEIR folder's splits, sorted."""
    return list(_splits(Path(path)))


def read_queries(path: str | Path) -> list[Query]:
    """The queries of a BEIR folder, or of one file of them (.jsonl, .csv, .tsv, .parquet), in the file's order.

    Raises DuplicateIds, EmptyInput, and UnreadableSource with the line for a query that is broken or has no text.
    """
    source = Path(path)
    if source.is_dir():
        source = _required(source, "queries.jsonl")
    elif kind_of(source.name) not in TABLES:
        raise UnreadableSource(f"{source} is not a table of queries", mend=f"give a file of {', '.join(TABLES)}")

    def refuse(line: int | None, reason: str) -> None:
        raise UnreadableSource(f"{source}, line {line}: {reason}", mend="mend the line; queries are never skipped")

    queries: dict[str, Query] = {}
    for one in table_documents(source, Columns(), refuse, limit=MAX_CHARACTERS):
        if one.id in queries:
            raise DuplicateIds(f"{source}: two queries have the id {one.id!r}", mend="give each query an id of its own")
        queries[one.id] = Query(one.id, one.text or one.title, one.metadata)
    if not queries:
        raise EmptyInput(f"{source} holds no queries", mend="add queries, one JSON object a line")
    return list(queries.values())


def read_judgements(folder: str | Path, split: str) -> list[Judgement]:
    """The judgements of one split of a BEIR folder. Raises UnknownName, and what `read_qrels` raises."""
    splits = _splits(Path(folder))
    if split not in splits:
        raise UnknownName.among(split, splits, kind="split")
    return list(read_qrels(splits[split]))


def read_qrels(path: str | Path) -> Iterator[Judgement]:
    """Judgements, streamed, from BEIR's three columns (query, document, grade) or TREC's four (query, 0, document, grade).

    A first line that does not end in a number is a header. A judgement that is repeated with the same grade counts once.
    Raises DuplicateIds where the grades differ, EmptyInput, and UnreadableSource with the line that cannot be read.
    """
    seen: dict[tuple[str, str], int] = {}
    for number, fields in _fields(Path(path)):
        if number == 1 and _number(fields[-1]) is None:
            continue
        grade = _number(fields[-1])
        if len(fields) not in (3, 4) or grade is None or not grade.is_integer():
            raise _bad_line(path, number, "query, document, whole-number grade; or query, 0, document, grade")
        pair = fields[0], fields[-2]
        if pair not in seen:
            seen[pair] = int(grade)
            yield Judgement(*pair, int(grade))
        elif seen[pair] != int(grade):
            raise DuplicateIds(
                f"{path}, line {number}: query {pair[0]!r} and document {pair[1]!r} were judged differently before",
                mend="keep one grade for each pair",
            )
    if not seen:
        raise EmptyInput(f"{path} holds no judgements", mend="add lines: query, document, grade")


def read_run(path: str | Path) -> dict[str, list[tuple[str, float]]]:
    """A TREC run: for each query the (document, score) pairs, best score first, as trec_eval reads it.

    Equal scores keep the file's order. Raises DuplicateIds for a document that stands twice under one query, EmptyInput,
    and UnreadableSource with the line that cannot be read.
    """
    scores: dict[str, dict[str, float]] = {}
    for number, fields in _fields(Path(path)):
        score = _number(fields[4]) if len(fields) == 6 else None
        if score is None:
            raise _bad_line(path, number, "query, Q0, document, rank, score, tag")
        found = scores.setdefault(fields[0], {})
        if fields[2] in found:
            raise DuplicateIds(
                f"{path}, line {number}: document {fields[2]!r} stands twice under query {fields[0]!r}",
                mend="keep one line for each pair",
            )
        found[fields[2]] = score
    if not scores:
        raise EmptyInput(f"{path} holds no results", mend="add lines: query, Q0, document, rank, score, tag")
    return {query: sorted(found.items(), key=lambda pair: -pair[1]) for query, found in scores.items()}


def write_run(path: str | Path, run: Mapping[str, Sequence[tuple[str, float]]], *, tag: str = "vicino") -> None:
    """Write ranked (document, score) pairs, best first, as a TREC run in six columns.

    Scores are written so that they read back equal. Raises InputError for a name that holds white space, which would
    shift the columns, and for a score that is not finite.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_run(Path(folder) / "x.run", {"q1": [("d7", 2.5), ("d3", 1.0)]})
    ...     print((Path(folder) / "x.run").read_text(), read_run(Path(folder) / "x.run"))
    q1 Q0 d7 1 2.5 vicino
    q1 Q0 d3 2 1.0 vicino
     {'q1': [('d7', 2.5), ('d3', 1.0)]}
    """
    lines = []
    for query, found in run.items():
        for rank, (document, score) in enumerate(found, start=1):
            names = (query, document, tag)
            if any(name.split() != [name] for name in names) or not math.isfinite(score):
                raise InputError(
                    f"{names} with score {score} cannot stand in a TREC run",
                    mend="use names without spaces, and finite scores",
                )
            lines.append(f"{query} Q0 {document} {rank} {float(score)!r} {tag}\n")
    Path(path).write_text("".join(lines), encoding="utf-8")


def _fields(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The fields of each line that is not blank: parted by tabs where it has any, else by white space."""
    try:
        with opened(path) as stream, text_stream(stream) as decoded:
            lines = Lines(decoded, MAX_CHARACTERS)
            for line in lines:
                if not line.isspace():
                    yield lines.number, line.rstrip("\r\n").split("\t") if "\t" in line else line.split()
    except UnreadableSource as error:
        raise UnreadableSource(f"{path}: {error.what}", mend=error.mend) from error


def _number(field: str) -> float | None:
    try:
        value = float(field)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _bad_line(path: str | Path, number: int, wanted: str) -> UnreadableSource:
    return UnreadableSource(f"{path}, line {number} is not: {wanted}", mend="mend the line; judgements are never skipped")
