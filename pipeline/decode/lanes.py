"""Eight signals at once: one block of `pipeline.decode.tables.BLOCK` as LLVM vector instructions.

numba's own loop over a block stays scalar, because LLVM must assume that the outputs overlap the tables; here the
vectors are spelled out. LLVM makes of them whatever the processor has (AVX-512, AVX2, SSE2, NEON). All lanes are
always computed and stored, so how many signals a message has costs no mispredicted branch. Multiplication and
addition are separate instructions without flags that would allow fusing them.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from pipeline.decode.tables import BLOCK, LANES

_I8, _I32, _I64, _F64 = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.DoubleType()


@intrinsic
def decode_block(
    _context: Any,  # noqa: ANN401 - numba's
    block: Any,  # noqa: ANN401 - BLOCK record
    word: Any,  # noqa: ANN401 - uint64
    both: Any,  # noqa: ANN401 - uint64
    frame: Any,  # noqa: ANN401 - int32
    row: Any,  # noqa: ANN401 - int32 array
    signal: Any,  # noqa: ANN401 - int32 array
    value: Any,  # noqa: ANN401 - float64 array
    at: Any,  # noqa: ANN401 - uint64
) -> Any:  # noqa: ANN401 - signature and code generator
    """Decode `word` by one block into `row`, `signal` and `value`, places `at` to `at + LANES - 1`. Unchecked.

    Of a block that holds fewer signals the places after them receive zeros: the caller writes over them, and its
    arrays are LANES longer than what they are to hold. `both` is `word` XOR the byte-swapped word.
    """

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, values: Any) -> Any:  # noqa: ANN401 - numba's
        block, word, both, frame, *outputs, at = values
        start = builder.bitcast(block, _I8.as_pointer())

        def column(name: str, element: ir.Type) -> ir.Value:
            place = builder.gep(start, [_I64(BLOCK.fields[name][1])])  # type: ignore[index]
            return builder.load(builder.bitcast(place, _vector(element).as_pointer()), align=8)

        raw = builder.xor(_splat(builder, word), builder.and_(_splat(builder, both), column("swap", _I64)))
        raw = builder.and_(builder.lshr(raw, column("shift", _I64)), column("mask", _I64))
        sign = column("sign", _I64)
        integer = builder.sub(builder.xor(raw, sign), sign)
        scaled = builder.fmul(builder.sitofp(integer, _vector(_F64)), column("scale", _F64))
        results = (
            _splat(builder, frame),
            column("signal", _I32),
            builder.fadd(scaled, column("offset", _F64)),
        )
        for kind, output, result in zip(signature.args[4:7], outputs, results, strict=True):
            place = builder.gep(context.make_array(kind)(context, builder, output).data, [at])
            builder.store(result, builder.bitcast(place, result.type.as_pointer()), align=kind.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(block, word, both, frame, row, signal, value, at), generate


def _vector(element: ir.Type) -> ir.VectorType:
    return ir.VectorType(element, LANES)


def _splat(builder: ir.IRBuilder, scalar: ir.Value) -> ir.Value:
    """A vector of one scalar in all lanes."""
    nothing = ir.Constant(_vector(scalar.type), ir.Undefined)
    single = builder.insert_element(nothing, scalar, _I32(0))
    return builder.shuffle_vector(single, nothing, ir.Constant(_vector(_I32), [0] * LANES))
