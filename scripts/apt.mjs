// Installs packages of this machine: all that setting up needs root for.
import { env, tryRun } from './run.mjs';

/** What Debian allows as the name of a package; nothing else gets to root's command line. */
const PACKAGE = /^[a-z0-9][a-z0-9+.-]+$/;
const HEARTBEAT_MS = 15_000;
const TAIL = 20;
const VARIABLES = { LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' };

/** Runs a command that says nothing unless it fails or takes long. */
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
  console.error([...tail, `Cannot run \`${argv.join(' ')}\`: exit status ${status}`].join('\n'));
  process.exit(1);
}

/**
 * Installs packages as root: this process, or by sudo.
 *
 * @param {readonly string[]} packages
 * @param {boolean} hasSudo
 */
export async function installPackages(packages, hasSudo) {
  const bad = packages.find((name) => !PACKAGE.test(name));
  if (bad !== undefined)
    throw new Error(`Cannot install ${JSON.stringify(bad)}: no package's name`);
  const options = ['-qq', '--no-install-recommends', '-y'];
  const install = ['apt-get', 'install', ...options, ...packages];
  const isRoot = process.getuid() === 0;
  if (!isRoot && !hasSudo) {
    console.error(
      `Cannot install ${packages.join(', ')}: not root, and there is no sudo; have \`${install.join(' ')}\` run as root`,
    );
    process.exit(1);
  }
  // sudo takes variables away.
  const variables = Object.entries(VARIABLES).map(([name, value]) => `${name}=${value}`);
  const how = isRoot ? [] : ['sudo', 'env', ...variables];
  console.log(`Installing packages as root${isRoot ? '' : ', by sudo'}: ${packages.join(' ')}`);
  await quietly([...how, 'apt-get', 'update', '-qq']);
  await quietly([...how, ...install]);
}
