// Checks every publishable package as npm would ship it: publint, the types by attw, the manifest's
// own rules, and an import of the packed tarballs from a folder that knows nothing of this workspace.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { readArguments } from './arguments.mjs';
import { bootstrap, run } from './bootstrap.mjs';
import { manifestProblems } from './manifest-rules.mjs';
import { workspacePackages } from './workspace.mjs';

const USAGE = `Usage: npm run check:packages

Checks the manifests, and every published package as npm would ship it.
`;

readArguments('npm run check:packages', USAGE);
const packages = workspacePackages();
const problems = packages.flatMap(manifestProblems);
if (problems.length > 0) {
  for (const problem of problems) console.error(problem);
  process.exit(1);
}

await bootstrap();
const work = mkdtempSync(join(tmpdir(), 'node-vmm-pack-'));
// However this ends: `run` ends the process when a check fails.
process.on('exit', () => rmSync(work, { recursive: true, force: true }));
const tarballs = join(work, 'tarballs');
mkdirSync(tarballs);
const dependencies = {};
const specifiers = [];
for (const { name, directory, manifest } of packages.filter(({ published }) => published)) {
  await run('publint', ['--strict', '--pack', 'pnpm'], { cwd: directory });
  await run('pnpm', ['pack', '--pack-destination', tarballs], {
    cwd: directory,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const file = join(tarballs, `node-vmm-${basename(name)}-${manifest.version}.tgz`);
  await run('attw', [file, '--profile', 'esm-only', '--format', 'ascii', '--quiet']);
  dependencies[name] = `file:${file}`;
  for (const subpath of Object.keys(manifest.exports)) {
    if (!subpath.endsWith('.json')) specifiers.push(name + subpath.slice(1));
  }
}
const consumer = join(work, 'consumer');
mkdirSync(consumer);
writeFileSync(
  join(consumer, 'package.json'),
  JSON.stringify({ type: 'module', dependencies, overrides: dependencies }),
);
await run('npm', ['install', '--silent', '--no-audit', '--no-fund', '--prefer-offline'], {
  cwd: consumer,
});
for (const specifier of specifiers) {
  await run(process.execPath, ['--input-type=module', '-e', `await import('${specifier}')`], {
    cwd: consumer,
  });
}
console.log(`${Object.keys(dependencies).length} packages pack, install and import`);
