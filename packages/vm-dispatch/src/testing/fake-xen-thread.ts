// Entry of a dispatch thread whose guests of Xen are those of a fake. Imported anywhere else it does nothing.
import { openFakeXenEnds } from '@node-vmm/ioreq-eventfd/testing';
import { runDispatchThread } from '../thread/run.ts';

runDispatchThread(openFakeXenEnds);
