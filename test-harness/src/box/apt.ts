import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { debianMirrors, readAptSources } from './debian-mirror.ts';
import { BoxError } from './errors.ts';
import { cacheRoot } from './paths.ts';
import { type RunOptions, run, tryRun } from './run-command.ts';

/** Set this to use another mirror than the machine's own, e.g. on a machine that is no Debian. */
const MIRROR_VARIABLE = 'NODE_VMM_DEBIAN_MIRROR';
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** Debian architectures that the box uses. */
export type DebianArchitecture = 'amd64' | 'arm64';

/** Which of a suite's packages an apt knows. */
export type PackageKind = 'binary' | 'source';

/** What apt found of a source package. */
export interface SourceVersion {
  /** Debian's, for `apt-get source name=version`. */
  readonly version: string;
  /** SHA-256 of the original tarball, by its name. */
  readonly tarballs: ReadonlyMap<string, string>;
}

/** One binary package that an apt would install. */
export interface PackageVersion {
  readonly name: string;
  /** Debian's, with its epoch: `1:11.1.3+ds-1`. */
  readonly version: string;
}

function findMirrors(suite: string): string[] {
  const wanted = process.env[MIRROR_VARIABLE];
  // Security updates are an archive of their own, on mirrors next to the main one.
  if (wanted) return [suite.endsWith('-security') ? `${wanted}-security` : wanted];
  const release = readFileSync('/etc/os-release', 'utf8');
  const codename = /^VERSION_CODENAME="?([a-z]+)"?$/m.exec(release)?.[1] ?? '';
  const mirrors = /^ID="?debian"?$/m.test(release)
    ? debianMirrors(readAptSources(), codename, suite)
    : [];
  if (mirrors.length === 0) {
    throw new BoxError(
      'NO_MIRROR',
      `Cannot find a Debian mirror: no entry for main of "${codename}" in /etc/apt; ` +
        `set ${MIRROR_VARIABLE} to the URI of one`,
    );
  }
  return mirrors;
}

/** The stanzas of `apt-cache showsrc`, without those that name no original tarball. */
export function parseSources(text: string): SourceVersion[] {
  const found: SourceVersion[] = [];
  for (const stanza of text.split(/\n\s*\n/)) {
    const version = /^Version: (\S+)$/m.exec(stanza)?.[1];
    const sums = /^Checksums-Sha256:\n((?: .*\n?)+)/m.exec(stanza)?.[1] ?? '';
    const tarballs = new Map<string, string>();
    for (const line of sums.split('\n')) {
      const [hash, , name] = line.trim().split(/\s+/);
      if (hash && name && /\.orig\.tar\.[a-z0-9]+$/.test(name)) tarballs.set(name, hash);
    }
    if (version !== undefined && tarballs.size > 0) found.push({ version, tarballs });
  }
  return found;
}

/** The packages of `apt-get --print-uris`. */
export function parseUris(text: string): PackageVersion[] {
  // 'http://...' name_version_architecture.deb size SHA256:...; only a colon is ever escaped.
  const lines = text.matchAll(/^'[^']*' ([^_\s]+)_([^_\s]+)_[^_\s]+\.deb /gm);
  return [...lines].map(([, name = '', version = '']) => ({
    name,
    version: decodeURIComponent(version),
  }));
}

/**
 * Packages of one Debian suite for any architecture, through an apt that has its own lists and no
 * installed packages: the machine's own apt set-up stays as it is. Signatures are checked. Its
 * operations wait for one another.
 */
export class Apt {
  readonly suite: string;
  readonly #kind: PackageKind;
  readonly #root: string;
  readonly #run: RunOptions;
  #ready: Promise<void> | undefined;
  #last: Promise<unknown> = Promise.resolve();

  /**
   * @param suite - e.g. `trixie`, `trixie-security`
   * @param kind - the other kind's lists are not downloaded
   * @param run - log file and the like for apt's output
   */
  constructor(suite: string, kind: PackageKind, run: RunOptions) {
    this.suite = suite;
    this.#kind = kind;
    this.#root = join(cacheRoot(), `apt-${suite}-${kind}`);
    this.#run = run;
  }

  /**
   * Downloads binary packages, without what they depend on, as far as they can be had.
   *
   * @returns those of `packages` that could not
   */
  async download(
    packages: readonly string[],
    architecture: DebianArchitecture,
    directory: string,
  ): Promise<string[]> {
    return await this.#inTurn(async () => {
      await this.#update();
      mkdirSync(directory, { recursive: true });
      const options = { ...this.#run, cwd: directory };
      const missing = (): string[] => {
        const names = readdirSync(directory);
        return packages.filter((name) => !names.some((file) => file.startsWith(`${name}_`)));
      };
      const get = async (names: readonly string[]): Promise<void> => {
        const qualified = names.map((name) => `${name}:${architecture}`);
        await tryRun([...this.#command('apt-get'), 'download', ...qualified], options);
      };
      await get(missing());
      // apt gives all of them up for one that it does not know or cannot get; again, one by one.
      for (const name of missing()) await get([name]);
      return missing();
    });
  }

  /** A package with all that it depends on, as far down as it goes; empty when there is none. */
  async closure(name: string, architecture: DebianArchitecture): Promise<PackageVersion[]> {
    return await this.#inTurn(async () => {
      await this.#update();
      const install = ['install', '--print-uris', '--no-install-recommends', '--yes'];
      const { stdout } = await tryRun(
        [...this.#command('apt-get'), ...install, `${name}:${architecture}`],
        this.#run,
      );
      return parseUris(stdout);
    });
  }

  /** The versions of a source package that this suite names. */
  async sources(name: string): Promise<SourceVersion[]> {
    return await this.#inTurn(async () => {
      await this.#update();
      const { stdout } = await tryRun(
        [...this.#command('apt-cache'), 'showsrc', '--only-source', name],
        this.#run,
      );
      return parseSources(stdout);
    });
  }

  /**
   * Downloads the original tarball of a source package.
   *
   * @returns its path in `directory`, undefined when it cannot be had
   */
  async downloadSource(
    name: string,
    { version, tarballs }: SourceVersion,
    directory: string,
  ): Promise<string | undefined> {
    return await this.#inTurn(async () => {
      mkdirSync(directory, { recursive: true });
      // A mirror may lack the .dsc (apt then fails) although the tarball is there: it is the
      // tarball's check sum in the signed index that decides.
      await tryRun(
        [...this.#command('apt-get'), 'source', '--download-only', `${name}=${version}`],
        { ...this.#run, cwd: directory },
      );
      for (const [file, hash] of tarballs) {
        const path = join(directory, file);
        if (!existsSync(path)) continue;
        if (createHash('sha256').update(readFileSync(path)).digest('hex') === hash) return path;
      }
      return undefined;
    });
  }

  #command(program: string): string[] {
    const root = this.#root;
    const settings = {
      'APT::Architecture': 'amd64',
      'APT::Architectures::': 'arm64',
      'APT::Sandbox::User': 'root',
      'Acquire::Languages': 'none',
      'Acquire::Retries': '3',
      'Dir::Cache': `${root}/cache`,
      'Dir::Etc::sourcelist': `${root}/sources.list`,
      'Dir::Etc::sourceparts': `${root}/empty`,
      'Dir::State::Lists': `${root}/lists`,
      'Dir::State::status': '/dev/null',
    };
    return [
      program,
      '-q',
      ...Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]),
    ];
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  #update(): Promise<void> {
    this.#ready ??= (async () => {
      if (!existsSync(KEYRING)) {
        throw new BoxError(
          'MISSING_TOOL',
          `Cannot check Debian's signatures: no ${KEYRING}; install debian-archive-keyring`,
        );
      }
      for (const name of ['lists/partial', 'cache/archives/partial', 'empty']) {
        mkdirSync(join(this.#root, name), { recursive: true });
      }
      const lines = findMirrors(this.suite).map((mirror) => {
        const type = this.#kind === 'binary' ? 'deb' : 'deb-src';
        return `${type} [signed-by=${KEYRING}] ${mirror} ${this.suite} main`;
      });
      writeFileSync(join(this.#root, 'sources.list'), `${lines.join('\n')}\n`);
      await run([...this.#command('apt-get'), 'update', '--error-on=any'], this.#run);
    })();
    return this.#ready;
  }
}
