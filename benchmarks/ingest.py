"""Collections: what keeping costs, in memory, in time, and after a thousand updates.

    python benchmarks/ingest.py --data DIR [--rounds 5] [--only ready,maintenance] [--rows 1000000]

Prints one JSON object. "large": 100,000 short documents with LSA in a process of its own, and the most memory that it held.
"overhead": the time that an ingest with MiniLM takes beyond encoding, as a share of encoding; and with it what indexing its
passages takes, before the first search. "updates": the milliseconds of a query before and after a thousand ingests of one changed
document each, every one followed by a query. "engine": queries a second of vicino's own BM25, which collections use, in turn
with tantivy on the same words. "ready": rows a second of vectors that are there already, made (384 dimensions, drawn): what the
table takes by itself, and a whole ingest, which reads, compares, cuts, names and looks them up too. "maintenance": the
milliseconds of a query before, while and after another process maintains the collection.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rounds import alternate, machine, ratio
from vicino.data.records import Document
from vicino.data.text import Analyzer
from vicino.retrieval.ingest import Source, ingest
from vicino.retrieval.lexical import Lexical
from vicino.retrieval.stored import Stored
from vicino.spaces import Space
from vicino.store.base import Row
from vicino.store.collection import Collection
from vicino.store.lance import Lance

PARAGRAPH = 100  # characters that a paragraph has at least
LARGE, MIDDLE, SMALL = 100_000, 10_000, 2_000
QUERIES, UPDATES, K = 1000, 1000, 10
DIM, COMMIT = 384, 16_384  # of ready vectors: dimensions, rows in a commit
PARTS = ("large", "overhead", "updates", "engine", "ready", "maintenance")
MAINTAIN = "import sys; from vicino import workbench; workbench.maintain('c', keep_seconds=600.0)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder that holds enwiki-2015-slice/")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", metavar="A,B", default=",".join(PARTS), help="some of the parts")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of ready vectors")
    parser.add_argument("--large", type=Path, help=argparse.SUPPRESS)  # the process of its own
    options = parser.parse_args()
    if options.large:
        print(json.dumps(large(options.data, options.large)))
        return
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        parts: dict[str, Callable[[], dict[str, Any]]] = {
            "large": lambda: large_apart(options.data, home / "large"),
            "overhead": lambda: overhead(options.data, home / "overhead", options.rounds),
            "updates": lambda: updates(options.data, home / "updates"),
            "engine": lambda: engine(options.data, options.rounds),
            "ready": lambda: ready(home / "ready", options.rows),
            "maintenance": lambda: maintenance(options.data, home / "maintenance"),
        }
        report: dict[str, Any] = {"benchmark": "ingest", "machine": machine()}
        report |= {name: parts[name]() for name in options.only.split(",")}
    print(json.dumps(report, indent=1))


def paragraphs(data: Path, count: int) -> Iterator[Document]:
    """Paragraphs of Wikipedia as documents."""
    number = 0
    for shard in sorted((data / "enwiki-2015-slice").glob("*.jsonl.xz")):
        with lzma.open(shard, "rt", encoding="utf-8") as lines:
            for line in lines:
                article = json.loads(line)
                for text in article["text"].split("\n"):
                    if len(text) >= PARAGRAPH:
                        yield Document(str(number), text, metadata={"article": article.get("title", "")})
                        number += 1
                        if number == count:
                            return


def large_apart(data: Path, home: Path) -> dict[str, Any]:
    told("100,000 documents with LSA")
    command = [sys.executable, __file__, "--data", str(data), "--large", str(home)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)


def large(data: Path, home: Path) -> dict[str, Any]:
    """Seconds and the most memory of a first ingest, of a second one that finds nothing changed, and of the first query."""
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        summary = ingest(home, "large", Source("wiki", paragraphs(data, LARGE)), recipe="bm25+lsa", cut="whole")
        seconds.append(time.perf_counter() - began)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    began = time.perf_counter()
    Stored(Collection.open(home, "large")).find("the history of the bicycle", K)
    return {
        "documents": summary.total_documents,
        "first_seconds": round(seconds[0], 1),
        "documents_per_second": round(LARGE / seconds[0]),
        "nothing_changed_seconds": round(seconds[1], 1),
        "most_memory_gb": round(most, 2),
        "first_query_seconds": round(time.perf_counter() - began, 1),
        "most_memory_with_search_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "disk_bytes": Collection.open(home, "large").store.stats().bytes,
    }


def overhead(data: Path, home: Path, rounds: int) -> dict[str, Any]:
    """What an ingest takes beyond the encoder, reading from memory: comparing, cutting, committing."""
    documents = list(paragraphs(data, SMALL))
    ingest(home, "warm", Source("wiki", documents[:64]), recipe="minilm")
    shares, indexed, speeds = [], [], []
    for number in range(rounds):
        told(f"overhead, round {number + 1}")
        began = time.perf_counter()
        summary = ingest(home, f"round-{number}", Source("wiki", documents), recipe="minilm", cut="whole")
        seconds = time.perf_counter() - began
        shares.append((seconds - summary.encoding_seconds) / summary.encoding_seconds)
        began = time.perf_counter()
        Stored(Collection.open(home, f"round-{number}")).refresh()
        indexed.append(shares[-1] + (time.perf_counter() - began) / summary.encoding_seconds)
        speeds.append(SMALL / summary.encoding_seconds)
    return {
        "documents": SMALL,
        "encoder": "minilm",
        "rounds": rounds,
        "documents_per_second_of_encoding": round(statistics.median(speeds)),
        "share_of_encoding": spread(shares),
        "share_of_encoding_with_indexing": spread(indexed),
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": round(statistics.median(values), 3), "lowest": round(min(values), 3), "highest": round(max(values), 3)}


def updates(data: Path, home: Path) -> dict[str, Any]:
    """One changed document and one query, a thousand times, over ten thousand documents."""
    told("a thousand updates")
    documents = list(paragraphs(data, MIDDLE))
    ingest(home, "c", Source("wiki", documents), recipe="bm25+lsa", cut="whole")
    search = Stored(Collection.open(home, "c"))
    questions = [" ".join(document.text.split()[:8]) for document in documents[:: MIDDLE // 50]]
    before, files = timed(search, questions), Collection.open(home, "c").store.stats()
    writing, asking = [], []
    for number in range(UPDATES):
        name = f"updated {number % 100}"
        began = time.perf_counter()
        ingest(home, "c", Source(name, [Document(name, f"{documents[number].text} edition{number}")]), prune=True)
        writing.append(1000 * (time.perf_counter() - began))
        began = time.perf_counter()
        found = search.find(f"edition{number}", 1)
        asking.append(1000 * (time.perf_counter() - began))
        if found[0].document != name:
            raise SystemExit(f"update {number} was not found at once")
    after, stats = timed(search, questions), Collection.open(home, "c").store.stats()
    return {
        "documents": MIDDLE,
        "updates": UPDATES,
        "query_ms_before": before,
        "query_ms_after": after,
        "first_query_after_an_update_ms": {
            "first_100": round(statistics.median(asking[:100]), 1),
            "last_100": round(statistics.median(asking[-100:]), 1),
        },
        "update_ms": {
            "first_100": round(statistics.median(writing[:100]), 1),
            "last_100": round(statistics.median(writing[-100:]), 1),
        },
        "files": {"before": files.files, "after": stats.files},
        "bytes": {"before": files.bytes, "after": stats.bytes},
    }


def ready(home: Path, count: int) -> dict[str, Any]:
    """Rows a second into the table, commit by commit; and a whole ingest, of a tenth of them, that looks vectors up in a file."""
    told(f"{count:,} rows of ready vectors")
    generator, space = np.random.default_rng(0), Space("0123456789abcdef", DIM)
    home.mkdir(parents=True)
    kept, spent, halves = Lance.create(home / "rows", [space]), 0.0, []
    for start in range(0, count, COMMIT):
        numbers = range(start, min(count, start + COMMIT))
        rows = [made_row(number) for number in numbers]
        vectors = generator.standard_normal((len(rows), DIM), dtype=np.float32)
        began = time.perf_counter()
        kept.replace(rows, {space.id: vectors}, tenant="")
        spent += time.perf_counter() - began
        halves.append((time.perf_counter() - began) / len(rows))
    stats, some = kept.stats(), count // 10
    if stats.rows != count:
        raise SystemExit(f"{stats.rows:,} of {count:,} rows are there")
    np.save(home / "v.npy", generator.standard_normal((some, DIM), dtype=np.float32))
    (home / "v.npy.json").write_text(json.dumps({"ids": [str(number) for number in range(some)]}), encoding="utf-8")
    documents = (Document(str(number), TEXT, metadata={"article": f"title {number // 10}"}) for number in range(some))
    began = time.perf_counter()
    ingest(home, "c", Source("made", documents), recipe=f"ready(path={home / 'v.npy'})", cut="whole")
    whole = time.perf_counter() - began
    middle = len(halves) // 2
    return {
        "rows": count,
        "dim": DIM,
        "rows_per_second": round(count / spent),
        "slower_in_the_second_half": round(statistics.mean(halves[middle:]) / statistics.mean(halves[:middle] or halves), 2),
        "ingest_rows": some,
        "ingest_rows_per_second": round(some / whole),
        "files": stats.files,
        "bytes": stats.bytes,
    }


TEXT = "a passage of a hundred characters or so, as a short paragraph of an encyclopedia has them, made for this."


def made_row(number: int) -> Row:
    name = hashlib.sha256(str(number).encode()).hexdigest()[:32]
    return Row(name, "", "made", str(number), 0, 0, len(TEXT), "", TEXT, name, name, {"article": f"title {number // 10}"})


def maintenance(data: Path, home: Path) -> dict[str, Any]:
    """Queries of one process while another one maintains, over ten thousand documents a third of which changed in small steps."""
    told("queries while a collection is maintained")
    documents, place = list(paragraphs(data, MIDDLE)), home / "collections"
    ingest(place, "c", Source("wiki", documents), recipe="bm25+lsa", cut="whole")
    search = Stored(Collection.open(place, "c"))
    questions = [" ".join(document.text.split()[:8]) for document in documents[:: MIDDLE // 200]]
    for start in range(0, MIDDLE // 3, 100):
        new = [Document(one.id, f"{one.text} edition {start}", metadata=one.metadata) for one in documents[start : start + 100]]
        ingest(place, "c", Source("wiki", new, lacks=lambda _: False))
    search.refresh()
    before, stats = timed(search, questions), search.collection.store.stats()
    spent = []
    process = subprocess.Popen([sys.executable, "-c", MAINTAIN], env={**os.environ, "VICINO_HOME": str(home)})
    while process.poll() is None:
        for question in questions:
            began = time.perf_counter()
            search.search(question, K)
            spent.append(1000 * (time.perf_counter() - began))
    if process.returncode:
        raise SystemExit("maintenance failed")
    after = search.collection.store.stats()
    return {
        "documents": MIDDLE,
        "query_ms_before": before,
        "query_ms_during": percentiles(spent),
        "query_ms_after": timed(search, questions),
        "queries_during": len(spent),
        "files": {"before": stats.files, "after": after.files},
    }


def timed(search: Stored, questions: Sequence[str]) -> dict[str, float]:
    spent = []
    for question in questions:
        began = time.perf_counter()
        search.search(question, K)
        spent.append(1000 * (time.perf_counter() - began))
    return percentiles(spent)


def percentiles(milliseconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(milliseconds)
    return {"median": round(statistics.median(ordered), 2), "p95": round(ordered[int(0.95 * len(ordered))], 2)}


def engine(data: Path, rounds: int) -> dict[str, Any]:
    """Both index the same words of the same paragraphs; tantivy's queries are made beforehand, vicino reads its own each time."""
    import tantivy

    told("BM25 beside tantivy")
    documents, analyzer = list(paragraphs(data, 50_000)), Analyzer(min_length=2)
    lexical = Lexical().build(documents)
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("body", stored=False, tokenizer_name="whitespace", index_option="freq")
    schema = builder.build()
    index = tantivy.Index(schema)
    writer = index.writer(200_000_000, 1)
    for document in documents:
        writer.add_document(tantivy.Document(body=[" ".join(analyzer.terms(document.text))]))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    searcher = index.searcher()
    asked = {
        "titles": [document.metadata["article"] for document in documents[:: len(documents) // QUERIES]],
        "sentences": [re.split(r"(?<=[.!?]) ", document.text)[0][:300] for document in documents[:: len(documents) // QUERIES]],
    }
    results: dict[str, Any] = {"documents": len(documents), "k": K}
    for name, queries in asked.items():
        made = [
            tantivy.Query.boolean_query(
                [(tantivy.Occur.Should, tantivy.Query.term_query(schema, "body", term)) for term in analyzer.terms(query)]
            )
            for query in queries
        ]
        seconds = alternate(
            {
                "vicino": lambda queries=queries: [lexical.search(query, K) for query in queries],
                "tantivy": lambda made=made: [searcher.search(query, K) for query in made],
            },
            rounds,
        )
        results[name] = {
            "queries_per_second": {who: round(len(queries) / statistics.median(spent)) for who, spent in seconds.items()},
            "times_faster": ratio(seconds["tantivy"], seconds["vicino"]),
        }
    return results


def told(what: str) -> None:
    print(f"{what} ...", file=sys.stderr)


if __name__ == "__main__":
    main()
