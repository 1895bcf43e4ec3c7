"""What learning pulls together and pushes apart: plain functions from tensors to one number that can be differentiated.

None knows where the tensors come from. (b, d) are b vectors of d dimensions; all losses are means, so that a batch of any size
pulls as hard, but for those that say otherwise. All are in torch; `LOSSES` lists them, and loads it when one is asked for.
"""

from __future__ import annotations

from vicino.catalog import Catalog, Entry

__all__ = ["LOSSES"]

_HERE = "vicino.learning.losses"

LOSSES = Catalog(
    "loss",
    {
        "info-nce": Entry(
            f"{_HERE}.in_batch:info_nce", "pairs against the rest of the batch (van den Oord et al. 2018)", "torch"
        ),
        "nt-xent": Entry(
            f"{_HERE}.in_batch:nt_xent", "two views of each item, against all other views (Chen et al. 2020)", "torch"
        ),
        "triplet": Entry(f"{_HERE}.triplets:triplet", "nearer to the positive than to the negative, by a margin", "torch"),
        "batch-triplets": Entry(
            f"{_HERE}.triplets:batch_triplets", "triplets of a labelled batch: all, hard, semi-hard", "torch"
        ),
        "softmax": Entry(f"{_HERE}.margins:softmax_classification", "classes by cross-entropy", "torch"),
        "class-margins": Entry(f"{_HERE}.margins:ClassMargins", "classes by ArcFace or CosFace (Deng et al. 2019)", "torch"),
        "cosine-regression": Entry(f"{_HERE}.regression:cosine_regression", "cosines as similarities that were given", "torch"),
        "cosent": Entry(f"{_HERE}.regression:cosent", "cosines in the order of similarities that were given (Su 2022)", "torch"),
        "margin-mse": Entry(f"{_HERE}.regression:margin_mse", "a teacher's margins (Hofstätter et al. 2020)", "torch"),
        "distil-scores": Entry(f"{_HERE}.regression:distil_scores", "a teacher's ranking of candidates, by KL", "torch"),
        "reconstruction": Entry(f"{_HERE}.regression:reconstruction", "mean squared error, of what was masked", "torch"),
        "matryoshka": Entry(f"{_HERE}.matryoshka:matryoshka", "any of these, at several widths (Kusupati et al. 2022)", "torch"),
    },
)
