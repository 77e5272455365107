import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const CLI = fileURLToPath(new URL('../../test-harness/dist/box/cli.js', import.meta.url));

/** Transfers per second in a guest of real Xen, with both kinds of notification, and what memory on demand costs. */
export async function box(): Promise<void> {
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [CLI, ...args], { encoding: 'utf8' });
  const status = run('status');
  if (status.status !== 0) {
    console.log(`  skipped, ${status.stdout.trim()}`);
    return;
  }
  for (const scenario of ['i2c-bench', 'foreign-bench']) {
    const result = spawnSync(process.execPath, [CLI, 'run', scenario], { stdio: 'inherit' });
    if (result.status !== 0) throw new Error(`Cannot measure: the scenario ${scenario} failed`);
  }
}
