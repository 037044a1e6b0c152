// The chat page: wires the list, the log and the message box together.

import { drop, json, onKeyNeeded, post } from "./api.js";
import * as conversations from "./conversations.js";
import { $ } from "./dom.js";
import * as handoff from "./handoff.js";
import * as messages from "./messages.js";
import { watch } from "./run.js";
import * as status from "./status.js";

const THEMES = { "": "◐", light: "☀", dark: "☾" };
const THEME_NAMES = { "": "as the system", light: "light", dark: "dark" };

let conversationId = location.hash.slice(1);
let running = null; // {runId, abort} while an answer is watched
let unsent = { text: "", id: "" }; // the message that could not be sent, and its id for the next try

onKeyNeeded(() => new Promise((resolve) => {
  const dialog = $("key-dialog");
  if (!dialog.open) dialog.showModal();
  dialog.addEventListener("close", () => { resolve($("key").value); $("key").value = ""; }, { once: true });
}));

async function open(id) {
  running?.abort.abort();
  showRunning(null);
  conversationId = id;
  handoff.offer(Boolean(id));
  history.replaceState(null, "", id ? `#${id}` : location.pathname);
  notice("");
  toggleSidebar(false);
  messages.clear();
  if (!id) {
    $("title").textContent = "New conversation";
    messages.showEmpty();
  } else await show(id);
  await conversations.refresh(id);
  $("message").focus();
}

async function show(id) {
  let found;
  try {
    found = await json(`conversations/${encodeURIComponent(id)}`);
  } catch (error) {
    if (error.status !== 404) throw error;
    notice("This conversation is no longer there.");
    return open("");
  }
  $("title").textContent = conversations.nameOf(found);
  if (!found.history.length) messages.showEmpty();
  for (const message of found.history) messages.add(message);
  if (found.active_run) follow(found.active_run, null);
  return undefined;
}

async function send() {
  const text = $("message").value.trim();
  if (!text || running) return;
  notice("");
  $("message").value = "";
  resize();
  const mine = messages.add({ role: "user", content: text });
  const id = text === unsent.text ? unsent.id : newId();
  try {
    if (!conversationId) await begin();
    const abort = new AbortController();
    showRunning({ runId: null, abort });
    const response = await post("chat/stream", { message: text, message_id: id, conversation_id: conversationId }, { signal: abort.signal });
    await follow(response.headers.get("X-Run-Id"), response, abort);
  } catch (error) {
    showRunning(null);
    if (error.name === "AbortError") return;
    mine.remove();
    unsent = { text, id };
    $("message").value = text;
    resize();
    explain(error);
  }
}

/** crypto.randomUUID is missing on plain http pages of a LAN; getRandomValues is not. */
function newId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function begin() {
  const made = await (await post("conversations", {})).json();
  conversationId = made.conversation_id;
  handoff.offer(true);
  history.replaceState(null, "", `#${conversationId}`);
}

async function follow(runId, response, abort = new AbortController()) {
  const mine = { runId, abort };
  showRunning(mine);
  const growing = messages.grow();
  try {
    const last = await watch(runId, response, (answer) => growing.update(answer.parts()), abort.signal);
    growing.end(last);
    $("announce").textContent = `Answer: ${last.response ?? ""}`;
  } catch (error) {
    if (abort.signal.aborted) return;
    growing.fail([error.message, error.hint].filter(Boolean).join(" "));
  } finally {
    if (running === mine) showRunning(null);
  }
  conversations.refresh(conversationId).catch(explain);
}

async function stop() {
  if (running?.runId) await drop(`runs/${encodeURIComponent(running.runId)}`).catch(explain);
}

function showRunning(run) {
  running = run;
  $("send").hidden = Boolean(run);
  $("stop").hidden = !run;
}

function explain(error) {
  const text = error.status === undefined ? "The server cannot be reached. Your message is still in the box." : error.message;
  notice([text, error.hint].filter(Boolean).join("\n"));
}

function notice(text, good = false) {
  $("notice").textContent = text;
  $("notice").classList.toggle("good", good);
  $("notice").hidden = !text;
}

function resize() {
  const box = $("message");
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight + 2}px`;
}

function toggleSidebar(shown) {
  $("sidebar").classList.toggle("shown", shown);
  $("veil").hidden = !shown;
  $("menu").setAttribute("aria-expanded", String(shown));
  if (shown) $("new").focus();
}

function showTheme() {
  const theme = document.documentElement.dataset.theme ?? "";
  $("theme").textContent = THEMES[theme];
  $("theme").setAttribute("aria-label", `Colours: ${THEME_NAMES[theme]}`);
}

function nextTheme() {
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(document.documentElement.dataset.theme ?? "") + 1) % names.length];
  if (next) {
    document.documentElement.dataset.theme = next;
    localStorage.setItem("theme", next);
  } else {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem("theme");
  }
  showTheme();
}

$("composer").addEventListener("submit", (event) => { event.preventDefault(); send(); });
$("message").addEventListener("input", resize);
$("message").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); send(); }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
  if ($("sidebar").classList.contains("shown")) { toggleSidebar(false); $("menu").focus(); } else stop();
});
$("stop").addEventListener("click", stop);
$("new").addEventListener("click", () => open(""));
$("menu").addEventListener("click", () => toggleSidebar(!$("sidebar").classList.contains("shown")));
$("veil").addEventListener("click", () => toggleSidebar(false));
$("theme").addEventListener("click", nextTheme);
addEventListener("hashchange", () => { if (location.hash.slice(1) !== conversationId) open(location.hash.slice(1)); });

showTheme();
status.start();
handoff.start({
  conversation: () => conversationId,
  explain,
  done: () => notice("The session is handed off: the log has its entry, the next session begins with the new briefing.", true),
});
conversations.start((id) => open(id).catch(explain));
open(conversationId).catch(explain);
