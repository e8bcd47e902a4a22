"""One catalogue of the databases of all profiles: indices, keys, conflicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from pipeline.decode.catalogue import DEFAULT_PROFILE, Catalogue, Conflict, MessageInfo, SignalInfo
from pipeline.decode.compiler import arithmetic, compile_tables
from pipeline.decode.matching import group_key, id_key

if TYPE_CHECKING:
    from cantools.database.can import Database, Message, Signal


class Parsed(Protocol):
    """A parsed database, as `pipeline.decode.databases` makes it."""

    @property
    def name(self) -> str:
        """File name."""

    @property
    def database(self) -> Database | None:
        """None where the file defines no frames."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was read otherwise than it stands in the file."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """One message of the catalogue to be."""

    message: Message
    signals: list[Signal]
    database: str
    is_j1939: bool


@dataclass
class _Assembly:
    entries: list[_Entry] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    indices: dict[int, range] = field(default_factory=dict)

    def add(self, parsed: Parsed) -> range:
        """Indices of a database's messages, which enter the catalogue with the first profile that uses them."""
        key = id(parsed)
        if key not in self.indices:
            first = len(self.entries)
            self.notes.extend(parsed.notes)
            for message in parsed.database.messages if parsed.database is not None else ():
                signals = self._usable(parsed.name, message)
                self.entries.append(_Entry(message, signals, parsed.name, _is_j1939(parsed.database, message)))
            self.indices[key] = range(first, len(self.entries))
        return self.indices[key]

    def _usable(self, database: str, message: Message) -> list[Signal]:
        if message.is_container:
            self.notes.append(f"{database}: {message.name} is a container of other messages: known, not decoded")
            return []
        usable = []
        for signal in message.signals:
            how = arithmetic(signal)
            if isinstance(how, str):
                self.notes.append(f"{database}: {message.name}.{signal.name} is not decoded: {how}")
            else:
                usable.append(signal)
        return usable

    def slots(self, name: str, profile: int, databases: Sequence[range]) -> dict[int, int]:
        """Keys of one profile. Of databases the first wins; inside one the last message, as in cantools."""
        slots: dict[int, int] = {}
        for indices in databases:
            own: dict[int, int] = {}
            for index in indices:
                message = self.entries[index].message
                key = id_key(profile, message.frame_id, message.is_extended_frame)
                if key in own:
                    self.conflicts.append(Conflict(name, kept=index, ignored=own[key]))
                own[key] = index
            for key, index in own.items():
                if slots.setdefault(key, index) != index:
                    self.conflicts.append(Conflict(name, kept=slots[key], ignored=index))
        for index in (index for indices in databases for index in indices):
            if self.entries[index].is_j1939:
                slots.setdefault(group_key(profile, self.entries[index].message.frame_id), index)
        return slots


def assemble(profiles: Mapping[str, Sequence[Parsed]]) -> Catalogue:
    """Make one catalogue; see `pipeline.decode.databases.load_catalogue`, which reads the files first."""
    assembly = _Assembly()
    ordered = {DEFAULT_PROFILE: profiles.get(DEFAULT_PROFILE, ()), **profiles}
    slots: dict[int, int] = {}
    has_group: list[bool] = []
    reached: dict[int, list[str]] = {}
    for profile, (name, databases) in enumerate(ordered.items()):
        indices = [assembly.add(parsed) for parsed in databases]
        own = assembly.slots(name, profile, indices)
        slots.update(own)
        has_group.append(any(assembly.entries[index].is_j1939 for run in indices for index in run))
        for index in dict.fromkeys(own.values()):
            reached.setdefault(index, []).append(name)
    messages, signals = _describe(assembly.entries, reached)
    return Catalogue(
        messages=messages,
        signals=signals,
        profiles=tuple(ordered),
        tables=compile_tables([(entry.message, entry.signals) for entry in assembly.entries], slots, has_group),
        conflicts=tuple(assembly.conflicts),
        notes=tuple(assembly.notes),
    )


def _describe(
    entries: Sequence[_Entry], reached: Mapping[int, Sequence[str]]
) -> tuple[tuple[MessageInfo, ...], tuple[SignalInfo, ...]]:
    messages: list[MessageInfo] = []
    signals: list[SignalInfo] = []
    for index, entry in enumerate(entries):
        message = entry.message
        messages.append(
            MessageInfo(
                name=message.name,
                arbitration_id=message.frame_id,
                is_extended=message.is_extended_frame,
                is_j1939=entry.is_j1939,
                first_signal=len(signals),
                signal_count=len(entry.signals),
                cycle_us=round((message.cycle_time or 0) * 1000),
                database=entry.database,
                profiles=tuple(reached.get(index, ())),
                attributes=_attributes(message),
            )
        )
        for signal in entry.signals:
            minimum, maximum = _valid_range(signal)
            signals.append(SignalInfo(index, message.name, signal.name, signal.unit or "", minimum, maximum))
    return tuple(messages), tuple(signals)


def _attributes(message: Message) -> tuple[tuple[str, str], ...]:
    """Names and values as text; of an enumeration the name of the value."""
    given = message.dbc.attributes if message.dbc is not None else {}
    found = []
    for name, attribute in given.items():
        value, choices = attribute.value, attribute.definition.choices
        named = choices and isinstance(value, int) and 0 <= value < len(choices)
        found.append((name, str(choices[value] if named else value)))
    return tuple(found)


def _valid_range(signal: Signal) -> tuple[float | None, float | None]:
    """The signal's range. Editors write equal or swapped bounds where nobody gave any: they state nothing."""
    minimum, maximum = signal.minimum, signal.maximum
    if minimum is not None and maximum is not None and not minimum < maximum:
        return None, None
    return None if minimum is None else float(minimum), None if maximum is None else float(maximum)


def _is_j1939(database: Database, message: Message) -> bool:
    """Whether a message is matched by its parameter group: its frame format says so, or its whole database does."""
    if not message.is_extended_frame:
        return False
    if message.protocol == "j1939":
        return True
    own = message.dbc.attributes if message.dbc is not None else {}
    whole = database.dbc.attributes if database.dbc is not None else {}
    stated = {str(whole[name].value).upper() for name in ("ProtocolType", "BusType") if name in whole}
    return "J1939" in stated and "VFrameFormat" not in own
