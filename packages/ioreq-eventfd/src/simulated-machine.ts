/** A device as a device tree would describe it to the guest. */
export interface SimulatedDevice {
  /** Base of its MMIO window, hexadecimal with `0x`. */
  readonly base: string;
  readonly irq: number;
}

/**
 * What a guest process is told of its machine: plain JSON. Numbers called `...Fd` are places in the
 * list of descriptors that comes with it.
 */
export interface SimulatedMachine {
  readonly ioreqPageFd: number;
  readonly ram: readonly {
    /** Guest physical address, hexadecimal with `0x`. */
    readonly guestAddr: string;
    /** Bytes. */
    readonly length: number;
    readonly memoryFd: number;
    /** Byte offset in the file. */
    readonly fdOffset: number;
  }[];
  readonly vcpus: readonly {
    /** Eventfd that the vCPU signals when it has posted an access. */
    readonly requestFd: number;
    /** Eventfd that announces the answer. */
    readonly answerFd: number;
  }[];
  readonly irqs: readonly {
    readonly irq: number;
    /** Eventfd that is the interrupt line. */
    readonly lineFd: number;
  }[];
  readonly devices: readonly SimulatedDevice[];
}
