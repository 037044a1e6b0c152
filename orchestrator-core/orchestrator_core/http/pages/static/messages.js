// The log of messages: draws stored ones, and an answer while it grows.

import { $, node } from "./dom.js";
import { render } from "./markdown.js";
import { label, otherVersions } from "./receipt.js";

const log = $("log");
const NEAR_END_PX = 80;
let following = true;

log.addEventListener("scroll", () => { following = atEnd(); }, { passive: true });
new ResizeObserver(() => { if (following) scrollToEnd(); }).observe(log);

export function clear() {
  log.replaceChildren();
}

export function showEmpty() {
  log.replaceChildren(node("li", { class: "empty" }, "Ask something. This assistant knows the four handoff documents and what was said here."));
}

export function add(message) {
  const item = frame(message.role, message.role === "user" ? "You" : "Assistant");
  const bubble = item.querySelector(".bubble");
  if (message.role === "user") bubble.textContent = message.content;
  else {
    bubble.append(...stored(message));
    finish(item, message);
    const versions = otherVersions(message.versions, (one) => node("div", { class: "bubble" }, ...stored(one)));
    if (versions) item.append(versions);
  }
  put(item);
  return item;
}

/** An answer in the making. `update(parts)` is cheap to call: it draws once a frame. */
export function grow() {
  const item = frame("assistant", "Assistant");
  item.setAttribute("aria-busy", "true");
  put(item);
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
    end(data) {
      if (waiting) draw();
      item.removeAttribute("aria-busy");
      finish(item, data);
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

function finish(item, data) {
  const line = label(data);
  if (line) item.append(line);
  if (data.finish_reason === "length") item.append(node("p", { class: "label cut" }, "The answer reached its length limit."));
  if (data.finish_reason === "cancelled") item.append(node("p", { class: "label" }, "Stopped."));
}

function atEnd() {
  return log.scrollHeight - log.scrollTop - log.clientHeight < NEAR_END_PX;
}
