"""Every error that vicino raises on purpose. Each says what is wrong and what to do next.

::

    VicinoError
    ├── InputError (ValueError)         what was given cannot be used
    │   ├── EmptyInput                  nothing to work on
    │   ├── ImageError                  an image that is none, is damaged or too large
    │   ├── InvalidVectors              NaN, infinite, wrong shape or type
    │   ├── DimensionMismatch           vectors of another width
    │   ├── DuplicateIds                two things with one name
    │   ├── UnknownName (LookupError)   no such entry; the nearest names are listed
    │   ├── UnreadableSource            a file or folder that cannot be read
    │   └── InputTooLarge               larger than a stated limit
    ├── SpaceMismatch (ValueError)      vectors that two different functions made
    ├── NotFitted (RuntimeError)        fit or build was not called yet
    ├── ArtifactError                   a saved folder that cannot be opened or written
    │   ├── ArtifactCorrupt             truncated, tampered with, or incomplete
    │   └── ArtifactTooNew              written by a newer vicino
    ├── EndpointError                   a server did not answer, or not as it should
    ├── WeightsMismatch                 a model file is not the one that was promised
    └── MissingExtra (ImportError)      an optional dependency is not installed
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "ArtifactCorrupt",
    "ArtifactError",
    "ArtifactTooNew",
    "DimensionMismatch",
    "DuplicateIds",
    "EmptyInput",
    "EndpointError",
    "ImageError",
    "InputError",
    "InputTooLarge",
    "InvalidVectors",
    "MissingExtra",
    "NotFitted",
    "SpaceMismatch",
    "UnknownName",
    "UnreadableSource",
    "VicinoError",
    "WeightsMismatch",
]


class VicinoError(Exception):
    """The root of the tree: `what` went wrong, and the `mend` that puts it right.

    >>> print(VicinoError("the shelf is full", mend="free some space and run the command again"))
    the shelf is full
      → free some space and run the command again
    """

    def __init__(self, what: str, *, mend: str) -> None:
        self.what = what
        self.mend = mend
        super().__init__(what, mend)

    def __str__(self) -> str:
        return f"{self.what}\n  → {self.mend}"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.mend)


def _rebuild(kind: type[VicinoError], what: str, mend: str) -> VicinoError:
    error = kind.__new__(kind)
    VicinoError.__init__(error, what, mend=mend)
    return error


class InputError(VicinoError, ValueError):
    """What was given cannot be used."""


class EmptyInput(InputError):
    """There is nothing to work on."""


class ImageError(InputError):
    """An image that is none, is damaged, or is too large."""


class InvalidVectors(InputError):
    """An array that is not a finite two-dimensional float matrix."""


class DimensionMismatch(InputError):
    """Vectors of one width where another is needed."""


class DuplicateIds(InputError):
    """Two things under one id."""


class UnreadableSource(InputError):
    """A file or folder that is missing, unreadable, or not what its name says."""


class InputTooLarge(InputError):
    """One item is larger than a stated limit."""


class UnknownName(InputError, LookupError):
    """A name that is in no list; the nearest ones are offered.

    >>> print(UnknownName.among("bm52", ["bm25", "tfidf"], kind="candidate"))
    there is no candidate named 'bm52'
      → did you mean bm25? There are: bm25, tfidf
    """

    @classmethod
    def among(cls, name: str, names: Iterable[str], *, kind: str, listing: str = "") -> UnknownName:
        known = sorted(names)
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.6)
        mend = f"did you mean {' or '.join(near)}? " if near else ""
        mend += listing or f"There are: {', '.join(known) or 'none yet'}"
        return cls(f"there is no {kind} named {name!r}", mend=mend)


class SpaceMismatch(VicinoError, ValueError):
    """Vectors made by two different functions were about to meet."""


class NotFitted(VicinoError, RuntimeError):
    """Something was used before it was fitted or built."""


class ArtifactError(VicinoError):
    """A saved folder cannot be opened or written."""


class ArtifactCorrupt(ArtifactError):
    """A saved folder is truncated, was tampered with, or is incomplete."""


class ArtifactTooNew(ArtifactError):
    """A saved folder was written by a newer vicino."""


class EndpointError(VicinoError):
    """A server (that embeds, or of a store) did not answer, or not as it should. What was done before is kept."""


class WeightsMismatch(VicinoError):
    """A model file's checksum is not the promised one."""


class MissingExtra(VicinoError, ImportError):
    """An optional dependency is not installed.

    >>> print(MissingExtra.named("torch", needed_by="transformer encoders"))
    transformer encoders need the extra 'torch', which is not installed
      → pip install 'vicino[torch]' (in a checkout: pip install -c constraints.txt -e '.[torch]')
    """

    @classmethod
    def named(cls, extra: str, *, needed_by: str) -> MissingExtra:
        return cls(
            f"{needed_by} need the extra {extra!r}, which is not installed",
            mend=f"pip install 'vicino[{extra}]' (in a checkout: pip install -c constraints.txt -e '.[{extra}]')",
        )
