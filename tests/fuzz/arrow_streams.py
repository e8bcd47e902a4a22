"""Arrow IPC streams of frames in every layout that a writer may choose, right ones and wrong ones."""

from __future__ import annotations

from random import Random
from typing import Any, Final

import pyarrow as pa

from tests.fuzz.bodies import NOW_US

_TEXT: Final = (
    pa.utf8(),
    pa.large_utf8(),
    pa.string_view(),
    pa.dictionary(pa.int8(), pa.utf8()),
    pa.dictionary(pa.int32(), pa.utf8()),
    pa.dictionary(pa.uint64(), pa.large_utf8()),
    pa.dictionary(pa.int16(), pa.string_view()),
)
_BYTES: Final = (pa.binary(), pa.large_binary(), pa.binary_view(), pa.binary(8), pa.binary(0))
_INTEGERS: Final = (pa.uint8(), pa.int16(), pa.uint32(), pa.int64(), pa.uint64())
_TIMES: Final = tuple(pa.timestamp(unit, zone) for unit in ("s", "ms", "us", "ns") for zone in (None, "UTC", "+05:30"))
_STRANGE: Final = (
    pa.null(),
    pa.float16(),
    pa.decimal128(38, 3),
    pa.list_(pa.int8()),
    pa.list_view(pa.utf8()),
    pa.map_(pa.utf8(), pa.int32()),
    pa.struct([("a", pa.utf8()), ("b", pa.dictionary(pa.int8(), pa.utf8()))]),
    pa.dense_union([pa.field("a", pa.int8()), pa.field("b", pa.utf8())]),
    pa.run_end_encoded(pa.int16(), pa.utf8()),
    pa.dictionary(pa.int16(), pa.list_(pa.utf8())),
    pa.uuid(),
    pa.json_(pa.utf8()),
    pa.bool8(),
    pa.fixed_shape_tensor(pa.int8(), [2, 2], dim_names=["x", "y"]),
    pa.opaque(pa.int8(), "kind", "vendor"),
)
_KINDS: Final[dict[str, tuple[pa.DataType, ...]]] = {
    "vehicle_id": _TEXT,
    "timestamp": _TIMES,
    "arbitration_id": _INTEGERS,
    "data": _BYTES,
    "is_extended": (pa.bool_(), pa.null()),
    "channel": (*_INTEGERS, pa.null()),
    "session": (*_INTEGERS, pa.null()),
    "sequence": (*_INTEGERS, pa.null()),
}


def stream(random: Random) -> bytes:
    """A whole stream: mostly frames, in one to four batches."""
    if random.random() < 0.02:
        return _bomb(random)
    kinds = {name: random.choice(accepted) for name, accepted in _KINDS.items()}
    kinds = {name: kind for name, kind in kinds.items() if random.random() < 0.97}
    if random.random() < 0.05:
        kinds[random.choice(tuple(_KINDS))] = random.choice(_STRANGE)
    extra = {f"extra{i}": random.choice(_STRANGE) for i in range(random.choice((0, 0, 1, 4)))}
    names = [*kinds, *extra]
    random.shuffle(names)
    schema = pa.schema([pa.field(name, (kinds | extra)[name]) for name in names], metadata=_metadata(random))
    options = pa.ipc.IpcWriteOptions(
        compression=random.choice((None, None, "lz4", "zstd")),
        emit_dictionary_deltas=random.random() < 0.5,
        allow_64bit=True,
        use_threads=False,
    )
    return _written(schema, [_batch(random, schema) for _ in range(random.choice((0, 1, 1, 2, 4)))], options)


def _written(schema: pa.Schema, batches: list[pa.RecordBatch], options: pa.ipc.IpcWriteOptions | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)
    plain: bytes = sink.getvalue().to_pybytes()
    return plain


def _metadata(random: Random) -> dict[str, str] | None:
    return {"pandas": "{" * 50, "k" * random.randrange(90): "v"} if random.random() < 0.2 else None


def _batch(random: Random, schema: pa.Schema) -> pa.RecordBatch:
    n = random.choice((0, 1, 3, 3, 40))
    return pa.record_batch([_column(random, field.name, field.type, n) for field in schema], schema=schema)


def _column(random: Random, name: str, kind: pa.DataType, n: int) -> pa.Array:
    if kind in _STRANGE:
        return pa.nulls(n, kind)
    values = [None if random.random() < 0.05 else _value(random, name, kind) for _ in range(n)]
    if pa.types.is_dictionary(kind):
        # Growing alike in every batch, so that a writer finds dictionaries that are deltas of each other.
        entries = pa.array(["truck-7", "bus-1", "", "x" * 70, *"abcdefgh"[: random.randrange(9)]], kind.value_type)
        indices = [None if value is None else random.randrange(len(entries)) for value in values]
        return pa.DictionaryArray.from_arrays(pa.array(indices, kind.index_type), entries)
    return pa.array(values, kind)


def _value(random: Random, name: str, kind: pa.DataType) -> Any:
    if name == "vehicle_id":
        return random.choice(("truck-7", "bus-1", "", "é" * 64, "x" * 300))
    if name == "data":
        width = kind.byte_width if pa.types.is_fixed_size_binary(kind) else random.choice((0, 1, 8, 8, 64, 65, 300))
        return random.randbytes(width)
    if name == "timestamp":
        per_second = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}[kind.unit]
        return random.choice((NOW_US // 1_000_000 * per_second, 0, -1, (1 << 63) - 1, -(1 << 63)))
    if name == "is_extended":
        return random.random() < 0.5
    return random.choice((0, 1, 0x7F, min((1 << kind.bit_width - 1) - 1, 0x1FFFFFFF)))


def _bomb(random: Random) -> bytes:
    """A stream that is small, or has few rows, and asks for much."""
    width = random.choice((1_000, 20_000))
    match random.randrange(6):
        case 0:
            return _written(pa.schema([pa.field(f"c{i}", pa.int8()) for i in range(width)]), [])
        case 1:
            kind = pa.int8()
            for _ in range(random.choice((20, 60, 65, 120, 300))):
                kind = random.choice((pa.list_(kind), pa.struct([("x", kind)]), pa.map_(pa.utf8(), kind)))
            return _written(pa.schema([pa.field("vehicle_id", kind)]), [])
        case 2:
            return _written(pa.schema([], metadata={f"key{i}": "v" * 50 for i in range(width)}), [])
        case 3:
            schema = pa.schema([pa.field("vehicle_id", pa.utf8(), metadata={"ARROW:extension:name": "arrow.uuid"})])
            return _written(schema, [])
        case 4:
            batch = _plain(["truck-7"])
            return _written(batch.schema, [batch] * random.choice((500, 4_500)))
        case _:
            batch = _plain(["x" * 50_000] * 100, compressed=True)
            return _written(batch.schema, [batch], pa.ipc.IpcWriteOptions(compression="zstd"))


def _plain(vehicles: list[str], *, compressed: bool = False) -> pa.RecordBatch:
    n = len(vehicles)
    return pa.record_batch(
        {
            "vehicle_id": pa.array(vehicles),
            "timestamp": pa.array([NOW_US] * n, pa.timestamp("us", "UTC")),
            "arbitration_id": pa.array([1] * n, pa.uint32()),
            "data": pa.array([bytes(4_000 if compressed else 8)] * n),
        }
    )
