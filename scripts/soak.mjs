// `npm run box:soak [-- <vitest option> ...]`: the box tests with long loops, on every bed that is there.
import { bootstrap, env, run } from './bootstrap.mjs';

await bootstrap();
await run('vitest', ['run', '--project', 'box', ...process.argv.slice(2)], {
  env: { ...env, NODE_VMM_SOAK: '1' },
});
