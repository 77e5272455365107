// Entry of every dispatch thread. Imported anywhere else it does nothing.
import { openGuestEnds } from '@node-vmm/ioreq-eventfd/ends';
import { runDispatchThread } from './run.ts';

runDispatchThread(openGuestEnds);
