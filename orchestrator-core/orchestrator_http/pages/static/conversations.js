// The list of conversations, and the search in all of them.

import { drop, json, patch } from "./api.js";
import { ask } from "./ask.js";
import { $, arrange, isAbort, latestOnly, node } from "./dom.js";

const list = $("conversations");
const PAUSE_MS = 200;
const PAGE = 50; // rows that are shown at first, and that are added when the last one comes into sight
const MOST_AT_ONCE = 500;
const newSignal = latestOnly();
const sight = new IntersectionObserver((entries) => { if (entries.some((entry) => entry.isIntersecting)) showMore(); });
let current = "";
let rows = PAGE;
let searching = 0;
let open = () => {};
let explain = () => {};

/** @param onOpen called with a conversation id when one is chosen, "" when it is gone; @param onError with what went wrong */
export function start(onOpen, onError) {
  open = onOpen;
  explain = onError;
  $("find").addEventListener("input", () => {
    clearTimeout(searching);
    searching = setTimeout(() => refresh().catch(explain), PAUSE_MS);
  });
}

/** Draw the list again, with this conversation marked as the open one; resolves also when a later call takes over. */
export async function refresh(conversationId = current) {
  current = conversationId;
  for (const row of list.children) mark(row);
  const query = $("find").value.trim();
  const signal = newSignal();
  try {
    const found = query ? await search(query, signal) : await latest(signal);
    arrange(list, found.length ? found : [text(query ? "Nothing found." : "None yet.")]);
  } catch (error) {
    if (!isAbort(error)) throw error;
  }
}

/** What a conversation is called. */
export function nameOf({ conversation_id: id, title }) {
  return title || (id === "default" ? "Default conversation" : "New conversation");
}

function showMore() {
  rows += PAGE;
  refresh().catch(explain);
}

/** The latest first, as many as are to be shown. */
async function latest(signal) {
  const found = [];
  let next = "";
  while (next !== null && found.length < rows) {
    const place = next && `&before=${encodeURIComponent(next)}`;
    const page = await json(`conversations?limit=${Math.min(rows - found.length, MOST_AT_ONCE)}${place}`, { signal });
    found.push(...page.conversations);
    next = page.next;
  }
  return [...found.map(entryRow), ...(next === null ? [] : [more()])];
}

/** Conversations by their titles and messages. */
async function search(query, signal) {
  const { results } = await json(`search?q=${encodeURIComponent(query)}&limit=30`, { signal });
  return results.filter((hit) => hit.conversation_id).map((hit) => {
    const title = hit.source === "conversation" ? "" : hit.title;
    return rowOf(`found ${hit.id}`, hit.conversation_id, hit.text, [title, when(hit.at)].filter(Boolean).join(" · "), () => []);
  });
}

function entryRow(entry) {
  const id = entry.conversation_id;
  const name = nameOf(entry);
  return rowOf(id, id, name, when(entry.updated_at), () => [
    node("button", { type: "button", class: "rename small", "aria-label": `Rename ${name}`, onclick: () => rename(id, name).catch(explain) }, "✎"),
    node("button", { type: "button", class: "delete small", "aria-label": `Delete ${name}`, onclick: () => remove(id, name).catch(explain) }, "✕"),
  ]);
}

function rowOf(key, id, name, note, buttons) {
  const draw = () => {
    const button = node("button", { type: "button", class: "open", onclick: () => open(id) },
      node("span", { class: "name" }, name), node("span", { class: "when" }, note));
    const row = node("li", { "data-conversation": id }, button, ...buttons());
    mark(row);
    return row;
  };
  return { key, content: `${name}\n${note}`, draw };
}

function mark(row) {
  if (row.dataset.conversation === current) row.firstElementChild.setAttribute("aria-current", "true");
  else row.firstElementChild?.removeAttribute("aria-current");
}

function text(words) {
  return { key: "none", content: words, draw: () => node("li", { class: "none" }, words) };
}

/** Stands behind the last row; comes into sight when someone scrolls there. */
function more() {
  const draw = () => {
    const button = node("button", { type: "button", class: "more", onclick: showMore }, "Older conversations");
    sight.observe(button);
    return node("li", { class: "last" }, button);
  };
  return { key: "more", content: String(rows), draw };
}

async function rename(id, name) {
  const title = await ask({ title: "Rename the conversation", value: name, action: "Rename" });
  if (!title?.trim()) return;
  await patch(`conversations/${encodeURIComponent(id)}`, { title: title.trim() });
  if (id === current) $("title").textContent = title.trim();
  await refresh();
}

async function remove(id, name) {
  const sure = await ask({ title: "Delete this conversation?", text: name, action: "Delete" });
  if (sure === null) return;
  await drop(`conversations/${encodeURIComponent(id)}`);
  if (id === current) open("");
  else await refresh();
}

function when(iso) {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return "";
  const today = new Date().toDateString() === date.toDateString();
  return today ? date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }) : date.toLocaleDateString();
}
