"""How a number is made: pure functions over arrays, and the names that people give them.

`parse("nDCG@10")` is a `Metric`; called on a `Judged` (see `vicino.metrics.ranking`) it gives one value a query.
`vicino.metrics.significance` says what those values can tell, `vicino.metrics.similarity` scores graded sentence pairs.

A new ranking metric is one function `(Judged, k | None) -> (n,) float64`, higher is better, and one line in METRICS.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vicino.catalog import Catalog, Entry
from vicino.errors import InputError, UnknownName

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vicino.metrics.ranking import Judged

__all__ = ["METRICS", "Metric", "parse"]

METRICS = Catalog(
    "metric",
    {
        "nDCG": Entry("vicino.metrics.ranking:ndcg", "graded gain, discounted by rank, as a share of the best possible"),
        "Recall": Entry("vicino.metrics.ranking:recall", "share of the relevant documents that were found"),
        "MRR": Entry("vicino.metrics.ranking:mrr", "one over the rank of the first relevant document"),
        "MAP": Entry("vicino.metrics.ranking:average_precision", "mean of the precisions at each relevant document"),
        "P": Entry("vicino.metrics.ranking:precision", "share of the ranks that hold a relevant document"),
        "success": Entry("vicino.metrics.ranking:success", "1 where any relevant document was found, else 0"),
        "judged": Entry("vicino.metrics.ranking:judged_share", "share of the found documents that anybody judged"),
    },
)

# Names that other tools use for an entry of METRICS.
ALIASES = {"AP": "MAP", "RR": "MRR", "R": "Recall", "precision": "P"}

_CUTOFF = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class Metric:
    """A ranking metric and how far down it looks: `cutoff` ranks, or all of them where it is None.

    `name` is the canonical text, the same however the metric was spelled: `parse(metric.name) == metric`.
    """

    name: str
    function: Callable[[Judged, int | None], NDArray[np.float64]]
    cutoff: int | None = None

    def __call__(self, judged: Judged) -> NDArray[np.float64]:
        """One value a query, in [0, 1]: (n,) float64."""
        return self.function(judged, self.cutoff)


def parse(name: str) -> Metric:
    """The metric of a name such as nDCG@10, recall@100, MRR@10, MAP, P@5, success@1 or judged@10, in any case.

    Without `@` and a cutoff, the whole ranking counts. Raises UnknownName, and InputError for a cutoff that is not a
    whole number of at least 1.

    >>> parse("NDCG@10").name, parse("ap").name, parse("precision@5").cutoff
    ('nDCG@10', 'MAP', 5)
    """
    stem, at, cutoff = name.strip().partition("@")
    known = {alias.casefold(): entry for alias, entry in ALIASES.items()} | {entry.casefold(): entry for entry in METRICS}
    entry = known.get(stem.casefold())
    if entry is None:
        listing = f"There are: {', '.join(METRICS)}; a cutoff follows as in nDCG@10"
        raise UnknownName.among(stem.casefold(), known, kind="metric", listing=listing)
    if not at:
        return Metric(entry, METRICS[entry])
    if not _CUTOFF.fullmatch(cutoff):
        raise InputError(f"the cutoff of {name!r} is not a whole number of at least 1", mend=f"write it as in {entry}@10")
    return Metric(f"{entry}@{cutoff}", METRICS[entry], int(cutoff))
