// All vehicles as a table, with a filter.

import { h, scroller, setText, table } from "../dom.js";
import { ago, exact, whole } from "../format.js";
import { place, vehicleLink } from "../links.js";

export const title = "Vehicles";
const SHOWN = 200;
const collator = new Intl.Collator("en", { numeric: true });

export function mount(root, { fleet }, route, signal) {
  const field = h("input", { id: "vehicle-filter", type: "search", autocomplete: "off", value: route.query.q });
  const open = h("input", { id: "vehicle-open", type: "checkbox", checked: route.query.open === "1" });
  const count = h("p", { class: "hint", role: "status" });
  const list = table("Vehicles", [["Vehicle"], ["Newest frame"], ["Speed", "number"], ["Position"], ["Open anomalies", "number"]]);
  root.append(h("section", { class: "card" },
    h("form", { class: "filters", onsubmit: (event) => event.preventDefault() },
      h("label", { for: "vehicle-filter", text: "Filter" }), field,
      h("label", { class: "check" }, open, " with an open anomaly")),
    scroller("Vehicles", list), count));

  const show = () => {
    const wanted = field.value.trim().toLowerCase();
    const { vehicle_id: ids, last_seen: seen, speed, latitude, longitude, positioned_at: at, now } = fleet.places;
    const rows = [];
    ids.forEach((id, row) => { if (id.toLowerCase().includes(wanted) && (!open.checked || fleet.open.has(id))) rows.push(row); });
    rows.sort((a, b) => collator.compare(ids[a], ids[b]));
    const focused = document.activeElement?.closest?.("tr")?.dataset.vehicle;
    list.tBodies[0].replaceChildren(...rows.slice(0, SHOWN).map((row) => h("tr", { "data-vehicle": ids[row] },
      h("th", { scope: "row" }, vehicleLink(ids[row])),
      h("td", { text: ago(seen[row], now) }),
      h("td", { class: "number", text: speed[row] === null ? "–" : `${exact(speed[row])} km/h` }),
      h("td", { text: at[row] ? `${latitude[row].toFixed(5)}, ${longitude[row].toFixed(5)}` : "–" }),
      h("td", { class: "number", text: whole(fleet.open.get(ids[row]) ?? 0) }))));
    // The rows are new; the focus stays with the vehicle it was on.
    if (focused) list.querySelector(`tr[data-vehicle="${CSS.escape(focused)}"] a`)?.focus();
    const hidden = rows.length - SHOWN;
    setText(count, hidden > 0 ? `${whole(rows.length)} found; the first ${SHOWN} are shown.` : `${whole(rows.length)} found.`);
  };
  const changed = () => {
    history.replaceState(null, "", place("vehicles", "", { q: field.value.trim(), open: open.checked ? "1" : "" }));
    show();
  };
  field.addEventListener("input", changed);
  open.addEventListener("change", changed);
  fleet.addEventListener("places", show, { signal });
  show();
}
