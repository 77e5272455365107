// `npm run bench [-- name ...]`.
import { bootstrap, run } from './bootstrap.mjs';

await bootstrap();
await run(process.execPath, ['bench/dist/main.js', ...process.argv.slice(2)]);
