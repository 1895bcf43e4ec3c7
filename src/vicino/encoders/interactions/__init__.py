"""TwoTower: users and items as vectors of one space, learnt from who met what.

Training is torch's, through `vicino.learning.loop`; encoding is a sum of rows, in numpy.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from vicino.data.interaction_splits import Held
from vicino.data.interactions import Interactions, read_interactions
from vicino.data.records import Chunk, Document, Query
from vicino.data.text import Vocabulary
from vicino.encoders.base import Encoder, Role
from vicino.encoders.interactions.examples import Histories
from vicino.encoders.named import damaged, saved_array
from vicino.errors import DuplicateIds, EmptyInput, InputError, UnknownName
from vicino.learning.loop import Plan, Run, Settings
from vicino.vectors import normalise

if TYPE_CHECKING:
    from vicino.encoders.interactions.learning import Lesson

__all__ = ["TwoTower"]

Float32 = NDArray[np.float32]
Rows = NDArray[np.int64]

_NEAR = 1000  # names that are compared with an unknown one


class TwoTower(Encoder):
    """Users and items in one space: an item is near the users who would like it, and near items that the same users like.

    `encode_query` takes users, `encode_document` (and `encode`) items, by id. A user is a row of its own and the sum of the items
    of its history over the root of their number; what is known of users and items in tokens is added (`features`). So somebody
    unknown is encoded by a list of item ids, a history, and an unknown item by a list of its tokens. Vectors have length one, or
    are zeros where nothing is known: of an item that nobody met, say.

    Each interaction is a target once in an epoch, and the user's others (up to `history` of them, each left out by a chance of
    `dropout`) are what it is found by, for up to `targets` at a time. `softmax` "in-batch" sets it against the items of a
    batch, corrected by `log_q` for how often each is drawn, and `hard_negatives` more for each example, mined anew each `remine`
    epochs; "full" against all items, of which there may be 50,000. Weights and times of interactions are not looked at. The rest
    is for `vicino.learning.loop.Settings`; a batch is of examples. Yi et al. 2019, "Sampling-bias-corrected neural modeling for
    large corpus item recommendations".

    Raises InputError for parameters that cannot be, and MissingExtra without torch, as it learns.

    >>> towers = TwoTower(vector_size=8, epochs=2).fit([("ann", "tea"), ("ann", "rice"), ("bob", "tea"), ("bob", "figs")])
    >>> towers.encode_query(["ann", ["tea", "figs"]]).shape, towers.encode_document("rice").shape
    ((2, 8), (8,))
    """

    family: ClassVar[str] = "two-tower"
    accepts: ClassVar[frozenset[str]] = frozenset({"user", "item"})

    users_: Vocabulary | None = None
    items_: Vocabulary | None = None
    tokens_: Vocabulary | None = None
    user_rows_: Float32 | None = None  # (users, d), what is known added
    item_rows_: Float32 | None = None  # (items, d), likewise; zeros where nothing is known
    token_rows_: Float32 | None = None  # (tokens of items, d)
    histories_: Histories | None = None
    training_: Run | None = None

    def __init__(  # noqa: PLR0913 - one by one, as scikit-learn's tools and the command line want them
        self,
        *,
        vector_size: int = 128,
        softmax: Literal["in-batch", "full"] = "in-batch",
        temperature: float = 0.1,
        log_q: bool = True,
        hard_negatives: int = 0,
        remine: int = 2,
        targets: int = 1,
        history: int = 100,
        dropout: float = 0.3,
        features: bool = True,
        epochs: int = 10,
        batch_size: int = 1024,
        learning_rate: float = 5e-3,
        patience: int | None = None,
        seed: int = 0,
        threads: int | None = None,
    ) -> None:
        self.vector_size = vector_size
        self.softmax = softmax
        self.temperature = temperature
        self.log_q = log_q
        self.hard_negatives = hard_negatives
        self.remine = remine
        self.targets = targets
        self.history = history
        self.dropout = dropout
        self.features = features
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.patience = patience
        self.seed = seed
        self.threads = threads

    # Learning ---------------------------------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        """What the loop wants to know. Raises InputError for parameters that cannot be, of the loop or of its own."""
        wrong = [name for name, (fits, _) in _RULES.items() if not fits(getattr(self, name))]
        if wrong:
            what = ", ".join(f"{name}={getattr(self, name)!r}" for name in wrong)
            raise InputError(f"{what} cannot be", mend="; ".join(_RULES[name][1] for name in wrong))
        names = ("epochs", "batch_size", "learning_rate", "patience", "seed", "threads")
        given = {name: getattr(self, name) for name in names}
        return Settings(**given, weight_decay=0.0, clip=None, precision="float32")

    def fit(self, data: Any, y: Any = None, *, validation: Held | None = None) -> Self:
        """Learn from `Interactions`, a path to a table of them, or (user, item) pairs.

        `validation` is what was held out of these: the weights of the epoch are kept that ranks it best (nDCG@20). Raises
        EmptyInput, InputError, what `read_interactions` raises, and KeyboardInterrupt.
        """
        self._fit(_interactions(data), y, validation)
        return self

    def learn(
        self,
        interactions: Interactions,
        *,
        validation: Held | None = None,
        folder: Path | None = None,
        fingerprint: Mapping[str, Any] | None = None,
    ) -> Run:
        """As `fit`, with checkpoints in a `folder`, from which the same call goes on where it was stopped; how it went.

        Where it was interrupted nothing is learnt. `fingerprint` and errors are those of `vicino.learning.loop.fit`.
        """
        lesson = self._lesson(interactions, validation, folder)
        run = lesson.run(folder, fingerprint)
        if run.ended != "interrupted":
            found = lesson.found()
            self.users_, self.items_ = Vocabulary(interactions.users), Vocabulary(interactions.items)
            self.tokens_ = Vocabulary(found.tokens)
            self.user_rows_, self.item_rows_, self.token_rows_ = found.user_rows, found.item_rows, found.token_rows
            self.histories_, self.training_, self._space = lesson.histories, run, None
        return run

    def plan(self, interactions: Interactions) -> Plan:
        """What learning would take. Raises as `fit` does."""
        return self._lesson(interactions, None, None).plan()

    def remember(self, interactions: Interactions) -> Self:
        """Take these as the histories of the users, which changes their vectors and no item's: nothing is learnt.

        The users and items must be those that were learnt from. Raises NotFitted, InputError.
        """
        known = (self._require("users_").terms, self._require("items_").terms)
        if known != (list(interactions.users), list(interactions.items)):
            raise InputError("these are histories of other users or items", mend="give a part of what was learnt from, or fit")
        self.histories_, self._space = Histories.of(interactions), None
        return self

    def _lesson(self, interactions: Interactions, validation: Held | None, folder: Path | None) -> Lesson:
        from vicino.encoders.interactions.learning import Lesson, require_torch

        require_torch()
        if not len(interactions):
            raise EmptyInput("two towers have nothing to learn from", mend="give at least one user who met an item")
        return Lesson(self, interactions, validation, folder)

    # Encoding ---------------------------------------------------------------------------------------------------------

    def user_vectors(self, rows: Rows | None = None) -> Float32:
        """The vectors of users by row, (u, d), in their order; None for all. Raises NotFitted."""
        own, met = self._require("user_rows_"), self._require("histories_")
        rows = np.arange(len(own)) if rows is None else rows
        lengths = met.lengths[rows]
        shift = np.repeat(met.offsets[rows] - (np.cumsum(lengths) - lengths), lengths)
        return normalise(own[rows] + self._of_histories(met.items[np.arange(lengths.sum()) + shift], lengths))

    def item_vectors(self) -> Float32:
        """The vectors of all items, (items, d), in their order. Raises NotFitted."""
        return normalise(self._require("item_rows_"))

    def _encode(self, items: list[Any], role: Role, batch_size: int, output_value: str) -> Float32:  # noqa: ARG002
        return self._users(items) if role == "query" else self._documents(items)

    def _users(self, items: list[Any]) -> Float32:
        found = np.empty((len(items), self.dim), np.float32)
        named = [row for row, item in enumerate(items) if isinstance(item, str)]
        known: Vocabulary = self._require("users_")
        found[named] = self.user_vectors(np.array([_row(items[row], known, "user") for row in named], np.int64))
        told = [row for row, item in enumerate(items) if not isinstance(item, str)]
        met = [self._rows_of(row, items[row], "items_", "item") for row in told]
        found[told] = normalise(self._of_histories(np.array([*chain(*met)], np.int64), np.array([*map(len, met)], np.int64)))
        return found

    def _documents(self, items: list[Any]) -> Float32:
        own, tokens = self._require("item_rows_"), self._require("token_rows_")
        known: Vocabulary = self._require("items_")
        found = np.empty((len(items), self.dim), np.float32)
        for row, item in enumerate(items):
            if isinstance(item, str):
                found[row] = own[_row(item, known, "item")]
            else:
                found[row] = tokens[self._rows_of(row, item, "tokens_", "token")].mean(axis=0)
        return normalise(found)

    def _of_histories(self, items: Rows, lengths: Rows) -> Float32:
        """The sums of items' rows over the roots of their numbers, (u, d); zeros for an empty history."""
        from scipy.sparse import csr_array

        own: Float32 = self._require("item_rows_")
        weight = np.repeat(1 / np.sqrt(np.maximum(lengths, 1)), lengths).astype(np.float32)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return np.asarray(csr_array((weight, items, offsets), shape=(len(lengths), len(own))) @ own, np.float32)

    def _rows_of(self, row: int, names: Sequence[str], attribute: str, kind: str) -> list[int]:
        """The rows of those of a list of names that are known, each once. Raises UnknownName where none is."""
        vocabulary: Vocabulary = self._require(attribute)
        rows = [known for name in dict.fromkeys(names) if (known := vocabulary.get(name)) >= 0]
        if not rows:
            shown = ", ".join(map(repr, names[:5])) or "nothing"
            what = f"item {row} to encode is a list of {shown}: no {kind} of it is known"
            raise UnknownName(what, mend=f"name at least one of the {len(vocabulary):,} {kind}s that were learnt")
        return rows

    def _item(self, row: int, item: Any) -> str | tuple[str, ...]:
        if isinstance(item, str):
            return str(item)
        if isinstance(item, list | tuple) and all(isinstance(name, str) for name in item):
            return tuple(item)
        raise InputError(
            f"item {row} is of type {type(item).__name__}; {type(self).__name__} encodes users and items by id",
            mend="give ids as str; a list of item ids is a history, a list of tokens an unknown item",
        )

    # Kept -------------------------------------------------------------------------------------------------------------

    @property
    def dim(self) -> int:
        return int(self._require("item_rows_").shape[1])

    def _fit(self, items: Any, y: Any, validation: Any) -> None:  # noqa: ARG002 - there are no labels
        if self.learn(items, validation=validation).ended == "interrupted":
            raise KeyboardInterrupt

    def _identity(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        arrays = self._arrays()
        return {name: arrays.pop(name) for name in ("users", "items", "tokens")}, arrays

    def _arrays(self) -> dict[str, Any]:
        met: Histories = self._require("histories_")
        return {
            **{name: list(self._require(f"{name}_").terms) for name in ("users", "items", "tokens")},
            **{name: self._require(f"{name}_") for name in ("user_rows", "item_rows", "token_rows")},
            "met": met.items,
            "met_offsets": met.offsets,
        }

    def _restore(self, folder: Path, data: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:  # noqa: ARG002
        """Raises ArtifactCorrupt where the arrays do not belong together."""
        try:
            self.users_, self.items_, self.tokens_ = (Vocabulary(arrays[name]) for name in ("users", "items", "tokens"))
        except (DuplicateIds, KeyError, TypeError) as error:
            raise damaged(folder, "names") from error
        users, items = len(self.users_), len(self.items_)
        self.item_rows_ = saved_array(folder, arrays, "item_rows", np.float32, (items, None))
        dim = self.item_rows_.shape[1]
        self.user_rows_ = saved_array(folder, arrays, "user_rows", np.float32, (users, dim))
        self.token_rows_ = saved_array(folder, arrays, "token_rows", np.float32, (len(self.tokens_), dim))
        met = saved_array(folder, arrays, "met", np.int64, (None,))
        offsets = saved_array(folder, arrays, "met_offsets", np.int64, (users + 1,))
        whole = offsets[0] == 0 and offsets[-1] == len(met) and (np.diff(offsets) >= 0).all()
        if not whole or (len(met) and not 0 <= met.min() <= met.max() < items):
            raise damaged(folder, "histories")
        self.histories_ = Histories(met, offsets, items)


def _interactions(data: Any) -> Interactions:
    """What is learnt from. Raises InputError and what `read_interactions` raises."""
    if isinstance(data, Interactions):
        return data
    if isinstance(data, str | os.PathLike):
        return read_interactions(data)
    if not isinstance(data, Iterable):
        raise InputError(f"{type(data).__name__} is no list of interactions", mend="give (user, item) pairs, or Interactions")
    pairs = []
    for row, pair in enumerate(data):
        if isinstance(pair, str | Document | Query | Chunk) or not isinstance(pair, Sequence) or len(pair) != 2:
            mend = "give (user, item) pairs, or choose an encoder for this kind: vicino encoders"
            raise InputError(f"item {row}, a {type(pair).__name__}, is no interaction", mend=mend)
        pairs.append(pair)
    return Interactions.of([user for user, _ in pairs], [item for _, item in pairs])


def _row(name: str, known: Vocabulary, kind: str) -> int:
    row = known.get(name)
    if row < 0:
        near = islice((each for each in known if each[:1] == name[:1]), _NEAR)
        raise UnknownName.among(name, near, kind=kind, listing=f"there are {len(known):,} {kind}s")
    return row


def _count(least: int) -> Callable[[Any], bool]:
    return lambda n: type(n) is int and n >= least


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


# What each parameter must be, and what to give instead.
_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "vector_size": (_count(1), "give vector_size=128"),
    "softmax": (lambda name: name in ("in-batch", "full"), 'give softmax="in-batch" or "full"'),
    "temperature": (lambda x: _number(x) and x > 0, "give temperature=0.1"),
    "log_q": (lambda flag: type(flag) is bool, "give log_q=True or False"),
    "hard_negatives": (_count(0), "give hard_negatives=1, or 0"),
    "remine": (_count(1), "give remine=2, a number of epochs"),
    "targets": (_count(1), "give targets=1"),
    "history": (_count(1), "give history=100"),
    "dropout": (lambda x: _number(x) and 0 <= x < 1, "give dropout=0.3"),
    "features": (lambda flag: type(flag) is bool, "give features=True or False"),
}
