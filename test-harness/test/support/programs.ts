import { join } from 'node:path';
import { workspacePackages } from '../../../scripts/workspace.mjs';

/** A program of this repository, as it was built. */
export interface Program {
  readonly name: string;
  readonly file: string;
  /** Of its package. */
  readonly directory: string;
  readonly published: boolean;
}

/** All of them: what package.json files call `bin`, and the one that only `npm start` runs. */
export function programs(): readonly Program[] {
  return workspacePackages().flatMap(({ path, directory, published, manifest }) => {
    const bins = Object.entries(manifest.bin ?? {});
    if (path === 'apps/demo') bins.push(['demo', 'dist/main.js']);
    return bins.map(([name, file]) => ({
      name,
      file: join(directory, file),
      directory,
      published,
    }));
  });
}
