import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A directory for sockets. */
export class Sockets {
  readonly directory = mkdtempSync(join(tmpdir(), 'nvmm-'));
  #next = 0;
  path(): string {
    return join(this.directory, `${this.#next++}.sock`);
  }
  close(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
