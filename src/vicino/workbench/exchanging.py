"""The verbs that move collections: out into a folder, and in from one, to another kind of store."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from vicino.artifacts import home
from vicino.errors import InputError
from vicino.store import exchange
from vicino.store.collection import Collection
from vicino.store.exchange import Moved
from vicino.store.tenants import require_tenant

__all__ = ["export_collection", "import_collection"]


def export_collection(collection: str, path: str | PathLike[str], *, tenant: str | None = None) -> Moved:
    """A collection as a folder that `import_collection` reads: documents, vectors, models, spaces, canaries, lineage.

    With a `tenant`, its documents alone. A path that ends in .parquet gets the rows and vectors only, for other tools. Raises
    UnknownName for a collection or tenant that is not there, ArtifactError for a folder that is something else or a full disk.
    """
    opened = Collection.open(home() / "collections", collection)
    if tenant is not None:
        require_tenant(opened, tenant)
    target = Path(path)
    return (exchange.export_table if target.suffix == ".parquet" else exchange.export)(opened, target, tenant=tenant)


def import_collection(path: str | PathLike[str], collection: str, *, at: str | None = None) -> Moved:
    """A collection from what `export_collection` wrote, its rows beside it or `at` a server's address; vectors to the bit.

    It appears when it is whole; the same call goes on where a stopped one was. Into a collection that is there, documents are
    added, if its vectors are of the same spaces. Raises SpaceMismatch, ArtifactError, ArtifactCorrupt, ArtifactTooNew and
    InputError.
    """
    folder = Path(path)
    if folder.suffix == ".parquet":
        raise InputError(f"{folder} holds rows, and no models", mend="import a folder: vicino export NAME FOLDER")
    return exchange.take_in(folder, home() / "collections", collection, at=at)
