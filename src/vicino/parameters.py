"""Parameters: the habit that encoders, indexes and retrievers share with scikit-learn.

`__init__` takes keywords only and only stores them under their own names; whatever is learnt later ends in an underscore.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any, Self

from vicino.errors import InputError, UnknownName

__all__ = ["Parameterised"]


class Parameterised:
    """`of`, `get_params`, `set_params`, `clone` and a readable repr, all read off the signature of `__init__`.

    >>> class Box(Parameterised):
    ...     def __init__(self, *, size=1, colour="red"):
    ...         self.size, self.colour = size, colour
    >>> Box(size=2).clone(), Box().set_params(size=3).get_params()
    (Box(size=2), {'size': 3, 'colour': 'red'})
    """

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Each parameter's default, off the signature of `__init__`."""
        signature = inspect.signature(cls.__init__)
        return {name: p.default for name, p in signature.parameters.items() if p.kind is p.KEYWORD_ONLY}

    @classmethod
    def of(cls, **params: Any) -> Self:
        """As the constructor, for parameters that somebody typed.

        Raises UnknownName for one that does not exist, InputError for a value that is not of its default's kind.
        """
        cls._require_known(params)
        for name, default in cls.defaults().items():
            if name in params and not _alike(params[name], default):
                raise InputError(
                    f"{name}={params[name]!r} is not a value for {cls.__name__}",
                    mend=f"give a value of type {type(default).__name__}, such as {name}={default}",
                )
        return cls(**params)

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002 - scikit-learn's signature
        """The parameters by name, as given."""
        return {name: getattr(self, name) for name in self.defaults()}

    def set_params(self, **params: Any) -> Self:
        """Change parameters by name; raises UnknownName. What was learnt with the old ones is forgotten."""
        self._require_known(params)
        for learnt in [name for name in vars(self) if params and name.endswith("_")]:
            delattr(self, learnt)
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def clone(self) -> Self:
        """An unfitted copy with the same parameters."""
        return type(self)(**self.get_params())

    def changed(self) -> dict[str, Any]:
        """The parameters that differ from their defaults."""
        return {name: value for name, default in self.defaults().items() if (value := getattr(self, name)) != default}

    @classmethod
    def _require_known(cls, params: Iterable[str]) -> None:
        known = cls.defaults()
        for name in params:
            if name not in known:
                raise UnknownName.among(name, known, kind=f"parameter of {cls.__name__}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.changed().items())})"


def _alike(value: Any, default: Any) -> bool:
    """Whether a value may stand where a flag, a number or a text is the default; anything may stand elsewhere."""
    if not isinstance(default, bool | int | float | str):
        return True
    if type(default) is float:
        return type(value) in (int, float)
    return type(value) is type(default)
