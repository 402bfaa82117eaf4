import { isIPv6 } from "node:net";

/**
 * Reads `--web.external-url`, the URL under which users reach the exporter.
 *
 * An IPv6 address may stand without brackets, as in `http://fd00::7:10137`: the digits after its last colon are the
 * port. Kubernetes inserts a node's address like that.
 *
 * @returns the URL without a slash at its end, query or fragment, or what is wrong with the text
 */
export function parseExternalUrl(text: string): { url: string } | string {
  const [, scheme = "", host = "", rest = ""] =
    /^(https?:\/\/)([\da-f:.]*:[\da-f:.]*)(:\d+(?:\/.*)?)$/i.exec(text) ?? [];
  const written = isIPv6(host) ? `${scheme}[${host}]${rest}` : text;
  const url = URL.canParse(written) ? new URL(written) : undefined;
  if (url?.protocol !== "http:" && url?.protocol !== "https:") {
    return "must be a URL such as https://monitoring.example.org/oom";
  }
  if (url.href.length > 256) return "must have at most 256 characters";
  return { url: `${url.origin}${url.pathname}`.replace(/\/$/, "") };
}
