import { cpSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Architecture } from '../architecture.ts';
import type { Artefact } from '../artefact.ts';
import { run } from '../run-command.ts';

const NODE_VERSION = '20.20.2';
const KOFFI_VERSION = '3.3.4';

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
        await run(['npm', 'pack', '--silent', '--pack-destination', root, name], options);
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
