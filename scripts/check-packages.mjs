// Checks every publishable package as npm would ship it: publint, the types by attw, the manifest's
// own rules, and an import of the packed tarballs from a folder that knows nothing of this workspace, where
// they are compiled with the lowest TypeScript and types of Node that the README names, too.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { readArguments } from './arguments.mjs';
import { bootstrap, root, run } from './bootstrap.mjs';
import { manifestProblems, pinnedDependencies } from './manifest-rules.mjs';
import { workspacePackages } from './workspace.mjs';

const USAGE = `Usage: npm run check:packages

Checks the manifests, and every published package as npm would ship it.
`;

readArguments('npm run check:packages', USAGE);
const packages = workspacePackages();
const problems = packages.flatMap(manifestProblems);

/** What the README says that TypeScript users need: `typescript` -> `5.7`. */
const LOWEST = Object.fromEntries(
  Array.from(
    readFileSync(join(root, 'README.md'), 'utf8').matchAll(
      /`(typescript|@types\/node)` >= ([\d.]+)/g,
    ),
    ([, name, version]) => [name, version],
  ),
);
// The first releases of these versions: 5.7.2 was the first of 5.7.
const COMPILER = { typescript: '5.7.2', '@types/node': '20.19.0' };
for (const [name, version] of Object.entries(COMPILER)) {
  if (`${version}.`.startsWith(`${LOWEST[name]}.`)) continue;
  problems.push(
    `README.md must say \`${name}\` >= ${version}, which the packages are compiled with`,
  );
}
/** As strict as users may be; nothing is left unchecked. */
const STRICT = {
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  skipLibCheck: false,
  module: 'nodenext',
  target: 'es2022',
  types: ['node'],
  noEmit: true,
};
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
  const packed = execFileSync('tar', ['-xzOf', file, 'package/package.json'], {
    encoding: 'utf8',
  });
  const pinned = pinnedDependencies(JSON.parse(packed));
  if (pinned.length > 0) throw new Error(pinned.join('\n'));
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
  JSON.stringify({
    type: 'module',
    dependencies,
    devDependencies: COMPILER,
    overrides: dependencies,
  }),
);
// Without install scripts: koffi's is only for machines that its authors have built nothing for.
const options = ['--silent', '--no-audit', '--no-fund', '--prefer-offline', '--ignore-scripts'];
await run('npm', ['install', ...options], { cwd: consumer });
for (const specifier of specifiers) {
  await run(process.execPath, ['--input-type=module', '-e', `await import('${specifier}')`], {
    cwd: consumer,
  });
}
const uses = specifiers.map(
  (specifier, i) => `import * as n${i} from '${specifier}';\nvoid n${i};\n`,
);
writeFileSync(join(consumer, 'all.ts'), uses.join(''));
writeFileSync(
  join(consumer, 'tsconfig.json'),
  JSON.stringify({ compilerOptions: STRICT, files: ['all.ts'] }),
);
await run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', '.'], { cwd: consumer });
const count = Object.keys(dependencies).length;
console.log(`${count} packages pack, install, import and compile with ${JSON.stringify(COMPILER)}`);
