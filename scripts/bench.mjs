// `npm run bench [-- name ...]`.
import { bootstrap, run } from './bootstrap.mjs';

bootstrap();
run(process.execPath, ['bench/dist/main.js', ...process.argv.slice(2)]);
