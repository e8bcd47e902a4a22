"""API keys: what opens the door, what does not any more, and what survives on disk."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.keys.record import BOOTSTRAP_ID, KeyRecord, digest_of, key_text, split_key
from pipeline.keys.ring import KeyRing
from pipeline.keys.store import KeyStore

HOUR = 3_600_000_000


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock):
    opened = KeyStore(tmp_path / "keys.sqlite", clock)
    yield opened
    opened.close()


def opens(store: KeyStore, text: str, now: int) -> KeyRecord | None:
    return KeyRing(store.records()).verify(text, now)


def test_a_created_key_opens_its_fleet_with_its_scopes(store: KeyStore, clock: Clock) -> None:
    issued = store.create("north", ["ingest", "query"])
    assert issued.text.startswith("cf_" + issued.record.id + "_")
    found = opens(store, issued.text, clock.now)
    assert found is not None
    assert (found.fleet, found.scopes) == ("north", {"ingest", "query"})


def test_the_secret_is_on_no_disk(tmp_path: Path, store: KeyStore) -> None:
    text = store.create("north", ["query"]).text
    secret = text[16:]
    assert len(secret) >= 32
    for file in tmp_path.iterdir():
        assert secret.encode() not in file.read_bytes()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_everything_survives_reopening(tmp_path: Path, store: KeyStore, clock: Clock) -> None:
    kept, gone = store.create("north", ["query"]), store.create("south", ["admin"])
    store.revoke(gone.record.id)
    store.touch({kept.record.id: 77})
    before = store.snapshot()
    store.close()
    again = KeyStore(tmp_path / "keys.sqlite", clock)
    assert again.snapshot() == before
    assert [record.id for record in again.records("north")] == [kept.record.id]
    assert again.records("north")[0].last_used == 77
    again.close()


def test_a_key_can_be_bound_to_vehicles(tmp_path: Path, store: KeyStore, clock: Clock) -> None:
    bound = store.create("north", ["ingest"], vehicles=["truck-7", "bus-*"])
    free = store.create("north", ["ingest"])
    store.close()
    again = KeyStore(tmp_path / "keys.sqlite", clock)
    record, anything = again.get(bound.record.id), again.get(free.record.id)
    assert record is not None
    assert anything is not None
    assert record == bound.record
    assert record.foreign_vehicle(["truck-7", "bus-1"]) is None
    assert record.foreign_vehicle(["truck-7", "truck-77"]) == "truck-77"
    assert record.foreign_vehicle(["Bus-1"]) == "Bus-1"
    assert anything.foreign_vehicle(["whatever"]) is None
    rotated = again.rotate(bound.record.id)
    assert rotated is not None
    assert rotated.record.vehicles == ("truck-7", "bus-*")
    again.close()


@pytest.mark.parametrize(
    ("scopes", "expires_at", "vehicles", "word"),
    [
        (["ingest", "query"], None, ["truck-7"], "only a key with the one scope ingest"),
        (["ingest"], None, ["x"] * 101, "at most 100"),
        (["ingest"], None, [""], "1 to 128"),
        (["ingest"], 1_000_000, [], "expired already"),
    ],
)
def test_a_bound_or_ending_key_that_makes_no_sense_is_not_made(store, scopes, expires_at, vehicles, word) -> None:
    with pytest.raises(ConfigError, match=word):
        store.create("north", scopes, expires_at, vehicles)
    assert store.records() == []


def test_a_store_from_before_keys_were_bound_to_vehicles_opens(tmp_path: Path, store: KeyStore, clock: Clock) -> None:
    issued = store.create("north", ["ingest"])
    store.close()
    with sqlite3.connect(tmp_path / "keys.sqlite") as old:
        old.execute("ALTER TABLE keys DROP COLUMN vehicles")
    old.close()
    again = KeyStore(tmp_path / "keys.sqlite", clock)
    assert again.records() == [issued.record]
    again.close()


def test_a_revoked_key_opens_nothing(store: KeyStore, clock: Clock) -> None:
    issued = store.create("north", ["query"])
    clock.now += 5
    revoked = store.revoke(issued.record.id)
    assert revoked is not None
    assert revoked.revoked_at == clock.now
    assert opens(store, issued.text, clock.now) is None
    clock.now += 5
    assert store.revoke(issued.record.id) == revoked
    assert store.rotate(issued.record.id) is None
    assert store.revoke("unknown") is None
    assert store.rotate("unknown") is None


def test_after_rotation_both_secrets_work_until_the_overlap_ends(store: KeyStore, clock: Clock) -> None:
    first = store.create("north", ["query"])
    second = store.rotate(first.record.id, overlap_us=HOUR)
    assert second is not None
    assert second.text != first.text
    assert opens(store, first.text, clock.now + HOUR - 1) is not None
    assert opens(store, first.text, clock.now + HOUR) is None
    assert opens(store, second.text, clock.now + HOUR) is not None


def test_an_expired_key_opens_nothing(store: KeyStore, clock: Clock) -> None:
    issued = store.create("north", ["query"], expires_at=clock.now + 10)
    assert opens(store, issued.text, clock.now + 9) is not None
    assert opens(store, issued.text, clock.now + 10) is None


def test_the_version_rises_with_each_change_of_rights_only(store: KeyStore) -> None:
    versions = [store.version]
    issued = store.create("north", ["query"])
    versions.append(store.version)
    store.rotate(issued.record.id)
    versions.append(store.version)
    store.revoke(issued.record.id)
    versions.append(store.version)
    assert versions == sorted(set(versions))
    store.touch({issued.record.id: 5})
    store.revoke(issued.record.id)
    assert store.version == versions[-1]


@pytest.mark.parametrize("text", ["secret", "cf_abcdefghijkl_looks-like-one", "ключ"])
def test_any_text_can_be_the_bootstrap_key(store: KeyStore, clock: Clock, text: str) -> None:
    record = store.bootstrap(text)
    found = opens(store, text, clock.now)
    assert found == record
    assert (record.id, record.fleet, record.scopes) == (BOOTSTRAP_ID, "default", {"ingest", "query", "admin"})
    version = store.version
    store.bootstrap(text)
    assert store.version == version
    store.bootstrap("another")
    assert opens(store, text, clock.now) is None


@pytest.mark.parametrize(("fleet", "scopes"), [("north", []), ("north", ["root"]), ("", ["query"])])
def test_a_key_that_makes_no_sense_is_not_made(store: KeyStore, fleet: str, scopes: list) -> None:
    with pytest.raises(ConfigError):
        store.create(fleet, scopes)
    assert store.records() == []


def test_a_file_that_is_no_store_is_named(tmp_path: Path) -> None:
    path = tmp_path / "keys.sqlite"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(ConfigError, match=r"keys\.sqlite"):
        KeyStore(path)


def test_every_change_is_synced(store: KeyStore) -> None:
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert sqlite3.threadsafety > 0


@given(st.text())
def test_no_text_opens_an_empty_ring_or_a_ring_without_it(text: str) -> None:
    record = KeyRecord("abcdefghijkl", "north", frozenset({"query"}), digest_of("s" * 43), created=0)
    assert KeyRing().verify(text, 1) is None
    assert KeyRing([record]).verify(text, 1) is None


@given(st.text(alphabet="abc019", min_size=12, max_size=12), st.text(min_size=1))
def test_a_key_text_splits_into_what_it_was_made_of(key_id: str, secret: str) -> None:
    assert split_key(key_text(key_id, secret)) == (key_id, secret)


@given(st.integers(min_value=0, max_value=42), st.characters())
def test_one_wrong_character_closes_the_door(place: int, character: str) -> None:
    secret = "k3j5h2g8d9s1k3j5h2g8d9s1k3j5h2g8d9s1k3j5h2g"
    record = KeyRecord("abcdefghijkl", "north", frozenset({"query"}), digest_of(secret), created=0)
    wrong = secret[:place] + character + secret[place + 1 :]
    found = KeyRing([record]).verify(key_text("abcdefghijkl", wrong), 1)
    assert (found is record) == (wrong == secret)
