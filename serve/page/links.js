// Addresses inside the page, as `#/view/argument?query`, and what several views show alike.

import { h, table } from "./dom.js";
import { lasting, moment, subject, words } from "./format.js";

export function place(view, argument = "", query = {}) {
  const wanted = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined && value !== false);
  const tail = wanted.length ? `?${new URLSearchParams(wanted)}` : "";
  return `#/${[view, argument].filter(Boolean).map(encodeURIComponent).join("/")}${tail}`;
}

// The view, argument and query of an address; the overview for any that is none of ours.
export function read(hash) {
  const [path, tail = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const [view = "", argument = ""] = path.split("/").map(decoded);
  return { view, argument, query: Object.fromEntries(new URLSearchParams(tail)) };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const vehicleLink = (id, query) => h("a", { href: place("vehicle", id, query), text: id });

// A moment; whoever points at it reads it in UTC too.
export function time(microseconds) {
  const utc = new Date(microseconds / 1000).toISOString();
  return h("time", { datetime: utc, title: utc, text: moment(microseconds) });
}

// The chart of an anomaly's signal around it.
export function anomalyPlace(anomaly) {
  const around = Math.max(60e6, anomaly.ended_at - anomaly.timestamp);
  const charts = anomaly.signal ? `${anomaly.message}.${anomaly.signal}` : "";
  return place("vehicle", anomaly.vehicle_id, { charts, from: anomaly.timestamp - around, to: anomaly.ended_at + around });
}

const ANOMALY_COLUMNS = [["Time"], ["Kind"], ["Vehicle"], ["About"], ["Lasted"], ["Detail", "wide"]];

// Where it is narrow its rows are stacked; the roles say what they are where the layout no longer does.
export function anomalyTable(caption, { vehicle = true } = {}) {
  return table(caption, ANOMALY_COLUMNS.filter(([name]) => vehicle || name !== "Vehicle"), { class: "stacked", role: "table" });
}

export function anomalyRow(anomaly, { vehicle = true } = {}) {
  const cell = (properties, ...children) => h("td", { role: "cell", ...properties }, ...children);
  return h("tr", { "data-id": anomaly.id, role: "row", class: anomaly.closed ? "" : "open" },
    cell({}, h("a", { href: anomalyPlace(anomaly) }, time(anomaly.timestamp))),
    h("th", { scope: "row", role: "rowheader" }, h("span", { class: "kind", text: words(anomaly.kind) })),
    vehicle ? cell({}, vehicleLink(anomaly.vehicle_id)) : null,
    cell({ text: subject(anomaly) }),
    cell({ text: lasting(anomaly) }),
    cell({ class: "wide", text: anomaly.detail }));
}

// A line that says what went wrong, or nothing.
export function trouble() {
  const node = h("p", { class: "error", role: "alert" });
  return { node, say: (error) => { node.textContent = error ? error.message : ""; } };
}
