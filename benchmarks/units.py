"""Numbers that took minutes to make, kept in a folder: a benchmark that was stopped goes on there."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Units:
    """A file of numbers for each name, in the folder `work`."""

    work: Path

    def unit(self, name: str, made: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What `made` gives, from its file if it was made before."""
        file = self.work / f"{name}.json"
        if not file.exists():
            print(f"{name} ...", file=sys.stderr)
            began = time.monotonic()
            found = made()
            text = json.dumps({**found, "seconds": round(time.monotonic() - began, 1)})
            file.with_suffix(".part").write_text(text, encoding="utf-8")
            file.with_suffix(".part").replace(file)
        return dict(json.loads(file.read_text(encoding="utf-8")))
