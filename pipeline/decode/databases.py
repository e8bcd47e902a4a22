"""Reading signal databases with cantools."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.decode.assembly import assemble
from pipeline.decode.catalogue import Catalogue
from pipeline.errors import DatabaseError

if TYPE_CHECKING:
    from cantools.database.can import Database

SUFFIXES: Final = (".dbc", ".arxml", ".kcd", ".sym", ".cdd")


@dataclass(frozen=True)
class ParsedDatabase:
    """One file as cantools parsed it.

    Attributes:
        name: file name.
        database: None for diagnostic descriptions, which define no frames.
        notes: one line for each thing that was read otherwise than it stands in the file.
    """

    name: str
    database: Database | None
    notes: tuple[str, ...] = ()


def load_catalogue(profiles: Mapping[str, Sequence[Path]]) -> Catalogue:
    """Load every profile's databases into one catalogue.

    A profile's name is a vehicle model; the profile "default" serves vehicles of no model, and exists, empty, where
    it is not given. Of an id that several databases of a profile define, the first loaded database's message is
    taken, and the conflict is listed. A file that several profiles name is read once.

    Raises:
        DatabaseError: a file cannot be read or parsed; one line, with its name and the reason.
    """
    read: dict[Path, ParsedDatabase] = {}
    parsed: dict[str, list[ParsedDatabase]] = {}
    for profile, paths in profiles.items():
        keys = dict.fromkeys(path.resolve() for path in paths)
        for key in keys:
            if key not in read:
                read[key] = read_database(key)
        parsed[profile] = [read[key] for key in keys]
    return assemble(parsed)


def read_database(path: Path) -> ParsedDatabase:
    """Parse one file, of the format its suffix names.

    cantools reads strictly first. A file in which signals overlap or leave their message, as many real ones do, is
    then read leniently and noted: every signal is decoded from the bits that it names.

    Raises:
        DatabaseError: the file cannot be read or parsed; one line, with its name and the reason.
    """
    from cantools.database import diagnostics, load_file

    if path.suffix.lower() not in SUFFIXES:
        raise DatabaseError(f"{path}: the suffix {path.suffix!r} is none of {', '.join(SUFFIXES)}")
    notes: tuple[str, ...] = ()
    try:
        with _quiet_cantools():
            try:
                database = load_file(path)
            except OSError:
                raise
            except Exception as strict:  # noqa: BLE001 - cantools lets whatever its parsers meet come through
                database = load_file(path, strict=False)
                notes = (f"{path.name}: {_one_line(strict)} Each signal is decoded from the bits that it names.",)
    except OSError as error:
        raise DatabaseError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:
        raise DatabaseError(f"{path}: does not load: {_one_line(error)}") from error
    if isinstance(database, diagnostics.Database):
        return ParsedDatabase(path.name, None, (f"{path.name}: describes diagnostics only, it defines no frames",))
    return ParsedDatabase(path.name, database, notes)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


@contextmanager
def _quiet_cantools() -> Iterator[None]:
    """Silence cantools' warnings about equal names and ids: names may repeat, and ids are reported as conflicts."""
    logger = logging.getLogger("cantools")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
