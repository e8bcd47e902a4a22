// Small helpers for the document: no framework, no markup from strings.

export const $ = (id) => document.getElementById(id);

// Makes an element: properties that start with `on` are listeners, `text` is its text, `class`, `data…` and the rest attributes.
export function h(name, properties = {}, ...children) {
  const made = document.createElement(name);
  assign(made, properties);
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(name, properties = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  assign(made, properties);
  made.append(...children);
  return made;
}

function assign(made, properties) {
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key === "text") made.textContent = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
}

// A screen reader announces changes, and layout costs: an unchanged text is not written again.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// A table with a caption for those who do not see it; `columns` are [title, class].
export function table(caption, columns, properties = {}) {
  const heads = columns.map(([title, kind]) => h("th", { scope: "col", class: kind, text: title }));
  return h("table", properties, h("caption", { class: "quiet", text: caption }), h("thead", {}, h("tr", {}, heads)), h("tbody"));
}

// A table that may be wider than the window scrolls by itself, by keyboard too.
export function scroller(label, ...children) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, ...children);
}

export function card(title, ...children) {
  return h("section", { class: "card" }, h("h2", { text: title }), ...children);
}

// The value of a colour of the style sheet, as the present scheme has it.
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
