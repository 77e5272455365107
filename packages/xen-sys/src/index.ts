/**
 * Xen hypercalls from Node.js through /dev/xen/privcmd, without the C Xen libraries.
 *
 * @packageDocumentation
 */
export {};
