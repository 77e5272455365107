/**
 * Front-end of a vhost-user device: connects to a back-end, negotiates features, shares guest memory
 * and hands over virtqueues.
 *
 * @packageDocumentation
 */
export * from './errors.ts';
export * from './frontend.ts';
export * from './inflight-file.ts';
export * from './inflight-keeper.ts';
export * from './memory-table.ts';
export {
  INFLIGHT_PROTOCOL_FEATURE,
  SUPPORTED_PROTOCOL_FEATURES,
  type Wanted,
} from './negotiation.ts';
export type { Answer, RequestName, RequestOptions } from './requester.ts';
export * from './ring-position.ts';
export type { VringConfig } from './vring.ts';
