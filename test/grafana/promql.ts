import type { SyntaxNode } from "@lezer/common";
import { parser } from "@prometheus-io/lezer-promql";

export interface Selector {
  /** Empty if the name itself is matched, as in `{__name__=~"..."}`. */
  metric: string;
  matchers: { label: string; operator: string; value: string }[];
  /** The functions that contain it, innermost first, with the range if there is one. */
  functions: string[];
  range?: string;
}

export interface Parsed {
  errors: string[];
  selectors: Selector[];
  /** Labels that a query groups, joins or matches by, and those it makes itself. */
  labels: { used: string[]; made: string[] };
}

/** Takes PromQL apart, after Grafana's variables have been filled in. */
export function parsePromql(expr: string): Parsed {
  const parsed: Parsed = { errors: [], selectors: [], labels: { used: [], made: [] } };
  const textOf = ({ from, to }: { from: number; to: number }) => expr.slice(from, to);
  const stringsOf = (node: SyntaxNode | null) =>
    node?.getChildren("StringLiteral").map((literal) => textOf(literal).slice(1, -1)) ?? [];
  const open: { name: string; from: number; to: number }[] = [];
  parser.parse(expr).iterate({
    enter(node) {
      open.push({ name: node.name, from: node.from, to: node.to });
      if (node.type.isError) parsed.errors.push(textOf(node) || `at ${node.from}`);
      if (node.name === "VectorSelector") {
        const matchers = node.node
          .getChild("LabelMatchers")
          ?.getChildren("UnquotedLabelMatcher")
          .map((matcher) => ({
            label: textOf(matcher.getChild("LabelName") ?? matcher),
            operator: textOf(matcher.getChild("MatchOp") ?? matcher),
            value: textOf(matcher.getChild("StringLiteral") ?? matcher).slice(1, -1),
          }));
        const metric = node.node.getChild("Identifier");
        const matrix = open.findLast(({ name }) => name === "MatrixSelector");
        parsed.selectors.push({
          metric: metric ? textOf(metric) : "",
          matchers: matchers ?? [],
          functions: open
            .filter(({ name }) => name === "FunctionCall")
            .map((call) => textOf(call).slice(0, textOf(call).indexOf("(")))
            .reverse(),
          ...(matrix && { range: /\[(.*)\]$/.exec(textOf(matrix))?.[1] }),
        });
      }
      if (node.name === "GroupingLabels") {
        for (const label of node.node.getChildren("LabelName")) {
          parsed.labels.used.push(textOf(label));
        }
      }
      if (node.name === "FunctionCall" && textOf(node).startsWith("label_replace(")) {
        const [made, , used] = stringsOf(node.node.getChild("FunctionCallBody"));
        if (made !== undefined) parsed.labels.made.push(made);
        if (used !== undefined) parsed.labels.used.push(used);
      }
      if (node.name === "FunctionCall" && textOf(node).startsWith("label_join(")) {
        const [made = "", , ...used] = stringsOf(node.node.getChild("FunctionCallBody"));
        parsed.labels.made.push(made);
        parsed.labels.used.push(...used);
      }
    },
    leave() {
      open.pop();
    },
  });
  return parsed;
}
