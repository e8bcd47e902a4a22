// What a chart draws, made from an answer of the API: columns with holes where values are missing.

import { counted } from "./format.js";

const GAP_FACTOR = 5;

// Seconds between two points beyond which something is missing: `step` is the length of the buckets, 0 for raw values.
// A signal that comes rarely makes holes of its own rhythm only.
export function longestStep(times, step) {
  const between = [];
  for (let i = 1; i < times.length; i += 1) between.push(times[i] - times[i - 1]);
  between.sort((a, b) => a - b);
  const usual = between.length ? between[Math.floor(between.length / 2)] : 0;
  return Math.max(1.5 * step, (step ? 1.5 : GAP_FACTOR) * usual, 1e-3);
}

// [times in seconds, highest, lowest, mean], with a null behind each stretch that something follows later, and the gaps
// as [from, to].
export function columns(answer) {
  const raw = answer.step === null;
  const times = answer.points.map((point) => point.timestamp / 1e6);
  const limit = longestStep(times, answer.step ?? 0);
  const data = [[], [], [], []];
  const gaps = [];
  answer.points.forEach((point, i) => {
    if (i && times[i] - times[i - 1] > limit) {
      gaps.push([times[i - 1], times[i]]);
      push(data, (times[i - 1] + times[i]) / 2, null, null, null);
    }
    if (raw) push(data, times[i], point.value, point.value, point.value);
    else push(data, times[i], point.max, point.min, point.mean);
  });
  return { data, gaps };
}

function push(data, ...values) {
  values.forEach((value, i) => data[i].push(value));
}

// The chart in one sentence, for those who do not see it.
export function summary(name, unit, answer, gaps, marks) {
  const { points } = answer;
  if (!points.length) return `${name}: no values in this range.`;
  const raw = answer.step === null;
  let [low, high] = [Infinity, -Infinity];
  for (const point of points) {
    low = Math.min(low, (raw ? point.value : point.min) ?? Infinity);
    high = Math.max(high, (raw ? point.value : point.max) ?? -Infinity);
  }
  const last = points.at(-1);
  const number = (value) => `${Number.isFinite(value) ? Number(value.toPrecision(6)) : "unknown"}${unit ? ` ${unit}` : ""}`;
  return `${name}: from ${number(low)} to ${number(high)}, last ${number(raw ? last.value : last.last)}; `
    + `${points.length} ${raw ? "values" : `buckets of ${answer.resolution}`}, ${counted(gaps.length, "gap", "gaps")}, ${counted(marks.length, "anomaly", "anomalies")}.`;
}
