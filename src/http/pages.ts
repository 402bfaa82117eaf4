import { createHash } from "node:crypto";
import type { Tone } from "../status/findings.ts";
import { ago, utc } from "../text/times.ts";
import { Html, html } from "./html.ts";
import { pageScript } from "./page-script.ts";
import { style } from "./style.ts";

/** Where the project is published. */
export const repository = "https://github.com/oom-exporter/oom-exporter";

/** What every page needs to know about its environment. */
export interface Site {
  /** Of the monitored machine. */
  hostName: string;
  /** Of this program. */
  version: string;
  /** Path under which a reverse proxy serves the app, without a trailing slash. */
  basePath: string;
  telemetryPath: string;
}

/**
 * Allows only the pages' own style sheet and script, each by its hash, and the inline icon; the script may connect to
 * this server only. If a process could inject code into a page, the browser would not run it.
 */
export const contentSecurityPolicy = [
  "default-src 'none'",
  `style-src '${hashOf(style)}'`,
  `script-src '${hashOf(pageScript)}'`,
  "connect-src 'self'",
  "img-src data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

function hashOf(text: string): string {
  return `sha256-${createHash("sha256").update(text).digest("base64")}`;
}

/** The browser compares their hashes with the exact bytes between the tags. */
const styleElement = new Html(`<style>${style}</style>`);
const scriptElement = new Html(`<script>${pageScript}</script>`);

/** A page that refreshes itself; without JavaScript the browser reloads it, rarely enough to be readable. */
const withoutScript = new Html('<noscript><meta http-equiv="refresh" content="30"></noscript>');

const iconColours: Record<Tone, string> = {
  calm: "%23334155",
  warning: "%23b86e00",
  alarm: "%23b3261e",
};

/** The tab's icon shows the state too. */
function icon(tone: Tone): string {
  return `data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='16' height='16' rx='4' fill='${iconColours[tone]}'/%3E%3Cpath d='M3.5 11.5v-2m3 2v-4m3 4V6m3 5.5v-8' stroke='white' stroke-width='1.7' stroke-linecap='round'/%3E%3C/svg%3E`;
}

export interface Page {
  title: string;
  tone: Tone;
  body: Html;
  /** Whether it shows the current state and so has to refresh. */
  isLive?: boolean;
}

/** The frame of every page. */
export function layout(
  { title, tone, body, isLive = false }: Page,
  { hostName, version, basePath, telemetryPath }: Site,
): Html {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title} - ${hostName}</title>
<link rel="icon" href="${icon(tone)}">
${styleElement}
${isLive && withoutScript}
</head>
<body class="${tone}">
<a class="skip" href="#main">Skip to content</a>
<header class="top">
<a class="brand" href="${basePath}/"><svg class="mark" viewBox="0 0 16 16" aria-hidden="true"><rect width="16" height="16" rx="4"/><path d="M3.5 11.5v-2m3 2v-4m3 4V6m3 5.5v-8"/></svg>oom-exporter</a>
<span class="host">${hostName}</span>
</header>
<main id="main" tabindex="-1">
${body}
</main>
<footer>
<span>oom-exporter ${version}</span>
<a href="${basePath}/runbooks">Runbooks</a>
<a href="${basePath}/software">Software</a>
<a href="${basePath}${telemetryPath}">Metrics</a>
<a href="${basePath}/api/v1/kills">Kills as JSON</a>
<a href="${basePath}/api/v1/victims">Victims as JSON</a>
<a href="${basePath}/api/v1/status">Status as JSON</a>
<a href="${repository}/blob/main/docs/openapi.yaml">API</a>
<a href="${repository}#readme">Documentation</a>
</footer>
${
  isLive &&
  html`<p class="unseen" id="announcer" role="status"></p>
${scriptElement}`
}
</body>
</html>
`;
}

/** What a browser is shown where there is no page. */
export function missingPage(reason: string, site: Site): Html {
  const body = html`
<section class="answer" aria-labelledby="answer">
<h1 id="answer">Not found: ${reason}</h1>
<p><a href="${site.basePath}/">The state of this host, and the latest kills</a></p>
</section>`;
  return layout({ title: "Not found", tone: "calm", body }, site);
}

/** A relative time, with the exact one as a tooltip. */
export function time(timeMs: number, nowMs: number): Html {
  return html`<time datetime="${new Date(timeMs).toISOString()}" title="${utc(timeMs)}">${ago(timeMs, nowMs)}</time>`;
}

export interface BarPart {
  /** CSS class of the part. */
  kind: string;
  bytes: number;
}

/** A bar of parts of a whole; the rest is shown as empty. */
export function bar(
  parts: readonly BarPart[],
  wholeBytes: number,
  label: string,
  kind = "bar",
): Html {
  let offset = 0;
  const rects = parts.map(({ kind, bytes }) => {
    const width = share(bytes, wholeBytes);
    const rect = html`<rect class="fill ${kind}" x="${offset.toFixed(2)}%" width="${width.toFixed(2)}%" height="100%"/>`;
    offset += width;
    return rect;
  });
  return html`<svg class="${kind}" role="img" aria-label="${label}">${rects}</svg>`;
}

/** Percentage, clamped to 0 to 100. */
function share(part: number, whole: number): number {
  return whole > 0 ? Math.min(100, Math.max(0, (part / whole) * 100)) : 0;
}
