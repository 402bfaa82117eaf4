import { readFileSync } from "node:fs";
import { Validator } from "@seriousme/openapi-schema-validator";
import { afterEach, describe, expect, it } from "vitest";
import { type AppOptions, buildApp } from "../../src/http/app.ts";
import { collectorNames } from "../../src/metrics/catalog.ts";
import {
  faults,
  faultsOf,
  type Given,
  type Operation,
  openApi,
  openApiText,
  promised,
} from "../setup/openapi.ts";
import { aKill, aStatusView, nowMs } from "./views.ts";

let app: ReturnType<typeof buildApp> | undefined;

afterEach(async () => {
  await app?.close();
});

function anApp(changes: Partial<AppOptions> = {}) {
  app = buildApp({
    scraper: { collectorNames, scrape: async () => Buffer.from("oom_processes 1\n") },
    hostName: "web-03",
    isReady: () => false,
    kills: () => [aKill()],
    victims: () => undefined,
    status: () => ({}),
    statusView: () => aStatusView(),
    now: () => nowMs,
    onRefused: () => {},
    onError: () => {},
    ...changes,
  });
  return app;
}

async function ask(path: string, url: string, changes?: Partial<AppOptions>): Promise<Given> {
  const { statusCode, headers, body } = await anApp(changes).inject(url);
  return { path, status: statusCode, type: String(headers["content-type"]), body };
}

function fails(): never {
  throw new Error("broken");
}

interface ObjectSchema {
  additionalProperties?: boolean;
  required?: string[];
  properties: object;
}

/** Every schema of an object below `node`, at any depth. */
function objectSchemas(node: unknown, trail: string): [trail: string, schema: ObjectSchema][] {
  if (typeof node !== "object" || node === null) return [];
  const inner = Object.entries(node).flatMap(([key, value]) =>
    objectSchemas(value, `${trail}/${key}`),
  );
  return "properties" in node && "type" in node ? [[trail, node as ObjectSchema], ...inner] : inner;
}

describe("docs/openapi.yaml", () => {
  it("is an OpenAPI 3.1 document", async () => {
    const validator = new Validator();
    const { valid, errors } = await validator.validate(openApiText);
    expect(errors).toBeUndefined();
    expect(valid).toBe(true);
    expect(validator.version).toBe("3.1");
  });

  it("is of the version that it is shipped with", () => {
    const { version } = JSON.parse(readFileSync("package.json", "utf8"));
    expect(openApi.info.version).toBe(version);
  });

  it("documents every route that is served, and no other", async () => {
    const routes: string[] = [];
    const served = anApp();
    await served.ready();
    // Each line is a segment below that of the last line with a smaller indent.
    const segments: string[] = [];
    for (const line of served.printRoutes({ commonPrefix: false }).split("\n")) {
      const [, indent = "", segment = "", methods = ""] =
        /^([│├└─\s]*)(\S+)(?: \(([^)]*)\))?/.exec(line) ?? [];
      if (segment === "") continue;
      segments.splice(indent.length / 4 - 1, Number.POSITIVE_INFINITY, segment);
      const path = segments
        .join("")
        .replaceAll("//", "/")
        .replace(/:(\w+)/, "{$1}");
      if (methods !== "") routes.push(path);
      expect(["", "GET, HEAD"]).toContain(methods);
    }
    expect(routes.sort()).toEqual(Object.keys(openApi.paths).sort());
  });

  it("leaves no object open and names every property that an answer has", () => {
    const open = objectSchemas(openApi.components.schemas, "").filter(([, schema]) => {
      const { additionalProperties, required, properties } = schema;
      return additionalProperties !== false || `${required}` !== `${Object.keys(properties)}`;
    });
    expect(open.map(([trail]) => trail)).toEqual([]);
  });

  const examples = promised.flatMap(({ path, status, type, content, pointer }) =>
    [
      ...("example" in content ? [content.example] : []),
      ...Object.values(content.examples ?? {}).map(({ value }) => value),
    ].map((value) => ({ path, status, type, value, pointer })),
  );

  it.each(examples)("has an example of $path $status $type that fits", ({ value, pointer }) => {
    expect(faults(pointer, value)).toEqual([]);
  });

  it("has an example of every answer that is no page", () => {
    const without = promised.filter(
      ({ type, content }) =>
        !type.startsWith("text/html") && !("example" in content) && !("examples" in content),
    );
    expect(without).toEqual([]);
  });

  const parameters = Object.entries(openApi.paths).flatMap(([path, { get }]) =>
    (get as Operation).parameters?.flatMap(({ example }, index) =>
      example === undefined ? [] : [{ path, index, example }],
    ),
  );

  it.each(parameters.filter((parameter) => parameter !== undefined))(
    "has an example of a parameter of $path that fits: $example",
    ({ path, index, example }) => {
      const pointer = ["paths", path, "get", "parameters", String(index), "schema"];
      expect(faults(pointer, example)).toEqual([]);
    },
  );
});

describe("an app that is not well", () => {
  const failing = {
    status: fails,
    statusView: fails,
    kills: fails,
    victims: fails,
    documents: fails,
  };
  const broken = { ...failing, scraper: { collectorNames, scrape: async () => fails() } };

  it.each([
    ["/api/v1/status", "/api/v1/status"],
    ["/api/v1/victims", "/api/v1/victims"],
    ["/api/v1/kills", "/api/v1/kills"],
    ["/metrics", "/metrics"],
    ["/", "/"],
    ["/kills/{incident}", "/kills/0-0-0"],
    ["/runbooks", "/runbooks"],
    ["/runbooks/{alert}", "/runbooks/OomKill"],
    ["/software", "/software"],
    ["/software/{program}", "/software/python"],
  ])("answers %s with a 500 as documented", async (path, url) => {
    const given = await ask(path, url, broken);
    expect(given.status).toBe(500);
    expect(faultsOf(given)).toEqual([]);
  });

  it("is not ready as documented", async () => {
    const given = await ask("/-/ready", "/-/ready");
    expect(given.status).toBe(503);
    expect(faultsOf(given)).toEqual([]);
  });
});
