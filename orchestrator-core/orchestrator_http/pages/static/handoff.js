// The end of a session: the entry and the documents as text that can be changed, and what they change.

import { post } from "./api.js";
import { $, isAbort, latestOnly, node } from "./dom.js";
import { lineDiff, withContext } from "./line_diff.js";

const dialog = $("handoff-dialog");
const entry = $("handoff-entry");
const documents = $("handoff-documents");
const newSignal = latestOnly();
let draft = null;
let explain = () => {};
let open = newSignal(); // of the dialog as it is open now: aborted when it is closed

/** @param view the conversation that is shown; @param explain shows an error outside the dialog; @param done is told what was stored */
export function start({ view, explain: onError, done }) {
  explain = onError;
  $("end-session").addEventListener("click", () => begin(view()));
  $("handoff-cancel").addEventListener("click", () => dialog.close());
  $("handoff-form").addEventListener("submit", (event) => {
    event.preventDefault();
    busy(async (signal) => done(await store(signal)));
  });
  dialog.addEventListener("close", () => { open = newSignal(); });
}

/** The button is there when there is a conversation to end. */
export function offer(shown) { $("end-session").hidden = !shown; }

async function begin({ id, signal }) {
  $("end-session").disabled = true;
  try {
    await load(id, signal);
    problem("");
    $("handoff-fields").disabled = false;
    dialog.showModal();
    entry.setSelectionRange(0, 0);
    entry.focus();
    entry.scrollTop = 0;
  } catch (error) {
    // Another tier that serves this page has no such route while the desktop is away.
    if (error.status === 404 && error.code === "not_found") error.hint = "Sessions are ended on the desktop; it cannot be reached from here now.";
    explain(error);
  } finally { $("end-session").disabled = false; }
}

async function load(conversationId, signal) {
  draft = await (await post("handoff", { conversation_id: conversationId }, { signal })).json();
  entry.value = draft.entry;
  documents.replaceChildren(...draft.documents.filter((drafted) => drafted.diff).map(editable));
  $("handoff-notes").replaceChildren(...draft.notes.map((note) => node("li", {}, note)));
}

/** What was sent to be stored is stored, also when the dialog is closed meanwhile. */
async function store(signal) {
  const answer = await (await post("handoff/confirm", {
    conversation_id: draft.conversation_id,
    entry_id: draft.entry_id,
    sources: draft.sources,
    entry: entry.value.trim() ? entry.value : null,
    documents: draft.documents
      .filter((drafted) => drafted.text !== drafted.base_text)
      .map(({ name, text, base_version }) => ({ name, text, base_version })),
  })).json();
  if (!signal.aborted) dialog.close();
  return answer;
}

async function busy(work) {
  const fields = $("handoff-fields");
  const signal = open;
  problem("");
  fields.disabled = true;
  try {
    await work(signal);
  } catch (error) {
    if (isAbort(error)) return;
    if (signal.aborted) explain(error, "The server cannot be reached. The session is not handed off.");
    else problem(error.status === undefined ? "The server cannot be reached. Nothing is lost: try again." : [error.message, error.hint].filter(Boolean).join(" "));
  } finally { if (signal === open) fields.disabled = false; }
}

/** A document's text beside what changes in it; what is typed is kept in the draft. */
function editable(drafted) {
  const changes = node("div", { class: "diff", role: "group", "aria-label": `What changes in ${drafted.name}`, tabindex: "0" });
  const box = node("textarea", { rows: "8", "aria-label": drafted.name });
  box.value = drafted.text;
  const show = () => changes.replaceChildren(...changed(drafted));
  box.addEventListener("input", () => { drafted.text = box.value; show(); });
  show();
  return node("section", {}, node("h3", {}, drafted.name), changes, node("details", {}, node("summary", {}, "Edit"), box));
}

function changed(drafted) {
  const lines = withContext(lineDiff(drafted.base_text, drafted.text));
  const names = { "+": "added", "-": "removed", " ": "" };
  const shown = lines.map((line) => (line === null
    ? node("div", { class: "gap" }, "⋯")
    : node("div", { class: names[line.mark] }, `${line.mark} ${line.text}`)));
  return shown.length ? shown : [node("div", {}, "Nothing changes.")];
}

function problem(text) {
  $("handoff-problem").textContent = text;
  $("handoff-problem").hidden = !text;
}
