"""Static vectors distilled from a transformer: a vector a token, so that a text costs next to nothing, and no torch."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from vicino import progress
from vicino.encoders.base import Encoder, Role, Tokens
from vicino.encoders.transformer.saving import check_files, save_stamped, write_modules
from vicino.errors import ArtifactCorrupt, EmptyInput, InputError, MissingExtra, UnreadableSource
from vicino.vectors import normalise

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from vicino.encoders.static_network import StaticNetwork

__all__ = ["Static"]

_TOGETHER = 4096  # texts that are read together
_ZIPF = 2.7  # Mandelbrot's shift of the ranks
_TABLE, _TOKENIZER = "0_StaticEmbedding/model.safetensors", "0_StaticEmbedding/tokenizer.json"
_MODULES = ("StaticEmbedding", "Normalize")  # of sentence-transformers, which do the same

Float32 = NDArray[np.float32]


class Static(Encoder):
    """The weighted sum of token vectors, of length one; each is what a transformer makes of a token alone, in few dimensions.

    Tulkens and van Dongen 2024, "Model2Vec"; weights are SIF's, a / (a + p) for a token that is the share p of the text (Arora,
    Liang and Ma 2017, "A simple but tough-to-beat baseline for sentence embeddings"). `fit` opens `model` (what `Transformer`
    opens), makes a vector of each token of its vocabulary, keeps `n_components` principal components, and counts tokens in the
    texts that it is given: `weighting` "sif" takes p from these, "zipf" from a token's place in the vocabulary (which must be
    sorted by frequency), "none" weighs all alike. After that neither torch nor the model is needed. `vicino train text --base
    static` teaches the vectors more by examples. What is saved opens with sentence-transformers too.

    Raises MissingExtra, UnreadableSource for a model without a fast tokenizer, InputError for parameters that cannot be.

    >>> Static(n_components=64, weighting="zipf")
    Static(n_components=64, weighting='zipf')
    """

    family: ClassVar[str] = "static"

    def __init__(
        self,
        *,
        model: str = "minilm",
        n_components: int = 256,
        weighting: Literal["sif", "zipf", "none"] = "sif",
        a: float = 1e-3,
    ) -> None:
        self.model = model
        self.n_components = n_components
        self.weighting = weighting
        self.a = a

    vectors_: Float32 | None = None  # (tokens, d), weighted
    tokenizer_: str | None = None  # as JSON

    _opened: Tokenizer | None = None

    # Distilling -------------------------------------------------------------------------------------------------------

    def _fit(self, items: list[str], y: Any, validation: Any) -> None:  # noqa: ARG002 - texts need no labels
        if not isinstance(self.n_components, int) or self.n_components < 1 or not self.a > 0:
            what = f"n_components={self.n_components!r} with a={self.a!r} cannot be"
            raise InputError(what, mend="give n_components=256, a=1e-3")
        if self.weighting not in ("sif", "zipf", "none"):
            raise InputError(f"weighting={self.weighting!r} cannot be", mend="give sif, zipf or none")
        vectors, told = self._distilled()
        self.tokenizer_, self._opened, self._space = told, None, None
        rows = _leading(vectors, self.n_components)
        self.vectors_ = rows * self._weights(items, len(rows))[:, None]

    def _distilled(self) -> tuple[Float32, str]:
        """A vector for each token, (tokens, d), and the tokenizer as JSON."""
        from vicino.encoders.transformer import Transformer

        encoder = Transformer() if self.model == "minilm" else Transformer(model=self.model)
        model = encoder.trainable()
        told = _tokenizer_of(model.folder.body)
        tokenizer = _open(told)
        before, after = _around(tokenizer)
        ids = [np.array([*before, token, *after], np.int32) for token in range(tokenizer.get_vocab_size())]
        vectors = []
        with progress.task("Distilling", total=len(ids), unit="tokens") as work:
            for start in range(0, len(ids), _TOGETHER):
                vectors.append(model.vectors(ids[start : start + _TOGETHER]))
                work.advance(len(vectors[-1]))
        return np.concatenate(vectors), told

    def _weights(self, items: Sequence[str], n: int) -> Float32:
        if self.weighting == "none":
            return np.ones(n, np.float32)
        shares = 1 / (np.arange(n) + _ZIPF)
        if self.weighting == "sif":
            shares = np.bincount(self.read(items)[0], minlength=n).astype(np.float64)
            if not shares.any():
                raise EmptyInput("the texts have no token to weigh by", mend='give texts, or weighting="zipf"')
        weights: Float32 = (self.a / (self.a + shares / shares.sum())).astype(np.float32)
        return weights

    # Texts ------------------------------------------------------------------------------------------------------------

    def _encode(self, items: list[str], role: Role, batch_size: int, output_value: str) -> Float32:  # noqa: ARG002
        from scipy.sparse import csr_array

        vectors: Float32 = self._require("vectors_")
        ids, offsets = self.read(items)
        rows = csr_array((np.ones(len(ids), np.float32), ids, offsets), shape=(len(items), len(vectors)))
        return normalise(np.asarray(rows @ vectors, dtype=np.float32))

    def read(self, items: Sequence[str]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """The token ids of all texts, one after the other, and where each text's begin, (n + 1,). Raises NotFitted."""
        tokenizer = self._tokenizer()
        found: list[NDArray[np.int32]] = []
        for start in range(0, len(items), _TOGETHER):
            texts = [text.encode("utf-8", "replace").decode() for text in items[start : start + _TOGETHER]]
            found += [np.array(each.ids, np.int32) for each in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        return np.concatenate([np.empty(0, np.int32), *found]), np.cumsum([0, *map(len, found)], dtype=np.int64)

    def tokens(self, text: str) -> Tokens:
        """How a text is read; special tokens are left out."""
        vectors: Float32 = self._require("vectors_")
        tokenizer = self._tokenizer()
        found = tokenizer.encode(text.encode("utf-8", "replace").decode(), add_special_tokens=False)
        ids = np.array(found.ids, np.int64)
        unknown = getattr(tokenizer.model, "unk_token", None)
        known = np.array([piece != unknown for piece in found.tokens], dtype=np.bool_)
        return Tokens(tuple(found.tokens), ids, known, len(vectors), vectors[ids])

    def _tokenizer(self) -> Tokenizer:
        if self._opened is None:
            self._opened = _open(self._require("tokenizer_"))
        return self._opened

    # Learning more ----------------------------------------------------------------------------------------------------

    def prompt(self, role: Role) -> str:  # noqa: ARG002 - as for a model that knows none
        """What stands before a text of this role: nothing."""
        return ""

    def trainable(self) -> StaticNetwork:
        """The vectors with gradients: see `static_network.StaticNetwork`. Raises NotFitted."""
        from vicino.encoders.static_network import StaticNetwork

        return StaticNetwork(self)

    def with_vectors(self, vectors: Float32) -> Static:
        """The same tokens with other vectors, (tokens, d)."""
        other = copy.copy(self)
        other.vectors_, other._space = np.ascontiguousarray(vectors, dtype=np.float32), None
        return other

    # Kept -------------------------------------------------------------------------------------------------------------

    @property
    def dim(self) -> int:
        return int(self._require("vectors_").shape[1])

    def _identity(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        return {"tokenizer": self._require("tokenizer_")}, {"vectors": self._require("vectors_")}

    def save(self, path: str | os.PathLike[str], *, record: Mapping[str, Any] | None = None) -> Path:
        """Write a folder that both vicino and sentence-transformers open, whole or not at all.

        Its `training.json` is the `record` of how it was taught, if any.
        """
        data = {"encoder": self.family, "params": self.get_params(), "space": self.space.to_json()}
        return save_stamped(path, "encoder", data, self._write, record)

    def _write(self, target: Path) -> None:
        from safetensors.numpy import save_file

        names = [f"{number}_{kind}" for number, kind in enumerate(_MODULES)]
        for name in names:
            (target / name).mkdir()
        save_file({"embedding.weight": self._require("vectors_")}, target / _TABLE)
        (target / _TOKENIZER).write_bytes(self._require("tokenizer_").encode())
        write_modules(list(zip(names, _MODULES, strict=True)), target)
        settings = json.dumps({"similarity_fn_name": self.similarity}, indent=2)
        (target / "config_sentence_transformers.json").write_text(settings + "\n", encoding="utf-8")

    def _arrays(self) -> dict[str, Any]:
        return {}  # the vectors are in a file that sentence-transformers reads too

    def _restore(self, folder: Path, data: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
        if "vectors" in arrays:  # as they were first saved
            self.vectors_, [self.tokenizer_] = arrays["vectors"], arrays["tokenizer"]
        else:
            from safetensors.numpy import load_file

            check_files(folder, data["files"])
            self.vectors_ = load_file(folder / _TABLE)["embedding.weight"]
            self.tokenizer_ = (folder / _TOKENIZER).read_bytes().decode()
        if self.vectors_.ndim != 2 or self._tokenizer().get_vocab_size() != len(self.vectors_):
            raise ArtifactCorrupt(f"{folder}: tokens and vectors do not meet", mend="restore it from a copy, or make it again")


def _tokenizer_of(folder: str | os.PathLike[str]) -> str:
    """The fast tokenizer of a model folder, as JSON, without truncation and padding."""
    file = Path(folder) / "tokenizer.json"
    if not file.is_file():
        raise UnreadableSource(f"{folder} has no fast tokenizer (tokenizer.json)", mend="choose another model")
    tokenizer = _open(file.read_text(encoding="utf-8"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    told: str = tokenizer.to_str()
    return told


def _open(told: str) -> Tokenizer:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingExtra.named("torch", needed_by="static encoders, for their tokenizers,") from error
    try:
        return Tokenizer.from_str(told)
    except Exception as error:
        if type(error) is not Exception:  # the tokenizers library raises nothing more exact
            raise
        raise UnreadableSource(f"not a tokenizer: {error}", mend="choose another model, or make the encoder again") from error


def _around(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """The special tokens before and after a text."""
    found = tokenizer.encode("a")
    inner = [place for place, special in enumerate(found.special_tokens_mask) if not special]
    return (found.ids[: inner[0]], found.ids[inner[-1] + 1 :]) if inner else ([], [])


def _leading(vectors: Float32, n_components: int) -> Float32:
    """Vectors less their mean, on the directions in which they differ most: (n, d) -> (n, at most n_components)."""
    centred = vectors - vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    _, directions = np.linalg.eigh((centred.T @ centred).astype(np.float64))  # ascending
    return np.ascontiguousarray(centred @ directions[:, ::-1][:, :n_components].astype(np.float32))
