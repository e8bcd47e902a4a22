// Anomalies with filters: those of the past by the API, and new ones as they happen.

import { address } from "../api.js";
import { h, scroller, setText } from "../dom.js";
import { whole, words } from "../format.js";
import { anomalyRow, anomalyTable, place, trouble } from "../links.js";

export const title = "Anomalies";
const LIMIT = 500;
const KINDS = ["out_of_range", "sudden_deviation", "rate_of_change", "stuck", "missing_message", "unknown_arbitration_id", "flood"];

export function mount(root, { fleet, api }, route, signal) {
  const { query } = route;
  const found = new Map();
  const fields = {
    kind: h("select", { id: "anomaly-kind" }, h("option", { value: "", text: "all kinds" }), KINDS.map((kind) => h("option", { value: kind, text: words(kind), selected: kind === query.kind }))),
    vehicle: h("input", { id: "anomaly-vehicle", autocomplete: "off", spellcheck: "false", value: query.vehicle }),
    from: h("input", { id: "anomaly-from", type: "datetime-local", step: "1", value: query.from }),
    to: h("input", { id: "anomaly-to", type: "datetime-local", step: "1", value: query.to }),
    open: h("input", { id: "anomaly-open", type: "checkbox", checked: query.open === "1" }),
  };
  const count = h("p", { class: "hint", role: "status" });
  const error = trouble();
  const list = anomalyTable("Anomalies, newest first");
  const labelled = (name, text) => h("div", {}, h("label", { for: fields[name].id, text }), fields[name]);
  const form = h("form", { class: "filters", onsubmit: (event) => { event.preventDefault(); changed(); } },
    labelled("kind", "Kind"), labelled("vehicle", "Vehicle"), labelled("from", "From"), labelled("to", "To"),
    h("label", { class: "check" }, fields.open, " open only"),
    h("button", { type: "reset", text: "Clear" }));
  root.append(h("section", { class: "card" }, form, error.node, count, scroller("Anomalies", list)));

  const value = (name) => (name === "open" ? (fields.open.checked ? "1" : "") : fields[name].value.trim());
  const micros = (name) => (fields[name].value ? new Date(fields[name].value).getTime() * 1000 : "");
  const matches = (one) => (!value("kind") || one.kind === value("kind")) && (!value("vehicle") || one.vehicle_id === value("vehicle"))
    && (!micros("from") || one.timestamp >= micros("from")) && (!micros("to") || one.timestamp < micros("to")) && (!value("open") || !one.closed);
  const show = () => {
    const all = [...found.values()].filter(matches).sort((a, b) => b.timestamp - a.timestamp).slice(0, LIMIT);
    const focused = document.activeElement?.closest?.("tr")?.dataset.id;
    list.tBodies[0].replaceChildren(...all.map((one) => anomalyRow(one)));
    if (focused) list.querySelector(`tr[data-id="${CSS.escape(focused)}"] a`)?.focus();
    setText(count, all.length === LIMIT ? `The newest ${whole(LIMIT)}.` : `${whole(all.length)} found.`);
  };
  const load = async () => {
    const wanted = { kind: value("kind"), vehicle_id: value("vehicle"), from: micros("from"), to: micros("to"), limit: LIMIT };
    try {
      const answer = await api.get(address("/v1/anomalies", wanted), signal);
      found.clear();
      for (const one of answer.anomalies) found.set(one.id, one);
      error.say(answer.partial ? new Error(answer.reason) : null);
      show();
    } catch (problem) {
      if (!signal.aborted) error.say(problem);
    }
  };
  function changed() {
    const kept = Object.fromEntries(Object.keys(fields).map((name) => [name, value(name)]));
    history.replaceState(null, "", place("anomalies", "", kept));
    load();
  }
  form.addEventListener("change", changed);
  // A reset changes the fields after its event.
  form.addEventListener("reset", (event) => {
    event.preventDefault();
    for (const field of Object.values(fields)) field.type === "checkbox" ? (field.checked = false) : (field.value = "");
    changed();
  });
  fleet.addEventListener("anomalies", () => {
    const newest = [...fleet.anomalies.values()].filter(matches);
    for (const one of newest) found.set(one.id, one);
    if (newest.length) show();
  }, { signal });
  load();
}
