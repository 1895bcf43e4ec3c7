"""Images: what each objective learns in four minutes of one core, beside raw pixels; labels that lie; faces of people never seen.

    python benchmarks/images.py --data DIR --work FOLDER [--parts fashion noise faces speed] [--minutes 4] [--threads 1]

Prints one JSON object. Each model that is trained and measured is a file of numbers in FOLDER: what was stopped goes on there,
and parts that were run at other times are joined.

- fashion: Fashion-MNIST. Each objective learns from the train split, with its default settings, for so many minutes of steps;
  the test split is told by the 20 nearest of the train split, and by a linear probe of 10,000 of it. All objectives at the first
  seed, the supervised one and the best without labels at three. Earlier layers of the supervised network are measured too. The
  first 2,000 test images were looked at while defaults were settled, and are not counted.
- noise: 20 and 40 % of the train labels are drawn anew. The supervised network learns from them, the best without labels from
  none; both are then asked by neighbours with those labels.
- faces: ORL, 20 people learnt from and 20 others asked, five divisions by seed (others than those by which defaults were
  settled): whether the nearest other image is of the same person, and how many pairs of one person are accepted where 1 % of
  pairs of two are.
- speed: images a second of training and of encoding, in turn with a plain loop of torch over the same network, the same
  changes of images, batch and optimizer, in torch's own defaults (float32, DataLoader); three rounds.

Intervals are percentile bootstraps over test images (fashion) and over people (faces) of the mean over seeds.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rounds import alternate, machine, ratio
from units import Units
from vicino import encoders, progress
from vicino.catalog import call
from vicino.data.images import Prepared, prepared, read_images
from vicino.encoders.images import ImageEncoder, opened_backbone
from vicino.encoders.images.network import make_backbone
from vicino.evaluation.class_measures import Sides, measure_vectors
from vicino.learning.loop import Settings, fit
from vicino.metrics.neighbours import knn_classes
from vicino.metrics.significance import bootstrap_interval
from vicino.training.images.objectives import OBJECTIVES
from vicino.training.images.recipe import ImageRecipe
from vicino.training.images.train import train_images
from vicino.training.outcome import Outcome

SELF_SUPERVISED = ("autoencoder", "masked", "simclr", "moco", "data2vec")
IDENTITIES = ("triplet", "arcface", "cosface")
NOISE = (0.2, 0.4)
PEOPLE = 20  # learnt from
DIVISIONS = range(5, 10)  # 0 to 4 were looked at while defaults were settled
LOOKED_AT = 2_000  # test images that were, too
STEPS, ROUNDS = 40, 5
FACE_SIZE = 64  # pixels to a side
MEASURED = ("kNN", "linear")

Values = NDArray[np.float64]


def main() -> None:
    parts = {"fashion": fashion, "noise": noise, "faces": faces, "speed": speed}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds fashion-mnist/ and orl-faces/")
    parser.add_argument("--work", type=Path, required=True, help="where numbers are kept from one call to the next")
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--minutes", type=float, default=4.0, help="of steps, for each model of Fashion-MNIST")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--only", nargs="+", help="make these units (such as simclr-0) and print nothing")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    bench = Bench(options.work, options.data, options.minutes, options.threads)
    with progress.bars():
        if options.only:
            for name in options.only:
                made(bench, name)
            return
        results = {name: parts[name](bench) for name in options.parts}
    about = {"benchmark": "images", "machine": machine(), "minutes": options.minutes, "threads": options.threads}
    print(json.dumps({**about, "results": results}, indent=1))


@dataclass(frozen=True)
class Bench(Units):
    """What all parts use."""

    data: Path
    minutes: float
    threads: int

    @cached_property
    def fashion(self) -> dict[str, Prepared]:
        return {part: prepared(read_images(self.data / "fashion-mnist", split=part), 28, 1) for part in ("train", "test")}

    def train(self, source: Path, out: Path, objective: str, **recipe: Any) -> Outcome:
        """A network trained on images, by the defaults of its objective."""
        found = train_images(source, out, objective=objective, recipe=ImageRecipe.of(threads=self.threads, **recipe))
        if not isinstance(found, Outcome):
            raise TypeError(f"a training gave a {type(found).__name__}")
        print(f"  {found.told}; {found.gate.sentence}", file=sys.stderr)
        return found


def made(bench: Bench, unit: str) -> None:
    """A unit by its name: pixels, simclr-0, supervised-0-noise-0.2, faces-arcface-3."""
    name, _, rest = unit.removeprefix("faces-").partition("-")
    seed, _, share = rest.partition("-noise-")
    if unit.startswith("faces-"):
        bench.unit(unit, lambda: of_faces(bench, name, int(seed)))
    elif rest:
        of_fashion(bench, name, int(seed), float(share or 0))
    else:
        of_baseline(bench, name)


# Fashion-MNIST --------------------------------------------------------------------------------------------------------


def fashion(bench: Bench) -> dict[str, Any]:
    rows = {name: [of_baseline(bench, name)] for name in ("pixels", "eigenimages")}
    rows |= {name: [of_fashion(bench, name, 0)] for name in ("supervised", *SELF_SUPERVISED)}
    best = max(SELF_SUPERVISED, key=lambda name: float(np.mean(unseen(rows[name][0]["scores"]["kNN"]))))
    for name in ("supervised", best):
        rows[name] += [of_fashion(bench, name, seed) for seed in (1, 2)]
    told = {name: summary([unit["scores"] for unit in units]) for name, units in rows.items()}
    for layer in rows["supervised"][0]["layers"]:
        told[f"supervised, {layer}"] = summary([unit["layers"][layer] for unit in rows["supervised"]])
    for name, units in rows.items():
        told[name]["trained"] = [unit.get("told", "") for unit in units]
    return {"train": 60_000, "test": 10_000 - LOOKED_AT, "best_self_supervised": best, "rows": told}


def of_baseline(bench: Bench, name: str) -> dict[str, Any]:
    def measured() -> dict[str, Any]:
        encoder = encoders.make(name, size=28).fit(bench.fashion["train"])
        return {"scores": scores(bench, *(encoder.encode(each) for each in bench.fashion.values()))}

    return bench.unit(name, measured)


def of_fashion(bench: Bench, objective: str, seed: int, noise: float = 0.0) -> dict[str, Any]:
    """The network after the given minutes: its vectors, and those of the earlier layers of a supervised one."""

    def measured() -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            source, out = bench.data / "fashion-mnist", Path(folder) / "m"
            if noise:
                source = with_noise(bench, noise, Path(folder) / "noisy.npz")
            found = bench.train(source, out, objective, minutes=bench.minutes, seed=seed)
            train, test = (ImageEncoder(model=str(out)).encode(each) for each in bench.fashion.values())
            voted = {str(share): told_right(bench, train, test, share) for share in ([noise] if noise else [0.0, *NOISE])}
            unit = {"voted": voted, "told": found.told, "gate": found.gate.to_json()}
            if noise:
                return unit
            layers = {}
            if objective == "supervised":
                for layer in network_layers(out)[:-1]:
                    encoder = ImageEncoder(model=str(out), layer=layer)
                    layers[layer] = scores(bench, *(encoder.encode(each) for each in bench.fashion.values()))
            return {"scores": scores(bench, train, test), "layers": layers, **unit}

    return bench.unit(f"{objective}-{seed}" + (f"-noise-{noise}" if noise else ""), measured)


def network_layers(folder: Path) -> Sequence[str]:
    return opened_backbone(folder).layers


def scores(bench: Bench, train: Values, test: Values) -> dict[str, Any]:
    """Of each test image whether it is told right, by each measure that says so of each."""
    labels = [bench.fashion[part].labels for part in ("train", "test")]
    found = measure_vectors(Sides.of(train, labels[0], test, labels[1]), MEASURED)
    return {name: [float(each) for each in one.values] for name, one in found.items() if one.values is not None}


def unseen(values: Sequence[float]) -> Values:
    """Those of the test images that no default was settled by."""
    return np.array(values[LOOKED_AT:])


def summary(units: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over seeds, with the interval over images."""
    told: dict[str, Any] = {"seeds": len(units)}
    for name in MEASURED:
        told[name] = interval(np.mean([unseen(unit[name]) for unit in units], axis=0))
        told[f"{name} of each seed"] = [round(float(np.mean(unseen(unit[name]))), 4) for unit in units]
    return told


def interval(values: Values, groups: NDArray[Any] | None = None) -> list[float]:
    """The mean, and what holds it in 95 of 100 cases."""
    return [round(float(one), 4) for one in bootstrap_interval(values, groups=groups)]


# Labels that lie ------------------------------------------------------------------------------------------------------


def noise(bench: Bench) -> dict[str, Any]:
    best = str(fashion(bench)["best_self_supervised"])
    told: dict[str, Any] = {"supervised": {}, best: {}}
    for share in (0.0, *NOISE):
        own = of_fashion(bench, "supervised", 0, share)
        told["supervised"][str(share)] = interval(unseen(own["voted"][str(share)]))
        told[best][str(share)] = interval(unseen(of_fashion(bench, best, 0)["voted"][str(share)]))
    return told


def noisy(bench: Bench, share: float) -> NDArray[np.str_]:
    """The train labels, a share of them drawn anew from all classes."""
    labels, random = np.array(bench.fashion["train"].labels), np.random.default_rng(0)
    chosen = random.random(len(labels)) < share
    return np.where(chosen, random.choice(np.unique(labels), len(labels)), labels)


def with_noise(bench: Bench, share: float, file: Path) -> Path:
    """Fashion-MNIST's train split with labels that lie."""
    np.savez(file, images=bench.fashion["train"].pixels, labels=noisy(bench, share))
    return file


def told_right(bench: Bench, train: Values, test: Values, share: float) -> list[float]:
    """Whether each test image is told by neighbours of which a share has a label that was drawn."""
    names, numbers = np.unique(noisy(bench, share), return_inverse=True)
    truth = np.searchsorted(names, np.array(bench.fashion["test"].labels))
    return [float(each) for each in knn_classes(train, numbers, test, 20) == truth]


# Faces ----------------------------------------------------------------------------------------------------------------


def faces(bench: Bench) -> dict[str, Any]:
    rows = {
        name: [bench.unit(f"faces-{name}-{seed}", lambda n=name, s=seed: of_faces(bench, n, s)) for seed in DIVISIONS]
        for name in ("pixels", "eigenimages", *IDENTITIES)
    }
    told: dict[str, Any] = {"people": {"learnt from": PEOPLE, "asked": PEOPLE}, "divisions": len(DIVISIONS), "rows": {}}
    for name, units in rows.items():
        told["rows"][name] = {
            measure: interval(
                np.concatenate([unit[measure] for unit in units]),
                np.concatenate([unit[f"{measure} of"] for unit in units]),  # a person asked in two divisions is one
            )
            for measure in ("recall@1", "TAR")
        } | {"recall@1 of each division": [round(float(np.mean(unit["recall@1"])), 4) for unit in units]}
    return told


def of_faces(bench: Bench, name: str, seed: int) -> dict[str, Any]:
    """Twenty people learnt from, the others asked. So few people are all needed to learn from: nobody chooses among weights."""
    images = read_images(bench.data / "orl-faces")
    labels = np.array(images.labels)
    people = np.random.default_rng(seed).permutation(np.unique(labels))
    learn, asked = (np.flatnonzero(np.isin(labels, some)).tolist() for some in (people[:PEOPLE], people[PEOPLE:]))
    encoder: Any = None
    if name in IDENTITIES:
        encoder = taught_faces(bench, name, prepared(images.subset(learn), FACE_SIZE, 1), seed)
    else:
        encoder = encoders.make(name, size=FACE_SIZE).fit(images.subset(learn))
    vectors = [encoder.encode(images.subset(each)) for each in (learn, asked)]
    found_scores = measure_vectors(Sides.of(vectors[0], labels[learn], vectors[1], labels[asked]), ["recall@1", "TAR"])
    unit: dict[str, Any] = {}
    names = np.unique(labels)
    for measure, one in found_scores.items():
        if one.values is None or one.groups is None:
            raise TypeError(f"{measure} has no value of each")
        groups = np.unique(np.concatenate([labels[learn], labels[asked]]))[one.groups]
        unit |= {measure: one.values.tolist(), f"{measure} of": np.searchsorted(names, groups).tolist()}
    return unit


def taught_faces(bench: Bench, name: str, faces: Prepared, seed: int) -> ImageEncoder:
    """The objective's usual network, with the weights after the last epoch."""
    kind = OBJECTIVES[name]
    backbone, config = call(kind.backbone_name)
    torch.manual_seed(seed)
    mean, std = float(faces.pixels.mean() / 255), float(faces.pixels.std() / 255)
    network = make_backbone(backbone, size=FACE_SIZE, channels=1, mean=[mean], std=[std], **config)
    whole = kind(network, classes=PEOPLE)
    labels = np.unique(faces.labels or [], return_inverse=True)[1].astype(np.int64)
    settings = Settings(seed=seed, threads=bench.threads, **kind.usual)
    fit(whole, whole.batches(faces.pixels, labels, settings.batch_size), whole.loss, settings, label="training")
    return ImageEncoder.of_network(network)


# Speed ----------------------------------------------------------------------------------------------------------------


def speed(bench: Bench) -> dict[str, Any]:
    pixels = bench.fashion["train"].pixels
    labels = np.unique(bench.fashion["train"].labels or [], return_inverse=True)[1].astype(np.int64)
    kind, batch, rows = OBJECTIVES["supervised"], 256, np.arange(STEPS * 256)
    torch.set_num_threads(bench.threads)
    networks = {name: whole_network(name) for name in ("vicino", "a plain loop")}

    def ours() -> None:
        settings = Settings(epochs=1, threads=bench.threads, **{**kind.usual, "batch_size": batch})
        whole = networks["vicino"]
        fit(whole, whole.batches(pixels, labels, batch, rows=rows), whole.loss, settings)

    def plain() -> None:
        whole = networks["a plain loop"].train()
        images, classes = torch.from_numpy(pixels[rows]).permute(0, 3, 1, 2), torch.from_numpy(labels[rows])
        loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, classes), batch_size=batch, shuffle=True)
        optimizer = torch.optim.AdamW(whole.parameters(), lr=2e-3, weight_decay=0.05)
        for some, own in loader:
            optimizer.zero_grad()
            logits = whole.head(whole.backbone(whole.view(some)))
            torch.nn.functional.cross_entropy(logits, own, label_smoothing=0.1).backward()
            optimizer.step()

    encoder = ImageEncoder.of_network(whole_network("vicino").backbone)
    network = whole_network("a plain loop").backbone.eval()

    def encode() -> None:
        encoder.encode(pixels[: len(rows)])

    def encode_plainly() -> None:
        with torch.no_grad():
            for start in range(0, len(rows), 128):
                some = torch.from_numpy(pixels[start : start + 128]).permute(0, 3, 1, 2)
                network(network.normalised(some))

    told: dict[str, Any] = {"batch": batch, "images": len(rows), "rounds": ROUNDS, "threads": bench.threads}
    for what, pair in {"training": (ours, plain), "encoding": (encode, encode_plainly)}.items():
        seconds = alternate(dict(zip(networks, pair, strict=True)), ROUNDS)
        each = {name: round(len(rows) / float(np.median(took))) for name, took in seconds.items()}
        told[what] = {"images_a_second": each, "times_faster": ratio(seconds["a plain loop"], seconds["vicino"])}
    return told


def whole_network(name: str) -> Any:
    """The supervised objective on the small network; plainly, in the layout that torch gives a network."""
    torch.manual_seed(0)
    whole = OBJECTIVES["supervised"](make_backbone("small", size=28, channels=1, mean=[0.286], std=[0.353]), classes=10)
    return whole if name == "vicino" else whole.to(memory_format=torch.contiguous_format)


if __name__ == "__main__":
    main()
