// The log of messages: draws stored ones, and an answer while it grows.

import { $, node } from "./dom.js";
import { render } from "./markdown.js";
import { label } from "./receipt.js";

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
    bubble.append(render(message.content));
    finish(item, message);
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
