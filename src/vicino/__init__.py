"""vicino: bring your data; get the embedding that is best for it, with the evidence.

Start reading in `vicino.workbench`: the whole story in verbs.
"""

from __future__ import annotations

__version__ = "0.1.0"
