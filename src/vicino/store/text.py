"""What an ingest did, as text."""

from __future__ import annotations

from vicino.store.changes import Summary

__all__ = ["summary_text"]


def summary_text(summary: Summary) -> str:
    """A few lines that add up."""
    one = summary
    parts = [f"{one.new:,} new", f"{one.changed:,} changed", f"{one.unchanged:,} unchanged"]
    parts += [f"{sum(one.refused.values()):,} refused"] if one.refused else []
    lines = [f"{one.documents:,} documents read: {', '.join(parts)}"]
    lines += [f"  refused: {why} ({count:,})" for why, count in one.refused.items()]
    if one.removed:
        lines.append(f"{one.removed:,} documents vanished from the source and were removed")
    if one.stale:
        lines.append(f"{one.stale:,} of the refused documents still answer with what they said before")
    if one.unsure:
        lines.append(
            f"{one.unsure:,} documents did not come, and may stand in what could not be read: kept (--prune removes them)"
        )
    if one.passages and one.embedded + one.reused:
        lines.append(
            f"{one.passages:,} passages: {one.embedded:,} embedded, {one.reused:,} kept their vectors "
            f"({one.encoding_seconds:.1f} s of {one.seconds:.1f} s went into encoding)"
        )
    elif one.passages:
        lines.append(f"{one.passages:,} passages in {one.seconds:.1f} s")
    if one.tokens_cut:
        lines.append(
            f"{one.tokens_cut:,} of {one.tokens:,} tokens ({one.tokens_cut / one.tokens:.1%}) lie beyond the model's limit of "
            f"{one.limit} and were not read (a collection with --chunk passage keeps them)"
        )
    lines += [f"asked of the server: {one.usage}"] if one.usage else []
    lines += [one.skipped] if one.skipped else []
    lines.append(f"{one.collection}: {one.total_documents:,} documents, {one.total_passages:,} passages")
    return "\n".join(lines)
