// `npm run box:setup` and `npm run box -- <scenario>`.
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { installPackages, tryPackage } from './apt.mjs';
import { bootstrap, invokerOrEnd, run } from './bootstrap.mjs';
import { tryRun } from './run.mjs';

const CLI = 'test-harness/dist/box/cli.js';
const [command, ...args] = process.argv.slice(2);

const hasSudo = () =>
  (process.env.PATH ?? '')
    .split(delimiter)
    .some((directory) => existsSync(join(directory, 'sudo')));

/** Everything as the user, and the packages of this machine as root. */
async function setUp() {
  const user = invokerOrEnd();
  if (user === undefined) await bootstrap();
  else {
    console.log(`Setting up as ${user.name}; root is used to install packages alone`);
    await run(process.execPath, ['scripts/build.mjs'], { user });
  }
  const packages = [];
  const onLine = (line) => packages.push(line);
  const status = await tryRun(process.execPath, [CLI, 'packages', ...args], { user, onLine });
  if (status !== 0) process.exit(status);
  const needed = packages.filter((name) => !name.startsWith('?'));
  const wanted = packages.filter((name) => name.startsWith('?')).map((name) => name.slice(1));
  if (needed.length > 0) await installPackages(needed, hasSudo());
  // One by one: what the mirror does not have today takes no other with it.
  for (const name of wanted) await tryPackage(name);
  await run(process.execPath, [CLI, 'setup', ...args], { user });
}

if (command === 'setup') await setUp();
else {
  await bootstrap();
  await run(process.execPath, [CLI, command, ...args]);
}
