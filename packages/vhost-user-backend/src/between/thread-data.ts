import type { HostThreadData } from './host-protocol.ts';
import type { WorkerData } from './worker-calls.ts';

/** What a thread of a daemon is born with; `nodeVmmThread` tells which kind it is. */
export type ThreadData = WorkerData | HostThreadData;

/** Exit code of a thread that waits for an `await` at the top of a module that nothing will settle: Node's own. */
export const UNSETTLED_TOP_LEVEL_AWAIT = 13;
