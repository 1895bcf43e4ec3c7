"""A plan for very many vectors: bytes, machines, time and money of each design, from measured rates and your own inputs.

    python benchmarks/plan.py [--vectors 1e9] [--dim 384] [--queries 100] [--memory 256] [--price 2.00] ... [--json]
    python benchmarks/plan.py --write docs/scale.md        # the table there, between its marks

Rates come from docs/figures/ (`--figures`): encode.json (tokens a second and core), ann.json (questions a second of one thread at
recall .95, seconds to build; 100,000 MiniLM vectors), scale.json (the reader of a job). Where a figure is missing, so is what
follows from it. Prices and machines are inputs with an example as their default, not claims. docs/scale.md has the formulas.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RECALL = "0.95"
SETS = ("minilm", "minilm-avx2")  # the first that has the design
ROW = 200  # bytes of a row in the table of record beside its text and vector: keys, digests, places, after compression
PAGE = 0.9  # of a page of PostgreSQL that an index fills
MILVUS = 1.2  # of the graph's bytes: segments that grow, copies while they are compacted
PARALLEL = 0.7  # of its cores that a build keeps busy
GB, MONTH = 1e9, 730  # hours


@dataclass(frozen=True)
class Ask:
    """What is wanted, and of what machines; prices in any currency."""

    vectors: float = 1e9
    dim: int = 384
    text: float = 500  # bytes of a passage and its metadata, on disk
    tokens: float = 128  # of a passage
    queries: float = 100  # a second, at the busiest
    depth: int = 200  # candidates that are scored again from disk
    memory: float = 256  # GB of a machine
    disk: float = 7500  # GB of a machine
    reads: float = 400_000  # small random reads a second of its disks
    cores: int = 32
    price: float = 2.0  # an hour of a machine
    storage: float = 0.03  # a GB and month of the table of record
    fill: float = 0.7  # of a machine's memory and disk that may be used
    days: float = 7  # for embedding


@dataclass(frozen=True)
class Design:
    """Bytes a vector in memory and on a searching machine's disk, whose rates stand in ann.json, and how they change with n.

    `slower` is how many times as long a query takes among n vectors as among n0.
    """

    name: str
    memory: Callable[[int], float]
    disk: Callable[[int], float]
    measured: str
    slower: Callable[[float, float], float]
    reads_disk: bool = False
    note: str = ""


def graph(n: float, n0: float) -> float:
    """A walk through a graph: ln n."""
    return math.log(n) / math.log(n0)


def scan(n: float, n0: float) -> float:
    """A comparison with every row: n."""
    return n / n0


def lists(n: float, n0: float) -> float:
    """A few of √n lists of √n rows each: √n."""
    return math.sqrt(n / n0)


def links(m: int) -> float:
    """Bytes of the links of a node of HNSW: 2m below, m in each level above, where one of m nodes stands."""
    return 4 * (2 * m + m / (m - 1))


def paged(dim: int, m: int = 16) -> float:
    """Bytes of a halfvec and its links in pgvector's HNSW: numbers of 2 bytes, links of 6, headers, in pages."""
    return (2 * dim + 6 * (2 * m + m / (m - 1)) + 72) / PAGE


DESIGNS = (
    Design("float32, HNSW", lambda d: 4 * d + links(32), lambda d: 4 * d + links(32), "vicino hnsw", graph),
    Design(
        "int8, hnsw-sq",
        lambda d: d + links(16),
        lambda d: d + links(16),
        "vicino hnsw-sq int8",
        graph,
        note="measured on a processor with AVX2; a shard is built from float32, which takes some eleven times its memory",
    ),
    Design("int8, scanned", lambda d: d, lambda d: d, "vicino int8", scan),
    Design("binary, scanned, and int8 on disk", lambda d: d / 8, lambda d: d / 8 + d, "vicino binary int8", scan, True),
    Design("IVF-PQ, and int8 on disk", lambda d: d / 8 + 8, lambda d: d / 8 + 8 + d, "vicino ivf-pq int8", lists, True),
    Design(
        "Milvus, HNSW",
        lambda d: MILVUS * (4 * d + links(32)),
        lambda d: 4 * d + links(32),
        "vicino hnsw",
        graph,
        note="its speed is taken to be the graph's",
    ),
    Design("PostgreSQL, halfvec", paged, lambda d: paged(d) + 4 * d + 100, "pgvector HNSW", graph),
)


# From figures to rates ------------------------------------------------------------------------------------------------


def figure(folder: Path, name: str) -> dict[str, Any]:
    file = folder / f"{name}.json"
    return dict(json.loads(file.read_text("utf-8"))) if file.exists() else {}


def tokens_a_second(encode: dict[str, Any]) -> float | None:
    """Of one core, by the slower of the two sets."""
    if not encode:
        return None
    each = (one["documents_a_second"]["vicino"] * one["tokens_a_document"] for one in encode["results"].values())
    return min(each) / float(encode["parameters"]["threads"])


def measured(ann: dict[str, Any], name: str) -> dict[str, float] | None:
    """Questions a second of one thread at the recall, seconds to build, bytes a vector, and of how many vectors that is."""
    of = (ann.get("sets", {}).get(each, {}) for each in SETS)
    told = next((each for each in of if RECALL in each.get("contestants", {}).get(name, {}).get("at", {})), None)
    if told is None:
        return None
    found = told["contestants"][name]
    rates = found["at"][RECALL]
    return {
        "n": told["vectors"],
        "rate": rates.get("single") or rates["batch"],
        "build": found["build_seconds"],
        "bytes": found["bytes"] / told["vectors"],
    }


# The plan -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What a design takes; None where a figure is missing. Bytes in GB, money a month."""

    design: str
    memory: float
    disk: float
    shards: int
    copies: int | None
    machines: int | None
    build_hours: float | None
    money: float | None
    note: str


def plan(design: Design, ask: Ask, rates: dict[str, float] | None) -> Plan:
    """Shards so that a part fits a machine; copies of each, so that all queries are answered: each query visits every shard."""
    memory, disk = ask.vectors * design.memory(ask.dim) / GB, ask.vectors * design.disk(ask.dim) / GB
    shards = max(1, math.ceil(memory / (ask.memory * ask.fill)), math.ceil(disk / (ask.disk * ask.fill)))
    copies = machines = build = money = None
    if rates:
        part = ask.vectors / shards
        longer = max(1.0, design.slower(max(part, 2), rates["n"]))
        speed = ask.cores * rates["rate"] / longer
        if design.reads_disk:
            speed = min(speed, ask.reads / ask.depth)
        copies = max(1, math.ceil(ask.queries / speed))
        machines = shards * copies
        build = rates["build"] * part / rates["n"] * (1 if design.slower is scan else longer) / (ask.cores * PARALLEL) / 3600
        record = ask.vectors * (4 * ask.dim + ask.text + ROW) / GB
        money = machines * MONTH * ask.price + record * ask.storage
    return Plan(design.name, memory, disk, shards, copies, machines, build, money, design.note)


def embedding(ask: Ask, rate: float | None, reader: float | None) -> dict[str, float | None]:
    """What making the vectors takes, once."""
    hours = None if rate is None else ask.vectors * ask.tokens / rate / 3600
    return {
        "tokens_a_second_and_core": rate,
        "core_hours": hours,
        "machines": None if hours is None else math.ceil(hours / (ask.cores * 24 * ask.days)),
        "money": None if hours is None else hours / ask.cores * ask.price,
        "readers": None if reader is None else math.ceil(ask.vectors / (reader * 86400 * ask.days)),
        "table_of_record_gb": ask.vectors * (4 * ask.dim + ask.text + ROW) / GB,
    }


# Telling --------------------------------------------------------------------------------------------------------------


def shown(number: float | None, digits: int = 0) -> str:
    return "–" if number is None else f"{number:,.{digits}f}"


def markdown(ask: Ask, made: dict[str, float | None], plans: list[Plan]) -> str:
    lines = [
        f"{ask.vectors:,.0f} vectors of {ask.dim} dimensions, {ask.queries:,.0f} queries a second; machines of {ask.cores} "
        f"cores, {ask.memory:,.0f} GB of memory and {ask.disk:,.0f} GB of disk at {ask.price:.2f} an hour.",
        "",
        f"Embedding, once: {shown(made['core_hours'])} core hours, {shown(made['machines'])} machines for {ask.days:g} days, "
        f"{shown(made['money'])} in money, {shown(made['readers'])} sources read side by side. The table of record: "
        f"{shown(made['table_of_record_gb'])} GB.",
        "",
        "| design | memory, GB | disk, GB | shards | copies | machines | hours to build | money a month |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for each in plans:
        cells = [shown(each.memory), shown(each.disk), str(each.shards), shown(each.copies), shown(each.machines)]
        lines.append(f"| {' | '.join([each.design, *cells, shown(each.build_hours, 1), shown(each.money)])} |")
    notes = [f"{each.design}: {each.note}." for each in plans if each.note]
    return "\n".join([*lines, "", *notes])


def told(ask: Ask, figures: Path) -> tuple[dict[str, float | None], list[Plan]]:
    """What embedding takes, and each design, by the figures of a folder."""
    ann, scale = figure(figures, "ann"), figure(figures, "scale")
    made = embedding(ask, tokens_a_second(figure(figures, "encode")), scale.get("reader", {}).get("documents_a_second"))
    return made, [plan(design, ask, measured(ann, design.measured)) for design in DESIGNS]


def written(text: str, ask: Ask, figures: Path) -> str:
    """A page with the table between its marks made anew."""
    body = markdown(ask, *told(ask, figures))
    return re.sub(r"(<!-- plan -->\n).*?(<!-- end plan -->)", lambda m: f"{m[1]}{body}\n{m[2]}", text, flags=re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in asdict(Ask()).items():
        kind = float if isinstance(value, float) else lambda text: int(float(text))
        parser.add_argument(f"--{name}", type=kind, default=value)
    parser.add_argument("--figures", type=Path, default=Path(__file__).parent.parent / "docs" / "figures")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table between the marks of this file")
    options = parser.parse_args()
    ask = Ask(**{name: getattr(options, name) for name in asdict(Ask())})
    if min(asdict(ask).values()) <= 0 or ask.fill > 1:
        parser.error("every input is more than 0, and --fill at most 1")
    made, plans = told(ask, options.figures)
    if options.json:
        print(json.dumps({"ask": asdict(ask), "embedding": made, "designs": [asdict(each) for each in plans]}, indent=1))
    elif options.write:
        options.write.write_text(written(options.write.read_text("utf-8"), ask, options.figures), "utf-8")
    else:
        print(markdown(ask, made, plans))


if __name__ == "__main__":
    main()
