/**
 * vhost-user front-end library: handshake, features, memory table, vrings, config.
 *
 * @packageDocumentation
 */
export {};
