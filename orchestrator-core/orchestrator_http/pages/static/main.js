// The chat page: wires its parts together.

import { onKeyNeeded } from "./api.js";
import * as changes from "./changes.js";
import * as chat from "./chat.js";
import * as conversations from "./conversations.js";
import { $ } from "./dom.js";
import * as handoff from "./handoff.js";
import { askForKey } from "./key.js";
import * as memory from "./memory.js";
import * as messages from "./messages.js";
import * as notify from "./notify.js";
import * as status from "./status.js";

const THEMES = { "": "◐", light: "☀", dark: "☾" };
const THEME_NAMES = { "": "as the system", light: "light", dark: "dark" };

onKeyNeeded(askForKey);

function open(id) {
  toggleSidebar(false);
  chat.open(id).catch(chat.explain);
}

function toggleSidebar(visible) {
  $("sidebar").classList.toggle("shown", visible);
  $("veil").hidden = !visible;
  $("menu").setAttribute("aria-expanded", String(visible));
  if (visible) $("new").focus();
}

function showTheme() {
  const theme = document.documentElement.dataset.theme ?? "";
  $("theme").textContent = THEMES[theme];
  $("theme").setAttribute("aria-label", `Colours: ${THEME_NAMES[theme]}`);
}

function nextTheme() {
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(document.documentElement.dataset.theme ?? "") + 1) % names.length];
  if (next) {
    document.documentElement.dataset.theme = next;
    localStorage.setItem("theme", next);
  } else {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem("theme");
  }
  showTheme();
}

$("composer").addEventListener("submit", (event) => { event.preventDefault(); chat.send(); });
$("message").addEventListener("input", chat.resize);
$("message").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); chat.send(); }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || document.querySelector("dialog[open]")) return;
  if ($("sidebar").classList.contains("shown")) { toggleSidebar(false); $("menu").focus(); } else chat.stop();
});
$("stop").addEventListener("click", () => chat.stop());
$("new").addEventListener("click", () => open(""));
$("menu").addEventListener("click", () => toggleSidebar(!$("sidebar").classList.contains("shown")));
$("veil").addEventListener("click", () => toggleSidebar(false));
$("theme").addEventListener("click", nextTheme);
addEventListener("hashchange", () => { if (location.hash.slice(1) !== chat.shown().id) open(location.hash.slice(1)); });

showTheme();
status.start();
messages.start({ again: chat.again });
handoff.start({
  view: chat.shown,
  explain: chat.explain,
  done: () => chat.notice("The session is handed off: the log has its entry, the next session begins with the new briefing.", true),
});
memory.start({ explain: chat.explain, forgotten: () => chat.refresh().catch(chat.explain) });
notify.start({ explain: chat.explain });
conversations.start(open, chat.explain);
open(location.hash.slice(1));
changes.start(() => chat.refresh().catch(() => {})); // what cannot be read now is read after the next change
