"""Another encoder's vectors, cured of all pointing one way: what `vicino doctor --fix` tries on a copy, to be used."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts, progress
from vicino.data.splits import sample
from vicino.encoders.base import Encoder, Role, Tokens, Truncation
from vicino.encoders.named import saved_array
from vicino.errors import EmptyInput, InputError, UnknownName
from vicino.learning.isotropy import CURES, Affine, Moments
from vicino.vectors import Similarity, normalise

__all__ = ["Isotropic"]

_SAMPLE = 50_000  # items that teach the map: over ten a dimension of the widest models
_BLOCK = 4096  # of them, encoded together

Float32 = NDArray[np.float32]


class Isotropic(Encoder):
    """What `encoder` makes of an item, sent through one affine map that is learnt from documents: for them and for queries alike.

    `encoder` is what `vicino.encoders.make` understands and makes dense vectors: a name ("minilm", "lsa(n_components=100)"), a
    folder, a hub name. One that must learn is fitted on the same items. `cure` is "centring", "all-but-the-top" (Mu and
    Viswanath 2018) or "whitening" (Su et al. 2021): see `vicino.learning.isotropy`. The map is learnt from the items as
    documents, block by block, from a sample of 50,000 where there are more; the same items give the same map.
    Fewer items than dimensions are whitened into fewer dimensions.

    **The similarity is the inner encoder's.** The map says where zero is and how long each direction is, not how two
    vectors are compared: whoever ranked by the cosine still does, of vectors that spread more evenly. That is also how
    `vicino doctor` measured the cure. Under the cosine vectors are made unit rows, for which length says nothing; what the inner
    encoder knows nothing of, and gives zeros, stays zeros, rather than become the opposite of the mean. Under "dot" and
    "euclidean" lengths count, and are left. Centring leaves a euclidean ranking as it is.

    Raises UnknownName for another cure, InputError for an encoder of sparse or of several vectors an item, EmptyInput where all
    vectors are the same, and what making and teaching the inner encoder raise. A saved folder holds the inner encoder too.

    >>> texts = ["red wine and bread", "white wine and tea", "tea and bread", "bread and butter", "tea and butter"]
    >>> even = Isotropic(encoder="lsa(n_components=4)", cure="centring").fit(texts)
    >>> even.encode(texts).shape, bool(abs(even.encode(texts).mean(axis=0)).max() < 0.2)
    ((5, 4), True)
    """

    family: ClassVar[str] = "isotropic"

    def __init__(
        self,
        *,
        encoder: str | os.PathLike[str] = "minilm",
        cure: Literal["centring", "all-but-the-top", "whitening"] = "all-but-the-top",
    ) -> None:
        self.encoder = encoder
        self.cure = cure

    inner_: Encoder | None = None
    map_: Affine | None = None

    _given: Encoder | None = None  # as its name makes it

    @classmethod
    def of(cls, **params: Any) -> Self:
        """As the constructor, with the full path of a folder, so that a recipe means the same in another folder."""
        from vicino.encoders import ENCODERS

        name = params.get("encoder")
        if isinstance(name, str | os.PathLike) and name not in ENCODERS and Path(name).is_dir():
            params["encoder"] = str(Path(name).resolve())
        return super().of(**params)

    def set_params(self, **params: Any) -> Self:
        self._given = None
        return super().set_params(**params)

    @property
    def inner(self) -> Encoder:
        """The encoder whose vectors are mapped. Raises what making it raises, and InputError where its vectors cannot be."""
        if self.inner_ is not None:
            return self.inner_
        if self._given is None:
            from vicino import encoders

            made = encoders.make(self.encoder)
            if made.sparse or made.similarity == "maxsim":
                mend = "choose an encoder with one dense vector an item, such as minilm or lsa"
                raise InputError(f"{self.encoder} does not make vectors that one map can take", mend=mend)
            self._given = made
        return self._given

    # Learning ---------------------------------------------------------------------------------------------------------

    def _fit(self, items: list[Any], y: Any, validation: Any) -> None:  # noqa: ARG002 - documents need no labels
        if self.cure not in CURES:
            raise UnknownName.among(str(self.cure), CURES, kind="cure")
        self.inner_ = self.map_ = None
        inner = self.inner
        if not _has_learnt(inner):
            inner = inner.clone().fit_whole(items)
        moments, taught = Moments(), sample(items, _SAMPLE)
        with progress.task("Learning a map of vectors", total=len(taught), unit="items") as work:
            for start in range(0, len(taught), _BLOCK):
                some = taught[start : start + _BLOCK]
                moments.add(inner.encode_document(some))
                work.advance(len(some))
        if not moments.vary:
            raise EmptyInput(f"the vectors of {len(taught):,} items are all the same", mend="give items that differ")
        self.inner_, self.map_ = inner, CURES[self.cure](moments)

    @property
    def foundation(self) -> str:
        return self.inner.space.id if _has_learnt(self.inner) else ""

    def sketch(self) -> Encoder:
        twin = type(self)(encoder=self.encoder, cure="centring")
        twin._given = self.inner if _has_learnt(self.inner) else self.inner.sketch()
        return twin

    # Items ------------------------------------------------------------------------------------------------------------

    def _encode(self, items: list[Any], role: Role, batch_size: int, output_value: str) -> Float32:  # noqa: ARG002 - there is one
        learnt: Affine = self._require("map_")
        inner = self.inner
        encode = {"query": inner.encode_query, "document": inner.encode_document}.get(role or "", inner.encode)
        vectors = encode(items, batch_size=batch_size)
        mapped = learnt(vectors)
        if self.similarity != "cosine":
            return mapped
        mapped[~vectors.any(axis=1)] = 0
        return normalise(mapped)

    @property
    def accepts(self) -> frozenset[str]:  # type: ignore[override]  # it is that of another
        return self.inner.accepts

    @property
    def similarity(self) -> Similarity:  # type: ignore[override]  # likewise
        return self.inner.similarity

    @property
    def arithmetic(self) -> str:
        return self.inner.arithmetic

    @property
    def usage(self) -> object | None:
        return self.inner.usage

    def truncation(self, inputs: Any) -> Truncation | None:
        return self.inner.truncation(inputs)

    def tokens(self, text: str) -> Tokens:
        inner: Encoder = self._require("inner_")
        return inner.tokens(text)

    def _is_one(self, inputs: Any) -> bool:
        return self.inner._is_one(inputs)

    def _item(self, row: int, item: Any) -> Any:  # noqa: ARG002 - the inner encoder unwraps its own
        return item

    # Kept -------------------------------------------------------------------------------------------------------------

    @property
    def dim(self) -> int:
        learnt: Affine = self._require("map_")
        return int(learnt.matrix.shape[1])

    def _identity(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return {"encoder": self._require("inner_").space.id}, self._arrays()

    def _arrays(self) -> dict[str, Any]:
        learnt: Affine = self._require("map_")
        return learnt._asdict()

    def _restore(self, folder: Path, data: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:  # noqa: ARG002
        from vicino import encoders

        inner = encoders.load(folder / "encoder")
        mean = saved_array(folder, arrays, "mean", np.float32, (inner.dim,))
        self.inner_, self.map_ = inner, Affine(mean, saved_array(folder, arrays, "matrix", np.float32, (inner.dim, None)))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a folder with the inner encoder in it; `vicino.load(path)` opens it."""
        inner: Encoder = self._require("inner_")
        params = self.get_params() | {"encoder": str(self.encoder)}
        data = {"encoder": self.family, "params": params, "space": self.space.to_json()}
        return artifacts.write(path, kind="encoder", data=data, arrays=self._arrays(), parts={"encoder": inner.save})

    def _require_trust(self, folder: Path) -> None:
        self.inner._require_trust(folder)


def _has_learnt(encoder: Encoder) -> bool:
    return encoder.pretrained or encoder.__sklearn_is_fitted__()
