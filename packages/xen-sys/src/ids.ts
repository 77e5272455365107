import { type Brand, checkInteger } from '@node-vmm/vmm-sys-util';
import { DOMID_FIRST_RESERVED } from './abi/xen.ts';

/** Number of a domain; 0 is the first (`domid_t`). */
export type DomId = Brand<number, 'DomId'>;

/** A local event channel port of this domain (`evtchn_port_t`). */
export type Port = Brand<number, 'Port'>;

/** Number of an IOREQ server, unique within the domain it serves (`ioservid_t`). */
export type IoServId = Brand<number, 'IoServId'>;

/**
 * Marks a number as the id of an ordinary domain.
 *
 * @param domid - 0..0x7fef
 * @throws {RangeError} otherwise
 */
export function asDomId(domid: number): DomId {
  return checkInteger('domid', domid, 0, DOMID_FIRST_RESERVED - 1) as DomId;
}

/**
 * Marks a number as an event channel port.
 *
 * @param port - unsigned 32 bits
 * @throws {RangeError} otherwise
 */
export function asPort(port: number): Port {
  return checkInteger('port', port, 0, 0xffff_ffff) as Port;
}

/**
 * Marks a number as an IOREQ server id.
 *
 * @param id - unsigned 16 bits
 * @throws {RangeError} otherwise
 */
export function asIoServId(id: number): IoServId {
  return checkInteger('id', id, 0, 0xffff) as IoServId;
}
