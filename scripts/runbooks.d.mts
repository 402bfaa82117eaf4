import type { Runbook } from "../src/http/runbooks.ts";

export function readRunbooks(): Runbook[];
export function packRunbooks(): string;
export function renderRunbook(name: string, markdown: string): Runbook;
