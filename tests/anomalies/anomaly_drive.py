"""A synthetic fleet for measuring detectors: rougher driving than any demonstration, and labelled faults.

Six messages at 0.5 to 1 Hz. Emergency braking, gear shifts, stops, pedals that rest for minutes, switches, a heading
that wraps, GPS noise: everything here that is not in the list of faults is normal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from anomaly_feed import START_US, columns

from pipeline.frames.columns import FrameColumns

LAYOUT = (
    ("Motion", 1.0, (("Speed", 0.0, 300.0, 0.01), ("Acceleration", -20.0, 20.0, 0.01))),
    ("Engine", 1.0, (("Rpm", 0.0, 8000.0, 0.25), ("Coolant", -40.0, 215.0, 0.1), ("Throttle", 0.0, 100.0, 0.4))),
    ("Brake", 2.0, (("Pressure", 0.0, 250.0, 0.1), ("Lamp", 0.0, 1.0, 1.0))),
    ("Steering", 1.0, (("Angle", -780.0, 780.0, 0.1),)),
    (
        "Body",
        2.0,
        (("Fuel", 0.0, 100.0, 0.05), ("Gear", 0.0, 8.0, 1.0), ("Wiper", 0.0, 3.0, 1.0), ("Volt", 6.0, 18.0, 0.01)),
    ),
    ("Place", 2.0, (("Latitude", -90.0, 90.0, 1e-7), ("Heading", 0.0, 360.0, 0.1))),
)
SIGNALS = [(message, *signal) for message, (_, _, signals) in enumerate(LAYOUT) for signal in signals]
NAMES = [name for _, name, *_ in SIGNALS]
FIRST = np.cumsum([0, *(len(signals) for _, _, signals in LAYOUT)])
CYCLE_S = [cycle for _, cycle, _ in LAYOUT]

FAULTS = (
    "out_of_range",
    "sudden_deviation",
    "rate_of_change",
    "stuck",
    "missing_message",
    "unknown_arbitration_id",
    "flood",
)


@dataclass(frozen=True)
class Fault:
    """A labelled fault: the anomaly's kind, its vehicle, its signal, message or id, and when it happens."""

    kind: str
    vehicle: int
    subject: int
    begin_s: float
    end_s: float


def drive(rng: np.random.Generator, seconds: int, emergencies: float) -> np.ndarray:
    """One vehicle's values each 0.1 s, float64[10 · seconds, signals], before noise and rounding."""
    steps = seconds * 10
    speed, acceleration, heading, latitude = rng.uniform(0, 100), 0.0, rng.uniform(0, 360), 48.0
    target, until, hard, gear = speed, 0, False, 3
    coolant, fuel, wiper, angle, rpm = rng.uniform(10, 90), rng.uniform(20, 90), float(rng.random() < 0.2), 0.0, 900.0
    out = np.empty((steps, len(SIGNALS)))
    ratios = (0.0, 120.0, 70.0, 48.0, 36.0, 28.0, 23.0)
    for step in range(steps):
        if step >= until:
            hard = rng.random() < emergencies
            target = 0.0 if hard or rng.random() < 0.25 else rng.uniform(20, 140)
            until = step + rng.integers(80, 400)
        want = np.clip((target - speed) / (0.5 if hard else 4.0), -33.0 if hard else -9.0, 9.0)
        acceleration += np.clip(want - acceleration, -12.0 if hard else -2.0, 2.0)
        speed = max(0.0, speed + acceleration * 0.1)
        while gear < 6 and speed > 22 * gear:
            gear += 1
        while gear > 1 and speed < 22 * (gear - 1) - 9:
            gear -= 1
        kick = 900.0 if target - speed > 40 else 0.0
        rpm += 0.25 * (max(850.0, speed * ratios[gear] + kick) - rpm)
        coolant += (90 - coolant) / 2000
        fuel -= 1e-5 * speed
        angle += 0.1 * (rng.normal(0, 250 / (5 + speed)) - 0.1 * angle)
        heading = (heading + angle * speed * 2e-4) % 360
        latitude += speed * 2.5e-7
        if rng.random() < 0.001:
            wiper = float(rng.integers(0, 4))
        braking = max(0.0, -acceleration - 2.0)
        out[step] = (
            speed,
            acceleration / 3.6,
            rpm,
            coolant,
            0.0 if acceleration < 0 else 5 + 6 * acceleration,
            braking * 6.0,
            float(braking > 0),
            angle,
            fuel,
            gear if speed > 0 else 0,
            wiper,
            14.2 - 0.01 * rpm / 100,
            latitude,
            heading,
        )
    return out


def plan(rng: np.random.Generator, vehicle: int, seconds: int) -> Fault | None:
    """At most one fault, after 20 s, with room to be seen."""
    kind = FAULTS[int(rng.integers(len(FAULTS)))]
    begin = float(rng.uniform(20, seconds - 35))
    pick = lambda *names: NAMES.index(str(rng.choice(names)))  # noqa: E731
    match kind:
        case "out_of_range":
            return Fault(kind, vehicle, pick("Acceleration", "Angle", "Volt", "Coolant"), begin, begin + 4)
        case "sudden_deviation":
            return Fault(kind, vehicle, pick("Coolant", "Fuel", "Angle", "Latitude", "Volt"), begin, begin + 2)
        case "rate_of_change":
            return Fault(kind, vehicle, pick("Coolant"), begin, begin + 3)
        case "stuck":
            return Fault(kind, vehicle, pick("Rpm", "Volt", "Coolant"), begin, begin + 30)
        case "missing_message":
            message = int(rng.integers(len(LAYOUT)))
            return Fault(kind, vehicle, message, begin, begin + max(5.0, 7 * CYCLE_S[message]))
        case "unknown_arbitration_id":
            return Fault(kind, vehicle, int(rng.integers(0x600, 0x700)), begin, begin + 2)
    return Fault("flood", vehicle, int(rng.integers(len(LAYOUT))), begin, begin + 3)


NOISE = (0.05, 0.05, 6.0, 0.12, 0.0, 0.0, 0.0, 0.3, 0.08, 0.0, 0.0, 0.03, 3e-7, 0.2)


def fleet(
    seed: int, vehicles: int, seconds: int, faulty: float, emergencies: float = 0.1
) -> tuple[FrameColumns, tuple[np.ndarray, ...], list[Fault]]:
    """Frames of a fleet in event time, the decoder's arrays (message, row, signal, series, value), and the truth."""
    rng = np.random.default_rng(seed)
    faults = [fault for v in range(vehicles) if rng.random() < faulty and (fault := plan(rng, v, seconds)) is not None]
    by_vehicle = {fault.vehicle: fault for fault in faults}
    at, who, message, identifier = [], [], [], []
    cells: list[np.ndarray] = []
    for vehicle in range(vehicles):
        truth = drive(rng, seconds, emergencies)
        fault = by_vehicle.get(vehicle)
        phase = rng.uniform(0, 1)
        for m, (_, cycle, _) in enumerate(LAYOUT):
            times = np.arange(phase + 0.15 * m, seconds - 0.2, cycle) + rng.normal(0, 0.004, 1)
            if fault and fault.subject == m and fault.kind == "missing_message":
                times = times[(times < fault.begin_s) | (times >= fault.end_s)]
            if fault and fault.subject == m and fault.kind == "flood":
                times = np.sort(np.concatenate([times, np.arange(fault.begin_s, fault.end_s, cycle / 15)]))
            first, last = FIRST[m], FIRST[m + 1]
            values = truth[np.clip((times * 10).astype(int), 0, len(truth) - 1), first:last].copy()
            values += rng.normal(0, 1, values.shape) * np.array(NOISE[first:last])
            steps = np.array([step for *_, step in SIGNALS[first:last]])
            lows, highs = (np.array([row[k] for row in SIGNALS[first:last]]) for k in (2, 3))
            values = np.clip(np.round(values / steps) * steps, lows, highs)
            if fault and fault.kind in FAULTS[:4] and first <= fault.subject < last:
                column = values[:, fault.subject - first]
                hit = np.flatnonzero((times >= fault.begin_s) & (times < fault.end_s))
                low, high = lows[fault.subject - first], highs[fault.subject - first]
                if fault.kind == "out_of_range":
                    column[hit[:2]] = high + 0.1 * (high - low)
                elif fault.kind == "sudden_deviation":
                    up = column[hit[0]] + 0.42 * (high - low)
                    column[hit[0]] = up if up < high else column[hit[0]] - 0.42 * (high - low)
                elif fault.kind == "rate_of_change":
                    column[hit] += 10.0 * (1 + np.arange(len(hit)))
                else:
                    column[hit] = column[hit[0]]
            at.append(times)
            who.append(np.full(len(times), vehicle))
            message.append(np.full(len(times), m))
            identifier.append(np.full(len(times), 0x100 + m))
            cells += list(values)
        if fault and fault.kind == "unknown_arbitration_id":
            at.append(fault.begin_s + 0.3 * np.arange(5))
            who.append(np.full(5, vehicle))
            message.append(np.full(5, -1))
            identifier.append(np.full(5, fault.subject))
            cells += [np.zeros(0)] * 5
    time = np.concatenate(at)
    order = np.argsort(time, kind="stable")
    vehicle_of = np.concatenate(who)[order].astype(np.int32)
    message_of = np.concatenate(message)[order].astype(np.int32)
    ordered = [cells[i] for i in order]
    counts = np.array([len(cell) for cell in ordered])
    row = np.repeat(np.arange(len(ordered), dtype=np.int32), counts)
    within = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
    signal = (FIRST[message_of[row]] + within).astype(np.int32)
    series = (vehicle_of[row] * len(SIGNALS) + signal).astype(np.int32)
    stamps = START_US + np.round(time[order] * 1e6).astype(np.int64)
    frames = columns(vehicle_of, stamps, np.concatenate(identifier)[order].astype(np.uint32))
    return frames, (message_of, row, signal, series, np.concatenate(ordered)), faults
