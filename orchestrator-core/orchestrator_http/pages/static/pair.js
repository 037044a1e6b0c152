// The page of a pairing. On the desktop it shows a code and waits; opened by a link (on a phone that scanned one) it says
// what to do with it. What stands behind the # is sent nowhere.

import { drop, json, onKeyNeeded, post } from "./api.js";
import { $ } from "./dom.js";
import { askForKey } from "./key.js";

const POLL_MS = 1000;
const ENDINGS = {
  locked: "Ten wrong codes were tried: this one is locked. Show a new one.",
  expired: "Nobody used the code within ten minutes. Show a new one.",
  cancelled: "The pairing was ended.",
};

if (location.hash.length > 1) visitor();
else owner();

function visitor() {
  $("visitor").hidden = false;
  $("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      $("copied").textContent = "Copied.";
    } catch {
      $("copied").textContent = "This browser does not let the page copy: take the address from its address bar.";
    }
  });
}

function owner() {
  $("owner").hidden = false;
  onKeyNeeded(askForKey);
  $("begin").addEventListener("click", begin);
  $("cancel").addEventListener("click", () => guarded(() => drop("pairing")));
}

async function begin() {
  await guarded(async () => {
    const begun = await (await post("pairing", {})).json();
    $("qr").src = `data:image/svg+xml,${encodeURIComponent(begun.qr_svg)}`;
    $("code").textContent = begun.code;
    show(true);
    $("state").textContent = "Waiting for the device…";
    await watch();
  });
}

async function watch() {
  for (;;) {
    const now = await json("pairing");
    if (now.state === "waiting") {
      const minutes = Math.ceil(now.left_s / 60);
      const wrong = now.wrong ? ` ${now.wrong} of 10 wrong codes tried.` : "";
      $("state").textContent = `Waiting for the device; ${minutes} min left.${wrong}`;
      await new Promise((done) => setTimeout(done, POLL_MS));
      continue;
    }
    show(false);
    $("state").textContent = now.state === "paired" ? `Paired: ${now.name} (${now.kind})` : ENDINGS[now.state];
    return;
  }
}

function show(shown) {
  $("shown").hidden = !shown;
  $("begin").hidden = shown;
  if (!shown) {
    $("qr").removeAttribute("src");
    $("code").textContent = "";
  }
}

async function guarded(action) {
  $("problem").hidden = true;
  try {
    await action();
  } catch (error) {
    show(false);
    $("state").textContent = "";
    $("problem").textContent = [error.message, error.hint].filter(Boolean).join(" ");
    $("problem").hidden = false;
  }
}
