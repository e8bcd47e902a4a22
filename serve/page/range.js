// The range of time that the charts of a vehicle show: up to now and moving with it, or fixed.

import { h, setText } from "./dom.js";
import { moment, seconds } from "./format.js";

const SPANS = [[300, "5 min"], [900, "15 min"], [3_600, "1 h"], [21_600, "6 h"], [86_400, "1 d"], [604_800, "7 d"], [2_592_000, "30 d"]];

export class Range {
  // Starts at the `from` and `to` of an address where they are given; `changed()` is called with each change by hand.
  constructor({ from, to, span }, changed) {
    this.span = SPANS.some(([length]) => length === Number(span)) ? Number(span) : 900;
    this.fixed = Number(to) > Number(from) && Number(from) > 0 ? [Number(from), Number(to)] : null;
    this.past = [];
    this.changed = changed;
    const button = (text, name, work) => h("button", { type: "button", text, "aria-label": name, title: name, onclick: work });
    this.buttons = SPANS.map(([length, text]) => h("button", { type: "button", text, "aria-label": `The last ${text}`, onclick: () => this.follow(length) }));
    this.back = button("↶", "Back to the range before", () => this.#back());
    this.text = h("span", { class: "hint", role: "status" });
    this.node = h("div", { class: "range", role: "group", "aria-label": "Range of the charts" },
      this.buttons,
      button("◀", "Earlier", () => this.#move(-0.5)), button("▶", "Later", () => this.#move(0.5)),
      button("+", "Zoom in", () => this.#scale(0.5)), button("−", "Zoom out", () => this.#scale(2)),
      this.back, this.text);
    this.#show();
  }

  // [from, to] in microseconds.
  get now() {
    const end = Date.now() * 1000;
    return this.fixed ?? [end - this.span * 1e6, end];
  }

  get query() {
    return this.fixed ? { from: this.fixed[0], to: this.fixed[1] } : { span: this.span };
  }

  follow(span) {
    this.#set(() => { this.span = span; this.fixed = null; });
  }

  fix(from, to) {
    const [begin, end] = [Math.max(0, Math.round(from)), Math.round(to)];
    if (end - begin >= 1_000) this.#set(() => { this.fixed = [begin, end]; });
  }

  #set(change) {
    this.past.push([this.span, this.fixed]);
    change();
    this.#show();
    this.changed();
  }

  #back() {
    if (!this.past.length) return;
    [this.span, this.fixed] = this.past.pop();
    this.#show();
    this.changed();
  }

  #move(part) {
    const [from, to] = this.now;
    const by = (to - from) * part;
    this.fix(from + by, to + by);
  }

  #scale(factor) {
    const [from, to] = this.now;
    const [middle, half] = [(from + to) / 2, ((to - from) / 2) * factor];
    this.fix(middle - half, middle + half);
  }

  #show() {
    this.buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(!this.fixed && SPANS[i][0] === this.span)));
    this.back.disabled = !this.past.length;
    const [from, to] = this.now;
    setText(this.text, this.fixed ? `${moment(from)} to ${moment(to)} (${seconds((to - from) / 1e6)})` : "up to now; drag over a chart to zoom in");
  }
}
