/**
 * ioeventfd, irqfd and MMIO dispatch for virtual machines outside the hypervisor: Xen IOREQ servers and a simulated VM.
 *
 * @packageDocumentation
 */
export {};
