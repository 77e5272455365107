// `node scripts/sync-references.mjs`: makes the tsconfig files say what the workspace is (see
// references.mjs); with `--check`, which is part of `npm run lint`, only says what is wrong.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readArguments } from './arguments.mjs';
import { referenceProblems } from './references.mjs';
import { run } from './run.mjs';
import { root } from './workspace.mjs';

const USAGE = `Usage: node scripts/sync-references.mjs [--check]

Makes the tsconfig files say what the workspace is.

  --check      only say what is wrong
  -h, --help   print this
`;

const { values } = readArguments('node scripts/sync-references.mjs', USAGE, {
  options: { check: { type: 'boolean' } },
});
const check = values.check === true;
const problems = referenceProblems(root);
for (const { message } of problems) console.error(message);
if (check && problems.length > 0) {
  console.error('Run `node scripts/sync-references.mjs` to mend it');
  process.exit(1);
}
if (problems.length > 0) {
  for (const { file, mended } of problems) writeFileSync(join(root, file), mended);
  await run('biome', ['format', '--write', ...problems.map(({ file }) => file)]);
}
