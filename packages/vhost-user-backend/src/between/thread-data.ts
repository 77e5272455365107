import type { HostThreadData } from './host-protocol.ts';
import type { WorkerData } from './worker-calls.ts';

/** What a thread of a daemon is born with; `nodeVmmThread` tells which kind it is. */
export type ThreadData = WorkerData | HostThreadData;
