// The fleet at a glance: numbers, frames a second, the map, anomalies by kind, the newest ones, and the ledger.

import { address } from "../api.js";
import { card, colour, h, scroller, setText, table } from "../dom.js";
import { compact, seconds, whole, words } from "../format.js";
import { anomalyRow, anomalyTable, place } from "../links.js";
import { repeat } from "../live.js";
import { fleetMap } from "./map.js";

export const title = "Overview";
const NEWEST = 8;
const HOURS = 6;
const LEDGER = ["received", "accepted", "duplicates", "dead_lettered", "stored", "pending"];
const { uPlot } = globalThis;

export function mount(root, { fleet, api }, route, signal) {
  const [numbers, kinds, newest, ledger] = [tiles(), kindsTable(), newestTable(), ledgerTable()];
  const rate = rateChart(signal);
  const map = h("div", { class: "map-place" });
  root.append(
    numbers.node,
    h("div", { class: "halves" },
      card("Where they are", map),
      h("div", { class: "stack" }, card("Frames a second", rate.node), card("Anomalies by kind", kinds.node))),
    card("Newest anomalies", scroller("Newest anomalies", newest.node), h("p", {}, h("a", { href: place("anomalies"), text: "All anomalies" }))),
    card("Ledger", scroller("Ledger", ledger.node)),
  );
  fleetMap(map, fleet, signal);
  const summary = () => {
    numbers.show(fleet);
    rate.show(fleet.rates);
    kinds.show(fleet.summary?.anomalies ?? {});
  };
  const anomalies = () => newest.show([...fleet.anomalies.values()].sort((a, b) => b.timestamp - a.timestamp).slice(0, NEWEST));
  fleet.addEventListener("summary", summary, { signal });
  fleet.addEventListener("places", () => numbers.show(fleet), { signal });
  fleet.addEventListener("anomalies", anomalies, { signal });
  summary();
  anomalies();
  repeat(5_000, signal, async () => {
    const from = (Date.now() - (HOURS - 1) * 3_600_000) * 1000;
    ledger.show(await api.get(address("/v1/ledger", { from }), signal));
  });
}

function tiles() {
  const node = h("dl", { class: "tiles" });
  const cells = new Map();
  const show = (fleet) => {
    const { summary } = fleet;
    if (!summary) return;
    const delays = fleet.delays();
    const told = [
      ["Vehicles online", whole(summary.vehicles_online), `of ${whole(summary.vehicles)}`],
      ["Frames a second", compact(summary.frames_per_second), ""],
      ["Delay", seconds(delays.median), `95 % within ${seconds(delays.most)}`],
      ["Open anomalies", whole(summary.anomalies_open), ""],
      ["Frames stored", compact(summary.ledger?.stored), `${compact(summary.ledger?.pending)} pending`],
      ["Duplicates", compact(summary.ledger?.duplicates), ""],
      ["Dead letters", compact(summary.ledger?.dead_lettered), ""],
      ["Never came", compact(summary.frames_missing), "by their counters"],
    ];
    for (const [name, value, more] of told) {
      if (!cells.has(name)) {
        const cell = h("div", {}, h("dt", { text: name }), h("dd"), h("dd", { class: "hint" }));
        cells.set(name, cell);
        node.append(cell);
      }
      setText(cells.get(name).children[1], value);
      setText(cells.get(name).children[2], more);
    }
  };
  return { node, show };
}

function rateChart(signal) {
  const node = h("div", { class: "plot small", role: "img" });
  let chart = null;
  const axis = { stroke: () => colour("muted"), grid: { stroke: () => colour("line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
  const time = (_, splits) => splits.map((split) => new Date(split * 1000).toTimeString().slice(0, 8));
  const make = (data) => new uPlot({
    width: node.clientWidth,
    height: 120,
    legend: { show: false },
    cursor: { show: false },
    scales: { y: { range: (_, low, high) => [0, Math.max(1, high) * 1.1] } },
    series: [{}, { stroke: () => colour("accent"), fill: () => colour("accent-soft"), width: 1.5, points: { show: false } }],
    axes: [{ ...axis, space: 90, size: 24, values: time }, { ...axis, size: 44, values: (_, splits) => splits.map(compact) }],
  }, data, node);
  const show = (rates) => {
    if (rates.length < 2) return;
    const data = [rates.map(([at]) => at), rates.map(([, value]) => value)];
    if (chart) chart.setData(data);
    else chart = make(data);
    const text = `Frames a second over the last ${seconds(data[0].at(-1) - data[0][0])}, now ${compact(data[1].at(-1))}`;
    node.setAttribute("aria-label", text);
  };
  const sizes = new ResizeObserver(() => chart?.setSize({ width: node.clientWidth, height: 120 }));
  sizes.observe(node);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => chart?.redraw(false, true), { signal });
  signal.addEventListener("abort", () => { sizes.disconnect(); chart?.destroy(); });
  return { node, show };
}

function kindsTable() {
  const node = table("Anomalies by kind", [["Kind"], ["Since the start", "number"], ["", "wide"]], { class: "bars" });
  const none = h("p", { class: "hint", text: "None so far." });
  let shown = "";
  const show = (counts) => {
    const found = Object.entries(counts).filter(([, count]) => count > 0).sort((a, b) => b[1] - a[1]);
    if (shown === JSON.stringify(found)) return;
    shown = JSON.stringify(found);
    const most = Math.max(1, ...found.map(([, count]) => count));
    none.hidden = found.length > 0;
    node.hidden = found.length === 0;
    node.tBodies[0].replaceChildren(...found.map(([kind, count]) => {
      const bar = h("div", { class: "bar" });
      bar.style.width = `${(100 * count) / most}%`;
      return h("tr", {}, h("th", { scope: "row" }, h("a", { href: place("anomalies", "", { kind }), text: words(kind) })),
        h("td", { class: "number", text: whole(count) }), h("td", { class: "wide", "aria-hidden": "true" }, bar));
    }));
  };
  return { node: scroller("Anomalies by kind", node, none), show };
}

function newestTable() {
  const node = anomalyTable("Newest anomalies");
  return { node, show: (anomalies) => node.tBodies[0].replaceChildren(...anomalies.map((one) => anomalyRow(one))) };
}

function ledgerTable() {
  const node = table("What became of the frames received", [["Received in"], ...LEDGER.map((name) => [words(name), "number"])]);
  const row = (name, counts) => h("tr", {}, h("th", { scope: "row", text: name }), LEDGER.map((column) => h("td", { class: "number", text: whole(counts[column]) })));
  const show = (answer) => {
    const hours = answer.hours.toReversed().map((hour) => {
      const from = new Date(hour.hour);
      const two = (n) => String(n).padStart(2, "0");
      return row(`${two(from.getHours())}:${two(from.getMinutes())}, one hour`, hour);
    });
    node.tBodies[0].replaceChildren(row("all time", answer), ...hours);
  };
  return { node, show };
}
