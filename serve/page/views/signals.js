// One signal over the whole fleet: how its values are distributed, and which vehicles lead.

import { address, vehiclePath } from "../api.js";
import { card, h, scroller, setText, table } from "../dom.js";
import { compact, exact, unitText, whole } from "../format.js";
import { chosen as gauged } from "../gauges.js";
import { Histogram } from "../histogram.js";
import { place, trouble, vehicleLink } from "../links.js";

export const title = "Signals";
const SPANS = [[3_600, "the last hour"], [86_400, "the last day"], [604_800, "the last 7 days"], [2_592_000, "the last 30 days"]];
const BY = [["max", "highest"], ["min", "lowest"], ["mean", "highest mean"], ["last", "highest now"], ["count", "most values"]];
const TOPS = [10, 25, 100];
const short = (value) => exact(value && Number(value.toPrecision(3)));
const ASKED = 3; // vehicles that tell which signals there are

export function mount(root, { fleet, api }, route, signal) {
  const { query } = route;
  const choice = (id, choices, wanted) => h("select", { id }, choices.map(([value, text]) => h("option", { value, text, selected: String(value) === String(wanted) })));
  const names = h("datalist", { id: "fleet-signal-names" });
  const fields = {
    signal: h("input", { id: "fleet-signal", list: names.id, autocomplete: "off", spellcheck: "false", value: query.signal, placeholder: "Message.Signal" }),
    span: choice("fleet-signal-span", SPANS, query.span ?? 86_400),
    by: choice("fleet-signal-by", BY, query.by ?? "max"),
    top: choice("fleet-signal-top", TOPS.map((count) => [count, whole(count)]), query.top ?? 10),
  };
  const labelled = (name, text) => h("div", {}, h("label", { for: fields[name].id, text }), fields[name]);
  const error = trouble();
  const said = h("p", { class: "hint", role: "status" });
  const numbers = h("dl", { class: "tiles" });
  const histogram = new Histogram(signal);
  const leading = table("Vehicles that lead", [["Vehicle"], ["Lowest", "number"], ["Mean", "number"], ["Highest", "number"], ["Last", "number"], ["Values", "number"]]);
  root.append(
    h("section", { class: "card" },
      h("form", { class: "filters", onsubmit: (event) => { event.preventDefault(); changed(); } },
        labelled("signal", "Signal"), names, labelled("span", "In"), labelled("by", "Vehicles with the"), labelled("top", "So many")),
      error.node, said),
    numbers,
    card("Distribution", histogram.node, h("p", { class: "hint", text: "Of the means of minutes, of hours from two days on; each as often as it has values." })),
    card("Vehicles that lead", scroller("Vehicles that lead", leading)));

  const known = new Map(); // Message.Signal → what a vehicle says of it
  let turn = 0;
  const given = () => Object.fromEntries(Object.entries(fields).map(([key, field]) => [key, field.value.trim()]));
  const changed = () => {
    history.replaceState(null, "", place("signals", "", given()));
    load();
  };
  const load = async () => {
    const name = fields.signal.value.trim();
    if (!name) return;
    const kept = given();
    const mine = (turn += 1);
    const dot = name.lastIndexOf(".");
    const to = Date.now() * 1000;
    const range = { from: to - Number(kept.span) * 1e6, to };
    const path = `/v1/fleet/signals/${encodeURIComponent(name.slice(dot + 1))}`;
    try {
      const answer = await api.get(address(path, { message: name.slice(0, Math.max(0, dot)), by: kept.by, top: kept.top, ...range }), signal);
      if (mine !== turn) return;
      error.say(null);
      show(answer, name, range);
    } catch (problem) {
      if (!signal.aborted && mine === turn) error.say(problem);
    }
  };
  const show = (answer, name, range) => {
    const unit = unitText(known.get(name)?.unit);
    const told = (value) => `${exact(value)} ${unit}`.trim();
    const { quantiles } = answer;
    setText(said, answer.count ? `${whole(answer.vehicles)} vehicles sent ${compact(answer.count)} values of ${name}.` : `No vehicle sent ${name} in this time.`);
    numbers.hidden = !answer.count;
    numbers.replaceChildren(...[
      ["Lowest", told(answer.min)], ["Mean", told(answer.mean)], ["Median", told(quantiles["0.5"])],
      ["5 % to 95 %", `${short(quantiles["0.05"])} to ${short(quantiles["0.95"])} ${unit}`.trim()], ["Highest", told(answer.max)],
    ].map(([what, value]) => h("div", {}, h("dt", { text: what }), h("dd", { text: value }))));
    histogram.show(answer, `${name} over the fleet: from ${told(answer.min)} to ${told(answer.max)}, median ${told(quantiles["0.5"])}; 90 % lie between ${told(quantiles["0.05"])} and ${told(quantiles["0.95"])}.`);
    const link = name.includes(".") ? { charts: name, ...range } : {};
    leading.tBodies[0].replaceChildren(...answer.top.map((one) => h("tr", {},
      h("th", { scope: "row" }, vehicleLink(one.vehicle_id, link)),
      [one.min, one.mean, one.max, one.last].map((value) => h("td", { class: "number", text: exact(value) })),
      h("td", { class: "number", text: whole(one.count) }))));
  };

  // Which signals there are, a few vehicles tell: the endpoint takes any name.
  const learn = async () => {
    const ids = fleet.places.vehicle_id;
    if (!ids.length || known.size) return;
    const asked = new Set(Array.from({ length: ASKED }, (_, i) => ids[Math.floor((i * ids.length) / ASKED)]));
    const answers = await Promise.allSettled([...asked].map((id) => api.get(vehiclePath(id, "latest"), signal)));
    const signals = answers.flatMap(({ value }) => value?.signals ?? []);
    for (const one of signals) known.set(`${one.message}.${one.signal}`, one);
    names.replaceChildren(...[...known.keys()].sort().map((name) => h("option", { value: name })));
    const [first] = gauged(signals);
    if (!fields.signal.value && first) fields.signal.value = `${first.message}.${first.signal}`;
    await load();
  };
  for (const field of Object.values(fields)) field.addEventListener("change", changed);
  fleet.addEventListener("places", learn, { signal });
  load();
  learn();
}
