// `npm run manuals`: writes the manual pages and the completions that packages ship, as each program prints
// them of the table of its options. A test finds those that are not written anew.
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { workspacePackages } from './workspace.mjs';

/**
 * Where a program's pages and completions are in its package, by the words that have them printed. The
 * paths are those where man(1) and the shells look below a prefix.
 *
 * @param {string} name of the program
 * @returns {Record<string, string>}
 */
export function manualFiles(name) {
  return {
    '--print-man': `share/man/man1/${name}.1`,
    '--print-completion bash': `share/bash-completion/completions/${name}`,
    '--print-completion zsh': `share/zsh/site-functions/_${name}`,
    '--print-completion fish': `share/fish/vendor_completions.d/${name}.fish`,
  };
}

function writeAll() {
  for (const { directory, manifest } of workspacePackages()) {
    for (const [name, program] of Object.entries(manifest.bin ?? {})) {
      for (const [words, file] of Object.entries(manualFiles(name))) {
        const { status, stdout, stderr } = spawnSync(
          process.execPath,
          [join(directory, program), ...words.split(' ')],
          { encoding: 'utf8' },
        );
        if (status !== 0) throw new Error(`${name} ${words} ended with ${status}: ${stderr}`);
        const path = join(directory, file);
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, stdout);
      }
    }
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) writeAll();
