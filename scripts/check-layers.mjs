// Packages depend downward only: fails on a cycle among the workspace packages, on an import of a
// workspace package that package.json does not name, and on an import that reaches past `exports`.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { workspacePackages } from './workspace.mjs';

const problems = [];
const packages = new Map(workspacePackages().map((entry) => [entry.name, entry]));

function* sources(dir) {
  if (!existsSync(dir)) return;
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) yield* sources(path);
    else if (path.endsWith('.ts')) yield path;
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
