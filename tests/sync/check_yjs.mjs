// Applies the updates of docs/vectors/documents.json with Yjs itself, in every order, and compares.
// Then edits each document and prints what another replica needs to have the same.
//
//   node check_yjs.mjs documents.json

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import * as Y from "yjs";

const { cases } = JSON.parse(readFileSync(process.argv[2], "utf8"));

function* permutations(items) {
  if (items.length <= 1) yield items;
  for (const [at, item] of items.entries()) {
    const others = items.filter((_, index) => index !== at);
    for (const rest of permutations(others)) yield [item, ...rest];
  }
}

const textOf = (element) => (typeof element === "string" ? element : element.t);

function joined(ranges) {
  const out = [];
  for (const [clock, length] of ranges.sort((one, other) => one[0] - other[0])) {
    const last = out.at(-1);
    if (last && clock <= last[0] + last[1]) last[1] = Math.max(last[1], clock + length - last[0]);
    else out.push([clock, length]);
  }
  return out;
}

function digest(doc) {
  const byClient = (one, other) => one[0] - other[0];
  const vector = Y.decodeStateVector(Y.encodeStateVector(doc));
  const present = [...vector].filter(([, clock]) => clock > 0).sort(byClient);
  const deletions = Y.decodeUpdate(Y.encodeStateAsUpdate(doc)).ds.clients;
  const deleted = [...deletions]
    .map(([client, items]) => [client, joined(items.map((item) => [item.clock, item.len]))])
    .filter(([, ranges]) => ranges.length > 0)
    .sort(byClient);
  return createHash("sha256").update(JSON.stringify([present, deleted])).digest("hex");
}

for (const { name, updates, texts, elements, digest: expected } of cases) {
  let doc;
  for (const order of permutations(updates)) {
    doc = new Y.Doc();
    for (const update of order) Y.applyUpdate(doc, Buffer.from(update, "base64"));
    for (const [path, text] of Object.entries(texts)) {
      const lines = doc.getArray(path).toArray();
      assert.deepEqual(lines, elements[path], name);
      assert.equal(lines.map(textOf).join("\n"), text, name);
    }
    assert.equal(digest(doc), expected, name);
  }
  const [path] = Object.keys(texts);
  const array = doc.getArray(path);
  array.insert(1, ["written with yjs"]);
  array.delete(0, 1);
  const update = Buffer.from(Y.encodeStateAsUpdate(doc)).toString("base64");
  console.log(JSON.stringify({ name, path, update, lines: array.toArray().map(textOf), digest: digest(doc) }));
}
