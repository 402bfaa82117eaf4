import { dirname, join } from "node:path";

/** Where packages put the runbooks. */
const installed = "/usr/share/oom-exporter";
const published = "https://github.com/oom-exporter/oom-exporter/blob/main/docs/";

export interface DocumentPlaces {
  /** URL of an exporter, which serves the runbooks. */
  exporterUrl: string | undefined;
  /** This program's file, links resolved. */
  program: string;
  exists(path: string): boolean;
}

/**
 * Where somebody at this machine finds a document, such as `runbooks/OomKill.md`: at the exporter, in the npm package,
 * beside the executable of a tarball, where .deb and .rpm put it, or else on the web.
 */
export function placeOfDocument(document: string, places: DocumentPlaces): string {
  const { exporterUrl, program, exists } = places;
  const runbook = /^runbooks\/(\w+)\.md$/.exec(document)?.[1];
  if (exporterUrl !== undefined && runbook !== undefined) {
    return `${exporterUrl}/runbooks/${runbook}`;
  }
  const home = dirname(program);
  const candidates = [join(home, "../docs"), home, installed].map((root) => join(root, document));
  return candidates.find(exists) ?? `${published}${document}`;
}
