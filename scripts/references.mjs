// What tsconfig files say of the workspace and must say the same as pnpm-workspace.yaml and the manifests:
// `references` at the root (every package), `references` of a package (its dependencies), and where the
// type check of tests looks. The order is nobody's business.
import { existsSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { workspaceDependencies, workspaceGlobs, workspacePackages } from './workspace.mjs';

const isProject = ({ directory }) => existsSync(join(directory, 'tsconfig.json'));

/** `{ file, field, wanted }`: the entries that `field` of a tsconfig has, without their form. */
function expectations(root) {
  const packages = workspacePackages(root).filter(isProject);
  return [
    { file: 'tsconfig.json', field: 'references', wanted: packages.map(({ path }) => path) },
    {
      file: 'tsconfig.tests.json',
      field: 'include',
      wanted: [...workspaceGlobs(root).map((glob) => `${glob}/test`), 'vitest.config.ts'],
    },
    ...packages.map((subject) => ({
      file: `${subject.path}/tsconfig.json`,
      field: 'references',
      wanted: workspaceDependencies(subject, packages).map((dependency) =>
        relative(subject.path, dependency.path),
      ),
    })),
  ];
}

const FORM = {
  references: { pack: (path) => ({ path }), unpack: ({ path }) => path },
  include: { pack: (glob) => glob, unpack: (glob) => glob },
};

/**
 * The files that do not say what they should, each with what is wrong and its right content.
 *
 * @param {string} root
 * @returns {{ file: string, message: string, mended: string }[]}
 */
export function referenceProblems(root) {
  return expectations(root).flatMap(({ file, field, wanted }) => {
    const { pack, unpack } = FORM[field];
    const config = JSON.parse(readFileSync(join(root, file), 'utf8'));
    const present = (config[field] ?? []).map(unpack);
    // What is right keeps its place: a small difference, which merges.
    const right = [...new Set(present)].filter((entry) => wanted.includes(entry));
    const missing = wanted.filter((entry) => !right.includes(entry));
    const surplus = [...present];
    for (const entry of right) surplus.splice(surplus.indexOf(entry), 1);
    if (missing.length + surplus.length === 0) return [];
    const faults = [
      ...missing.map((entry) => `lacks ${entry}`),
      ...surplus.map((entry) => `has ${entry} too much`),
    ];
    return [
      {
        file,
        message: `${file}: ${field} ${faults.join(', ')}`,
        mended: `${JSON.stringify({ ...config, [field]: [...right, ...missing].map(pack) }, null, 2)}\n`,
      },
    ];
  });
}
