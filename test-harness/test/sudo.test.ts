// Who does what in `npm run box:setup`: under sudo, as a user, and as root on a machine that has no user.

import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  symlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ScriptSandbox } from './script-sandbox.ts';

const TIMEOUT = 120_000;
/** Nobody's on any machine. */
const UID = 54321;
const GID = 54322;
const SUDO = { SUDO_UID: String(UID), SUDO_GID: String(GID), SUDO_USER: 'newcomer' };
/** All there is to search programs in, but for ours: no sudo of this machine. */
const SYSTEM = ['sh', 'id', 'mkdir', 'sleep', 'touch', 'env', 'getent'];

const ROOT =
  process.getuid?.() === 0 &&
  spawnSync(process.execPath, ['--version'], { uid: UID, gid: GID }).status === 0;

const NOTE = (who: string) => `echo "${who} $(id -u):$(id -g) $HOME $*" >> "$DIARY/diary"`;
/** What the built `cli.js` does here: as far as it matters who does it. */
const CLI = `
const { appendFileSync, mkdirSync, writeFileSync } = require('node:fs');
const [command, ...args] = process.argv.slice(2);
const { HOME, DIARY } = process.env;
appendFileSync(DIARY + '/diary', [command, process.getuid() + ':' + process.getgid(), HOME, ...args].join(' ') + '\\n');
if (command === 'packages') console.log('bc\\nlibelf-dev');
mkdirSync(HOME + '/.cache/node-vmm', { recursive: true });
writeFileSync(HOME + '/.cache/node-vmm/artefact', '');
`;

/** As apt is while dpkg runs: it goes on to the end of what it has begun. */
const APT = `
const { appendFileSync } = require('node:fs');
const note = (text) => appendFileSync(process.env.DIARY + '/diary', text + '\\n');
const end = () => (note('done'), process.exit(0));
process.on('SIGTERM', () => note('told to stop at once'));
process.once('SIGINT', () => (note('asked'), setTimeout(end, 500)));
process.on('SIGINT', () => undefined);
setTimeout(end, ${TIMEOUT});
note('unpacking');
`;

let sandbox: ScriptSandbox;
let diaryDirectory: string;

function* tree(path: string): Generator<string> {
  yield path;
  if (!lstatSync(path).isDirectory()) return;
  for (const name of readdirSync(path)) yield* tree(join(path, name));
}

/** What each of them did, with ids and home. */
const diary = (): string[] =>
  readFileSync(join(diaryDirectory, 'diary'), 'utf8').trimEnd().split('\n');

/** Files that are not the user's. */
const foreign = (): string[] =>
  [...tree(sandbox.checkout), ...tree(sandbox.home)].filter((path) => lstatSync(path).uid !== UID);

function findProgram(name: string): string {
  const paths = (process.env['PATH'] ?? '').split(':').map((directory) => join(directory, name));
  return paths.find((path) => existsSync(path)) ?? `/usr/bin/${name}`;
}

beforeEach(() => {
  sandbox = new ScriptSandbox();
  diaryDirectory = sandbox.make('diary');
  chmodSync(diaryDirectory, 0o777);
  sandbox.program('npx', NOTE('npx'), 'mkdir -p node_modules');
  sandbox.program('turbo', NOTE('turbo'), 'mkdir -p .turbo');
  sandbox.program('apt-get', NOTE('apt-get'));
  sandbox.write('test-harness/package.json', { name: '@x/test-harness' });
  sandbox.write('test-harness/dist/box/package.json', { type: 'commonjs' });
  sandbox.write('test-harness/dist/box/cli.js', CLI);
  for (const name of SYSTEM) symlinkSync(findProgram(name), join(sandbox.bin, name));
  symlinkSync(process.execPath, join(sandbox.bin, 'node'));
  for (const path of tree(sandbox.root)) {
    if (path !== sandbox.bin && !lstatSync(path).isSymbolicLink()) chownSync(path, UID, GID);
  }
});
afterEach(async () => await sandbox.close());

const environment = () => ({ PATH: sandbox.bin, DIARY: diaryDirectory });
const SETUP = ['node', 'scripts/box.mjs', 'setup', '--rebuild', 'x'];

describe.skipIf(!ROOT)('npm run box:setup (needs root)', { timeout: TIMEOUT }, () => {
  const user = () => `${UID}:${GID} ${sandbox.home}`;

  it('works under sudo as the user, with root for packages alone, and says so', async () => {
    const env = {
      ...environment(),
      ...SUDO,
      HOME: '/root-of-nobody',
      SUDO_HOME: sandbox.home,
      npm_config_cache: '/root-of-nobody/.npm',
    };
    const script = await sandbox.run(SETUP, env);
    expect(await script.closed, script.output).toBe(0);
    expect(script.stdout).toMatch(
      /^Setting up as newcomer; root is used to install packages alone$/m,
    );
    expect(script.stdout).toMatch(/^Installing packages as root: bc libelf-dev$/m);
    expect(diary()).toEqual([
      expect.stringMatching(`^npx ${user()} `),
      expect.stringMatching(`^turbo ${user()} `),
      `packages ${user()} --rebuild x`,
      expect.stringMatching('^apt-get 0:0 /root-of-nobody update'),
      expect.stringMatching('^apt-get 0:0 /root-of-nobody install .* bc libelf-dev$'),
      `setup ${user()} --rebuild x`,
    ]);
    expect(foreign()).toEqual([]);
  });

  it.each(['start', 'test', 'build'])(
    'has its like: %s under sudo installs as the user',
    async (name) => {
      const env = { ...environment(), ...SUDO, SUDO_HOME: sandbox.home };
      const script = await sandbox.run(['node', `scripts/${name}.mjs`], env);
      expect(script.stdout).toMatch(/^This needs no root: going on as newcomer$/m);
      expect(diary().slice(0, 2)).toEqual([
        expect.stringMatching(`^npx ${user()} `),
        expect.stringMatching(`^turbo ${user()} `),
      ]);
      expect(foreign()).toEqual([]);
    },
  );

  it('says what to do where the user has no home directory', async () => {
    const script = await sandbox.run(SETUP, { ...environment(), ...SUDO });
    expect(script.output).toBe(
      'Cannot work for user newcomer: no home directory; run this as that user\n',
    );
    expect(await script.closed).toBe(1);
  });

  it('asks sudo for the packages when it is a user who runs it', async () => {
    sandbox.program('sudo', NOTE('sudo'), 'exec "$@"');
    const script = sandbox.start(SETUP, environment(), { uid: UID, gid: GID });
    expect(await script.closed, script.output).toBe(0);
    expect(script.stdout).toMatch(/^Installing packages as root, by sudo: bc libelf-dev$/m);
    expect(diary().filter((line) => line.startsWith('sudo'))).toEqual([
      expect.stringMatching(/ env LC_ALL=C DEBIAN_FRONTEND=noninteractive apt-get update /),
      expect.stringMatching(/ apt-get install .* bc libelf-dev$/),
    ]);
    expect(foreign()).toEqual([]);
  });

  it('says what is to be installed when the user has no sudo', async () => {
    const script = sandbox.start(SETUP, environment(), { uid: UID, gid: GID });
    expect(await script.closed).toBe(1);
    expect(script.stderr).toMatch(
      /^Cannot install bc, libelf-dev: not root, [^\n]*`apt-get install [^\n]+ bc libelf-dev` run as root\n$/,
    );
    expect(diary().at(-1)).toMatch(/^packages /);
  });

  it("does all of it as root where nobody called sudo, or the checkout is root's", async () => {
    const script = await sandbox.run(SETUP, environment());
    expect(await script.closed, script.output).toBe(0);
    chownSync(sandbox.checkout, 0, 0);
    const own = await sandbox.run(SETUP, { ...environment(), ...SUDO });
    expect(await own.closed, own.output).toBe(0);
    expect(diary().filter((line) => !/ 0:0 /.test(line))).toEqual([]);
  });
});

describe.skipIf(!ROOT)(
  'packages that are being installed (needs root)',
  { timeout: TIMEOUT },
  () => {
    it.each([
      ['SIGINT', 'group'],
      ['SIGTERM', 'process'],
    ] as const)('are not left to themselves: %s to the %s', async (signal, to) => {
      sandbox.write('apt.cjs', APT);
      sandbox.program('apt-get', `exec node ${join(sandbox.checkout, 'apt.cjs')}`);
      const env = { ...environment(), ...SUDO, SUDO_HOME: sandbox.home };
      const script = sandbox.start(SETUP, env);
      await expect.poll(diary, { timeout: TIMEOUT, interval: 20 }).toContain('unpacking');
      script.signal(signal, to);
      await script.closed;
      expect(await sandbox.leftovers(), script.output).toEqual([]);
      expect(diary().slice(-2)).toEqual(['asked', 'done']);
    });

    it('are what apt has to say when it fails', async () => {
      sandbox.program('apt-get', 'echo "E: Unable to locate package"', 'exit 100');
      const script = await sandbox.run(SETUP, environment());
      expect(script.stderr).toBe(
        'E: Unable to locate package\nCannot run `apt-get update -qq`: exit status 100\n',
      );
      expect(await script.closed).toBe(1);
    });

    it('are done without where only tests want them and the mirror has them not', async () => {
      sandbox.write('test-harness/dist/box/cli.js', CLI.replace('libelf-dev', '?fish\\n?zsh'));
      const noFish = 'case "$*" in *fish) echo "E: no fish"; exit 100;; esac';
      sandbox.program('apt-get', NOTE('apt-get'), noFish);
      const script = await sandbox.run(SETUP, environment());
      expect(await script.closed, script.output).toBe(0);
      expect(script.stdout).toContain('E: no fish\nCannot run `apt-get install ');
      expect(script.stdout).toContain('exit status 100; its tests will be skipped\n');
      const installed = diary().filter((line) => /^apt-get .* install /.test(line));
      expect(installed.map((line) => line.split(' ').at(-1))).toEqual([
        'bc',
        'fish',
        'fish',
        'zsh',
      ]);
    });
  },
);
