import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Apt, type DebianArchitecture, type PackageKind } from './apt.ts';
import { BoxError } from './errors.ts';
import { type RunOptions, run, tryRun } from './run-command.ts';

/** Directories that Debian moved into `/usr`; packages of older releases still have them outside. */
const MERGED = ['bin', 'sbin', 'lib', 'lib64'];

/** Binary packages that one thing is made of. */
export interface PackageSet {
  readonly packages: readonly string[];
  readonly architecture: DebianArchitecture;
  /** Where to look, the best first: what one suite's mirror does not carry may be in the next. */
  readonly suites: readonly string[];
}

/** A program's binary package, in any version that will do, with all that it depends on. */
export interface ProgramPackage {
  readonly name: string;
  /** Which of Debian's versions will do; they have an epoch: `1:11.1.3+ds-1`. */
  readonly version: RegExp;
  readonly architecture: DebianArchitecture;
  /** Where to look, the newest first. One suite's packages are not mixed with another's. */
  readonly suites: readonly string[];
}

/** A source package, in any version that will do. */
export interface SourcePackage {
  readonly name: string;
  /** Which upstream versions will do. */
  readonly version: RegExp;
  readonly suites: readonly string[];
}

/** Debian, as far as the mirror carries it: several suites, each with an apt of its own. */
export class DebianArchive {
  readonly #run: RunOptions;
  readonly #suites = new Map<string, Apt>();

  /** @param run - log file and the like for apt's output */
  constructor(run: RunOptions) {
    this.#run = run;
  }

  #suite(name: string, kind: PackageKind): Apt {
    const key = `${name} ${kind}`;
    let apt = this.#suites.get(key);
    if (apt === undefined) {
      apt = new Apt(name, kind, this.#run);
      this.#suites.set(key, apt);
    }
    return apt;
  }

  /**
   * Downloads binary packages, without what they depend on, and unpacks them into `root`, with
   * `/usr` merged.
   *
   * @throws {BoxError} `NOT_AVAILABLE` naming what no suite's mirror carries
   */
  async unpack({ packages, architecture, suites }: PackageSet, root: string): Promise<void> {
    const directory = `${root}.debs`;
    let missing: readonly string[] = packages;
    const tried: string[] = [];
    for (const suite of suites) {
      try {
        missing = await this.#suite(suite, 'binary').download(missing, architecture, directory);
        tried.push(suite);
      } catch (error) {
        // A suite that the mirror does not have at all.
        if (!BoxError.is(error, 'BUILD_FAILED')) throw error;
        tried.push(`${suite} (no index)`);
      }
      if (missing.length === 0) break;
    }
    if (missing.length > 0) {
      throw new BoxError(
        'NOT_AVAILABLE',
        `Cannot download ${missing.join(', ')} (${architecture}): the mirror carries it neither in ` +
          `${tried.join(' nor in ')}; see ${this.#run.log}`,
      );
    }
    await this.#extract(directory, root);
  }

  /**
   * Downloads a binary package and all that it depends on, and unpacks them into `root`, with `/usr`
   * merged.
   *
   * @returns its version
   * @throws {BoxError} `NOT_AVAILABLE` naming what each suite has instead
   */
  async unpackProgram(
    { name, version, architecture, suites }: ProgramPackage,
    root: string,
  ): Promise<string> {
    const found: string[] = [];
    for (const suite of suites) {
      const apt = this.#suite(suite, 'binary');
      const directory = `${root}.debs-${suite}`;
      try {
        const closure = await apt.closure(name, architecture);
        const candidate = closure.find((entry) => entry.name === name)?.version;
        if (candidate === undefined || !version.test(candidate)) {
          found.push(`${candidate ?? 'none'} in ${suite}`);
          continue;
        }
        const names = closure.map((entry) => entry.name);
        const missing = await apt.download(names, architecture, directory);
        if (missing.length > 0) {
          found.push(`${candidate} in ${suite} without ${missing.join(', ')}`);
          continue;
        }
        await this.#extract(directory, root);
        return candidate;
      } catch (error) {
        if (!BoxError.is(error, 'BUILD_FAILED')) throw error;
        found.push(`no index of ${suite}`);
      }
    }
    throw new BoxError(
      'NOT_AVAILABLE',
      `Cannot download ${name} (${architecture}): wanted is a version like ${version.source} with ` +
        `all it needs, the mirror has ${found.join('; ')}; see ${this.#run.log}`,
    );
  }

  /**
   * Downloads the original tarball of a source package: of the first version that can be had.
   *
   * @returns its path in `directory`
   * @throws {BoxError} `NOT_AVAILABLE` naming the versions that the mirror lists and does not carry
   */
  async source({ name, version, suites }: SourcePackage, directory: string): Promise<string> {
    const tried = new Set<string>();
    for (const suite of suites) {
      const apt = this.#suite(suite, 'source');
      let versions: Awaited<ReturnType<Apt['sources']>>;
      try {
        versions = await apt.sources(name);
      } catch (error) {
        if (!BoxError.is(error, 'BUILD_FAILED')) throw error;
        continue;
      }
      for (const candidate of versions) {
        if (!version.test(candidate.version) || tried.has(candidate.version)) continue;
        tried.add(candidate.version);
        const path = await apt.downloadSource(name, candidate, directory);
        if (path !== undefined) return path;
      }
    }
    const listed = [...tried].join(', ') || `none that matches ${version.source}`;
    throw new BoxError(
      'NOT_AVAILABLE',
      `Cannot download the source of ${name}: the mirror lists ${listed} in ${suites.join(', ')} ` +
        `and carries none of it; see ${this.#run.log}`,
    );
  }

  async #extract(directory: string, root: string): Promise<void> {
    const files = readdirSync(directory).filter((name) => name.endsWith('.deb'));
    for (const file of files) {
      await run(['dpkg-deb', '-x', join(directory, file), root], this.#run);
    }
    for (const name of MERGED) {
      await tryRun(
        [
          'sh',
          '-c',
          'if [ -d "$1" ] && [ ! -L "$1" ]; then mkdir -p "$2" && cp -a "$1/." "$2/" && rm -r "$1"; fi',
          'sh',
          join(root, name),
          join(root, 'usr', name),
        ],
        this.#run,
      );
    }
  }
}
