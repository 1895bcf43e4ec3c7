"""Swivel: how soon its vectors are as good as those of our GloVe ever are, on the same text.

    python benchmarks/swivel.py --data DIR [--tokens 1000000 5000000 0] [--epochs 10] [--seeds 3] [--threads 2]

Prints one JSON object, made as benchmarks/glove.py makes its own: each contestant in a process of its own, once for each seed,
judged after each epoch. "to_the_same" is how many seconds each takes, by medians (counting, tiling and epochs, without what
the judging takes) until its WordSim-353 is the best that GloVe reached in any epoch; null is never. 0 tokens are all there are.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from glove import ALPHA, RATE, SAMPLE, SHARD, SWIVEL_WINDOW, WINDOW, X_MAX, arguments, contest, one, prepared
from rounds import machine
from words import DIM, MIN_COUNT

KIND = {"glove": "centred", "swivel": "plain"}  # as each encoder has it by default


def main() -> None:
    options = arguments(__doc__.splitlines()[0], epochs=10).parse_args()
    if options.one:
        print(json.dumps(one(options.data, **json.loads(options.one))))
        return
    with tempfile.TemporaryDirectory() as folder:
        corpora = prepared(options, Path(folder))
        results = [measured(corpora[size], options) for size in options.tokens]
    parameters = {"dim": DIM, "window": SWIVEL_WINDOW, "min_count": MIN_COUNT, "shard_size": SHARD}
    report = {
        "benchmark": "swivel",
        "machine": machine(),
        "parameters": parameters
        | {"glove": {"window": WINDOW, "x_max": X_MAX, "alpha": ALPHA, "learning_rate": RATE, "sample": SAMPLE}}
        | {"epochs": options.epochs, "threads": options.threads, "seeds": options.seeds},
        "results": results,
    }
    print(json.dumps(report, indent=1))


def measured(corpus: Path, options: argparse.Namespace) -> dict[str, Any]:
    result = contest(corpus, ("glove", "swivel"), options)
    return result | {"to_the_same": to_the_same(result)}


def to_the_same(result: dict[str, Any]) -> dict[str, Any]:
    """The WordSim-353 that is asked for, GloVe's best median, and the medians of what each takes to it."""
    asked = max(epoch[KIND["glove"]]["wordsim353"][0] for epoch in result["glove"]["course"])
    found: dict[str, Any] = {"wordsim353": asked}
    for name, kind in KIND.items():
        run = result[name]
        reached = next((epoch for epoch in run["course"] if epoch[kind]["wordsim353"][0] >= asked), None)
        for each in ("cpu", "wall"):
            before = run[f"counting_{each}"][0] + run[f"tiling_{each}"][0]
            found[f"{name}_{each}"] = None if reached is None else round(before + reached[f"learning_{each}"][0], 2)
    return found


if __name__ == "__main__":
    main()
