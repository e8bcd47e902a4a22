// The places of a fleet as a map draws them: columns of the square's coordinates, and a grid to find one under a finger.

import { toX, toY } from "./projection.js";

export const OFFLINE = 0;
export const ONLINE = 1;
export const UNUSUAL = 2; // online or not, an anomaly of it is open

const CELL = 24; // pixels

export class Points {
  constructor() {
    this.length = 0;
    this.ids = [];
    this.rows = new Int32Array(0);
    this.x = new Float64Array(0);
    this.y = new Float64Array(0);
    this.kind = new Uint8Array(0);
    this.speed = [];
  }

  // Takes over those vehicles of a `Fleet` that have a place, or `only` one of them. O(vehicles).
  static of(fleet, only = null) {
    const { vehicle_id: ids, positioned_at: at, latitude, longitude } = fleet.places;
    const points = new Points();
    points.rows = new Int32Array(ids.length);
    points.x = new Float64Array(ids.length);
    points.y = new Float64Array(ids.length);
    points.kind = new Uint8Array(ids.length);
    points.ids = ids;
    for (let row = 0; row < ids.length; row += 1) {
      if (!at[row] || (only !== null && ids[row] !== only)) continue;
      const i = points.length;
      points.rows[i] = row;
      points.x[i] = toX(longitude[row]);
      points.y[i] = toY(latitude[row]);
      points.kind[i] = fleet.open.has(ids[row]) ? UNUSUAL : fleet.online(row) ? ONLINE : OFFLINE;
      points.length += 1;
    }
    return points;
  }

  id(i) {
    return this.ids[this.rows[i]];
  }
}

// Which points lie in which cell of the screen; made again when the view or the points have changed.
export class Grid {
  constructor(points, view) {
    this.points = points;
    this.view = view;
    this.cells = new Map();
    for (let i = 0; i < points.length; i += 1) {
      const [x, y] = [view.screenX(points.x[i]), view.screenY(points.y[i])];
      if (x < 0 || y < 0 || x > view.width || y > view.height) continue;
      const cell = Math.floor(x / CELL) + 10_000 * Math.floor(y / CELL);
      const found = this.cells.get(cell);
      if (found) found.push(i);
      else this.cells.set(cell, [i]);
    }
  }

  // The point nearest to a pixel, at most `CELL` away; -1 where there is none.
  nearest(pixelX, pixelY, reach = 12) {
    let [best, distance] = [-1, reach * reach];
    const [column, line] = [Math.floor(pixelX / CELL), Math.floor(pixelY / CELL)];
    for (let dx = -1; dx <= 1; dx += 1) {
      for (let dy = -1; dy <= 1; dy += 1) {
        for (const i of this.cells.get(column + dx + 10_000 * (line + dy)) ?? []) {
          const away = (this.view.screenX(this.points.x[i]) - pixelX) ** 2 + (this.view.screenY(this.points.y[i]) - pixelY) ** 2;
          if (away <= distance) [best, distance] = [i, away];
        }
      }
    }
    return best;
  }
}
