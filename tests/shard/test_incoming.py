"""What waits to be processed: recovered groups first, each once, and a look around while nothing comes."""

from __future__ import annotations

import threading

import pytest

from pipeline.shard import incoming as module
from pipeline.shard.group import Group, build_group
from pipeline.shard.incoming import Incoming
from pipeline.vehicles import VehicleIndex


def group(start: int) -> Group:
    return build_group(start, start + 1, [], VehicleIndex())


def test_what_a_restart_must_make_up_for_comes_first() -> None:
    recovered, committed = [group(0), group(1)], [group(2), group(3)]
    incoming = Incoming(iter(recovered), lambda: None)
    for one in committed:
        incoming.put(one)
    taken = [incoming.take(wait=False) for _ in range(3)]
    assert [(one[0].start, one[1]) for one in taken if one] == [(0, True), (1, True), (2, False)]
    assert not incoming.recovering
    assert not incoming.is_empty
    incoming.end()
    last = incoming.take(wait=True)
    assert last is not None
    assert last[0] is committed[1]
    assert incoming.take(wait=True) is None


def test_whoever_waits_looks_around_and_is_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_IDLE_S", 0.01)
    looked = threading.Event()
    incoming = Incoming(iter(()), looked.set)
    assert incoming.take(wait=False) is None
    assert not looked.is_set()
    came = group(0)

    def put() -> None:
        looked.wait(60)
        incoming.put(came)

    putting = threading.Thread(target=put)
    putting.start()
    assert incoming.take(wait=True) == (came, False)
    putting.join()


def test_what_is_found_while_looking_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_IDLE_S", 0.01)

    def fenced() -> None:
        raise OSError("the shard is another's")

    with pytest.raises(OSError, match="another's"):
        Incoming(iter(()), fenced).take(wait=True)
