"""Answers, and why they were found, as text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vicino.retrieval.stored import Found

__all__ = ["found_text", "reasons"]

_SHOWN = 3  # lines of a passage
_TERMS = 8


def found_text(answers: Sequence[Found], *, width: int = 100) -> str:
    """One block an answer: place and score, the beginning of the passage, and the reasons where they were asked for."""
    blocks = []
    several = len({one.source for one in answers}) > 1
    for rank, one in enumerate(answers, start=1):
        head = f"{rank:>2}  {one.document}:{one.start}-{one.end}  {one.score:.4f}" + (f"  {one.title}" if one.title else "")
        head += f"  ({one.source})" if several else ""
        head = _printable(head)
        text = textwrap.wrap(_printable(" ".join(one.text.split())), min(width, 110) - 4, max_lines=_SHOWN, placeholder=" …")
        why = [f"      {line}" for line in reasons(one.why)] if one.why else []
        blocks.append("\n".join([head, *(f"    {line}" for line in text), *why]))
    return "\n".join(blocks)


def _printable(text: str) -> str:
    """Indexed text is not trusted: no control character reaches a terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def reasons(why: Mapping[str, Any]) -> Iterator[str]:
    """Why a passage was found, a line each: the terms and what they add, the cosine and its place, how ranks were fused.

    >>> list(reasons({"part": "lsa", "cosine": 0.5, "percentile": 99.0}))
    ['lsa: cosine 0.5000, higher than 99.0 % of the collection']
    """
    if "reranker" in why:
        first, score = why["first"], why["score"]
        read = "not read" if score is None else f"rank {why['rank']}, {score:.4f}"
        yield f"{why['reranker']}: {read}" + (f", blended with {why['blend']:g} of the first stage" if why["blend"] else "")
        yield f"  rank {first['rank']}, {first['score']:.4f}, by the first stage"
        yield from (f"    {line}" for line in reasons(first["why"] or {"parts": [], "method": ""}))
    elif "parts" in why:
        added = [part["adds"] for part in why["parts"]]
        yield f"{why['method']}: {' + '.join(f'{each:.4f}' for each in added)} = {sum(added):.4f}"
        for part in why["parts"]:
            if part["why"] is None:
                yield "  not among the best of one part"
            else:
                yield from (f"  rank {part['rank']} by {line}" for line in reasons(part["why"]))
    elif "cut" in why:
        best, many = why["best"], why["pieces"]
        pooled = "" if why["pool"] == "max" else f", {why['pool']} of its {many}"
        yield f"{why['cut']} {best['start']}-{best['end']}, {best['score']:.4f}, the best of {many}{pooled}"
        yield from (f"  {line}" for line in reasons(best["why"] or {"parts": [], "method": ""}))
    elif "terms" in why:
        terms = list(why["terms"].items())
        shown = ", ".join(f"{term} {score:.2f}" for term, score in terms[:_TERMS]) + (", …" if len(terms) > _TERMS else "")
        yield f"{why['part']} {sum(score for _, score in terms):.4f}: {shown}"
    else:
        name = next(name for name in ("cosine", "dot", "euclidean") if name in why)
        above = f", higher than {why['percentile']} % of the collection" if "percentile" in why else ""
        how = f"; {why['how']}" if why.get("how") else ""
        yield f"{why['part']}: {name} {why[name]:.4f}{above}{how}"
        if "weighs" in why:
            yield f"  {_weighed(why['weighs'])}"


def _weighed(told: Mapping[str, Any]) -> str:
    near = f"by nearness alone {told['nearness']:.4f}"
    if told["method"] != "svm":
        return f"{told['method']}: decorrelated by {told['documents']:,} documents; {near}"
    hardest = ", ".join(f"{name} {weight:.3g}" for name, weight in told["hardest"]) or "none"
    return f"svm: the query weighs {told['query']:.3g} against {told['active']:,} documents, most of all {hardest}; {near}"
