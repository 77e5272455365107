import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** What is read of a workspace package. */
export interface InstalledPackage {
  readonly name: string;
  readonly path: string;
  readonly directory: string;
  readonly published: boolean;
  readonly manifest: {
    readonly bin?: Readonly<Record<string, string>>;
    readonly dependencies?: Readonly<Record<string, string>>;
  };
}

function link(path: string, target: string): void {
  if (existsSync(path)) return;
  mkdirSync(dirname(path), { recursive: true });
  symlinkSync(target, path);
}

/** A folder as a user has it who has installed all packages and what they need. */
export class Sandbox implements Disposable {
  readonly root: string = mkdtempSync(join(tmpdir(), 'node-vmm-readme-'));
  /** Where the packages' commands are. */
  readonly bin: string = join(this.root, 'node_modules/.bin');

  /** @param others - what is installed besides: name -> directory */
  constructor(
    packages: readonly InstalledPackage[],
    others: Readonly<Record<string, string>> = {},
  ) {
    this.write('package.json', '{ "type": "module", "private": true }\n');
    const modules = join(this.root, 'node_modules');
    mkdirSync(this.bin, { recursive: true });
    for (const [name, target] of Object.entries(others)) link(join(modules, name), target);
    for (const { name, path, directory, published, manifest } of packages) {
      if (!published) {
        // Nobody installs it: its sources are imported by their path.
        link(join(this.root, path, 'src'), join(directory, 'src'));
        continue;
      }
      link(join(modules, name), directory);
      for (const dependency of Object.keys(manifest.dependencies ?? {})) {
        if (packages.some((other) => other.name === dependency)) continue;
        link(join(modules, dependency), join(directory, 'node_modules', dependency));
      }
      for (const [command, file] of Object.entries(manifest.bin ?? {})) {
        const program = join(directory, file);
        writeFileSync(join(this.bin, command), `#!/bin/sh\nexec node ${program} "$@"\n`, {
          mode: 0o755,
        });
      }
    }
  }

  /** @returns the file's absolute path */
  write(path: string, content: string): string {
    const absolute = join(this.root, path);
    mkdirSync(dirname(absolute), { recursive: true });
    writeFileSync(absolute, content);
    return absolute;
  }

  close(): void {
    rmSync(this.root, { recursive: true, force: true });
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
