import { XenStoreError } from './errors.ts';

/** What a domain may do with a node. */
export type Access = 'none' | 'read' | 'write' | 'both';

/**
 * One entry of a node's permissions. The first entry names the owner, who may do everything, and
 * with `access` what domains not named otherwise may do.
 */
export interface Permission {
  /** 0..65535. */
  readonly domid: number;
  readonly access: Access;
}

const LETTERS: Readonly<Record<Access, string>> = { none: 'n', read: 'r', write: 'w', both: 'b' };
const ACCESS: Readonly<Record<string, Access>> = { n: 'none', r: 'read', w: 'write', b: 'both' };

/**
 * Formats a permission: `n0`, `r1`, `w2`, `b3`.
 *
 * @throws {RangeError} when the domain id is none
 */
export function formatPermission(permission: Permission): string {
  const { domid, access } = permission;
  if (!Number.isInteger(domid) || domid < 0 || domid > 0xffff) {
    throw new RangeError(`"domid" expected an integer of 0..65535, got ${domid}`);
  }
  return `${LETTERS[access]}${domid}`;
}

/**
 * Parses a permission.
 *
 * @throws {XenStoreError} PROTOCOL
 */
export function parsePermission(text: string): Permission {
  const match = /^([nrwb])(\d{1,5})$/.exec(text);
  const access = ACCESS[match?.[1] ?? ''];
  const domid = Number(match?.[2]);
  if (access === undefined || !(domid <= 0xffff)) {
    throw new XenStoreError(
      'PROTOCOL',
      `Cannot parse permission ${JSON.stringify(text)}: expected n, r, w or b and a domain id`,
    );
  }
  return { domid, access };
}
