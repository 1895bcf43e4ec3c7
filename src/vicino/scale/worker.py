"""What runs in each worker of a job: a model, opened once and checked, and blocks that it embeds and commits."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vicino import __version__
from vicino.errors import ArtifactError, EndpointError, SpaceMismatch, UnknownName, VicinoError
from vicino.spaces import Space
from vicino.store.changes import Piece
from vicino.store.collection import Collection
from vicino.store.writing import Work

__all__ = ["Worker"]


class Worker:
    """A callable of Ray Data: a batch of paths of blocks -> what each counted, as JSON, or the error that it met.

    `terms` are those of the job. An error is given back as data, [kind, what, mend]: Ray would try it again, in vain.
    """

    def __init__(self, terms: Mapping[str, Any]) -> None:
        self.terms = terms
        self._collection: Collection | None = None

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[str]]:
        done: dict[str, list[str]] = {"block": [], "tally": [], "error": []}
        for block in map(str, batch["block"]):
            tally = error = ""
            try:
                tally = self.write(block)
            except VicinoError as raised:
                error = json.dumps([type(raised).__name__, raised.what, raised.mend])
            for name, value in (("block", block), ("tally", tally), ("error", error)):
                done[name].append(value)
        return done

    def write(self, block: str) -> str:
        """Embed and commit the documents of one block; its tally as JSON."""
        work = Work(self.collection, self.terms["source"], self.terms["tenant"])
        with Path(block).open(encoding="utf-8", errors="surrogatepass") as lines:
            work.take([Piece.of_line(line) for line in lines])
        return json.dumps(vars(work.tally))

    @property
    def collection(self) -> Collection:
        """The collection as this machine sees it; its models are checked by fingerprint and canaries when they open."""
        if self._collection is None:
            self._collection = _open(self.terms)
        return self._collection


def _open(terms: Mapping[str, Any]) -> Collection:
    here, name = f"the worker on {socket.gethostname()}", terms["collection"]
    if terms["version"] != __version__:
        what = f"{here} has vicino {__version__}, and this is {terms['version']}"
        raise EndpointError(what, mend="install the same version on every machine of the cluster")
    try:
        collection = Collection.open(Path(terms["home"]), name)
    except UnknownName as error:
        raise ArtifactError(
            f"{here} does not see {terms['home']}/{name}",
            mend="let VICINO_HOME be a folder that every machine of the cluster mounts under the same path",
        ) from error
    spaces = [Space.from_json(plain) for plain in terms["spaces"]]
    if collection.spaces != spaces:
        listing = " and ".join(map(str, collection.spaces))
        raise SpaceMismatch(
            f"{here} finds {name!r} with vectors of {listing}, and the job is for {' and '.join(map(str, spaces))}",
            mend="run the command again: the model was changed meanwhile, or the machines see two folders",
        )
    return collection
