"""Indexes: vectors -> neighbours."""

from __future__ import annotations

from os import PathLike
from typing import cast

from vicino import artifacts
from vicino.catalog import Catalog, Entry
from vicino.errors import ArtifactCorrupt
from vicino.indexes.base import Index

__all__ = ["INDEXES", "Index", "load"]

INDEXES = Catalog(
    "index",
    {
        "exact": Entry("vicino.indexes.exact:Exact", "compares with every vector; always right"),
        "hnsw": Entry("vicino.indexes.hnsw:HNSW", "a layered graph of neighbours (Malkov and Yashunin 2018)", "store"),
        "hnsw-sq": Entry("vicino.indexes.hnsw_sq:HNSWSQ", "HNSW over one byte a number (scalar quantised), rescored", "store"),
        "ivf-pq": Entry("vicino.indexes.ivf_pq:IVFPQ", "short codes in lists (Jégou et al. 2011), rescored", "store"),
        "quantised-graph": Entry("vicino.indexes.quantised_graph:QuantisedGraph", "SymphonyQG (Gou et al. 2025), fast", "fast"),
        "int8": Entry("vicino.indexes.int8:Int8", "a scan over one byte a number, rescored"),
        "binary": Entry("vicino.indexes.binary:Binary", "a scan over one bit a dimension, rescored", "store"),
        "truncated": Entry("vicino.indexes.truncated:Truncated", "a scan over the first principal axes, rescored"),
        "disk": Entry("vicino.indexes.disk:Disk", "Lance's IVF-PQ in files; the vectors stay there", "store"),
        "diskann": Entry("vicino.indexes.diskann:DiskANN", "zvec's DiskANN in files (Subramanya et al. 2019)", "zvec"),
        "planned": Entry("vicino.indexes.planned:Planned", "an index, with newer rows beside it", "store"),
    },
)


def load(path: str | PathLike[str]) -> Index:
    """Open any saved index. Raises ArtifactError, ArtifactCorrupt or ArtifactTooNew."""
    saved = artifacts.read(path, kind="index")
    try:
        return cast(Index, INDEXES[saved.data["index"]]._from_artifact(saved))
    except (LookupError, TypeError, ValueError) as error:  # a family, or a parameter, of another version
        raise ArtifactCorrupt(f"{path} holds an index that this vicino cannot read: {error}", mend="build it again") from error
