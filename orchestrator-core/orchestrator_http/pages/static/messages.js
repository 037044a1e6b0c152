// The log of messages: draws stored ones, and an answer while it grows.

import { $, node } from "./dom.js";
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
let answerAgain = () => {};

log.addEventListener("scroll", () => { following = atEnd(); }, { passive: true });
new ResizeObserver(() => { if (following) scrollToEnd(); }).observe(log);

/** @param again called with the item of an answer that shall be given again, and its question */
export function start({ again }) { answerAgain = again; }

export function clear() {
  log.replaceChildren();
}

export function showEmpty() {
  log.replaceChildren(node("li", { class: "empty" }, "Ask something. This assistant knows the four handoff documents and what was said here."));
}

/** @param question the message that an answer answers, where it is known: then it can be given again */
export function add(message, question = null) {
  const item = frame(message.role, message.role === "user" ? "You" : "Assistant");
  if (message.role === "user") item.querySelector(".bubble").textContent = message.content;
  else redraw(item, message, question);
  put(item);
  return item;
}

/** Draw a stored answer in the place of what the item shows. */
export function redraw(item, message, question) {
  const focused = item.contains(document.activeElement);
  const bubble = bare(item);
  bubble.append(...stored(message));
  item.dataset.message = message.message_id;
  finish(item, message, question);
  const versions = otherVersions(message.versions, (one) => node("div", { class: "bubble" }, ...stored(one)));
  if (versions) item.insertBefore(versions, item.querySelector(".again"));
  if (focused) item.querySelector(".again")?.focus();
}

/** The item that shows the answer with this id. */
export function itemOf(messageId) {
  return messageId && [...log.children].find((item) => item.dataset.message === messageId);
}

/**
 * An answer in the making. `update(parts)` is cheap to call: it draws once a frame.
 * @param former the item of an answer whose place it takes
 */
export function grow(former = null) {
  const item = former ?? frame("assistant", "Assistant");
  item.setAttribute("aria-busy", "true");
  if (former) {
    bare(item);
    item.tabIndex = -1;
    item.focus(); // its button is gone
  } else put(item);
  let waiting = null;
  const draw = () => {
    item.querySelector(".bubble").replaceChildren(...waiting.map(part));
    waiting = null;
    if (following) scrollToEnd();
  };
  return {
    item,
    update(parts) {
      if (waiting === null) requestAnimationFrame(() => waiting && draw());
      waiting = parts;
    },
    end(data, question = null) {
      if (waiting) draw();
      item.removeAttribute("aria-busy");
      if (data.message_id) item.dataset.message = data.message_id;
      finish(item, data, question);
      if (following) scrollToEnd();
    },
    fail(text) {
      if (waiting) draw();
      item.removeAttribute("aria-busy");
      item.append(node("p", { class: "label failed" }, text));
    },
  };
}

export function scrollToEnd() {
  following = true;
  log.scrollTop = log.scrollHeight;
}

function frame(role, who) {
  return node("li", { class: role }, node("p", { class: "who" }, who), node("div", { class: "bubble" }));
}

/** Leave of an item nothing but its heading; returns its empty bubble. */
function bare(item) {
  const bubble = node("div", { class: "bubble" });
  item.replaceChildren(item.querySelector(".who"), bubble);
  return bubble;
}

function put(item) {
  log.querySelector(".empty")?.remove();
  log.append(item);
  scrollToEnd();
}

/** A stored answer, with its seams where they happened. */
function stored(message) {
  const seams = (message.receipt?.seams ?? []).filter((seam) => seam.offset > 0 && Number.isInteger(seam.at));
  if (!seams.length) return [render(message.content)];
  const characters = [...message.content]; // places are counted in characters, not in UTF-16 units
  const parts = [];
  let at = 0;
  for (const seam of seams) {
    parts.push({ text: characters.slice(at, seam.at).join("") }, { seam });
    at = seam.at;
  }
  return [...parts, { text: characters.slice(at).join("") }].map(part);
}

function part(entry) {
  if (!entry.seam) return node("div", { class: "part" }, render(entry.text));
  const { tier, model, reason } = entry.seam;
  return node("p", { class: "seam" }, `continued by ${[tier, model].filter(Boolean).join(" · ")}${reason ? `: ${reason}` : ""}`);
}

function finish(item, data, question) {
  const line = label(data);
  if (line) item.append(line);
  const end = ENDS[data.finish_reason ?? data.receipt?.finish_reason];
  if (end) item.append(node("p", { class: end.class }, end.text));
  if (!question || !data.message_id) return;
  const asked = question.content.replace(/\s+/g, " ").slice(0, QUOTED_CHARS);
  item.append(node("button", { type: "button", class: "again", "aria-label": `Answer again: ${asked}`, onclick: () => answerAgain(item, question) }, "Answer again"));
}

function atEnd() {
  return log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END_PX;
}
