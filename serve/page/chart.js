// One signal over time, with uPlot: the mean as a line in the band of its lowest and highest, anomalies marked.

import { columns, summary } from "./chart_data.js";
import { colour, h, scroller, setText, table } from "./dom.js";
import { clock, day, exact, moment, unitText } from "./format.js";

const HEIGHT = 190;
const SHOWN_ROWS = 100;
const { uPlot } = globalThis;

export class SignalChart {
  // `zoom(from, to)` is called with microseconds when somebody selects a part.
  constructor({ message, signal, unit }, { zoom, close }) {
    Object.assign(this, { message, signal, unit: unitText(unit), zoom, marks: [], gaps: [], range: [0, 1] });
    this.resolution = h("span", { class: "hint" });
    this.readout = h("span", { class: "readout", "aria-hidden": "true" });
    this.plot = h("div", { class: "plot", role: "img" });
    this.rows = table(`Values of ${signal}`, [["Time"], ["Lowest", "number"], ["Mean", "number"], ["Highest", "number"]]);
    const shut = h("button", { type: "button", class: "plain", "aria-label": `Close the chart of ${signal}`, text: "×", onclick: close });
    this.details = h("details", {}, h("summary", { text: "As a table" }), scroller(`Values of ${signal}`, this.rows));
    this.details.addEventListener("toggle", () => this.#fillRows());
    this.node = h("figure", { class: "chart", "data-signal": signal },
      h("figcaption", {}, h("strong", { text: signal }), h("span", { class: "hint", text: [message, this.unit].filter(Boolean).join(" · ") }), this.resolution, this.readout, shut),
      this.plot, this.details);
    this.sizes = new ResizeObserver(() => this.chart?.setSize({ width: this.plot.clientWidth, height: HEIGHT }));
    this.sizes.observe(this.plot);
  }

  // Shows an answer of the API for the range [from, to] in microseconds, and those of `anomalies` that are about it.
  show(answer, [from, to], anomalies) {
    this.answer = answer;
    this.range = [from / 1e6, to / 1e6];
    this.marks = anomalies.filter((one) => one.message === this.message && (one.signal === this.signal || one.signal === ""));
    const { data, gaps } = columns(answer);
    this.gaps = gaps;
    const how = answer.step === null ? `${answer.points.length} raw values` : `buckets of ${answer.resolution}`;
    setText(this.resolution, answer.partial ? `${how}; ${answer.reason}` : answer.points.length ? how : "no values in this range");
    this.node.dataset.resolution = answer.resolution;
    this.plot.setAttribute("aria-label", summary(this.signal, this.unit, answer, gaps, this.marks));
    if (this.chart) this.chart.setData(data);
    else this.chart = new uPlot(this.#options(), data, this.plot);
    this.#fillRows();
  }

  // In other colours.
  redraw() {
    this.chart?.redraw(false, true);
  }

  destroy() {
    this.sizes.disconnect();
    this.chart?.destroy();
    this.node.remove();
  }

  #options() {
    const line = (width, label) => ({ label, width, stroke: () => colour("accent"), points: { show: width > 0 ? undefined : false } });
    const axis = { stroke: () => colour("muted"), grid: { stroke: () => colour("line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    return {
      width: this.plot.clientWidth || 600,
      height: HEIGHT,
      legend: { show: false },
      scales: { x: { time: true, range: () => this.range } },
      series: [{}, line(0, "highest"), line(0, "lowest"), line(1.5, "mean")],
      bands: [{ series: [1, 2], fill: () => colour("accent-soft") }],
      axes: [
        { ...axis, space: 90, size: 38, values: (chart, splits, _, __, increment) => timeLabels(splits, increment) },
        { ...axis, size: 58, values: (chart, splits) => splits.map((value) => exact(value)) },
      ],
      cursor: { y: false, drag: { x: true, y: false, setScale: false }, sync: { key: "signals" } },
      hooks: {
        drawClear: [(chart) => this.#paintGaps(chart)],
        draw: [(chart) => this.#paintMarks(chart)],
        setCursor: [(chart) => this.#read(chart)],
        setSelect: [(chart) => this.#selected(chart)],
      },
    };
  }

  #selected(chart) {
    const { left, width } = chart.select;
    if (width < 4) return;
    chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    // Of charts whose cursors are tied together, only the one under the pointer speaks.
    if (!this.plot.matches(":hover")) return;
    this.zoom(Math.round(chart.posToVal(left, "x") * 1e6), Math.round(chart.posToVal(left + width, "x") * 1e6));
  }

  #read(chart) {
    const i = chart.cursor.idx;
    const [times, high, low, mean] = chart.data;
    if (i === null || i === undefined || mean[i] === null || mean[i] === undefined) return setText(this.readout, "");
    const band = high[i] === low[i] ? "" : ` (${exact(low[i])} to ${exact(high[i])})`;
    setText(this.readout, `${clock(new Date(times[i] * 1000), this.answer.step === null)}  ${exact(mean[i])}${band}`);
  }

  #paintGaps(chart) {
    const { ctx, bbox } = chart;
    ctx.fillStyle = colour("ground");
    for (const [from, to] of this.gaps) {
      const [left, right] = this.#pixels(chart, from, to);
      if (right > left) ctx.fillRect(left, bbox.top, right - left, bbox.height);
    }
  }

  #paintMarks(chart) {
    const { ctx, bbox } = chart;
    const size = 5 * devicePixelRatio;
    ctx.save();
    ctx.fillStyle = colour("bad");
    for (const one of this.marks) {
      const [left, right] = this.#pixels(chart, one.timestamp / 1e6, Math.max(one.ended_at, one.timestamp) / 1e6);
      if (right < bbox.left || left > bbox.left + bbox.width) continue;
      ctx.globalAlpha = 0.16;
      ctx.fillRect(left, bbox.top, Math.max(2, right - left), bbox.height);
      ctx.globalAlpha = 1;
      ctx.beginPath();
      ctx.moveTo(left - size, bbox.top);
      ctx.lineTo(left + size, bbox.top);
      ctx.lineTo(left, bbox.top + 1.6 * size);
      ctx.fill();
    }
    ctx.restore();
  }

  #pixels(chart, from, to) {
    const { left, width } = chart.bbox;
    const clamp = (pixel) => Math.max(left - 20, Math.min(left + width, pixel));
    return [clamp(chart.valToPos(from, "x", true)), clamp(chart.valToPos(to, "x", true))];
  }

  // Evenly chosen rows: a page of a thousand serves nobody.
  #fillRows() {
    if (!this.details.open || !this.answer) return;
    const { points, step } = this.answer;
    const every = Math.ceil(points.length / SHOWN_ROWS) || 1;
    const chosen = points.filter((_, i) => i % every === 0);
    this.rows.tBodies[0].replaceChildren(...chosen.map((point) => {
      const three = step === null ? [point.value, point.value, point.value] : [point.min, point.mean, point.max];
      return h("tr", {}, h("th", { scope: "row", text: moment(point.timestamp) }), three.map((value) => h("td", { class: "number", text: exact(value) })));
    }));
  }
}

function timeLabels(splits, increment) {
  let before = "";
  return splits.map((split) => {
    const date = new Date(split * 1000);
    const today = day(date).slice(5);
    const time = increment >= 86_400 ? "" : increment >= 60 ? clock(date).slice(0, 5) : clock(date, increment < 1);
    const text = today === before ? time : [time, today].filter(Boolean).join("\n");
    before = today;
    return text;
  });
}
