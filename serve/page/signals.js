// The signals of a vehicle as they are now: a table with the last two minutes as a line, and a button for each chart.

import { h, scroller, setText, svg, table } from "./dom.js";
import { exact, unitText } from "./format.js";

const TRAIL_US = 120e6;

export class Signals {
  // `toggle(name)` is called to open or close a chart.
  constructor(toggle) {
    this.toggle = toggle;
    this.rows = new Map();
    this.charted = new Set();
    this.table = table("Signals now", [["Signal"], ["Value", "number"], ["Last two minutes"], ["Mean", "number"], ["Lowest", "number"], ["Highest", "number"]], { class: "signals" });
    this.node = scroller("Signals now", this.table);
  }

  show(signals) {
    for (const one of signals) {
      const name = `${one.message}.${one.signal}`;
      let row = this.rows.get(name);
      if (!row) {
        row = this.#row(one, name);
        this.rows.set(name, row);
        this.table.tBodies[0].append(row.line);
      }
      setText(row.value, exact(one.value));
      for (const part of ["mean", "min", "max"]) setText(row[part], exact(one.window?.[part]));
      extend(row, one);
    }
  }

  // Marks those that have a chart.
  mark(charted) {
    this.charted = new Set(charted);
    for (const [name, row] of this.rows) row.button.setAttribute("aria-pressed", String(this.charted.has(name)));
  }

  #row(one, name) {
    const button = h("button", { type: "button", class: "signal", "aria-pressed": String(this.charted.has(name)), text: one.signal, title: "Show its chart, or hide it", onclick: () => this.toggle(name) });
    const value = h("span");
    const trail = svg("polyline");
    const [mean, min, max] = [0, 0, 0].map(() => h("td", { class: "number" }));
    const line = h("tr", {},
      h("th", { scope: "row" }, button, h("small", { text: one.message })),
      h("td", { class: "number value" }, value, h("small", { text: one.unit ? ` ${unitText(one.unit)}` : "" })),
      h("td", {}, svg("svg", { class: "spark", viewBox: "0 0 100 20", preserveAspectRatio: "none", "aria-hidden": "true" }, trail)),
      mean, min, max);
    return { line, button, value, trail, mean, min, max, points: [] };
  }
}

function extend(row, { timestamp, value }) {
  const { points } = row;
  if (typeof value === "number" && !(points.length && timestamp <= points.at(-1)[0])) points.push([timestamp, value]);
  while (points.length && points[0][0] < timestamp - TRAIL_US) points.shift();
  if (points.length < 2) return;
  const values = points.map(([, one]) => one);
  const low = Math.min(...values);
  const span = Math.max(...values) - low;
  const [begin, length] = [points[0][0], points.at(-1)[0] - points[0][0] || 1];
  const height = (one) => (span ? 19 - ((one - low) / span) * 18 : 10);
  row.trail.setAttribute("points", points.map(([at, one]) => `${((at - begin) / length) * 100},${height(one)}`).join(" "));
}
