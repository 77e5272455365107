/**
 * vhost-user I2C device daemon: Linux I2C adapters or simulated chips for any vhost-user front-end.
 *
 * @packageDocumentation
 */
export {};
