// Checks every publishable package as npm would ship it: publint, the types by attw, the manifest's
// own rules, and an import of the packed tarballs from a folder that knows nothing of this workspace.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { bootstrap, run } from './bootstrap.mjs';
import { manifestProblems } from './manifest-rules.mjs';
import { workspacePackages } from './workspace.mjs';

const packages = workspacePackages();
const problems = packages.flatMap(manifestProblems);
if (problems.length > 0) {
  for (const problem of problems) console.error(problem);
  process.exit(1);
}

bootstrap();
const work = mkdtempSync(join(tmpdir(), 'node-vmm-pack-'));
try {
  const tarballs = join(work, 'tarballs');
  mkdirSync(tarballs);
  const dependencies = {};
  const specifiers = [];
  for (const { name, directory, manifest } of packages.filter(({ published }) => published)) {
    run('publint', ['--strict', '--pack', 'pnpm'], { cwd: directory });
    run('pnpm', ['pack', '--pack-destination', tarballs], {
      cwd: directory,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const file = join(tarballs, `node-vmm-${basename(name)}-${manifest.version}.tgz`);
    run('attw', [file, '--profile', 'esm-only', '--format', 'ascii', '--quiet']);
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
  run('npm', ['install', '--silent', '--no-audit', '--no-fund', '--prefer-offline'], {
    cwd: consumer,
  });
  for (const specifier of specifiers) {
    run(process.execPath, ['--input-type=module', '-e', `await import('${specifier}')`], {
      cwd: consumer,
    });
  }
  console.log(`${Object.keys(dependencies).length} packages pack, install and import`);
} finally {
  rmSync(work, { recursive: true });
}
