// A map of the fleet on a canvas: drag, wheel, two fingers or keys move it; a point tells what it is and can be chosen.

import { h, setText } from "../dom.js";
import { whole } from "../format.js";
import { paint, palette } from "./paint.js";
import { Grid, Points } from "./points.js";
import { Viewport } from "./projection.js";

const KEYS = "Arrow keys move the map, + and - zoom, 0 shows all, Escape lets go.";
const MEASURES = 600;
const NEAR = 1.6e6; // pixels a world: a large town across the map

export class FleetMap {
  // `describe(id)` gives the text at a point, `choose(id)` is called when one is clicked; all ends with `signal`. A map
  // that is not `large` lets the page scroll over it, until it has the focus.
  constructor(place, { label, describe, choose, signal, large = false }) {
    this.view = new Viewport();
    this.points = new Points();
    this.tracks = null;
    this.trips = [];
    this.fences = [];
    this.chosen = null;
    this.centred = null;
    this.moved = false;
    this.label = label;
    this.large = large;
    this.describe = describe;
    this.choose = choose;
    this.canvas = h("canvas", { tabindex: "0", role: "application", "aria-roledescription": "map", "aria-label": label });
    this.tip = h("div", { class: "tip", hidden: true });
    const button = (text, name, work) => h("button", { type: "button", "aria-label": name, title: name, text, onclick: work });
    const buttons = h("div", { class: "map-buttons" },
      button("+", "Zoom in", () => this.#zoom(2)),
      button("−", "Zoom out", () => this.#zoom(0.5)),
      button("⤢", "Show all", () => this.fit()));
    place.append(h("div", { class: "map" }, this.canvas, this.tip, buttons));
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.colours = palette();
    this.#listen(signal);
  }

  // Shows the fleet as it is now; the first time, all of it.
  show(points, { tracks = null, trips = [], fences = [], chosen = null } = {}) {
    const first = this.points.length === 0 && this.trips.length === 0;
    Object.assign(this, { points, tracks, trips, fences, chosen, grid: null });
    if (first && !this.moved) this.fit();
    if (chosen !== null && chosen !== this.centred) this.#centre(chosen);
    this.draw();
  }

  fit() {
    this.moved = false;
    const lines = this.trips.length ? this.trips : this.fences.map(({ outline }) => outline);
    const points = this.trips.length ? 0 : this.points.length;
    const [xs, ys] = [0, 1].map((axis) => [...this.points[axis ? "y" : "x"].subarray(0, points), ...lines.flat().map((end) => end[axis])]);
    if (this.view.fit(xs, ys, xs.length)) this.#changed();
  }

  // Shows a fence, with some of what is around it.
  showFence(fence) {
    this.moved = true;
    this.view.fit(fence.outline.map(([x]) => x), fence.outline.map(([, y]) => y), fence.outline.length);
    this.#zoom(0.4);
  }

  #centre(id) {
    for (let i = 0; i < this.points.length; i += 1) {
      if (this.points.id(i) !== id) continue;
      Object.assign(this.view, { x: this.points.x[i], y: this.points.y[i] });
      if (this.points.length > 1) this.view.scale = Math.max(this.view.scale, NEAR);
      this.centred = id;
      this.moved = this.points.length > 1;
      return;
    }
  }

  // Draws at the next frame, once however often it is asked for.
  draw() {
    this.asked ??= requestAnimationFrame(() => {
      this.asked = null;
      this.#paint();
    });
  }

  #paint() {
    const begun = performance.now();
    const dots = devicePixelRatio;
    this.context.setTransform(dots, 0, 0, dots, 0, 0);
    const seen = paint(this.context, this.view, this.points, this);
    performance.measure("map draw", { start: begun });
    if (performance.getEntriesByName("map draw").length > MEASURES) performance.clearMeasures("map draw");
    const text = `${this.label}: ${whole(this.points.length)} vehicles with a position, ${whole(seen)} in sight. ${KEYS}`;
    if (this.canvas.getAttribute("aria-label") !== text) this.canvas.setAttribute("aria-label", text);
  }

  #changed() {
    this.grid = null;
    this.draw();
  }

  #zoom(factor, x, y) {
    this.moved = true;
    this.view.zoom(factor, x, y);
    this.#changed();
  }

  #pan(right, down) {
    this.moved = true;
    this.view.pan(right, down);
    this.#changed();
  }

  #hit(event, reach) {
    this.grid ??= new Grid(this.points, this.view);
    return this.grid.nearest(event.offsetX, event.offsetY, reach);
  }

  #listen(signal) {
    const { canvas } = this;
    const on = (name, work, options = {}) => canvas.addEventListener(name, work, { signal, ...options });
    const sizes = new ResizeObserver(() => this.#resize());
    sizes.observe(canvas);
    signal.addEventListener("abort", () => sizes.disconnect());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.colours = palette();
      this.draw();
    }, { signal });
    on("wheel", (event) => {
      if (!this.large && document.activeElement !== canvas) return;
      event.preventDefault();
      this.#zoom(2 ** (-event.deltaY / (event.deltaMode ? 4 : 240)), event.offsetX, event.offsetY);
    }, { passive: false });
    on("keydown", (event) => this.#key(event));
    const fingers = new Map();
    on("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, { x: event.offsetX, y: event.offsetY, far: 0 });
    });
    on("pointermove", (event) => this.#move(event, fingers));
    on("pointerup", (event) => {
      const finger = fingers.get(event.pointerId);
      fingers.delete(event.pointerId);
      const hit = finger && finger.far < 5 ? this.#hit(event, event.pointerType === "touch" ? 24 : 12) : -1;
      if (hit >= 0) this.choose(this.points.id(hit));
    });
    on("pointercancel", (event) => fingers.delete(event.pointerId));
    on("pointerleave", () => { this.tip.hidden = true; });
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    Object.assign(this.view, { width, height });
    this.canvas.width = Math.round(width * devicePixelRatio);
    this.canvas.height = Math.round(height * devicePixelRatio);
    if (this.moved) this.#changed();
    else this.fit();
    this.grid = null;
    // What a canvas shows is gone with its old size: not a frame without it.
    this.#paint();
  }

  #move(event, fingers) {
    const finger = fingers.get(event.pointerId);
    if (!finger) return this.#point(event);
    const [right, down] = [event.offsetX - finger.x, event.offsetY - finger.y];
    if (fingers.size === 1) {
      if (finger.far + Math.hypot(right, down) >= 5) this.#pan(right, down);
    } else {
      const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
      const before = Math.hypot(finger.x - other.x, finger.y - other.y) || 1;
      const after = Math.hypot(event.offsetX - other.x, event.offsetY - other.y);
      this.#zoom(after / before, other.x, other.y);
    }
    Object.assign(finger, { x: event.offsetX, y: event.offsetY, far: finger.far + Math.hypot(right, down) });
    this.tip.hidden = true;
  }

  #point(event) {
    const hit = this.#hit(event);
    this.canvas.classList.toggle("over", hit >= 0);
    this.tip.hidden = hit < 0;
    if (hit < 0) return;
    setText(this.tip, this.describe(this.points.id(hit)));
    const left = event.offsetX > this.view.width / 2;
    this.tip.style.left = `${event.offsetX + (left ? -12 : 14)}px`;
    this.tip.style.top = `${event.offsetY + 14}px`;
    this.tip.classList.toggle("left", left);
  }

  #key(event) {
    const moves = { ArrowLeft: [80, 0], ArrowRight: [-80, 0], ArrowUp: [0, 80], ArrowDown: [0, -80] };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key in moves) this.#pan(...moves[event.key]);
    else if (event.key === "+" || event.key === "=") this.#zoom(2);
    else if (event.key === "-") this.#zoom(0.5);
    else if (event.key === "0") this.fit();
    else if (event.key === "Escape") this.canvas.blur();
    else return;
    event.preventDefault();
  }
}
