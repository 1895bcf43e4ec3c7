"""What the processor says of itself."""

from __future__ import annotations

import pytest

from vicino.learning import processor


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor: 0\nflags\t\t: fpu sse avx512f avx512_bf16 sha_ni\n", True),
        ("Features\t: fp asimd bf16 i8mm\n", True),
        ("flags\t\t: fpu sse avx2 avx512f\n", False),
        ("", False),
        (None, False),
    ],
)
def test_a_processor_says_whether_it_has_bfloat16(monkeypatch, tmp_path, text, expected):
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "cpuinfo")
    assert processor.multiplies_bfloat16.__wrapped__() == expected
