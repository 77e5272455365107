/**
 * XenStore client: the wire protocol over the Unix socket and /dev/xen/xenbus.
 *
 * @packageDocumentation
 */
export {};
