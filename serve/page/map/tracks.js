// The last places of every vehicle, kept while the page is open: a ring of `LENGTH` points each, in flat arrays.

import { toX, toY } from "./projection.js";

const LENGTH = 90;

export class Tracks {
  constructor() {
    this.slotOf = new Map();
    this.x = new Float64Array(0);
    this.y = new Float64Array(0);
    this.count = new Int32Array(0); // points ever added; the newest is at (count - 1) % LENGTH
    this.newest = new Float64Array(0);
  }

  // Takes in the columns of a fleet's places. O(vehicles).
  add({ vehicle_id: ids, positioned_at: at, latitude, longitude }) {
    this.#room(ids.length);
    for (let row = 0; row < ids.length; row += 1) {
      if (!at[row]) continue;
      let slot = this.slotOf.get(ids[row]);
      if (slot === undefined) {
        slot = this.slotOf.size;
        this.#room(slot + 1);
        this.slotOf.set(ids[row], slot);
      }
      if (at[row] <= this.newest[slot]) continue;
      const place = slot * LENGTH + (this.count[slot] % LENGTH);
      this.x[place] = toX(longitude[row]);
      this.y[place] = toY(latitude[row]);
      this.newest[slot] = at[row];
      this.count[slot] += 1;
    }
  }

  // Calls `each(x, y, first)` for the points of a vehicle, the oldest first.
  walk(id, each) {
    const slot = this.slotOf.get(id);
    if (slot === undefined) return;
    const end = this.count[slot];
    for (let i = Math.max(0, end - LENGTH); i < end; i += 1) {
      const place = slot * LENGTH + (i % LENGTH);
      each(this.x[place], this.y[place], i === Math.max(0, end - LENGTH));
    }
  }

  #room(slots) {
    if (slots <= this.count.length) return;
    const more = Math.max(64, 2 * slots);
    const grown = (Kind, array, length) => { const made = new Kind(length); made.set(array); return made; };
    this.x = grown(Float64Array, this.x, more * LENGTH);
    this.y = grown(Float64Array, this.y, more * LENGTH);
    this.count = grown(Int32Array, this.count, more);
    this.newest = grown(Float64Array, this.newest, more);
  }
}
