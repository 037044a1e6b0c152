// The log of messages: draws stored ones, and an answer while it grows.

import { $, arrange, node } from "./dom.js";
import { render } from "./markdown.js";
import { label, otherVersions } from "./receipt.js";

const log = $("log");
const NEAR_END_PX = 80;
const QUOTED_CHARS = 60;
const ENDS = { // of answers that are not whole
  length: { class: "label cut", text: "The answer reached its length limit." },
  cancelled: { class: "label", text: "Stopped." },
  error: { class: "label failed", text: "The answer broke off." },
};
let following = true;
let giveAgain = () => {};

log.addEventListener("scroll", () => { following = atEnd(); }, { passive: true });
new ResizeObserver(() => { if (following) scrollToEnd(); }).observe(log);

/** @param again called with the id of an answer, its question, and whether it is to go on where it ended */
export function start({ again }) { giveAgain = again; }

export function clear() {
  log.replaceChildren();
  following = true;
}

export function showEmpty() {
  log.replaceChildren(node("li", { class: "empty" }, "Ask something. This assistant knows the four handoff documents and what was said here."));
}

/**
 * Make the log show what is stored. An answer in the making, and a message that is on its way, stay.
 * @param earlier shows more of the history; null when this is all of it
 */
export function show(history, earlier) {
  const questions = new Map(history.filter((one) => one.role === "user").map((one) => [one.message_id, one]));
  const items = history.map((message) => ({
    key: message.message_id,
    content: contentOf(message),
    draw: () => stored(message, questions.get(message.reply_to)),
  }));
  if (earlier) items.unshift({ key: "earlier", content: "", draw: () => earlierButton(earlier) });
  arrange(log, items, (item) => item.matches("[aria-busy], [data-sending]"));
  if (!log.children.length) showEmpty();
  else if (following) scrollToEnd();
}

/** A message of the person, before it is stored. */
export function add(message) {
  const item = said(message);
  item.dataset.key = message.message_id;
  item.dataset.sending = "";
  put(item);
  return item;
}

/**
 * An answer in the making. `update(answer)` is cheap to call: it draws once a frame.
 * @param former id of an answer whose place it takes, @param goesOn whether it begins with the former's text
 */
export function grow({ former = null, goesOn = false } = {}) {
  const place = former && [...log.children].find((item) => item.dataset.key === former);
  const item = place || frame("assistant", "Assistant");
  item.setAttribute("aria-busy", "true");
  if (place) {
    bare(item, goesOn);
    item.content = null;
    item.tabIndex = -1;
    item.focus(); // its button is gone
  } else put(item);
  let waiting = null;
  const draw = () => {
    if (waiting.thoughts) think(item, waiting.thoughts);
    item.querySelector(".bubble").replaceChildren(marked(waiting.text, waiting.seams));
    waiting = null;
    if (following) scrollToEnd();
  };
  const settled = () => {
    if (waiting) draw();
    item.removeAttribute("aria-busy");
    for (const question of log.querySelectorAll("[data-sending]")) delete question.dataset.sending;
  };
  return {
    update(answer) {
      if (waiting === null) requestAnimationFrame(() => waiting && draw());
      waiting = answer;
    },
    end(data, question = null) {
      settled();
      if (data.message_id) item.dataset.key = data.message_id;
      finish(item, data, question);
      if (question) item.content = contentOf({ ...data, content: data.response }); // as it is stored: need not be drawn again
      if (following) scrollToEnd();
    },
    fail(text) {
      settled();
      item.append(node("p", { class: "label failed" }, text));
    },
  };
}

export function scrollToEnd() {
  following = true;
  log.scrollTop = log.scrollHeight;
}

/** What of a stored message is seen. */
function contentOf({ content, supersedes = null, receipt, versions = [] }) {
  return JSON.stringify([content, supersedes, receipt?.finish_reason, versions.map((version) => version.message_id)]);
}

function stored(message, question) {
  if (message.role === "user") return said(message);
  const item = frame("assistant", "Assistant");
  item.querySelector(".bubble").append(written(message));
  finish(item, message, question);
  return item;
}

function said(message) {
  const item = frame("user", "You");
  item.querySelector(".bubble").textContent = message.content;
  return item;
}

function frame(role, who) {
  return node("li", { class: role }, node("p", { class: "who" }, who), node("div", { class: "bubble" }));
}

/** Leave of an item its heading and its bubble, which is emptied unless its text `stays`. */
function bare(item, stays) {
  const bubble = item.querySelector(".bubble");
  if (!stays) bubble.replaceChildren();
  item.replaceChildren(item.querySelector(".who"), bubble);
}

/** What the model thinks before it answers, folded. It is not stored. */
function think(item, thoughts) {
  let shown = item.querySelector(".thoughts");
  if (!shown) {
    shown = node("details", { class: "label thoughts" }, node("summary", {}, "Thoughts"), node("p", {}));
    item.querySelector(".bubble").before(shown);
  }
  shown.querySelector("p").textContent = thoughts;
}

function put(item) {
  log.querySelector(".empty")?.remove();
  log.append(item);
  scrollToEnd();
}

function earlierButton(earlier) {
  return node("li", { class: "earlier" }, node("button", { type: "button", class: "more", onclick: earlier }, "Earlier messages"));
}

/** A stored answer, with its seams where they happened. */
function written({ content, receipt }) {
  const seams = (receipt?.seams ?? []).filter((seam) => seam.offset > 0 && Number.isInteger(seam.at));
  if (!seams.length) return render(content);
  const characters = [...content]; // the server counts characters, not UTF-16 units
  return marked(content, seams.map((seam) => ({ ...seam, at: characters.slice(0, seam.at).join("").length })));
}

function marked(text, seams) {
  return render(text, seams.map((seam) => ({ at: seam.at, node: seamNode(seam) })));
}

function seamNode({ tier, model, reason }) {
  return node("span", { class: "seam" }, `continued by ${[tier, model].filter(Boolean).join(" · ")}${reason ? `: ${reason}` : ""}`);
}

function finish(item, data, question) {
  const end = ENDS[data.finish_reason ?? data.receipt?.finish_reason];
  const versions = otherVersions(data.versions, (one) => node("div", { class: "bubble" }, written(one)));
  for (const part of [label(data), end && node("p", { class: end.class }, end.text), versions]) if (part) item.append(part);
  if (!question || !data.message_id) return;
  const asked = question.content.replace(/\s+/g, " ").slice(0, QUOTED_CHARS);
  const button = (name, text, goesOn) => node("button", { type: "button", class: name, "aria-label": `${text}: ${asked}`, onclick: () => giveAgain(data.message_id, question, goesOn) }, text);
  item.append(button("again", "Answer again", false));
  if (end) item.append(button("continue", "Continue", true));
}

function atEnd() {
  return log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END_PX;
}
