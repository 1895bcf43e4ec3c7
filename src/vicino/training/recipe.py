"""What can be chosen where a sentence encoder is fine-tuned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Literal, Self

from vicino.errors import InputError
from vicino.training.questions import called
from vicino.training.rules import (
    Recipe,
    between,
    count,
    dropout,
    flag,
    number,
    one_of,
    or_named,
    or_none,
    require,
    share,
    text,
)

__all__ = ["RANKING", "RankingRecipe", "TextRecipe"]

RANKING = {
    "rank_from": count(0, "give rank_from=0, the best"),
    "rank_to": count(1, "give rank_to=100"),
    "relative": or_none(share("give relative=0.95, or None")),
    "judge": or_none(text("give judge=./rr, a cross-encoder's folder or hub name")),
}
_LONGEST_QUEUE = 65_536
_TEMPERATURE = 0.05
# What each parameter must be, and what to give instead.
_RULES = RANKING | {
    "way": one_of("pairs", "distil", "maps", "simcse", "tsdae"),
    "towers": one_of("shared", "separate"),
    "mine": one_of("hybrid", "dense", "bm25", "none"),
    "negatives": count(0, "give negatives=1, or 0"),
    "temperature": or_named(share("give temperature=0.05, or learned"), "learned"),
    "queue_size": count(0, f"give queue_size=4096, at most {_LONGEST_QUEUE}, or 0", most=_LONGEST_QUEUE),
    "momentum": between(0, 1, "give momentum=0.99"),
    "remine": or_none(count(1, "give remine=1, a number of epochs, or None")),
    "loss": one_of("cosine-regression", "cosent"),
    "margin": or_none(number("give margin=0.1, or None")),
    "limit": or_none(count(3, "give limit=256, or None for all that the model reads")),
    "dropout": or_none(dropout("give dropout=0.1, or None for the network's own")),
    "symmetric": flag("give symmetric=true, or false"),
    "query_prompt": or_none(text('give query_prompt="query: "')),
    "document_prompt": or_none(text('give document_prompt="passage: "')),
}
_OF_WAY: dict[str, dict[str, Any]] = {  # whose defaults are others: maps are small, and their scores finer than bfloat16
    "maps": {"batch_size": 256, "learning_rate": 1e-3, "limit": None, "precision": "float32"},
}
_DIM = count(1, "give dims=64, or several in brackets")
_PAIRED = ("judge", "query_prompt", "document_prompt", "symmetric", "queue_size", "momentum")  # what only "pairs" knows
# What came later than the first checkpoints.
_LATER = {"rank_from", "rank_to", "judge", "weight_decay", "warmup", "schedule", "clip", "loss", *_PAIRED}


@dataclass(frozen=True)
class RankingRecipe(Recipe):
    """How hard negatives are mined, and how steps are taken.

    Negatives are of the ranks `rank_from` to `rank_to` (from 0 on, the last excluded), and none is nearer than `relative` of the
    answer's nearness: by the encoder's vectors, or, better and slower, as `judge` reads both: a cross-encoder, or what else
    `vicino.encoders.rerankers.open_reranker` opens. The rest is for `vicino.learning.loop.Settings`.
    """

    rank_from: int = 0
    rank_to: int = 100
    relative: float | None = 0.95
    judge: str | None = None
    weight_decay: float = 0.01
    warmup: float = 0.1
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    clip: float | None = 1.0

    def _require_ranks(self) -> None:
        if self.rank_from >= self.rank_to:
            raise InputError(f"no rank is from {self.rank_from} to {self.rank_to}", mend="give rank_from=0, rank_to=100")
        if self.judge is not None and self.relative is None:
            raise InputError("there is no relative to judge negatives by", mend="give relative=0.95, or leave judge out")

    def identity(self) -> dict[str, Any]:
        """What a checkpoint is known by: all but threads, which may change, and what came later and is as it always was, so that
        trainings of earlier versions go on."""
        usual = {one.name: one.default for one in fields(self) if one.name in _LATER}
        kept = {name: value for name, value in self.to_json().items() if name != "threads"}
        return {name: value for name, value in kept.items() if name not in usual or value != usual[name]}

    def to_json(self) -> dict[str, Any]:
        """The parameters as plain data."""
        return {one.name: getattr(self, one.name) for one in fields(self)}


@dataclass(frozen=True)
class TextRecipe(RankingRecipe):
    """How to train. `negatives` hard ones for each pair, mined by `mine` ("none": only what the examples bring), and mined anew
    with the model as it is each `remine` epochs (which of them: see `RankingRecipe`).

    `towers` are "shared", one network for queries and documents, or "separate", one for each; both begin as the base.
    `temperature` divides cosines; "learned" begins at 0.05. `limit` cuts texts, for speed, to so many tokens; `margin` leaves out
    candidates that are nearly as near as the answer. The last `queue_size` documents of batches gone by, best fewer than an epoch
    has, are candidates too, as a copy of the network sees them that follows it with `momentum` (see `vicino.training.pupil`).
    Cosines of pairs with scores learn to be these ("cosine-regression"), or only to be in their order ("cosent"): such is `loss`.
    `dims` has the first so many dimensions learn as well (Matryoshka), onto which the vectors are turned in the end
    (`vicino.learning.turning`). `symmetric` has answers find their questions too. `query_prompt` and `document_prompt` are put
    before all texts, and kept in the model; the base is measured without. The rest is for `vicino.learning.loop.Settings`. Raises
    InputError where a value cannot be.

    Of texts without labels, `way` makes pairs of their titles and sentences ("pairs"), or learns from them as they are: "simcse"
    or "tsdae" (see `vicino.training.unlabelled`), or what BM25 and the base rank together: "distil", or "maps", which leaves the
    network as it is and is done in minutes (see `vicino.training.mapped`; `of` has defaults of its own for it). simcse learns by
    dropout: where none is given, by the network's own. `queries` is a function that writes queries for texts, or its name: pairs
    are then made of these (see `vicino.training.questions`).
    """

    epochs: int = 3
    batch_size: int = 32
    small_batch: int | None = None
    learning_rate: float = 3e-5
    way: Literal["pairs", "distil", "maps", "simcse", "tsdae"] = "pairs"
    queries: str | Callable[[list[str]], Any] | None = None
    towers: Literal["shared", "separate"] = "shared"
    temperature: float | Literal["learned"] = _TEMPERATURE
    negatives: int = 1
    mine: Literal["hybrid", "dense", "bm25", "none"] = "hybrid"
    remine: int | None = None
    margin: float | None = None
    dims: tuple[int, ...] = ()
    limit: int | None = 256
    dropout: float | None = 0.0
    symmetric: bool = False
    queue_size: int = 0
    momentum: float = 0.99
    loss: Literal["cosine-regression", "cosent"] = "cosine-regression"
    query_prompt: str | None = None
    document_prompt: str | None = None

    def __post_init__(self) -> None:
        require(self, _RULES)
        if not all(map(_DIM[0], self.dims)):
            raise InputError(f"dims={self.dims!r} cannot be", mend=_DIM[1])
        self._require_ranks()
        if self.judge is not None and (self.mine == "none" or self.negatives == 0):
            raise InputError("there are no mined negatives to judge", mend="leave judge out")
        self._require_way()
        if not self.queue_size and self.momentum != TextRecipe.momentum:
            raise InputError("there is no queue that a momentum is for", mend="give queue_size=4096, or leave momentum out")
        self.settings  # noqa: B018 - raises

    @property
    def prompts(self) -> dict[str, str]:
        """What is put before texts, by role, where it is not what the base puts there."""
        given = {"query": self.query_prompt, "document": self.document_prompt}
        return {role: prompt for role, prompt in given.items() if prompt is not None}

    @property
    def first_temperature(self) -> float:
        """What cosines are divided by, at first where that is learnt."""
        return _TEMPERATURE if isinstance(self.temperature, str) else self.temperature

    def _require_way(self) -> None:
        usual = TextRecipe.__dataclass_fields__
        paired = [name for name in _PAIRED if getattr(self, name) != usual[name].default]
        paired += ["temperature that is learnt"] * (self.temperature == "learned")
        if paired and self.way != "pairs":
            raise InputError(f"{self.way} knows no {' and no '.join(paired)}", mend="leave them out, or way")
        if self.way == "tsdae" and (self.dims or self.small_batch is not None):
            raise InputError("tsdae learns neither dims nor by a small_batch", mend="leave dims and small_batch out")
        if self.way in ("simcse", "tsdae", "maps") and self.queries is not None:
            raise InputError(f"queries make pairs, from which {self.way} does not learn", mend="leave queries out, or way")
        if self.way in ("simcse", "tsdae") and self.towers == "separate":
            raise InputError(f"{self.way} knows no queries and documents to separate", mend="leave towers out, or way")
        if self.way == "simcse" and not self.dropout:
            object.__setattr__(self, "dropout", None)

    @classmethod
    def of(cls, **params: Any) -> Self:
        """From plain data; `dims` may be a single number. Raises UnknownName for what is no parameter, and what the constructor
        raises."""
        dims = params.get("dims", ())
        usual = _OF_WAY.get(str(params.get("way")), {})
        return super().of(**{**usual, **params, "dims": (dims,) if isinstance(dims, int) else tuple(dims)})

    def to_json(self) -> dict[str, Any]:
        """The parameters as plain data."""
        asked = None if self.queries is None else called(self.queries)
        return super().to_json() | {"dims": list(self.dims), "queries": asked}
