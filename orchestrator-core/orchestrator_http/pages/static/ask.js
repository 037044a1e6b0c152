// The small dialog that asks for a word, or whether something is to be done.

import { $ } from "./dom.js";

/** A small dialog; resolves to the text (or "" without a field), null when cancelled. */
export function ask({ title, text: words = "", value = null, action }) {
  const dialog = $("ask-dialog");
  $("ask-title").textContent = title;
  $("ask-text").textContent = words;
  $("ask-ok").textContent = action;
  $("ask-input").hidden = value === null;
  $("ask-input").value = value ?? "";
  dialog.returnValue = "";
  dialog.showModal();
  $("ask-input").select();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "ok" ? $("ask-input").value : null), { once: true });
  });
}

$("ask-cancel").addEventListener("click", () => $("ask-dialog").close());
