// The list of conversations, and the search in all of them.

import { drop, json, patch } from "./api.js";
import { $, node } from "./dom.js";

const list = $("conversations");
const PAUSE_MS = 200;
let current = "";
let open = () => {};
let searching = 0;

/** @param onOpen called with a conversation id when one is chosen, "" when it is gone */
export function start(onOpen) {
  open = onOpen;
  $("find").addEventListener("input", () => {
    clearTimeout(searching);
    searching = setTimeout(refresh, PAUSE_MS);
  });
}

/** Draw the list again, with this conversation marked as the open one. */
export async function refresh(conversationId = current) {
  current = conversationId;
  const query = $("find").value.trim();
  const rows = query ? await found(query) : await latest();
  list.replaceChildren(...(rows.length ? rows : [node("li", { class: "none" }, query ? "Nothing found." : "None yet.")]));
}

/** What a conversation is called. */
export function nameOf({ conversation_id: id, title }) {
  return title || (id === "default" ? "Default conversation" : "New conversation");
}

async function latest() {
  const { conversations } = await json("conversations?limit=100");
  const shown = conversations.find((entry) => entry.conversation_id === current);
  if (shown) $("title").textContent = nameOf(shown);
  return conversations.filter((entry) => entry.turn_count > 0 || entry.conversation_id === current).map((entry) => {
    return row(entry.conversation_id, nameOf(entry), when(entry.updated_at), true);
  });
}

async function found(query) {
  const { results } = await json(`search?q=${encodeURIComponent(query)}&limit=30`);
  return results.filter((hit) => hit.conversation_id).map((hit) => row(hit.conversation_id, hit.text, when(hit.at), false));
}

function row(id, name, note, editable) {
  const button = node("button", { type: "button", class: "open", "aria-current": id === current ? "true" : null, onclick: () => open(id) },
    node("span", { class: "name" }, name), node("span", { class: "when" }, note));
  if (!editable) return node("li", {}, button);
  const rename = node("button", { type: "button", class: "small", "aria-label": `Rename ${name}`, onclick: () => renameOne(id, name) }, "✎");
  const remove = node("button", { type: "button", class: "small", "aria-label": `Delete ${name}`, onclick: () => removeOne(id, name) }, "✕");
  return node("li", {}, button, rename, remove);
}

async function renameOne(id, name) {
  const title = await ask({ title: "Rename the conversation", value: name, action: "Rename" });
  if (!title?.trim()) return;
  await patch(`conversations/${encodeURIComponent(id)}`, { title: title.trim() });
  await refresh();
}

async function removeOne(id, name) {
  const sure = await ask({ title: "Delete this conversation?", text: name, action: "Delete" });
  if (sure === null) return;
  await drop(`conversations/${encodeURIComponent(id)}`);
  if (id === current) open("");
  else await refresh();
}

/** A small dialog; resolves to the text (or "" without a field), null when cancelled. */
function ask({ title, text = "", value = null, action }) {
  const dialog = $("ask-dialog");
  $("ask-title").textContent = title;
  $("ask-text").textContent = text;
  $("ask-ok").textContent = action;
  $("ask-input").hidden = value === null;
  $("ask-input").value = value ?? "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "ok" ? $("ask-input").value : null), { once: true });
  });
}

function when(iso) {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return "";
  const today = new Date().toDateString() === date.toDateString();
  return today ? date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }) : date.toLocaleDateString();
}
