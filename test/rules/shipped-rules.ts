import { fileURLToPath } from "node:url";
import { readRules } from "../../scripts/rule-file.ts";

export const rulesDirectory = fileURLToPath(new URL("../../prometheus-rules/", import.meta.url));

export const shippedRules = [
  ...readRules(`${rulesDirectory}alerts.yml`),
  ...readRules(`${rulesDirectory}recording.yml`),
];
