import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { parseAllDocuments } from "yaml";
import { debianToolOf } from "../setup/debian-tools.ts";

/** A Kubernetes object as a manifest has it. */
export interface KubernetesObject {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string; labels?: Record<string, string> };
  [field: string]: unknown;
}

/** kubectl, which has kustomize inside. */
export const kubectl = await debianToolOf("sid", "kubectl", "usr/bin/kubectl");

/** The objects that `kubectl apply -k DIRECTORY` sends. */
export async function kustomize(directory: string): Promise<KubernetesObject[]> {
  const { stdout } = await promisify(execFile)(kubectl.path as string, ["kustomize", directory], {
    maxBuffer: 16 << 20,
  });
  return objectsIn(stdout);
}

/** The documents of a manifest, empty ones left out. */
export function objectsIn(text: string): KubernetesObject[] {
  return parseAllDocuments(text).flatMap((document) => {
    if (document.errors[0] !== undefined) throw document.errors[0];
    return document.toJSON() ?? [];
  });
}

/** `Kind/name`, to find an object by in a failure. */
export const titleOf = ({ kind, metadata }: KubernetesObject) => `${kind}/${metadata.name}`;

/**
 * What the published schema of an object's kind objects to: values of the wrong type, and fields that it does not
 * have, which the API server would drop.
 */
export async function problemsOf(object: KubernetesObject): Promise<string[]> {
  const { apiVersion, kind } = object;
  const group = apiVersion.startsWith("monitoring.coreos.com/")
    ? "@kubernetes-models/prometheus-operator"
    : "kubernetes-models";
  const { [kind]: model } = await import(`${group}/${apiVersion}/${kind}`);
  const watched = new Watched();
  try {
    model.prototype.validate.call(watched.wrap(object, ""));
  } catch (error) {
    return [`${titleOf(object)}: ${(error as Error).message}`];
  }
  return watched
    .unread(object)
    .filter((path) => !newerThanTheSchemas.test(path))
    .map((path) => `${titleOf(object)}: no such field: ${path}`);
}

/** Rules have had it since 2023; the last schemas that do not need Node.js 22 are older. */
const newerThanTheSchemas = /^\/spec\/groups\/\d+\/rules\/\d+\/keep_firing_for$/;

/**
 * Sees which fields of an object are read. The validators read every field that their schema knows, also where the
 * object lacks it, and no other.
 */
class Watched {
  readonly #read = new Set<string>();
  /** Objects of which any field was read; of others the schema does not say what they hold. */
  readonly #known = new Set<string>();

  wrap<Value>(value: Value, path: string): Value {
    if (typeof value !== "object" || value === null) return value;
    return new Proxy(value, {
      get: (target, key) => {
        const inner = Reflect.get(target, key);
        if (typeof key === "symbol" || key === "length" || key === "constructor") return inner;
        this.#known.add(path);
        this.#read.add(`${path}/${key}`);
        return this.wrap(inner, `${path}/${key}`);
      },
    });
  }

  unread(value: unknown, path = ""): string[] {
    if (typeof value !== "object" || value === null || !this.#known.has(path)) return [];
    return Object.entries(value).flatMap(([key, inner]) => {
      const place = `${path}/${key}`;
      return this.#read.has(place) ? this.unread(inner, place) : [place];
    });
  }
}
