// The question for the server's key.

import { node } from "./dom.js";

/** The key that was typed; "" to give up. */
export function askForKey() {
  const input = node("input", { id: "key", type: "password", autocomplete: "off", spellcheck: "false" });
  const dialog = node("dialog", { id: "key-dialog", "aria-labelledby": "key-title" },
    node("form", { method: "dialog" },
      node("h2", { id: "key-title" }, "This server asks for its key"),
      node("p", {}, "It is the value of ", node("code", {}, "ORCHESTRATOR_API_KEY"),
        " on the desktop. It is kept in this browser tab only."),
      node("label", { for: "key" }, "Key"),
      input,
      node("p", { class: "row" }, node("button", { value: "ok" }, "Use this key"))));
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => { dialog.remove(); resolve(input.value); }, { once: true });
  });
}
