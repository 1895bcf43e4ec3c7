"""Indexes whose codes another library writes: its version stands in the manifest, and is looked at when one is opened."""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Any, ClassVar, Self

from vicino import artifacts
from vicino.errors import ArtifactCorrupt, ArtifactTooNew
from vicino.indexes.rescored import Rescored

__all__ = ["Foreign", "require_readable", "written_by"]


class Foreign(Rescored):
    """Codes in the format of `package`, a package's name. `steady` formats of an older version can be read."""

    package: ClassVar[str]
    steady: ClassVar[bool]

    def manifest(self) -> dict[str, Any]:
        return super().manifest() | written_by(self.package)

    @classmethod
    def _from_artifact(cls, saved: artifacts.Artifact) -> Self:
        require_readable(saved, cls.package, steady=cls.steady)
        return super()._from_artifact(saved)


def written_by(package: str) -> dict[str, Any]:
    """What the manifest says of the library."""
    return {"library": {package: version(package)}}


def require_readable(saved: artifacts.Artifact, package: str, *, steady: bool) -> None:
    """Raise ArtifactTooNew or ArtifactCorrupt where the version that is installed may misread what is saved."""
    written = str(saved.data.get("library", {}).get(package, ""))
    here = version(package)
    if _release(written) > _release(here):
        raise ArtifactTooNew(
            f"{saved.path} was written by {package} {written}; {here} is installed",
            mend=f"pip install --upgrade {package}, or build the index again",
        )
    if not steady and _release(written) != _release(here):
        raise ArtifactCorrupt(
            f"{saved.path} was written by {package} {written or '(no version)'}, whose files {here} may misread",
            mend="build the index again",
        )


def _release(text: str) -> tuple[int, ...]:
    """(major, minor), by which formats change."""
    return tuple(int(number) for number in re.findall(r"\d+", text)[:2])
