import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { workspacePackages } from './workspace.mjs';

const PLACEHOLDER = `#!/usr/bin/env node
console.error('This command is not built yet: run npm start');
process.exitCode = 1;
`;

/**
 * Puts a placeholder where a command of ours will be once it is built: pnpm links commands when it
 * installs, before anything can have been built, and only to what is there.
 */
export function placeCommands() {
  for (const { directory, manifest } of workspacePackages()) {
    for (const path of Object.values(manifest.bin ?? {})) {
      const file = join(directory, path);
      // Only where nothing was built: tsc does not write again what it has written.
      if (existsSync(dirname(file))) continue;
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, PLACEHOLDER, { mode: 0o755 });
    }
  }
}
