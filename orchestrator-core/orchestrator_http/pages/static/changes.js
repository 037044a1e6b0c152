// Being told that the memory has changed, by another tab, device or tier, while the page is looked at.
//
// A hidden page listens to nobody: a browser has six connections to a server, and each listener takes one of them.

import { request } from "./api.js";
import { events } from "./sse.js";

const TOGETHER_MS = 200; // changes closer than this are one
const RETRY_MS = 5000;

/** @param onChange called after changes, and when the page is looked at again and something changed meanwhile */
export function start(onChange) {
  let seen = "";
  let waiting = 0;
  let listening = new AbortController();

  function notice({ event, data }) {
    if (event === "error" || data.state === seen) return;
    seen = data.state;
    clearTimeout(waiting);
    waiting = setTimeout(onChange, TOGETHER_MS);
  }

  async function listen({ signal }) {
    while (!signal.aborted) {
      try {
        for await (const event of events(await request("sync/events", { signal }))) notice(event);
      } catch { /* the server is away, or has no place for another listener */ }
      if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  function look() {
    listening.abort();
    listening = new AbortController();
    if (!document.hidden) listen(listening);
  }

  document.addEventListener("visibilitychange", look);
  look();
}
