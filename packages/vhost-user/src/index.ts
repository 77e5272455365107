/**
 * The vhost-user protocol: every message as a table, codec, and a connection that carries file descriptors.
 *
 * @packageDocumentation
 */
export {};
