"""What reads the best answers of a search again: a cross-encoder, or an encoder's own tokens, compared one by one.

One vector a text blurs what its words say. `LateInteraction` looks at the vectors of all tokens, which an encoder makes on its
way to that one: it has nothing to learn, and is a reranker wherever there is an encoder of text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts
from vicino.encoders import ENCODERS, load, make
from vicino.encoders.base import Encoder
from vicino.encoders.transformer.crossing import CrossEncoder, as_pairs, read_either
from vicino.encoders.transformer.pair_folder import is_cross_encoder
from vicino.encoders.transformer.sources import find
from vicino.errors import InputError
from vicino.spaces import fingerprint
from vicino.vectors import Ragged

__all__ = ["LateInteraction", "Reranker", "open_reranker", "reads_tokens"]

_DOCUMENTS = 256  # whose tokens are in memory together


class LateInteraction:
    """Each token of a query finds the nearest of a document, by the cosine; the score is the mean of these.

    Khattab and Zaharia 2020, "ColBERT: Efficient and effective passage search via contextualized late interaction over BERT",
    there of tokens that learnt it, and summed. `encoder` gives token vectors (`reads_tokens`); `model` is what it is called.

    Raises InputError for another one.
    """

    family: ClassVar[str] = "late-interaction"
    blend: ClassVar[float] = 0.5  # the first stage's usual share: tokens tell what it does not, and less than it does
    at_once: ClassVar[int] = 1024  # queries whose candidates are best scored together: a document is read once for all of them

    def __init__(self, encoder: Encoder, *, model: str = "") -> None:
        if "token_embeddings" not in encoder.outputs:
            what = f"{model or type(encoder).__name__} gives no vectors of tokens to compare"
            raise InputError(what, mend="rerank by minilm, a model of transformers, or a cross-encoder")
        self.encoder, self.model = encoder, model

    @property
    def id(self) -> str:
        """Names by content what decides the scores."""
        return fingerprint({"family": self.family, "encoder": self.encoder.space.id})

    @property
    def arithmetic(self) -> str:
        """What the encoder computes with."""
        return self.encoder.arithmetic

    def predict(self, pairs: Iterable[tuple[Any, Any]], *, batch_size: int = 32, logits: bool = False) -> NDArray[np.float32]:  # noqa: ARG002 - they are what they are
        """The scores (n,) of n pairs of a query and a document, each a str or a record, from -1 to 1; higher is better.

        A text that has no token scores 0. Raises InputError for what is not a pair.
        """
        found = as_pairs(pairs)
        scores = np.zeros(len(found), dtype=np.float32)
        if not found:
            return scores
        queries, asking = list(dict.fromkeys(query for query, _ in found)), defaultdict[str, list[int]](list)
        for row, (_, document) in enumerate(found):
            asking[document].append(row)
        asked = self.encoder.encode_query(
            queries, batch_size=batch_size, normalize_embeddings=True, output_value="token_embeddings"
        )
        tokens = dict(zip(queries, asked, strict=True))
        documents = sorted(asking, key=len)
        for begin in range(0, len(documents), _DOCUMENTS):
            some = documents[begin : begin + _DOCUMENTS]
            told = self.encoder.encode_document(
                some, batch_size=batch_size, normalize_embeddings=True, output_value="token_embeddings"
            )
            for document, values in zip(some, told, strict=True):
                rows = asking[document]
                scores[rows] = _mean_of_best(Ragged.of([tokens[found[row][0]] for row in rows], values.shape[1]), values)
        return scores

    def rank(self, query: Any, documents: Sequence[Any], k: int | None = None) -> list[tuple[int, float]]:
        """The places of the k best documents (all of them by default) and their scores, best first."""
        scores = self.predict([(query, document) for document in documents])
        return [(int(place), float(scores[place])) for place in np.argsort(-scores, kind="stable")[:k]]

    def shares(self, scores: NDArray[np.float32]) -> NDArray[np.float64]:
        """Scores from 0 to 1, in the same order but for those below 0."""
        return np.clip(scores.astype(np.float64), 0, 1)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the encoder, which `open_reranker` opens again."""
        return self.encoder.save(path)


Reranker = CrossEncoder | LateInteraction


def reads_tokens(name: str) -> bool:
    """Whether a name of the catalogue is an encoder that `LateInteraction` takes.

    >>> reads_tokens("minilm"), reads_tokens("lsa"), reads_tokens("rr/")
    (True, False, False)
    """
    return name in ENCODERS and "token_embeddings" in cast(type[Encoder], ENCODERS[name]).outputs


def open_reranker(name: str | PathLike[str]) -> Reranker:
    """A cross-encoder, or an encoder whose tokens are compared: a folder of either, a hub name, or `minilm`.

    Raises what `CrossEncoder`, `make` and `LateInteraction` raise.
    """
    folder, text = Path(name), str(name)
    if (folder / artifacts.MANIFEST).is_file():
        if artifacts.read(folder).kind == "encoder":
            return LateInteraction(load(folder), model=text)
        return CrossEncoder.load(folder)
    if text in ENCODERS:
        return LateInteraction(make(text), model=text)
    place = find(text, read=read_either)
    if is_cross_encoder(place) or not any((place / file).is_file() for file in ("config.json", "modules.json")):
        return CrossEncoder(model=text)  # which says, when it reads it, what a folder of neither lacks
    return LateInteraction(make(text), model=text)


def _mean_of_best(asked: Ragged, told: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of each item's rows, the mean of what each finds best among `told` (t, d): (n,); 0 where either has none.

    >>> _mean_of_best(Ragged(np.eye(2, dtype=np.float32), np.array([0, 2, 2])), np.array([[1.0, 0.0]], dtype=np.float32)).tolist()
    [0.5, 0.0]
    """
    counts = np.diff(asked.offsets)
    if not len(told) or not counts.any():
        return np.zeros(len(counts))
    best = (asked.values @ told.T).max(axis=1)
    return np.bincount(np.repeat(np.arange(len(counts)), counts), best, len(counts)) / np.maximum(counts, 1)
