// Packages depend downward only: fails on a cycle among the workspace packages, on an import of a
// workspace package that package.json does not name, and on an import that reaches past `exports`.
// Which room may import which stands in ARCHITECTURE.md; what is imported and does not stand there fails.
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
// ARCHITECTURE.md: `room` | `a`, `b` | `c`, rows of a table below a heading cell "room".
const GROUND = ['vmm-sys-util', 'virtio-bindings'];
const names = (cell) => Array.from(cell.matchAll(/`([^`]+)`/g), ([, name]) => name);
const tables = [];
for (const line of readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8').split('\n')) {
  const [, room, may, more] = line.split('|').map((cell) => cell.trim());
  if (room === 'room') tables.push(new Map());
  else if (room?.startsWith('`')) tables.at(-1)?.set(names(room)[0], { may: names(may), more });
}
const [houseRooms = new Map(), innerRooms = new Map()] = tables;

/** Row of a package: its own, or that of its kind (`vhost-device-*`). */
function rowOf(path) {
  const name = path.replace(/^packages\//, '');
  const kind = [...houseRooms.keys()].find(
    (room) => room.endsWith('*') && name.startsWith(room.slice(0, -1)),
  );
  return houseRooms.get(name) ?? houseRooms.get(kind);
}

for (const [, { directory, path }] of packages) {
  // Neither is anybody's foundation, and both are to use whatever there is.
  if (path === 'bench' || path === 'examples') continue;
  const row = rowOf(path);
  if (row === undefined) {
    problems.push(
      `${path} has no row in the table of ARCHITECTURE.md ("What each room may import")`,
    );
    continue;
  }
  const own = path.replace(/^(packages|apps)\//, '');
  const src = new Set([...GROUND, ...row.may]);
  const test = new Set([...src, own, ...names(row.more)]);
  const used = new Set();
  const hold = (folder, allowed) => {
    for (const file of sources(join(directory, folder))) {
      for (const specifier of imports(file)) {
        const [, target] = /^@node-vmm\/([^/]+)/.exec(specifier) ?? [];
        if (target === undefined) continue;
        used.add(target);
        if (allowed.has(target)) continue;
        refuse(
          `${relative(root, file)} imports ${specifier}`,
          'which ARCHITECTURE.md does not allow',
        );
      }
    }
  };
  hold('src', src);
  hold('test', test);
  for (const target of [...row.may, ...names(row.more)]) {
    const kind = [...houseRooms.keys()].some(
      (room) => room.endsWith('*') && rowOf(path) === houseRooms.get(room),
    );
    if (!kind && !used.has(target))
      refuse(`ARCHITECTURE.md allows ${path} to import ${target}`, 'which it does not');
  }
}

for (const [, { directory, path }] of packages) {
  const name = path.replace(/^packages\//, '');
  if (!innerRooms.has(name)) continue;
  const roomOf = (file) => {
    const [folder] = relative(join(directory, 'src'), file).split('/');
    const inner = `${name}/${folder}`;
    return innerRooms.has(inner) ? inner : name;
  };
  for (const file of sources(join(directory, 'src'))) {
    const within = relative(join(directory, 'src'), file);
    if (within === 'index.ts' || within.startsWith('testing/')) continue;
    for (const specifier of imports(file).filter((one) => one.startsWith('.'))) {
      const [from, to] = [roomOf(file), roomOf(resolve(dirname(file), specifier))];
      if (from === to || innerRooms.get(from).may.includes(to)) continue;
      refuse(
        `${relative(root, file)} imports ${specifier}`,
        `which is in ${to}: ARCHITECTURE.md does not allow it`,
      );
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
console.log(`${packages.size} packages, no cycle, every import declared and in ARCHITECTURE.md`);
