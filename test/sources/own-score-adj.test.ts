import { chmodSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { HostFiles } from "../../src/sources/host-files.ts";
import { ownScoreAdj, protectOwnProcess } from "../../src/sources/own-score-adj.ts";
import { TemporaryTree, withoutPrivilege } from "../setup/temporary-tree.ts";

function processWith(scoreAdj: string, capabilities = "0000000000000000") {
  const tree = new TemporaryTree();
  tree.write("proc/self", {
    oom_score_adj: scoreAdj,
    status: `Name:\tnode\nCapEff:\t${capabilities}\n`,
  });
  return { tree, files: new HostFiles(tree.roots) };
}

describe("the oom_score_adj of this process", () => {
  it("is lowered to -900 if it is not set", () => {
    const { files } = processWith("0");
    expect(protectOwnProcess(files)).toBe(-900);
    expect(ownScoreAdj(files).value).toBe(-900);
  });

  it.each(["-999", "-900", "2", "1000"])("stays %s if it is already set", (value) => {
    const { files } = processWith(value);
    expect(protectOwnProcess(files)).toBe(Number(value));
    expect(ownScoreAdj(files).value).toBe(Number(value));
  });

  it("stays 0 if it may not be written", () => {
    const { tree, files } = processWith("0");
    chmodSync(tree.path("proc/self/oom_score_adj"), 0o444);
    withoutPrivilege(() => expect(protectOwnProcess(files)).toBe(0));
  });

  it("is unknown without such a file", () => {
    const files = new HostFiles(new TemporaryTree().roots);
    expect(protectOwnProcess(files)).toBeUndefined();
    expect(ownScoreAdj(files)).toEqual({ value: undefined, mayLower: false });
  });

  it("may be lowered with CAP_SYS_RESOURCE, bit 24 of CapEff", () => {
    expect(ownScoreAdj(processWith("0", "0000000001000000").files).mayLower).toBe(true);
    expect(ownScoreAdj(processWith("0", "000001fffeffffff").files).mayLower).toBe(false);
  });
});
