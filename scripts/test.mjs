// `npm test`: everything that needs no root; then the box tests where `npm run box:setup` was done.
// With arguments: `npm test -- <vitest filter or option> ...`.
import { bootstrap, root, run } from './bootstrap.mjs';

bootstrap();
const { boxStatus } = await import(`${root}/test-harness/dist/box/status.js`);
const status = boxStatus();
const report = process.env.NODE_VMM_TEST_REPORT;
const args = ['run', ...process.argv.slice(2)];
if (report) args.push('--reporter=default', '--reporter=json', `--outputFile.json=${report}`);
if (!status.ready) args.push('--project', 'unit');
run('vitest', args);
if (!status.ready) {
  console.log(`\nSkipped the tests on real Xen and QEMU: ${status.reason}`);
  console.log('To enable them: npm run box:setup (as root, once)');
}
