"""Ask the cache for a row some values before it is needed: rows of a large fleet lie in main memory.

With 10,000 vehicles, waiting for rows took three times as long as judging the values in them.
"""

from __future__ import annotations

from typing import Any, Final

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_READ_WRITE: Final = 1
_KEEP: Final = 3
_DATA: Final = 1


@intrinsic
def prefetch(typing_context: Any, rows: Any, index: Any) -> Any:  # noqa: ANN401
    """`prefetch(rows, index)` inside a kernel: a hint for `rows[index]`, which must exist, without effect.

    `index` is an integer or a tuple of some. Of structured rows every cache line is asked for, of other arrays the one
    where `rows[index]` begins.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ANN401
        kind = signature.args[0]
        array = context.make_array(kind)(context, builder, arguments[0])
        at = signature.args[1]
        if isinstance(at, types.BaseTuple):
            indices = list(zip(cgutils.unpack_tuple(builder, arguments[1]), at, strict=True))
        else:
            indices = [(arguments[1], at)]
        byte = ir.IntType(8).as_pointer()
        word = ir.IntType(32)
        hint = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), [byte, word, word, word]), "llvm.prefetch.p0"
        )
        line = builder.bitcast(array.data, byte)
        for axis, (number, integer) in enumerate(indices):
            place = context.cast(builder, number, integer, types.intp)
            line = builder.gep(line, [builder.mul(place, builder.extract_value(array.strides, axis))])
        for offset in range(0, getattr(kind.dtype, "size", 1), 64):
            there = builder.gep(line, [ir.Constant(word, offset)])
            builder.call(hint, [there, word(_READ_WRITE), word(_KEEP), word(_DATA)])
        return context.get_dummy_value()

    return types.void(rows, index), generate
