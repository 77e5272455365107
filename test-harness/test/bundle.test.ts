import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BuildOptions, build } from 'esbuild';
import { afterAll, describe, expect, it } from 'vitest';
import { workspacePackages } from '../../scripts/workspace.mjs';
import { WORKSPACE_ROOT } from '../src/box/paths.ts';
import { codeBlocks } from '../src/readme/blocks.ts';
import { type Run, start } from '../src/readme/run-block.ts';
import { Sandbox } from '../src/readme/sandbox.ts';

const LIMIT_MS = 120_000;
const packages = workspacePackages();
const sandbox = new Sandbox(packages, {
  esbuild: join(WORKSPACE_ROOT, 'test-harness/node_modules/esbuild'),
});

// Where bundles run there is koffi, and nothing else.
const place = mkdtempSync(join(tmpdir(), 'node-vmm-bundle-'));
mkdirSync(join(place, 'node_modules'));
symlinkSync(
  join(WORKSPACE_ROOT, 'packages/vmm-sys-util/node_modules/koffi'),
  join(place, 'node_modules/koffi'),
);
afterAll(() => {
  sandbox.close();
  rmSync(place, { recursive: true });
});

const readme = (name: string) =>
  codeBlocks(name, readFileSync(join(WORKSPACE_ROOT, `packages/${name}/README.md`), 'utf8'));
const block = (name: string, text: string): string => {
  const found = readme(name).find(({ code }) => code.includes(text));
  if (found === undefined) throw new Error(`no block with ${text} in the README of ${name}`);
  return found.code;
};

const run = (program: string, ...args: string[]) =>
  start([process.execPath, program, ...args], { cwd: place, bin: sandbox.bin });

const FORMATS = [
  ['esm', 'mjs'],
  ['cjs', 'cjs'],
] as const;
type Format = (typeof FORMATS)[number][0];

/** The front-end of vhost-user-master's README; CommonJS has no `await` at the top. */
function frontEndOf(format: Format, socket: string): string {
  const code = block('vhost-user-master', 'startVring')
    .replace('/tmp/rng.sock', socket)
    .replace('waitMs: 5000', 'waitMs: 60_000');
  if (format === 'esm') return code;
  const [imports = '', ...rest] = code.split('\n\n');
  return `${imports}\n(async () => {\n${rest.join('\n\n')}\n})();\n`;
}

const REQUIRE =
  "import { createRequire as make } from 'node:module'; const require = make(import.meta.url);";

/** Paths or specifiers, by the names of the bundles that they become. */
async function bundle(
  format: Format,
  extension: string,
  entries: Record<string, string>,
): Promise<(name: string) => string> {
  const options: BuildOptions = {
    entryPoints: entries,
    absWorkingDir: sandbox.root,
    outdir: join(place, format),
    outExtension: { '.js': `.${extension}` },
    bundle: true,
    format,
    platform: 'node',
    external: ['koffi'],
    // As the README of vhost-device-cli says.
    banner: { js: format === 'esm' ? REQUIRE : '' },
    // Here packages are links, which esbuild takes for the user's own: it warns of `import.meta`.
    logLevel: 'error',
  };
  await build(options);
  return (name) => join(place, format, `${name}.${extension}`);
}

/** @returns what the front-end says while the daemon serves, and how the daemon ends when it is to */
async function ask(daemon: string, frontEnd: string, ...args: string[]): Promise<[Run, Run]> {
  const serving = run(daemon, ...args);
  const asked = await run(frontEnd).ended;
  serving.end();
  const served = await serving.ended;
  expect(served).toMatchObject({ output: '', left: [] });
  return [asked, served];
}

const RNG = '@node-vmm/vhost-device-rng';

/** URLs of bundles beside a program, where it has no `import.meta`. */
const BESIDE = `
  import { extname, join, dirname } from 'node:path';
  import { pathToFileURL } from 'node:url';
  const [, program] = process.argv;
  const beside = (name) => pathToFileURL(join(dirname(program), name + extname(program)));
`;

describe.each(FORMATS)('bundled to %s', (format, extension) => {
  const socket = join(place, `${format}.sock`);
  const pack = (entries: Record<string, string>) => bundle(format, extension, entries);
  const frontEnd = async () => {
    const source = sandbox.write(`${format}/front-end.mjs`, frontEndOf(format, socket));
    return (await pack({ 'front-end': source }))('front-end');
  };

  it("README's daemon, in one file, serves README's front-end", { timeout: LIMIT_MS }, async () => {
    sandbox.write('bundled.mjs', block('vhost-user-backend', '// bundled.mjs'));
    const script = sandbox.write('bundle.mjs', block('vhost-user-backend', '// bundle.mjs'));
    const bundler = start([process.execPath, script], { cwd: sandbox.root, bin: sandbox.bin });
    expect(await bundler.ended).toMatchObject({ code: 0, output: '' });
    const daemon = join(place, `daemon.${extension}`);
    copyFileSync(join(sandbox.root, `out/daemon.${extension}`), daemon);
    const [{ code, output }] = await ask(daemon, await frontEnd(), socket);
    expect(output).toMatch(/^[0-9a-f]{32}\n1\n$/);
    expect(code).toBe(0);
  });

  it('a daemon of four files serves from a host thread', { timeout: LIMIT_MS }, async () => {
    const program = `${BESIDE}
      import { VhostUserDaemon } from '@node-vmm/vhost-user-backend';
      import { openSource } from '${RNG}';
      const options = { source: openSource('/dev/zero'), hostModule: beside('host').href };
      const [module, socketPath] = [beside('device'), process.argv[2]];
      new VhostUserDaemon({ threadModule: beside('thread') })
        .addDevice({ name: 'rng', module, options, socketPath });
    `;
    const file = await pack({
      several: sandbox.write('several.mjs', program),
      thread: '@node-vmm/vhost-user-backend/thread',
      device: RNG,
      host: `${RNG}/host`,
    });
    const [{ code, output }] = await ask(file('several'), await frontEnd(), socket);
    expect(output).toBe(`${'00'.repeat(16)}\n1\n`);
    expect(code).toBe(0);
  });

  it('a program of vhost-device-cli serves, and ends with 0', { timeout: LIMIT_MS }, async () => {
    const program = `${BESIDE}
      import { isMainThread } from 'node:worker_threads';
      import { runDevices, runProgram } from '@node-vmm/vhost-device-cli';
      import '@node-vmm/vhost-user-backend/thread';
      export { createDevice } from '${RNG}';
      if (isMainThread) runProgram('cli', async () => async ([socketPath], program) => {
        const self = beside('cli');
        const devices = [{ name: 'rng', module: self, options: { maxBytes: 64 }, socketPath }];
        return runDevices(program, {
          options: { workers: 1, logLevel: 'warn' }, threadModule: self, devices,
        });
      });
    `;
    const file = await pack({ cli: sandbox.write('cli.mjs', program) });
    const [{ output }, served] = await ask(file('cli'), await frontEnd(), socket);
    expect(served.code).toBe(0);
    expect(output).toMatch(/^[0-9a-f]{32}\n1\n$/);
  });

  it('a daemon that does not say where its thread module is', { timeout: LIMIT_MS }, async () => {
    const program = `
      import { VhostUserDaemon } from '@node-vmm/vhost-user-backend';
      try {
        new VhostUserDaemon();
      } catch (error) {
        console.log(error.code, error.message);
      }
    `;
    const file = await pack({ forgot: sandbox.write('forgot.mjs', program) });
    const { code, output } = await run(file('forgot')).ended;
    expect(output).toMatch(/^THREAD_MODULE Cannot find the module of threads.*threadModule/);
    expect(code).toBe(0);
  });

  it('every package loads', { timeout: LIMIT_MS }, async () => {
    const specifiers = packages
      .filter(({ published }) => published)
      .flatMap(({ name, manifest }) =>
        Object.keys(manifest.exports ?? {})
          .filter((subpath) => !subpath.endsWith('.json'))
          .map((subpath) => name + subpath.slice(1)),
      );
    // `console.log` keeps what tree shaking would drop.
    const program = specifiers
      .map(
        (specifier, i) =>
          `import * as n${i} from '${specifier}';\nconsole.log(Object.keys(n${i}).length);\n`,
      )
      .join('');
    const file = await pack({ all: sandbox.write('all.mjs', program) });
    const { code, output } = await run(file('all')).ended;
    expect(output.trim().split('\n')).toHaveLength(specifiers.length);
    expect(output).toMatch(/^[0-9\n]+$/);
    expect(code).toBe(0);
  });
});
