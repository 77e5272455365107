import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** One archive that the machine's apt knows. */
export interface AptSource {
  readonly uri: string;
  readonly suites: readonly string[];
  readonly components: readonly string[];
}

/** Reads the one-line format of sources.list(5). */
export function parseOneLineSources(text: string): AptSource[] {
  const sources: AptSource[] = [];
  for (const line of text.split('\n')) {
    const match = /^\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)((?:\s+[^\s#]+)*)/.exec(line);
    if (!match?.[1] || !match[2]) continue;
    const components = (match[3] ?? '').trim().split(/\s+/).filter(Boolean);
    sources.push({ uri: match[1], suites: [match[2]], components });
  }
  return sources;
}

/** Reads the deb822 format of sources.list(5). */
export function parseDeb822Sources(text: string): AptSource[] {
  const sources: AptSource[] = [];
  for (const stanza of text.split(/\n\s*\n/)) {
    const fields = new Map<string, string>();
    let last = '';
    for (const line of stanza.split('\n')) {
      if (line.startsWith('#')) continue;
      const field = /^([A-Za-z-]+):\s*(.*)$/.exec(line);
      if (field?.[1]) {
        last = field[1].toLowerCase();
        fields.set(last, field[2] ?? '');
      } else if (/^\s/.test(line)) {
        fields.set(last, `${fields.get(last) ?? ''} ${line.trim()}`);
      }
    }
    const words = (name: string): string[] => (fields.get(name) ?? '').split(/\s+/).filter(Boolean);
    if (!words('types').includes('deb') || fields.get('enabled')?.toLowerCase() === 'no') continue;
    const shared = { suites: words('suites'), components: words('components') };
    for (const uri of words('uris')) sources.push({ uri, ...shared });
  }
  return sources;
}

/** All archives that the machine's apt is configured for. */
export function readAptSources(etcApt = '/etc/apt'): AptSource[] {
  const read = (path: string): string => {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return '';
    }
  };
  const parts = join(etcApt, 'sources.list.d');
  let names: string[] = [];
  try {
    names = readdirSync(parts).sort();
  } catch {
    // No such directory: sources.list alone decides.
  }
  return [
    ...parseOneLineSources(read(join(etcApt, 'sources.list'))),
    ...names.flatMap((name) => {
      if (name.endsWith('.list')) return parseOneLineSources(read(join(parts, name)));
      if (name.endsWith('.sources')) return parseDeb822Sources(read(join(parts, name)));
      return [];
    }),
  ];
}

/**
 * Mirrors that may have a suite of Debian: those from which this machine gets its own release, which
 * have the other releases, too. Security updates are an archive of their own.
 *
 * @param sources - see {@link readAptSources}
 * @param codename - the machine's release (`VERSION_CODENAME` of os-release)
 * @param suite - e.g. `trixie`, `sid`, `trixie-security`
 * @returns their URIs; none when the machine is no Debian or has no such entry
 */
export function debianMirrors(
  sources: readonly AptSource[],
  codename: string,
  suite: string,
): string[] {
  const own = suite.endsWith('-security') ? `${codename}-security` : codename;
  const uris = sources
    .filter(({ suites, components }) => suites.includes(own) && components.includes('main'))
    .map(({ uri }) => uri);
  return [...new Set(uris)];
}
