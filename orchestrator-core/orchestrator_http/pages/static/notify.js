// The button that has this browser told of answers nobody watched. Browsers offer it on HTTPS and localhost only.

import { json, post, drop } from "./api.js";
import { $ } from "./dom.js";

const SCOPE = "static/";
const button = $("notify");

/** @param explain shows an error */
export function start({ explain }) {
  if (!("serviceWorker" in navigator && "PushManager" in globalThis && "Notification" in globalThis)) return;
  button.hidden = false;
  button.addEventListener("click", () => toggle().catch(explain).finally(show));
  renew().catch(explain).finally(show);
}

async function subscription() {
  const registration = await navigator.serviceWorker.getRegistration(SCOPE);
  return await registration?.pushManager.getSubscription() ?? null;
}

async function show() {
  const on = Boolean(await subscription());
  button.setAttribute("aria-pressed", String(on));
  button.textContent = on ? "Notifications: on" : "Notify me";
}

async function toggle() {
  const present = await subscription();
  if (!present) return subscribe();
  await present.unsubscribe();
  await drop("push", { endpoint: present.endpoint });
}

/** A subscription is bound to the key of the tier that sends, which is another one since a VPS was enrolled. */
async function renew() {
  const present = await subscription();
  if (!present || encoded(present.options.applicationServerKey) === (await json("push")).public_key) return;
  await present.unsubscribe();
  await subscribe();
}

async function subscribe() {
  const { public_key: key } = await json("push");
  const registration = await navigator.serviceWorker.register("static/sw.js");
  const made = await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
  await post("push", { ...made.toJSON(), name: "Browser" });
}

function encoded(key) {
  return btoa(String.fromCharCode(...new Uint8Array(key))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
