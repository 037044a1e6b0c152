// Markdown of an answer to safe DOM nodes. marked writes HTML, DOMPurify removes whatever could act.

import { marked } from "./vendor/marked.js";

const ALLOWED = {
  ALLOWED_TAGS: ["a", "b", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i", "li", "ol", "p", "pre", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"],
  ALLOWED_ATTR: ["href", "start"],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  RETURN_DOM_FRAGMENT: true,
};

/** Noncharacters (Unicode 23.7), which no text holds: each stands for a mark while the text is read. */
const SIGNS = Array.from({ length: 32 }, (_, number) => String.fromCharCode(0xfdd0 + number));
const ANY_SIGN = /[\ufdd0-\ufdef]/g;

/**
 * The text as one piece of Markdown, with nodes at some of its places. A mark never changes how the text is read: where
 * it would (between two backticks, in an address), it stands at the next place where it does not, at the latest at the end.
 * @param marks [{at, node}] by UTF-16 offsets, in their order
 */
export function render(text, marks = []) {
  const plain = text.replace(ANY_SIGN, "\ufffd");
  const box = read(plain);
  if (!marks.length) return contents(box);
  const expected = box.innerHTML;
  let signed = plain;
  const late = [];
  for (const [index, { at, node }] of [...marks.entries()].reverse()) {
    const sign = SIGNS[index % SIGNS.length];
    const place = places(signed, at).find((here) => isHarmless(insert(signed, here, sign), sign, expected));
    if (place === undefined) late.unshift(node);
    else signed = insert(signed, place, sign);
  }
  const shown = read(signed);
  marks.forEach(({ node }, index) => put(shown, SIGNS[index % SIGNS.length], node));
  return contents(shown, late);
}

/** Where a mark may stand: at its place, or behind the next space, line, block. */
function places(text, at) {
  const behind = [" ", "\n", "\n\n"].map((end) => text.indexOf(end, at) + end.length).filter((place) => place > at);
  return [at, ...behind.sort((one, other) => one - other)];
}

function insert(text, at, sign) { return text.slice(0, at) + sign + text.slice(at); }

function isHarmless(text, sign, expected) {
  const box = read(text);
  return box.textContent.includes(sign) && box.innerHTML.replace(ANY_SIGN, "") === expected;
}

function put(box, sign, node) {
  const texts = document.createTreeWalker(box, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const at = texts.currentNode.data.indexOf(sign);
    if (at < 0) continue;
    const rest = texts.currentNode.splitText(at);
    rest.data = rest.data.slice(sign.length);
    rest.before(node);
    return;
  }
}

function read(text) {
  const box = document.createElement("div");
  box.append(window.DOMPurify.sanitize(marked.parse(text, { gfm: true, breaks: true }), ALLOWED));
  return box;
}

function contents(box, late = []) {
  for (const link of box.querySelectorAll("a")) {
    link.rel = "noopener noreferrer";
    link.target = "_blank";
  }
  const fragment = document.createDocumentFragment();
  fragment.append(...box.childNodes, ...late);
  return fragment;
}
