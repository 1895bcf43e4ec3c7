"""Any Python function as an encoder of text."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import sys
import textwrap
from collections.abc import Callable as Function
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts, progress
from vicino.encoders.base import Encoder, Role
from vicino.encoders.trust import require_trusted, vouch
from vicino.errors import InputError, InvalidVectors, UnknownName
from vicino.spaces import Canaries, Space
from vicino.vectors import as_vectors

__all__ = ["Callable", "resolved"]

Embed = Function[[list[str]], Any]

# What a function is asked to tell it from others: case, scripts, white space, and length, where models cut.
_PROBES = [
    "The wings lift the aeroplane.",
    "the wings lift the aeroplane",
    "Straße, naïve, 東京都, Ελλάδα!",
    "\t x² + 1 = 0;\n\n  def f(x): return x ",
    "bread and water " * 300,
]
_SIGNS, _LARGE = 64, 0.05  # columns looked at; "positive" is above this share of the row's largest number: no noise around zero


class Callable(Encoder):
    """A function of yours: a list of str in, one vector a text out, as anything that NumPy reads as (n, d) numbers.

    `function` is "package.module:name", or the function (or another callable object) itself; `query_function` embeds queries,
    where they need another one. A name is imported when first needed; the current folder is searched last, and stays at the end
    of `sys.path`. Documents are given by their content, `batch_size` texts at a time.

    **The space** names the function by what it does: its source code, without comments and layout, and the signs of its vectors
    for a few texts. So an edit is noticed, and another model behind the same name. Not noticed is a change that shows in neither:
    of what the function calls or reads, or of a few weights, so small that it turns no sign. The canaries that saved retrievers
    and collections keep are finer. An encoder that was saved keeps its space as long as its vectors for these texts keep a cosine
    of 0.99; then SpaceMismatch.

    **Saving** keeps the name, not the code: a lambda, or a function of a script or a notebook, cannot be saved. Opening runs the
    named function, and so it is refused (InputError) unless this process used that function before, or VICINO_TRUST names it.

    What is wrong is named: UnknownName (no such function), InvalidVectors (not one finite row a text), DimensionMismatch (a width
    that changes). What the function itself raises is left as it is.

    >>> Callable(function=lambda texts: [[len(text), 1] for text in texts]).encode(["wing", "to"]).tolist()
    [[4.0, 1.0], [2.0, 1.0]]
    """

    family: ClassVar[str] = "callable"
    pretrained: ClassVar[bool] = True

    _dim: int | None = None
    _probed: NDArray[np.float32] | None = None  # what the functions give for the probes
    _kept: tuple[Canaries, Space] | None = None  # what they gave, and the space, when this encoder was saved

    def __init__(self, *, function: str | Embed = "", query_function: str | Embed | None = None) -> None:
        self.function = function
        self.query_function = query_function

    def set_params(self, **params: Any) -> Self:
        super().set_params(**params)
        self._dim = self._probed = self._kept = None
        return self

    @property
    def dim(self) -> int:
        """The width of a vector. Asks the function, where it was not asked before."""
        return self._dim or int(self._probes().shape[1])

    @property
    def space(self) -> Space:
        """By source and signs, as the class says; a saved encoder keeps the space it had. Raises SpaceMismatch where it moved."""
        if self._kept is not None and self._space is None:
            canaries, space = self._kept
            canaries.check(lambda _: self._probes())
            self._space = space
        return super().space

    def save(self, path: str | PathLike[str]) -> Path:
        """Write a folder with the names. Raises InputError for a function that cannot be imported by its name."""
        params = {name: None if value is None else _name_of(value) for name, value in self.get_params().items()}
        data = {"encoder": self.family, "params": params, "space": self.space.to_json()}
        return artifacts.write(path, kind="encoder", data=data, arrays=self._arrays())

    # What the contract asks of a family ---------------------------------------------------------------------------------

    def _fit(self, items: list[Any], y: Any, validation: Any) -> None:
        """Nothing: the function has learnt already."""

    def _encode(self, items: list[str], role: Role, batch_size: int, output_value: str) -> NDArray[np.float32]:  # noqa: ARG002
        function = self._functions()[-1 if role == "query" else 0]
        starts = progress.track(range(0, len(items), batch_size), "Calling the function", unit="batches")
        return np.concatenate([self._call(function, items[start : start + batch_size]) for start in starts])

    def _identity(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        probes = self._probes()[:, :_SIGNS]
        large = _LARGE * np.abs(probes).max(axis=1, keepdims=True)
        return {"sources": [_source(resolved(each)) for each in self._functions()]}, {"signs": probes > large}

    def _arrays(self) -> dict[str, Any]:
        return {"probes": self._kept[0].vectors if self._kept else self._probes()}

    def _restore(self, folder: Path, data: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        self._require_trust(folder)
        self._kept = Canaries(_PROBES, arrays["probes"]), Space.from_json(data["space"])

    def _require_trust(self, folder: Path) -> None:
        for name in filter(None, self.get_params().values()):
            require_trusted(str(name), f"{folder} wants to run the Python function {name}")

    # The functions ------------------------------------------------------------------------------------------------------

    def _functions(self) -> list[str | Embed]:
        """The one for documents, and the one for queries where there is another."""
        return [self.function] if self.query_function is None else [self.function, self.query_function]

    def _probes(self) -> NDArray[np.float32]:
        if self._probed is None:
            self._probed = np.concatenate([self._call(function, _PROBES) for function in self._functions()])
        return self._probed

    def _call(self, function: str | Embed, texts: list[str]) -> NDArray[np.float32]:
        given = resolved(function)(list(texts))
        mend = "let it return one row of numbers a text, always of one width"
        try:
            vectors = as_vectors(given, dim=self._dim)
        except InputError as error:
            raise type(error)(f"what {_shown(function)} returned: {error.what}", mend=mend) from error
        if len(vectors) != len(texts):
            raise InvalidVectors(f"{_shown(function)} returned {len(vectors)} vectors for {len(texts)} texts", mend=mend)
        self._dim = vectors.shape[1]
        return vectors.copy()  # some functions fill one array again and again


# Names ----------------------------------------------------------------------------------------------------------------


def resolved(function: str | Embed) -> Embed:
    """The function under a name ("package.module:name"), which from now on this process trusts.

    Raises InputError or UnknownName.
    """
    if callable(function):
        return function
    module, _, name = str(function).partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), *name.split(".")]):
        raise InputError(f"{function!r} names no function", mend="write package.module:name, such as my_module:embed")
    found: Any = _imported(module)
    for part in name.split("."):
        if not hasattr(found, part):
            raise UnknownName.among(part, vars(found), kind=f"function in {module}")
        found = getattr(found, part)
    if not callable(found) or inspect.isclass(found):
        raise InputError(f"{function} is no function", mend="name a function that takes a list of str")
    vouch(function)
    return found  # type: ignore[no-any-return]  # what it returns is checked at every call


def _imported(module: str) -> Any:
    """A module by its name; the current folder is searched last."""
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(
            f"{module} cannot be imported: {error}", mend="run this in the folder of the module, or install it"
        ) from error


def _name_of(function: str | Embed) -> str:
    """The name by which a function can be imported. Raises InputError where there is none."""
    if isinstance(function, str):
        return function
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    found: Any = sys.modules.get(module or "")
    for part in name.split("."):
        found = getattr(found, part, None)
    if module == "__main__" or found is not function:
        raise InputError(
            f"{_shown(function)} cannot be saved: no import finds it",
            mend="put it into a module and give its name, such as Callable(function='my_module:embed')",
        )
    return f"{module}:{name}"


def _shown(function: str | Embed) -> str:
    if isinstance(function, str):
        return function
    return str(getattr(function, "__qualname__", None) or repr(function)[:80])


def _source(function: Embed) -> str:
    """The code of a function, or of the class of a callable object, without comments and layout; empty where there is none."""
    try:
        code = textwrap.dedent(inspect.getsource(function if inspect.isroutine(function) else type(function)))
    except (OSError, TypeError):  # built in, or compiled
        return ""
    try:
        return ast.unparse(ast.parse(code))
    except SyntaxError:  # a lambda in the middle of something
        return code
