// The line at the top: whether the server answers, who would answer a question now.

import { json, request } from "./api.js";
import { $ } from "./dom.js";

const READY_MS = 15000;
const WAITING_MS = 1500;

export function start() {
  look();
}

async function look() {
  const state = await read();
  $("state").dataset.state = state.name;
  $("state-text").textContent = state.text;
  $("state-text").title = state.text;
  setTimeout(look, state.name === "ready" ? READY_MS : WAITING_MS);
}

async function read() {
  try {
    const info = await json("info");
    warn(info.notices ?? []);
    await request("ready");
    return { name: "ready", text: whoAnswers(info) };
  } catch (error) {
    if (error.status === undefined) return { name: "down", text: "Server not reachable" };
    if (error.code === "loading") return { name: "loading", text: "Loading the model…" };
    return { name: "down", text: error.message };
  }
}

/** What the owner has to know and to act upon, as long as the server says so. */
function warn(notices) {
  const place = $("warnings");
  const shown = [...place.children].map((line) => line.textContent);
  if (JSON.stringify(shown) === JSON.stringify(notices)) return;
  const line = (text) => Object.assign(document.createElement("p"), { className: "notice", textContent: text });
  place.replaceChildren(...notices.map(line));
  place.hidden = notices.length === 0;
}

function whoAnswers({ tier, model, relay }) {
  const desktop = relay?.desktop;
  if (tier === "desktop" || !desktop) return `${tier === "vps" ? "VPS" : tier} · ${model}`;
  return desktop.reachable && desktop.ready ? "desktop, through the VPS" : `VPS · ${model} (the desktop is away)`;
}
