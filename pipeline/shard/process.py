"""Process: decode a group, bring live values and windows up to date, look for anomalies."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pipeline.anomalies.engine import AnomalyDetector, AnomalyEvents
from pipeline.anomalies.kinds import Kind, describe
from pipeline.config import CanfleetConfig, ModelSettings
from pipeline.decode.catalogue import Catalogue
from pipeline.decode.decoded import Decoded
from pipeline.decode.decoder import Decoder
from pipeline.series import SeriesIndex
from pipeline.shard.anomaly_log import Anomaly, AnomalyLog, anomaly_id
from pipeline.shard.group import Group
from pipeline.types import F64, I32, I64
from pipeline.vehicles import VehicleIndex
from pipeline.windows.latest import LatestValues
from pipeline.windows.sliding import SlidingWindows


@dataclass(frozen=True, slots=True)
class Values:
    """Decoded values of a group, copied out of the decoder's buffers.

    Attributes:
        row: int32[m], the frame's position in the group.
        signal: int32[m], index into the catalogue.
        value: float64[m].
    """

    row: I32
    signal: I32
    value: F64


class Profiles:
    """Which databases decode a vehicle: the first model whose glob matches its id, else the default."""

    def __init__(self, models: Mapping[str, ModelSettings], catalogue: Catalogue, vehicles: VehicleIndex) -> None:
        self._models = [(glob, catalogue.profile_index(name)) for name, m in models.items() for glob in m.vehicles]
        self._default = catalogue.profile_index("default")
        self._vehicles = vehicles
        self._of_vehicle: list[int] = []

    def of(self, vehicle: I32) -> I32 | None:
        """int32[n], the profile of each row; None where the deployment has no models."""
        if not self._models:
            return None
        for index in range(len(self._of_vehicle), len(self._vehicles)):
            name = self._vehicles.name(index)
            matching = (profile for glob, profile in self._models if fnmatch.fnmatchcase(name, glob))
            self._of_vehicle.append(next(matching, self._default))
        return np.asarray(self._of_vehicle, np.int32)[vehicle]


class GroupDecoder:
    """Decodes groups with the databases of their vehicles' models. One thread each: the decoder reuses its buffers."""

    def __init__(self, config: CanfleetConfig, catalogue: Catalogue, vehicles: VehicleIndex) -> None:
        self._profiles = Profiles(config.models, catalogue, vehicles)
        self._decoder = Decoder(catalogue)

    def warm(self) -> None:
        """Compile the kernels."""
        self._decoder.warm()

    def view(self, group: Group) -> Decoded:
        """The group's values, valid until the next call."""
        return self._decoder.decode(group.frames, self._profiles.of(group.frames.vehicle))

    def decode(self, group: Group) -> Values:
        """The group's values, to keep."""
        return _kept(self.view(group))


def _kept(decoded: Decoded) -> Values:
    return Values(decoded.row.copy(), decoded.signal.copy(), decoded.value.copy())


class Processor:
    """The stateful half of a shard, driven by one thread; event time only, so that a replay ends in the same state."""

    def __init__(self, config: CanfleetConfig, catalogue: Catalogue, vehicles: VehicleIndex) -> None:
        self._catalogue = catalogue
        self._vehicles = vehicles
        self._decoder = GroupDecoder(config, catalogue, vehicles)
        self.series = SeriesIndex(catalogue.message_first_signal, catalogue.message_signal_count)
        self.latest = LatestValues()
        self.windows = SlidingWindows(config.windows)
        self._detector = AnomalyDetector(
            catalogue.signal_minimum,
            catalogue.signal_maximum,
            catalogue.message_cycle_us,
            catalogue.signal_message,
            catalogue.signal_names,
            catalogue.signal_message_names,
            config.anomalies,
        )
        self.last_received: I64 = np.zeros(0, np.int64)
        """int64[vehicles], microseconds: when the gateway last took in a frame of each vehicle."""

    def warm(self) -> None:
        """Compile the kernels before the first frame waits for them."""
        self._decoder.warm()
        self._detector.warm()

    def process(self, group: Group, log: AnomalyLog, now_us: int) -> Values:
        """Decode a group and bring every live state up to date; anomalies go to `log`, found at `now_us`."""
        frames = group.frames
        decoded = self._decoder.view(group)
        series = self.series.resolve(frames.vehicle, decoded.message, decoded.row, decoded.signal)
        self.latest.update(frames.vehicle, frames.timestamp, decoded.row, series, decoded.value)
        self.windows.update(frames.vehicle, frames.timestamp, decoded.row, series, decoded.value)
        self._note_received(group)
        events = self._detector.observe(
            frames.vehicle, frames, decoded.message, decoded.row, decoded.signal, series, decoded.value
        )
        log.record(self._anomalies(events, log, group, now_us))
        return _kept(decoded)

    def _note_received(self, group: Group) -> None:
        if len(self.last_received) < len(self._vehicles):
            grown = np.zeros(max(1024, 2 * len(self._vehicles)), np.int64)
            grown[: len(self.last_received)] = self.last_received
            self.last_received = grown
        np.maximum.at(self.last_received, group.frames.vehicle, group.received_at)

    def _anomalies(self, events: AnomalyEvents, log: AnomalyLog, group: Group, now_us: int) -> list[Anomaly]:
        found: list[Anomaly] = []
        if not len(events):
            return found
        received_at = int(group.received_at.min())
        catalogue = self._catalogue
        for i in range(len(events)):
            vehicle = int(events.vehicle[i])
            kind = Kind(int(events.kind[i]))
            signal, message = int(events.signal[i]), int(events.message[i])
            about_signal = signal >= 0
            fleet, vehicle_id = self._vehicles.fleet(vehicle), self._vehicles.name(vehicle)
            arbitration_id = int(events.arbitration_id[i])
            message_name = catalogue.messages[message].name if message >= 0 else ""
            signal_name = catalogue.signals[signal].name if about_signal else ""
            subject = f"{signal_name}/{arbitration_id}/{int(events.channel[i])}"
            value, score = float(events.value[i]), float(events.score[i])
            timestamp = int(events.timestamp[i])
            identity = anomaly_id(fleet, vehicle_id, kind.label, subject, timestamp)
            known = log.known(identity)
            found.append(
                Anomaly(
                    id=identity,
                    fleet=fleet,
                    vehicle_id=vehicle_id,
                    kind=kind.label,
                    timestamp=timestamp,
                    ended_at=int(events.end[i]),
                    detected_at=known.detected_at if known else now_us,
                    received_at=known.received_at if known else received_at,
                    message=message_name,
                    signal=signal_name,
                    arbitration_id=None if about_signal else arbitration_id,
                    value=value,
                    score=score,
                    count=int(events.count[i]),
                    closed=bool(events.closed[i]),
                    detail=describe(
                        kind,
                        value=value,
                        score=score,
                        arbitration_id=arbitration_id,
                        signal=signal_name,
                        message=message_name,
                        minimum=catalogue.signals[signal].minimum if about_signal else None,
                        maximum=catalogue.signals[signal].maximum if about_signal else None,
                    ),
                )
            )
        return found

    def forget(self, vehicle: int) -> int:
        """Know nothing of a vehicle any more; how many signals of it had a value. O(its series)."""
        series = self.series.of_vehicle(vehicle)
        timestamps, _ = self.latest.of(series)
        self.latest.forget(vehicle, series)
        self.windows.forget(vehicle, series)
        self._detector.forget(vehicle, series)
        if vehicle < len(self.last_received):
            self.last_received[vehicle] = 0
        return int(np.count_nonzero(timestamps != np.iinfo(np.int64).min))

    def snapshot(self) -> dict[str, np.ndarray]:
        """Copies of all state, for a checkpoint; valid until the next one."""
        arrays: dict[str, np.ndarray] = {"last_received": self.last_received[: len(self._vehicles)].copy()}
        for name, part in self._parts().items():
            arrays |= {f"{name}.{key}": array for key, array in part.snapshot().items()}
        return arrays

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over what `snapshot` wrote."""
        self.last_received = arrays["last_received"]
        for name, part in self._parts().items():
            prefix = f"{name}."
            part.restore({key.removeprefix(prefix): a for key, a in arrays.items() if key.startswith(prefix)})

    def _parts(self) -> dict[str, SeriesIndex | LatestValues | SlidingWindows | AnomalyDetector]:
        return {
            "series": self.series,
            "latest": self.latest,
            "windows": self.windows,
            "anomalies": self._detector,
        }
