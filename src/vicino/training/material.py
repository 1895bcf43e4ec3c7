"""What a text encoder is trained on and judged by: one judged retrieval, cut so that nothing is asked that was learnt.

Whatever examples came in, questions have ids, answers are documents, and a question's answers are judged. Three parts of the
questions are kept apart, by groups that share an answer or nearly repeat each other: to learn from, to choose the best weights,
and to judge in the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vicino.data.examples import Examples, JudgedCorpus, read_examples
from vicino.data.judged import is_beir, splits_of
from vicino.data.known_items import known_items
from vicino.data.lint import Lint, lint
from vicino.data.readers import read_documents
from vicino.data.records import Document, Judgement, Query
from vicino.data.splits import group_queries
from vicino.errors import InputError
from vicino.evaluation.tasks import RetrievalTask, judged

__all__ = ["Material", "as_judged", "gather"]

_CHOOSE, _JUDGE = 0.1, 0.2  # shares of the questions
_FEWEST = 10  # questions that tell one set of weights from another

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Material:
    """`learn` are the examples to learn from; `choose` and `judge` are tasks over the same documents.

    `found` is what the lint says of all; `judged_by` says in words what the verdict will stand on.
    """

    learn: Examples
    choose: RetrievalTask
    judge: RetrievalTask
    found: Lint
    judged_by: str


def gather(
    data: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    split: str = "train",
    unlabelled: bool = False,
    seed: int = 0,
) -> Material:
    """Read examples, look at them, and cut them in three.

    `unlabelled` data are texts, of which pairs are made: titles, headings, docstrings and sentences are taken out of documents,
    and ask for what is left of them (see `vicino.data.known_items`; of sentences: Lee, Chang and Toutanova 2019, "Latent
    retrieval for weakly supervised open domain question answering", the inverse cloze task).

    A folder in BEIR's format is judged by its test split, of which only those questions count that share no answer with what is
    learnt from or chosen by, and do not repeat it; where there is none, and for tables, a fifth of the questions is held back.
    The best weights are chosen by the split "dev", or by a tenth of the questions that are held back.

    Raises what `read_examples` raises, and InputError where too few questions are left to learn from, to choose or to judge by.
    """
    source = Path(data)
    if unlabelled:
        examples, others = _asked_of(source, seed), set()
    else:
        examples = as_judged(read_examples(source, columns=columns, split=split).as_triplets())
        others = set(splits_of(source)) - {split} if source.is_dir() and is_beir(source) else set()
    parts = _cut(examples, seed, judge="test" not in others, choose="dev" not in others)
    learn = examples.subset(parts["learn"])
    held = {name: examples.subset(rows) for name, rows in parts.items() if name != "learn"}
    for name, its_split in (("judge", "test"), ("choose", "dev")):
        if name not in held:
            held[name] = as_judged(read_examples(source, split=its_split))
    given = examples.subset(np.concatenate([rows for name, rows in parts.items() if name != "judge"]))  # weights are chosen by it
    found = lint(given, held_out=held["judge"])
    clean = held["judge"].subset(found.clean if found.clean is not None else np.arange(len(held["judge"])))
    asked, kept = (len(set(each.query_ids or ())) for each in (held["judge"], clean))
    if min(kept, len(set(held["choose"].query_ids or ()))) < _FEWEST:
        raise InputError(
            f"{kept} questions are left to judge by that nothing in training gives away",
            mend="give more examples, or a dev split",
        )
    told = f"the test split, {kept:,} of {asked:,} questions" if "test" in others else f"{kept:,} questions that were held back"
    told += " (synthetic: taken out of the texts themselves)" * unlabelled
    return Material(learn, _task(source, held["choose"], examples), _task(source, clean, examples), found, told)


def as_judged(examples: Examples) -> Examples:
    """Pairs or triplets with ids for questions and documents, and a corpus; judged retrieval is given back as it is.

    Equal texts have the same id. The corpus holds all positives and all negatives.

    >>> found = as_judged(Examples("pairs", ["what lifts?", "why fly?"], ["Wings.", "Wings."]))
    >>> found.query_ids, found.document_ids, len(found.corpus.documents)
    (['q0', 'q1'], ['d0', 'd0'], 1)
    """
    if examples.corpus is not None:
        return examples
    queries: dict[str, str] = {}
    documents: dict[str, str] = {}
    asked = [queries.setdefault(text, f"q{len(queries)}") for text in examples.anchors]
    answers = [documents.setdefault(text, f"d{len(documents)}") for text in examples.positives]
    for more in examples.negatives or ():
        for text in more:
            documents.setdefault(text, f"d{len(documents)}")
    qrels: dict[str, dict[str, int]] = {}
    for query, document in zip(asked, answers, strict=True):
        qrels.setdefault(query, {})[document] = 1
    corpus = JudgedCorpus(
        [Document(name, text) for text, name in documents.items()], [Query(name, text) for text, name in queries.items()], qrels
    )
    return replace(examples, query_ids=asked, document_ids=answers, corpus=corpus)


def _asked_of(source: Path, seed: int) -> Examples:
    """Pairs of what was taken out of documents, and what is left of these."""
    made = known_items(read_documents(source), seed=seed)
    contents = {one.id: one.content for one in made.documents}
    texts = {one.id: one.text for one in made.queries}
    asked, answers = [one.query_id for one in made.judgements], [one.document_id for one in made.judgements]
    qrels = {one.query_id: {one.document_id: one.grade} for one in made.judgements}
    return Examples(
        "pairs",
        [texts[name] for name in asked],
        [contents[name] for name in answers],
        query_ids=asked,
        document_ids=answers,
        corpus=JudgedCorpus(made.documents, made.queries, qrels),
        notes=(made.note,),
    )


def _cut(examples: Examples, seed: int, *, judge: bool, choose: bool) -> dict[str, Rows]:
    """Rows to learn from, and where asked to choose and to judge by; groups of questions stay whole."""
    shares = {"choose": _CHOOSE * choose, "judge": _JUDGE * judge}
    ids = list(dict.fromkeys(examples.query_ids or ()))
    texts = dict(zip(examples.query_ids or (), examples.anchors, strict=True))
    pairs = zip(examples.query_ids or (), examples.document_ids or (), strict=True)
    groups = group_queries([Query(name, texts[name]) for name in ids], [Judgement(*pair, 1) for pair in pairs])
    wanted = {name: share * len(ids) for name, share in shares.items() if share}
    part_of_group: dict[int, str] = {}
    sizes = np.bincount(groups)
    for group in np.random.default_rng(seed).permutation(len(sizes)).tolist():
        part = next((name for name, left in wanted.items() if left > 0 and sizes[group] <= max(left, 1) * 2), "learn")
        part_of_group[group] = part
        if part in wanted:
            wanted[part] -= sizes[group]
    part_of = {name: part_of_group[group] for name, group in zip(ids, groups.tolist(), strict=True)}
    parts = np.array([part_of[name] for name in examples.query_ids or ()])
    found = {name: np.flatnonzero(parts == name) for name in ("learn", *shares) if name == "learn" or shares[name]}
    for name, rows in found.items():
        if len(rows) < _FEWEST:
            what = {"learn": "to learn from", "choose": "to choose weights by", "judge": "to judge by"}[name]
            hang = f"{len(ids):,} questions are {len(sizes):,} groups that share an answer or nearly repeat each other"
            raise InputError(f"{len(rows)} examples are left {what}: {hang}", mend="give some hundred examples that differ")
    return found


def _task(source: Path, held: Examples, learnt: Examples) -> RetrievalTask:
    corpus = held.corpus or learnt.corpus
    documents: Sequence[Document] = () if corpus is None else corpus.documents
    queries = {name: Query(name, text) for name, text in zip(held.query_ids or (), held.anchors, strict=True)}
    grades = [
        Judgement(name, document, grade)
        for name in queries
        for document, grade in (corpus.qrels.get(name, {}) if corpus else {}).items()
    ]
    return judged(source.resolve().name, documents, queries.values(), grades)
