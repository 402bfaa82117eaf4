import { isIP } from "node:net";
import { isEveryInterface } from "./listeners.ts";

/** The settings that decide which host names may request pages and API. */
export interface HostNameOptions {
  /** Of this machine. */
  hostName: string;
  externalUrl?: string;
  /** Hosts of the listen addresses; `undefined` means every interface. */
  listenHosts: readonly (string | undefined)[];
}

/**
 * The host names that may request pages and API, besides IP addresses and localhost. A foreign site can point its own
 * name at this machine (DNS rebinding) and would then read with its visitor's access; the browser still sends that
 * site's name.
 *
 * `undefined` if every name is accepted: without `--web.external-url`, an exporter on every interface cannot know
 * the names its users have for it.
 */
export function acceptedHostNames(options: HostNameOptions): readonly string[] | undefined {
  const { hostName, externalUrl, listenHosts } = options;
  const isSpecific = !listenHosts.some(isEveryInterface);
  if (externalUrl === undefined && !isSpecific) return undefined;
  return [
    hostName,
    hostName.split(".", 1)[0] as string,
    ...listenHosts.filter((host) => host !== undefined),
    ...(externalUrl === undefined ? [] : [new URL(externalUrl).hostname]),
  ].map(normal);
}

/** Whether a Host header (`name:port`, `[ipv6]:port`) names this exporter. Browsers always send one. */
export function isAcceptedHost(header: string | undefined, names: readonly string[]): boolean {
  if (header === undefined || header === "") return true;
  const [, ipv6, name] = /^(?:\[([^\]]*)\]|([^:]*))(?::\d*)?$/.exec(header) ?? [];
  if (ipv6 !== undefined) return isIP(ipv6) === 6;
  if (name === undefined) return false;
  const host = normal(name);
  return isIP(host) === 4 || host === "localhost" || names.includes(host);
}

function normal(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}
