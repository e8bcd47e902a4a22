"""The end of a distributed run: workers finish what is under way before the master judges.

When `--run-time` is over locust's master tells its workers to quit, and waits half a second. What they finish and
report later would be missing from the sums. Here it waits until they have quit, which each does with a last report
once its users have finished.
"""

from __future__ import annotations

from typing import Final

import gevent
from locust import events
from locust.env import Environment
from locust.rpc.protocol import Message
from locust.runners import MasterRunner

_GRACE_S: Final = 30.0
"""On top of `--stop-timeout`, for a worker that does not answer at all."""


@events.init.add_listener
def _take_over(environment: Environment, **_: object) -> None:
    runner, options = environment.runner, environment.parsed_options
    if not isinstance(runner, MasterRunner) or options is None or not options.headless or not options.run_time:
        return
    seconds, options.run_time = options.run_time, None

    def end_later(**_: object) -> None:
        gevent.spawn_later(seconds, _end, runner)

    environment.events.test_start.add_listener(end_later)  # type: ignore[no-untyped-call]


def _end(runner: MasterRunner) -> None:
    runner.stop(send_stop_to_client=False)
    for worker in runner.clients.all:
        runner.server.send_to_client(Message("quit", None, worker.id))  # type: ignore[no-untyped-call]
    with gevent.Timeout(runner.environment.stop_timeout + _GRACE_S, False):
        while runner.worker_count:
            gevent.sleep(0.1)
    runner.quit()
