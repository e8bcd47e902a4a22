// The REST API of the host that the page came from. The key goes in a header, never into an address.

export class Problem extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }

  get refused() {
    return this.status === 401 || this.status === 403;
  }
}

export class Api {
  #key;

  constructor(key) {
    this.#key = key;
  }

  // An answer, its status checked, its body still to be read.
  async open(path, signal, options = {}) {
    const headers = { Authorization: `Bearer ${this.#key}`, ...options.headers };
    const response = await fetch(path, { ...options, headers, signal, cache: "no-store" });
    if (response.ok) return response;
    const problem = await response.json().catch(() => ({}));
    throw new Problem(response.status, problem.detail ?? response.statusText);
  }

  async get(path, signal) {
    return (await this.open(path, signal)).json();
  }

  async post(path, body, signal) {
    const headers = { "Content-Type": "application/json" };
    return (await this.open(path, signal, { method: "POST", body: JSON.stringify(body), headers })).json();
  }
}

// The address of an endpoint with what is given of a query.
export function address(path, query) {
  const wanted = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return wanted.length ? `${path}?${new URLSearchParams(wanted)}` : path;
}

export const vehiclePath = (id, rest) => `/v1/vehicles/${encodeURIComponent(id)}/${rest}`;

// Which endpoints this platform has: a view without its endpoint is not shown. Needs no key. All of them where it does
// not tell: each view says by itself what fails.
export async function endpoints() {
  try {
    return new Set(Object.keys((await (await fetch("/openapi.json")).json()).paths));
  } catch {
    return { has: () => true };
  }
}
