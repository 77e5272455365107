// Checks every publishable package as npm would ship it: publint, the types by attw, the manifest's
// own rules, and an import of the packed tarballs from a folder that knows nothing of this workspace.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bootstrap, root, run } from './bootstrap.mjs';

bootstrap();
const work = mkdtempSync(join(tmpdir(), 'node-vmm-pack-'));
try {
  const tarballs = join(work, 'tarballs');
  mkdirSync(tarballs);
  const dependencies = {};
  const specifiers = [];
  for (const group of ['packages', 'apps']) {
    for (const name of readdirSync(join(root, group))) {
      const dir = join(root, group, name);
      const manifest = JSON.parse(readFileSync(join(dir, 'package.json'), 'utf8'));
      if (manifest.private) continue;
      run('publint', ['--strict', '--pack', 'pnpm'], { cwd: dir });
      run('pnpm', ['pack', '--pack-destination', tarballs], {
        cwd: dir,
        stdio: ['ignore', 'ignore', 'inherit'],
      });
      const file = join(tarballs, `node-vmm-${name}-${manifest.version}.tgz`);
      run('attw', [file, '--profile', 'esm-only', '--format', 'ascii', '--quiet']);
      dependencies[manifest.name] = `file:${file}`;
      for (const subpath of Object.keys(manifest.exports)) {
        if (!subpath.endsWith('.json')) specifiers.push(manifest.name + subpath.slice(1));
      }
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
