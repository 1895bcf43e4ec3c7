"""Claims of searching: BM25, the SVM, the grain, whitening, dimensions. Each is paired by query; all rank exactly."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from claims_evidence import RESAMPLES, SETS, Lab, Trial, Values, plain
from claims_labels import few, posts
from vicino import progress
from vicino.data.chunking import chunk
from vicino.data.known_items import known_items
from vicino.data.records import Document, Hits
from vicino.evaluation.tasks import RetrievalTask, judged
from vicino.learning.exemplar import Moments, lda
from vicino.learning.exemplar import svm as fit
from vicino.learning.isotropy import Affine, whitening
from vicino.retrieval import from_recipe, parse
from vicino.training.searchable import values
from vicino.vectors import normalise

EXAMPLES, ASKED, AT = 5, 10, 50  # posts of a group that are known, how often some are drawn, and how many are looked at
ARTICLES, ARTICLE_WORDS = 400, 800  # of Wikipedia, and the words that each has at least
GRAINS = ("sentence", "paragraph(max_characters=600)", "window(size=60)", "whole")
LARGEST = 0.05  # of all queries, in one group
Vectors = NDArray[np.float32]


def bm25(lab: Lab) -> dict[str, Any]:
    """BM25 over stems, as those have it who say so, and over plain words, against all-MiniLM-L6-v2 as it comes."""
    stemmed = {"bm25, stemmed": "bm25(stemmer=english,stopwords=english)"}
    parts = {"bm25, parts of identifiers": "bm25(analyzer=code)"}
    trials = []
    for name, best in {**dict.fromkeys(SETS, stemmed), "conala": parts}.items():
        task = lab.tasks[name]
        dense = ranked(task, *lab.embedded[name])
        for label, candidate in {**best, "bm25, plain words": "bm25"}.items():
            two = {label: searched(task, candidate), "minilm": dense}
            trials.append(paired(name, task, two, rule="above" if label in best else "beside"))
    return plain(trials)


def svm(lab: Lab) -> dict[str, Any]:
    """A linear SVM of one or several positives against the whole collection, and closed-form exemplar-LDA, beside the cosine."""
    trials = []
    for name in SETS:
        task = lab.tasks[name]
        documents, queries = lab.embedded[name]
        cosine = ranked(task, documents, queries)
        for scorer, found in exemplars(lab, name, documents, [query[None] for query in queries]).items():
            trials.append(paired(name, task, {f"minilm:{scorer}": ndcg(task, found), "minilm": cosine}))
    return plain([*trials, *by_example(lab)])


def by_example(lab: Lab) -> list[Trial]:
    """Some posts of a newsgroup, of which the other posts of it are to be found; the others are ranked by the mean of them."""
    vectors, groups = posts(lab)
    asked = [few(groups, np.flatnonzero(groups == group), EXAMPLES, draw) for group in np.unique(groups) for draw in range(ASKED)]
    of = np.array([groups[rows[0]] for rows in asked])
    found = {"the mean's neighbours": np.stack([vectors[rows].mean(axis=0) for rows in asked]) @ vectors.T}
    found |= exemplars(lab, "20newsgroups", vectors, [vectors[rows] for rows in asked], asked)
    precision = {}
    for scorer, scores in found.items():
        for row, known in zip(scores, asked, strict=True):
            row[known] = -np.inf
        precision[scorer] = (groups[np.argsort(-scores, axis=1, kind="stable")[:, :AT]] == of[:, None]).mean(axis=1)
    base = precision.pop("the mean's neighbours")
    where = f"20newsgroups, {len(vectors):,} posts, {EXAMPLES} of a group known"
    return [
        Trial(
            where,
            f"minilm:{scorer} {ours.mean():.3f}, their mean {base.mean():.3f}",
            f"precision@{AT}",
            len(ours),
            ours - base,
            of,
        )
        for scorer, ours in precision.items()
    ]


def exemplars(
    lab: Lab, name: str, vectors: Vectors, positives: Sequence[Vectors], without: Sequence[NDArray[np.int64]] | None = None
) -> dict[str, Vectors]:
    """The scores (queries, n) of all vectors, by an SVM fitted for each query, and by its closed form."""
    moments = Moments.of(vectors)

    def fitted() -> Vectors:
        pairs = list(zip(positives, without or [None] * len(positives), strict=True))
        fits = (
            fit(vectors, some, without=out, moments=moments) for some, out in progress.track(pairs, "Fitting", unit="machines")
        )
        return np.stack([vectors @ one.weights.astype(np.float32) for one in fits])

    weigh = lda(moments)
    closed = np.stack([weigh(each).mean(axis=0) for each in positives])
    return {"svm": lab.array(f"svm-{name}", fitted), "lda": closed @ vectors.T}


def grain(lab: Lab) -> dict[str, Any]:
    """Documents cut, and each as near as its nearest piece: what lies between, against sentences and against wholes."""
    trials = []
    for name in ("wikipedia", *SETS):
        task = articles(lab) if name == "wikipedia" else lab.tasks[name]
        unit = lab.unit(f"grain-{name}", lambda t=task, n=name: {"values": grains(lab, n, t), "queries": len(t.queries)})
        found = {cut.partition("(")[0]: np.array(each) for cut, each in unit["values"].items()}
        trials += [paired(name, task, {"paragraph": found["paragraph"], other: found[other]}) for other in ("sentence", "whole")]
        trials.append(paired(name, task, {"window": found["window"], "whole": found["whole"]}, rule="beside"))
    return plain(trials)


def grains(lab: Lab, name: str, task: RetrievalTask) -> dict[str, list[float]]:
    """nDCG@10 of each query, by the way of cutting; equal pieces are embedded once."""
    from vicino.encoders.transformer import Transformer

    encoder = Transformer()
    asked = encoder.encode_query([one.text for one in task.queries])
    found = {}
    for cut in GRAINS:
        method, _, rest = cut.partition("(")
        key, _, size = rest.rstrip(")").partition("=")
        pieces = [
            [one.text for one in chunk(document, method, **({key: int(size)} if key else {}))] or [""] for document in whole(task)
        ]
        texts = list(dict.fromkeys(text for own in pieces for text in own))
        place = {text: row for row, text in enumerate(texts)}
        vectors = lab.array(f"grain-{name}-{method}", lambda t=texts: encoder.encode_document(t))
        rows = np.array([place[text] for own in pieces for text in own])
        starts = np.cumsum([0, *(len(own) for own in pieces[:-1])])
        found[cut] = ndcg(task, np.maximum.reduceat((asked @ vectors.T)[:, rows], starts, axis=1)).tolist()
    return found


def whole(task: RetrievalTask) -> Iterator[Document]:
    """Documents whose text is all that is searched, the title too."""
    return (Document(one.id, one.content) for one in task.documents)


def articles(lab: Lab) -> RetrievalTask:
    """Long articles of Wikipedia, each without a sentence that asks for it."""
    long: list[Document] = []
    for shard in sorted((lab.data / "enwiki-2015-slice").glob("*.jsonl.xz")):
        with lzma.open(shard, "rt", encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                if len(long) < ARTICLES and len(row["text"].split()) >= ARTICLE_WORDS:
                    long.append(Document(str(len(long)), "\n\n".join(row["text"].split("\n"))))
    made = known_items(long, limit=ARTICLES)
    return judged("wikipedia", made.documents, made.queries, made.judgements, synthetic=made.note)


def anisotropy(lab: Lab) -> dict[str, Any]:
    """Whitening, learnt from the documents alone: what it does to the mean cosine, and what it does to search."""
    from vicino.encoders import Word2Vec

    trials = []
    for name in SETS:
        task = lab.tasks[name]
        texts, asked = [one.content for one in task.documents], [one.text for one in task.queries]
        words = Word2Vec(seed=0, threads=1).fit(texts)
        for label, (documents, queries) in {
            "minilm": lab.embedded[name],
            "word2vec": (words.encode_document(texts), words.encode_query(asked)),
        }.items():
            trials += whitened(name, task, label, np.asarray(documents), np.asarray(queries))
    return plain(trials)


def whitened(name: str, task: RetrievalTask, label: str, documents: Vectors, queries: Vectors) -> list[Trial]:
    half = np.random.default_rng(0).permutation(len(documents))
    learn, look = np.array_split(half, 2)  # whether it cures is asked of documents that it was not learnt from
    cosines = [mean_cosines(documents[look]), mean_cosines(whitening(documents[learn])(documents[look]))]
    there = f"{label}, mean cosine {cosines[0][0]:.3f} -> {cosines[1][0]:.3f}"
    cured = Trial(
        f"{name}, {len(look):,} documents",
        there,
        "mean cosine, taken away",
        len(look),
        estimate=abs(cosines[0][0]) - abs(cosines[1][0]),
        draws=np.abs(cosines[0][1]) - np.abs(cosines[1][1]),
    )
    cure: Affine = whitening(documents)
    after = ranked(task, cure(documents), cure(queries))
    return [cured, paired(name, task, {f"{label}, whitened": after, label: ranked(task, documents, queries)})]


def mean_cosines(vectors: Vectors) -> tuple[float, Values]:
    """The mean cosine of pairs, and of resampled vectors: |Σ w u|² less what each has with itself."""
    units = normalise(vectors).astype(np.float64)
    n, random = len(units), np.random.default_rng(0)
    weights = np.vstack([np.ones(n), *(random.multinomial(n, np.full(n, 1 / n), size=RESAMPLES // 4))])
    own = (weights**2).sum(axis=1)  # a vector that is drawn twice is no pair
    means = (((weights @ units) ** 2).sum(axis=1) - own) / (n**2 - own)
    return float(means[0]), means[1:]


def dimensions(lab: Lab) -> dict[str, Any]:
    """Whether more than 384 dimensions help where there are more (LSA), and what fewer keep of all-MiniLM-L6-v2."""
    from vicino.encoders import LSA

    trials = []
    for name in SETS:
        task = lab.tasks[name]
        texts, asked = [one.content for one in task.documents], [one.text for one in task.queries]
        wide = min(1024, len(texts) - 1)

        def lsa(
            width: int, texts: Sequence[str] = texts, asked: Sequence[str] = asked, task: RetrievalTask = task
        ) -> dict[str, Any]:
            model = LSA(n_components=width).fit(texts)
            return {"values": ranked(task, model.encode_document(texts), model.encode_query(asked)).tolist()}

        few, many = (np.array(lab.unit(f"lsa-{name}-{d}", lambda d=d: lsa(d))["values"]) for d in (384, wide))
        trials.append(paired(name, task, {"lsa of 384": few, f"of {wide:,}": many}, rule="not below"))
        documents, queries = lab.embedded[name]
        full = ranked(task, documents, queries)
        for width in (256, 128, 64):
            narrow = ranked(task, documents[:, :width], queries[:, :width])
            trials.append(share_kept(name, task, f"minilm, the first {width}", narrow, full, "beside"))
        trials.append(
            share_kept(name, task, "minilm, 64 by PCA", ranked(task, *principal(documents, queries, 64)), full, "beside")
        )
    return plain(trials)


def share_kept(name: str, task: RetrievalTask, label: str, narrow: Values, full: Values, rule: Any, share: float = 0.9) -> Trial:
    """Whether at least this share of nDCG@10 is kept: the mean of narrow - share · full is above 0."""
    shown = f"{label}: {narrow.mean():.3f} of {full.mean():.3f}, {narrow.mean() / full.mean():.0%}"
    measure = f"nDCG@10 above {share:.0%} of all dimensions'"
    return Trial(said(name, task), shown, measure, len(full), narrow - share * full, together(task), rule=rule)


def principal(documents: Vectors, queries: Vectors, width: int) -> tuple[Vectors, Vectors]:
    """The strongest directions of the documents, which keep their variances."""
    mean = documents.mean(axis=0)
    axes = np.linalg.eigh(np.cov(documents, rowvar=False))[1][:, ::-1][:, :width]
    return (documents - mean) @ axes, (queries - mean) @ axes


# What they share -----------------------------------------------------------------------------------------------------


def searched(task: RetrievalTask, candidate: str) -> Values:
    """nDCG@10 of each query, by a candidate's name."""
    built = from_recipe(parse(candidate, analyzer=task.analyzer)).build(task.documents)
    return values(built.search(task.queries, 10), task)


def ranked(task: RetrievalTask, documents: Vectors, queries: Vectors) -> Values:
    """nDCG@10 of each query, by cosine."""
    return ndcg(task, normalise(queries) @ normalise(documents).T)


def ndcg(task: RetrievalTask, scores: Vectors) -> Values:
    """Of (queries, documents) scores."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    ids = np.array([one.id for one in task.documents], dtype=object)
    return values(Hits(ids[best], np.take_along_axis(scores, best, 1).astype(np.float32)), task)


def said(name: str, task: RetrievalTask) -> str:
    return f"{name}, {len(task.documents):,} documents"


def paired(name: str, task: RetrievalTask, two: dict[str, Values], rule: Any = "above") -> Trial:
    """The first of the two against the second, query by query."""
    (label, ours), (other, theirs) = two.items()
    shown = f"{label} {ours.mean():.3f}, {other} {theirs.mean():.3f}"
    return Trial(said(name, task), shown, "nDCG@10", len(ours), ours - theirs, together(task), rule=rule)


def together(task: RetrievalTask) -> NDArray[np.intp] | None:
    """The queries' groups, which are drawn whole; None where one group holds so many that to draw groups means little.

    In Cranfield and CACM chains of shared answers tie 164 of 225 queries, and 42 of 52, into one group.
    """
    return task.groups if np.bincount(task.groups).max() <= LARGEST * len(task.queries) else None
