import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WORKSPACE_ROOT } from '../src/box/paths.ts';
import { codeBlocks } from '../src/readme/blocks.ts';

/** Copying, installing and a run of tests within this one: slow machines need it. */
const TIMEOUT_MS = 300_000;
/** Likewise, with a build of all packages, the lint, and the demo three times. */
const WORD_FOR_WORD_MS = 1_200_000;
const NAME = 'scratch-pad';
const PACKAGE = `packages/vhost-device-${NAME}`;
/** What the copy gets by itself, or must not have. */
const NOT_COPIED = /(^|\/)(node_modules|\.git|\.turbo|coverage)$/;
const BUILT = /(^|\/)(node_modules|\.git|\.turbo|coverage|dist)$/;

/** What turbo has built before, by its inputs. */
const BUILDS = join(WORKSPACE_ROOT, '.turbo');

interface Outcome {
  readonly status: number | null;
  readonly output: string;
}

/** Where pnpm asks nobody. */
const CI = { CI: 'true' };
/** What this run of tests has put into the environment. */
const OURS =
  /^(VITEST|TEST$|npm_|NODE_ENV|NODE_VMM_(TEST_REPORT|WITHOUT_BOX)$|CI$|GITHUB_ACTIONS$)/;

/** Runs a program of the copy. @param more - what it has in its environment besides */
async function runWith(
  more: NodeJS.ProcessEnv,
  root: string,
  program: string,
  ...args: string[]
): Promise<Outcome> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => !OURS.test(key)));
  const child = spawn(program, args, {
    cwd: root,
    env: { ...env, ...more },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, output };
}

const run = (root: string, program: string, ...args: string[]): Promise<Outcome> =>
  runWith(CI, root, program, ...args);

/** Without colours. */
const plain = (text: string): string => stripVTControlCharacters(text);

/** The shell commands of a document's block, each for itself, without what is said about them. */
function commandsOf(document: string, containing: string): string[] {
  const blocks = codeBlocks(document, readFileSync(join(WORKSPACE_ROOT, document), 'utf8'));
  const block = blocks.find(({ language, code }) => language === 'sh' && code.includes(containing));
  const lines = block?.code.split('\n').map((line) => line.replace(/ +# .*$/, '')) ?? [];
  return lines.filter((line) => line !== '');
}

/** Files below a directory, without what is built. */
function filesOf(root: string, under = ''): string[] {
  return readdirSync(join(root, under), { withFileTypes: true }).flatMap((entry) => {
    const path = join(under, entry.name);
    if (BUILT.test(path)) return [];
    return entry.isDirectory() ? filesOf(root, path) : [path];
  });
}

describe('npm run new:device, in a scratch copy of this tree', () => {
  let scratch: string;
  let installed: Outcome;
  let made: Outcome;
  const install = () =>
    run(
      scratch,
      join(WORKSPACE_ROOT, 'node_modules/.bin/pnpm'),
      ...['install', '--offline', '--frozen-lockfile', '--ignore-scripts'],
    );
  const newDevice = (...args: string[]) =>
    run(scratch, process.execPath, 'scripts/new-device.mjs', ...args);
  const tool = (name: string, ...args: string[]) =>
    run(scratch, join(scratch, 'node_modules/.bin', name), ...args);

  beforeAll(async () => {
    scratch = mkdtempSync(join(tmpdir(), 'node-vmm-new-device-'));
    // What is built comes along, and what turbo knows of it: only the new package is to be built.
    cpSync(WORKSPACE_ROOT, scratch, {
      recursive: true,
      verbatimSymlinks: true,
      preserveTimestamps: true,
      filter: (path) => path === BUILDS || !NOT_COPIED.test(path),
    });
    // As `npm start` does it on a fresh clone, but without a network.
    installed = await install();
    made = await newDevice(NAME);
  }, TIMEOUT_MS);
  afterAll(() => rmSync(scratch, { recursive: true, force: true }), TIMEOUT_MS);

  it('makes a package and a changeset, edits the lists of packages, and nothing else', () => {
    expect(made).toMatchObject({ status: 0, output: expect.stringContaining('npm start') });
    const differing = filesOf(scratch).filter((file) => {
      const original = join(WORKSPACE_ROOT, file);
      return (
        !existsSync(original) || !readFileSync(original).equals(readFileSync(join(scratch, file)))
      );
    });
    expect(differing.filter((file) => !file.startsWith(`${PACKAGE}/`)).sort()).toEqual([
      `.changeset/vhost-device-${NAME}.md`,
      'pnpm-lock.yaml',
      'tsconfig.json',
    ]);
    const inPackage = filesOf(join(scratch, PACKAGE));
    expect(inPackage).toEqual(
      filesOf(join(WORKSPACE_ROOT, 'packages/vhost-device-template'))
        .map((file) => file.replace('template', NAME))
        .sort((a, b) => inPackage.indexOf(a) - inPackage.indexOf(b)),
    );
    for (const file of inPackage) {
      const text = readFileSync(join(scratch, PACKAGE, file), 'utf8');
      if (!file.startsWith('LICENSE')) expect(text, file).not.toMatch(/template/i);
    }
    const manifest = readFileSync(join(scratch, PACKAGE, 'package.json'), 'utf8');
    expect(JSON.parse(manifest)).toMatchObject({ name: `@node-vmm/vhost-device-${NAME}` });
    expect(JSON.parse(manifest)).not.toHaveProperty('private');
  });

  it.each([
    ['no name', []],
    ['two names', ['a', 'b']],
    ['a path', ['../x']],
    ['an upper-case name', ['Foo']],
    ['a name that ends with a hyphen', ['foo-']],
    ['a digit in front', ['9p']],
    ['a long name', ['x'.repeat(41)]],
    ['an option', ['--force']],
    ['no text', ['']],
  ])('refuses %s with 2 and one line that points to --help', async (_, args) => {
    const { status, output } = await newDevice(...args);
    expect(output).toMatch(/^new-device: [^\n]+--help\n$/);
    expect(status).toBe(2);
  });

  it.each(['template', NAME])('refuses a name that is taken with 1: %s', async (name) => {
    const { status, output } = await newDevice(name);
    expect(output).toMatch(/^new-device: Cannot make [^\n]+: it exists already\n$/);
    expect(status).toBe(1);
  });

  it('prints its help', async () => {
    expect(await newDevice('--help')).toMatchObject({
      status: 0,
      output: expect.stringContaining('NAME'),
    });
  });

  it(
    'is linked by a frozen lock file without a network, builds, and passes the lint',
    async () => {
      expect(installed, installed.output).toMatchObject({ status: 0 });
      const linked = await install();
      expect(linked, linked.output).toMatchObject({ status: 0 });
      const built = await tool('tsc', '-b', PACKAGE);
      expect(built, built.output).toMatchObject({ status: 0 });
      const style = await tool('biome', 'check', PACKAGE, 'tsconfig.json');
      expect(style, style.output).toMatchObject({ status: 0 });
      const layers = await run(scratch, process.execPath, 'scripts/check-layers.mjs');
      expect(layers, layers.output).toMatchObject({ status: 0 });
    },
    TIMEOUT_MS,
  );

  describe('CONTRIBUTING, word for word', () => {
    /** As somebody types it: no CI machine. */
    const type = async (command: string): Promise<string> => {
      const { status, output } = await runWith({}, scratch, 'bash', '-euc', command);
      expect(status, `${command}\n${output}`).toBe(0);
      return output;
    };

    it(
      'makes a device, and serves it to a front-end as docs/first-device.md says',
      async () => {
        const commands = commandsOf('CONTRIBUTING.md', 'new:device');
        expect(commands.slice(0, 2)).toEqual(['npm run new:device -- foo', 'npm start']);
        const said = [];
        for (const command of commands) said.push(await type(command));
        // The compliance suite alone has more.
        const [, passed] = /Tests +(\d+) passed/.exec(plain(said.join(''))) ?? [];
        expect(Number(passed)).toBeGreaterThan(80);
        const page = commandsOf('docs/first-device.md', 'new:device');
        expect(commands).toEqual(expect.arrayContaining(page));
        const serving = commandsOf('docs/first-device.md', 'vhost-device-foo/dist');
        expect(await type(serving.join('\n'))).toMatch(/^[0-9a-f]{32}$/m);
      },
      WORD_FOR_WORD_MS,
    );

    it(
      'adds a package, which the lock file does not know, and says why CI refuses it before',
      async () => {
        const directory = join(scratch, 'packages/by-hand');
        mkdirSync(join(directory, 'src'), { recursive: true });
        const model = join(scratch, 'packages/vm-device');
        const manifest = readFileSync(join(model, 'package.json'), 'utf8');
        writeFileSync(
          join(directory, 'package.json'),
          manifest.replace('@node-vmm/vm-device', '@node-vmm/by-hand'),
        );
        cpSync(join(model, 'tsconfig.json'), join(directory, 'tsconfig.json'));
        writeFileSync(
          join(directory, 'src/index.ts'),
          "export { EventFd } from '@node-vmm/vmm-sys-util';\n",
        );
        const refused = await run(scratch, 'npm', 'start');
        expect(refused, refused.output).toMatchObject({ status: 1 });
        expect(refused.output).toContain('ERR_PNPM_OUTDATED_LOCKFILE');
        const commands = commandsOf('CONTRIBUTING.md', 'sync-references');
        expect(commands).toContain('npm start');
        const said = [];
        for (const command of commands) said.push(await type(command));
        expect(said.join('')).toContain('pnpm-lock.yaml has got what is new: commit it, too');
        expect(readFileSync(join(scratch, 'pnpm-lock.yaml'), 'utf8')).toMatch(
          /^ {2}packages\/by-hand:$/m,
        );
        expect(existsSync(join(directory, 'dist/index.js'))).toBe(true);
        const frozen = await install();
        expect(frozen, frozen.output).toMatchObject({ status: 0 });
      },
      WORD_FOR_WORD_MS,
    );
  });
});
