"""The README's tables of indexes, as `tables` has the others."""

from __future__ import annotations

from typing import Any

from seeing_tables import TABLES
from tables import best_instructions, table

_SETS = {
    "minilm": "Wikipedia paragraphs, all-MiniLM-L6-v2, cosine",
    "minilm-avx2": "the same paragraphs, all rows on a processor with AVX2",
    "fashion": "ann-fashion-mnist-784, euclidean",
    "million": "a million made vectors in clusters, cosine",
}


def ann(plain: dict[str, Any]) -> str:
    """Recall against speed, build time and memory: ours and the peers', each in turn with hnswlib."""
    parts = []
    for name, found in plain["sets"].items():
        about = f"{found['vectors']:,} × {found['dim']} ({_SETS.get(name, name)}), {found['questions']:,} questions, one thread, "
        about += f"{plain['rounds']} rounds; questions a second at recall@10 of .95 and .99, and [how many times hnswlib's]"
        head = ["", "all at once: .95", ".99", "one a call: .95", ".99", "build s", "memory MB"]
        rows = [_row(each, one) for each, one in sorted(found["contestants"].items(), key=_speed, reverse=True)]
        elsewhere = {best_instructions(one["machine"]) for one in found["contestants"].values() if "machine" in one}
        told = [f"\n\n\\* On another processor, with {each}; the others on one with AVX-512." for each in elsewhere]
        parts.append(f"{about}:\n\n{table(head, rows)}" + "".join(told))
        over = [f"{each} {one['batch']['median']:.2f} / {one['single']['median']:.2f}" for each, one in found["overhead"].items()]
        if over:
            parts.append(f"vicino's whole call by the bare library's, all at once / one a call: {', '.join(over)}.")
    return "\n\n".join(parts)


def _speed(row: tuple[str, dict[str, Any]]) -> float:
    return float(row[1]["at"].get("0.95", {}).get("batch", row[1]["at"].get("0.95", {}).get("single", 0.0)))


def _row(name: str, one: dict[str, Any]) -> list[str]:
    cells = [_at(one, recall, way) for way in ("batch", "single") for recall in ("0.95", "0.99")]
    built, held = one["build_seconds"], max(one["rss"], one["bytes"] or 0)
    return [name + " \\*" * ("machine" in one), *cells, f"{built:.0f}", f"{held / 1e6:.0f}"]


def _at(one: dict[str, Any], recall: str, way: str) -> str:
    speed = one["at"].get(recall, {}).get(way)
    return "" if speed is None else f"{speed:,.0f} [{one['times hnswlib'][recall][way]['median']:.1f}×]"


def scale(plain: dict[str, Any]) -> str:
    """An ingest by the workers of a Ray cluster, beside one without."""
    rows = [["no cluster", f"{plain['here']['passages_a_second']:.0f}", "", f"{plain['here']['seconds']:.0f}"]]
    rows += [
        [
            f"{count} node{'s' * (count != '1')}",
            f"{one['passages_a_second_while_it_runs']:.0f}",
            f"{one['passages_a_second_in_all']:.0f}",
            f"{one['seconds']:.0f}",
        ]
        for count, one in plain["nodes"].items()
    ]
    head = ["", "passages a second while it runs", "with starting and committing", "s"]
    cores = plain["machine"]["cores"]
    about = f"{plain['documents']:,} paragraphs with MiniLM by the workers of a Ray cluster (`--on ray://...`), whose nodes share"
    return f"{about} the {cores} cores of one machine: what Ray costs, not what machines bring:\n\n{table(head, rows)}"


TABLES |= {each.__name__: each for each in (ann, scale)}
