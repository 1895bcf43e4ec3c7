"""What made a number: the machine, the versions, and the source itself."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from vicino import __version__
from vicino.spaces import fingerprint

__all__ = ["machine", "made_with", "versions"]

LIBRARIES = ("numpy", "scipy", "numba", "scikit-learn", "torch", "transformers", "faiss-cpu")


def machine() -> dict[str, Any]:
    """The processor's name and number of cores, memory in bytes, the system and the Python that ran."""
    names = re.findall(r"^model name\s*:\s*(.+)$", _text_of(Path("/proc/cpuinfo")), flags=re.MULTILINE)
    known = getattr(os, "sysconf_names", {})
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if "SC_PHYS_PAGES" in known else None
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_bytes": memory,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
    }


def versions() -> dict[str, str]:
    """The installed versions of what makes the numbers; nothing is imported."""
    installed = {"vicino": __version__}
    for name in LIBRARIES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed


@lru_cache
def made_with() -> str:
    """Sixteen digits that change with the versions and with vicino's own source: what was kept under others is not recalled."""
    source = hashlib.sha256()
    for file in sorted(Path(__file__).parents[1].rglob("*.py")):
        source.update(file.read_bytes())
    return fingerprint([versions(), source.hexdigest()])


def _text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
