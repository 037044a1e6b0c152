// The line at the top: whether the server answers, which model is loaded.

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
    await request("ready");
    const info = await json("model/info");
    return { name: "ready", text: `${info.tier} · ${info.model}` };
  } catch (error) {
    if (error.status === undefined) return { name: "down", text: "Server not reachable" };
    if (error.code === "loading") return { name: "loading", text: "Loading the model…" };
    return { name: "down", text: error.message };
  }
}
