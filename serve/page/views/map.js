// The map of the fleet, with the tracks of the last minutes.

import { h, setText } from "../dom.js";
import { ago, counted, exact, whole } from "../format.js";
import { place } from "../links.js";
import { FleetMap } from "../map/map.js";
import { Points } from "../map/points.js";

export const title = "Map";

export function mount(root, { fleet }, route, signal) {
  const count = h("p", { class: "hint" });
  const key = h("p", { class: "key" },
    h("span", { class: "dot online", text: "online" }), h("span", { class: "dot offline", text: "silent for a minute" }),
    h("span", { class: "dot unusual", text: "open anomaly" }), route.query.vehicle ? h("span", { text: `○ ${route.query.vehicle}` }) : null);
  const at = h("div", { class: "map-place whole" });
  root.append(h("section", { class: "card" }, h("div", { class: "row" }, count, key), at));
  const update = () => {
    const placed = fleet.places.positioned_at.reduce((sum, one) => sum + (one > 0), 0);
    setText(count, `${whole(placed)} of ${whole(fleet.places.vehicle_id.length)} vehicles say where they are. Zoom in to see tracks.`);
  };
  fleetMap(at, fleet, signal, { chosen: route.query.vehicle, large: true });
  fleet.addEventListener("places", update, { signal });
  update();
}

// A map of the whole fleet, with its fences, in `root` that follows what is known; a click opens the vehicle.
export function fleetMap(root, fleet, signal, { chosen = null, large = false, choose = (id) => { location.hash = place("vehicle", id); } } = {}) {
  let fences = [];
  const describe = (id) => {
    const row = fleet.rowOf.get(id);
    if (row === undefined) return id;
    const { speed, last_seen: seen, now } = fleet.places;
    const open = fleet.open.get(id);
    return [id, `${exact(speed[row])} km/h`, ago(seen[row], now), open ? counted(open, "open anomaly", "open anomalies") : ""].filter(Boolean).join("\n");
  };
  const map = new FleetMap(root, { label: "Map of the fleet", describe, signal, large, choose });
  const show = () => map.show(Points.of(fleet), { tracks: fleet.tracks, fences, chosen });
  fleet.addEventListener("places", show, { signal });
  show();
  // A map without its fences is a map: the view of the fences says what is wrong.
  fleet.fences().then((found) => {
    fences = found;
    show();
    if (found.length && !map.moved) map.fit();
  }, () => {});
  return map;
}
