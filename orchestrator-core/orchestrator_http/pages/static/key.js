// The question for the server's key, in the dialog that each page has.

import { $ } from "./dom.js";

/** The key that was typed; "" to give up. */
export function askForKey() {
  const dialog = $("key-dialog");
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => { resolve($("key").value); $("key").value = ""; }, { once: true });
  });
}
