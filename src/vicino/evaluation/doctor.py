"""What this machine has and lacks, with the command that mends each finding."""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from vicino import artifacts
from vicino.errors import MissingExtra, VicinoError

__all__ = ["EXTRAS", "Finding", "environment"]

EXTRAS = {
    "torch": "transformer encoders",
    "files": "Markdown, HTML, PDF and code in other languages than Python",
    "store": "collections and the HNSW index",
    "remote": "models behind an HTTP endpoint",
}
_LOW_DISK = 2 << 30  # bytes


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `state` is "ok", "missing" (optional, and not there) or "problem"; `mend` is a command or empty.

    Where the value is measured against something, `threshold` says what, `cause` what makes it pass that, and `reference` who
    described the measure, and what a healthy model has. `numbers` are those behind the value, as JSON can say them, where a chart
    shows more than a sentence.
    """

    about: str
    state: Literal["ok", "missing", "problem"]
    value: str
    mend: str = ""
    threshold: str = ""
    cause: str = ""
    reference: str = ""
    numbers: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """All of it, without `numbers` where there are none."""
        return {name: value for name, value in vars(self).items() if name != "numbers" or value is not None}


def environment(home: Path) -> list[Finding]:
    """Look at Python, the dependencies and extras, the offline model, the processor, and the folder that vicino keeps."""
    python = Finding("Python", "ok", platform.python_version())  # pip refuses one that is too old
    return [python, *_packages(), *_model(), *_processor(), *_home(home)]


def _packages() -> Iterator[Finding]:
    required = metadata.requires("vicino") or []
    core = [line for line in required if "extra ==" not in line]
    yield _group(
        "core", core, "everything", "problem", "make clean demo (in a checkout), or pip install --force-reinstall vicino"
    )
    for extra, purpose in EXTRAS.items():
        lines = [line for line in required if re.search(rf"extra == ['\"]{extra}['\"]", line)]
        yield _group(f"extra [{extra}]", lines, purpose, "missing", MissingExtra.named(extra, needed_by=purpose).mend)
    if _version("torch") and _version("torchvision"):
        pair = f"torch {_version('torch')} with torchvision {_version('torchvision')}"
        if _fit_together():
            yield Finding("torchvision", "ok", pair)
        else:
            yield Finding("torchvision", "problem", f"{pair} do not match and break transformers", "pip uninstall torchvision")


def _group(about: str, lines: list[str], purpose: str, state: Literal["missing", "problem"], mend: str) -> Finding:
    names = [re.match(r"[A-Za-z0-9._-]+", line) for line in lines]
    versions = {match[0]: _version(match[0]) for match in names if match}
    absent = [name for name, version in versions.items() if version is None]
    if absent:
        return Finding(about, state, f"for {purpose}; not installed: {', '.join(absent)}", mend)
    return Finding(about, "ok", ", ".join(f"{name} {version}" for name, version in versions.items()))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _fit_together() -> bool:
    """Whether torchvision was made for this torch: it pins one, and both come from one build, such as +cpu."""
    pins = (re.match(r"torch\s*\(?==\s*([0-9.]+)", line) for line in metadata.requires("torchvision") or [])
    wanted = {pin[1] for pin in pins if pin}
    torch, vision = (_version(name) or "" for name in ("torch", "torchvision"))
    return torch.partition("+")[0] in wanted and torch.partition("+")[2] == vision.partition("+")[2]


def _model() -> Iterator[Finding]:
    if _version("torch") is None or _version("transformers") is None:
        return
    from vicino.encoders import make

    try:
        space = make("minilm").space
    except (VicinoError, OSError) as error:
        yield Finding(
            "offline model", "problem", str(error).splitlines()[0], MissingExtra.named("torch", needed_by="transformers").mend
        )
    else:
        yield Finding("offline model", "ok", f"all-MiniLM-L6-v2, checksum right, space {space}")


def _processor() -> Iterator[Finding]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    flags = ""
    if Path("/proc/cpuinfo").exists():
        flags = next(
            (line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith(("flags", "Features"))), ""
        )
    native = any(flag in flags.split() for flag in ("avx512_bf16", "amx_bf16", "bf16"))
    arithmetic = (
        "bfloat16 in hardware: transformers encode about three times faster" if native else "no bfloat16: float32 is used"
    )
    yield Finding("processor", "ok", f"{cores} cores, {platform.machine()}, {arithmetic}")


def _home(home: Path) -> Iterator[Finding]:
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        yield Finding("VICINO_HOME", "problem", f"{home} cannot be written: {error}", "export VICINO_HOME=a/folder/of/yours")
        return
    free = shutil.disk_usage(home).free
    kept = artifacts.folder_bytes(home)
    text = f"{home} holds {kept / 2**20:,.0f} MB; {free / 2**30:,.1f} GB are free"
    if free < _LOW_DISK:
        yield Finding("VICINO_HOME", "problem", text, f"free some space, or empty the cache: rm -r {home / 'cache'}")
    else:
        yield Finding("VICINO_HOME", "ok", text)
