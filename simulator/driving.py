"""The passenger car of `fleet.dbc`: one step of its driving, and the value of each signal.

A vehicle drives at a chosen speed for a while, then chooses another or stops. Engine, gearbox and temperatures follow
from the speed by first-order lags. Its road is a sine-generated curve (Langbein and Leopold, River meanders, 1966):
the heading swings about south by 137.79 degrees, the first zero of the Bessel function J0 in radians, which closes
the path into a figure of eight, so that a vehicle never leaves its home and its heading never wraps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit

from pipeline.types import F64, I64, U64
from simulator.noise import mix, uniform

MAX_STEP_S: Final = 0.25
"""Longest step that keeps the speed controller and the engine's lag stable."""
MOVING_KMH: Final = 25.0
"""Above this speed every analogue signal changes from sample to sample."""


@dataclass(frozen=True)
class SignalModel:
    """How a signal of the car behaves.

    Attributes:
        name: as in `fleet.dbc`; names are unique there.
        noise: deviation of the sensor noise, in the signal's unit; 0 for flags and counters.
        spike: jump for a sudden deviation: at least 12 times what the signal does by itself within seconds and 40 %
            of what it covers in normal driving; 0 if the signal moves too much by itself.
        ramp: step from sample to sample for an excessive rate of change, likewise.
        needs_motion: the noise fades out at standstill, where the signal is truly constant.
    """

    name: str
    noise: float = 0.0
    spike: float = 0.0
    ramp: float = 0.0
    needs_motion: bool = False


SIGNALS: Final = (
    SignalModel("EngineSpeed", 4.0),
    SignalModel("EngineLoad", 0.4),
    SignalModel("ThrottlePosition", 0.3),
    SignalModel("CoolantTemperature", 0.25, spike=38.0, ramp=12.0),
    SignalModel("OilTemperature", 0.25, spike=42.0, ramp=13.0),
    SignalModel("VehicleSpeed", 0.06, needs_motion=True),
    SignalModel("WheelSpeedFrontLeft", 0.2, needs_motion=True),
    SignalModel("WheelSpeedFrontRight", 0.2, needs_motion=True),
    SignalModel("WheelSpeedRearLeft", 0.2, needs_motion=True),
    SignalModel("WheelSpeedRearRight", 0.2, needs_motion=True),
    SignalModel("Gear"),
    SignalModel("SelectorLever"),
    SignalModel("ShiftActive"),
    SignalModel("EngineTorque", 2.0),
    SignalModel("GearboxOilTemperature", 0.25, spike=45.0, ramp=15.0),
    SignalModel("OutputShaftSpeed", 3.0, needs_motion=True),
    SignalModel("BrakePressure", 0.2),
    SignalModel("SteeringAngle", 0.5, spike=320.0, ramp=110.0),
    SignalModel("YawRate", 0.12, spike=60.0),
    SignalModel("LateralAcceleration", 0.04),
    SignalModel("LongitudinalAcceleration", 0.04),
    SignalModel("AbsActive"),
    SignalModel("FuelLevel", 0.12),
    SignalModel("BatteryVoltage", 0.03),
    SignalModel("FuelRate", 0.06),
    SignalModel("Odometer"),
    SignalModel("AmbientTemperature", 0.15),
    SignalModel("CabinTemperature", 0.2),
    SignalModel("FanLevel"),
    SignalModel("AirConditioning"),
    SignalModel("CabinHumidity", 0.4),
    SignalModel("DoorsOpen"),
    SignalModel("Headlights"),
    SignalModel("Indicators"),
    SignalModel("Wipers"),
    SignalModel("Locked"),
    SignalModel("DriverSeatbelt"),
    SignalModel("TyrePressureFrontLeft", 0.003),
    SignalModel("TyreTemperatureFrontLeft", 0.4),
    SignalModel("TyrePressureFrontRight", 0.003),
    SignalModel("TyreTemperatureFrontRight", 0.4),
    SignalModel("TyrePressureRearLeft", 0.003),
    SignalModel("TyreTemperatureRearLeft", 0.4),
    SignalModel("TyrePressureRearRight", 0.003),
    SignalModel("TyreTemperatureRearRight", 0.4),
    SignalModel("FaultCount"),
    SignalModel("MalfunctionLamp"),
    SignalModel("AirbagDeployed"),
    SignalModel("BrakeWarning"),
    SignalModel("ControlUnitTemperature", 0.25),
    SignalModel("Latitude", 3e-6),
    SignalModel("Longitude", 4e-6),
    SignalModel("Heading", 0.3),
    SignalModel("Altitude", 0.5, spike=1800.0, ramp=600.0),
    SignalModel("GroundSpeed", 0.15, needs_motion=True),
    SignalModel("Satellites"),
    SignalModel("FixType"),
)
"""Behaviour by signal; `observe` writes its values in this order."""

_NUMBERS: Final = {model.name: number for number, model in enumerate(SIGNALS)}


def models_of(names: Sequence[str]) -> I64 | None:
    """For each signal name its index in SIGNALS, int64[S]; None if `names` are not this car's."""
    if set(names) - {"TyreWheel"} != set(_NUMBERS):
        return None
    return np.array([_NUMBERS.get(name, 0) for name in names], np.int64)


# State of one vehicle, float64[STATES]. What moves first, then what the vehicle was made with; _EAST is metres per
# degree of longitude at home.
_SPEED, _ACCELERATION, _TARGET, _PHASE_END, _GEAR, _RPM, _SHIFT = range(7)
_COOLANT, _OIL, _GEARBOX, _TYRE, _CABIN, _FUEL, _DISTANCE, _LATITUDE, _LONGITUDE, _WANDER, _LOAD, _TRACTION = range(
    7, 19
)
_HEADING, _CURVATURE, _ALTITUDE = range(19, 22)
_AMBIENT, _ODOMETER, _LOOP, _BEND, _LOOP_PHASE, _BEND_PHASE, _LIGHTS, _RAIN, _FAULTS, _PRESSURE, _EAST = range(22, 33)
STATES: Final = 33

_TOWNS: Final = np.array(
    [
        (52.520, 13.405, 40.0),  # Berlin
        (48.137, 11.575, 520.0),  # Munich
        (50.110, 8.682, 110.0),  # Frankfurt
        (48.856, 2.352, 60.0),  # Paris
        (45.764, 4.835, 190.0),  # Lyon
        (41.387, 2.170, 90.0),  # Barcelona
        (45.464, 9.190, 130.0),  # Milan
        (48.208, 16.373, 190.0),  # Vienna
        (50.075, 14.437, 240.0),  # Prague
        (52.229, 21.012, 110.0),  # Warsaw
        (52.367, 4.904, 60.0),  # Amsterdam
        (59.329, 18.068, 70.0),  # Stockholm
    ]
)
_CRUISES: Final = np.array([30.0, 50.0, 50.0, 65.0, 80.0, 100.0, 100.0, 125.0])
_UPSHIFT: Final = np.array([0.0, 19.0, 36.0, 53.0, 73.0, 96.0, 1e9])
_RPM_PER_KMH: Final = np.array([0.0, 118.0, 67.0, 46.0, 35.0, 28.0, 23.0])
_SWING: Final = 2.404825557695773
_BEND_SWING: Final = 0.12
_METRES_PER_DEGREE: Final = 111_320.0
_TURN: Final = 2.0 * math.pi


@njit(cache=True, nogil=True)
def new_vehicles(keys: U64) -> F64:
    """States of vehicles about to start, float64[V, STATES]; `keys` are their random keys, uint64[V]."""
    states = np.zeros((len(keys), STATES))
    for number in range(len(keys)):
        state = states[number]
        draw = np.empty(16)
        for counter in range(16):
            draw[counter] = uniform(mix(keys[number], counter))
        town = _TOWNS[int(draw[0] * len(_TOWNS))]
        state[_AMBIENT] = 4.0 + 22.0 * draw[1]
        warmth = draw[2]
        state[_COOLANT] = state[_AMBIENT] + warmth * (89.0 - state[_AMBIENT])
        state[_OIL] = state[_AMBIENT] + warmth * (94.0 - state[_AMBIENT])
        state[_GEARBOX] = state[_AMBIENT] + warmth * (78.0 - state[_AMBIENT])
        state[_TYRE] = state[_AMBIENT] + 10.0 * warmth
        state[_CABIN] = state[_AMBIENT] + warmth * (21.0 - state[_AMBIENT])
        state[_FUEL] = 35.0 + 60.0 * draw[3]
        state[_LATITUDE] = town[0] + 0.08 * (draw[4] - 0.5)
        state[_LONGITUDE] = town[1] + 0.12 * (draw[5] - 0.5)
        state[_EAST] = _METRES_PER_DEGREE * math.cos(math.radians(town[0]))
        state[_ALTITUDE] = town[2] + 30.0
        state[_ODOMETER] = 5_000.0 + 175_000.0 * draw[6]
        state[_LOOP] = 12_000.0 + 18_000.0 * draw[7]
        state[_BEND] = 500.0 + 400.0 * draw[8]
        state[_LOOP_PHASE] = _TURN * draw[9]
        state[_BEND_PHASE] = _TURN * draw[10]
        state[_LIGHTS] = 2.0 if draw[11] < 0.6 else 0.0
        state[_RAIN] = 1.0 if draw[12] < 0.2 else 0.0
        state[_FAULTS] = math.floor(3.0 * draw[13]) if draw[13] > 0.8 else 0.0
        state[_PRESSURE] = 2.25 + 0.3 * draw[14]
        state[_TARGET] = _CRUISES[int(draw[15] * len(_CRUISES))]
        state[_SPEED] = state[_TARGET] * draw[1]
        state[_PHASE_END] = 10.0 + 50.0 * draw[7]
        state[_GEAR] = 1.0
        while state[_SPEED] > _UPSHIFT[int(state[_GEAR])]:
            state[_GEAR] += 1.0
        state[_RPM] = max(820.0, state[_SPEED] * _RPM_PER_KMH[int(state[_GEAR])])
    return states


@njit(cache=True, nogil=True)
def is_moving(state: F64) -> bool:
    """Whether the vehicle drives and means to go on driving."""
    return state[_SPEED] > MOVING_KMH and state[_TARGET] > 0.0


@njit(cache=True, nogil=True)
def _choose_target(state: F64, key: np.uint64, counter: int, now_s: float, may_stop: bool) -> None:
    chance = uniform(mix(key, counter))
    length = uniform(mix(key, counter + 1))
    if state[_TARGET] == 0.0 and state[_SPEED] > 0.0:
        return
    if state[_TARGET] > 0.0 and chance < 0.3 and may_stop:
        state[_TARGET] = 0.0
        state[_PHASE_END] = math.inf
        return
    state[_TARGET] = _CRUISES[int(chance * 65536.0) % len(_CRUISES)] + 6.0 * (length - 0.5)
    state[_PHASE_END] = now_s + 25.0 + 60.0 * length


@njit(cache=True, nogil=True)
def advance(state: F64, key: np.uint64, counter: int, now_s: float, step_s: float, may_stop: bool) -> None:
    """Drive one vehicle for `step_s` (at most MAX_STEP_S). `counter` names the step; the next one is 4 higher."""
    if now_s >= state[_PHASE_END]:
        _choose_target(state, key, counter, now_s, may_stop)
    speed, target = state[_SPEED], state[_TARGET]
    if target == 0.0:
        want = -min(2.2, 0.35 + 0.09 * speed)
    else:
        want = min(max(0.07 * (target - speed), -2.0), 2.3 - 0.014 * speed)
    state[_ACCELERATION] += min(max(want - state[_ACCELERATION], -1.6 * step_s), 1.6 * step_s)
    speed += 3.6 * state[_ACCELERATION] * step_s
    if speed <= 0.0 and state[_SPEED] >= 0.0:
        speed = 0.0
        state[_ACCELERATION] = max(0.0, state[_ACCELERATION])
        if target == 0.0 and state[_PHASE_END] == math.inf:
            state[_PHASE_END] = now_s + 3.0 + 6.0 * uniform(mix(key, counter + 2))
    state[_SPEED] = speed
    metres = speed / 3.6 * step_s
    state[_DISTANCE] += metres

    gear = int(state[_GEAR])
    state[_SHIFT] = 0.0
    if gear < 6 and speed > _UPSHIFT[gear]:
        gear += 1
        state[_SHIFT] = 1.0
    elif gear > 1 and speed < _UPSHIFT[gear - 1] - 8.0:
        gear -= 1
        state[_SHIFT] = 1.0
    state[_GEAR] = gear
    state[_RPM] += (max(820.0, speed * _RPM_PER_KMH[gear]) - state[_RPM]) * (step_s / 0.45)

    angle = _TURN * state[_DISTANCE] / state[_LOOP] + state[_LOOP_PHASE]
    bend = _TURN * state[_DISTANCE] / state[_BEND] + state[_BEND_PHASE]
    heading = math.pi + _SWING * math.sin(angle) + _BEND_SWING * math.sin(bend)
    slope = 0.02 * math.sin(angle * 5.0)
    state[_HEADING] = heading
    state[_CURVATURE] = _TURN * (_SWING * math.cos(angle) / state[_LOOP] + _BEND_SWING * math.cos(bend) / state[_BEND])
    state[_LATITUDE] += metres * math.cos(heading) / _METRES_PER_DEGREE
    state[_LONGITUDE] += metres * math.sin(heading) / state[_EAST]
    state[_ALTITUDE] += metres * slope

    metres_per_s = speed / 3.6
    traction = state[_ACCELERATION] + 0.12 + 0.00035 * metres_per_s * metres_per_s + 9.81 * slope * min(1.0, speed)
    state[_TRACTION] += (traction - state[_TRACTION]) * (step_s / 0.5)
    state[_WANDER] += (1.5 * (uniform(mix(key, counter + 3)) - 0.5) - 0.2 * state[_WANDER]) * step_s
    state[_LOAD] = min(max(16.0 + 24.0 * state[_TRACTION] + state[_WANDER], 4.0), 95.0)

    load = state[_LOAD]
    state[_COOLANT] += (87.0 + 0.06 * load - state[_COOLANT]) * (step_s / 200.0)
    state[_OIL] += (90.0 + 0.2 * load - state[_OIL]) * (step_s / 380.0)
    state[_GEARBOX] += (74.0 + 0.15 * load - state[_GEARBOX]) * (step_s / 600.0)
    state[_TYRE] += (state[_AMBIENT] + 0.22 * speed - state[_TYRE]) * (step_s / 900.0)
    state[_CABIN] += (21.5 - state[_CABIN]) * (step_s / 300.0)
    state[_FUEL] -= _litres_per_hour(state) * step_s / 3600.0 / 0.5
    if state[_FUEL] < 5.0:
        state[_FUEL] = 95.0


@njit(cache=True, nogil=True)
def _litres_per_hour(state: F64) -> float:
    return 0.7 + 0.00007 * state[_LOAD] * state[_RPM]


@njit(cache=True, nogil=True)
def observe(state: F64, values: F64) -> None:
    """What noiseless sensors would read now: one value per signal in the order of SIGNALS, into float64[S]."""
    speed, load = state[_SPEED], state[_LOAD]
    metres_per_s = speed / 3.6
    curvature = state[_CURVATURE]
    yaw_rate = metres_per_s * curvature
    values[0] = state[_RPM]
    values[1] = load
    values[2] = 4.0 + 0.85 * load
    values[3] = state[_COOLANT]
    values[4] = state[_OIL]
    values[5] = speed
    # The outer wheels run a longer way: half the track of 1.56 m times the curvature.
    values[6] = values[8] = speed * (1.0 + 0.78 * curvature)
    values[7] = values[9] = speed * (1.0 - 0.78 * curvature)
    values[10] = state[_GEAR] if speed > 0.0 else 0.0
    values[11] = 3.0
    values[12] = state[_SHIFT]
    values[13] = 4.2 * load - 50.0
    values[14] = state[_GEARBOX]
    values[15] = speed * 32.0
    values[16] = 1.2 + (max(0.0, -state[_ACCELERATION] - 0.3) * 22.0) + (12.0 if speed == 0.0 else 0.0)
    values[17] = math.degrees(2.7 * curvature) * 16.0
    values[18] = math.degrees(yaw_rate)
    values[19] = metres_per_s * yaw_rate
    values[20] = state[_ACCELERATION]
    values[21] = 0.0
    values[22] = state[_FUEL]
    values[23] = 14.25 - 0.003 * load
    values[24] = _litres_per_hour(state)
    values[25] = state[_ODOMETER] + state[_DISTANCE] / 1000.0
    values[26] = state[_AMBIENT]
    values[27] = state[_CABIN]
    values[28] = min(7.0, 1.0 + math.floor(abs(state[_CABIN] - 21.5) / 3.0))
    values[29] = 1.0 if state[_AMBIENT] > 20.0 else 0.0
    values[30] = 38.0 + 14.0 * state[_RAIN] + 0.2 * (state[_AMBIENT] - state[_CABIN])
    values[31] = 0.0
    values[32] = state[_LIGHTS]
    values[33] = 2.0 if values[17] > 6.5 else 1.0 if values[17] < -6.5 else 0.0
    values[34] = state[_RAIN] * 2.0
    values[35] = 1.0
    values[36] = 1.0
    for wheel in range(4):
        warmth = state[_TYRE] + (2.0 if wheel < 2 else 0.0)
        values[37 + 2 * wheel] = (state[_PRESSURE] + 0.02 * wheel) * (273.0 + warmth) / 293.0
        values[38 + 2 * wheel] = warmth
    values[45] = state[_FAULTS]
    values[46] = 1.0 if state[_FAULTS] > 1.0 else 0.0
    values[47] = 0.0
    values[48] = 0.0
    values[49] = 18.0 + 0.3 * state[_COOLANT] + 0.4 * state[_AMBIENT]
    values[50] = state[_LATITUDE]
    values[51] = state[_LONGITUDE]
    values[52] = math.degrees(state[_HEADING])
    values[53] = state[_ALTITUDE]
    values[54] = speed
    values[55] = 11.0
    values[56] = 3.0
