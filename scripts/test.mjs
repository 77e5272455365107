// `npm test`: everything that needs no root; then the box tests where `npm run box:setup` was done.
import { bootstrap, root, run } from './bootstrap.mjs';

bootstrap();
const args = process.argv.slice(2);
if (args.length > 0) {
  run('vitest', ['run', ...args]);
} else {
  const { boxStatus } = await import(`${root}/test-harness/dist/box/status.js`);
  const status = boxStatus();
  if (status.ready) {
    run('vitest', ['run']);
  } else {
    run('vitest', ['run', '--project', 'unit']);
    console.log(`\nSkipped the tests on real Xen and QEMU: ${status.reason}`);
    console.log('To enable them: npm run box:setup (as root, about 20 minutes once)');
  }
}
