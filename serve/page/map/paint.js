// Paints a map: graticule, tracks, points and scale bar, each in as few paths as it has colours.

import { colour } from "../dom.js";
import { metresAt, niceBelow, stepFor, toLatitude, toLongitude, toX, toY } from "./projection.js";
import { OFFLINE, ONLINE, UNUSUAL } from "./points.js";

const TRACKS = 400; // more vehicles in sight than this, and only the chosen one shows where it came from
const CROWD = 8; // so many points within some pixels get a number beside them
const CROWD_CELL = 36;
const MOST_CROWDS = 80;
const NAMED_FENCES = 12; // of more, only those that are as wide as their name have it beside them
const LEAST_FENCE = 7;
const ROUND = 3_000; // more points than this are squares, which cost a fraction

export function palette() {
  const names = ["map", "line", "muted", "text", "accent", "good", "bad", "surface"];
  return Object.fromEntries(names.map((name) => [name, colour(name)]));
}

export function paint(context, view, points, { tracks, trips, fences, chosen, colours }) {
  context.fillStyle = colours.map;
  context.fillRect(0, 0, view.width, view.height);
  context.font = "11px system-ui, sans-serif";
  graticule(context, view, colours);
  outlines(context, view, fences, colours);
  const seen = inSight(view, points);
  context.lineJoin = "round";
  if (trips.length) line(context, view, trips, colours.accent, 2);
  if (tracks && seen.length <= TRACKS) trail(context, view, points, seen, tracks, colours);
  dots(context, view, points, seen, colours);
  crowds(context, view, points, seen, colours);
  if (chosen) mark(context, view, points, chosen, tracks, colours);
  scaleBar(context, view, colours);
  return seen.length;
}

function inSight(view, points) {
  const [left, right] = [view.worldX(-8), view.worldX(view.width + 8)];
  const [top, bottom] = [view.worldY(-8), view.worldY(view.height + 8)];
  const seen = [];
  for (let i = 0; i < points.length; i += 1) {
    if (points.x[i] >= left && points.x[i] <= right && points.y[i] >= top && points.y[i] <= bottom) seen.push(i);
  }
  return seen;
}

function graticule(context, view, colours) {
  const step = stepFor(360 * (80 / view.scale));
  const digits = step >= 1 ? 0 : Math.min(3, Math.ceil(-Math.log10(step)) + (step === 0.25 ? 1 : 0));
  const label = (value, positive, negative) => `${Math.abs(value).toFixed(digits)}°${value > 1e-9 ? positive : value < -1e-9 ? negative : ""}`;
  context.strokeStyle = colours.line;
  context.fillStyle = colours.muted;
  context.lineWidth = 1;
  context.beginPath();
  const [west, east] = [Math.max(-180, toLongitude(view.worldX(0))), Math.min(180, toLongitude(view.worldX(view.width)))];
  for (let n = Math.ceil(west / step); n * step <= east; n += 1) {
    const x = Math.round(view.screenX(toX(n * step))) + 0.5;
    context.moveTo(x, 0);
    context.lineTo(x, view.height);
    context.fillText(label(n * step, "E", "W"), x + 4, 12);
  }
  const [north, south] = [Math.min(85, toLatitude(view.worldY(0))), Math.max(-85, toLatitude(view.worldY(view.height)))];
  for (let n = Math.ceil(south / step); n * step <= north; n += 1) {
    const y = Math.round(view.screenY(toY(n * step))) + 0.5;
    context.moveTo(0, y);
    context.lineTo(view.width, y);
    if (y > 26) context.fillText(label(n * step, "N", "S"), 4, y - 4);
  }
  context.stroke();
}

// Fences: their outlines, and their names where there is room for them. One that is too small to see is a small square.
function outlines(context, view, fences, colours) {
  context.strokeStyle = context.fillStyle = colours.good;
  context.lineWidth = 1.5;
  for (const { name, outline } of fences) {
    const pixels = outline.map(([x, y]) => [view.screenX(x), view.screenY(y)]);
    const [left, right] = [Math.min(...pixels.map(([x]) => x)), Math.max(...pixels.map(([x]) => x))];
    const [top, bottom] = [Math.min(...pixels.map(([, y]) => y)), Math.max(...pixels.map(([, y]) => y))];
    if (right < 0 || left > view.width || bottom < 0 || top > view.height) continue;
    const small = Math.max(right - left, bottom - top) < LEAST_FENCE;
    context.beginPath();
    if (small) context.rect((left + right - LEAST_FENCE) / 2, (top + bottom - LEAST_FENCE) / 2, LEAST_FENCE, LEAST_FENCE);
    else pixels.forEach(([x, y], i) => context[i ? "lineTo" : "moveTo"](x, y));
    context.closePath();
    context.globalAlpha = 0.12;
    context.fill();
    context.globalAlpha = 1;
    context.stroke();
    if (fences.length <= NAMED_FENCES || right - left > context.measureText(name).width) context.fillText(name, Math.max(4, left), Math.min(view.height - 4, bottom + (small ? LEAST_FENCE : 0) + 12));
  }
}

function dots(context, view, points, seen, colours) {
  const radius = seen.length > ROUND ? 1.5 : seen.length > 500 ? 2.5 : 4;
  for (const [kind, name] of [[OFFLINE, "muted"], [ONLINE, "accent"], [UNUSUAL, "bad"]]) {
    context.fillStyle = colours[name];
    context.beginPath();
    const size = kind === UNUSUAL ? radius + 1 : radius;
    for (const i of seen) {
      if (points.kind[i] !== kind) continue;
      const [x, y] = [view.screenX(points.x[i]), view.screenY(points.y[i])];
      // Not by colour alone: what is unusual has corners, or is larger where all have.
      if (kind === UNUSUAL || seen.length > ROUND) context.rect(x - size, y - size, 2 * size, 2 * size);
      else {
        context.moveTo(x + size, y);
        context.arc(x, y, size, 0, 2 * Math.PI);
      }
    }
    context.fill();
  }
}

// How many vehicles a heap of points stands for, where one cannot see it.
function crowds(context, view, points, seen, colours) {
  const cells = new Map();
  for (const i of seen) {
    const [x, y] = [view.screenX(points.x[i]), view.screenY(points.y[i])];
    const place = Math.floor(x / CROWD_CELL) + 10_000 * Math.floor(y / CROWD_CELL);
    const cell = cells.get(place);
    if (!cell) cells.set(place, { count: 1, x, y });
    else {
      cell.count += 1;
      cell.x += (x - cell.x) / cell.count;
      cell.y += (y - cell.y) / cell.count;
    }
  }
  if (cells.size > MOST_CROWDS) return;
  // A heap that lies across the border of cells is one.
  const heaps = [];
  for (const cell of cells.values()) {
    const near = heaps.find((heap) => Math.hypot(heap.x - cell.x, heap.y - cell.y) < CROWD_CELL / 2);
    if (near) near.count += cell.count;
    else heaps.push(cell);
  }
  const crowded = heaps.filter(({ count }) => count >= CROWD);
  context.fillStyle = colours.text;
  for (const { count, x, y } of crowded) context.fillText(String(count), x + 9, y - 5);
}

function trail(context, view, points, seen, tracks, colours) {
  context.globalAlpha = 0.45;
  context.strokeStyle = colours.accent;
  context.lineWidth = 1.5;
  context.beginPath();
  for (const i of seen) {
    tracks.walk(points.id(i), (x, y, first) => {
      if (first) context.moveTo(view.screenX(x), view.screenY(y));
      else context.lineTo(view.screenX(x), view.screenY(y));
    });
  }
  context.stroke();
  context.globalAlpha = 1;
}

// Several lines, each a list of [x, y].
function line(context, view, lines, stroke, width) {
  context.strokeStyle = stroke;
  context.lineWidth = width;
  context.beginPath();
  for (const one of lines) one.forEach(([x, y], i) => context[i ? "lineTo" : "moveTo"](view.screenX(x), view.screenY(y)));
  context.stroke();
}

function mark(context, view, points, chosen, tracks, colours) {
  const past = [];
  tracks?.walk(chosen, (x, y) => past.push([x, y]));
  line(context, view, [past], colours.accent, 2.5);
  for (let i = 0; i < points.length; i += 1) {
    if (points.id(i) !== chosen) continue;
    const [x, y] = [view.screenX(points.x[i]), view.screenY(points.y[i])];
    context.beginPath();
    context.arc(x, y, 9, 0, 2 * Math.PI);
    context.lineWidth = 2.5;
    context.strokeStyle = colours.text;
    context.stroke();
    return;
  }
}

function scaleBar(context, view, colours) {
  const metresAPixel = metresAt(view.y) / view.scale;
  const metres = niceBelow(metresAPixel * 140);
  const [length, y] = [metres / metresAPixel, view.height - 12];
  const text = metres >= 1000 ? `${metres / 1000} km` : `${metres} m`;
  context.fillStyle = colours.surface;
  context.globalAlpha = 0.8;
  context.fillRect(6, y - 20, length + 20, 26);
  context.globalAlpha = 1;
  context.strokeStyle = colours.text;
  context.fillStyle = colours.text;
  context.lineWidth = 1.5;
  context.beginPath();
  context.moveTo(16, y - 5);
  context.lineTo(16, y);
  context.lineTo(16 + length, y);
  context.lineTo(16 + length, y - 5);
  context.stroke();
  context.fillText(text, 20, y - 6);
}
