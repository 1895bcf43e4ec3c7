"""Writing a model folder that sentence-transformers of every age opens, and noticing later that a file of it was changed.

The network's and the tokenizer's files are copied byte for byte, so that the space stays the same; the small files around them
are written anew, with the settings that hold.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vicino import artifacts
from vicino.encoders.transformer.folder import POOLINGS, VOCABULARY, Dense, ModelFolder, Pooling, Step
from vicino.encoders.transformer.routes import CONFIG, ROUTES, RouterFolder
from vicino.errors import ArtifactCorrupt

__all__ = [
    "Saves",
    "bind_towers",
    "check_files",
    "file_stamps",
    "save_anew",
    "save_stamped",
    "write_folder",
    "write_linear",
    "write_modules",
]

_COPIED = ("config.json", "tokenizer_config.json", "chat_template.jinja", "model.safetensors.index.json", *VOCABULARY)
_PACKAGE = "sentence_transformers.models"  # the old class paths: every version of sentence-transformers knows them


class Saves(Protocol):
    """What can be written to a folder."""

    def save(self, target: Path, /) -> object:
        """Write it into an empty folder."""


def write_folder(folder: ModelFolder, target: Path) -> None:
    """Write everything that `folder` describes into `target`, the network at its root."""
    for file in (*(folder.body / name for name in _COPIED), *folder.weights):
        if file.is_file():
            shutil.copyfile(file, target / file.name)
    places = _places(folder)
    for step, name in places:
        (target / name).mkdir()
        _write_step(step, folder.token_width, target / name)
    write_modules([("", "Transformer"), *((name, type(step).__name__) for step, name in places)], target)
    text = {
        "max_seq_length": folder.limit,
        "do_lower_case": folder.lower,
        "config_args": dict(folder.config_arguments),
        "tokenizer_args": dict(folder.tokenizer_arguments),
    }
    _write(target / "sentence_bert_config.json", {key: value for key, value in text.items() if value not in (None, {})})
    _write_settings(folder, target)


def bind_towers(towers: RouterFolder, target: Path) -> None:
    """Make one model of two that were written as they are described, each into the subfolder of `target` with its route's name.

    What each subfolder holds is a whole model too: of queries, or of documents.
    """
    kinds: dict[str, str] = {}
    structure: dict[str, list[str]] = {}
    for route in ROUTES:
        own: dict[str, str] = {route: "Transformer"}
        own.update((f"{route}/{name}", type(step).__name__) for step, name in _places(towers.of(route)))
        kinds |= own
        structure[route] = list(own)
    types = {name: f"{_PACKAGE}.{kind}" for name, kind in kinds.items()}
    _write(target / CONFIG, {"types": types, "structure": structure, "parameters": {"default_route": towers.default}})
    write_modules([("", "Router")], target)
    _write_settings(towers.document, target)


def write_modules(modules: Sequence[tuple[str, str]], target: Path) -> None:
    """Write the list of a model's parts, each its subfolder ("" for `target` itself) and the name of its class."""
    told = [
        {"idx": place, "name": str(place), "path": name, "type": f"{_PACKAGE}.{kind}"}
        for place, (name, kind) in enumerate(modules)
    ]
    _write(target / "modules.json", told)


def save_anew(model: Saves, folder: Path) -> Path:
    """`folder`, with nothing in it but what `model` saves."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model.save(folder)
    return folder


def write_linear(matrix: NDArray[np.float32], target: Path) -> Dense:
    """Write a layer that gives vectors @ `matrix` (d, d) into an empty folder."""
    from safetensors.numpy import save_file

    width = len(matrix)
    linear = {"bias": False, "activation_function": "torch.nn.modules.linear.Identity"}
    _write(target / "config.json", {"in_features": width, "out_features": width, **linear})
    weights = target / "model.safetensors"
    save_file({"linear.weight": np.ascontiguousarray(matrix.T)}, weights)
    return Dense(weights, width, "Identity", residual=False)


def _places(folder: ModelFolder) -> list[tuple[Step, str]]:
    """What follows the network, and the subfolder of each."""
    return [(step, f"{place}_{type(step).__name__}") for place, step in enumerate(folder.steps, start=1)]


def _write_settings(folder: ModelFolder, target: Path) -> None:
    whole = {
        "prompts": {**folder.prompts, "query": folder.prompt("query"), "document": folder.prompt("document")},
        "default_prompt_name": folder.default_prompt_name,
        "similarity_fn_name": folder.similarity,
        "truncate_dim": folder.truncate_dim,
    }
    _write(target / "config_sentence_transformers.json", {key: value for key, value in whole.items() if value is not None})


def save_stamped(
    path: str | PathLike[str],
    kind: str,
    data: Mapping[str, Any],
    write: Callable[[Path], None],
    record: Mapping[str, Any] | None = None,
) -> Path:
    """Save what `write` puts into a folder as an artifact of this kind and data, whose manifest vouches for every file.

    `record`, if any, says how the model was made, and stands beside it as training.json. Raises what `artifacts.write` raises.
    """
    stamped = dict(data)

    def fill(target: Path) -> None:  # runs before the manifest is written
        write(target)
        if record is not None:
            _write(target / "training.json", record)
        stamped["files"] = file_stamps(target)

    return artifacts.write(path, kind=kind, data=stamped, parts={".": fill})


def file_stamps(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of every file of a folder, by its place in it."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {
        file.relative_to(folder).as_posix(): {"bytes": file.stat().st_size, "sha256": artifacts.file_digest(file)}
        for file in files
    }


def check_files(folder: Path, stamps: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise ArtifactCorrupt unless every file is what it was when it was stamped."""
    for name, stamp in stamps.items():
        file = folder / name
        if not file.is_file():
            why = "is missing"
        elif file.stat().st_size != stamp["bytes"] or artifacts.file_digest(file) != stamp["sha256"]:
            why = "is not what was written"
        else:
            continue
        raise ArtifactCorrupt(f"{folder} is damaged: {name} {why}", mend="restore it from a copy, or make it again")


def _write_step(step: Step, width: int, target: Path) -> None:
    if isinstance(step, Dense):
        for name in ("config.json", "model.safetensors"):
            shutil.copyfile(step.weights.parent / name, target / name)
    if isinstance(step, Pooling):
        _write(target / "config.json", {**_pooling_config(step, width), "include_prompt": step.include_prompt})


def _pooling_config(pooling: Pooling, width: int) -> dict[str, Any]:
    """As flags, which all versions read, unless the order of several modes is not that of the flags."""
    if list(pooling.modes) == [mode for mode in POOLINGS if mode in pooling.modes]:
        return {"word_embedding_dimension": width, **{flag: mode in pooling.modes for mode, flag in POOLINGS.items()}}
    return {"embedding_dimension": width, "pooling_mode": list(pooling.modes)}


def _write(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
