// The dashboard: reads the live feed and the REST API of the host it came from, and nothing else.

const KEY = "canfleet-key";
const SPARK_SECONDS = 120;
const SHOWN_VEHICLES = 300;
const SHOWN_ANOMALIES = 100;

const $ = (id) => document.getElementById(id);
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const exact = new Intl.NumberFormat("en", { maximumSignificantDigits: 7 });

let key = takeKeyFromAddress() ?? sessionStorage.getItem(KEY);
let chosen = null;
let vehicles = [];
let session = null; // AbortController of everything that runs for the present key
const anomalies = new Map(); // identity → list item
const rows = new Map(); // signal → its table row's parts
const trails = new Map(); // signal → [[time, value], …] of the chosen vehicle

// A link may carry the key as #key=…: a fragment is never sent to a server. It leaves the address bar at once.
function takeKeyFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("key");
  if (given) history.replaceState(null, "", location.pathname);
  return given;
}

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function number(value, format = exact) {
  return typeof value === "number" ? format.format(value) : "–";
}

function setState(text, className) {
  const state = $("state");
  // A screen reader announces changes only, so an unchanged text must not be written again.
  if (state.textContent !== text) state.textContent = text;
  state.className = `state ${className}`;
}

class Refused extends Error {}

async function get(path, signal) {
  const response = await fetch(path, { headers: { Authorization: `Bearer ${key}` }, signal });
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({ detail: response.statusText }));
  if (response.status === 401 || response.status === 403) throw new Refused(problem.detail);
  throw new Error(problem.detail);
}

// Live feed --------------------------------------------------------------------------------------

// EventSource cannot send a key, so this reads the stream itself: blocks end with an empty line.
async function readEvents(response, handle) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (pending + value).split("\n\n");
    pending = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s, 2)));
      if (fields.data) handle(fields.event, JSON.parse(fields.data));
    }
  }
}

async function follow(signal) {
  while (!signal.aborted) {
    try {
      const response = await get("/v1/live", signal);
      setState("live", "live");
      await readEvents(response, (name, data) => {
        if (name === "summary") showSummary(data);
        else if (name === "anomaly") addAnomaly(data);
      });
      setState("connection lost, trying again", "lost");
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refused) return askForKey(error.message);
      setState("connection lost, trying again", "lost");
    }
    await pause(1000, signal);
  }
}

// Calls `work` every `period` ms until the key changes; a failure shows in the live state, and the next turn tries again.
async function repeat(period, signal, work) {
  while (!signal.aborted) {
    if (!document.hidden) {
      try {
        await work();
      } catch (error) {
        if (error instanceof Refused && !signal.aborted) return askForKey(error.message);
      }
    }
    await pause(period, signal);
  }
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}

// Fleet numbers ----------------------------------------------------------------------------------

function showSummary(summary) {
  const ledger = summary.ledger ?? {};
  const numbers = [
    ["Vehicles online", `${number(summary.vehicles_online, whole)} / ${number(summary.vehicles, whole)}`],
    ["Frames / s", number(summary.frames_per_second, compact)],
    ["Received", number(ledger.received, compact)],
    ["Stored", number(ledger.stored, compact)],
    ["Duplicates", number(ledger.duplicates, compact)],
    ["Dead letters", number(ledger.dead_lettered, compact)],
    ["Open anomalies", number(summary.anomalies_open, whole)],
    ["Pending", number(ledger.pending, compact)],
    ["Missing", number(summary.frames_missing, compact)],
  ];
  const list = $("numbers");
  if (list.children.length !== numbers.length) {
    list.replaceChildren(...numbers.map(([name]) => {
      const card = element("div");
      card.append(element("dt", "", name), element("dd"));
      return card;
    }));
  }
  numbers.forEach(([, text], i) => { list.children[i].lastChild.textContent = text; });

  const kinds = Object.entries(summary.anomalies ?? {}).filter(([, count]) => count > 0);
  $("kinds").replaceChildren(...kinds.map(([kind, count]) => element("li", "", `${kind} ${whole.format(count)}`)));
}

// Vehicles ---------------------------------------------------------------------------------------

async function loadVehicles(signal) {
  vehicles = (await (await get("/v1/vehicles", signal)).json()).vehicles;
  vehicles.sort((a, b) => a.vehicle_id.localeCompare(b.vehicle_id, "en", { numeric: true }));
  showVehicles();
  if (chosen === null && vehicles.length) choose(vehicles[0].vehicle_id);
}

function showVehicles() {
  const wanted = $("filter").value.trim().toLowerCase();
  const found = vehicles.filter((vehicle) => vehicle.vehicle_id.toLowerCase().includes(wanted));
  const shown = found.slice(0, SHOWN_VEHICLES);
  const list = $("vehicles");
  // Buttons are reused, so that the keyboard focus stays where it is.
  while (list.children.length > shown.length) list.lastChild.remove();
  shown.forEach((vehicle, i) => {
    let button = list.children[i]?.firstChild;
    if (!button) {
      button = element("button");
      button.type = "button";
      button.append(element("span", "name"), element("span", "age"));
      button.addEventListener("click", () => choose(button.dataset.vehicle));
      const item = element("li");
      item.append(button);
      list.append(item);
    }
    button.dataset.vehicle = vehicle.vehicle_id;
    button.firstChild.textContent = vehicle.vehicle_id;
    button.lastChild.textContent = age(vehicle.last_received);
    button.setAttribute("aria-pressed", String(vehicle.vehicle_id === chosen));
  });
  $("vehicles-count").textContent = whole.format(vehicles.length);
  const hidden = found.length - shown.length;
  $("vehicles-more").textContent = hidden > 0 ? `${whole.format(hidden)} more: filter to find them.` : found.length ? "" : "No vehicle.";
}

function age(microseconds) {
  const seconds = Math.max(0, Date.now() / 1000 - microseconds / 1e6);
  if (seconds < 60) return `${Math.round(seconds)} s ago`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.round(seconds / 3600)} h ago`;
  return new Date(microseconds / 1000).toISOString().slice(0, 10);
}

function choose(vehicle) {
  chosen = vehicle;
  trails.clear();
  rows.clear();
  $("signals").tBodies[0].replaceChildren();
  $("vehicle-title").textContent = vehicle;
  showVehicles();
  loadLatest(session.signal).catch(() => {}); // the next turn of the poll tells
}

// Signals of the chosen vehicle ------------------------------------------------------------------

async function loadLatest(signal) {
  if (chosen === null) return;
  const vehicle = chosen;
  const latest = await (await get(`/v1/vehicles/${encodeURIComponent(vehicle)}/latest`, signal)).json();
  if (vehicle !== chosen) return;
  const hint = $("vehicle-hint");
  hint.textContent = latest.signals.length
    ? `Last frame ${age(latest.last_seen)} · window of the last 10 s of its own time`
    : "No signal of this vehicle is in a loaded database.";
  $("signals").hidden = latest.signals.length === 0;
  for (const one of latest.signals) showSignal(one);
}

function showSignal(one) {
  const name = `${one.message}.${one.signal}`;
  let row = rows.get(name);
  if (!row) {
    row = newRow(one);
    rows.set(name, row);
    trails.set(name, []);
    $("signals").tBodies[0].append(row.line);
  }
  row.value.firstChild.textContent = number(one.value);
  const window = one.window ?? {};
  row.mean.textContent = number(window.mean);
  row.min.textContent = number(window.min);
  row.max.textContent = number(window.max);
  const trail = trails.get(name);
  const last = trail.at(-1);
  if (typeof one.value === "number" && (!last || one.timestamp > last[0])) trail.push([one.timestamp, one.value]);
  while (trail.length && trail[0][0] < one.timestamp - SPARK_SECONDS * 1e6) trail.shift();
  drawTrail(row.spark, trail);
}

function newRow(one) {
  const line = element("tr");
  const head = element("th", "", one.signal);
  head.scope = "row";
  head.append(element("small", "", one.message));
  const value = element("td", "number value");
  value.append(document.createTextNode(""), element("small", "", one.unit ? ` ${one.unit}` : ""));
  const holder = element("td");
  const spark = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  spark.setAttribute("class", "spark");
  spark.setAttribute("viewBox", "0 0 100 20");
  spark.setAttribute("preserveAspectRatio", "none");
  spark.setAttribute("aria-hidden", "true");
  spark.append(document.createElementNS("http://www.w3.org/2000/svg", "polyline"));
  holder.append(spark);
  const [mean, min, max] = [element("td", "number"), element("td", "number"), element("td", "number")];
  line.append(head, value, holder, mean, min, max);
  return { line, value, spark, mean, min, max };
}

function drawTrail(spark, trail) {
  if (trail.length < 2) return;
  const values = trail.map(([, value]) => value);
  const low = Math.min(...values);
  const span = Math.max(...values) - low || 1;
  const start = trail[0][0];
  const length = trail.at(-1)[0] - start || 1;
  const points = trail.map(([time, value]) => `${((time - start) / length) * 100},${19 - ((value - low) / span) * 18}`);
  spark.firstChild.setAttribute("points", points.join(" "));
}

// Anomalies --------------------------------------------------------------------------------------

async function loadAnomalies(signal) {
  const answer = await (await get(`/v1/anomalies?limit=${SHOWN_ANOMALIES}`, signal)).json();
  answer.anomalies.reverse().forEach(addAnomaly);
}

function addAnomaly(anomaly) {
  const identity = anomaly.id;
  anomalies.get(identity)?.remove();
  anomalies.delete(identity); // a map keeps the place of a key that is set again
  const item = element("li");
  const what = element("div", "what");
  what.append(element("span", "kind", anomaly.kind), ` ${anomaly.signal || anomaly.message || frameName(anomaly.arbitration_id)} · ${anomaly.vehicle_id}`);
  const at = new Date(anomaly.timestamp / 1000).toISOString().replace("T", " ").slice(0, 23);
  const seconds = (anomaly.ended_at - anomaly.timestamp) / 1e6;
  const lasting = `${anomaly.closed ? "lasted" : "open for"} ${number(seconds)} s`;
  item.append(what, element("small", "", `${at} · ${lasting}`));
  if (anomaly.detail) item.append(element("small", "", anomaly.detail));
  anomalies.set(identity, item);
  $("anomalies").prepend(item);
  while (anomalies.size > SHOWN_ANOMALIES) {
    const [oldest, line] = anomalies.entries().next().value;
    anomalies.delete(oldest);
    line.remove();
  }
  $("anomalies-hint").hidden = true;
}

function frameName(id) {
  return typeof id === "number" ? `0x${id.toString(16).toUpperCase()}` : "";
}

// Coming and going -------------------------------------------------------------------------------

function askForKey(message = "") {
  session?.abort();
  sessionStorage.removeItem(KEY);
  key = null;
  setState("not connected", "");
  $("board").hidden = true;
  $("forget").hidden = true;
  $("login").hidden = false;
  $("login-error").textContent = message;
  $("key").focus();
}

function open() {
  session?.abort();
  session = new AbortController();
  const { signal } = session;
  chosen = null;
  vehicles = [];
  anomalies.clear();
  rows.clear();
  trails.clear();
  for (const id of ["numbers", "kinds", "vehicles", "anomalies"]) $(id).replaceChildren();
  sessionStorage.setItem(KEY, key);
  $("login").hidden = true;
  $("board").hidden = false;
  $("forget").hidden = false;
  setState("connecting", "");
  follow(signal);
  repeat(5000, signal, () => loadVehicles(signal));
  repeat(1000, signal, () => loadLatest(signal));
  loadAnomalies(signal).catch(() => {}); // the live feed shows whether the platform is there
}

$("login").addEventListener("submit", (event) => {
  event.preventDefault();
  key = $("key").value.trim();
  $("key").value = "";
  if (key) open();
});
$("forget").addEventListener("click", () => askForKey());
$("filter").addEventListener("input", showVehicles);

if (key) open();
else askForKey();
