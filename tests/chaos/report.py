"""What a run of chaos found, for people and for machines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.chaos.client import Client
from tests.chaos.recovery import Event, recoveries
from tests.chaos.verify import Verdict


@dataclass(frozen=True, slots=True)
class Report:
    """The document, and whether every promise was kept."""

    document: dict[str, Any]

    @property
    def kept(self) -> bool:
        """Whether nothing was lost or doubled and the ledger is exact."""
        return not self.document["broken"]

    def lines(self) -> list[str]:
        """As text."""
        return [
            *self._faults(),
            "",
            *self._counts(),
            "",
            *(f"BROKEN: {line}" for line in self._broken()),
            "every promise was kept" if self.kept else "promises were broken",
        ]

    def _broken(self) -> list[str]:
        verdict = self.document["verdict"]
        return [*self.document["broken"], *verdict["frames"]["examples"], *verdict["examples"]]

    def _faults(self) -> list[str]:
        one = self.document
        injected = sum(kind["injected"] for kind in one["faults"].values())
        found = [
            f"seed {one['seed']}, {one['seconds']:.0f} s at {one['rate']:,.0f} frames/s, {injected} faults",
            "",
            f"{'fault':<20} injected  acknowledged again after s: {'median':>6} {'p99':>6} {'max':>6}  requests failed",
        ]
        for name, kind in sorted(one["faults"].items()):
            times = "".join(f" {kind[part]:>6.2f}" if kind[part] is not None else f" {'–':>6}" for part in _PARTS)
            notes = "".join(f"  {kind[note]} {note}" for note in ("overlapped", "never") if kind[note])
            found.append(f"{name:<20} {kind['injected']:>8} {'':>28}{times}  {kind['failed']:>15}{notes}")
        found += [f"{name:<20} not injected: {reason}" for name, reason in one["skipped"].items()]
        return found + [f"missed        {line}" for line in one["missed"]]

    def _counts(self) -> list[str]:
        one, requests, verdict = self.document, self.document["requests"], self.document["verdict"]
        frames = verdict["frames"]
        wrong = ", ".join(f"{frames[name]} {name}" for name in ("lost", "doubled", "unexpected", "changed"))
        return [
            f"requests      {requests['sent']:,} sent; {requests['availability']:.3%} acknowledged within 3 retries, "
            f"{requests['retried']:,} of them needed one; {requests['later']:,} later, {requests['never']:,} never; "
            f"{requests['sent_again']:,} sent once more on purpose",
            f"answers       {', '.join(f'{count:,} × {answer}' for answer, count in one['answers'].items())}",
            f"frames        {frames['acknowledged']:,} acknowledged, {frames['stored']:,} stored: {wrong}",
            f"signals       {verdict['signals']:,} stored, {verdict['signals_doubled']} doubled; "
            f"{verdict['rollups_apart']} rollups apart from them",
            f"dead letters  {verdict['letters_expected']:,} acknowledged, {verdict['letters_lost']} lost",
            *(f"ledger        {_ledger(fleet, ledger)}" for fleet, ledger in verdict["ledgers"].items()),
            f"restarts      {one['restarts']} of the whole platform, {one['ended_by_itself']} as it had ended itself",
        ]


_PARTS = ("median_s", "p99_s", "max_s")


def make_report(
    client: Client,
    events: list[Event],
    verdict: Verdict,
    skipped: dict[str, str],
    missed: list[str],
    run: dict[str, Any],
) -> Report:
    """Put everything together; `run` has what only the runner knows."""
    requests = client.requests
    in_time = [sent for sent in requests if sent.in_time]
    acknowledged = [sent for sent in requests if sent.acknowledged]
    broken = verdict.faults()
    if client.wrong_receipts:
        broken.append(f"{client.wrong_receipts} acknowledgements whose counts are not those of the rows sent")
    if verdict.stored_after_s is None:
        broken.append("not everything was stored in time")
    return Report(
        run
        | {
            "faults": recoveries(client, events),
            "skipped": skipped,
            "missed": missed,
            "requests": {
                "sent": len(requests),
                "availability": len(in_time) / max(1, len(requests)),
                "retried": sum(sent.attempts > 1 for sent in in_time),
                "later": len(acknowledged) - len(in_time),
                "never": len(requests) - len(acknowledged),
                "sent_again": client.sent_again,
            },
            "answers": dict(client.answers.most_common()),
            "verdict": verdict.as_json(),
            "broken": broken,
        }
    )


def _ledger(fleet: str, ledger: dict[str, Any]) -> str:
    counts = ", ".join(
        f"{ledger[name]:,} {name}" for name in ("received", "accepted", "duplicates", "dead_lettered", "stored")
    )
    return f"{fleet}: {counts}: {'; '.join(ledger['differences']) or 'exact'}"
