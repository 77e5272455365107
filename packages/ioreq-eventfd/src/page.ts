/**
 * The ioreq page alone, for a thread that posts the accesses of a vCPU and waits for their answers: it loads no
 * dispatcher.
 *
 * @packageDocumentation
 */
export { IOREQ_TYPE_COPY, IOREQ_TYPE_PIO, SLOT_SIZE, STATE_IORESP_READY } from './ioreq-layout.ts';
export * from './ioreq-page.ts';
