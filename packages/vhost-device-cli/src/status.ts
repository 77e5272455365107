/**
 * The status of a program that is no daemon of vhost-user devices: what it answers on its control socket, and
 * the command that asks it. Loads nothing native until there is something to answer.
 *
 * @packageDocumentation
 */
export * from './status/show-status.ts';
