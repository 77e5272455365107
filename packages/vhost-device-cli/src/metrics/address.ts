import { CliError } from '../errors.ts';

/** Where metrics are served: a Unix socket, or a port of an address of this machine. */
export type MetricsAddress =
  | { readonly path: string }
  | { readonly host: string; readonly port: number };

/** Ours: whoever asks for more than this machine says so. */
const LOOPBACK = '127.0.0.1';
const PORT_MAX = 65535;
const HOST_AND_PORT = /^(?:(?:\[(?<ip6>[0-9A-Fa-f:.]+)\]|(?<host>[\w.-]+)):)?(?<port>[0-9]{1,5})$/;

/**
 * Reads what `--metrics` was given: a path, which has a slash, or `[host:]port`, by default of the loopback.
 *
 * @throws {CliError} USAGE
 */
export function parseMetricsAddress(text: string): MetricsAddress {
  if (text.includes('/')) return { path: text };
  const { ip6, host, port } = HOST_AND_PORT.exec(text)?.groups ?? {};
  const number = Number(port);
  if (port === undefined || number < 1 || number > PORT_MAX) {
    throw new CliError(
      'USAGE',
      `--metrics expects a path with a slash, or [HOST:]PORT such as 9100, 0.0.0.0:9100 or [::1]:9100, got "${text}"`,
    );
  }
  return { host: ip6 ?? host ?? LOOPBACK, port: number };
}

/** As a user writes it. */
export function formatMetricsAddress(address: MetricsAddress): string {
  if ('path' in address) return address.path;
  const { host, port } = address;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
