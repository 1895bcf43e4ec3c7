"""The README's figures of the server and its page, as `tables` has the others."""

from __future__ import annotations

from typing import Any

from searching_tables import TABLES
from tables import table

_PLAIN = ("plain", "sentence-transformers")


def serve(plain: dict[str, Any]) -> str:
    """Requests of one text each, beside servers that encode each by itself; and hybrid search."""
    asked = plain["parameters"]
    parts = []
    for kind in ("queries", "passages"):
        found = plain["embeddings"][kind]
        head = [
            "clients",
            "vicino: a second",
            "p50, p95, p99 ms",
            "plain",
            "sentence-transformers",
            "× plain",
            "× sentence-transformers",
        ]
        rows = [[clients, *_asked(one)] for clients, one in found["clients"].items()]
        lowest = min(found["lowest_cosine"].values())
        parts.append(
            f"`/v1/embeddings` of {asked['model']}, {kind} of {found['characters_a_text']} characters, one a request, "
            f"{asked['rounds']} rounds of {asked['seconds']:g} s; the others encode each request by itself, with the same "
            f"weights (lowest cosine to their vectors {lowest:.5f}):\n\n{table(head, rows)}"
        )
    found = plain["search"]
    speeds = ", ".join(
        f"{one['requests_a_second']:.0f} a second at {clients} client{'' if clients == '1' else 's'} (p50 {one['p50_ms']:.1f}, "
        f"p95 {one['p95_ms']:.1f} ms)"
        for clients, one in found["clients"].items()
    )
    stages = ", ".join(
        f"{name.removesuffix('_ms')} {spent:.1f}" for name, spent in found["stages_ms"].items() if name != "total_ms"
    )
    parts.append(
        f"`/api/search`, {asked['recipe']} over {found['chunks']:,} passages: {speeds}. Median stages in ms: {stages}; "
        f"{found['share_that_is_ours']:.0%} of a call is neither the model nor an index."
    )
    return "\n\n".join(parts)


def _asked(one: dict[str, Any]) -> list[str]:
    ours, times = one["vicino"], one["times_the_requests"]
    spent = ", ".join(f"{ours[f'p{share}_ms']:,.0f}" for share in (50, 95, 99))
    others = [f"{one[name]['requests_a_second']:.0f}" for name in _PLAIN]
    ratios = [f"{each['median']:.1f} [{each['lowest']:.1f}, {each['highest']:.1f}]" for each in map(times.__getitem__, _PLAIN)]
    return [f"{ours['requests_a_second']:.0f}", spent, *others, *ratios]


def page(plain: dict[str, Any]) -> str:
    """How soon a map is seen."""
    spent = plain["visible_ms"]
    return (
        f"A map of {plain['points']:,} points is drawn {spent['median'] / 1000:.2f} s after its address is opened "
        f"[{spent['lowest'] / 1000:.2f}, {spent['highest'] / 1000:.2f}], and {plain['first_ms'] / 1000:.2f} s the very first "
        f"time, when it is made too ({plain['measured_ms'] / 1000:.1f} s until the share of neighbours kept stands beside it)."
    )


def soak(plain: dict[str, Any]) -> str:
    """Mixed load with faults."""
    lost, wrong = len(plain["lost"]), len(plain["wrong_answers"])
    return (
        f"{plain['seconds'] / 60:.0f} minutes of mixed load ({sum(plain['requests'].values()):,} requests; clients that vanish, "
        f"malformed bodies, meanwhile {', '.join(plain['operator'])}): {plain['acknowledged_writes']:,} writes acknowledged, "
        f"{lost or 'none'} lost, {wrong or 'no'} answer wrong, memory {plain['memory']['grew']:+.1%}."
    )


TABLES |= {each.__name__: each for each in (serve, page, soak)}
