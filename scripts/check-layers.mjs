// Packages depend downward only: fails on a cycle among the workspace packages, on an import of a
// workspace package that package.json does not name, and on an import that reaches past `exports`.
// What is for tests has one door, `src/testing/index.ts`, which is `./testing` to others: production code
// does not go through it, and tests reach into no other package than through its exports.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { root, workspacePackages } from './workspace.mjs';

const problems = [];
const packages = new Map(workspacePackages().map((entry) => [entry.name, entry]));

function* sources(dir) {
  if (!existsSync(dir)) return;
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) yield* sources(path);
    else if (/\.m?[jt]s$/.test(path)) yield path;
  }
}

const internal = (manifest) =>
  Object.keys(manifest.dependencies ?? {}).filter((name) => packages.has(name));

for (const [name, { directory, manifest }] of packages) {
  for (const file of sources(join(directory, 'src'))) {
    const text = readFileSync(file, 'utf8');
    for (const [, specifier] of text.matchAll(/(?:from|import\()\s*'(@node-vmm\/[^']+)'/g)) {
      const target = specifier.split('/').slice(0, 2).join('/');
      const subpath = `.${specifier.slice(target.length)}`;
      if (!internal(manifest).includes(target)) {
        problems.push(`${file}: imports ${target}, which ${name} does not depend on`);
      } else if (packages.get(target).manifest.exports?.[subpath] === undefined) {
        problems.push(`${file}: imports ${specifier}, which ${target} does not export`);
      }
    }
  }
}

/** What a file imports, as it is written. */
function imports(file) {
  const found = readFileSync(file, 'utf8').matchAll(/\b(?:from|import|import\()\s*'([^']+)'/g);
  return Array.from(found, ([, specifier]) => specifier);
}

const refuse = (what, why) => problems.push(`${what}, ${why}`);

const DOOR = './src/testing/index.ts';
const isTesting = (path) => /(^|\/)testing(\/|\.[jt]s$|$)/.test(path);

for (const { directory, manifest } of packages.values()) {
  const here = relative(root, directory);
  for (const [subpath, target] of Object.entries(manifest.exports ?? {})) {
    const source = target['@node-vmm/source'] ?? '';
    if (subpath === './testing' ? source === DOOR : !isTesting(source)) continue;
    refuse(
      `${here} exports ${subpath} from ${source}`,
      `but ./testing is ${DOOR}, and no other is`,
    );
  }
  // Benchmarks and the harness are for tests themselves.
  const production = /^(packages|apps)\//.test(here);
  for (const file of production ? sources(join(directory, 'src')) : []) {
    if (file.startsWith(join(directory, 'src/testing/'))) continue;
    for (const specifier of imports(file)) {
      if (!isTesting(specifier) && specifier !== 'vitest') continue;
      refuse(`${relative(root, file)} imports ${specifier}`, 'which is for tests');
    }
  }
  for (const file of sources(join(directory, 'test'))) {
    for (const specifier of imports(file)) {
      const what = `${relative(root, file)} imports ${specifier}`;
      const target = specifier.split('/').slice(0, 2).join('/');
      const subpath = `.${specifier.slice(target.length)}`;
      if (
        specifier.startsWith('.') &&
        inAnotherPackage(directory, resolve(dirname(file), specifier))
      ) {
        refuse(what, 'which is in another package: use what that exports');
      } else if (packages.has(target) && !packages.get(target).manifest.exports?.[subpath]) {
        refuse(what, `which ${target} does not export`);
      }
    }
  }
}
/** Scripts of the repository are everybody's; what is within another package is not. */
function inAnotherPackage(own, path) {
  const within = (directory) => path.startsWith(`${directory}/`);
  return !within(own) && [...packages.values()].some(({ directory }) => within(directory));
}

const state = new Map();
function visit(name, path) {
  if (state.get(name) === 'done') return;
  if (state.get(name) === 'open') {
    problems.push(`cycle: ${[...path.slice(path.indexOf(name)), name].join(' -> ')}`);
    return;
  }
  state.set(name, 'open');
  for (const next of internal(packages.get(name).manifest)) visit(next, [...path, name]);
  state.set(name, 'done');
}
for (const name of packages.keys()) visit(name, []);

if (problems.length > 0) {
  for (const problem of problems) console.error(problem);
  process.exit(1);
}
console.log(`${packages.size} packages, no cycle, every import declared`);
