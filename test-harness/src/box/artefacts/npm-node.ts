import { cpSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Architecture } from '../architecture.ts';
import type { Artefact } from '../artefact.ts';
import { BoxError } from '../errors.ts';
import { type RunOptions, run } from '../run-command.ts';

const NODE_VERSION = '20.20.2';
const KOFFI_VERSION = '3.3.4';

/** How npm says that the registry has no such package, or no such version. */
const NOT_THERE = /\bcode (E404|ETARGET)\b/;

/** Downloads a package's tarball. @throws {BoxError} `NOT_AVAILABLE` where the registry does not carry it */
async function npmPack(name: string, directory: string, options: RunOptions): Promise<void> {
  try {
    const quiet = ['--loglevel=error', '--no-update-notifier'];
    await run(['npm', 'pack', name, ...quiet, '--pack-destination', directory], options);
  } catch (cause) {
    const code = BoxError.is(cause) ? NOT_THERE.exec(cause.message)?.[1] : undefined;
    if (code === undefined) throw cause;
    throw new BoxError(
      'NOT_AVAILABLE',
      `Cannot download ${name}: the npm registry does not carry it (${code}); see ${options.log}`,
      { cause },
    );
  }
}

function npmNode(architecture: Architecture, npm: 'arm64' | 'x64'): Artefact {
  const koffi = `koffi-linux-${npm}`;
  const packages = {
    node: `node-linux-${npm}@${NODE_VERSION}`,
    koffi: `@koromix/${koffi}@${KOFFI_VERSION}`,
  };
  return {
    name: `npm-node-${architecture}`,
    title: `Node.js for dom0 (${architecture})`,
    kind: 'fetch',
    inputs: { recipe: 2, packages },
    files: ['node', `${koffi}/package.json`],
    async build({ out, work, run: options }) {
      const fetch = async (name: string, directory: string): Promise<string> => {
        const root = join(work, directory);
        mkdirSync(root);
        await npmPack(name, root, options);
        const [tarball = ''] = readdirSync(root);
        await run(['tar', '-C', root, '-xzf', join(root, tarball)], options);
        return join(root, 'package');
      };
      cpSync(join(await fetch(packages.node, 'node'), 'bin/node'), join(out, 'node'));
      cpSync(await fetch(packages.koffi, 'koffi'), join(out, koffi), {
        recursive: true,
        filter: (path) => !path.includes('musl'),
      });
    },
  };
}

/** Node.js and koffi's native code for dom0: the official binaries, as npm packages. */
export const NPM_NODE: Readonly<Record<Architecture, Artefact>> = {
  arm64: npmNode('arm64', 'arm64'),
  x86_64: npmNode('x86_64', 'x64'),
};

/** Name of koffi's native package, in the artefact and below `@koromix`. */
export const KOFFI_NATIVE: Readonly<Record<Architecture, string>> = {
  arm64: 'koffi-linux-arm64',
  x86_64: 'koffi-linux-x64',
};
