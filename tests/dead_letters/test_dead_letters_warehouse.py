"""Dead letters in the real engine: ids, pages, counts, removal, and databases from before there were ids."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pytest
from clickhouse_process import HostProcess

from pipeline.clickhouse.client import Warehouse
from pipeline.clickhouse.dead_letters import DeadLetters, LetterFilter, is_letter_id, received_at_of
from pipeline.clickhouse.migrate import known_migrations, migrate
from pipeline.clickhouse.settings import WarehouseSettings
from pipeline.clickhouse.writer import DEAD_LETTERS, Writer
from pipeline.errors import WarehouseAway

START = 1_760_000_000_000_000
ALL = LetterFilter()
REASONS = ("data_missing", "timestamp_in_future", "not_json")


def rows(n: int, fleet: str = "acme", *, start: int = START, per_request: int = 3, size: int = 0) -> pa.Table:
    """n refused rows, several with one time of receipt."""
    return pa.Table.from_pylist(
        [
            {
                "fleet": fleet,
                "received_at": start + i // per_request * 1_000,
                "stage": "parse" if REASONS[i % 3] == "not_json" else "validate",
                "reason": REASONS[i % 3],
                "payload": f'{{"n": {i}}}'.ljust(size),
                "request_id": f"request-{i // per_request}",
            }
            for i in range(n)
        ],
        DEAD_LETTERS,
    )


def all_ids(letters: DeadLetters, fleet: str = "acme", wanted: LetterFilter = ALL, **bounds: int) -> list[str]:
    """Ids of all pages."""
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = letters.page(fleet, wanted, cursor=cursor, **{"limit": 1000, "max_bytes": 1 << 20, **bounds})
        found += page.letters["id"].to_pylist()
        cursor = page.next
    return found


@pytest.fixture
def letters(warehouse: Warehouse) -> DeadLetters:
    writer = Writer(warehouse)
    writer.insert_dead_letters(rows(50), "first")
    writer.insert_dead_letters(rows(7, "other"), "second")
    return DeadLetters(warehouse)


def test_every_row_has_an_id_that_leads_back_to_it(letters: DeadLetters) -> None:
    page = letters.page("acme", ALL, limit=1000, max_bytes=1 << 20)
    found = page.letters.to_pylist()
    assert len({letter["id"] for letter in found}) == len(found) == 50
    assert page.next is None
    assert [letter["received_at"] for letter in found] == sorted(START + i // 3 * 1_000 for i in range(50))[::-1]
    for letter in found[::7]:
        assert is_letter_id(letter["id"])
        assert received_at_of(letter["id"]) == letter["received_at"]
        assert letters.one("acme", letter["id"]) == letter
        assert letters.one("other", letter["id"]) is None
    for wrong in ("", "x", f"{START}-", f"{START}-0000000000000000", f"{START}-0000000000000000' OR 1=1 --"):
        assert letters.one("acme", wrong) is None


@pytest.mark.parametrize("bounds", [{"limit": 1}, {"limit": 7}, {"limit": 50}, {"max_bytes": 1}, {"max_bytes": 25}])
def test_pages_of_any_size_show_each_letter_once(letters: DeadLetters, bounds: dict[str, int]) -> None:
    whole = all_ids(letters)
    assert all_ids(letters, **bounds) == whole
    first = letters.page("acme", ALL, **{"limit": 1000, "max_bytes": 1 << 20, **bounds}).letters
    if "max_bytes" in bounds:
        assert first.num_rows == -(-bounds["max_bytes"] // len('{"n": 10}'))


def test_filters_and_counts(letters: DeadLetters) -> None:
    by_number = {letter: int(text[5:-1]) for letter, text in texts(letters, all_ids(letters)).items()}
    for wanted, meant in [
        (LetterFilter(reason="not_json"), lambda i: i % 3 == 2),
        (LetterFilter(stage="validate"), lambda i: i % 3 != 2),
        (LetterFilter(start=START + 3_000, end=START + 5_000), lambda i: 9 <= i < 15),
        (LetterFilter(reason="not_json", start=START + 3_000), lambda i: i % 3 == 2 and i >= 9),
        (LetterFilter(reason="' OR '1'='1"), lambda _: False),
    ]:
        expected = {i for i in range(50) if meant(i)}
        assert {by_number[letter] for letter in all_ids(letters, wanted=wanted)} == expected
        assert sum(one["count"] for one in letters.reasons("acme", wanted)) == len(expected)
    assert letters.reasons("other", ALL) == [
        {"stage": "validate", "reason": "data_missing", "count": 3},
        {"stage": "parse", "reason": "not_json", "count": 2},
        {"stage": "validate", "reason": "timestamp_in_future", "count": 2},
    ]
    assert (letters.held("acme"), letters.held("other"), letters.held("none")) == (50, 7, 0)


def texts(letters: DeadLetters, ids: Sequence[str]) -> dict[str, str]:
    found = letters.page("acme", LetterFilter(ids=tuple(ids)), limit=1000, max_bytes=1 << 20).letters
    return dict(zip(found["id"].to_pylist(), found["payload"].to_pylist(), strict=True))


def test_removed_letters_are_gone_and_remembered(letters: DeadLetters, warehouse: Warehouse) -> None:
    ids = all_ids(letters)
    letters.remove("acme", ids[3:8], "replayed")
    letters.remove("acme", [], "replayed")
    assert all_ids(letters) == ids[:3] + ids[8:]
    assert letters.state("acme", ids[4])["state"] == "replayed"
    assert letters.state("other", ids[4]) is None
    assert letters.state("acme", ids[0]) is None
    letters.remove("acme", ids[3:8], "replayed")
    assert letters.held("acme") == 45
    assert letters.held("other") == 7
    # A shard that sends its last insert again after a crash brings nothing back.
    Writer(warehouse).insert_dead_letters(rows(50), "first")
    assert letters.held("acme") == 45


def test_purge_takes_what_the_filter_means_and_nothing_else(letters: DeadLetters) -> None:
    before = all_ids(letters)
    wanted = LetterFilter(reason="not_json", end=START + 8_000)
    meant = all_ids(letters, wanted=wanted)
    assert letters.purge("acme", wanted) == len(meant) == 8
    assert all_ids(letters) == [letter for letter in before if letter not in meant]
    assert letters.purge("acme", wanted) == 0
    assert letters.state("acme", meant[0])["state"] == "purged"
    assert letters.purge("acme", LetterFilter(ids=(before[0],))) == 1
    assert letters.purge("acme", ALL) == 41
    assert all_ids(letters) == []
    assert letters.held("other") == 7


def test_a_removal_that_was_cut_short_can_be_done_again(letters: DeadLetters, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = all_ids(letters)

    def away(*_: object) -> None:
        raise WarehouseAway("gone between mark and deletion")

    with monkeypatch.context() as patch:
        patch.setattr(letters, "_delete_marked", away)
        with pytest.raises(WarehouseAway):
            letters.remove("acme", ids[:5], "replayed")
        with pytest.raises(WarehouseAway):
            letters.purge("acme", LetterFilter(reason="not_json"))
    assert all_ids(letters) == ids
    letters.remove("acme", ids[:5], "replayed")
    assert letters.purge("acme", ALL) == 45
    assert letters.held("acme") == 0


def test_lines_sent_twice_in_one_request_are_one_letter(warehouse: Warehouse) -> None:
    letters = DeadLetters(warehouse)
    table = rows(4, per_request=4)
    Writer(warehouse).insert_dead_letters(pa.concat_tables([table, table]), "twice")
    ids = all_ids(letters, limit=3)
    assert len(ids) == len(set(ids)) == 4
    assert letters.held("acme") == 8
    letters.remove("acme", ids[:1], "replayed")
    assert letters.held("acme") == 6
    assert letters.purge("acme", ALL) == 3


def test_a_database_from_before_gives_its_rows_the_same_ids(host: HostProcess, letters: DeadLetters) -> None:
    old = Warehouse.connect(WarehouseSettings(url=host.url, database="db_before_ids", storage_policy="hot_cold"))
    # As version 5 did it: the retention that is applied behind the migrations needs tables that came later.
    old.command("CREATE DATABASE db_before_ids", database="default")
    old.command(
        "CREATE TABLE schema_migrations (number UInt32, name String, checksum String, "
        "applied_at DateTime64(3, 'UTC') DEFAULT now64(3)) ENGINE = MergeTree ORDER BY number"
    )
    for migration in known_migrations()[:5]:
        for statement in migration.statements("hot_cold"):
            old.command(statement)
        applied = {"number": migration.number, "name": migration.name, "sum": migration.checksum}
        columns = "(number, name, checksum) SELECT {number:UInt32}, {name:String}, {sum:String}"
        old.command(f"INSERT INTO schema_migrations {columns}", applied)
    Writer(old).insert_dead_letters(rows(50), "first")
    assert [migration.number for migration in migrate(old)][:1] == [6]
    migrated = DeadLetters(old)
    ids = all_ids(migrated)
    assert ids == all_ids(letters)
    columns = old.arrow("SELECT * FROM dead_letters LIMIT 1").column_names
    assert columns == ["fleet", "received_at", "stage", "reason", "payload", "request_id"]
    migrated.remove("acme", ids[:10], "replayed")
    assert migrated.purge("acme", ALL) == 40
    old.close()
