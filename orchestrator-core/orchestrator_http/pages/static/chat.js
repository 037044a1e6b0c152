// The conversation that is shown: opening it, asking in it, watching its answers.
//
// A view is one opening of a conversation. What was begun in a view that is shown no more still reaches the server (a
// question is asked in the conversation it was written in), and never the page: what is meant for the page takes
// the view's signal, or looks whether the view is shown.

import { json, drop, post } from "./api.js";
import * as conversations from "./conversations.js";
import { $, isAbort, latestOnly } from "./dom.js";
import * as handoff from "./handoff.js";
import * as messages from "./messages.js";
import { watch } from "./run.js";

const HISTORY = 100; // messages that are shown at first, and that are added by each wish for more
const MOST_HISTORY = 10000;
const QUOTED_CHARS = 60;

const unsent = new Map(); // by conversation id: the message that could not be sent, with its id for the next try
let view = newView("");

/** The view that is shown: `id` of the conversation, "" for one to begin; `signal` of what is meant for it. */
export const shown = () => view;

function newView(id) {
  const abort = new AbortController();
  const nextLoad = latestOnly();
  abort.signal.addEventListener("abort", nextLoad);
  return { id, abort, signal: abort.signal, nextLoad, limit: HISTORY, loaded: false, run: null }; // run: {runId, unwanted} of the answer that is watched
}

export async function open(id) {
  view.abort.abort();
  view = newView(id);
  const opened = view;
  history.replaceState(null, "", id ? `#${id}` : location.pathname);
  setRun(view, null);
  handoff.offer(Boolean(id));
  notice("");
  messages.clear();
  giveBack();
  $("title").textContent = id ? "Loading…" : "New conversation";
  if (!id) messages.showEmpty();
  $("message").focus();
  await Promise.all([id && load(opened), conversations.refresh(id)]);
}

/** Show what is stored now, also by others. */
export async function refresh() {
  await Promise.all([view.id && load(view), conversations.refresh(view.id)]);
}

/** Resolves also when a later call takes over, or another conversation is opened. */
async function load(into) {
  let stored;
  try {
    stored = await json(`conversations/${encodeURIComponent(into.id)}?limit=${into.limit}`, { signal: into.nextLoad() });
  } catch (error) {
    if (isAbort(error)) return undefined;
    if (error.status !== 404) throw error;
    if (!into.loaded) await open("");
    return notice("This conversation is no longer there.");
  }
  into.loaded = true;
  $("title").textContent = conversations.nameOf(stored);
  const more = stored.history.length === into.limit && into.limit < MOST_HISTORY;
  messages.show(stored.history, more ? () => earlier(into) : null);
  if (stored.active_run && !into.run) follow(into, stored.active_run).catch(explain);
  return undefined;
}

function earlier(into) {
  into.limit = Math.min(into.limit + HISTORY, MOST_HISTORY);
  load(into).catch(explain);
}

export async function send() {
  const text = $("message").value.trim();
  if (!text || view.run) return;
  const into = view;
  const former = unsent.get(into.id);
  const question = { message_id: text === former?.content ? former.message_id : newId(), content: text };
  unsent.delete(into.id);
  setRun(into, { runId: null });
  notice("");
  write("");
  into.limit = Math.min(into.limit + 2, MOST_HISTORY);
  const item = messages.add(question);
  try {
    if (!into.id) await begin(into);
    await ask(into, question);
  } catch (error) {
    item.remove();
    unsent.set(into.id, question);
    if (into === view) {
      giveBack();
      explain(error);
    } else notice(`“${text.slice(0, QUOTED_CHARS)}” could not be sent. It is in the message box of its conversation.`);
  }
}

/** Have a question answered again, or its answer go on: the former answer becomes a version behind the new one. */
export async function again(answerId, question, goesOn) {
  if (view.run) return;
  const into = view;
  setRun(into, { runId: null });
  notice("");
  $("announce").textContent = goesOn ? "The answer goes on." : "Answering again.";
  const place = { former: answerId, goesOn };
  try {
    await ask(into, question, { ...place, wish: goesOn ? { continue_answer: true } : { regenerate: true } });
  } catch (error) {
    if (into === view) explain(error, "The server cannot be reached. The answer is still there.");
  }
}

/**
 * Ask and watch the answer. Asking is not given up when another conversation is opened, only watching is. Throws only
 * what keeps the server from taking the question.
 */
async function ask(into, question, { wish = {}, ...place } = {}) {
  const connection = new AbortController();
  let response;
  try {
    const body = { message: question.content, message_id: question.message_id, conversation_id: into.id, ...wish };
    response = await post("chat/stream", body, { signal: connection.signal });
  } catch (error) {
    setRun(into, null);
    throw error;
  }
  if (into.signal.aborted) connection.abort();
  else into.signal.addEventListener("abort", () => connection.abort());
  await follow(into, response.headers.get("X-Run-Id"), { response, question, ...place });
}

/** crypto.randomUUID is missing on plain http pages of a LAN; getRandomValues is not. */
function newId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function begin(into) {
  try {
    into.id = (await (await post("conversations", {})).json()).conversation_id;
  } catch (error) {
    setRun(into, null);
    throw error;
  }
  if (into !== view) return;
  handoff.offer(true);
  history.replaceState(null, "", `#${into.id}`);
}

/**
 * Watch an answer to its end, then show it as it is stored.
 * @param question what is answered, where it is known
 * @param former, goesOn the place that the answer takes; see messages.grow
 */
async function follow(into, runId, { response = null, question = null, former = null, goesOn = false } = {}) {
  const run = { runId };
  const unwanted = into.run?.unwanted;
  setRun(into, run);
  if (unwanted) stop(run);
  if (into.signal.aborted) return;
  const growing = messages.grow({ former, goesOn });
  let problem = "";
  try {
    const last = await watch(runId, response, (answer) => growing.update(answer.read()), into.signal);
    growing.end(last, question);
    $("announce").textContent = `Answer: ${last.response ?? ""}`;
  } catch (error) {
    if (into.signal.aborted) return;
    problem = [error.message, error.hint].filter(Boolean).join(" ");
    growing.fail(problem);
  } finally {
    setRun(into, null);
  }
  try {
    await refresh();
    if (problem) notice(problem);
  } catch { /* where it cannot be read now, what was streamed stays on the page */ }
}

export async function stop(run = view.run) {
  if (run?.runId) await drop(`runs/${encodeURIComponent(run.runId)}`).catch(explain);
  else if (run) run.unwanted = true; // it is stopped as soon as it is known
}

function setRun(into, run) {
  into.run = run;
  if (into !== view) return;
  $("send").hidden = Boolean(run);
  $("stop").hidden = !run;
  document.body.classList.toggle("answering", Boolean(run));
}

export function explain(error, unreachable = "The server cannot be reached. Your message is still in the box.") {
  if (isAbort(error)) return;
  const text = error.status === undefined ? unreachable : error.message;
  notice([text, error.hint].filter(Boolean).join("\n"));
}

export function notice(text, good = false) {
  $("notice").textContent = text;
  $("notice").classList.toggle("good", good);
  $("notice").hidden = !text;
}

/** Put a message that could not be sent back into the box, before what was written there since. */
function giveBack() {
  const message = unsent.get(view.id);
  if (message) write([message.content, $("message").value].filter(Boolean).join("\n"));
}

function write(text) {
  $("message").value = text;
  resize();
}

export function resize() {
  const box = $("message");
  box.style.height = "auto";
  box.style.height = `${box.scrollHeight + 2}px`;
}
