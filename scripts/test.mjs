// `npm test`: everything that needs no root; then the box tests where `npm run box:setup` was done.
// With arguments: `npm test -- <vitest filter or option> ...`.
import { bootstrap, root, run } from './bootstrap.mjs';

bootstrap();
const { boxStatus, qemuStatus } = await import(`${root}/test-harness/dist/box/status.js`);
const box = boxStatus();
const any = box.ready || qemuStatus().ready;
const report = process.env.NODE_VMM_TEST_REPORT;
const args = ['run', ...process.argv.slice(2)];
if (report) args.push('--reporter=default', '--reporter=json', `--outputFile.json=${report}`);
if (!any) args.push('--project', 'unit');
run('vitest', args);
if (!any) {
  console.log(`\nSkipped the tests on real Xen and QEMU: ${box.reason}`);
  console.log('To enable them: npm run box:setup (as root, once)');
}
