// `npm start`: the main job. Without arguments on the embedded simulated hypervisor, with `--box` on
// a real Xen in QEMU (`--box --bed NAME` on a certain one).
import { bootstrap, run } from './bootstrap.mjs';

const args = process.argv.slice(2);
bootstrap();
if (args.includes('--box')) {
  const rest = args.filter((argument) => argument !== '--box');
  run(process.execPath, ['test-harness/dist/box/cli.js', 'run', ...rest, 'i2c']);
} else {
  run(process.execPath, ['apps/demo/dist/main.js', ...args]);
}
