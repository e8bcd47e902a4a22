// The dashboard: reads the live feed and the REST API of the host it came from, and nothing else.

import { Api, endpoints } from "./api.js";
import { $, h, setText } from "./dom.js";
import { Fleet } from "./fleet.js";
import { counted, subject, words } from "./format.js";
import { place, read } from "./links.js";
import * as anomalies from "./views/anomalies.js";
import * as fences from "./views/fences.js";
import * as letters from "./views/letters.js";
import * as map from "./views/map.js";
import * as overview from "./views/overview.js";
import * as signals from "./views/signals.js";
import * as storage from "./views/storage.js";
import * as vehicle from "./views/vehicle.js";
import * as vehicles from "./views/vehicles.js";

const KEY = "canfleet-key";
const FOUND = 8;
const SAY_EVERY_MS = 5_000;

// In the order of the navigation; a view whose endpoint this platform lacks is left out.
const VIEWS = {
  "": { view: overview, needs: "/v1/fleet/summary" },
  map: { view: map, needs: "/v1/fleet/positions" },
  vehicles: { view: vehicles, needs: "/v1/fleet/positions" },
  anomalies: { view: anomalies, needs: "/v1/anomalies" },
  signals: { view: signals, needs: "/v1/fleet/signals/{signal}" },
  geofences: { view: fences, needs: "/v1/fleet/geofences" },
  letters: { view: letters, needs: "/v1/dead-letters" },
  storage: { view: storage, needs: "/v1/storage" },
};

let opening = null; // AbortController of the key that was given last
let session = null; // { controller, fleet, api, paths } of the present key
let shown = null; // AbortController of the view that is open

// A link may carry the key as #key=…: a fragment is never sent to a server. It leaves the address bar at once.
function takeKeyFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("key");
  if (given) history.replaceState(null, "", location.pathname);
  return given;
}

function askForKey(message = "") {
  opening?.abort();
  shown?.abort();
  session = shown = null;
  sessionStorage.removeItem(KEY);
  setState("not connected", "");
  for (const id of ["board", "forget", "nav", "search"]) $(id).hidden = true;
  $("login").hidden = false;
  $("login-error").textContent = message;
  document.title = "canfleet";
  $("key").focus();
}

async function open(key) {
  opening?.abort();
  const controller = (opening = new AbortController());
  const { signal } = controller;
  const api = new Api(key);
  const fleet = new Fleet(api);
  setState("connecting", "");
  const known = endpoints();
  try {
    // One question first: a wrong key is refused once, and not once by every part of the page.
    fleet.summary = await api.get("/v1/fleet/summary", signal);
  } catch (error) {
    if (signal.aborted) return;
    // Anything else may pass, and the live feed tells of it and tries again.
    if (error.refused || error.status === 429) return askForKey(error.message);
  }
  const paths = await known;
  if (signal.aborted) return;
  session = { controller, api, fleet, paths };
  sessionStorage.setItem(KEY, key);
  $("login").hidden = true;
  for (const id of ["board", "forget", "nav", "search"]) $(id).hidden = false;
  fleet.addEventListener("state", ({ detail }) => (detail.live ? setState("live", "live") : setState(`reconnecting in ${Math.ceil(detail.wait)} s`, "lost")), { signal });
  announce(fleet, signal);
  fleet.start(signal, (problem) => askForKey(problem.message));
  navigate();
  route();
}

// A screen reader announces changes only, so an unchanged text must not be written again.
function setState(text, kind) {
  setText($("state"), text);
  $("state").className = `state ${kind}`;
}

// New anomalies, gathered, so that a screen reader gets to the end of its sentence.
function announce(fleet, signal) {
  let waiting = [];
  let timer = null;
  const say = () => {
    const newest = waiting.at(-1);
    const count = waiting.length === 1 ? "New anomaly" : `${waiting.length} new anomalies, the newest`;
    setText($("announcements"), `${count}: ${words(newest.kind)}, ${subject(newest)}, ${newest.vehicle_id}`);
    waiting = [];
    timer = null;
  };
  fleet.addEventListener("anomalies", ({ detail }) => {
    waiting.push(...detail);
    if (waiting.length) timer ??= setTimeout(say, SAY_EVERY_MS);
  }, { signal });
  signal.addEventListener("abort", () => clearTimeout(timer));
}

function navigate() {
  const links = Object.entries(VIEWS).filter(([, { needs }]) => session.paths.has(needs));
  $("nav").replaceChildren(h("ul", {}, links.map(([name, { view }]) => h("li", {}, h("a", { href: place(name), "data-view": name, text: view.title })))));
}

function route(moved = false) {
  if (!session) return;
  shown?.abort();
  shown = new AbortController();
  const at = read(location.hash);
  const view = at.view === "vehicle" && at.argument ? vehicle : (VIEWS[at.view] ?? VIEWS[""]).view;
  const heading = view === vehicle ? at.argument : view.title;
  $("title").textContent = heading;
  document.title = `${heading} · canfleet`;
  const current = view === vehicle ? "vehicles" : at.view;
  for (const link of $("nav").querySelectorAll("a")) {
    if (link.dataset.view === current) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  $("view").replaceChildren();
  $("view").className = `view view-${at.view || "overview"}`;
  view.mount($("view"), session, at, AbortSignal.any([shown.signal, session.controller.signal]));
  if (moved) {
    scrollTo(0, 0);
    $("title").focus({ preventScroll: true });
  }
}

// Search for a vehicle: the first ones that match as links, Enter opens the best.
function find() {
  const wanted = $("find").value.trim().toLowerCase();
  if (!wanted || !session) return [];
  const rank = (id) => (id.toLowerCase() === wanted ? 0 : id.toLowerCase().startsWith(wanted) ? 1 : 2);
  const found = session.fleet.places.vehicle_id.filter((id) => id.toLowerCase().includes(wanted));
  return found.sort((a, b) => rank(a) - rank(b) || a.localeCompare(b, "en", { numeric: true })).slice(0, FOUND);
}

function showFound() {
  const found = find();
  $("found").replaceChildren(...found.map((id) => h("li", {}, h("a", { href: place("vehicle", id), text: id }))));
  $("found").hidden = found.length === 0;
  setText($("found-count"), $("find").value ? counted(found.length, "vehicle found", "vehicles found") : "");
}

function closeSearch() {
  $("find").value = "";
  showFound();
}

$("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const [best] = find();
  if (best) location.hash = place("vehicle", best);
});
$("find").addEventListener("input", showFound);
$("search").addEventListener("keydown", (event) => { if (event.key === "Escape") closeSearch(); });
document.addEventListener("keydown", (event) => {
  const writing = event.target.closest("input, textarea, select");
  if (event.key !== "/" || writing || event.ctrlKey || event.metaKey || event.altKey || !session) return;
  event.preventDefault();
  $("find").focus();
});
$("login").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = $("key").value.trim();
  $("key").value = "";
  if (key) open(key);
});
$("forget").addEventListener("click", () => askForKey());
// Its address would be taken for a view's.
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  $("main").focus();
});
addEventListener("hashchange", () => {
  const key = takeKeyFromAddress();
  if (key) return open(key);
  closeSearch();
  route(true);
});

const key = takeKeyFromAddress() ?? sessionStorage.getItem(KEY);
if (key) open(key);
else askForKey();
