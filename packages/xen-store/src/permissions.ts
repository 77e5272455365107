import { XenStoreError } from './errors.ts';

/** `n`one, `r`ead, `w`rite, `b`oth. */
export type Access = 'none' | 'read' | 'write' | 'both';

/** One entry of a node's permissions. The first names the owner and what everybody else may. */
export interface Permission {
  readonly domid: number;
  readonly access: Access;
}

const LETTERS: Readonly<Record<Access, string>> = { none: 'n', read: 'r', write: 'w', both: 'b' };

/** `b0`, `r5`, ... */
export function formatPermission(permission: Permission): string {
  const { domid, access } = permission;
  if (!Number.isInteger(domid) || domid < 0 || domid > 0xffff) {
    throw new RangeError(`"domid" expected an integer of 0..65535, got ${domid}`);
  }
  return `${LETTERS[access]}${domid}`;
}

/** @throws {XenStoreError} PROTOCOL when it is none */
export function parsePermission(text: string): Permission {
  const match = /^([nrwb])(\d{1,5})$/.exec(text);
  const access = (Object.keys(LETTERS) as Access[]).find((key) => LETTERS[key] === match?.[1]);
  if (match === null || access === undefined) {
    throw new XenStoreError('PROTOCOL', `Cannot parse xenstore permission "${text}"`);
  }
  return { domid: Number(match[2]), access };
}
