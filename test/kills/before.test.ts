import { describe, expect, it } from "vitest";
import {
  type Before,
  type Grower,
  growerLabel,
  growthSentence,
  recordingSentence,
} from "../../src/kills/before.ts";
import type { Kill } from "../../src/kills/kill.ts";
import { type Owner, unknownOwner } from "../../src/kills/owner.ts";
import { killOf, sighting } from "./sample-kill.ts";

const gib = 2 ** 30;

function grower(more: Partial<Grower> = {}, owner: Partial<Owner> = {}): Grower {
  return {
    cgroup: "/shop/checkout.service",
    owner: { ...unknownOwner, unit: "checkout.service", ...owner },
    pid: 7,
    comm: "java",
    fromBytes: 1.1 * gib,
    toBytes: 3.8 * gib,
    seconds: 370,
    ...more,
  };
}

const grown = (growers: Grower[], seconds = 800): Before => ({
  seconds,
  limitBytes: null,
  limitUse: [],
  growers,
});

const said = (more: Partial<Kill>) =>
  growthSentence(killOf(sighting({ comm: "postgres" }), { cgroup: "/shop/db.service", ...more }));

describe("the label grower", () => {
  it.each([
    ["pod with its namespace", { pod: "api-1", namespace: "shop", container: "app" }, "shop/api-1"],
    ["pod", { pod: "api-1" }, "api-1"],
    ["container", { container: "web", unit: null }, "web"],
    ["unit", {}, "checkout.service"],
    ["last part of its path", { unit: null }, "checkout.service"],
  ] as const)("is the %s", (_, owner, label) => {
    expect(growerLabel(grown([grower({}, owner)]))).toBe(label);
  });

  it("is the process's name in the root, and empty where nobody grew or watched", () => {
    expect(growerLabel(grown([grower({ cgroup: "/" }, { unit: null })]))).toBe("java");
    expect(growerLabel(grown([]))).toBe("");
    expect(growerLabel(null)).toBe("");
  });
});

describe("who grew, as a sentence", () => {
  it("tells the grower from the victim that had not", () => {
    expect(said({ before: grown([grower()]) })).toBe(
      "checkout.service grew from 1.1 GiB to 3.8 GiB in 6 minutes; the kernel took postgres, which had not grown.",
    );
    const victim = grower({ cgroup: "/shop/db.service" }, { unit: "db.service" });
    expect(said({ before: grown([grower(), victim]) })).toContain("which had grown by less.");
  });

  it("does not tell it from itself", () => {
    expect(said({ before: grown([grower()]), cgroup: "/shop/checkout.service" })).toBe(
      "checkout.service grew from 1.1 GiB to 3.8 GiB in 6 minutes.",
    );
  });

  it("says that nothing grew where it was watched for a minute at least", () => {
    expect(said({ before: grown([]) })).toBe(
      "Nothing below this limit had grown much in the 13 minutes before.",
    );
    expect(said({ before: grown([]), limitCgroup: null })).toContain("Nothing on the host");
    expect(said({ before: grown([], 59) })).toBeUndefined();
    expect(said({ before: null })).toBeUndefined();
  });
});

describe("how far the curve reaches", () => {
  it.each([
    ["the whole recording", 900, 898, "The exporter keeps the last 15 minutes."],
    ["an exporter started lately", 240, 238, "The exporter had been watching for 4 minutes."],
    [
      "a cgroup made lately",
      900,
      120,
      "The curve starts when this cgroup was first seen, 2 minutes before the kill.",
    ],
  ])("is said for %s", (_, seconds, first, sentence) => {
    const recording: Before = { ...grown([], seconds), limitUse: [[first, gib]] };
    expect(recordingSentence(recording)).toBe(sentence);
  });
});
