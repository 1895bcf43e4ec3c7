"""A lesson of two towers: network, examples and loss of some interactions, and what is learnt from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vicino.data.interaction_splits import Held
from vicino.data.interactions import Interactions
from vicino.encoders.interactions.examples import NOTHING, Examples, HardNegatives, Histories
from vicino.errors import InputError, MissingExtra
from vicino.learning import loop
from vicino.learning.loop import Plan, Run
from vicino.metrics import ranking
from vicino.vectors import normalise, top_k

if TYPE_CHECKING:
    from vicino.encoders.interactions import TwoTower
    from vicino.encoders.interactions.network import Towers

__all__ = ["FULL", "Found", "Lesson", "require_torch"]

FULL = 50_000  # items that a softmax can be over, at most

_CUT = 20  # ranks that weights are chosen by
_CHOSEN_BY = 5000  # users at most
_DEPTH = 200  # items of each user that hard negatives are drawn from
_CELLS = 1 << 24  # scores at a time

Float32 = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Found:
    """What was learnt, by the rows of the interactions' users and items; see `TwoTower`."""

    user_rows: Float32
    item_rows: Float32
    tokens: list[str]
    token_rows: Float32


class Lesson:
    """What a `TwoTower` learns: only of users and items that met; what others are known by is given its meaning by these."""

    def __init__(self, encoder: TwoTower, interactions: Interactions, validation: Held | None, folder: Path | None) -> None:
        import torch

        from vicino.encoders.interactions.network import Known, Towers, full_softmax, in_batch_softmax

        self.encoder, self.settings = encoder, encoder.settings
        self.histories = whole = Histories.of(interactions)
        self._warm_users, self._warm_items = np.flatnonzero(whole.lengths), np.flatnonzero(whole.counts)
        number = np.full(whole.size, NOTHING, np.int64)
        number[self._warm_items] = np.arange(len(self._warm_items))
        offsets = np.concatenate([[0], np.cumsum(whole.lengths[self._warm_users])])
        self.met = Histories(number[whole.items], offsets, len(self._warm_items))
        if len(self._warm_items) < 2:
            raise InputError("everybody met the same item, and there is nothing to tell apart", mend="give more interactions")
        self._held = None if validation is None else self._held_back(validation, number)
        none: dict[str, tuple[str, ...]] = {}
        self._tokens = {
            "user": _Tokens(interactions.users, interactions.user_features if encoder.features else none, self._warm_users),
            "item": _Tokens(interactions.items, interactions.item_features if encoder.features else none, self._warm_items),
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(encoder.seed)
            known = {
                kind: Known(each.warm, len(each.names), encoder.vector_size) for kind, each in self._tokens.items() if each.names
            }
            sizes = len(self._warm_users), len(self._warm_items)
            self.network = Towers(*sizes, encoder.vector_size, dropout=encoder.dropout, known=known)
        full = encoder.softmax == "full"
        if full and (encoder.hard_negatives or self.met.size > FULL):
            why = "has no need of hard negatives" if encoder.hard_negatives else f"is for {FULL:,} of them at most"
            mend = 'give softmax="in-batch"' + (", or hard_negatives=0" if encoder.hard_negatives else "")
            raise InputError(f"a softmax over all of {self.met.size:,} items {why}", mend=mend)
        negatives = HardNegatives(self._mined, encoder.remine, encoder.hard_negatives, folder) if encoder.hard_negatives else None
        self.examples = Examples(
            self.met,
            batch_size=encoder.batch_size,
            targets=encoder.targets,
            history=encoder.history,
            negatives=negatives,
        )
        temperature = encoder.temperature
        self.loss = full_softmax(temperature) if full else in_batch_softmax(temperature, log_q=encoder.log_q)

    def run(self, folder: Path | None, fingerprint: Mapping[str, Any] | None) -> Run:
        """Learn; raises as `loop.fit` does."""
        return loop.fit(
            self.network,
            self.examples,
            self.loss,
            self.settings,
            evaluate=None if self._held is None else self._quality,
            folder=folder,
            label="learning users and items",
            fingerprint=fingerprint,
        )

    def plan(self) -> Plan:
        """What that would take."""
        return loop.plan(self.network, self.examples, self.loss, self.settings)

    def found(self) -> Found:
        """What the network has learnt, laid out for all users and items."""
        tables = self.network.tables()
        rows = {}
        for kind, warm in (("user", self._warm_users), ("item", self._warm_items)):
            tokens = self._tokens[kind]
            rows[kind] = np.zeros((tokens.size, self.encoder.vector_size), np.float32)
            for row, own in tokens.cold:
                rows[kind][row] = tables[f"{kind}_tokens"][own].mean(axis=0)
            rows[kind][warm] = tables[kind]
        nothing = np.empty((0, self.encoder.vector_size), np.float32)
        return Found(rows["user"], rows["item"], self._tokens["item"].names, tables.get("item_tokens", nothing))

    # As it learns -----------------------------------------------------------------------------------------------------

    def _held_back(self, held: Held, number: Rows) -> tuple[Rows, list[dict[str, int]]]:
        """The users by whom weights are chosen, and what each should find; what nobody met in training (-1) cannot be found."""
        users = np.searchsorted(self._warm_users, held.users)
        if not len(users) or (self._warm_users[np.minimum(users, len(self._warm_users) - 1)] != held.users).any():
            raise InputError("the validation asks users who met nothing else", mend="hold out a part of what each user met")
        if max(int(own.max(initial=0)) for own in held.truth) >= len(number):
            raise InputError("the validation asks for items that are not there", mend="hold out a part of these interactions")
        some = np.sort(np.random.default_rng(self.encoder.seed).permutation(len(users))[:_CHOSEN_BY])
        return users[some], [dict.fromkeys(map(str, number[held.truth[place]].tolist()), 1) for place in some.tolist()]

    def _quality(self, network: Towers) -> float:
        """nDCG@20 over what was held back."""
        if self._held is None:
            raise InputError("nothing was held back", mend="give validation")
        users, truth = self._held
        found = _ranked(network, self.met, users, _CUT)
        ids = found.astype(str).astype(object)
        ids[found == NOTHING] = None
        return float(ranking.ndcg(ranking.judge(ids, truth), _CUT).mean())

    def _mined(self, number: int) -> NDArray[np.int32]:  # noqa: ARG002 - the network is of that round
        return _ranked(self.network, self.met, np.arange(len(self.met.lengths)), _DEPTH).astype(np.int32)


class _Tokens:
    """What is known of users, or of items: the tokens that several of those who met something share, numbered."""

    def __init__(self, ids: Sequence[str], features: Mapping[str, tuple[str, ...]], warm: Rows) -> None:
        self.size = len(ids)
        counted = Counter(token for row in warm.tolist() for token in set(features.get(ids[row], ())))
        self.names = [token for token, count in counted.items() if count > 1]
        number = {token: place for place, token in enumerate(self.names)}
        own = [[number[token] for token in dict.fromkeys(features.get(name, ())) if token in number] for name in ids]
        self.warm = [own[row] for row in warm.tolist()]
        met = frozenset(warm.tolist())
        self.cold = [(row, each) for row, each in enumerate(own) if each and row not in met]


def require_torch() -> None:
    """Raise MissingExtra where torch is not installed."""
    try:
        import torch  # noqa: F401 - asked whether it is there
    except ImportError as error:
        raise MissingExtra.named("torch", needed_by="two towers that learn") from error


def _ranked(network: Towers, met: Histories, users: Rows, k: int) -> Rows:
    """The k items nearest to each user that the user has not met, best first, (u, k'); NOTHING where there are fewer."""
    from scipy.sparse import csr_array

    tables = network.tables()
    weight = np.repeat(1 / np.sqrt(np.maximum(met.lengths, 1)), met.lengths).astype(np.float32)
    history = csr_array((weight, met.items, met.offsets), shape=(len(met.lengths), met.size))
    items = normalise(tables["item"])
    k, block = min(k, met.size), max(1, _CELLS // met.size)
    found = np.empty((len(users), k), np.int64)
    for start in range(0, len(users), block):
        rows = users[start : start + block]
        own = history[rows]
        scores = normalise(tables["user"][rows] + own @ tables["item"]) @ items.T
        scores[np.repeat(np.arange(len(rows)), np.diff(own.indptr)), own.indices] = -np.inf
        best, values = top_k(scores, k)
        found[start : start + block] = np.where(np.isneginf(values), NOTHING, best)
    return found
