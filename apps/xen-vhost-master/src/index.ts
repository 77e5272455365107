/**
 * Bridges Xen guests to vhost-user device daemons.
 *
 * @packageDocumentation
 */
export {};
