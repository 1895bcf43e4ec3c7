"""What asking a server cost."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Usage"]


@dataclass(frozen=True)
class Usage:
    """What an encoder asked of its server so far, in this process.

    `tokens` were paid for now; `estimated` says that a server did not count some of them. `cached` texts, of `spared` tokens, had
    been answered before. `money` is in the currency of `price_per_million`, None where no price was given.

    >>> print(Usage(requests=2, tokens=1200, money=0.000024, cached=10, spared=90))
    2 requests, 1,200 tokens, 0.000024 money, 10 texts known before (90 tokens)
    """

    requests: int = 0
    tokens: int = 0
    estimated: bool = False
    money: float | None = None
    cached: int = 0
    spared: int = 0
    retries: int = 0

    def __str__(self) -> str:
        parts = [f"{self.requests:,} requests", f"{self.tokens:,} tokens" + (" (estimated)" if self.estimated else "")]
        if self.money is not None:
            parts.append(f"{self.money:.6f} money")
        if self.cached:
            parts.append(f"{self.cached:,} texts known before ({self.spared:,} tokens)")
        if self.retries:
            parts.append(f"{self.retries:,} asked again")
        return ", ".join(parts)
