"""What a network of images learns by. `OBJECTIVES` lists them, and loads torch when one is asked for."""

from __future__ import annotations

from vicino.catalog import Catalog, Entry

__all__ = ["OBJECTIVES"]

_HERE = "vicino.training.images.objectives"

OBJECTIVES = Catalog(
    "objective",
    {
        "supervised": Entry(f"{_HERE}.labelled:Supervised", "classes by softmax; the layer before them is kept", "torch"),
        "triplet": Entry(f"{_HERE}.labelled:Triplet", "nearer to one's own class, FaceNet (Schroff et al. 2015)", "torch"),
        "arcface": Entry(f"{_HERE}.labelled:ArcFace", "classes by angles with a margin (Deng et al. 2019)", "torch"),
        "cosface": Entry(f"{_HERE}.labelled:CosFace", "classes by cosines with a margin (Wang et al. 2018)", "torch"),
        "autoencoder": Entry(f"{_HERE}.autoencoder:Autoencoder", "the picture painted again from its vector", "torch"),
        "masked": Entry(f"{_HERE}.masked:Masked", "hidden patches painted from those that are seen (He et al. 2022)", "torch"),
        "simclr": Entry(f"{_HERE}.contrast:SimCLR", "two views of each, against all others (Chen et al. 2020)", "torch"),
        "moco": Entry(f"{_HERE}.contrast:MoCo", "against a queue of a slow copy's vectors (He et al. 2020)", "torch"),
        "data2vec": Entry(f"{_HERE}.masked:Data2Vec", "hidden patches as a slow copy knows them (Baevski et al. 2022)", "torch"),
    },
)
