import { spawnSync } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { NPM_NODE, SYSTEMD_ROOT } from './artefacts/index.ts';
import { type Readiness, readiness } from './status.ts';

/** This process's control group (version 2) in the file system, undefined where there is none. */
export function ownCgroup(): string | undefined {
  const mounts = readFileSync('/proc/self/mounts', 'utf8');
  const mount = /^\S+ (\S+) cgroup2 /m.exec(mounts)?.[1];
  const own = /^0::(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1];
  return mount === undefined || own === undefined ? undefined : join(mount, own);
}

function hindrance(): string | undefined {
  if (process.getuid?.() !== 0) return 'a container with systemd takes root';
  const cgroup = ownCgroup();
  if (cgroup === undefined) return 'this machine has no control groups of version 2';
  try {
    accessSync(cgroup, constants.W_OK);
  } catch {
    return `${cgroup} cannot be written to`;
  }
  const made = spawnSync('unshare', ['-m', '-p', '-f', '-C', '-n', '-i', '-u', 'true']);
  return made.status === 0 ? undefined : 'this machine allows no namespaces';
}

/** Whether a container with systemd can be had here. */
export function systemdStatus(): Readiness {
  const parts = readiness([SYSTEMD_ROOT, NPM_NODE.x86_64], 'unshare');
  if (!parts.ready) return parts;
  const reason = hindrance();
  return reason === undefined ? parts : { state: 'unavailable', ready: false, reason };
}
