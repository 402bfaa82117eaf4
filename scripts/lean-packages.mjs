/*
 * Leaves out of the bundle what packages load and the program never runs: half the start and 5 MiB otherwise.
 *
 *   fastify      its compilers of JSON schemas (no route has one), HTTP/2 and TLS servers (web-config makes its own),
 *                `inject()` for tests, and version checks of plugins (there are none)
 *   prom-client  everything but its registry
 *   pino         transports in other threads: log lines are written by the program itself
 *
 * Each is replaced by a stub that throws as soon as it is used. Modules of Node.js that few runs need (TLS, HTTP/2,
 * threads, child processes) are loaded when the code that uses them first runs, not at the start.
 */

const stubs = [
  { package: "@fastify/ajv-compiler", makes: "() => unused" },
  { package: "@fastify/fast-json-stringify-compiler", makes: "() => unused" },
  { package: "light-my-request", makes: "unused" },
  { package: "semver", makes: "{ gt: unused, coerce: unused, satisfies: unused }" },
  { package: "thread-stream", makes: "unused" },
  {
    package: "node:http2",
    usedBy: "fastify",
    makes: "{ createServer: unused, createSecureServer: unused }",
  },
  { package: "node:https", usedBy: "fastify", makes: "{ createServer: unused }" },
];

const loadedLate = /^node:(child_process|http2|https|tls|worker_threads)$/;

/** A plugin of esbuild. */
export const leanPackages = {
  name: "lean-packages",
  setup(build) {
    build.onResolve({ filter: /^[@\w]/ }, ({ path, importer, namespace }) => {
      if (namespace !== "file") return undefined;
      const stub = stubs.find(
        ({ package: name, usedBy = "" }) =>
          name === path && importer.includes(`/node_modules/${usedBy}`),
      );
      if (stub !== undefined) return { path, namespace: "stub", pluginData: stub };
      if (path === "prom-client") return { path, namespace: "registry" };
      if (loadedLate.test(path)) return { path, namespace: "late" };
      return undefined;
    });
    build.onLoad({ filter: /./, namespace: "stub" }, ({ path, pluginData: { makes } }) => ({
      contents: `function unused() { throw new Error(${JSON.stringify(`${path} is not part of this program`)}); }
        module.exports = ${makes};`,
    }));
    build.onLoad({ filter: /./, namespace: "registry" }, () => ({
      contents: 'module.exports = { Registry: require("prom-client/lib/registry.js") };',
      resolveDir: build.initialOptions.absWorkingDir,
    }));
    build.onLoad({ filter: /./, namespace: "late" }, ({ path }) => ({
      contents: `module.exports = require(${JSON.stringify(path)});`,
    }));
  },
};
