import { readFileSync } from "node:fs";
import { Ajv2020, type ErrorObject } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { parse } from "yaml";

/** The parts of an OpenAPI document that tests look at. */
export interface OpenApi {
  info: { version: string };
  paths: Record<string, { get: Operation }>;
  components: { schemas: Record<string, object>; responses: Record<string, Answer> };
}

export interface Operation {
  parameters?: Parameter[];
  responses: Record<string, Answer | { $ref: string }>;
}

export interface Parameter {
  name: string;
  in: "query" | "header" | "path";
  schema: { type?: string; minimum?: number; maximum?: number };
  example?: unknown;
}

export interface Answer {
  content: Record<string, Content>;
}

export interface Content {
  schema: object;
  example?: unknown;
  examples?: Record<string, { value: unknown }>;
}

export const openApiText = readFileSync(
  new URL("../../docs/openapi.yaml", import.meta.url),
  "utf8",
);
export const openApi: OpenApi = parse(openApiText);

const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, allErrors: true });
addFormats.default(ajv);
// For Ajv the whole document is one schema, from which parts are requested.
ajv.addVocabulary(Object.keys(openApi));
ajv.addSchema(openApi, "openapi");

/** What is wrong with `value` according to the schema at a JSON pointer into the document; empty if nothing. */
export function faults(pointer: readonly string[], value: unknown): ErrorObject[] {
  const fragment = pointer
    .map((part) => encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1")))
    .join("/");
  const validate = ajv.getSchema(`openapi#/${fragment}`);
  if (validate === undefined) throw new Error(`no schema at ${pointer.join(" ")}`);
  return validate(value) ? [] : (validate.errors ?? []);
}

/** One answer in the document, and the location of its schema. */
export interface Promised {
  path: string;
  status: string;
  type: string;
  content: Content;
  pointer: string[];
}

/** Every answer of the document: path, status and content type. */
export const promised: Promised[] = Object.entries(openApi.paths).flatMap(([path, { get }]) =>
  Object.entries(get.responses).flatMap(([status, response]) => {
    const { answer, pointer } = referred(response, ["paths", path, "get", "responses", status]);
    return Object.entries(answer.content).map(([type, content]) => ({
      path,
      status,
      type,
      content,
      pointer: [...pointer, "content", type, "schema"],
    }));
  }),
);

function referred(
  response: Answer | { $ref: string },
  pointer: string[],
): { answer: Answer; pointer: string[] } {
  if (!("$ref" in response)) return { answer: response, pointer };
  const [, ...target] = response.$ref.split("/");
  const name = target.at(-1) as string;
  return { answer: openApi.components.responses[name] as Answer, pointer: target };
}

/** An answer as it came. */
export interface Given {
  /** The path as the document has it: `/kills/{incident}`. */
  path: string;
  status: number;
  type: string;
  body: string;
}

/** Finds the document's schema for an answer; throws if there is none. */
function promiseOf({ path, status, type }: Given): Promised {
  const found = promised.find(
    (promise) =>
      promise.path === path && promise.status === String(status) && promise.type === type,
  );
  if (found === undefined) throw new Error(`${path} does not promise ${status} ${type}`);
  return found;
}

/** What is wrong with an answer by the document. */
export function faultsOf(given: Given): ErrorObject[] {
  const isJson = given.type.startsWith("application/json");
  return faults(promiseOf(given).pointer, isJson ? JSON.parse(given.body) : given.body);
}
