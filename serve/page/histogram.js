// How the values of a signal are distributed, with uPlot: bins of equal width, and the median.

import { colour, h } from "./dom.js";
import { compact, exact } from "./format.js";

const HEIGHT = 190;
const { uPlot } = globalThis;

export class Histogram {
  constructor(signal) {
    this.node = h("div", { class: "plot", role: "img" });
    this.median = null;
    this.sizes = new ResizeObserver(() => this.chart?.setSize({ width: this.node.clientWidth, height: HEIGHT }));
    this.sizes.observe(this.node);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.chart?.redraw(false, true), { signal });
    signal.addEventListener("abort", () => { this.sizes.disconnect(); this.chart?.destroy(); });
  }

  // Shows an answer of the API; `text` says it for those who do not see it.
  show({ histogram, quantiles }, text) {
    this.node.setAttribute("aria-label", text);
    this.node.hidden = histogram.length === 0;
    if (!histogram.length) return;
    this.median = quantiles["0.5"] ?? null;
    const [first, last] = [histogram[0], histogram.at(-1)];
    // A step lasts to the next point: the last one ends where its bin does.
    const data = [[first.low, ...histogram.map(({ low }) => low), last.high], [0, ...histogram.map(({ count }) => count), 0]];
    if (this.chart) this.chart.setData(data);
    else this.chart = new uPlot(this.#options(), data, this.node);
  }

  #options() {
    const axis = { stroke: () => colour("muted"), grid: { stroke: () => colour("line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
    return {
      width: this.node.clientWidth || 600,
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: false }, y: { range: (_, low, high) => [0, Math.max(1, high) * 1.05] } },
      series: [{}, { stroke: () => colour("accent"), fill: () => colour("accent-soft"), width: 1.5, paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } }],
      axes: [
        { ...axis, space: 70, size: 28, values: (_, splits) => splits.map((value) => exact(value)) },
        { ...axis, size: 50, values: (_, splits) => splits.map((value) => compact(value)) },
      ],
      hooks: { draw: [(chart) => this.#paintMedian(chart)] },
    };
  }

  #paintMedian(chart) {
    if (this.median === null) return;
    const { ctx, bbox } = chart;
    const x = Math.round(chart.valToPos(this.median, "x", true));
    ctx.save();
    ctx.fillStyle = colour("text");
    ctx.fillRect(x, bbox.top, devicePixelRatio, bbox.height);
    ctx.textAlign = "left";
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.fillText("median", x + 4 * devicePixelRatio, bbox.top + 12 * devicePixelRatio);
    ctx.restore();
  }
}
