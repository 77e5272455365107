// Installs packages of this machine: all that setting up needs root for.
import { env, tryRun } from './run.mjs';

/** What Debian allows as the name of a package; nothing else gets to root's command line. */
const PACKAGE = /^[a-z0-9][a-z0-9+.-]+$/;
const HEARTBEAT_MS = 15_000;
const TAIL = 20;
const VARIABLES = { LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' };

/**
 * Runs a command that says nothing unless it fails or takes long.
 *
 * @returns undefined, or what is to be said of its failure
 */
async function quietly(argv) {
  const tail = [];
  const onLine = (line) => {
    tail.push(line);
    if (tail.length > TAIL) tail.shift();
  };
  const heartbeat = setInterval(() => console.log(`  ... ${tail.at(-1) ?? ''}`), HEARTBEAT_MS);
  const [command, ...args] = argv;
  const status = await tryRun(command, args, {
    onLine,
    env: { ...env, ...VARIABLES },
    // apt stops a download for it, and ends what it has begun to unpack: no half-installed packages.
    endBy: 'SIGINT',
  });
  clearInterval(heartbeat);
  if (status === 0) return;
  return [...tail, `Cannot run \`${argv.join(' ')}\`: exit status ${status}`].join('\n');
}

const OPTIONS = ['-qq', '--no-install-recommends', '-y'];

/** What a command begins with to run as root: this process does, or sudo does. */
function asRoot() {
  // sudo takes variables away.
  const variables = Object.entries(VARIABLES).map(([name, value]) => `${name}=${value}`);
  return process.getuid() === 0 ? [] : ['sudo', 'env', ...variables];
}

/**
 * Installs packages as root: this process, or by sudo. Ends the process where that cannot be done.
 *
 * @param {readonly string[]} packages
 * @param {boolean} hasSudo
 */
export async function installPackages(packages, hasSudo) {
  const bad = packages.find((name) => !PACKAGE.test(name));
  if (bad !== undefined)
    throw new Error(`Cannot install ${JSON.stringify(bad)}: no package's name`);
  const install = ['apt-get', 'install', ...OPTIONS, ...packages];
  const isRoot = process.getuid() === 0;
  if (!isRoot && !hasSudo) {
    console.error(
      `Cannot install ${packages.join(', ')}: not root, and there is no sudo; have \`${install.join(' ')}\` run as root`,
    );
    process.exit(1);
  }
  console.log(`Installing packages as root${isRoot ? '' : ', by sudo'}: ${packages.join(' ')}`);
  const failure =
    (await quietly([...asRoot(), 'apt-get', 'update', '-qq'])) ??
    (await quietly([...asRoot(), ...install]));
  if (failure === undefined) return;
  console.error(failure);
  process.exit(1);
}

/**
 * Installs a package that one can do without, or says why not.
 *
 * @param {string} name
 */
export async function tryPackage(name) {
  if (!PACKAGE.test(name))
    throw new Error(`Cannot install ${JSON.stringify(name)}: no package's name`);
  // Nobody is asked for a password for the sake of a test.
  if (process.getuid() !== 0) {
    console.log(`Not root: ${name} is not installed, and its tests will be skipped`);
    return;
  }
  console.log(`Installing a package for tests as root: ${name}`);
  const install = ['apt-get', 'install', ...OPTIONS, name];
  let failure = await quietly(install);
  // Lists may be old, or not there.
  if (failure !== undefined)
    failure = (await quietly(['apt-get', 'update', '-qq'])) ?? (await quietly(install));
  if (failure !== undefined) console.log(`${failure}; its tests will be skipped`);
}
