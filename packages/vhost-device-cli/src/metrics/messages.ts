import type { Metric } from '@node-vmm/vmm-sys-util';

/** `workerData` of the thread that serves metrics: a socket that listens, and becomes the thread's, or where. */
export type MetricsThreadData =
  | { readonly fd: number }
  | { readonly host: string; readonly port: number };

/** What the thread says. */
export type FromMetricsThread =
  | { readonly type: 'listening' }
  /** It cannot listen, or not any more; `code` is of the operating system, where it is. */
  | { readonly type: 'failed'; readonly code: string | undefined; readonly text: string }
  /** Somebody asks. Answered once each. */
  | { readonly type: 'collect' };

/** What the thread is answered. */
export type ToMetricsThread =
  | { readonly metrics: readonly Metric[] }
  | { readonly problem: string };
