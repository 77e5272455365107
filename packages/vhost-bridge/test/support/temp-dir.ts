import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A directory for sockets, removed on dispose. */
export class TempDir implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), 'xvm-'));

  join(name: string): string {
    return join(this.path, name);
  }

  [Symbol.dispose](): void {
    // A process that is ending may still write to it.
    rmSync(this.path, { recursive: true, force: true, maxRetries: 10 });
  }
}
