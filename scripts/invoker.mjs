// Who a script works for. Under sudo that is the user who called it: what is installed, built and cached
// is to be theirs, or their next `npm start` cannot write it.
import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { root } from './workspace.mjs';

/** What npm tells its scripts of root's own places. */
const ROOTS_OWN = /^npm_config_(cache|userconfig|globalconfig|prefix|global_prefix|init_module)$/i;

function homeOf(uid) {
  if (process.env.SUDO_HOME) return process.env.SUDO_HOME;
  const { stdout } = spawnSync('getent', ['passwd', String(uid)], { encoding: 'utf8' });
  return stdout?.split(':')[5] || undefined;
}

/**
 * The user who called sudo. Undefined when this process is not under sudo, and where the checkout is
 * root's own.
 *
 * @returns {{ name: string, uid: number, gid: number, env: NodeJS.ProcessEnv } | undefined}
 * @throws {Error} when that user has no home directory
 */
export function invoker() {
  const { SUDO_UID, SUDO_GID, SUDO_USER } = process.env;
  const [uid, gid] = [Number(SUDO_UID ?? 0), Number(SUDO_GID ?? SUDO_UID ?? 0)];
  if (process.getuid() !== 0 || !(uid > 0) || !(gid >= 0)) return undefined;
  if (statSync(root).uid === 0) return undefined;
  const name = SUDO_USER ?? String(uid);
  const HOME = homeOf(uid);
  if (HOME === undefined) {
    throw new Error(`Cannot work for user ${name}: no home directory; run this as that user`);
  }
  const kept = Object.entries(process.env).filter(([key]) => !ROOTS_OWN.test(key));
  const who = { HOME, USER: name, LOGNAME: name };
  return { name, uid, gid, env: { ...Object.fromEntries(kept), ...who } };
}
