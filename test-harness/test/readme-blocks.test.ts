import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseDocument } from 'yaml';
import { workspacePackages } from '../../scripts/workspace.mjs';
import { WORKSPACE_ROOT } from '../src/box/paths.ts';
import {
  type CodeBlock,
  codeBlocks,
  keepsPromise,
  placeOf,
  programPath,
  promisedLines,
} from '../src/readme/blocks.ts';
import { leftBehind } from '../src/readme/marked-processes.ts';
import { type Run, start } from '../src/readme/run-block.ts';
import { Sandbox } from '../src/readme/sandbox.ts';
import { shellFaults } from '../src/readme/shell-check.ts';
import { typeProblems, withoutTypes } from '../src/readme/type-check.ts';

const LIMIT_MS = 120_000;
const packages = workspacePackages();
const sandbox = new Sandbox(packages, {
  '@types/node': join(WORKSPACE_ROOT, 'node_modules/@types/node'),
  esbuild: join(WORKSPACE_ROOT, 'test-harness/node_modules/esbuild'),
});
afterAll(() => sandbox.close());

const blocks = ['README.md', 'CONTRIBUTING.md', ...packages.map(({ path }) => `${path}/README.md`)]
  .filter((file) => existsSync(join(WORKSPACE_ROOT, file)))
  .flatMap((file) => codeBlocks(file, readFileSync(join(WORKSPACE_ROOT, file), 'utf8')));
const of = (...languages: string[]): CodeBlock[] =>
  blocks.filter(({ language }) => languages.includes(language));
const programs = of('js', 'ts').map((block) => ({
  block,
  path: sandbox.write(programPath(block), block.code),
}));
const blockWith = (text: string, readme: string): CodeBlock => {
  const found = of('js').find(({ file, code }) => file === readme && code.includes(text));
  if (found === undefined) throw new Error(`no block with ${text} in ${readme}`);
  return found;
};

function expectGood({ code, signal, output, left }: Run): void {
  expect({ code, signal, left }, output).toEqual({ code: 0, signal: null, left: [] });
}

const helps = new Map<string, string>();
for (const { directory, manifest } of packages) {
  for (const [command, file] of Object.entries(manifest.bin ?? {})) {
    const program = [join(directory, file), '--help'];
    helps.set(command, spawnSync(process.execPath, program, { encoding: 'utf8' }).stdout);
  }
}
const { scripts } = JSON.parse(readFileSync(join(WORKSPACE_ROOT, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>;
};
const known = {
  root: WORKSPACE_ROOT,
  scripts: new Set(Object.keys(scripts)),
  packages: new Set(packages.filter(({ published }) => published).map(({ name }) => name)),
  help: (command: string) => helps.get(command),
};

describe('programs of READMEs', () => {
  it('compile', { timeout: LIMIT_MS }, () => {
    const problems = typeProblems(
      sandbox.root,
      programs.map(({ path }) => path),
    );
    const described = problems.map(({ file, line, message }) => {
      const block = programs.find(({ path }) => path === file)?.block;
      return `${block === undefined ? file : placeOf({ ...block, line: block.line + line })}: ${message}`;
    });
    expect(described).toEqual([]);
    expect(programs.length).toBeGreaterThan(10);
  });

  const runnable = programs.filter(({ block }) => block.run);
  it.each(runnable.map((program) => [placeOf(program.block), program] as const))(
    '%s runs, prints what it says and leaves no process behind',
    { timeout: LIMIT_MS },
    async (_, { block, path }) => {
      const { code } = block;
      const program =
        block.language === 'ts'
          ? sandbox.write(programPath(block).replace(/\.mts$/, '.run.mjs'), withoutTypes(code))
          : path;
      const run = await start([process.execPath, program], {
        cwd: sandbox.root,
        bin: sandbox.bin,
      }).ended;
      expectGood(run);
      for (const promise of promisedLines(block)) {
        expect(keepsPromise(run.output, promise), `${promise} in:\n${run.output}`).toBe(true);
      }
    },
  );

  it('the back-end of one README serves the front-end of another, as they stand there', {
    timeout: LIMIT_MS,
  }, async () => {
    const backend = 'packages/vhost-user-backend/README.md';
    const device = blockWith('// entropy.mjs', backend);
    const lines = device.code.split('\n').filter((line) => line.trim() !== '');
    expect(lines.length).toBeLessThanOrEqual(20);
    const frontend = blockWith('startVring', 'packages/vhost-user-master/README.md');
    const [, path = ''] = /const path = '([^']+)'/.exec(frontend.code) ?? [];
    const command = `node entropy.mjs ${path}`;
    for (const file of [backend, frontend.file]) {
      expect(readFileSync(join(WORKSPACE_ROOT, file), 'utf8')).toContain(`\`${command}\``);
    }
    // The same path in a directory of its own: others may be trying the READMEs.
    const sockets = mkdtempSync(join(tmpdir(), 'node-vmm-'));
    const socket = join(sockets, 'rng.sock');
    const options = { cwd: sandbox.root, bin: sandbox.bin };
    const serving = start([process.execPath, programPath(device), socket], options);
    try {
      const program = sandbox.write(
        `${programPath(frontend)}.run.mjs`,
        frontend.code.replace(path, socket).replace('waitMs: 5000', 'waitMs: 60_000'),
      );
      const run = await start([process.execPath, program], options).ended;
      expectGood(run);
      expect(run.output).toMatch(/^[0-9a-f]{32}\n1\n$/);
    } finally {
      serving.end();
      expect((await serving.ended).left).toEqual([]);
      rmSync(sockets, { recursive: true });
    }
  });
});

describe('shell commands of READMEs', () => {
  it.each(of('sh').map((block) => [placeOf(block), block] as const))(
    '%s names what there is',
    (_, { code }) => {
      expect(shellFaults(code, known)).toEqual([]);
    },
  );

  const runnable = of('sh').filter(({ run }) => run);

  it('run every example', () => {
    const commands = runnable.map(({ code }) => code).join('');
    const examples = readdirSync(join(WORKSPACE_ROOT, 'examples/src'));
    expect(examples).not.toEqual([]);
    for (const file of examples) {
      expect(commands).toMatch(new RegExp(`examples/dist/${file.replace(/\.ts$/, '.js')}[ \n]`));
    }
  });

  it.each(runnable.map((block) => [placeOf(block), block] as const))(
    '%s runs, prints what it says and leaves no process behind',
    { timeout: LIMIT_MS },
    async (_, block) => {
      const run = await start(['bash', '-euc', block.code], {
        cwd: WORKSPACE_ROOT,
        bin: sandbox.bin,
      }).ended;
      expectGood(run);
      for (const promise of promisedLines(block)) {
        expect(keepsPromise(run.output, promise), `${promise} in:\n${run.output}`).toBe(true);
      }
    },
  );
});

it.each(of('yaml').map((block) => [placeOf(block), block] as const))(
  '%s is YAML',
  (_, { code }) => {
    const { errors, warnings } = parseDocument(code);
    expect([...errors, ...warnings]).toEqual([]);
  },
);

describe('what the checks find', () => {
  it.each(['js norun', 'js no-run', 'javascript', 'bash run'])('the fence ```%s', (fence) => {
    const text = `b\n\n\`\`\`${fence}\n1;\n\`\`\`\n`;
    expect(() => codeBlocks('a.md', text)).toThrow('a.md:3');
  });

  it('what is run, and as which file', () => {
    const text = '```js\n1;\n```\n\n```js no-run: needs Xen\n2;\n```\n\n```js\n// a.js\n3;\n```\n';
    const [first, second, third] = codeBlocks('packages/a/README.md', text);
    expect(first).toMatchObject({ line: 2, run: true, code: '1;\n' });
    expect(second).toMatchObject({ line: 6, run: false, reason: 'needs Xen' });
    expect(third).toMatchObject({ line: 10, run: false, name: 'a.js' });
  });

  it('a program that does not compile', { timeout: LIMIT_MS }, () => {
    const path = sandbox.write(
      'wrong/a.mjs',
      "import { hasFeature } from '@node-vmm/virtio-bindings';\nhasFeature(1, 2);\n",
    );
    expect(typeProblems(sandbox.root, [path])).toEqual([
      { file: path, line: 1, message: expect.stringContaining("'bigint'") },
    ]);
  });

  it('a program that fails, and one that leaves a process behind', async () => {
    const options = { cwd: sandbox.root, bin: sandbox.bin };
    expect(await start([process.execPath, '-e', 'process.exit(3)'], options).ended).toMatchObject({
      code: 3,
      left: [],
    });
    const left = 'setsid sleep 1000 >/dev/null 2>&1 &';
    // On a busy machine it would be found before it is what it is to be.
    const wait = 'until grep -qx sleep /proc/$!/comm; do sleep 0.05; done';
    const run = await start(['bash', '-c', `${left} ${wait}`], options).ended;
    expect(run).toMatchObject({ code: 0, left: [{ command: 'sleep 1000' }] });
    const [{ pid } = { pid: 0 }] = run.left;
    expect(await leftBehind(String(pid))).toEqual([]);
  });

  it('output that is not what was said', () => {
    const promise = 'true: the guest wrote';
    expect(keepsPromise('one\n  true\n', promise)).toBe(true);
    expect(keepsPromise('false\n\n', promise)).toBe(false);
  });

  it.each([
    ['npm run nothing', 'no script nothing'],
    ['npm install -g @node-vmm/nothing', 'no package @node-vmm/nothing'],
    ['sudo node packages/nothing.mjs', 'no file packages/nothing.mjs'],
    ['vhost-device-i2c -s /x --nothing 1 &', 'vhost-device-i2c has no option --nothing'],
    ['xen-vhost-master \\\n  --socket "a', 'unexpected EOF'],
  ])('%s: %s', (code, fault) => {
    expect(shellFaults(code, known).join('\n')).toContain(fault);
  });
});
