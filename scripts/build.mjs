// `npm run build [-- --force]`: builds what is out of date, or everything.
import { readArguments } from './arguments.mjs';
import { bootstrap } from './bootstrap.mjs';

const USAGE = `Usage: npm run build [-- --force]

Installs what is missing and builds what has changed.

  --force      build everything
  -h, --help   print this
`;

const { values } = readArguments('npm run build', USAGE, {
  options: { force: { type: 'boolean' } },
});
await bootstrap(values.force ? ['--force'] : []);
