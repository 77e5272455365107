import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Runs a benchmark that belongs to a package, by its path from the top of the repository. */
export async function packageBench(path: string): Promise<void> {
  const script = fileURLToPath(new URL(`../../${path}`, import.meta.url));
  const { status, signal } = spawnSync(process.execPath, [script], { stdio: 'inherit' });
  if (status !== 0) throw new Error(`Cannot measure: ${path} ended with ${status ?? signal}`);
}
