// Small helpers for building nodes (text is always text, never markup), and for results that may come too late.

export const $ = (id) => document.getElementById(id);

export function node(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

/**
 * Make a parent's children those of `wanted`, in its order. A child of the same key and content stays the same node, so
 * that focus, selection and what was unfolded outlive a change elsewhere.
 * @param wanted [{key, content, draw}]: `content` is compared, `draw()` makes the node
 * @param kept says of a child that nobody wants whether it stays all the same, behind the others
 */
export function arrange(parent, wanted, kept = () => false) {
  const before = new Map([...parent.children].map((child) => [child.dataset.key ?? child, child]));
  const nodes = wanted.map(({ key, content, draw }) => {
    const old = before.get(key);
    before.delete(key);
    if (old && (old.content === content || kept(old))) return old;
    const made = draw();
    made.dataset.key = key;
    made.content = content;
    if (old) replace(old, made);
    return made;
  });
  for (const child of before.values()) if (!kept(child)) child.remove();
  let place = parent.firstElementChild;
  for (const child of nodes) {
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
}

/** The new node takes the old one's place, and the focus of the control that has the same class. */
function replace(old, made) {
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  const name = focused === old ? "again" : focused?.classList[0];
  old.replaceWith(made);
  if (name) made.querySelector(`.${name}`)?.focus();
}

/** Signals for work of which only the latest result is wanted: each call aborts what the one before was for. */
export function latestOnly() {
  let latest = new AbortController();
  return () => {
    latest.abort();
    latest = new AbortController();
    return latest.signal;
  };
}

export const isAbort = (error) => error.name === "AbortError";
