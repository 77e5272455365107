/**
 * A bridge's status for people and for Prometheus. Loads nothing native: for a program that asks another.
 *
 * @packageDocumentation
 */
export * from './bridge-metrics.ts';
export * from './status-table.ts';
