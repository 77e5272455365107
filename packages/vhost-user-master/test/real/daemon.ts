import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { env } from 'node:process';

/** A daemon of rust-vmm, and what to call its tests. */
export interface FoundDaemon {
  /** Undefined when it is not there; the title says why. */
  readonly daemon: string | undefined;
  readonly title: string;
}

/** Looks where a variable says, e.g. `VHOST_DEVICE_RNG`, else where the project's set-up builds it. */
export function findDaemon(name: string): FoundDaemon {
  const variable = name.toUpperCase().replaceAll('-', '_');
  const cache = join(env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'node-vmm');
  const daemon = env[variable] ?? builtDaemon(cache, name);
  const title = `${name} of rust-vmm`;
  if (daemon !== undefined) return { daemon, title };
  const remedy = `set ${variable}, or \`cargo install ${name}\``;
  console.warn(`skipped: no ${name}; ${remedy}`);
  return {
    daemon,
    title: `${title} (skipped, ${toldReason(cache, name) ?? `missing: ${remedy}`})`,
  };
}

function builtDaemon(cache: string, name: string): string | undefined {
  if (!existsSync(cache)) return undefined;
  return readdirSync(cache)
    .filter((entry) => entry.startsWith(`${name}-`))
    .map((entry) => join(cache, entry, name))
    .find((path) => existsSync(path));
}

/** What set-up said of it. */
function toldReason(cache: string, name: string): string | undefined {
  try {
    const report = JSON.parse(readFileSync(join(cache, 'setup-report.json'), 'utf8'));
    const told = report.missing[name];
    return told === undefined ? undefined : `${told.state}: ${told.reason}`;
  } catch {
    return undefined;
  }
}
