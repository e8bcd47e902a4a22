// Gauges of the signals that drivers look at: an arc from the valid minimum to the maximum of the database.

import { h, setText, svg } from "./dom.js";
import { exact, unitText } from "./format.js";

const ARC = "M 12 58 A 44 44 0 0 1 100 58"; // half a circle
const LENGTH = Math.PI * 44;

// The first signal that fits each; what fits none is in the table.
const WANTED = [
  [/^vehicle.?speed|wheel.?based.*speed/i, /ground.?speed|^speed$/i],
  [/engine.?speed|rpm/i],
  [/fuel.?level|state.?of.?charge/i],
  [/coolant/i, /engine.*temp/i],
  [/batt.*volt/i],
  [/torque$/i],
];
const SHORT = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });

export class Gauges {
  constructor() {
    this.node = h("div", { class: "gauges" });
    this.shown = new Map();
  }

  // Takes the signals of `latest`, and shows those that have a range.
  show(signals) {
    for (const one of chosen(signals)) {
      const name = `${one.message}.${one.signal}`;
      if (!this.shown.has(name)) {
        const gauge = make(one);
        this.shown.set(name, gauge);
        this.node.append(gauge.node);
      }
      const { node, arc, value } = this.shown.get(name);
      const part = Math.max(0, Math.min(1, (one.value - one.minimum) / (one.maximum - one.minimum)));
      const text = typeof one.value === "number" ? `${SHORT.format(one.value)} ${unitText(one.unit)}`.trim() : "–";
      arc.setAttribute("stroke-dasharray", `${(part || 0) * LENGTH} ${LENGTH}`);
      arc.classList.toggle("out", one.value < one.minimum || one.value > one.maximum);
      setText(value, text);
      node.setAttribute("aria-valuenow", one.value ?? one.minimum);
      node.setAttribute("aria-valuetext", text);
    }
    this.node.hidden = this.shown.size === 0;
  }
}

// The signals that have a gauge, the most wanted first.
export function chosen(signals) {
  const fit = signals.filter((one) => typeof one.minimum === "number" && typeof one.maximum === "number" && one.maximum > one.minimum);
  const first = (names) => names.map((name) => fit.find((one) => name.test(one.signal))).find(Boolean);
  return WANTED.map(first).filter(Boolean);
}

function make(one) {
  const arc = svg("path", { d: ARC, class: "arc" });
  const value = h("span", { class: "gauge-value" });
  const limit = (x, number, anchor) => {
    const text = svg("text", { x, y: 72, "text-anchor": anchor });
    text.textContent = exact(number);
    return text;
  };
  const picture = svg("svg", { viewBox: "-8 0 128 76", "aria-hidden": "true" },
    svg("path", { d: ARC, class: "rail" }), arc, limit(12, one.minimum, "middle"), limit(100, one.maximum, "middle"));
  const node = h("div", {
    class: "gauge", role: "meter", "aria-label": one.signal, "aria-valuemin": one.minimum, "aria-valuemax": one.maximum,
  }, picture, value, h("span", { class: "hint", text: one.signal }));
  return { node, arc, value };
}
