// The line under an answer: who answered, why, and what it was made from.

import { node } from "./dom.js";

const NAMES = { desktop: "desktop", vps: "VPS", phone: "phone" };

/** @param data fields of a final event or of a stored message; may lack any of them */
export function label(data) {
  const receipt = data.receipt ?? {};
  const tier = data.tier ?? receipt.tier;
  if (!tier) return null;
  const summary = node("summary", {}, [answeredBy(tier, data.reason ?? receipt.reason), data.model ?? receipt.model].filter(Boolean).join(" · "));
  const left = leftOut(receipt);
  if (left) summary.append(" · ", node("span", { class: "cut" }, left));
  return node("details", { class: "label" }, summary, ...details(data, receipt));
}

/** "answered by the VPS: the desktop is away"; that the desktop answers needs no reason. */
function answeredBy(tier, reason) {
  return `answered by the ${NAMES[tier] ?? tier}${reason && tier !== "desktop" ? `: ${reason}` : ""}`;
}

/** Other versions of an answer, each with its own label, behind a small disclosure. */
export function otherVersions(versions, draw) {
  if (!versions?.length) return null;
  const summary = node("summary", {}, versions.length > 1 ? `${versions.length} other versions` : "1 other version");
  return node("details", { class: "label versions" }, summary, ...versions.map((one) => node("div", { class: "version" }, draw(one), label(one))));
}

function leftOut(receipt) {
  const documents = (receipt.documents ?? []).filter((entry) => entry.tokens_left_out > 0).length;
  const dropped = receipt.history?.dropped ?? 0;
  const parts = [];
  if (documents) parts.push(`${documents} document${documents > 1 ? "s" : ""} shortened`);
  if (dropped) parts.push(`${dropped} earlier message${dropped > 1 ? "s" : ""} ${receipt.history?.summary_tokens ? "summed up" : "left out"}`);
  return parts.join(", ");
}

function details(data, receipt) {
  const found = [];
  const reason = data.reason ?? receipt.reason;
  if (reason) found.push(node("p", {}, `Why there: ${reason}.`));
  if (receipt.documents?.length) {
    const rows = receipt.documents.map((entry) => node("tr", {},
      node("th", { scope: "row" }, entry.name),
      node("td", {}, entry.version ?? ""),
      node("td", { class: "number" }, entry.state === "untouched" ? "not filled in yet" : String(entry.tokens ?? 0)),
      node("td", { class: entry.tokens_left_out ? "number cut" : "number" }, String(entry.tokens_left_out ?? 0))));
    const head = ["Document", "Version", "Tokens used", "Left out"].map((text) => node("th", { scope: "col" }, text));
    found.push(node("table", {}, node("thead", {}, node("tr", {}, ...head)), node("tbody", {}, ...rows)));
  }
  const history = receipt.history;
  if (history) found.push(node("p", {}, `History: ${history.kept ?? 0} messages kept, ${history.dropped ?? 0} left out${history.summary_tokens ? `; ${history.summary_tokens} tokens of their own sentences stand for them` : ""}.`));
  for (const passage of receipt.retrieved ?? []) {
    found.push(node("p", {}, `Recalled: ${passage.source} ${passage.id}${passage.at ? ` of ${passage.at.slice(0, 10)}` : ""}, ${passage.tokens} tokens.`));
  }
  const usage = data.usage ?? receipt.usage;
  if (usage) {
    found.push(node("p", {}, `Tokens: ${usage.prompt_tokens} in the prompt, ${usage.cached_tokens ?? 0} of them already computed, ${usage.completion_tokens} in the answer.`));
  }
  return found;
}
