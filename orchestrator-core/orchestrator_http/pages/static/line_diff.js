// The difference of two texts, line by line.

const MOST_PAIRS = 1_000_000; // of lines compared; larger texts are shown as replaced

/** @returns {{mark: " "|"+"|"-", text: string}[]} every line of both texts, in order */
export function lineDiff(before, after) {
  const a = before.split("\n");
  const b = after.split("\n");
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a.at(-1 - tail) === b.at(-1 - tail)) tail += 1;
  const middle = changed(a.slice(head, a.length - tail), b.slice(head, b.length - tail));
  return [...same(a.slice(0, head)), ...middle, ...same(a.slice(a.length - tail))];
}

/** Only the lines around changes; null stands for a gap. */
export function withContext(lines, around = 2) {
  const near = new Set();
  lines.forEach(({ mark }, at) => {
    if (mark !== " ") for (let i = at - around; i <= at + around; i += 1) near.add(i);
  });
  const shown = [];
  lines.forEach((line, at) => {
    if (near.has(at)) shown.push(line);
    else if (near.has(at - 1)) shown.push(null);
  });
  if (shown.at(-1) === null) shown.pop();
  return shown;
}

const same = (lines) => lines.map((text) => ({ mark: " ", text }));

function changed(a, b) {
  const all = (mark, lines) => lines.map((text) => ({ mark, text }));
  if (a.length * b.length > MOST_PAIRS) return [...all("-", a), ...all("+", b)];
  // common[i][j]: how many lines a from i and b from j have in common, in order.
  const common = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      common[i][j] = a[i] === b[j] ? common[i + 1][j + 1] + 1 : Math.max(common[i + 1][j], common[i][j + 1]);
    }
  }
  const found = [];
  let i = 0;
  let j = 0;
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) { found.push({ mark: " ", text: a[i] }); i += 1; j += 1; }
    else if (j >= b.length || (i < a.length && common[i + 1][j] >= common[i][j + 1])) { found.push({ mark: "-", text: a[i] }); i += 1; }
    else { found.push({ mark: "+", text: b[j] }); j += 1; }
  }
  return found;
}
