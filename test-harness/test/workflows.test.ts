import { accessSync, constants, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseDocument } from 'yaml';
import { WORKSPACE_ROOT } from '../src/box/paths.ts';

interface Step {
  readonly uses?: string;
  readonly run?: string;
  readonly with?: Readonly<Record<string, unknown>>;
}

interface Job {
  readonly uses?: string;
  readonly steps?: readonly Step[];
  readonly permissions?: Readonly<Record<string, string>>;
  readonly 'timeout-minutes'?: number;
}

interface Workflow {
  readonly on: Readonly<Record<string, unknown>>;
  readonly permissions?: Readonly<Record<string, string>>;
  readonly jobs: Readonly<Record<string, Job>>;
}

const GITHUB = join(WORKSPACE_ROOT, '.github');
const FOLDER = join(GITHUB, 'workflows');
const { scripts } = JSON.parse(readFileSync(join(WORKSPACE_ROOT, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>;
};

function readYaml(path: string): unknown {
  const document = parseDocument(readFileSync(path, 'utf8'));
  expect([...document.errors, ...document.warnings]).toEqual([]);
  return document.toJS();
}

/** What is wrong with a shell command of a workflow, as far as it is ours. */
function faults(command: string): string[] {
  const names = [...command.matchAll(/\bnpm (?:run )?(?:-\S+ )*([\w:-]+)/g)].map(
    ([, name = '']) => name,
  );
  const [program = ''] = command.split(' ');
  return [
    ...names.filter((name) => scripts[name] === undefined).map((name) => `no script ${name}`),
    ...(program.includes('/') && !existsSync(join(WORKSPACE_ROOT, program))
      ? [`no file ${program}`]
      : []),
  ];
}

const stepsOf = ({ jobs }: Workflow): Step[] =>
  Object.values(jobs).flatMap((job) => job.steps ?? []);

describe.each(readdirSync(FOLDER))('%s', (file) => {
  const text = readFileSync(join(FOLDER, file), 'utf8');
  const workflow = readYaml(join(FOLDER, file)) as Workflow;

  it('may only read, but for what a job asks for', () => {
    expect(workflow.permissions).toEqual({ contents: 'read' });
  });

  it('ends every job', () => {
    for (const job of Object.values(workflow.jobs)) {
      expect(job.uses ?? job['timeout-minutes']).toBeDefined();
    }
  });

  it('pins actions by commit, with the version beside it', () => {
    const used = stepsOf(workflow).flatMap(({ uses = [] }) => uses);
    const pinned = [...text.matchAll(/uses: (\S+@[0-9a-f]{40}) # v\d+\.\d+\.\d+$/gm)];
    expect(used).not.toEqual([]);
    expect(pinned.map(([, name]) => name)).toEqual(used);
  });

  it('runs scripts and files that are there', () => {
    const commands = stepsOf(workflow).flatMap((step) => [
      step.run ?? [],
      ...['version', 'publish'].map((name) => String(step.with?.[name] ?? '')),
    ]);
    expect(commands.flat().flatMap(faults)).toEqual([]);
    for (const { uses = '' } of Object.values(workflow.jobs)) {
      expect(existsSync(join(WORKSPACE_ROOT, uses))).toBe(true);
    }
  });
});

describe('workflows together', () => {
  const read = (file: string) => readYaml(join(FOLDER, file)) as Workflow;

  it('run .ci/run on pull requests, and on main before a release', () => {
    const ci = read('ci.yml');
    expect(Object.keys(ci.on)).toEqual(['pull_request', 'workflow_call']);
    expect(stepsOf(ci).map(({ run }) => run)).toContain('.ci/run');
    accessSync(join(WORKSPACE_ROOT, '.ci/run'), constants.X_OK);
    const { on, jobs } = read('release.yml');
    expect(on).toEqual({ push: { branches: ['main'] } });
    expect(jobs['release']).toMatchObject({ needs: 'ci', permissions: { 'id-token': 'write' } });
  });

  it('are kept up to date, weekly and in groups', () => {
    const { updates } = readYaml(join(GITHUB, 'dependabot.yml')) as {
      updates: Record<string, unknown>[];
    };
    expect(updates.map((update) => update['package-ecosystem'])).toEqual(['npm', 'github-actions']);
    for (const update of updates) {
      expect(update).toMatchObject({ directory: '/', schedule: { interval: 'weekly' } });
      expect(Object.keys(update['groups'] as object)).toHaveLength(1);
    }
  });

  it('that name what is not there are found', () => {
    expect(faults('npm run nothing')).toEqual(['no script nothing']);
    expect(faults('npm run --silent nothing')).toEqual(['no script nothing']);
    expect(faults('.ci/nothing')).toEqual(['no file .ci/nothing']);
    expect(faults('npm run check:packages')).toEqual([]);
  });
});
