"""What a text encoder is trained on and judged by: examples, cut so that nothing is asked that was learnt.

Whatever examples came in, three parts of them are kept apart, by groups that share a text or nearly repeat each other: to learn
from, to choose the best weights by, and to judge by in the end. Pairs become judged retrieval: questions have ids, answers are
documents, and a question's answers are judged. Pairs with scores stay what they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vicino.data.examples import Examples, JudgedCorpus, joined, read_examples, splits_in
from vicino.data.known_items import KnownItems, known_items
from vicino.data.lint import CountTokens, Lint, lint
from vicino.data.near_duplicates import same_text
from vicino.data.readers import read_documents
from vicino.data.records import Document, Judgement, Query
from vicino.data.splits import group_queries, groups
from vicino.errors import InputError
from vicino.evaluation.tasks import RetrievalTask, judged
from vicino.training.questions import Questions

__all__ = ["Material", "Parts", "as_judged", "as_pairs", "divide", "gather", "task_of"]

_CHOOSE, _JUDGE = 0.1, 0.2  # shares of the questions
_FEWEST = 10  # questions that tell one set of weights from another
_NEAR = 0.6  # overlap of words from which two texts nearly repeat each other
_TAKEN_OUT = "synthetic: taken out of the texts themselves"

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Parts:
    """Examples to learn from, to choose weights by and to judge by; `tested` where the data bring a test split of their own,
    `synthetic` how questions were made where no person asked them. `count_tokens` and `limit` are of a model that is to learn, so
    that the lint finds what it does not read.

    Their kind is "scored" or "labelled" where cosines are to be learnt. All else is judged retrieval over one corpus.
    """

    source: Path
    learn: Examples
    choose: Examples
    judge: Examples
    tested: bool = False
    synthetic: str = ""
    count_tokens: CountTokens | None = None
    limit: int | None = None

    @property
    def of_cosines(self) -> bool:
        """Whether cosines are to be learnt, and not which answer is whose."""
        return self.learn.corpus is None

    def looked_at(self) -> Lint:
        """What the lint says of all that weights are learnt from or chosen by, and of what it gives away of the rest."""
        seen = joined([self.learn, self.choose])
        return lint(seen, held_out=self.judge, count_tokens=self.count_tokens, limit=self.limit)

    def clean(self, found: Lint) -> Examples:
        """What is left to judge by. Raises InputError where that, or what weights are chosen by, is too little."""
        kept = self.judge if found.clean is None else self.judge.subset(found.clean)
        if self.of_cosines:  # texts that do not belong together may stand on both sides, but not as the same pair
            known = {pair for part in (self.learn, self.choose) for pair in _unordered(part)}
            kept = kept.subset(np.array([pair not in known for pair in _unordered(kept)], dtype=np.bool_))
        apart = _asked(kept) if self.of_cosines or not len(kept) else int(_units(kept)[1].max()) + 1
        if min(apart, _asked(self.choose)) < _FEWEST:
            what = f"{_asked(kept)} {self._things} are left to judge by that nothing in training gives away"
            hang = f", in {apart} groups that share an answer or nearly repeat each other" if apart < _asked(kept) else ""
            raise InputError(what + hang, mend="give more examples, or a dev split")
        return kept

    def told(self, kept: Examples) -> str:
        """In words what the verdict will stand on."""
        n, what = _asked(kept), self._things
        told = f"the test split, {n:,} of {_asked(self.judge):,} {what}" if self.tested else f"{n:,} {what} that were held back"
        return f"{told} ({self.synthetic})" if self.synthetic else told

    @property
    def digest(self) -> str:
        """Names all three parts by what they say."""
        named = hashlib.sha256()
        for part in (self.learn, self.choose, self.judge):
            numbers = part.scores if part.labels is None else part.labels
            columns = (
                part.query_ids,
                part.anchors,
                part.positives,
                part.negatives,
                None if numbers is None else numbers.tolist(),
            )
            for column in columns:
                for one in column or ():
                    named.update(json.dumps(one).encode())
                named.update(b"|")
        return named.hexdigest()

    @property
    def _things(self) -> str:
        return "pairs" if self.of_cosines else "questions"


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

    @classmethod
    def of(cls, parts: Parts) -> Material:
        """Parts of judged retrieval as tasks. Raises what `Parts.clean` raises."""
        found = parts.looked_at()
        kept = parts.clean(found)
        choose, judge = (task_of(parts.source.resolve().name, each) for each in (parts.choose, kept))
        return cls(parts.learn, choose, judge, found, parts.told(kept))


def gather(
    data: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    split: str = "train",
    unlabelled: bool = False,
    seed: int = 0,
) -> Material:
    """Questions and their answers, cut in three: what `divide` gives, as tasks.

    Raises what `divide` raises, and InputError for pairs with scores.
    """
    parts = divide(data, columns=columns, split=split, unlabelled=unlabelled, seed=seed)
    if parts.of_cosines:
        raise InputError(f"{data} holds pairs with scores, and no questions with answers", mend="give pairs, or triplets")
    return Material.of(parts)


def divide(
    data: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    split: str = "train",
    unlabelled: bool = False,
    questions: Questions | None = None,
    seed: int = 0,
) -> Parts:
    """Read examples and cut them in three.

    `unlabelled` data are texts, of which pairs are made: titles, headings, docstrings and sentences are taken out of documents,
    and ask for what is left of them (see `vicino.data.known_items`; of sentences: Lee, Chang and Toutanova 2019, "Latent
    retrieval for weakly supervised open domain question answering", the inverse cloze task). Where there are `questions`, these
    write the queries, and nothing is taken out.

    A folder with a test split is judged by it, of which only those questions count that share no answer with what is learnt from
    or chosen by, and do not repeat it; where there is none, and for single tables, a fifth of the questions is held back. The
    best weights are chosen by the split "dev", or by a tenth of the questions that are held back.

    Raises what `read_examples` raises, and InputError where too few examples are left for a part, or all have classes.
    """
    source, others = Path(data), set[str]()
    if unlabelled:
        learn = (
            questions.examples(read_documents(source)) if questions else as_pairs(known_items(read_documents(source), seed=seed))
        )
        parts = {split: learn}
    else:
        learn = read_examples(source, columns=columns, split=split)
        others = ({"dev", "test"} & splits_in(source)) - {split}
        known = None if learn.corpus is None else learn.corpus.documents
        parts = {split: learn} | {
            name: read_examples(source, columns=columns, split=name, documents=known) for name in sorted(others)
        }
    if learn.kind == "classes":
        raise InputError(f"{data} holds texts with classes", mend=f"vicino train classifier {data} --out FOLDER")
    of_cosines = learn.loss_by_default.loss == "cosine_regression"
    given = parts if of_cosines else {name: each.as_triplets() for name, each in parts.items()}
    whole = joined(list(given.values()))
    whole = whole if of_cosines else as_judged(whole)
    of = np.repeat(np.array(list(given)), [len(each) for each in given.values()])
    rows = _cut(whole, of == split, seed, judge="test" not in others, choose="dev" not in others)
    rows |= {part: np.flatnonzero(of == name) for part, name in (("judge", "test"), ("choose", "dev")) if name in others}
    cut = {name: whole.subset(each) for name, each in rows.items()}
    note = (questions.note if questions else _TAKEN_OUT) if unlabelled else ""
    return Parts(source, cut["learn"], cut["choose"], cut["judge"], tested="test" in others, synthetic=note)


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


def as_pairs(made: KnownItems) -> Examples:
    """Pairs of what was taken out of documents, and what is left of these."""
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


def _units(examples: Examples) -> tuple[Rows, Rows]:
    """What is asked in each row, (n,): its question, or where there are none the row itself; and the group of each (m,)."""
    if examples.query_ids is None:
        numbers = same_text([*examples.anchors, *examples.positives], threshold=_NEAR).tolist()
        both = zip(numbers[: len(examples)], numbers[len(examples) :], strict=True)
        return np.arange(len(examples)), groups([{str(one) for one in each} for each in both])
    ids = list(dict.fromkeys(examples.query_ids))
    texts = dict(zip(examples.query_ids, examples.anchors, strict=True))
    pairs = zip(examples.query_ids, examples.document_ids or (), strict=True)
    of = group_queries([Query(name, texts[name]) for name in ids], [Judgement(*pair, 1) for pair in pairs], threshold=_NEAR)
    numbers = {name: number for number, name in enumerate(ids)}
    return np.array([numbers[name] for name in examples.query_ids], dtype=np.int64), of


def _unordered(examples: Examples) -> list[frozenset[str]]:
    pairs = zip(examples.anchors, examples.positives, strict=True)
    return [frozenset(" ".join(text.casefold().split()) for text in pair) for pair in pairs]


def _asked(examples: Examples) -> int:
    return len(examples) if examples.query_ids is None else len(set(examples.query_ids))


def _cut(examples: Examples, own: NDArray[np.bool_], seed: int, *, judge: bool, choose: bool) -> dict[str, Rows]:
    """Of the `own` rows those to learn from, and where asked to choose and to judge by; groups of questions stay whole."""
    shares = {"choose": _CHOOSE * choose, "judge": _JUDGE * judge}
    places = np.flatnonzero(own)
    units, of = _units(examples.subset(places))
    wanted = {name: share * len(of) for name, share in shares.items() if share}
    part_of_group: dict[int, str] = {}
    sizes = np.bincount(of)
    for group in np.random.default_rng(seed).permutation(len(sizes)).tolist():
        part = next((name for name, left in wanted.items() if left > 0 and sizes[group] <= max(left, 1) * 2), "learn")
        part_of_group[group] = part
        if part in wanted:
            wanted[part] -= sizes[group]
    parts = np.array([part_of_group[group] for group in of[units].tolist()])
    found = {name: places[parts == name] for name in ("learn", *shares) if name == "learn" or shares[name]}
    for name, rows in found.items():
        if len(rows) < _FEWEST:
            what = {"learn": "to learn from", "choose": "to choose weights by", "judge": "to judge by"}[name]
            hang = f"{len(of):,} questions are {len(sizes):,} groups that share an answer or nearly repeat each other"
            raise InputError(f"{len(rows)} examples are left {what}: {hang}", mend="give some hundred examples that differ")
    return found


def task_of(name: str, held: Examples) -> RetrievalTask:
    """The questions of judged examples, to be asked of their whole corpus."""
    corpus = held.corpus
    documents: Sequence[Document] = () if corpus is None else corpus.documents
    queries = {name: Query(name, text) for name, text in zip(held.query_ids or (), held.anchors, strict=True)}
    grades = [
        Judgement(name, document, grade)
        for name in queries
        for document, grade in (corpus.qrels.get(name, {}) if corpus else {}).items()
    ]
    return judged(name, documents, queries.values(), grades)
