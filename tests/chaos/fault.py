"""What a fault is, and the faults that end or stop processes."""

from __future__ import annotations

import asyncio
import random
import signal

from tests.chaos import processes
from tests.chaos.processes import Role
from tests.chaos.subject import Subject


class Fault:
    """Something that goes wrong for a while.

    Attributes:
        name: for reports and for `--fault`.
        lasts_s: between `inject` and `heal`.
    """

    name: str
    lasts_s: float = 0.0

    def impossible(self) -> str | None:
        """Why it cannot be injected here; None where it can."""
        return None

    async def inject(self, rng: random.Random) -> None:
        """Let it happen; on return it has.

        Raises:
            CanfleetError: what it needs is not there.
        """
        raise NotImplementedError

    async def heal(self) -> None:
        """Undo what does not mend itself."""


class Kill(Fault):
    """SIGKILL of a process; Ray starts it again."""

    def __init__(self, name: str, subject: Subject, role: Role) -> None:
        self.name = f"kill-{name}"
        self._subject = subject
        self._role = role

    async def inject(self, rng: random.Random) -> None:
        """Kill one of that role."""
        found = await processes.wait_for(self._subject.child.pid, self._role)
        processes.send(rng.choice(found), signal.SIGKILL)


class Stop(Fault):
    """SIGSTOP of a process, and SIGCONT a few seconds later: it hangs, and knows nothing of it."""

    lasts_s = 3.0

    def __init__(self, name: str, subject: Subject, role: Role) -> None:
        self.name = f"stop-{name}"
        self._subject = subject
        self._role = role

    async def inject(self, rng: random.Random) -> None:
        """Stop one of that role."""
        found = await processes.wait_for(self._subject.child.pid, self._role)
        self._stopped = rng.choice(found)
        processes.send(self._stopped, signal.SIGSTOP)

    async def heal(self) -> None:
        """Let it go on."""
        processes.send(self._stopped, signal.SIGCONT)


class KillEverything(Fault):
    """SIGKILL of every process at one moment, `canfleet up` included, which is then started again."""

    name = "kill-everything"

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    async def inject(self, rng: random.Random) -> None:
        """Kill all."""
        self._subject.down = True
        await asyncio.to_thread(processes.kill_family, self._subject.child.pid)

    async def heal(self) -> None:
        """Start it again."""
        await self._subject.restart()
        self._subject.down = False


class KillUp(KillEverything):
    """SIGKILL of `canfleet up` alone: what it had started must not stand in the way of the next."""

    name = "kill-up"

    async def inject(self, rng: random.Random) -> None:
        """Kill the first process."""
        self._subject.down = True
        self._subject.orphans += processes.family(self._subject.child.pid)[1:]
        processes.send(processes.family(self._subject.child.pid)[0], signal.SIGKILL)
