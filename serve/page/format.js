// Numbers, times and names as people read them. Times come as microseconds since the epoch and are shown in local time.

const COMPACT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const EXACT = new Intl.NumberFormat("en", { maximumSignificantDigits: 6 });
const UNITS = { degC: "°C", deg: "°", "deg/s": "°/s", "m/s2": "m/s²" };

const given = (value) => typeof value === "number" && Number.isFinite(value);
export const compact = (value) => (given(value) ? COMPACT.format(value) : "–");
export const whole = (value) => (given(value) ? WHOLE.format(value) : "–");
export const exact = (value) => (given(value) ? EXACT.format(value) : "–");
export const number = (value, digits) => (given(value) ? value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }) : "–");
export const unitText = (unit) => UNITS[unit] ?? unit ?? "";

export function seconds(value) {
  if (!given(value)) return "–";
  if (value < 10) return `${value.toFixed(1)} s`;
  if (value < 120) return `${Math.round(value)} s`;
  if (value < 7200) return `${Math.round(value / 60)} min`;
  if (value < 172800) return `${Math.round(value / 3600)} h`;
  return `${Math.round(value / 86400)} d`;
}

export function size(bytes) {
  if (!given(bytes)) return "–";
  const power = Math.max(0, Math.min(4, Math.floor(Math.log10(Math.max(1, bytes)) / 3)));
  return `${(bytes / 1000 ** power).toFixed(power ? 1 : 0)} ${["B", "kB", "MB", "GB", "TB"][power]}`;
}

export function ago(microseconds, now = Date.now() * 1000) {
  const behind = Math.max(0, (now - microseconds) / 1e6);
  return behind < 10 ? `${Math.round(behind)} s ago` : `${seconds(behind)} ago`;
}

const two = (n) => String(n).padStart(2, "0");

export function day(date) {
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

export function clock(date, milliseconds = false) {
  const text = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return milliseconds ? `${text}.${String(date.getMilliseconds()).padStart(3, "0")}` : text;
}

export function moment(microseconds) {
  const date = new Date(microseconds / 1000);
  return `${day(date)} ${clock(date)}`;
}

export const counted = (count, one, several) => `${whole(count)} ${count === 1 ? one : several}`;

export const words = (name) => name.replaceAll("_", " ");

// What an anomaly is about: its signal, else its message, else the id of its frames.
export function subject(anomaly) {
  if (anomaly.signal || anomaly.message) return anomaly.signal || anomaly.message;
  return typeof anomaly.arbitration_id === "number" ? `0x${anomaly.arbitration_id.toString(16).toUpperCase()}` : "";
}

export function lasting(anomaly) {
  return `${seconds((anomaly.ended_at - anomaly.timestamp) / 1e6)}${anomaly.closed ? "" : ", open"}`;
}
