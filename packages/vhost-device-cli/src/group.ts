import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const GID_MAX = 0xffff_fffe;

/**
 * The number of a group: its own, or that of a name as this host knows it.
 *
 * @returns undefined when there is no such group
 */
export function findGroup(group: string): number | undefined {
  if (/^[0-9]+$/.test(group)) return Number(group) <= GID_MAX ? Number(group) : undefined;
  // Groups may come from a directory server: whoever knows them all is getent.
  const { error, stdout } = spawnSync('getent', ['group', '--', group], { encoding: 'utf8' });
  const entries = error === undefined ? stdout : readFileSync('/etc/group', 'utf8');
  for (const entry of entries.split('\n')) {
    const [name, , gid] = entry.split(':');
    if (name === group && gid !== undefined) return Number(gid);
  }
  return undefined;
}
