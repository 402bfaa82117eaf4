import { inflateRawSync } from "node:zlib";
import { Html, html } from "./html.ts";
import { layout, repository, type Site } from "./pages.ts";

/** Folders of docs/ that are served under their own names. */
export const servedFolders = ["runbooks", "software"] as const;

/** A document of docs/runbooks or docs/software, rendered by the build (scripts/documents.mjs). */
export interface Document {
  folder: (typeof servedFolders)[number];
  /** Of its file: `OomKill`, `python`. */
  name: string;
  title: string;
  /** What it is about, in one sentence. */
  summary: string;
  /** Its sections. */
  headings: readonly { id: string; text: string }[];
  /** HTML of all that follows the title. */
  body: string;
}

/** JSON of every document, deflated, in base64; the build puts it in. */
declare const packedDocuments: string;

/** Those that the build put in; none in a program that was not built. */
export function builtInDocuments(): readonly Document[] {
  if (typeof packedDocuments === "undefined") return [];
  return JSON.parse(inflateRawSync(Buffer.from(packedDocuments, "base64")).toString());
}

/** The address of a document below docs/: some are served here, the others are on the web. */
export function documentAddress(document: string, { basePath }: Pick<Site, "basePath">): string {
  return servedFolders.some((folder) => document.startsWith(`${folder}/`))
    ? `${basePath}/${document.replace(/\.md$/, "")}`
    : `${repository}/blob/main/docs/${document}`;
}

/** `OomKill` of `runbooks/OomKill.md`. */
export function documentName(document: string): string {
  return document.replace(/^.*\/|\.md$/g, "");
}

/** The address of a runbook's page. */
export function runbookPath(name: string, site: Pick<Site, "basePath">): string {
  return pagePath("runbooks", name, site);
}

function pagePath(
  folder: Document["folder"],
  name: string,
  { basePath }: Pick<Site, "basePath">,
): string {
  return `${basePath}/${folder}/${name}`;
}

const folderTitles: Record<Document["folder"], { title: string; all: string; about: string }> = {
  runbooks: {
    title: "Runbooks",
    all: "All runbooks",
    about: "One for each alert: what it means, and what to do.",
  },
  software: {
    title: "Software",
    all: "All programs",
    about: "Settings that keep the memory of common programs within a limit.",
  },
};

/** `/runbooks/:alert` or `/software/:program` */
export function documentPage(document: Document, site: Site): Html {
  const { folder, title, summary, headings, body } = document;
  const page = html`
<section class="answer" aria-labelledby="answer">
<h1 id="answer">${title}</h1>
<p class="detail">${summary}</p>
</section>
<nav class="contents" aria-label="On this page"><ul>${headings.map(({ id, text }) => html`<li><a href="#${id}">${text}</a></li>`)}<li><a href="${site.basePath}/${folder}">${folderTitles[folder].all}</a></li></ul></nav>
<article class="card document">
${new Html(body)}
</article>`;
  return layout({ title, tone: "calm", body: page }, site);
}

/** `/runbooks` or `/software` */
export function folderPage(
  folder: Document["folder"],
  documents: readonly Document[],
  site: Site,
): Html {
  const { title, about } = folderTitles[folder];
  const listed = documents.filter((document) => document.folder === folder);
  const body = html`
<section class="answer" aria-labelledby="answer">
<h1 id="answer">${title}</h1>
<p class="detail">${about}</p>
</section>
<section class="card"><ul class="rows">${listed.map(({ name, title, summary }) => html`<li><a class="name" href="${pagePath(folder, name, site)}">${title}</a><p>${summary}</p></li>`)}</ul></section>`;
  return layout({ title, tone: "calm", body }, site);
}
