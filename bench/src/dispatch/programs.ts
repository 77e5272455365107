import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const NAMES = ['driver', 'dispatcher'] as const;

/** The programs in C of this benchmark, compiled. */
export class Programs implements Disposable {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** @returns undefined without a compiler @throws {Error} when they do not compile */
  static compile(): Programs | undefined {
    if (spawnSync('gcc', ['--version']).status !== 0) return undefined;
    const directory = mkdtempSync(join(tmpdir(), 'node-vmm-bench-'));
    try {
      for (const name of NAMES) {
        const source = fileURLToPath(new URL(`../../c/${name}.c`, import.meta.url));
        const args = ['-O2', '-Wall', '-Wextra', '-Werror', '-pthread', '-o'];
        execFileSync('gcc', [...args, join(directory, name), source], { stdio: 'inherit' });
      }
      return new Programs(directory);
    } catch (error) {
      rmSync(directory, { recursive: true });
      throw error;
    }
  }

  path(name: (typeof NAMES)[number]): string {
    return join(this.#directory, name);
  }

  [Symbol.dispose](): void {
    rmSync(this.#directory, { recursive: true });
  }
}
