// Dead letters: what was refused and why, page by page; each, or all of a reason, can be sent again.

import { address } from "../api.js";
import { h, scroller, setText, table } from "../dom.js";
import { whole, words } from "../format.js";
import { time, trouble } from "../links.js";

export const title = "Dead letters";
const PAGE = 50;

export function mount(root, { api }, route, signal) {
  let cursor = null;
  const reason = h("select", { id: "letter-reason" }, h("option", { value: "", text: "all reasons" }));
  const error = trouble();
  const count = h("p", { class: "hint", role: "status" });
  const list = table("Dead letters, newest first", [["Received"], ["Reason"], ["Row", "wide"], [""]]);
  const more = h("button", { type: "button", hidden: true, text: "Older ones" });
  const again = h("button", { type: "button", text: "Send all of these again" });
  const body = h("div", {},
    h("form", { class: "filters", onsubmit: (event) => event.preventDefault() },
      h("div", {}, h("label", { for: "letter-reason", text: "Reason" }), reason), again),
    count, scroller("Dead letters", list), more);
  root.append(h("section", { class: "card" }, error.node, body));

  const load = async (from = null) => {
    try {
      const answer = await api.get(address("/v1/dead-letters", { reason: reason.value, limit: PAGE, cursor: from }), signal);
      if (!from) list.tBodies[0].replaceChildren();
      list.tBodies[0].append(...answer.dead_letters.map(row));
      cursor = answer.next;
      more.hidden = cursor === null;
      choices(answer.reasons);
      const total = answer.reasons.reduce((sum, one) => sum + one.count, 0);
      setText(count, total ? `${whole(total)} in all, ${whole(list.tBodies[0].rows.length)} shown.` : "None: every row was accepted.");
      again.disabled = total === 0;
      error.say(null);
    } catch (problem) {
      if (signal.aborted) return;
      const lacking = problem.status === 403;
      body.hidden = lacking;
      error.say(lacking ? new Error("Dead letters need a key with scope `admin`: this one lacks it.") : problem);
    }
  };
  const choices = (reasons) => {
    if (reason.value) return;
    reason.replaceChildren(reason.options[0], ...reasons.map((one) => h("option", { value: one.reason, text: `${words(one.reason)} (${whole(one.count)})` })));
  };
  const replay = async (wanted, button) => {
    const sum = { accepted: 0, duplicates: 0, failed: [] };
    button.disabled = true;
    try {
      // One call tries so many letters, and tells where the next goes on.
      for (let from = null, first = true; first || from; first = false) {
        const answer = await api.post("/v1/dead-letters/replay", from ? { ...wanted, cursor: from } : wanted, signal);
        sum.accepted += answer.accepted;
        sum.duplicates += answer.duplicates;
        sum.failed.push(...answer.failed);
        from = answer.next;
      }
      const why = sum.failed.length ? `: ${sum.failed[0].meaning ?? words(sum.failed[0].reason)}` : "";
      await load();
      setText(count, `${whole(sum.accepted)} accepted, ${whole(sum.duplicates)} had been before, ${whole(sum.failed.length)} stay${why}.`);
    } catch (problem) {
      if (!signal.aborted) error.say(problem);
    }
    button.disabled = false;
  };
  const row = (letter) => {
    const button = h("button", { type: "button", text: "Send again", "aria-label": `Send ${letter.id} again` });
    button.addEventListener("click", () => replay({ ids: [letter.id] }, button));
    return h("tr", {},
      h("td", {}, time(letter.received_at)),
      h("th", { scope: "row" }, words(letter.reason), h("small", { text: letter.meaning ?? letter.stage })),
      h("td", { class: "wide" }, h("code", { text: letter.payload.slice(0, 400) + (letter.payload.length > 400 ? " …" : "") })),
      h("td", {}, button));
  };
  more.addEventListener("click", () => load(cursor));
  again.addEventListener("click", () => replay({ filter: reason.value ? { reason: reason.value } : {} }, again));
  reason.addEventListener("change", () => load());
  load();
}
