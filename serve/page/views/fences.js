// The fleet's geofences: their outlines on the map, who is inside now, and when a vehicle entered and left.

import { address, vehiclePath } from "../api.js";
import { card, h, scroller, setText, table } from "../dom.js";
import { counted, whole } from "../format.js";
import { place, time, trouble, vehicleLink } from "../links.js";
import { fleetMap } from "./map.js";

export const title = "Geofences";
const SPANS = [[86_400, "the last day"], [604_800, "the last 7 days"], [2_678_400, "the last 31 days"]];
const NAMED = 5;
const SHOWN = 500;

export function mount(root, { fleet, api }, route, signal) {
  const error = trouble();
  const vehicle = h("input", { id: "fence-vehicle", autocomplete: "off", spellcheck: "false", value: route.query.vehicle });
  const span = h("select", { id: "fence-span" }, SPANS.map(([seconds, text]) => h("option", { value: seconds, text, selected: String(seconds) === route.query.span })));
  const said = h("p", { class: "hint", role: "status" });
  const at = h("div", { class: "map-place" });
  const inside = table("Fences", [["Fence"], ["Inside now", "number"], ["Which", "wide"]]);
  const events = table("Entering and leaving", [["Time"], ["Fence"], ["What"], ["Where"]]);
  root.append(
    h("div", { class: "halves" },
      card("Where they are", at, h("p", { class: "hint", text: "A click on a vehicle shows its events." })),
      card("Fences", error.node, scroller("Fences", inside))),
    card("Entering and leaving",
      h("form", { class: "filters", onsubmit: (event) => { event.preventDefault(); changed(); } },
        h("div", {}, h("label", { for: vehicle.id, text: "Vehicle" }), vehicle),
        h("div", {}, h("label", { for: span.id, text: "In" }), span),
        h("button", { type: "submit", text: "Show" })),
      said, scroller("Entering and leaving", events)));
  const map = fleetMap(at, fleet, signal, { choose: (id) => { vehicle.value = id; changed(); } });

  fleet.fences().then((fences) => {
    if (signal.aborted) return;
    if (!fences.length) error.node.replaceWith(h("p", { class: "hint", text: "This fleet has none: they stand under history.geofences in the platform's configuration." }));
    const rows = fences.map((fence) => new FenceRow(fence, () => map.showFence(fence)));
    inside.tBodies[0].replaceChildren(...rows.map(({ node }) => node));
    const show = () => rows.forEach((one) => one.show(fleet.places));
    fleet.addEventListener("places", show, { signal });
    show();
  }, (problem) => { if (!signal.aborted) error.say(problem); });

  function changed() {
    history.replaceState(null, "", place("geofences", "", { vehicle: vehicle.value.trim(), span: span.value }));
    load();
  }
  async function load() {
    const id = vehicle.value.trim();
    if (!id) {
      setText(said, "Name a vehicle, or choose one on the map.");
      return events.tBodies[0].replaceChildren();
    }
    const to = Date.now() * 1000;
    try {
      tell(await api.get(address(vehiclePath(id, "geofences"), { from: to - span.value * 1e6, to }), signal));
    } catch (problem) {
      if (signal.aborted) return;
      events.tBodies[0].replaceChildren();
      setText(said, problem.message);
    }
  }
  function tell({ vehicle_id: id, events: found, inside_at_start: before, complete }) {
    const newest = found.toReversed().slice(0, SHOWN);
    events.tBodies[0].replaceChildren(...newest.map((one) => h("tr", {},
      h("td", {}, time(one.timestamp)), h("th", { scope: "row", text: one.fence }), h("td", { text: one.event === "enter" ? "entered" : "left" }),
      h("td", { text: `${one.latitude.toFixed(5)}, ${one.longitude.toFixed(5)}` }))));
    const begun = before.length ? ` It began inside ${before.join(", ")}.` : "";
    const more = complete ? "" : " There are more: choose a shorter time.";
    setText(said, `${id}: ${counted(found.length, "event", "events")}${found.length > SHOWN ? `, the newest ${SHOWN} are shown` : ""}.${begun}${more}`);
  }
  span.addEventListener("change", changed);
  vehicle.addEventListener("change", changed);
  load();
}

class FenceRow {
  constructor(fence, look) {
    this.fence = fence;
    this.count = h("td", { class: "number" });
    this.which = h("td", { class: "wide" });
    const button = h("button", { type: "button", class: "signal", text: fence.name, title: "Show it on the map", onclick: look });
    this.node = h("tr", {}, h("th", { scope: "row" }, button, h("small", { text: fence.kind })), this.count, this.which);
  }

  // O(vehicles).
  show({ vehicle_id: ids, positioned_at: placed, latitude, longitude }) {
    const found = ids.filter((_, row) => placed[row] && this.fence.holds(latitude[row], longitude[row]));
    setText(this.count, whole(found.length));
    const named = found.slice(0, NAMED).sort();
    if (named.join() === this.named) return;
    this.named = named.join();
    this.which.replaceChildren(...named.flatMap((id, i) => [i ? ", " : "", vehicleLink(id)]), found.length > NAMED ? " …" : "");
  }
}
