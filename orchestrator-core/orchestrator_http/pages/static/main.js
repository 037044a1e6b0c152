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
let running = null; // {runId, abort, unwanted} while an answer is watched
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
  const asked = questions(found.history);
  for (const message of found.history) messages.add(message, asked.get(message.reply_to));
  if (found.active_run) follow(found.active_run, null);
  return undefined;
}

/** What a person said, by the ids of those messages. */
function questions(history) {
  return new Map(history.filter((one) => one.role === "user").map((one) => [one.message_id, one]));
}

async function send() {
  const text = $("message").value.trim();
  if (!text || running) return;
  notice("");
  $("message").value = "";
  resize();
  const mine = messages.add({ role: "user", content: text });
  const id = text === unsent.text ? unsent.id : newId();
  const question = { message_id: id, content: text };
  try {
    if (!conversationId) await begin();
    const abort = new AbortController();
    showRunning({ runId: null, abort });
    const response = await ask(question, {}, abort);
    await follow(response.headers.get("X-Run-Id"), response, { abort, question });
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

/** Have a question answered again; the former answer becomes a version behind the new one. */
async function again(item, question) {
  if (running) return;
  notice("");
  const abort = new AbortController();
  showRunning({ runId: null, abort });
  $("announce").textContent = "Answering again.";
  try {
    const response = await ask(question, { regenerate: true }, abort);
    await follow(response.headers.get("X-Run-Id"), response, { abort, question, former: item });
  } catch (error) {
    showRunning(null);
    if (error.name !== "AbortError") explain(error, "The server cannot be reached. The answer is still there.");
  }
}

function ask(question, more, abort) {
  const body = { message: question.content, message_id: question.message_id, conversation_id: conversationId, ...more };
  return post("chat/stream", body, { signal: abort.signal });
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

/**
 * Watch an answer to its end.
 * @param question what is answered, where it is known
 * @param former the item of an answer whose place this one takes
 */
async function follow(runId, response, { abort = new AbortController(), question = null, former = null } = {}) {
  const mine = { runId, abort };
  const unwanted = running?.abort === abort && running.unwanted;
  showRunning(mine);
  if (unwanted) stop();
  const growing = messages.grow(former);
  let last = {};
  try {
    last = await watch(runId, response, (answer) => growing.update(answer.parts()), abort.signal);
    growing.end(last, question);
    $("announce").textContent = `Answer: ${last.response ?? ""}`;
  } catch (error) {
    if (abort.signal.aborted) return;
    const text = [error.message, error.hint].filter(Boolean).join(" ");
    growing.fail(text);
    if (former) notice(text);
  } finally {
    if (running === mine) showRunning(null);
  }
  // Where it cannot be read now, what was streamed stays on the page.
  if (former || !question) await settle(growing.item, question?.message_id, last).catch(() => {});
  conversations.refresh(conversationId).catch(explain);
}

/** Draw an answer as it is stored: with its versions, or the former one where no other was given. */
async function settle(item, questionId, last) {
  const shown = conversationId;
  const { history } = await json(`conversations/${encodeURIComponent(shown)}`);
  const stored = history.find((one) => one.role === "assistant" && (one.message_id === last.message_id || (questionId && one.reply_to === questionId)));
  if (!stored || running || shown !== conversationId) return;
  const place = messages.itemOf(last.supersedes) ?? item;
  if (place !== item) item.remove();
  const answer = stored.message_id === last.message_id ? { ...last, ...stored } : stored;
  messages.redraw(place, answer, questions(history).get(stored.reply_to));
}

async function stop() {
  if (running?.runId) await drop(`runs/${encodeURIComponent(running.runId)}`).catch(explain);
  else if (running) running.unwanted = true; // its run is stopped as soon as it is known
}

function showRunning(run) {
  running = run;
  $("send").hidden = Boolean(run);
  $("stop").hidden = !run;
  document.body.classList.toggle("answering", Boolean(run));
}

function explain(error, unreachable = "The server cannot be reached. Your message is still in the box.") {
  const text = error.status === undefined ? unreachable : error.message;
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
messages.start({ again });
handoff.start({
  conversation: () => conversationId,
  explain,
  done: () => notice("The session is handed off: the log has its entry, the next session begins with the new briefing.", true),
});
conversations.start((id) => open(id).catch(explain));
open(conversationId).catch(explain);
