import { XENSTORE_ABS_PATH_MAX, XENSTORE_REL_PATH_MAX } from './abi/xs-wire.ts';
import { XenStoreError } from './errors.ts';

/**
 * Refuses what xenstored would refuse, and what would be more than one string on the wire: a path
 * may have come from a guest.
 *
 * @param special - whether `@introduceDomain` and its like are permitted
 * @throws {XenStoreError} EINVAL
 */
export function checkPath(path: string, special = false): string {
  const max = path.startsWith('/') ? XENSTORE_ABS_PATH_MAX : XENSTORE_REL_PATH_MAX;
  const valid =
    /^[A-Za-z0-9\-/_@]+$/.test(path) &&
    path.length <= max &&
    (special || !path.startsWith('@')) &&
    !path.includes('//') &&
    (path === '/' || !path.endsWith('/'));
  if (!valid) {
    const shown = path.length > 80 ? `${path.slice(0, 80)}...` : path;
    throw new XenStoreError(
      'EINVAL',
      `Cannot use path ${JSON.stringify(shown)}: xenstore does not accept it`,
      { path },
    );
  }
  return path;
}
