"""Write docs/commands.md from the command line itself, and the README's tables from docs/figures/.

    python docs/make.py            write
    python docs/make.py --check    exit 1 where something written is out of date

`make bench` prints the figures; copy bench-out/*.json to docs/figures/ to publish them.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from vicino.cli import app

ROOT = Path(__file__).resolve().parent.parent
FIGURES = ROOT / "docs" / "figures"


def main() -> None:
    wanted = {ROOT / "docs" / "commands.md": commands(), ROOT / "README.md": readme((ROOT / "README.md").read_text("utf-8"))}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text("utf-8") != text]
    if "--check" in sys.argv:
        sys.exit(f"out of date: {', '.join(path.name for path in stale)}; run make docs" if stale else 0)
    for path in stale:
        path.write_text(wanted[path], encoding="utf-8")


def commands() -> str:
    """Every command with its arguments and options, as Markdown."""
    group = typer.main.get_command(app)
    pages = [
        "# Commands\n\nWritten by `make docs` from the command line itself. An option's value comes from its flag, else from the "
        "environment (`VICINO_COMPARE_SEED`), else from `vicino.toml` (`[compare]`, `seed = 1`), else from its default. Data "
        "goes to standard output, progress and hints to standard error. Exit code 0 is fine, 1 a finding, 2 a usage error.\n"
    ]
    for name, command in _commands(group):
        context = command.make_context(name, [], resilient_parsing=True)
        records = [record for parameter in command.params if (record := parameter.get_help_record(context))]
        rows = [f"| `{flags}` | {' '.join(text.split())} |" for flags, text in records]
        table = "\n".join(["| | |", "|---|---|", *rows])
        pages.append(
            f"## vicino {name}\n\n    {command.get_usage(context).removeprefix('Usage: ')}\n\n{command.help}\n\n{table}\n"
        )
    return "\n".join(pages)


def _commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every command under its full name, those of groups too."""
    for name, command in sorted(group.commands.items()):
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def readme(text: str) -> str:
    """The README with the part between each pair of marks written anew from the figures."""
    for name, write in (("ladder", ladder), ("encode", encode), ("lexical", lexical), ("ingest", ingest), ("words", words)):
        file = FIGURES / f"{name}.json"
        if file.exists():
            body = write(json.loads(file.read_text("utf-8")))
            marks = rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)"
            text = re.sub(marks, lambda match, body=body: f"{match[1]}{body}\n{match[2]}", text, flags=re.DOTALL)
    return text


def ladder(plain: dict[str, Any]) -> str:
    tables = []
    for name, result in plain["results"].items():
        clean = result["clean_queries"] < result["queries"]
        head = ["", "nDCG@10", *(["clean queries"] if clean else []), "Recall@100", "vs baseline", "p", "docs/s", "ms a query"]
        rows = [_ladder_row(candidate, result, clean) for candidate in result["candidates"]]
        title = f"**{name}**: {result['documents']:,} documents, {result['queries']:,} queries"
        title += f" ({result['clean_queries']} clean of the train split's answers)." if clean else "."
        tables.append(f"{title}\n\n{_table(head, rows)}\n\n> {result['verdict']}\n")
    return "\n".join(tables)


def _ladder_row(candidate: dict[str, Any], result: dict[str, Any], clean: bool) -> list[str]:
    if "error" in candidate:
        return [candidate["name"], "failed"]
    mean, low, high = candidate["metrics"]["nDCG@10"]
    name = f"**{candidate['name']}**" if candidate["name"] == result["pick"] else candidate["name"]
    tally = candidate["wins_ties_losses"]
    return [
        name,
        f"{mean:.3f} [{low:.3f}, {high:.3f}]",
        *([f"{candidate['clean'][0]:.3f}"] if clean else []),
        f"{candidate['metrics']['Recall@100'][0]:.3f}",
        "baseline" if tally is None else f"+{tally[0]} ={tally[1]} −{tally[2]}",
        "" if candidate["p"] is None else "< .001" if candidate["p"] < 0.001 else f"{candidate['p']:.3f}",
        f"{candidate['documents_per_second']:,.0f}",
        f"{candidate['ms_per_query']['p50']:.2f}",
    ]


def encode(plain: dict[str, Any]) -> str:
    us, peer = "vicino", "sentence-transformers"
    head = ["2,000 documents", "tokens each", f"{us}, docs/s", f"{peer} at its defaults", "times faster", "mean cosine", "lowest"]
    rows = []
    for name, result in plain["results"].items():
        speed, faster, cosine = result["documents_a_second"], result["times_faster"], result["cosine"]
        rows.append(
            [
                name,
                f"{result['tokens_a_document']:.0f}",
                f"{speed[us]:.0f}",
                f"{speed[peer]:.0f}",
                f"**{faster['median']:.2f}** [{faster['lowest']:.2f}, {faster['highest']:.2f}]",
                f"{cosine['mean']:.5f}",
                f"{cosine['lowest']:.5f}",
            ]
        )
    spearman = plain["stsb_test_spearman"]
    return (
        f"all-MiniLM-L6-v2 on {plain['parameters']['threads']} threads, both in turn over {plain['parameters']['rounds']} rounds "
        f"(median of the rounds' ratios, lowest and highest):\n\n{_table(head, rows)}\n\n"
        f"STS-B test, Spearman: {spearman[us]:.4f}, {peer} {spearman[peer]:.4f}, published {spearman['published']:.3f}. "
        f"How far from the processor: {plain['what_would_close_the_gap']}"
    )


def ingest(plain: dict[str, Any]) -> str:
    """What keeping costs, and BM25 beside another engine for collections."""
    large, over, new, engine = plain["large"], plain["overhead"], plain["updates"], plain["engine"]
    share, first = over["share_of_encoding"], new["first_query_after_an_update_ms"]
    before, after, writing = new["query_ms_before"], new["query_ms_after"], new["update_ms"]
    told = [
        f"{large['documents']:,} paragraphs with BM25 and LSA: {large['first_seconds']:.0f} s,",
        f"within {large['most_memory_gb']:.2f} GB of memory;",
        f"again, with nothing changed, {large['nothing_changed_seconds']:.1f} s.",
        f"With MiniLM, all that is not encoding takes {share['median']:.1%} [{share['lowest']:.1%}, {share['highest']:.1%}]",
        f"of the time of encoding ({over['documents']:,} paragraphs, {over['rounds']} rounds).",
        f"{new['updates']:,} ingests of one changed document into {new['documents']:,}, each followed by a query that must",
        f"find it: that query takes {first['first_100']:.0f} ms (median of the first hundred)",
        f"and {first['last_100']:.0f} ms (of the last), queries after it {before['median']:.2f} ms before all updates",
        f"and {after['median']:.2f} ms after; an update takes {writing['first_100']:.0f} and {writing['last_100']:.0f} ms.",
    ]
    lines = [
        " ".join(told),
        "",
        f"BM25 over {engine['documents']:,} paragraphs, one query at a time, in turn with tantivy (k = {engine['k']}):",
        "",
        "| queries | vicino, q/s | tantivy, q/s | times faster |",
        "| --- | --- | --- | --- |",
    ]
    for name in ("titles", "sentences"):
        speed, ratio = engine[name]["queries_per_second"], engine[name]["times_faster"]
        times = f"**{ratio['median']:.1f}** [{ratio['lowest']:.1f}, {ratio['highest']:.1f}]"
        lines.append(f"| {name} | {speed['vicino']:,} | {speed['tantivy']:,} | {times} |")
    return "\n".join(lines)


def words(plain: dict[str, Any]) -> str:
    """CPU seconds and quality of word vectors, beside gensim's."""
    about = plain["parameters"]
    lines = [
        f"{about['dim']} dimensions, window {about['window']}, {about['negative']} negatives, {about['epochs']} epochs, the same",
        f"words of Wikipedia, {about['threads']} threads each, in turn, {about['seeds']} seeds (medians; vicino / gensim):",
        "",
        "| | tokens | CPU, s | times less [of the seeds] | text file to vectors | WordSim-353 | MEN | analogies |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in plain["results"]:
        ours, theirs, times = one["vicino"], one["gensim"], one["gensim/vicino"]
        pairs = [f"{ours[name][0]:.3f} / {theirs[name][0]:.3f}" for name in ("wordsim353", "men", "analogies")]
        learning = times["learning_cpu"]
        cells = [
            {"sg": "skip-gram", "cbow": "CBOW"}[one["family"]],
            f"{one['tokens'] / 1e6:.1f} M",
            f"{ours['learning_cpu'][0]:.0f} / {theirs['learning_cpu'][0]:.0f}",
            f"**{learning['median']:.1f}** [{learning['lowest']:.1f}, {learning['highest']:.1f}]",
            f"{times['whole_wall']['median']:.1f} times faster",
            *pairs,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def lexical(plain: dict[str, Any]) -> str:
    head = ["", "nDCG@10", "exact float64", "top-10 overlap", "stemmed"]
    quality = [
        [
            name,
            f"{found['plain']['vicino']:.3f}",
            f"{found['plain']['exact']:.3f}",
            f"{found['plain']['overlap']:.4f}",
            f"{found['stemmed']['vicino']:.3f}",
        ]
        for name, found in plain["quality"].items()
    ]
    speed = [
        [
            f"{corpus['corpus']}, {corpus['documents']:,}, {corpus['analyzer']}",
            f"{kind} ({found['mean_terms']:.0f} terms)",
            f"{found['queries_per_second']['vicino']:,}",
            f"{found['queries_per_second']['bm25s numba']:,}",
            f"**{found['times_faster_than_bm25s_numba']['median']:.1f}**",
            f"{found['times_faster_than_bm25s_default']['median']:.1f}",
            f"{found['overlap_with_exact']['vicino']:.3f} / {found['overlap_with_exact']['bm25s numba']:.3f}",
            f"{corpus['build_seconds']['vicino']:.2f} / {corpus['build_seconds']['bm25s']:.2f}",
        ]
        for corpus in plain["speed"]
        for kind, found in corpus["queries"].items()
    ]
    faster = ["documents", "queries", "vicino, q/s", "bm25s (numba)", "times faster", "than its default", "overlap", "build, s"]
    return (
        f"Quality against a BM25 as the textbook has it, on the same tokens (plain words, and English stems "
        f"without common words):\n\n{_table(head, quality)}\n\n"
        f"Speed against bm25s on the same tokens, k = {plain['parameters']['k']}, {plain['parameters']['threads']} threads, "
        f"both in turn over {plain['parameters']['rounds']} rounds (overlap, build: vicino / bm25s):\n\n{_table(faster, speed)}"
    )


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    main()
