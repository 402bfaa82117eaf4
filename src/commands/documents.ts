import { dirname, join } from "node:path";

/** Where packages put the documents. */
const installed = "/usr/share/oom-exporter";
const published = "https://github.com/oom-exporter/oom-exporter/blob/main/docs/";

export interface DocumentPlaces {
  /** URL of an exporter, which serves the documents. */
  exporterUrl: string | undefined;
  /** This program's file, links resolved. */
  program: string;
  exists(path: string): boolean;
}

/**
 * Where a drop-in of the systemd unit is, such as `kmsg.conf`: in the npm package or checkout, beside the executable of a
 * tarball, or where .deb and .rpm put it.
 */
export function placeOfDropIn(
  name: string,
  { program, exists }: Pick<DocumentPlaces, "program" | "exists">,
): string | undefined {
  const folder = "oom-exporter.service.d";
  const home = dirname(program);
  return [
    join(home, "../deploy/systemd", folder, name),
    join(home, "systemd", folder, name),
    join("/usr/lib/systemd/system", folder, name),
    join(installed, "systemd", name),
  ].find(exists);
}

/**
 * Where a user of this machine finds a document, such as `runbooks/OomKill.md`: at the exporter, in the npm package,
 * beside the executable of a tarball, where .deb and .rpm put it, or else on the web.
 */
export function placeOfDocument(document: string, places: DocumentPlaces): string {
  const { exporterUrl, program, exists } = places;
  if (exporterUrl !== undefined && /^(?:runbooks|software)\//.test(document)) {
    return `${exporterUrl}/${document.replace(/\.md$/, "")}`;
  }
  const home = dirname(program);
  const candidates = [join(home, "../docs"), home, installed].map((root) => join(root, document));
  return candidates.find(exists) ?? `${published}${document}`;
}
