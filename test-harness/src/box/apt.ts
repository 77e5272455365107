import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { debianMirror, readAptSources } from './debian-mirror.ts';
import { BoxError } from './errors.ts';
import { cacheRoot } from './paths.ts';
import { type RunOptions, run, tryRun } from './run-command.ts';

/** The Debian release that Xen, kernels and user space of the box come from. */
export const SUITE = 'trixie';

/** Set this to use another mirror than the machine's own, e.g. on a machine that is no Debian. */
const MIRROR_VARIABLE = 'NODE_VMM_DEBIAN_MIRROR';
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** Debian architectures that the box uses. */
export type DebianArchitecture = 'amd64' | 'arm64';

function findMirror(): string {
  const wanted = process.env[MIRROR_VARIABLE];
  if (wanted) return wanted;
  const release = readFileSync('/etc/os-release', 'utf8');
  const codename = /^VERSION_CODENAME="?([a-z]+)"?$/m.exec(release)?.[1] ?? '';
  const mirror = /^ID="?debian"?$/m.test(release)
    ? debianMirror(readAptSources(), codename)
    : undefined;
  if (mirror === undefined) {
    throw new BoxError(
      'NO_MIRROR',
      `Cannot find a Debian mirror: no entry for main of "${codename}" in /etc/apt; ` +
        `set ${MIRROR_VARIABLE} to the URI of one`,
    );
  }
  return mirror;
}

/**
 * Debian packages of {@link SUITE} for any architecture, through an apt that has its own lists and
 * no installed packages: the machine's own apt set-up stays as it is. Signatures are checked.
 */
export class Apt {
  readonly #root: string;
  readonly #run: RunOptions;
  #ready: Promise<void> | undefined;

  /** @param run - log file and the like for apt's output */
  constructor(run: RunOptions) {
    this.#root = join(cacheRoot(), `apt-${SUITE}`);
    this.#run = run;
  }

  /**
   * Downloads binary packages, without what they depend on.
   *
   * @returns paths of the `.deb` files in `directory`
   */
  async download(
    packages: readonly string[],
    architecture: DebianArchitecture,
    directory: string,
  ): Promise<string[]> {
    await this.#update();
    mkdirSync(directory, { recursive: true });
    const names = packages.map((name) => `${name}:${architecture}`);
    await run([...this.#command('apt-get'), 'download', ...names], {
      ...this.#run,
      cwd: directory,
    });
    return readdirSync(directory)
      .filter((name) => name.endsWith('.deb'))
      .map((name) => join(directory, name));
  }

  /** Downloads binary packages and unpacks them into `root`. */
  async unpack(
    packages: readonly string[],
    architecture: DebianArchitecture,
    root: string,
  ): Promise<void> {
    const files = await this.download(packages, architecture, `${root}.debs`);
    for (const file of files) await run(['dpkg-deb', '-x', file, root], this.#run);
  }

  /**
   * Downloads the original tarball of a source package.
   *
   * @returns its path in `directory`
   */
  async downloadSource(name: string, directory: string): Promise<string> {
    await this.#update();
    mkdirSync(directory, { recursive: true });
    // A mirror may lack the .dsc (apt then fails) although the tarball is there: it is the
    // tarball's check sum in the signed index that decides.
    await tryRun([...this.#command('apt-get'), 'source', '--download-only', name], {
      ...this.#run,
      cwd: directory,
    });
    const index = await run(
      [...this.#command('apt-cache'), 'showsrc', '--only-source', name],
      this.#run,
    );
    for (const file of readdirSync(directory)) {
      if (!/\.orig\.tar\.[a-z0-9]+$/.test(file)) continue;
      const path = join(directory, file);
      const hash = createHash('sha256').update(readFileSync(path)).digest('hex');
      if (index.includes(`${hash} `) && index.includes(` ${file}`)) return path;
    }
    throw new BoxError('APT_FAILED', `Cannot download the source of ${name}: see ${this.#run.log}`);
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
      const entry = `[signed-by=${KEYRING}] ${findMirror()} ${SUITE} main`;
      writeFileSync(join(this.#root, 'sources.list'), `deb ${entry}\ndeb-src ${entry}\n`);
      await run([...this.#command('apt-get'), 'update'], this.#run);
    })();
    return this.#ready;
  }
}
