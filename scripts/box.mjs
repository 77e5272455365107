// `npm run box:setup` and `npm run box -- <scenario>`.
import { bootstrap, run } from './bootstrap.mjs';

bootstrap();
run(process.execPath, ['test-harness/dist/box/cli.js', ...process.argv.slice(2)]);
