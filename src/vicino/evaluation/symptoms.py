"""What silently ruins vectors, sign by sign: each look says what it found, against what, why it comes so, and what mends it.

The looks take arrays and texts, and do not ask where these are from: an encoder on somebody's data, or a collection. Thresholds
are rules of thumb: healthy sentence encoders stay inside of them on the data sets that vicino is measured on, and planted faults
pass them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vicino.data.near_duplicates import near_duplicates
from vicino.encoders.base import Truncation
from vicino.evaluation.doctor import Finding
from vicino.indexes.exact import Exact
from vicino.metrics import geometry
from vicino.metrics.calibration import Reliability, calibrate, reliability, threshold_for
from vicino.metrics.classification import roc_auc
from vicino.metrics.shift import classifier_shift, mmd_shift
from vicino.metrics.values import Values
from vicino.vectors import Similarity

__all__ = [
    "LEAST",
    "Mends",
    "calibration",
    "domain",
    "finding",
    "length_limit",
    "lengths",
    "metric",
    "one_vector",
    "repeats",
    "shape",
    "twins",
]

DEAD = 0.01  # of the dimensions: MiniLM has three of 384 that hardly vary, and is none the worse
LEAST = 50  # vectors under which a cloud has no shape to speak of
ODD = 0.01  # of the vectors
CONE, COLLAPSED = 0.5, 0.95  # mean cosine
FLAT = 0.1  # effective rank, as a share of the dimensions
HUBS = 4.0  # skewness
CUT = 0.05  # of all tokens
TWICE = 0.02  # of the documents are nearly another
NEARLY = 0.9  # of the words of two texts are the same
SHARED = 0.01  # of the documents have the vector of another text
OTHERS = 0.05  # of the ten nearest are others under another metric
APART, CHANCE = 0.75, 0.01  # AUC and p of two domains
STRANGE = 0.95  # probability of being of the new domain
TRUST = 0.1  # expected calibration error
LOST = 0.15  # of the AUC, from within queries to across them
_ASKED = 500  # rows whose neighbours are looked at under two metrics

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Mends:
    """What mends, as one types it for what is looked at: try cures, take another model, cut texts, choose anew, search by ..."""

    cure: str
    model: str
    cut: str
    choose: str
    metric: str


def finding(about: str, good: bool, value: str, threshold: str, cause: str, mend: str, reference: str = "") -> Finding:
    """A finding whose cause and mend are told only where it is not good."""
    return Finding(about, "ok" if good else "problem", value, "" if good else mend, threshold, "" if good else cause, reference)


# Vectors --------------------------------------------------------------------------------------------------------------


def lengths(vectors: Vectors, mends: Mends) -> Finding:
    """Vectors much longer or shorter than the others."""
    odd, zero = len(geometry.odd_norms(vectors)), int((~vectors.any(axis=1)).sum())
    return finding(
        "lengths",
        odd <= ODD * len(vectors) and zero == 0,
        f"{odd:,} of {len(vectors):,} are odd, {zero:,} are zero",
        f"up to {ODD:.0%} odd (over 8 robust standard deviations away), none zero",
        "texts without a word that the model knows, or a few items that outshout the others",
        f"look at these items; encode with normalize_embeddings=True, or take another model: {mends.model}",
        "Leys et al. 2013, median absolute deviation; MiniLM on SciFact: 0 and 0",
    )


def shape(vectors: Vectors, mends: Mends, *, seed: int) -> Iterator[Finding]:
    """Dead dimensions, a cone, a flat spectrum, hubs; nothing for fewer than `LEAST` vectors."""
    if len(vectors) < LEAST:
        return
    dead = geometry.dead_dimensions(vectors)
    yield finding(
        "dimensions",
        len(dead) <= DEAD * vectors.shape[1],
        f"{len(dead):,} of {vectors.shape[1]:,} hardly vary",
        f"up to {DEAD:.0%} with under a ten-thousandth of the mean variance",
        "units that died in training, or columns that were filled up",
        f"train with a lower learning rate, or take another model: {mends.model}; these cost memory and say nothing",
        "MiniLM on SciFact: 3",
    )
    cone = geometry.mean_cosine(vectors)
    collapsed = cone > COLLAPSED
    yield finding(
        "direction",
        cone < CONE,
        f"mean cosine of two documents {cone:.3f}",
        f"under {CONE}",
        "the training collapsed: all texts get one vector" if collapsed else "anisotropy: vectors share a direction",
        f"go back to weights before the collapse, and train with a lower learning rate; or {mends.model}"
        if collapsed
        else f"centring, all-but-the-top or whitening; measured on a copy by: {mends.cure}",
        "Ethayarajh 2019; MiniLM on SciFact: 0.13",
    )
    if np.ptp(vectors, axis=0).any():
        yield _rank(vectors, mends)
    hubs = geometry.hubness(vectors, k=min(10, len(vectors) - 1), seed=seed)
    yield finding(
        "hubs",
        hubs.skewness < HUBS,
        f"skewness of being a neighbour {hubs.skewness:.2f}; 1 % of documents take {hubs.top_share:.0%} of all places, "
        f"{hubs.orphans:.0%} are never found",
        f"under {HUBS:g}",
        "hubs: a few documents are near everything",
        f"centring or all-but-the-top; measured on a copy by: {mends.cure}",
        "Radovanović et al. 2010; MiniLM on SciFact: 1.2",
    )


def _rank(vectors: Vectors, mends: Mends) -> Finding:
    spectrum = geometry.spectrum(vectors, centred=True)
    share = spectrum.effective_rank / min(vectors.shape)
    return finding(
        "rank",
        share > FLAT,
        f"effective rank {spectrum.effective_rank:.0f} of {vectors.shape[1]}, the top three directions hold "
        f"{float(spectrum.shares[:3].sum()):.0%}",
        f"over {FLAT:.0%}",
        "few directions carry everything",
        f"whitening, or fewer dimensions, which would do as well; measured on a copy by: {mends.cure}",
        "Roy and Vetterli 2007; MiniLM on SciFact: 37 %",
    )


def metric(vectors: Vectors, trained: Similarity, used: Similarity, mends: Mends) -> Finding:
    """Whether another metric than the one that the vectors were trained for finds others."""
    differ = 0.0
    if used != trained and len(vectors) > 1:
        asked, k = vectors[:_ASKED], min(11, len(vectors))
        names = [str(row) for row in range(len(vectors))]
        found = [Exact(similarity=each).build(vectors, names).search(asked, k).ids for each in (trained, used)]
        differ = float(np.mean([len(set(a) - set(b)) / k for a, b in zip(*found, strict=True)]))
    return finding(
        "metric",
        differ <= OTHERS,
        f"trained for {trained}, searched by {used}" + (f": {differ:.0%} of the nearest are others" if used != trained else ""),
        f"up to {OTHERS:.0%} others",
        "the index ranks by what the training did not shape: lengths count where they should not, or the other way",
        f"{mends.metric} {trained}" + (", or encode with normalize_embeddings=True" if trained == "cosine" else ""),
        "unit vectors rank alike by cosine, dot and euclidean",
    )


def one_vector(vectors: Vectors, texts: Sequence[str], mends: Mends) -> Finding:
    """Different texts with one and the same vector."""
    _, which, times = np.unique(vectors, axis=0, return_inverse=True, return_counts=True)
    named = np.unique(np.asarray(texts), return_inverse=True)[1]
    distinct = np.bincount(np.unique(np.stack([which.ravel(), named.ravel()]), axis=1)[0], minlength=len(times))
    return twins("one vector", int(times[distinct > 1].sum()), len(texts), mends)


def twins(about: str, shared: int, of: int, mends: Mends) -> Finding:
    """So many of the texts have the vector of another text."""
    return finding(
        about,
        shared <= SHARED * of,
        f"{shared:,} of {of:,} have the vector of another text",
        f"up to {SHARED:.0%}",
        "texts that begin alike and were cut at the model's limit, or words that the model does not know",
        f"choose a model that knows their words: {mends.model}; or cut documents shorter: {mends.cut}",
        "MiniLM on SciFact: 0",
    )


def domain(before: Vectors, now: Vectors, names: Sequence[str], mends: Mends, *, earlier: str, seed: int) -> Finding:
    """Whether what is there now, whose `names` are told where they are strange, is of another kind than what was `earlier`."""
    found = classifier_shift(before, now, seed=seed)
    mmd = mmd_shift(before, now, seed=seed)
    good = found.distance < APART or found.p > CHANCE
    strange = np.argsort(-found.scores)[: 0 if good else int((found.scores > STRANGE).sum())]
    named = f", such as {', '.join(names[row] for row in strange[:5])}" if len(strange) else ""
    out = "" if good else f"; {len(strange):,} of {len(now):,} are out of the old domain{named}"
    return finding(
        "domain",
        good,
        f"a classifier tells it from {earlier} with AUC {found.distance:.3f} (p {found.p:.1g}; MMD p {mmd.p:.1g}){out}",
        f"AUC under {APART}, or p over {CHANCE}",
        "the data moved since the model was chosen",
        mends.choose,
        "Lopez-Paz and Oquab 2017; Gretton et al. 2012; one domain: AUC 0.5",
    )


# Texts ----------------------------------------------------------------------------------------------------------------


def length_limit(cut: Truncation, mends: Mends) -> Finding:
    """What the model does not read."""
    return finding(
        "length limit",
        cut.share <= CUT,
        f"{cut.share:.1%} of all tokens lie beyond the limit of {cut.limit}; {cut.items_cut:,} texts are cut",
        f"up to {CUT:.0%}",
        "texts are longer than the model reads: the rest is never found",
        mends.cut,
        "MiniLM reads 256 tokens; it does not see 29 % of SciFact",
    )


def repeats(
    texts: Sequence[str], mend: str, *, documents: Sequence[object] | None = None, tenants: Sequence[str] | None = None
) -> Finding:
    """Texts that nearly say what another says: of another document, and of the same tenant, where these are told."""
    pairs = near_duplicates(texts, threshold=NEARLY)
    if documents is not None and tenants is not None and len(pairs):
        listed = pairs.tolist()
        pairs = pairs[[documents[a] != documents[b] and tenants[a] == tenants[b] for a, b in listed]]
    twice = len(np.unique(pairs[:, 1])) if len(pairs) else 0
    return finding(
        "duplicates",
        twice <= TWICE * len(texts),
        f"{twice:,} of {len(texts):,} nearly repeat another",
        f"up to {TWICE:.0%} with {NEARLY:.0%} of their words in common",
        "the same text under several ids: it fills the first places",
        mend,
        "Broder 1997; SciFact: 0",
    )


# Scores ---------------------------------------------------------------------------------------------------------------


def calibration(scores: Sequence[Values], relevant: Sequence[Values], *, precision: float = 0.9) -> Finding | None:
    """Whether one score means one thing, of scores of each query's documents that are 1 where relevant; None for too few.

    Probabilities are learnt from half of the queries and looked at on the others. A score that tells relevant from other
    documents within a query may say nothing across queries: then no threshold serves them all. `precision` is the share of
    relevant ones that a threshold is looked for. The finding's `numbers` hold the bins, and what the threshold did on each half.
    """
    if len(scores) < 2:
        return None
    learnt, looked = [(np.concatenate(scores[side::2]), np.concatenate(relevant[side::2])) for side in (0, 1)]
    if any(not 0 < truth.sum() < len(truth) for _, truth in (learnt, looked)):
        return None
    plain = reliability(calibrate(*learnt)(looked[0]), looked[1])
    pairs = zip(relevant, scores, strict=True)
    within = float(np.mean([roc_auc(truth, said) for truth, said in pairs if 0 < truth.sum() < len(truth)] or [0.5]))
    across = roc_auc(np.concatenate(relevant), np.concatenate(scores))
    cut, wanted = threshold_for(*learnt, precision), f"{100 * precision:g} %"
    kept = looked[1][looked[0] >= cut[0]] if cut is not None else looked[1][:0]
    if cut is None:
        where = f"no score gives a precision of {wanted}"
    else:
        recall = kept.sum() / looked[1].sum()
        true = f"{kept.mean():.0%} are (recall {recall:.0%})" if len(kept) else "there are none so high"
        where = f"from {cut[0]:.3f} on {wanted} were relevant there, and here {true}"
    bins = ", ".join(f"{said:.2f} {is_:.2f}" for said, is_ in zip(plain.predicted, plain.observed, strict=True))
    told = finding(
        "scores",
        plain.error < TRUST and within - across < LOST,
        f"calibrated on half of the queries, off by {plain.error:.3f} on the others (said and true: {bins}); AUC {within:.2f} "
        f"within queries, {across:.2f} across; {where}",
        f"off by under {TRUST}, AUC across under {LOST} less",
        "the same score means relevant for one query and not for another",
        "do not cut by score; rerank (vicino search --rerank), whose scores mean more",
        "Naeini et al. 2015; Zadrozny and Elkan 2002; MiniLM on SciFact: off by 0.016",
    )
    threshold = {
        "precision": precision,
        "score": None if cut is None else cut[0],
        "pairs": len(kept),
        "relevant": int(kept.sum()),
        "of": int(looked[1].sum()),
    }
    return replace(told, numbers={**_bins(plain), "auc_within": within, "auc_across": across, "threshold": threshold})


def _bins(plain: Reliability) -> dict[str, Any]:
    """Bins of probability, the lowest first, as JSON can say them: what was said, what was true and its interval, how many."""
    names = ("predicted", "observed", "low", "high")
    rows = zip(*(getattr(plain, name).tolist() for name in names), plain.counts.astype(int).tolist(), strict=True)
    return {"error": plain.error, "bins": [dict(zip((*names, "count"), row, strict=True)) for row in rows]}
