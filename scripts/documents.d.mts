import type { Document } from "../src/http/documents.ts";

export function readDocuments(): Document[];
export function packDocuments(): string;
export function renderDocument(
  folder: Document["folder"],
  name: string,
  markdown: string,
): Document;
