"""Judged sets, and three of other tasks read as retrieval: code for an intent, posts of a group, a sentence's paraphrase."""

from __future__ import annotations

import csv
import json
import lzma
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vicino.data.known_items import normalised
from vicino.data.records import Document, Judgement, Query
from vicino.data.splits import sample
from vicino.evaluation.tasks import RetrievalTask, judged, open_task

POSTS, ASKED = 3000, 300  # posts of 20 Newsgroups to search, and as many that ask
PARAPHRASE = 4.0  # of 5: "mostly equivalent" and above, in the words of STS's judges
QUOTES = (">", "|", ":")
SETS = ("scifact", "cranfield", "cacm", "conala", "20newsgroups", "stsb")


def opened(folder: Path, name: str) -> RetrievalTask:
    """The task of a data set by its name, the folder being the one that holds them all."""
    readers = {"conala": conala, "20newsgroups": newsgroups, "stsb": paraphrases}
    return readers[name](folder / name) if name in readers else open_task(folder / name, split="test")


def conala(folder: Path) -> RetrievalTask:
    """Code for an intent: what people asked (test split) finds the snippets that answered it, among all of both splits."""
    asked, everything = _lines(folder / "test.jsonl"), [*_lines(folder / "test.jsonl"), *_lines(folder / "train.jsonl")]
    names = {snippet: f"s{number}" for number, snippet in enumerate(dict.fromkeys(row["snippet"] for row in everything))}
    documents = [Document(name, snippet, metadata={"language": "python"}) for snippet, name in names.items()]
    intents = dict.fromkeys(_intent(row) for row in asked)
    queries = {intent: Query(f"i{number}", intent) for number, intent in enumerate(intents)}
    pairs = {(queries[_intent(row)].id, names[row["snippet"]]) for row in asked}
    note = f"{len(queries)} intents of the test split, {len(names):,} distinct snippets of both splits"
    return judged("conala", documents, queries.values(), _relevant(pairs), notes=[note])


def _intent(row: Mapping[str, Any]) -> str:
    return str(row["rewritten_intent"] or row["intent"])


def newsgroups(folder: Path) -> RetrievalTask:
    """A post finds posts of its group: without headers and quotes, some of the test split ask some of the train split."""
    found = {
        split: [row for row in _lines(folder / f"{split}.jsonl.xz") if _told(row["text"]).strip()] for split in ("train", "test")
    }
    posts, asked = sample(found["train"], POSTS, seed=0), sample(found["test"], ASKED, seed=0)
    documents = [Document(f"p{number}", _told(row["text"])) for number, row in enumerate(posts)]
    queries = [Query(f"a{number}", _told(row["text"])[:1000]) for number, row in enumerate(asked)]
    by_group: dict[object, list[str]] = {}
    for document, row in zip(documents, posts, strict=True):
        by_group.setdefault(row["label"], []).append(document.id)
    pairs = [(query.id, name) for query, row in zip(queries, asked, strict=True) for name in by_group.get(row["label"], [])]
    note = (
        f"{ASKED} posts of the test split ask, by their first 1,000 characters, {POSTS:,} of the train split; relevant: its group"
    )
    return judged("20newsgroups", documents, queries, _relevant(pairs), notes=[note])


def _told(text: str) -> str:
    """Without the lines that quote somebody."""
    return "\n".join(line for line in text.split("\n") if not line.startswith(QUOTES))


def paraphrases(folder: Path) -> RetrievalTask:
    """A sentence finds its paraphrase: first sentences of pairs that people scored 4 or more, among all second ones.

    Pairs of the same words are left out, and so are first sentences that stand among the second ones: they would find themselves.
    """
    with (folder / "test.tsv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    names = {text: f"s{number}" for number, text in enumerate(dict.fromkeys(row["sentence2"] for row in rows))}
    said = {normalised(text) for text in names}
    alike = [row for row in rows if float(row["score"]) >= PARAPHRASE and normalised(row["sentence1"]) not in said]
    queries = {text: Query(f"f{number}", text) for number, text in enumerate(dict.fromkeys(row["sentence1"] for row in alike))}
    pairs = {(queries[row["sentence1"]].id, names[row["sentence2"]]) for row in alike}
    note = f"{len(queries)} first sentences of pairs scored {PARAPHRASE:g} or more, {len(names):,} second ones of the test split"
    documents = [Document(name, text) for text, name in names.items()]
    return judged("stsb", documents, queries.values(), _relevant(pairs), notes=[note])


def _relevant(pairs: Iterable[tuple[str, str]]) -> list[Judgement]:
    return [Judgement(query, document, 1) for query, document in sorted(pairs)]


def _lines(path: Path) -> list[dict[str, Any]]:
    with lzma.open(path, "rt", encoding="utf-8") if path.suffix == ".xz" else path.open(encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]
