"""Approximate neighbours: recall against speed, build time and memory, ours and the peers', in turn.

    python benchmarks/paragraphs.py --data DIR --work FOLDER       # once: 100,000 vectors of Wikipedia's paragraphs
    python benchmarks/ann.py --data DIR --work FOLDER [--vectors FOLDER] [--only NAME ...] [--sets minilm fashion] [--million]

Prints one JSON object; `--svg FILE` draws it. Each contestant builds and answers in a process of its own, with one thread. In
each of `--rounds` rounds it is asked at growing efforts, all questions in one call ("batch") and one a call ("single"), and
hnswlib right before or after it, so that a slow minute hits both: "times hnswlib" is the median of the rounds' ratios at one
recall, between efforts by a straight line of the logarithm. Recall@10 counts answers no further than the tenth nearest. "rss" is
what the process grew by over building; "bytes" what the index says of itself, or its files. "overhead" is vicino's whole call
against the bare library's over the very same built structure, at the effort that first reaches .95. FOLDER keeps what was
measured: a run that was stopped goes on there, and `--only` adds to it. The million is made: 1,000 normal clusters in 96
dimensions, questions from the same.
"""

from __future__ import annotations

import argparse
import gc
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import growth
from ann_contestants import CONTESTANTS, MILLION, SLOW, WRAPPED
from ann_sets import SETS, K, Set
from rounds import machine, ratio
from units import Units

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS", "LANCE_CPU_THREADS")
RECALLS = (0.9, 0.95, 0.99)
ENOUGH = 0.998  # more effort is not asked for
SINGLE, FEW = 300, 100  # questions that are asked one a call, and of the slow ones in all
REFERENCE = "hnswlib"
DRAWN = (
    *("vicino quantised-graph", "vicino hnsw-sq", "vicino ivf-pq", "vicino ivf-pq int8"),
    *("hnswlib", "faiss HNSW", "usearch"),
)
Curve = list[dict[str, Any]]


# One contestant, in its process -----------------------------------------------------------------------------------------


def resident() -> int:
    """The bytes of memory that this process has in use."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def serve(link: Connection, name: str, given: Set) -> None:
    """Build, say what that took, then answer (effort, whether one a call) until None comes."""
    contestant = CONTESTANTS[name](given.metric)
    try:
        _warm(name, given.metric)
        vectors, queries, borders = given.vectors(), given.queries(), given.borders()
        before, began = resident(), time.perf_counter()
        contestant.build(vectors)
        seconds = time.perf_counter() - began
        contestant.search(queries[:5], K, contestant.efforts[0])
        link.send({"build_seconds": seconds, "rss": resident() - before, "bytes": contestant.held()})
        while (asked := link.recv()) is not None:
            effort, single = asked
            some = queries[:FEW] if name in SLOW else queries[:SINGLE] if single else queries
            began = time.perf_counter()
            if single:
                rows = np.concatenate([contestant.search(some[at : at + 1], K, effort) for at in range(len(some))])
            else:
                rows = contestant.search(some, K, effort)
            seconds = time.perf_counter() - began
            link.send({"rate": len(some) / seconds, "recall": _recall(given, vectors, some, rows, borders)})
    finally:
        contestant.close()


def _warm(name: str, metric: str) -> None:
    """Load what the contestant loads, compile what it compiles: once a process, and no part of building."""
    some = np.random.default_rng(0).standard_normal((2000, 64)).astype(np.float32)
    some /= np.linalg.norm(some, axis=1, keepdims=True)
    contestant = CONTESTANTS[name](metric)
    contestant.build(some)
    contestant.search(some[:5], K, contestant.efforts[0])
    contestant.close()


def _recall(given: Set, vectors: Any, queries: Any, rows: Any, borders: Any) -> float:
    found = 0
    for query, each, border in zip(queries, rows, borders, strict=False):
        own = np.unique([int(row) for row in each if row is not None and int(row) >= 0])
        found += int((given.scores(vectors[own], query[None])[0] >= border - 1e-9 * abs(border) - 1e-12).sum())
    return found / (K * len(queries))


class Asked:
    """A contestant in a process of its own."""

    def __init__(self, name: str, given: Set) -> None:
        self.name = name
        self.efforts = CONTESTANTS[name](given.metric).efforts
        context = multiprocessing.get_context("spawn")
        self._link, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, name, given), daemon=True)
        self._process.start()
        theirs.close()
        try:
            self.built: dict[str, Any] = self._link.recv()
        except EOFError as error:
            raise SystemExit(f"{name} ended while it built: its message is above") from error

    def point(self, effort: int | None) -> dict[str, Any]:
        """What it finds, and how fast."""
        self._link.send((effort, True))
        alone = self._link.recv()
        if self.name in SLOW:
            return {"effort": effort, "recall": alone["recall"], "single": alone["rate"]}
        self._link.send((effort, False))
        batch = self._link.recv()
        return {"effort": effort, "recall": batch["recall"], "batch": batch["rate"], "single": alone["rate"]}

    def close(self) -> None:
        self._link.send(None)
        self._process.join(30)


# The race ---------------------------------------------------------------------------------------------------------------


def measured(name: str, given: Set, reference: Asked, rounds: int) -> dict[str, Any]:
    """The curve of one contestant, and its rates as multiples of the reference's in the same round."""
    asked = reference if name == REFERENCE else Asked(name, given)
    try:
        efforts = _until(asked)
        theirs = _around(reference)
        curves: dict[str, list[Curve]] = {name: [], REFERENCE: []}
        turns = {name: (asked, efforts), REFERENCE: (reference, efforts if asked is reference else theirs)}
        for number in range(rounds):
            for key, (each, some) in list(turns.items())[:: -1 if number % 2 else 1]:
                curves[key].append([each.point(effort) for effort in some])
    finally:
        if asked is not reference:
            asked.close()
    found: dict[str, Any] = {**asked.built, "curve": _median(curves[name]), "at": {}, "times hnswlib": {}}
    for recall in RECALLS:
        for way in ("batch", "single"):
            own = [speed_at(curve, recall, way) for curve in curves[name]]
            peer = [speed_at(curve, recall, way) for curve in curves[REFERENCE]]
            if all(own) and all(peer):
                found["at"].setdefault(str(recall), {})[way] = round(statistics.median(own), 1)
                found["times hnswlib"].setdefault(str(recall), {})[way] = ratio(own, peer)
    return found


def _until(asked: Asked) -> list[int | None]:
    """Its efforts, up to the first that finds nearly all; asked once, so that all is warm."""
    efforts = []
    for effort in asked.efforts:
        efforts.append(effort)
        if asked.point(effort)["recall"] >= ENOUGH:
            break
    return efforts


def _around(reference: Asked) -> list[int | None]:
    """The reference's efforts next to each recall that is compared at."""
    curve = [reference.point(effort) for effort in reference.efforts]
    wanted: set[int] = set()
    for recall in RECALLS:
        first = next((at for at, point in enumerate(curve) if point["recall"] >= recall), None)
        wanted |= {first, max(0, first - 1)} if first is not None else set()
    return [curve[at]["effort"] for at in sorted(wanted)]


def speed_at(curve: Curve, recall: float, way: str) -> float | None:
    """Questions a second at a recall, between two efforts by the logarithm; None where it is not reached."""
    before = None
    for point in curve:
        if point["recall"] >= recall:
            if way not in point:
                return None
            if before is None or point["recall"] == before["recall"]:
                return float(point[way])
            share = (recall - before["recall"]) / (point["recall"] - before["recall"])
            return float(np.exp((1 - share) * np.log(before[way]) + share * np.log(point[way])))
        before = point
    return None


def _median(curves: list[Curve]) -> Curve:
    points = []
    for same in zip(*curves, strict=True):
        point = {"effort": same[0]["effort"], "recall": round(same[0]["recall"], 4)}
        for way in ("batch", "single"):
            if way in same[0]:
                point[way] = round(statistics.median(each[way] for each in same), 1)
        points.append(point)
    return points


def overhead(name: str, given: Set, rounds: int) -> dict[str, Any]:
    """How much longer vicino's call takes than the library's over the same structure: 1.05 is 5 % more."""
    vectors, queries, borders = given.vectors(), given.queries(), given.borders()
    contestant = CONTESTANTS[name](given.metric)
    contestant.build(vectors)
    efforts = [each for each in contestant.efforts if each]
    effort = next(
        (e for e in efforts if _recall(given, vectors, queries, contestant.search(queries, K, e), borders) >= 0.95), efforts[-1]
    )
    bare = _bare(contestant, vectors, effort)
    said: dict[str, Any] = {"bare": WRAPPED[name], "effort": effort}
    for way, some in (("batch", [queries]), ("single", [queries[at : at + 1] for at in range(SINGLE)])):
        seconds: dict[bool, list[float]] = {True: [], False: []}
        for number in range(4 * rounds):
            for whole in (True, False) if number % 2 else (False, True):
                began = time.perf_counter()
                for asked in some:
                    contestant.search(asked, K, effort) if whole else bare(asked)
                seconds[whole].append(time.perf_counter() - began)
        said[way] = ratio(seconds[True], seconds[False])
    return said


def _bare(contestant: Any, vectors: NDArray[np.float32], effort: int) -> Callable[[NDArray[np.float32]], object]:
    """The library alone, over what vicino's index holds."""
    import faiss

    index = contestant.index
    if index.family == "quantised-graph":
        return lambda asked: index.graph_.search(asked, K + 4, max(K + 4, effort), num_threads=1)
    if index.family == "hnsw":
        return lambda asked: index.graph_.search(asked, K, params=faiss.SearchParametersHNSW(efSearch=effort))
    refined = faiss.IndexRefineFlat(index.lists_, faiss.swig_ptr(vectors))
    params = faiss.IndexRefineSearchParameters(
        k_factor=max(10, 2 * effort / K), base_index_params=faiss.SearchParametersIVF(nprobe=effort)
    )
    return lambda asked: refined.search(asked, K, params=params)


# What is told -------------------------------------------------------------------------------------------------------------


def raced(given: Set, names: Sequence[str], units: Units, rounds: int) -> dict[str, Any]:
    """All contestants over one set: what was measured before, and what is measured now."""
    reference: list[Asked] = []

    def hnswlib() -> Asked:
        if not reference:
            reference.append(Asked(REFERENCE, given))
        return reference[0]

    def file(name: str) -> str:
        return f"{given.name} {name}".replace(" ", "-")

    found = {name: units.unit(file(name), lambda name=name: measured(name, given, hnswlib(), rounds)) for name in names}
    for asked in reference:
        asked.close()
    wraps = [name for name in WRAPPED if name in names]
    return {
        "vectors": len(given.vectors()),
        "dim": given.vectors().shape[1],
        "questions": len(given.queries()),
        "metric": given.metric,
        "contestants": found,
        "overhead": {
            name: units.unit(file(f"{name} overhead"), lambda name=name: overhead(name, given, rounds)) for name in wraps
        },
    }


def panels(report: dict[str, Any]) -> list[dict[str, Any]]:
    """What benchmarks/growth.py draws: of how many answers one is missed, and questions a second."""
    drawn = []
    for name, told in report["sets"].items():
        for way in ("batch", "single"):
            lines = {
                each: [
                    [1 / (1 - point["recall"]), point[way]] for point in told["contestants"][each]["curve"] if point["recall"] < 1
                ]
                for each in DRAWN
                if each in told["contestants"]
            }
            title = f"{name}, {told['vectors']:,} × {told['dim']}, {way}"
            axes = {"x": "answers a miss (20: recall .95)", "y": "questions/s"}
            drawn.append({"title": title, **axes, "lines": {each: line for each, line in lines.items() if line}})
    return drawn


def main() -> None:
    if os.environ.get("OMP_NUM_THREADS") != "1":  # it must be set before what reads it is loaded
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | dict.fromkeys(THREADS, "1"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds fashion-mnist/")
    parser.add_argument("--work", type=Path, required=True, help="where what was measured is kept")
    parser.add_argument("--vectors", type=Path, help="where benchmarks/paragraphs.py put its vectors, by default the work folder")
    parser.add_argument("--sets", nargs="+", choices=[*SETS], default=["minilm", "fashion"])
    parser.add_argument("--only", nargs="+", choices=[*CONTESTANTS], default=[*CONTESTANTS])
    parser.add_argument("--million", action="store_true", help="also among a million made vectors: some 40 minutes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--svg", type=Path, help="where to draw recall against speed")
    options = parser.parse_args()
    options.vectors = options.vectors or options.work
    options.work.mkdir(parents=True, exist_ok=True)
    units = Units(options.work)
    report: dict[str, Any] = {"machine": machine(), "threads": 1, "k": K, "rounds": options.rounds, "sets": {}}
    for name in [*options.sets, *(["million"] if options.million and "million" not in options.sets else [])]:
        names = [each for each in options.only if name != "million" or each in MILLION]
        report["sets"][name] = raced(SETS[name](options.work, options), names, units, options.rounds)
    report["growth"] = panels(report)
    if options.svg:
        drawing = growth.drawing(report["growth"]).replace("Cost against size", "Speed against recall")
        options.svg.write_text(drawing, encoding="utf-8")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
