// One vehicle: gauges, charts that zoom, its map, its anomalies, and every signal as it is now.

import { address, vehiclePath } from "../api.js";
import { SignalChart } from "../chart.js";
import { card, h, scroller, setText } from "../dom.js";
import { ago, counted, seconds, whole } from "../format.js";
import { chosen as gauged, Gauges } from "../gauges.js";
import { anomalyRow, anomalyTable, place, trouble } from "../links.js";
import { repeat } from "../live.js";
import { FleetMap } from "../map/map.js";
import { Points } from "../map/points.js";
import { toX, toY } from "../map/projection.js";
import { Range } from "../range.js";
import { Signals } from "../signals.js";

export const title = "Vehicle";
const ANOMALIES = 200;
const LONGEST_TRIPS_US = 31 * 86_400e6;

export function mount(root, app, route, signal) {
  new VehicleView(root, app, route, signal);
}

class VehicleView {
  constructor(root, { fleet, api, paths }, { argument: id, query }, signal) {
    Object.assign(this, { fleet, api, id, signal, known: new Map(), charts: new Map() });
    this.wanted = query.charts === undefined ? null : query.charts.split(",").filter(Boolean);
    this.hint = h("p", { class: "hint", text: "Asking …" });
    this.error = trouble();
    this.chartError = trouble();
    this.gauges = new Gauges();
    this.range = new Range(query, () => this.#changed());
    this.signals = new Signals((name) => this.#toggle(name));
    this.plots = h("div", { class: "plots" });
    this.none = h("p", { class: "hint", text: "Choose a signal below to see its chart." });
    this.found = anomalyTable("Anomalies in this range", { vehicle: false });
    this.noneFound = h("p", { class: "hint", text: "None in this range." });
    this.place = h("div", { class: "map-place small" });
    this.trips = h("p", { class: "hint" });
    root.append(this.hint, this.error.node, this.gauges.node,
      card("Charts", this.range.node, this.chartError.node, this.plots, this.none),
      h("div", { class: "halves" },
        card("Anomalies in this range", scroller("Anomalies in this range", this.found), this.noneFound),
        card("Where it was", this.place, this.trips, h("p", {}, h("a", { href: place("map", "", { vehicle: id }), text: "On the map of the fleet" })))),
      card("Signals now", h("p", { class: "hint", text: "Mean, lowest and highest are of its sliding window. A signal's name opens its chart." }), this.signals.node));
    const following = () => !this.range.fixed;
    const period = () => Math.max(3_000, Math.min(60_000, this.range.span * 5));
    this.#map(paths.has("/v1/vehicles/{vehicle_id}/trips"));
    repeat(1_000, signal, () => this.#latest(), (error) => this.error.say(error));
    repeat(10_000, signal, () => this.#gaps());
    repeat(period, signal, async () => { if (following()) await this.#load(); }, (error) => error && this.chartError.say(error));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.charts.forEach((chart) => chart.redraw()), { signal });
    signal.addEventListener("abort", () => this.charts.forEach((chart) => chart.destroy()));
  }

  async #latest() {
    const latest = await this.api.get(vehiclePath(this.id, "latest"), this.signal);
    const missing = this.missing ? ` · ${whole(this.missing)} never came` : "";
    setText(this.hint, `Newest frame ${ago(latest.last_seen)} · ${whole(latest.frames)} frames${missing}`);
    const first = this.known.size === 0;
    for (const one of latest.signals) this.known.set(`${one.message}.${one.signal}`, one);
    this.gauges.show(latest.signals);
    this.signals.show(latest.signals);
    if (!first) return;
    this.wanted ??= gauged(latest.signals).slice(0, 2).map((one) => `${one.message}.${one.signal}`);
    await this.#changed();
  }

  async #gaps() {
    this.missing = (await this.api.get(vehiclePath(this.id, "gaps"), this.signal)).missing;
  }

  #toggle(name) {
    this.wanted = this.wanted.includes(name) ? this.wanted.filter((one) => one !== name) : [...this.wanted, name];
    this.#changed();
  }

  // After the range or the choice of charts: the address, the charts, and what they show.
  async #changed() {
    history.replaceState(null, "", place("vehicle", this.id, { charts: (this.wanted ?? []).join(","), ...this.range.query }));
    for (const [name, chart] of this.charts) {
      if (this.wanted.includes(name)) continue;
      chart.destroy();
      this.charts.delete(name);
    }
    for (const name of this.wanted ?? []) {
      if (this.charts.has(name) || !this.known.has(name)) continue;
      const chart = new SignalChart(this.known.get(name), { zoom: (from, to) => this.range.fix(from, to), close: () => this.#toggle(name) });
      this.charts.set(name, chart);
      this.plots.append(chart.node);
    }
    this.none.hidden = this.charts.size > 0;
    this.signals.mark(this.wanted ?? []);
    try {
      await this.#load();
    } catch (error) {
      if (!this.signal.aborted) this.chartError.say(error);
    }
  }

  // What the range shows; an answer that comes after a later question is dropped.
  async #load() {
    const [from, to] = this.range.now;
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const charts = [...this.charts.values()];
    const [anomalies, ...answers] = await Promise.all([
      this.api.get(address("/v1/anomalies", { vehicle_id: this.id, from, to, limit: ANOMALIES }), this.signal),
      ...charts.map(({ message, signal }) => this.api.get(address(vehiclePath(this.id, `signals/${encodeURIComponent(signal)}`), { message, from, to }), this.signal)),
    ]);
    if (turn !== this.turn) return;
    this.chartError.say(null);
    charts.forEach((chart, i) => chart.show(answers[i], [from, to], anomalies.anomalies));
    this.found.tBodies[0].replaceChildren(...anomalies.anomalies.slice(0, 50).map((one) => anomalyRow(one, { vehicle: false })));
    this.noneFound.hidden = anomalies.anomalies.length > 0;
    this.found.hidden = !this.noneFound.hidden;
    await this.#loadTrips(from, to);
  }

  #map(withTrips) {
    this.withTrips = withTrips;
    this.lines = [];
    this.map = new FleetMap(this.place, { label: `Map of ${this.id}`, describe: (id) => id, choose: () => {}, signal: this.signal });
    const show = () => this.map.show(Points.of(this.fleet, this.id), { tracks: this.fleet.tracks, trips: this.lines, chosen: this.id });
    this.fleet.addEventListener("places", show, { signal: this.signal });
    this.showMap = show;
    show();
  }

  async #loadTrips(from, to) {
    if (!this.withTrips || to - from > LONGEST_TRIPS_US) return;
    const { trips } = await this.api.get(address(vehiclePath(this.id, "trips"), { from, to }), this.signal);
    const lines = trips.map((trip) => trip.track.map((point) => [toX(point.longitude), toY(point.latitude)]));
    const kilometres = trips.reduce((sum, trip) => sum + (trip.distance_m ?? 0), 0) / 1000;
    const length = trips.reduce((sum, trip) => sum + trip.duration_s, 0);
    setText(this.trips, trips.length ? `${counted(trips.length, "trip", "trips")}, ${kilometres.toFixed(1)} km, ${seconds(length)}` : "No trip in this range.");
    const before = this.lines.length;
    this.lines = lines.filter((line) => line.length > 1);
    this.showMap();
    if (this.lines.length !== before && !this.map.moved) this.map.fit();
  }
}
