import { inflateRawSync } from "node:zlib";
import { Html, html } from "./html.ts";
import { layout, type Site } from "./pages.ts";

/** A runbook of docs/runbooks, rendered by the build (scripts/runbooks.mjs). */
export interface Runbook {
  /** Of the alert, such as `OomKill`. */
  name: string;
  /** What the alert means, in one sentence. */
  summary: string;
  /** Its sections. */
  headings: readonly { id: string; text: string }[];
  /** HTML of all that follows the title. */
  body: string;
}

/** JSON of every runbook, deflated, in base64; the build puts it in. */
declare const packedRunbooks: string;

/** Those that the build put in; none in a program that was not built. */
export function builtInRunbooks(): readonly Runbook[] {
  if (typeof packedRunbooks === "undefined") return [];
  return JSON.parse(inflateRawSync(Buffer.from(packedRunbooks, "base64")).toString());
}

const published = "https://github.com/oom-exporter/oom-exporter/blob/main/docs/";

/** The address of a document below docs/: runbooks are served here, the others are on the web. */
export function documentAddress(document: string, site: Pick<Site, "basePath">): string {
  return /^runbooks\/\w+\.md$/.test(document)
    ? runbookPath(documentName(document), site)
    : `${published}${document}`;
}

/** `OomKill` of `runbooks/OomKill.md`. */
export function documentName(document: string): string {
  return document.replace(/^.*\/|\.md$/g, "");
}

/** The address of a runbook's page. */
export function runbookPath(name: string, { basePath }: Pick<Site, "basePath">): string {
  return `${basePath}/runbooks/${name}`;
}

/** `/runbooks/:alert` */
export function runbookPage({ name, summary, headings, body }: Runbook, site: Site): Html {
  const page = html`
<section class="answer" aria-labelledby="answer">
<h1 id="answer">${name}</h1>
<p class="detail">${summary}</p>
</section>
<nav class="contents" aria-label="On this page"><ul>${headings.map(({ id, text }) => html`<li><a href="#${id}">${text}</a></li>`)}<li><a href="${site.basePath}/runbooks">All runbooks</a></li></ul></nav>
<article class="card runbook">
${new Html(body)}
</article>`;
  return layout({ title: name, tone: "calm", body: page }, site);
}

/** `/runbooks` */
export function runbooksPage(runbooks: readonly Runbook[], site: Site): Html {
  const body = html`
<section class="answer" aria-labelledby="answer">
<h1 id="answer">Runbooks</h1>
<p class="detail">One for each alert: what it means, and what to do.</p>
</section>
<section class="card"><ul class="rows">${runbooks.map(({ name, summary }) => html`<li><a class="name" href="${runbookPath(name, site)}">${name}</a><p>${summary}</p></li>`)}</ul></section>`;
  return layout({ title: "Runbooks", tone: "calm", body }, site);
}
