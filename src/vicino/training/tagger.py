"""A tagger of words, such as named entities: a transformer under a linear layer, trained, and set against a list of words.

The rival is the list that anybody could write: each word with the tag that it has most often where it was seen. It finds every
name that it knows, whatever the sentence, and is hard to beat with little data (see `_WordList`).
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts, encoders
from vicino.data.sentences import sentence_spans
from vicino.data.tagged import Tagged, read_tagged, tables_of, words_of
from vicino.encoders.transformer import Transformer
from vicino.encoders.transformer.folder import read_folder
from vicino.encoders.transformer.opening import require_torch
from vicino.encoders.transformer.saving import check_files, save_stamped
from vicino.errors import ArtifactCorrupt, ArtifactTooNew, InputError
from vicino.evaluation.gate import Gate, check_f1, decide
from vicino.learning.loop import Plan, Run, fit, plan
from vicino.metrics.classification import ClassScore
from vicino.metrics.spans import OUTSIDE, Span, by_type, count_spans, f1_of_counts, spans_of
from vicino.training.rules import Recipe, count, dropout, or_none, require, require_alone

if TYPE_CHECKING:
    from torch import Tensor

    from vicino.encoders.transformer.word_labels import Window, WordLabeller

__all__ = ["Entity", "Tagger", "TaggerRecipe", "TaggerTraining", "train_tagger"]

_RIVAL = "a list of words with their usual tags"
_CHOOSE, _JUDGE = 0.1, 0.2  # shares of the sentences
_FEWEST = {"train": 5, "dev": 5, "test": 10}  # sentences of a part
_LEAST, _ANY = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5), 1e-9  # shares of a word that is in entities from which a list tells it
_VERSION = 1
_NO_WORD = re.compile(r"\W+")  # what equal sentences may differ by, beside case
_RULES = {
    "limit": count(1, "give limit=256"),
    "dropout": or_none(dropout("give dropout=0.1, or None for the network's own")),
}

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class TaggerRecipe(Recipe):
    """How to train. `limit` cuts windows to so many tokens; `dropout` None keeps the network's own.

    The rest is for `vicino.learning.loop.Settings`. Raises InputError for what cannot be.
    """

    epochs: int = 4
    batch_size: int = 16
    learning_rate: float = 5e-5
    weight_decay: float = 0.01
    limit: int = 256
    dropout: float | None = 0.0

    def __post_init__(self) -> None:
        require(self, _RULES)
        self.settings  # noqa: B018 - raises


class Entity(NamedTuple):
    """What was found in a text: characters `start` to before `end`, counted from 0, their type, and themselves."""

    start: int
    end: int
    type: str
    text: str


class Tagger:
    """A trained network that finds entities in texts."""

    def __init__(self, network: WordLabeller) -> None:
        self.network = network

    def tag(self, texts: Sequence[str]) -> list[list[Entity]]:
        """The entities of each text, in their order; texts are read sentence by sentence."""
        found: list[list[Entity]] = [[] for _ in texts]
        places: list[tuple[int, list[tuple[int, int]]]] = []
        for row, text in enumerate(texts):
            for start, end in sentence_spans(text):
                places.append((row, [(start + a, start + b) for a, b in words_of(text[start:end])]))
        words = [[texts[row][a:b] for a, b in own] for row, own in places]
        for (row, own), spans in zip(places, self.spans(words), strict=True):
            for first, last, kind in spans:
                start, end = own[first][0], own[last - 1][1]
                found[row].append(Entity(start, end, kind, texts[row][start:end]))
        return found

    def spans(self, words: Sequence[Sequence[str]]) -> list[list[Span]]:
        """The spans of sentences that are cut into words."""
        return _told(self.network, self.network.read(words), [len(each) for each in words])

    def save(self, path: str | PathLike[str], about: Mapping[str, Any] | None = None) -> Path:
        """Write a folder that transformers opens as AutoModelForTokenClassification, and `load` opens."""
        data = {"version": _VERSION, "limit": self.network.limit, "about": dict(about or {})}
        return save_stamped(path, "tagger", data, self.network.save)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Open what `save` wrote. Raises ArtifactError, ArtifactCorrupt, ArtifactTooNew and MissingExtra."""
        saved = artifacts.read(path, kind="tagger")
        version, limit = (saved.data.get(name) for name in ("version", "limit"))
        if type(version) is int and version > _VERSION:
            what = f"{path} is a tagger of version {version}; this vicino reads up to {_VERSION}"
            raise ArtifactTooNew(what, mend="pip install --upgrade vicino")
        require_torch()
        from vicino.encoders.transformer.word_labels import WordLabeller

        try:
            check_files(saved.path, saved.data["files"])
        except (AttributeError, KeyError, TypeError) as error:
            raise _damaged(path) from error
        if type(version) is not int or type(limit) is not int:
            raise _damaged(path)
        return cls(WordLabeller(read_folder(saved.path), limit=limit))


@dataclass(frozen=True, eq=False)
class TaggerTraining:
    """What came of it. `scores` are F1 of entities on `judged_by`; `types` has the scores of each type by what was trained."""

    path: Path
    tagger: Tagger
    learnt: int
    judged_by: str
    scores: Mapping[str, float]
    types: Mapping[str, ClassScore]
    gate: Gate
    run: Run

    def to_json(self) -> dict[str, Any]:
        """All but the weights, as JSON can say it."""
        return {
            "path": str(self.path),
            "types": list(self.types),
            "learnt": self.learnt,
            "judged_by": self.judged_by,
            "f1": dict(self.scores),
            "by_type": {name: score._asdict() for name, score in self.types.items()},
            "steps": self.run.steps,
            "ended": self.run.ended,
            "kept_step": self.run.kept,
            "chosen_by": {str(step): value for step, value in self.run.metrics.items()},
            "gate": self.gate.to_json(),
        }


def train_tagger(
    data: str | PathLike[str],
    out: str | PathLike[str],
    *,
    base: str = "minilm",
    recipe: TaggerRecipe | None = None,
    dry_run: bool = False,
) -> TaggerTraining | Plan:
    """Teach `base` to tag words by the sentences of `data`, and write the tagger to `out`.

    `data` is a file that `vicino.data.tagged.read_tagged` reads, or a folder with such files named train, dev and test. Where
    there is no test, a fifth of the sentences is held back, and without dev a tenth to choose the best weights by. No sentence
    that is judged by was learnt from or chosen by. The gate accepts what finds entities better than a list of words with their
    usual tags, beyond the interval: F1 of exact spans. What was rejected is written all the same, and says so. A training that
    was killed goes on where it stopped, by the same call. With `dry_run` only the plan comes back, and nothing is written.

    Raises MissingExtra, what `read_tagged` and the encoder raise, InputError for too few sentences, and KeyboardInterrupt after
    Ctrl-C.
    """
    recipe, target = recipe or TaggerRecipe(), Path(out).absolute()
    require_torch()
    require_alone()
    artifacts.require_writable(target)
    parts, judged_by = _parts(Path(data), recipe.seed)
    learn, choose, judge = (parts[name] for name in ("train", "dev", "test"))
    made = encoders.make(base)
    if not isinstance(made, Transformer):
        raise InputError(f"{base} is no transformer, which could be trained", mend="give minilm, or a model's folder")
    labels = [OUTSIDE, *(f"{letter}-{kind}" for kind in learn.types for letter in "BI")]
    network = made.labeller(labels, limit=recipe.limit, dropout=recipe.dropout, seed=recipe.seed)
    batches = _Batches(network, learn, recipe.batch_size)
    if dry_run:
        return plan(network, batches, batches.loss, recipe.settings)
    about = {
        "data": _digest([learn, choose, judge]),
        "base": made.space.id,
        "recipe": {name: value for name, value in asdict(recipe).items() if name != "threads"},
    }
    workplace = target.with_name(f".{target.name}.training")
    run = fit(
        network,
        batches,
        batches.loss,
        recipe.settings,
        evaluate=_Score(network, choose),
        folder=workplace,
        label="training",
        fingerprint=about,
    )
    if run.ended == "interrupted":
        raise KeyboardInterrupt
    told = {_RIVAL: _WordList(learn).best(choose, judge.sentences), "trained": Tagger(network).spans(judge.sentences)}
    counts = {name: count_spans(judge.spans, each) for name, each in told.items()}
    scores = {name: float(f1_of_counts(each.sum(axis=0))) for name, each in counts.items()}
    gain = check_f1(f"F1 of entities against {_RIVAL}, {judged_by}", *counts.values(), seed=recipe.seed)
    gate = decide(gain)
    if not gate.accepted:
        gate = replace(gate, advice=("give more sentences with entities", "train for more epochs, or at another learning rate"))
    found = TaggerTraining(
        target, Tagger(network), len(learn), judged_by, scores, by_type(judge.spans, told["trained"]), gate, run
    )
    found.tagger.save(target, {**about, "f1": scores, "gate": gate.to_json()})  # last: a kill until here loses nothing
    shutil.rmtree(workplace)
    return found


class _Batches:
    """Windows in batches, in an order that epoch and seed give, and the loss of one; the last few of an epoch are left out."""

    def __init__(self, network: WordLabeller, learn: Tagged, batch_size: int) -> None:
        self.windows = [each for each in network.read(learn.sentences) if len(each.words)]
        numbers = {label: place for place, label in enumerate(network.labels)}
        tags = [np.array([numbers[tag] for tag in learn.tags(row)], dtype=np.int64) for row in range(len(learn))]
        self.tags = [tags[each.sentence][each.words] for each in self.windows]
        self.batch_size = min(batch_size, len(self.windows))
        self.words = sum(map(len, self.tags)) / max(len(self.tags), 1)  # of a window

    def __len__(self) -> int:
        return len(self.windows) // self.batch_size if self.windows else 0

    def epoch(self, number: int, seed: int) -> Iterator[dict[str, Any]]:
        order = np.random.default_rng([seed, number]).permutation(len(self.windows))
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            rows = order[start : start + self.batch_size].tolist()
            yield {"windows": [self.windows[row] for row in rows], "tags": [self.tags[row] for row in rows]}

    def loss(self, network: WordLabeller, batch: Mapping[str, Any]) -> Tensor:
        """The mean over windows of the sum over their words, in units of the words of a usual window: a mean over words but for
        chance, and one that several processes share exactly."""
        import torch

        from vicino.learning.losses.margins import softmax_classification

        logits = network(batch["windows"])
        tags = torch.from_numpy(np.concatenate(batch["tags"])).to(logits.device)
        return softmax_classification(logits, tags) * (len(tags) / (len(batch["windows"]) * self.words))


class _Score:
    """F1 of the entities of sentences that are not learnt from."""

    def __init__(self, network: WordLabeller, held: Tagged) -> None:
        self.held, self.windows = held, network.read(held.sentences)

    def __call__(self, network: WordLabeller) -> float:
        told = _told(network, self.windows, [len(each) for each in self.held.sentences])
        return float(f1_of_counts(count_spans(self.held.spans, told).sum(axis=0)))


def _told(network: WordLabeller, windows: Sequence[Window], sizes: Sequence[int]) -> list[list[Span]]:
    labels = [*network.labels, OUTSIDE]  # the last for a word of which the tokenizer leaves nothing: it has number -1
    return [spans_of([labels[number] for number in each.tolist()]) for each in network.told(windows, sizes)]


class _WordList:
    """Each word with its most frequent tag where it was learnt from; O for a word never seen.

    F1 may be had by telling more than is likely, or anything at all, where names are hard to tell; lists that do so are rivals
    too. With `least`, a word is given its most frequent tag beside O where that share of it is in an entity; with a `constant`,
    every word is given that tag.
    """

    def __init__(self, learn: Tagged) -> None:
        seen: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for row, words in enumerate(learn.sentences):
            for word, tag in zip(words, learn.tags(row), strict=True):
                seen[word][tag] += 1
        kinds = Counter(span.type for own in learn.spans for span in own)
        self.seen, self.constant = seen, f"B-{_first(kinds)}"

    def best(self, choose: Tagged, asked: Sequence[Sequence[str]]) -> list[list[Span]]:
        """The spans of sentences by the list that does best where weights are chosen too."""
        every = {word for words in (*choose.sentences, *asked) for word in words}
        lists = [{word: _first(tags) for word, tags in self.seen.items()}, dict.fromkeys(every, self.constant)]
        for least in _LEAST:
            often = ((word, tags) for word, tags in self.seen.items() if 1 - tags[OUTSIDE] / tags.total() >= max(least, _ANY))
            lists.append({word: _first(tags - Counter({OUTSIDE: tags[OUTSIDE]})) for word, tags in often})

        def score(tags: Mapping[str, str]) -> float:
            return float(f1_of_counts(count_spans(choose.spans, _listed(tags, choose.sentences)).sum(axis=0)))

        return _listed(max(lists, key=score), asked)


def _first(counts: Mapping[str, int]) -> str:
    """The most frequent; of several, the first in the alphabet."""
    return min(counts, key=lambda name: (-counts[name], name))


def _listed(tags: Mapping[str, str], asked: Sequence[Sequence[str]]) -> list[list[Span]]:
    return [spans_of([tags.get(word, OUTSIDE) for word in words]) for words in asked]


def _parts(source: Path, seed: int) -> tuple[dict[str, Tagged], str]:
    """Sentences to learn from, to choose and to judge by, of which none is in two parts; and in words what is judged by."""
    parts = {name: read_tagged(file) for name, file in tables_of(source).items()}
    given = set(parts)
    for name, share in (("test", _JUDGE), ("dev", _CHOOSE)):
        if name not in parts:
            parts["train"], parts[name] = _held_back(parts["train"], share, seed)
    before = {name: len(part) for name, part in parts.items()}
    known: set[str] = set()
    for name in ("train", "dev", "test"):
        keys = list(map(_key, parts[name].sentences))
        if name != "train":
            parts[name] = parts[name].subset(row for row, key in enumerate(keys) if key not in known)
        known |= set(keys)
        if len(parts[name]) < _FEWEST[name] or not parts[name].types:
            what = {"train": "to learn from", "dev": "to choose weights by", "test": "to judge by"}[name]
            raise InputError(
                f"{len(parts[name])} sentences are left {what}, where {_FEWEST[name]} are wanted, of types "
                f"{', '.join(parts[name].types) or 'none'}",
                mend="give some hundred sentences that differ, and of which many have an entity",
            )
    judged = f"{len(parts['test']):,} sentences that were held back"
    if "test" in given:
        judged = f"the test part, {len(parts['test']):,} of {before['test']:,} sentences: those that are not learnt from"
    return parts, judged


def _held_back(whole: Tagged, share: float, seed: int) -> tuple[Tagged, Tagged]:
    """What is left, and a share of the sentences; equal ones stay together."""
    same: dict[str, list[int]] = {}
    for row, words in enumerate(whole.sentences):
        same.setdefault(_key(words), []).append(row)
    groups = list(same.values())
    chosen = np.random.default_rng(seed).permutation(len(groups))[: int(len(groups) * share)]
    held = {row for group in chosen.tolist() for row in groups[group]}
    return whole.subset(row for row in range(len(whole)) if row not in held), whole.subset(sorted(held))


def _key(words: Sequence[str]) -> str:
    """The same for sentences that differ in case, punctuation and blanks alone; one without a word is only like itself."""
    return _NO_WORD.sub("", "".join(words).casefold()) or " ".join(words)


def _damaged(path: str | PathLike[str]) -> ArtifactCorrupt:
    return ArtifactCorrupt(f"{path} is damaged: its manifest does not say what is in it", mend="restore it, or train it again")


def _digest(parts: Sequence[Tagged]) -> str:
    """Names sentences and their spans by content."""
    named = hashlib.sha256()
    for part in parts:
        for each in zip(part.sentences, part.spans, strict=True):
            named.update(json.dumps(each).encode())
        named.update(b"|")
    return named.hexdigest()
