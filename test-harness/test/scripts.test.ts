// What a newcomer's first commands say and do: `npm start`, `npm test`, `npm run build`, `npm run box`.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WORKSPACE_ROOT } from '../src/box/paths.ts';
import { ScriptSandbox } from './script-sandbox.ts';

/** Several processes, one after another, on a machine that does other things. */
const TIMEOUT = 120_000;

let sandbox: ScriptSandbox;

beforeEach(() => {
  sandbox = new ScriptSandbox();
});
afterEach(async () => await sandbox.close());

const node = (script: string, ...args: string[]) => ['node', `scripts/${script}.mjs`, ...args];

/** A package that has something to build, and a command. */
function addPackage(source: string): void {
  sandbox.write('packages/sample/package.json', {
    name: '@x/sample',
    version: '1.0.0',
    type: 'module',
    bin: { sample: './dist/index.js' },
    scripts: { build: 'tsc -b' },
  });
  sandbox.write('packages/sample/tsconfig.json', {
    compilerOptions: { rootDir: 'src', outDir: 'dist', composite: true, types: [] },
    include: ['src'],
  });
  sandbox.write('packages/sample/src/index.ts', source);
}

describe('a command line that cannot be meant', { timeout: TIMEOUT }, () => {
  beforeEach(() => {
    for (const name of ['npx', 'turbo']) sandbox.program(name, `touch "$HOME/${name}"`);
  });

  it.each([
    ['npm start', 'start', ['--nonsense']],
    ['npm start', 'start', ['more']],
    ['npm start', 'start', ['--bed', 'arm64-4.17']],
    ['npm start', 'start', ['--box', '--simulated']],
    ['npm run build', 'build', ['--nonsense']],
    ['npm run docs', 'docs', ['--nonsense']],
    ['npm run check:packages', 'check-packages', ['--nonsense']],
    ['npm run new:device', 'new-device', ['--nonsense']],
    ['node scripts/sync-references.mjs', 'sync-references', ['--nonsense']],
  ])(
    'of %s ends with 2 and one line, before anything is done: %s %j',
    async (name, script, args) => {
      const { stdout, stderr, closed } = await sandbox.run(node(script, ...args));
      expect(stdout).toBe('');
      expect(stderr).toMatch(/^[^\n]+; see [^\n]+ --help\n$/);
      expect(stderr.startsWith(name === 'npm run new:device' ? 'new-device: ' : `${name}: `)).toBe(
        true,
      );
      expect(await closed).toBe(2);
      expect(readdirSync(sandbox.home)).toEqual([]);
    },
  );

  it.each(['start', 'test', 'build', 'docs', 'check-packages', 'new-device', 'sync-references'])(
    'has its counterpart: --help of %s, before anything is done',
    async (script) => {
      const { stdout, stderr, closed } = await sandbox.run(node(script, '--help'));
      expect(stderr).toBe('');
      expect(stdout).toMatch(/^Usage: (npm|node) /);
      expect(await closed).toBe(0);
      expect(readdirSync(sandbox.home)).toEqual([]);
    },
  );

  it.each([
    ['test-harness/dist/box/cli.js', ['run', '--nonsense']],
    ['test-harness/dist/box/cli.js', ['run', 'smoke', '--nonsense']],
    ['test-harness/dist/box/cli.js', ['run', '--bed']],
    ['test-harness/dist/box/cli.js', ['setup', '--nonsense']],
    ['test-harness/dist/box/cli.js', ['packages', '--nonsense']],
    ['bench/dist/main.js', ['--nonsense']],
    ['apps/demo/dist/main.js', ['--nonsense']],
  ])('of %s ends with 2 and one line: %j', async (program, args) => {
    const { stdout, stderr, closed } = await sandbox.run([
      process.execPath,
      join(WORKSPACE_ROOT, program),
      ...args,
    ]);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^[^\n]+; see [^\n]+--help`?\n$/);
    expect(await closed).toBe(2);
  });

  it('of npm test ends with 2 and one line', async () => {
    sandbox.linkModules('turbo');
    sandbox.program('turbo', 'exit 0');
    sandbox.program('npx', 'exit 0');
    const { stderr, closed } = await sandbox.run(node('test', '--nonsense'));
    expect(stderr).toBe('npm test: Unknown option `--nonsense`; see npm test -- --help\n');
    expect(await closed).toBe(2);
  });
});

describe('what does not build', { timeout: TIMEOUT }, () => {
  it('is shown with file and line', async () => {
    sandbox.linkModules();
    sandbox.program('npx', 'exit 0');
    addPackage('export const fine = 1;\nexport const wrong: number = "text";\n');
    const { stdout, stderr, closed } = await sandbox.run(node('start'));
    expect(stdout).toMatch(/^Building @x\/sample \(1 of 1\)$/m);
    expect(stderr).toMatch(/^Cannot build @x\/sample:$/m);
    expect(stderr).toMatch(
      /^packages\/sample\/src\/index\.ts\(2,14\): error TS2322: Type 'string'/m,
    );
    expect(await closed).toBe(1);
    expect(await sandbox.leftovers()).toEqual([]);
  });

  it.each(['start', 'test', 'build'])('is shown by %s', async (script) => {
    const say = (text: string) =>
      `echo '${JSON.stringify({ source: '@x/sample#build', level: 'stdout', text })}'`;
    addPackage('');
    sandbox.program('npx', 'mkdir -p node_modules');
    sandbox.program(
      'turbo',
      say('cache miss, executing 32b5f2bdf2981f18'),
      say('> tsc -b'),
      say('src/index.ts(2,14): error TS2322: wrong type'),
      say('../other/src/a.ts(1,1): error TS1005: a comma'),
      say(' ELIFECYCLE  Command failed with exit code 1.'),
      'exit 1',
    );
    const { stderr, closed } = await sandbox.run(node(script));
    expect(stderr.split('\n')).toEqual([
      'Cannot build @x/sample:',
      'packages/sample/src/index.ts(2,14): error TS2322: wrong type',
      'packages/other/src/a.ts(1,1): error TS1005: a comma',
      '',
    ]);
    expect(await closed).toBe(1);
  });

  it('is shown when it is the builder itself that fails', async () => {
    sandbox.program('npx', 'mkdir -p node_modules');
    sandbox.program('turbo', 'echo "no such thing as a task"', 'exit 1');
    const { stderr, closed } = await sandbox.run(node('build'));
    expect(stderr).toBe('Cannot build:\nno such thing as a task\n');
    expect(await closed).toBe(1);
  });

  it.each(['start', 'test', 'build'])('or install is shown by %s', async (script) => {
    sandbox.program('npx', 'echo " ERR_PNPM_OUTDATED_LOCKFILE  Cannot install"', 'exit 1');
    const { stdout, stderr, closed } = await sandbox.run(node(script));
    expect(stdout).toMatch(/ERR_PNPM_OUTDATED_LOCKFILE/);
    expect(stderr).toMatch(/^Cannot install the dependencies: pnpm@[\d.]+ ended with 1\n$/);
    expect(await closed).toBe(1);
  });
});

describe('the first minute', { timeout: TIMEOUT }, () => {
  it('has a line for each package that is built, and a command to link before', async () => {
    sandbox.linkModules();
    sandbox.program('npx', 'cp -p packages/sample/dist/index.js "$HOME"');
    addPackage('export const fine = 1;\n');
    const { stdout, stderr, closed } = await sandbox.run(node('build'));
    expect(stderr).toBe('');
    expect(stdout).toMatch(
      /^Installing [^\n]+\nBuilding @x\/sample \(1 of 1\)\n(Built in [\d.]+ s\n)?$/,
    );
    expect(await closed).toBe(0);
    const built = join(sandbox.checkout, 'packages/sample/dist/index.js');
    expect(readFileSync(built, 'utf8')).toMatch(/^export const fine = 1;/);
    const early = await sandbox.run([join(sandbox.home, 'index.js')]);
    expect(early.stderr).toBe('This command is not built yet: run npm start\n');
    expect(await early.closed).toBe(1);
    // What it has not built it does not speak of.
    const again = await sandbox.run(node('build'));
    expect(again.output).toMatch(/^(Built in [\d.]+ s\n)?$/);
  });

  it('asks every tool for silence on updates and telemetry', async () => {
    const told = 'echo "$npm_config_update_notifier $TURBO_TELEMETRY_DISABLED $*" >> "$HOME/told"';
    sandbox.program('npx', told, 'mkdir -p node_modules');
    sandbox.program('turbo', told);
    expect(await (await sandbox.run(node('build'))).closed).toBe(0);
    const lines = readFileSync(join(sandbox.home, 'told'), 'utf8').trimEnd().split('\n');
    expect(lines).toEqual([
      expect.stringMatching(/^false 1 .*\binstall --prefer-offline\b/),
      expect.stringMatching(/^false 1 run build .*--no-update-notifier/),
    ]);
    const npmrc = readFileSync(join(WORKSPACE_ROOT, '.npmrc'), 'utf8');
    expect(npmrc).toMatch(/^update-notifier=false$/m);
  });
});

describe('a step that is interrupted', { timeout: TIMEOUT }, () => {
  // Starts another that does not care, as an installer's own children might be.
  const stubborn = [
    // As turbo does.
    'trap "exit 0" INT TERM',
    'mkdir -p node_modules',
    `(trap '' INT TERM HUP; sleep 1000; sleep 1000) &`,
    'echo "at work" >&2',
    'wait',
  ];

  it.each([
    ['npx', 'SIGINT', 'group'],
    ['npx', 'SIGTERM', 'process'],
    ['turbo', 'SIGTERM', 'group'],
    ['turbo', 'SIGINT', 'process'],
  ] as const)('leaves no process: %s by %s to the %s', async (step, signal, to) => {
    sandbox.program('npx', 'mkdir -p node_modules');
    sandbox.program(step, ...stubborn);
    const script = sandbox.start(['npm', 'start']);
    await script.prints(/at work/);
    script.signal(signal, to);
    expect(await script.closed).not.toBe(0);
    expect(await sandbox.leftovers(), script.output).toEqual([]);
    // It is not gone on with.
    expect(script.output).not.toMatch(/Cannot find module/);
  });
});

describe('the last line of npm test', { timeout: TIMEOUT }, () => {
  it('says what was skipped, behind all that vitest has to say', async () => {
    sandbox.linkModules('turbo');
    sandbox.program('turbo', 'exit 0');
    sandbox.program('npx', 'exit 0');
    sandbox.write(
      'test-harness/dist/box/status.js',
      `export const boxStatus = () => ({ ready: false, reason: 'missing: xen' });
       export const qemuStatus = () => ({ ready: false });`,
    );
    sandbox.write(
      'vitest.config.mjs',
      `export default { test: { projects: [{ test: { name: 'unit', include: ['*.test.mjs'] } }] } };`,
    );
    sandbox.write(
      'one.test.mjs',
      `import { describe, it } from 'vitest';
       it('runs', () => undefined);
       describe.skip('a chip (skipped, unavailable: no bus)', () => it('answers', () => undefined));`,
    );
    const script = await sandbox.run(node('test'));
    expect(await script.closed, script.output).toBe(0);
    expect(script.stdout.trimEnd().split('\n').at(-1)).toBe(
      'Skipped tests: all on real Xen and QEMU (missing: xen; to enable them: npm run box:setup); 1 of a chip (unavailable: no bus)',
    );
  });

  it('is not asked of a directory for temporary files whose sockets would have too long paths', async () => {
    const script = await sandbox.run(node('test'), { TMPDIR: `/tmp/${'x'.repeat(60)}` });
    expect(script.output).toMatch(
      /^npm test: Cannot make sockets below [^\n]+ set TMPDIR [^\n]+\n$/,
    );
    expect(await script.closed).toBe(1);
  });
});
