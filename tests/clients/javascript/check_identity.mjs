// Checks docs/vectors/identity.json with libraries that need no WebCrypto (as in Hermes and on http pages), and prints a
// request that it signed and one that it sealed, for the Python side to verify and open.
//
//   node check_identity.mjs identity.json

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { ed25519, x25519 } from "@noble/curves/ed25519.js";
import { hkdf } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { AEAD_ChaCha20Poly1305, KDF_HKDF_SHA256, KEM_DHKEM_X25519_HKDF_SHA256 } from "@panva/hpke-noble";
import { CipherSuite } from "hpke";
import { httpbis } from "http-message-signatures";

const vectors = JSON.parse(readFileSync(process.argv[2], "utf8"));
const { desktop, phone } = vectors.identities;
const utf8 = (text) => new TextEncoder().encode(text);
const text = (bytes) => new TextDecoder().decode(bytes);
const bytes = (encoded) => new Uint8Array(Buffer.from(encoded, "base64url"));
const base64url = (content) => Buffer.from(content).toString("base64url");
const concat = (...parts) => new Uint8Array(Buffer.concat(parts));

// Identities

const ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";
function idOf(signingKey) {
  const bits = [...sha256(signingKey).slice(0, 20)].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  return bits.match(/.{5}/g).map((five) => ALPHABET[parseInt(five, 2)]).join("");
}
for (const one of [desktop, phone]) {
  const [signing, sealing] = [bytes(one.public).slice(0, 32), bytes(one.public).slice(32)];
  assert.equal(idOf(signing), one.id);
  assert.deepEqual(ed25519.getPublicKey(bytes(one.secret_signing)), signing);
  assert.deepEqual(x25519.getPublicKey(bytes(one.secret_sealing)), sealing);
}

// Signed requests and answers (RFC 9421, RFC 9530)

const COVERED = ["content-type", "if-match", "if-none-match", "last-event-id", "range"];
const digestOf = (body) => `sha-256=:${Buffer.from(sha256(utf8(body))).toString("base64")}:`;

async function signRequest(method, url, headers, body, created, nonce) {
  const message = { method, url: `http://household${url}`, headers: { ...headers, "content-digest": digestOf(body) } };
  const signed = await httpbis.signMessage(
    {
      name: "orchestrator",
      key: {
        id: phone.id,
        alg: "ed25519",
        sign: async (data) => Buffer.from(ed25519.sign(new Uint8Array(data), bytes(phone.secret_signing))),
      },
      fields: ["@method", "@path", "@query", "content-digest", ...COVERED.filter((name) => name in headers)],
      params: ["created", "keyid", "alg", "nonce", "tag"],
      paramValues: { created: new Date(created * 1000), nonce, tag: vectors.household },
    },
    message,
  );
  return Object.fromEntries(Object.entries(signed.headers).map(([name, value]) => [name.toLowerCase(), value]));
}

const keyOf = (one) => async ({ keyid }) =>
  keyid !== one.id ? null : {
    id: keyid,
    algs: ["ed25519"],
    verify: async (data, signature) =>
      ed25519.verify(new Uint8Array(signature), new Uint8Array(data), bytes(one.public).slice(0, 32)),
  };

for (const request of [vectors.request, vectors.request_without_body]) {
  const message = { method: request.method, url: `http://household${request.url}`, headers: request.signed_headers };
  assert.equal(request.signed_headers["content-digest"], digestOf(request.body));
  assert.equal(await httpbis.verifyMessage({ keyLookup: keyOf(phone), notAfter: request.created + 60, tolerance: 1e9 }, message), true);
  const own = await signRequest(request.method, request.url, request.headers, request.body, request.created, request.nonce);
  assert.equal(await httpbis.verifyMessage({ keyLookup: keyOf(phone), tolerance: 1e9 }, { ...message, headers: own }), true);
}

{
  const { status, body, signed_headers } = vectors.answer;
  assert.equal(signed_headers["content-digest"], digestOf(body));
  const asked = { method: "GET", url: "http://household/", headers: vectors.request.signed_headers };
  const answer = { status, headers: signed_headers };
  const config = { keyLookup: keyOf(desktop), tolerance: 1e9 };
  assert.equal(await httpbis.verifyMessage(config, answer, asked), true);
  const other = { ...asked, headers: vectors.request_without_body.signed_headers };
  assert.notEqual(await httpbis.verifyMessage(config, answer, other), true);
}

// Streams

{
  const { events, last_event } = vectors.stream;
  const start = `orchestrator event chain 1\n${vectors.household}\n${vectors.request.signed_headers.signature}`;
  let chain = sha256(utf8(start));
  for (const { id, event, data } of events) chain = sha256(concat(chain, sha256(utf8(`${id}\n${event}\n${data}`))));
  const count = new Uint8Array(8);
  new DataView(count.buffer).setBigUint64(0, BigInt(events.length));
  const signed = concat(utf8("orchestrator event chain 1\n"), count, chain);
  const [keyId, number, signature] = last_event.data.split(" ");
  assert.deepEqual([keyId, number], [desktop.id, String(events.length)]);
  assert.ok(ed25519.verify(bytes(signature), signed, bytes(desktop.public).slice(0, 32)));
}

// The registry of devices

{
  const { value, statement, signature } = vectors.grant;
  assert.equal(value, `${statement}.${signature}`);
  const given = new Uint8Array(Buffer.from(signature, "base64"));
  assert.ok(ed25519.verify(given, utf8(statement), bytes(desktop.public).slice(0, 32)));
  assert.equal(JSON.parse(statement).id, phone.id);
}

// Sealed requests and answers (RFC 9180, chunked OHTTP)

const suite = new CipherSuite(KEM_DHKEM_X25519_HKDF_SHA256, KDF_HKDF_SHA256, AEAD_ChaCha20Poly1305);
const info = utf8(`orchestrator sealed request 1\n${desktop.id}`);

function openAnswer(wire, secret, enc) {
  const salt = concat(enc, wire.slice(0, 32));
  const key = hkdf(sha256, secret, salt, utf8("key"), 32);
  const base = hkdf(sha256, secret, salt, utf8("nonce"), 12);
  const open = (number, chunk, associated) => {
    const nonce = base.slice();
    const counter = new DataView(nonce.buffer);
    counter.setUint32(8, (counter.getUint32(8) ^ number) >>> 0);
    return chacha20poly1305(key, nonce, associated).decrypt(chunk);
  };
  const parts = [];
  for (let at = 32, number = 0; ; number += 1) {
    const width = 1 << (wire[at] >> 6);
    let length = wire[at] & 63;
    for (let offset = 1; offset < width; offset += 1) length = length * 256 + wire[at + offset];
    at += width;
    if (length === 0) {
      assert.equal(open(number, wire.slice(at), utf8("final")).length, 0);
      return { head: JSON.parse(text(parts[0])), body: text(concat(...parts.slice(1))) };
    }
    parts.push(open(number, wire.slice(at, at + length), new Uint8Array()));
    at += length;
  }
}

async function sealRequest(method, target, headers, body, secret) {
  const recipient = await suite.DeserializePublicKey(bytes(desktop.public).slice(32));
  const head = utf8(JSON.stringify({ method, target, headers, body: utf8(body).length, answer: base64url(secret) }));
  const length = new Uint8Array(4);
  new DataView(length.buffer).setUint32(0, head.length);
  const { encapsulatedSecret, ciphertext } = await suite.Seal(recipient, concat(length, head, utf8(body)), { info });
  return concat(encapsulatedSecret, ciphertext);
}

{
  const { sealed } = vectors;
  const wire = bytes(sealed.request);
  const own = await suite.DeserializePrivateKey(bytes(desktop.secret_sealing));
  const plain = await suite.Open(own, wire.slice(0, 32), wire.slice(32), { info });
  const length = new DataView(plain.buffer, plain.byteOffset).getUint32(0);
  const head = JSON.parse(text(plain.slice(4, 4 + length)));
  assert.deepEqual([head.method, head.target, head.headers], [sealed.method, sealed.target, sealed.headers]);
  assert.equal(head.answer, sealed.secret);
  assert.equal(text(plain.slice(4 + length)), sealed.body);
  const answer = openAnswer(bytes(sealed.answer), bytes(sealed.secret), wire.slice(0, 32));
  assert.deepEqual([answer.head.status, answer.head.headers], [sealed.status, sealed.answer_headers]);
  assert.equal(answer.body, sealed.answer_body);
  const cut = bytes(sealed.answer).slice(0, -3);
  assert.throws(() => openAnswer(cut, bytes(sealed.secret), wire.slice(0, 32)));
}

// For the other side

const [method, url, body] = ["PUT", "/context/SESSION_BRIEFING.md?x=%20y", '{"text": "von node 🦜"}'];
const asked = { "content-type": "application/json", "if-match": '"v1"' };
const headers = await signRequest(method, url, asked, body, Math.floor(Date.now() / 1000), "a nonce made by node");
const sealed = await sealRequest(method, url, Object.entries(headers), body, crypto.getRandomValues(new Uint8Array(32)));
console.log(JSON.stringify({ method, url, body, headers, sealed: base64url(sealed) }));
