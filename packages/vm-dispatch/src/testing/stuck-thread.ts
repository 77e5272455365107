// Entry of a dispatch thread that a test has stuck. Imported anywhere else it does nothing.
import { existsSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { type GuestEnds, openGuestEnds } from '@node-vmm/ioreq-eventfd/ends';
import { runDispatchThread } from '../thread/run.ts';
import { StuckFiles } from './stuck-files.ts';

/** As the ends that it has, but for what the test wants when a vCPU is told of an answer. */
function stuckEnds(ends: GuestEnds, { loop, fifo, blocked }: StuckFiles): GuestEnds {
  const stick = (): void => {
    if (existsSync(loop)) {
      rmSync(loop);
      for (;;);
    }
    if (!existsSync(fifo)) return;
    writeFileSync(blocked, '');
    // open(2) waits for somebody who writes; Node begins it anew after a signal.
    openSync(fifo, 'r');
  };
  return {
    serve: (...args) => ends.serve(...args),
    setIrq: (...args) => ends.setIrq(...args),
    notify(vcpu) {
      stick();
      ends.notify(vcpu);
    },
    close: () => ends.close(),
    [Symbol.dispose]: () => ends.close(),
  };
}

const dir = new URL(import.meta.url).searchParams.get('dir');
if (dir !== null) {
  const files = new StuckFiles(dir);
  runDispatchThread((data) => stuckEnds(openGuestEnds(data), files));
}
