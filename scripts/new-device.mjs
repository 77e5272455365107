// `npm run new:device -- NAME`: makes packages/vhost-device-NAME of packages/vhost-device-template, with a
// changeset, and adds it to the lists of packages: tsconfig.json and pnpm-lock.yaml.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const TEMPLATE = 'packages/vhost-device-template';
const MAX_LENGTH = 40;
/** What a build leaves in a package. */
const NOT_COPIED = new Set(['dist', 'node_modules', '.turbo']);
/** Copied as they are. */
const VERBATIM = /^LICENSE/;
/** In roff, where a hyphen is written otherwise. */
const MANUAL = /\.1$/;

const HELP = `Usage: npm run new:device -- NAME

Makes packages/vhost-device-NAME, a copy of ${TEMPLATE} under its own
name: a vhost-user device daemon that builds, passes the compliance suite and serves QEMU.

NAME: lower-case letters, digits and single hyphens, a letter first; at most ${MAX_LENGTH} characters.
`;

function end(status, message) {
  (status === 0 ? process.stdout : process.stderr).write(message);
  process.exit(status);
}

function misused(problem) {
  end(2, `new-device: ${problem}; see npm run new:device -- --help\n`);
}

/** Reads the name off the command line. */
function parse(argv) {
  if (argv.includes('--help') || argv.includes('-h')) end(0, HELP);
  const [name, ...more] = argv;
  if (name === undefined) misused('the name of the device is missing');
  if (more.length > 0) misused(`one name, not ${argv.length}`);
  // Options are no names either, and are quoted like them.
  const shown = JSON.stringify(name.slice(0, 2 * MAX_LENGTH));
  if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name)) misused(`${shown} is no name of a device`);
  if (name.length > MAX_LENGTH) misused(`${shown} has over ${MAX_LENGTH} characters`);
  return name;
}

function rename(text, name) {
  const words = name.split('-');
  return text
    .replaceAll('TEMPLATE', words.join('_').toUpperCase())
    .replaceAll('Template', words.map((word) => word[0].toUpperCase() + word.slice(1)).join(''))
    .replaceAll('template', name);
}

function renameManual(text, name) {
  const spelled = name.replaceAll('-', '\\-');
  return text.replaceAll('TEMPLATE', spelled.toUpperCase()).replaceAll('template', spelled);
}

function contents(file, name) {
  const text = readFileSync(join(root, TEMPLATE, file), 'utf8');
  if (VERBATIM.test(file)) return text;
  if (MANUAL.test(file)) return renameManual(text, name);
  if (file === 'README.md') {
    return rename(text.replace(/<!-- template:.*?<!-- \/template -->\n\n/s, ''), name);
  }
  if (file !== 'package.json') return rename(text, name);
  const { private: _, ...manifest } = JSON.parse(rename(text, name));
  manifest.description = `vhost-user ${name} device daemon for any vhost-user front-end`;
  return `${JSON.stringify(manifest, null, 2)}\n`;
}

function* filesOf(directory, under = '') {
  for (const entry of readdirSync(join(directory, under), { withFileTypes: true })) {
    if (NOT_COPIED.has(entry.name)) continue;
    const path = join(under, entry.name);
    if (entry.isDirectory()) yield* filesOf(directory, path);
    else yield path;
  }
}

function copyPackage(target, name) {
  for (const file of filesOf(join(root, TEMPLATE))) {
    const path = join(root, target, rename(file, name));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, contents(file, name));
  }
}

/** The lock file's entry: that of the template, so that installing needs no network. */
function lock(target) {
  const file = join(root, 'pnpm-lock.yaml');
  const text = readFileSync(file, 'utf8');
  const [, body] = /^importers:\n\n(.*?)(?=^\S)/ms.exec(text) ?? [];
  const entries = (body ?? '').split(/^(?= {2}\S)/m);
  const model = entries.find((entry) => entry.startsWith(`  ${TEMPLATE}:\n`));
  if (model === undefined) {
    throw new Error(`Cannot add ${target} to ${file}: it does not have ${TEMPLATE}; run npm start`);
  }
  const key = (entry) => entry.trim().split(':')[0].replace(/^'|'$/g, '');
  const added = model.replace(TEMPLATE, target);
  // Where pnpm would have it.
  const at = entries.findIndex((entry) => key(entry) > target);
  entries.splice(at < 0 ? entries.length : at, 0, added);
  writeFileSync(
    file,
    text.replace(body, () => entries.join('')),
  );
}

/** The list of projects that `tsc -b` builds. */
function reference(target) {
  const sync = join(root, 'scripts/sync-references.mjs');
  if (existsSync(sync)) {
    const { status } = spawnSync(process.execPath, [sync], {
      cwd: root,
      stdio: ['ignore', 'ignore', 'ignore'],
    });
    if (status !== 0) throw new Error(`Cannot add ${target} to tsconfig.json: ${sync} failed`);
    return;
  }
  const file = join(root, 'tsconfig.json');
  const config = JSON.parse(readFileSync(file, 'utf8'));
  const at = config.references.findIndex(({ path }) => path === TEMPLATE);
  config.references.splice(at + 1, 0, { path: target });
  writeFileSync(file, `${JSON.stringify(config, null, 2)}\n`);
}

/** Longer names need other line breaks. @returns false where the formatter is not installed */
function format(target) {
  const biome = join(root, 'node_modules/.bin/biome');
  if (!existsSync(biome)) return false;
  const options = ['check', '--write', '--log-level=error', target];
  return spawnSync(biome, options, { cwd: root, stdio: 'ignore' }).status === 0;
}

const name = parse(process.argv.slice(2));
const packageName = `vhost-device-${name}`;
const target = `packages/${packageName}`;
const changeset = `.changeset/${packageName}.md`;
for (const path of [target, changeset]) {
  if (existsSync(join(root, path))) end(1, `new-device: Cannot make ${path}: it exists already\n`);
}

const lists = ['tsconfig.json', 'pnpm-lock.yaml'];
const before = lists.map((file) => readFileSync(join(root, file)));
try {
  copyPackage(target, name);
  writeFileSync(
    join(root, changeset),
    `---\n'@node-vmm/${packageName}': minor\n---\n\nThe vhost-user ${name} daemon.\n`,
  );
  lock(target);
  reference(target);
} catch (error) {
  // All or nothing: the next try finds the tree as it was.
  rmSync(join(root, target), { recursive: true, force: true });
  rmSync(join(root, changeset), { force: true });
  for (const [i, file] of lists.entries()) writeFileSync(join(root, file), before[i]);
  end(1, `new-device: ${error.message}\n`);
}
const formatted = format(target);

end(
  0,
  `${target} is there: an entropy device until you make it yours. Next:

  npm start                                  link and build it
  npm test -- ${target}
${formatted ? '' : '  npm run format\n'}
  ${target}/src/device.ts    the device: one class
  ${target}/src/options.ts   its command line
  ${target}/test/compliance  say what its type is
  ${target}/README.md, ${changeset}

The numbers of its section go to packages/virtio-bindings/src (see CONTRIBUTING.md).
`,
);
