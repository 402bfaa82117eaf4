import { readFileSync } from "node:fs";
import { isMap, parseDocument, type YAMLMap, type YAMLSeq } from "yaml";

/** One rule of a Prometheus rule file, and the comment above it. */
export interface Rule {
  group: string;
  comment: string;
  expr: string;
  /** Set on a recording rule. */
  record?: string;
  /** Set on an alerting rule, with the fields below. */
  alert?: string;
  for?: string;
  keep_firing_for?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
}

export type AlertRule = Rule & Required<Pick<Rule, "alert" | "labels" | "annotations">>;
export type RecordingRule = Rule & Required<Pick<Rule, "record">>;

/** The rules of a rule file, in order. */
export function readRules(path: string | URL): Rule[] {
  const groups = parseDocument(readFileSync(path, "utf8")).get("groups") as YAMLSeq<YAMLMap>;
  return groups.items.flatMap((group) => {
    const rules = group.get("rules") as YAMLSeq;
    return rules.items.filter(isMap).map((rule, index): Rule => {
      // The parser attaches the comment above a sequence's first item to the sequence.
      const comment = rule.commentBefore ?? (index === 0 ? rules.commentBefore : undefined) ?? "";
      const words = comment.replace(/\s+/g, " ").trim();
      return { ...rule.toJSON(), group: group.get("name"), comment: words };
    });
  });
}

export function isAlert(rule: Rule): rule is AlertRule {
  return rule.alert !== undefined;
}

export function isRecording(rule: Rule): rule is RecordingRule {
  return rule.record !== undefined;
}

/** A threshold of alerts, recorded so that it is defined in one place. */
export function isThreshold(rule: Rule): rule is RecordingRule {
  return rule.record?.startsWith("threshold:") ?? false;
}
