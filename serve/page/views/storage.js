// What the warehouse takes on disk, by table and tier, and what a month will. For the operator's key alone.

import { address } from "../api.js";
import { card, h, scroller, setText, table } from "../dom.js";
import { compact, number, size, whole, words } from "../format.js";
import { place, trouble } from "../links.js";
import { repeat } from "../live.js";

export const title = "Storage";
const PERIOD_MS = 10_000;
const COLUMNS = [["Table"], ["Tier"], ["Parts", "number"], ["Rows", "number"], ["On disk", "number"], ["Bytes a row", "number"], ["Compressed", "number"], ["USD a month", "number"], ["", "wide"]];

export function mount(root, { api }, route, signal) {
  const error = trouble();
  const lacking = h("p", { class: "hint", role: "status", hidden: true, text: "What is stored is that of all fleets together, so only the bootstrap key sees it." });
  const rate = h("input", { id: "storage-rate", type: "number", min: "0", max: "1000000000", step: "any", value: route.query.rate, placeholder: "as in the last five minutes" });
  const [sums, ahead] = [tiles(), tiles()];
  const list = table("Storage by table and tier", COLUMNS, { class: "bars" });
  const none = h("p", { class: "hint", text: "There are no frames to learn from yet." });
  const body = h("div", { class: "stack", hidden: true },
    sums.node,
    card("By table and tier", scroller("Storage by table and tier", list)),
    card("What a month takes",
      h("form", { class: "filters", onsubmit: (event) => event.preventDefault() },
        h("div", {}, h("label", { for: rate.id, text: "Frames a second" }), rate)),
      ahead.node, none));
  root.append(h("section", { class: "card", hidden: true }, error.node, lacking), body);
  const said = root.firstElementChild;

  const show = ({ tiers, inserted_per_s: inserted, month }) => {
    const sum = (name, tier) => tiers.reduce((all, one) => all + (!tier || one.tier === tier ? one[name] : 0), 0);
    sums.show([
      ["On disk", size(sum("bytes")), `${size(sum("bytes", "cold"))} of it cold`],
      ["Rows", compact(sum("rows")), ""],
      ["Parts", whole(sum("parts")), ""],
      ["Frames stored a second", compact(inserted.frames ?? 0), "over five minutes"],
      ["USD a month", number(sum("usd_per_month"), 2), ""],
    ]);
    const most = Math.max(1, ...tiers.map((one) => one.bytes));
    list.tBodies[0].replaceChildren(...tiers.map((one) => row(one, most)));
    none.hidden = month !== null;
    ahead.node.hidden = month === null;
    if (month) {
      ahead.show([
        ["Bytes a frame", number(month.bytes_per_frame, 1), "values and rollups included"],
        ["A month", size(month.month_bytes), `${compact(month.frames_per_s)} frames/s, USD ${number(month.month_usd, 2)}`],
        ["Hot, in the end", size(month.kept_hot_bytes), "once the retention is reached"],
        ["Cold, in the end", size(month.kept_cold_bytes), "likewise"],
        ["USD a month, in the end", number(month.kept_usd, 2), ""],
      ]);
    }
    body.hidden = false;
  };
  const failed = (problem) => {
    error.say(problem);
    said.hidden = !problem && lacking.hidden;
  };
  const load = async () => show(await api.get(address("/v1/storage", { rate: rate.value }), signal));
  rate.addEventListener("change", () => {
    history.replaceState(null, "", place("storage", "", { rate: rate.value }));
    load().then(() => failed(null), (problem) => { if (!signal.aborted) failed(problem); });
  });

  let operator = null;
  repeat(PERIOD_MS, signal, async () => {
    // A browser writes each refusal into its console: who may not see it does not ask.
    operator ??= (await api.get("/v1/status", signal)).operator;
    lacking.hidden = operator;
    if (operator) await load();
  }, failed);
}

function row(one, most) {
  const bar = h("div", { class: "bar plain" });
  bar.style.width = `${(one.bytes / most) * 100}%`;
  const numbers = [whole(one.parts), whole(one.rows), size(one.bytes), one.rows ? number(one.bytes / one.rows, 2) : "–", `${number(one.ratio, 1)} : 1`, number(one.usd_per_month, 2)];
  return h("tr", {}, h("th", { scope: "row", text: words(one.table) }), h("td", { text: one.tier }),
    numbers.map((text) => h("td", { class: "number", text })), h("td", { class: "wide", "aria-hidden": "true" }, bar));
}

function tiles() {
  const node = h("dl", { class: "tiles" });
  const show = (told) => {
    while (node.children.length < told.length) node.append(h("div", {}, h("dt"), h("dd"), h("dd", { class: "hint" })));
    told.forEach((texts, i) => texts.forEach((text, part) => setText(node.children[i].children[part], text)));
  };
  return { node, show };
}
