// What is remembered: the items of the handoff documents, to be reworded, closed and forgotten.

import { drop, json, patch } from "./api.js";
import { ask } from "./ask.js";
import { $, arrange, isAbort, latestOnly, node } from "./dom.js";

const HEADINGS = {
  owner: "About the owner",
  decisions: "Decisions",
  facts: "Facts",
  now: "Now",
  next: "To do",
  questions: "Open questions",
};
const CLOSED_BY_DOING = new Set(["now", "next", "questions"]);

const dialog = $("memory-dialog");
const list = $("memory-items");
const newSignal = latestOnly();
let forgotten = () => {};

/** @param explain shows an error outside the dialog; @param forgotten is called when messages may be gone */
export function start({ explain, forgotten: onForgotten }) {
  forgotten = onForgotten;
  $("memory").addEventListener("click", () => begin().catch(explain));
  $("memory-close").addEventListener("click", () => dialog.close());
  $("memory-closed").addEventListener("change", () => busy(load));
  dialog.addEventListener("close", newSignal);
}

async function begin() {
  try {
    await load();
  } catch (error) {
    if (isAbort(error)) return;
    // Another tier that serves this page has no such route while the desktop is away.
    if (error.status === 404) error.hint = "The memory is edited on the desktop; it cannot be reached from here now.";
    throw error;
  }
  problem("");
  dialog.showModal();
}

async function load() {
  const { items } = await json("memory", { signal: newSignal() });
  const shown = items.filter((item) => item.state === "open" || $("memory-closed").checked);
  const rows = Object.keys(HEADINGS).flatMap((section) => {
    const inside = shown.filter((item) => item.section === section);
    return inside.length ? [heading(section), ...inside.map(rowOf)] : [];
  });
  arrange(list, rows.length ? rows : [nothing()]);
}

function heading(section) {
  return { key: `heading ${section}`, content: "", draw: () => node("li", { class: "heading" }, node("h3", {}, HEADINGS[section])) };
}

function nothing() {
  const words = "Nothing yet. At the end of a session, its decisions, to-dos and facts are proposed.";
  return { key: "none", content: words, draw: () => node("li", { class: "none" }, words) };
}

function rowOf(item) {
  const note = [item.due && `due ${item.due}`, item.created && `since ${item.created}`, item.until && `until ${item.until}`, item.document].filter(Boolean).join(" · ");
  const draw = () => {
    const words = node("div", { class: "words" }, node(item.state === "open" ? "span" : "s", {}, item.text), node("span", { class: "when" }, note));
    return node("li", { class: item.state }, words, ...(item.state === "open" ? changing(item) : []), button("forget", "Forget", item, forget));
  };
  return { key: item.item_id, content: JSON.stringify(item), draw };
}

function changing(item) {
  const closing = CLOSED_BY_DOING.has(item.section) ? [button("done", "Done", item, () => settle(item, "done"))] : [];
  return [button("edit", "Edit", item, edit), ...closing, button("drop", "Drop", item, () => settle(item, "dropped"))];
}

function button(name, label, item, act) {
  return node("button", { type: "button", class: `${name} small`, "aria-label": `${label}: ${item.text}`, onclick: () => busy(() => act(item)) }, label);
}

async function edit(item) {
  const text = await ask({ title: "Reword it", value: item.text, action: "Store" });
  if (!text?.trim() || text.trim() === item.text) return;
  await patch(`memory/${encodeURIComponent(item.item_id)}`, { text: text.trim() });
  await load();
}

async function settle(item, outcome) {
  await patch(`memory/${encodeURIComponent(item.item_id)}`, { outcome });
  await load();
}

async function forget(item) {
  const sure = await ask({
    title: "Forget this?",
    text: `${item.text}\n\nThe message that it came from and the answers to it are deleted too, on every machine.`,
    action: "Forget",
  });
  if (sure === null) return;
  await drop(`memory/${encodeURIComponent(item.item_id)}`);
  await load();
  forgotten();
}

async function busy(work) {
  problem("");
  try {
    await work();
  } catch (error) {
    if (isAbort(error)) return;
    problem(error.status === undefined ? "The server cannot be reached. Nothing was changed." : [error.message, error.hint].filter(Boolean).join(" "));
  }
}

function problem(text) {
  $("memory-problem").textContent = text;
  $("memory-problem").hidden = !text;
}
