/**
 * Keeps an open page up to date: fetches the page again and applies the differences.
 * The Content-Security-Policy contains its hash, so it must reach the browser byte for byte.
 *
 * Existing nodes are kept, so that focus, scroll position, open details and selected text survive an
 * update: children are matched by `data-key`, those without one by order. A screen reader announces
 * only a new answer (`data-topic` of the h1), not every changed number.
 */
export const pageScript = `
(() => {
  "use strict";

  const everyMs = 10_000;
  const slowestMs = 80_000;

  let failures = 0;
  let isFetching = false;
  let timer;
  let ticker;
  let fetchedMs = performance.now();

  const find = (selector, root = document) => root.querySelector(selector);

  async function refresh() {
    if (isFetching || document.hidden) return;
    clearTimeout(timer);
    isFetching = true;
    try {
      const response = await fetch(location.pathname + location.search, {
        cache: "no-store",
        signal: AbortSignal.timeout(everyMs),
      });
      if (!response.ok) throw new Error("HTTP " + response.status);
      show(new DOMParser().parseFromString(await response.text(), "text/html"));
      failures = 0;
      fetchedMs = performance.now();
      clearInterval(ticker);
    } catch {
      failures++;
      if (failures === 1) showLost();
    }
    isFetching = false;
    if (!document.hidden) {
      timer = setTimeout(refresh, Math.min(everyMs * 2 ** failures, slowestMs));
    }
  }

  function show(fresh) {
    // Not the status page, for example a proxy's sign-in page.
    if (find("main h1[data-topic]", fresh) === null) throw new Error("not this page");
    // Another version of the exporter needs its own style and script.
    if (find("style", fresh)?.textContent !== find("style").textContent) return location.reload();
    const topic = find("h1").dataset.topic;
    patch(find("main"), find("main", fresh));
    document.title = fresh.title;
    document.body.className = fresh.body.className;
    find("link[rel=icon]").href = find("link[rel=icon]", fresh).href;
    const answer = find("h1");
    if (answer.dataset.topic !== topic) announce(answer.textContent);
  }

  /** Shows since when the connection is lost, and how old the data is. */
  function showLost() {
    const since = new Date().toISOString().slice(11, 19) + " UTC";
    document.body.classList.add("stale");
    const update = () => {
      const seconds = Math.round((performance.now() - fetchedMs) / 1000);
      find("#as-of").textContent =
        "Connection lost since " + since + "; data is " + seconds + " s old";
    };
    update();
    announce(find("#as-of").textContent);
    clearInterval(ticker);
    ticker = setInterval(update, 1000);
  }

  function announce(text) {
    find("#announcer").textContent = text;
  }

  function patch(node, fresh) {
    if (node.nodeType !== Node.ELEMENT_NODE) return setText(node, fresh.data);
    for (const { name, value } of fresh.attributes) {
      if (node.getAttribute(name) !== value) node.setAttribute(name, value);
    }
    for (const { name } of [...node.attributes]) {
      // The reader opens details; keep them open.
      if (!fresh.hasAttribute(name) && name !== "open") node.removeAttribute(name);
    }
    patchChildren(node, fresh);
  }

  function patchChildren(parent, fresh) {
    const wanted = new Set([...fresh.children].map(keyOf));
    const byKey = new Map();
    for (const child of [...parent.children]) {
      if (!wanted.has(keyOf(child))) child.remove();
      else if (keyOf(child) !== undefined) byKey.set(keyOf(child), child);
    }
    let next = parent.firstChild;
    for (const child of [...fresh.childNodes]) {
      const key = keyOf(child);
      const match = key !== undefined ? byKey.get(key) : keyOf(next) === undefined ? next : null;
      if (match == null || match.nodeName !== child.nodeName) {
        parent.insertBefore(document.importNode(child, true), next);
        continue;
      }
      if (match === next) next = next.nextSibling;
      else parent.insertBefore(match, next);
      patch(match, child);
    }
    while (next !== null) {
      const gone = next;
      next = next.nextSibling;
      gone.remove();
    }
  }

  function keyOf(node) {
    return node?.dataset?.key;
  }

  /** Replaces only the characters that differ, to keep a selection of the others. */
  function setText(node, text) {
    const old = node.data;
    if (old === text) return;
    const shorter = Math.min(old.length, text.length);
    let start = 0;
    while (start < shorter && old[start] === text[start]) start++;
    let end = 0;
    while (end < shorter - start && old.at(-1 - end) === text.at(-1 - end)) end++;
    node.replaceData(start, old.length - start - end, text.slice(start, text.length - end));
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    refresh();
  });
  timer = setTimeout(refresh, everyMs);
})();
`;
