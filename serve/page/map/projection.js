// Web Mercator (EPSG:3857): the world as a square, x and y from 0 to 1, y down.

const MOST = 85.051129; // where the square ends
const EARTH_M = 40_075_016.686; // around the equator

export const toX = (longitude) => longitude / 360 + 0.5;

export function toY(latitude) {
  const sine = Math.sin((Math.max(-MOST, Math.min(MOST, latitude)) * Math.PI) / 180);
  return 0.5 - Math.log((1 + sine) / (1 - sine)) / (4 * Math.PI);
}

export const toLongitude = (x) => (x - 0.5) * 360;
export const toLatitude = (y) => (Math.atan(Math.sinh((0.5 - y) * 2 * Math.PI)) * 180) / Math.PI;

// Metres that a unit of the square is long at y.
export const metresAt = (y) => EARTH_M * Math.cos((toLatitude(y) * Math.PI) / 180);

// The largest of 1, 2, 5, 10 … that is at most `value`.
export function niceBelow(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [5, 2, 1].find((digit) => digit * power <= value) * power;
}

const STEPS = [30, 15, 10, 5, 2, 1, 0.5, 0.25, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001];

// Degrees between the lines of a graticule for which one every `degrees` would do.
export const stepFor = (degrees) => STEPS.findLast((step) => step >= degrees) ?? STEPS[0];

// A part of the world on a screen of width x height pixels.
export class Viewport {
  constructor() {
    Object.assign(this, { x: 0.5, y: 0.4, scale: 600, width: 1, height: 1 }); // the centre; pixels a unit
  }

  screenX(x) {
    return (x - this.x) * this.scale + this.width / 2;
  }

  screenY(y) {
    return (y - this.y) * this.scale + this.height / 2;
  }

  worldX(pixel) {
    return (pixel - this.width / 2) / this.scale + this.x;
  }

  worldY(pixel) {
    return (pixel - this.height / 2) / this.scale + this.y;
  }

  pan(right, down) {
    this.x -= right / this.scale;
    this.y = Math.max(0, Math.min(1, this.y - down / this.scale));
  }

  // What lies under the pixel stays there.
  zoom(factor, pixelX = this.width / 2, pixelY = this.height / 2) {
    const [x, y] = [this.worldX(pixelX), this.worldY(pixelY)];
    this.scale = Math.max(this.height, Math.min(2e9, this.scale * factor));
    this.x = x - (pixelX - this.width / 2) / this.scale;
    this.y = y - (pixelY - this.height / 2) / this.scale;
  }

  // Shows all of the points; false where there are none.
  fit(xs, ys, count) {
    let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let i = 0; i < count; i += 1) {
      if (xs[i] < left) left = xs[i];
      if (xs[i] > right) right = xs[i];
      if (ys[i] < top) top = ys[i];
      if (ys[i] > bottom) bottom = ys[i];
    }
    if (left > right) return false;
    const least = 2e-6; // some 80 m: one vehicle alone needs no more
    this.x = (left + right) / 2;
    this.y = (top + bottom) / 2;
    this.scale = Math.min((this.width * 0.86) / Math.max(least, right - left), (this.height * 0.82) / Math.max(least, bottom - top));
    return true;
  }
}
