// Calls to this server. Errors carry what the error body says: message and hint.
//
// A call with a `signal` never resolves after its abort: whoever waits for it is told that nobody wants the result.

let key = sessionStorage.getItem("key") || "";
let askForKey = async () => "";
let asking = null; // the question for a key that is open now

/** `ask` is called when the server wants a key; it returns one, or "" to give up. */
export function onKeyNeeded(ask) { askForKey = ask; }

export class ApiError extends Error {
  constructor(status, body) {
    const error = body?.error ?? {};
    super(error.message || `The server answered with status ${status}.`);
    this.status = status;
    this.code = error.code || "";
    this.hint = error.hint || "";
  }
}

/** fetch with the key; asks for a key on 401, once for all calls that lack it. Resolves only to a successful response. */
export async function request(path, options = {}) {
  const used = key;
  const response = await fetch(path, withKey(options));
  if (response.ok) return response;
  const error = new ApiError(response.status, await response.json().catch(() => null));
  if (response.status === 401 && key === used) {
    asking ??= askForKey().then(keep).finally(() => { asking = null; });
    if (!await asking) throw error;
  } else if (response.status !== 401) throw error;
  options.signal?.throwIfAborted();
  return request(path, options);
}

export async function json(path, options = {}) {
  const response = await request(path, options);
  return response.status === 204 ? null : response.json();
}

export function post(path, body, options = {}) {
  return request(path, sending("POST", body, options));
}

export function patch(path, body) {
  return request(path, sending("PATCH", body));
}

export const drop = (path, body) => request(path, body ? sending("DELETE", body) : { method: "DELETE" });

function keep(given) {
  if (given) {
    key = given;
    sessionStorage.setItem("key", key);
  }
  return given;
}

function sending(method, body, options = {}) {
  return { ...options, method, body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
}

function withKey(options) {
  const headers = new Headers(options.headers);
  if (key) headers.set("Authorization", `Bearer ${key}`);
  return { ...options, headers };
}
