"""Sixteen numbers at a time: what a compiler should make of a loop over a row, said outright.

The rows of all weights are a multiple of sixteen long, which a compiler cannot know: it guards its loops against other lengths
and against arrays that overlap, and does what is left over one by one. So each of these is one instruction, or a few. Lanes fill
a register of AVX-512, two of AVX, four of NEON. They live in compiled code only.

Nothing is left to a compiler's mood: what is rounded once or twice, and in which order lanes are added, stands here. The same
function is compiled again wherever it is called, and all copies must give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

from vicino.learning.draw_kernels import Array, compiled, inlined

__all__ = ["LANES", "add", "expect", "fma", "load", "scratch", "spread", "store", "times", "total"]

LANES = 16  # float32 numbers in the widest register, and in a line of the cache

_NUMBER, _WORD = ir.FloatType(), ir.IntType(32)
_VECTOR = ir.VectorType(_NUMBER, LANES)
_ALIGN = 4  # bytes that are promised; what is aligned better is faster without a promise


class _Lanes(types.Type):
    """What numba calls them."""


_lanes = _Lanes("Lanes")


@register_model(_Lanes)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _VECTOR)  # type: ignore[no-untyped-call]


class _Call(NamedTuple):
    """Where an instruction is being written."""

    context: Any
    builder: Any
    signature: Any
    values: Any

    def place(self, matrix: Any, row: Any, k: Any, kind: ir.Type = _VECTOR) -> Any:
        """The address of matrix[row, k], where these are the first three arguments."""
        array, *numbers = self.signature.args[:3]
        view = self.context.make_array(array)(self.context, self.builder, matrix)
        at = [self.context.cast(self.builder, *each, types.intp) for each in zip((row, k), numbers, strict=True)]
        place = cgutils.get_item_pointer(self.context, self.builder, array, view, at)  # type: ignore[no-untyped-call]
        return self.builder.bitcast(place, kind.as_pointer())


def _instruction(result: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let compiled code call what writes an instruction."""

    def made(write: Callable[..., Any]) -> Callable[..., Any]:
        def code(*call: Any) -> Any:
            value = write(_Call(*call), *call[-1])
            return call[0].get_dummy_value() if result is types.void else value

        @wraps(write)
        def instruction(_: Any, *arguments: Any) -> Any:
            return result(*arguments), code

        known: Callable[..., Any] = intrinsic(instruction)
        return known

    return made


@_instruction(_lanes)
def load(call: _Call, matrix: Any, row: Any, k: Any) -> Any:
    """matrix[row, k : k + LANES], of float32 rows without gaps."""
    return call.builder.load(call.place(matrix, row, k), align=_ALIGN)


@_instruction(types.void)
def store(call: _Call, matrix: Any, row: Any, k: Any, lanes: Any) -> None:
    """matrix[row, k : k + LANES] = lanes."""
    call.builder.store(lanes, call.place(matrix, row, k), align=_ALIGN)


@_instruction(_lanes)
def spread(call: _Call, number: Any) -> Any:
    """The same number in all lanes."""
    value = call.context.cast(call.builder, number, call.signature.args[0], types.float32)
    none = ir.Constant(_VECTOR, ir.Undefined)
    first = call.builder.insert_element(none, value, ir.Constant(_WORD, 0))
    return call.builder.shuffle_vector(first, none, ir.Constant(ir.VectorType(_WORD, LANES), [0] * LANES))


@_instruction(_lanes)
def times(call: _Call, a: Any, b: Any) -> Any:
    """a · b, lane by lane."""
    return call.builder.fmul(a, b)


@_instruction(_lanes)
def fma(call: _Call, a: Any, b: Any, c: Any) -> Any:
    """a · b + c, lane by lane, rounded once."""
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    once = cgutils.get_or_insert_function(call.builder.module, kind, f"llvm.fma.v{LANES}f32")  # type: ignore[no-untyped-call]
    return call.builder.call(once, [a, b, c])


@_instruction(types.float32)
def total(call: _Call, lanes: Any) -> Any:
    """The sum of all lanes: half with half, and so on."""
    width = LANES
    while width > 1:
        width //= 2
        low, high = (
            call.builder.shuffle_vector(lanes, lanes, ir.Constant(ir.VectorType(_WORD, width), list(range(start, start + width))))
            for start in (0, width)
        )
        lanes = call.builder.fadd(low, high)
    return call.builder.extract_element(lanes, ir.Constant(_WORD, 0))


@_instruction(types.void)
def _prefetch(call: _Call, matrix: Any, row: Any, k: Any) -> None:
    """Begin to bring the line of matrix[row, k] near."""
    place = call.place(matrix, row, k, ir.IntType(8))
    kind = ir.FunctionType(ir.VoidType(), [place.type, _WORD, _WORD, _WORD])
    prefetch = call.builder.module.declare_intrinsic("llvm.prefetch", [place.type], kind)
    to_write, very_near, data = (ir.Constant(_WORD, number) for number in (1, 3, 1))
    call.builder.call(prefetch, [place, to_write, very_near, data])


@inlined
def expect(matrix: Array, row: int) -> None:
    """Ask for a row that will be needed, and do not wait for it."""
    for k in range(0, matrix.shape[1], LANES):
        _prefetch(matrix, row, k)


@inlined
def add(matrix: Array, row: int, k: int, lanes: Any) -> None:
    """matrix[row, k : k + LANES] += lanes."""
    store(matrix, row, k, fma(spread(1), lanes, load(matrix, row, k)))


@compiled
def scratch(n: int, width: int) -> Array:
    """Zeros (n, width), float32; rows begin with a line of the cache where `width` is a multiple of `LANES`."""
    room = np.zeros(n * width + LANES, np.float32)
    start = -(room.ctypes.data // room.itemsize) % LANES
    return room[start : start + n * width].reshape(n, width)
