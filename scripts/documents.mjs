import { readdirSync, readFileSync } from "node:fs";
import { deflateRawSync } from "node:zlib";
import MarkdownIt from "markdown-it";

const docs = new URL("../docs/", import.meta.url);
const folders = ["runbooks", "software"];
/** Where documents are that the exporter does not serve. */
const documents = "https://github.com/oom-exporter/oom-exporter/blob/main/docs/";

/**
 * The documents of docs/runbooks and docs/software, as the exporter serves them.
 *
 * @returns {import("../src/http/documents.ts").Document[]}
 */
export function readDocuments() {
  return folders.flatMap((folder) => {
    const url = new URL(`${folder}/`, docs);
    return readdirSync(url)
      .filter((file) => file.endsWith(".md"))
      .sort()
      .map((file) =>
        renderDocument(folder, file.slice(0, -3), readFileSync(new URL(file, url), "utf8")),
      );
  });
}

/** The same for the bundle: a third of the size, and unpacked only when somebody asks for one. */
export function packDocuments() {
  return deflateRawSync(JSON.stringify(readDocuments()), { level: 9 }).toString("base64");
}

/**
 * HTML inside a document is shown as text, and addresses other than of the web are no links.
 *
 * @param {"runbooks" | "software"} folder
 * @param {string} name
 * @param {string} markdown
 * @returns {import("../src/http/documents.ts").Document}
 */
export function renderDocument(folder, name, markdown) {
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
      if (target !== null) inline.attrSet("href", addressOf(folder, target));
    }
  }
  // The title is the page's own.
  const titleEnd = tokens.findIndex(({ type }) => type === "heading_close");
  const body = tokens.slice(titleEnd + 1);
  const meaning = body[body.findIndex(({ type }) => type === "paragraph_open") + 1];
  return {
    folder,
    name,
    title: plainText(tokens[titleEnd - 1]),
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

function addressOf(folder, target) {
  if (/^(https?:|#)/.test(target)) return target;
  const served = new RegExp(`^(?:\\.\\./(${folders.join("|")})/)?([\\w-]+)\\.md(#.*)?$`);
  const [, other, document, anchor = ""] = served.exec(target) ?? [];
  if (document === undefined) return new URL(target, `${documents}${folder}/`).href;
  return `${other === undefined ? "" : `../${other}/`}${document}${anchor}`;
}

function firstSentence(text) {
  const sentence = /^.*?\.(?=\s|$)/s.exec(text)?.[0] ?? text.replace(/:$/, ".");
  return sentence.charAt(0).toUpperCase() + sentence.slice(1);
}
