// What the page knows of the fleet: numbers, places and anomalies, kept up to date for whichever view is open.

import { follow, repeat } from "./live.js";
import { Fence } from "./map/fence.js";
import { Tracks } from "./map/tracks.js";

const KEPT_ANOMALIES = 2_000;
const KEPT_RATES = 300;
const LARGE = 2_000;
const ONLINE_US = 60_000_000;

// Events: `summary`, `places`, `anomalies` (detail: those that are new), `state` (detail: live, wait).
export class Fleet extends EventTarget {
  #fences = null;

  constructor(api) {
    super();
    this.api = api;
    this.summary = null;
    this.places = { now: 0, vehicle_id: [], last_seen: [], last_received: [], positioned_at: [], latitude: [], longitude: [], speed: [] };
    this.rowOf = new Map(); // vehicle → its row in the columns of `places`
    this.anomalies = new Map(); // id → anomaly, the oldest first
    this.open = new Map(); // vehicle → how many of those are open
    this.rates = []; // [seconds, frames per second] of the last minutes
    this.tracks = new Tracks();
  }

  // Runs until `signal` aborts; `refused` is told where the key does not open the fleet.
  start(signal, refused) {
    const on = {
      state: (live, wait) => {
        this.#tell("state", { live, wait });
        if (live) this.#catchUp(signal);
      },
      event: (name, data) => (name === "summary" ? this.#summary(data) : name === "anomaly" && this.#anomalies([data])),
      refused,
    };
    follow(this.api, signal, on);
    const period = () => (this.places.vehicle_id.length > LARGE ? 5_000 : 2_000);
    repeat(period, signal, () => this.#places(signal), (error) => error?.status === 401 && refused(error));
  }

  // The fleet's geofences. They are configured, so they are asked for once.
  fences() {
    this.#fences ??= this.api.get("/v1/fleet/geofences").then(({ fences }) => fences.map((one) => new Fence(one)));
    this.#fences.catch(() => { this.#fences = null; });
    return this.#fences;
  }

  online(row) {
    return this.places.last_received[row] > this.places.now - ONLINE_US;
  }

  // Seconds that the newest values of the vehicles online lie behind the platform's clock: median and 95th percentile.
  delays() {
    const { now, last_seen: seen } = this.places;
    const behind = [];
    for (let row = 0; row < seen.length; row += 1) if (this.online(row)) behind.push(Math.max(0, now - seen[row]) / 1e6);
    const sorted = Float64Array.from(behind).sort();
    const at = (part) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];
    return { median: at(0.5), most: at(0.95) };
  }

  // What was missed while the connection was away. What has come since is newer than this answer.
  async #catchUp(signal) {
    const [before, open] = [this.anomalies, this.open];
    this.anomalies = new Map();
    this.open = new Map();
    try {
      const { anomalies } = await this.api.get("/v1/anomalies?limit=500", signal);
      const since = [...this.anomalies.values()];
      this.#anomalies([...anomalies.reverse(), ...since], true);
    } catch {
      // The connection is lost again, or was for a moment: the next one catches up, and until then the old ones stand.
      if (this.anomalies.size === 0) [this.anomalies, this.open] = [before, open];
    }
  }

  #summary(summary) {
    this.summary = summary;
    if (typeof summary.frames_per_second === "number") this.rates.push([Date.now() / 1000, summary.frames_per_second]);
    if (this.rates.length > KEPT_RATES) this.rates.shift();
    this.#tell("summary");
  }

  async #places(signal) {
    this.places = await this.api.get("/v1/fleet/positions", signal);
    const ids = this.places.vehicle_id;
    if (ids.length !== this.rowOf.size || ids.some((id, row) => this.rowOf.get(id) !== row)) {
      this.rowOf = new Map(ids.map((id, row) => [id, row]));
    }
    this.tracks.add(this.places);
    this.#tell("places");
  }

  #anomalies(changed, known = false) {
    const fresh = [];
    for (const anomaly of changed) {
      const before = this.anomalies.get(anomaly.id);
      if (!before && !known) fresh.push(anomaly);
      this.#count(before, -1);
      this.#count(anomaly, 1);
      this.anomalies.delete(anomaly.id); // a map keeps the place of a key that is set again
      this.anomalies.set(anomaly.id, anomaly);
    }
    for (const [id, oldest] of this.anomalies) {
      if (this.anomalies.size <= KEPT_ANOMALIES) break;
      this.#count(oldest, -1);
      this.anomalies.delete(id);
    }
    this.#tell("anomalies", fresh);
  }

  #count(anomaly, by) {
    if (!anomaly || anomaly.closed) return;
    const count = (this.open.get(anomaly.vehicle_id) ?? 0) + by;
    if (count > 0) this.open.set(anomaly.vehicle_id, count);
    else this.open.delete(anomaly.vehicle_id);
  }

  #tell(name, detail = null) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
