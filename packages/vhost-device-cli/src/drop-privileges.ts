import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { errorMessage } from '@node-vmm/vmm-sys-util';
import { CliError } from './errors.ts';

/** A user to become. */
export interface User {
  readonly uid: number;
  /** Of the user's own group. */
  readonly gid: number;
  /** For its further groups, and for messages. */
  readonly name: string;
}

/**
 * A user by name or number, as this host knows it.
 *
 * @returns undefined when there is no such user
 */
export function findUser(user: string): User | undefined {
  // Users may come from a directory server: whoever knows them all is getent.
  const { error, stdout } = spawnSync('getent', ['passwd', '--', user], { encoding: 'utf8' });
  const entries = error === undefined ? stdout : readFileSync('/etc/passwd', 'utf8');
  for (const entry of entries.split('\n')) {
    const [name, , uid, gid] = entry.split(':');
    if (name === undefined || uid === undefined || gid === undefined) continue;
    if (name === user || uid === user) return { name, uid: Number(uid), gid: Number(gid) };
  }
  return undefined;
}

/**
 * Becomes another user for good, with that user's groups: in all threads of the process.
 *
 * @throws {CliError} NOT_PERMITTED when this process may not
 */
export function dropPrivileges({ name, uid, gid }: User): void {
  if (process.getuid?.() === uid && process.getgid?.() === gid) return;
  try {
    // Missing in the types of Node.
    (process as { initgroups?(user: string, group: number): void }).initgroups?.(name, gid);
    process.setgid?.(gid);
    process.setuid?.(uid);
  } catch (error) {
    throw new CliError(
      'NOT_PERMITTED',
      `Cannot become user ${name}: ${errorMessage(error)}; start as root or without --user`,
      {},
      { cause: error },
    );
  }
}
