"""What the processor can do, told without torch."""

from __future__ import annotations

import functools
from pathlib import Path

__all__ = ["multiplies_bfloat16"]

_CPUINFO = Path("/proc/cpuinfo")  # Linux tells


@functools.cache
def multiplies_bfloat16() -> bool:
    """Whether it has instructions for products of bfloat16 (AVX-512 BF16, AMX, Armv8.6)."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    flags = next((line.split() for line in lines if line.startswith(("flags", "Features"))), [])
    return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(flags)
