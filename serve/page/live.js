// Server-sent events. EventSource cannot send a key, so this reads the stream itself, and reconnects by itself.

const SILENCE_MS = 15_000; // the server sends at least a comment every 5 s
const LONGEST_WAIT_S = 30;

// Calls `on.event(name, data)` until `signal` aborts. `on.state(live, seconds)` tells of the connection, with the time to
// the next try; `on.refused(problem)` ends it.
export async function follow(api, signal, on) {
  let failures = 0;
  while (!signal.aborted) {
    const attempt = new AbortController();
    const silence = new Alarm(SILENCE_MS, () => attempt.abort());
    try {
      const response = await api.open("/v1/live", AbortSignal.any([signal, attempt.signal]));
      on.state(true);
      await readEvents(response, silence, (name, data) => {
        failures = 0;
        on.event(name, data);
      });
    } catch (error) {
      if (signal.aborted) return;
      if (error.refused) return on.refused(error);
    } finally {
      silence.stop();
    }
    failures += 1;
    const wait = waitAfter(failures, Math.random());
    on.state(false, wait);
    await untilWorthwhile(wait * 1000, signal);
  }
}

// Doubling, with jitter, so that the pages of many people do not come back at one moment.
export function waitAfter(failures, random) {
  return Math.min(LONGEST_WAIT_S, 2 ** (failures - 1)) * (0.75 + random / 2);
}

class Alarm {
  constructor(ms, ring) {
    this.again = () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(ring, ms);
    };
    this.again();
  }

  stop() {
    clearTimeout(this.timer);
  }
}

// Blocks end with an empty line; a line is a field and its value, or a comment.
async function readEvents(response, silence, handle) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    silence.again();
    const blocks = (pending + value).split("\n\n");
    pending = blocks.pop();
    for (const block of blocks) {
      const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s, 2)));
      if (fields.data) handle(fields.event, JSON.parse(fields.data));
    }
  }
}

export function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => { clearTimeout(timer); resolve(); }, { once: true });
  });
}

// A pause that ends early when the network comes back or somebody looks at the page again.
async function untilWorthwhile(ms, signal) {
  const over = new AbortController();
  const wake = () => { if (!document.hidden) over.abort(); };
  addEventListener("online", wake, { signal: over.signal });
  document.addEventListener("visibilitychange", wake, { signal: over.signal });
  await pause(ms, AbortSignal.any([signal, over.signal]));
  over.abort();
}

// Calls `work` every `period()` ms while somebody looks at the page. A failure is told to `failed`, and tried again.
export async function repeat(period, signal, work, failed = () => {}) {
  while (!signal.aborted) {
    if (!document.hidden) {
      try {
        await work();
        if (!signal.aborted) failed(null);
      } catch (error) {
        if (!signal.aborted) failed(error);
      }
    }
    await pause(typeof period === "function" ? period() : period, signal);
  }
}
