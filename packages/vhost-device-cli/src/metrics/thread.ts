// The thread that serves metrics: whoever asks it, however often and slowly, takes none of the main thread's
// time but what it takes to read its counters.
import { parentPort, workerData } from 'node:worker_threads';
import type { Metric } from '@node-vmm/vmm-sys-util';
import { errorCode, errorMessage } from '@node-vmm/vmm-sys-util/errors';
import { exposition } from './exposition.ts';
import { MetricsHttp } from './http.ts';
import type { FromMetricsThread, MetricsThreadData, ToMetricsThread } from './messages.ts';

/** How long the main thread may take to tell its counters. */
const COLLECT_MS = 5000;

const port = parentPort;
if (port === null) throw new Error('Cannot run: this is the code of a worker thread');
const say = (message: FromMetricsThread): void => port.postMessage(message);

/** Those who wait; one answer comes for each question, in their order. */
const waiting: ((answer: ToMetricsThread) => void)[] = [];
port.on('message', (answer: ToMetricsThread) => waiting.shift()?.(answer));

function collect(): Promise<readonly Metric[]> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`the program has not told its counters in ${COLLECT_MS / 1000} s`));
    }, COLLECT_MS);
    waiting.push((answer) => {
      clearTimeout(timer);
      if ('metrics' in answer) resolve(answer.metrics);
      else reject(new Error(answer.problem));
    });
    say({ type: 'collect' });
  });
}

const { server } = new MetricsHttp(async () => exposition(await collect()));
server.on('error', (error) => {
  say({ type: 'failed', code: errorCode(error), text: errorMessage(error) });
});
server.listen(workerData as MetricsThreadData, () => say({ type: 'listening' }));
