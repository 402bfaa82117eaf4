import { readdirSync, readFileSync } from "node:fs";
import { deflateRawSync } from "node:zlib";
import MarkdownIt from "markdown-it";

const folder = new URL("../docs/runbooks/", import.meta.url);
/** Where documents are that the exporter does not serve. */
const documents = "https://github.com/oom-exporter/oom-exporter/blob/main/docs/";

/**
 * The runbooks of docs/runbooks, as the exporter serves them.
 *
 * @returns {import("../src/http/runbooks.ts").Runbook[]}
 */
export function readRunbooks() {
  return readdirSync(folder)
    .filter((file) => file.endsWith(".md"))
    .sort()
    .map((file) => renderRunbook(file.slice(0, -3), readFileSync(new URL(file, folder), "utf8")));
}

/** The same for the bundle: a third of the size, and unpacked only when somebody asks for one. */
export function packRunbooks() {
  return deflateRawSync(JSON.stringify(readRunbooks()), { level: 9 }).toString("base64");
}

/**
 * HTML inside a runbook is shown as text, and addresses other than of the web are no links.
 *
 * @param {string} name
 * @param {string} markdown
 * @returns {import("../src/http/runbooks.ts").Runbook}
 */
export function renderRunbook(name, markdown) {
  const renderer = new MarkdownIt({ html: false });
  const tokens = renderer.parse(markdown, {});
  const headings = [];
  for (const [at, token] of tokens.entries()) {
    if (token.type === "heading_open" && token.tag !== "h1") {
      const text = plainText(tokens[at + 1]);
      const id = anchorOf(text);
      token.attrSet("id", id);
      if (token.tag === "h2") headings.push({ id, text });
    }
    // Alignment is a style attribute, which the pages' Content-Security-Policy refuses.
    if (token.type === "th_open" || token.type === "td_open") token.attrs = null;
    for (const inline of token.children ?? []) {
      const target = inline.type === "link_open" ? inline.attrGet("href") : null;
      if (target !== null) inline.attrSet("href", addressOf(target));
    }
  }
  // The title is the page's own.
  const title = tokens.findIndex(({ type }) => type === "heading_close") + 1;
  const body = tokens.slice(title);
  const meaning = body[body.findIndex(({ type }) => type === "paragraph_open") + 1];
  return {
    name,
    summary: firstSentence(plainText(meaning)),
    headings,
    body: renderer.renderer.render(body, renderer.options, {}),
  };
}

/** @param {import("markdown-it").Token} token */
function plainText({ children }) {
  return (children ?? [])
    .map(({ type, content }) => (type === "softbreak" ? " " : content))
    .join("");
}

/** As GitHub makes it, so that links in the Markdown lead to the same place there and here. */
function anchorOf(heading) {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, "")
    .trim()
    .replace(/\s/g, "-");
}

function addressOf(target) {
  if (/^(https?:|#)/.test(target)) return target;
  const [, runbook, anchor = ""] = /^([\w-]+)\.md(#.*)?$/.exec(target) ?? [];
  return runbook === undefined ? new URL(target, `${documents}runbooks/`).href : runbook + anchor;
}

function firstSentence(text) {
  const sentence = /^.*?\.(?=\s|$)/s.exec(text)?.[0] ?? text.replace(/:$/, ".");
  return sentence.charAt(0).toUpperCase() + sentence.slice(1);
}
