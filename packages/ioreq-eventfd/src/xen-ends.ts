import type { IrqCarrier, IrqLine } from '@node-vmm/vm-device';
import type { EventLoop, Fd } from '@node-vmm/vmm-sys-util';
import {
  asDomId,
  asPort,
  DeviceModel,
  type DeviceModelOps,
  EventChannels,
  Privcmd,
  type XenDevice,
  xenDeviceFromFd,
} from '@node-vmm/xen-sys';
import type { GuestEnds } from './guest-ends.ts';
import { type IrqKind, setXenIrq } from './xen-interrupts.ts';
import { VcpuPorts } from './xen-vcpu-ports.ts';

/** Ends of a guest of Xen. */
export interface XenEndsData {
  readonly kind: 'xen';
  readonly domid: number;
  readonly irqs: IrqKind;
  /** Event channels of the guest alone. */
  readonly channelsFd: Fd;
  /** Bound through them, in the order of vCPUs. */
  readonly ports: readonly number[];
  /** Device model operations go through it. */
  readonly privcmdFd: Fd;
}

/** Wraps a descriptor of a device of the Xen drivers, which stays its owner's. */
export type OpenXenDevice = (fd: Fd, name: string) => XenDevice;

const borrowed: OpenXenDevice = (fd, name) => xenDeviceFromFd(fd, name, false);

class XenEnds implements GuestEnds {
  readonly #ports: VcpuPorts;
  readonly #privcmd: Privcmd;
  readonly #model: DeviceModelOps;
  readonly #irqs: IrqKind;

  constructor(data: XenEndsData, open: OpenXenDevice) {
    const ports = data.ports.map(asPort);
    const device = open(data.channelsFd, 'event channels');
    this.#ports = new VcpuPorts(EventChannels.fromDevice(device, ports), ports);
    this.#privcmd = new Privcmd(open(data.privcmdFd, 'privcmd'));
    this.#model = new DeviceModel(this.#privcmd, asDomId(data.domid));
    this.#irqs = data.irqs;
  }

  serve(
    loop: EventLoop,
    onRequest: (vcpu: number) => void,
    onError: (error: unknown) => void,
  ): void {
    this.#ports.serve(loop, onRequest, onError);
  }

  notify(vcpu: number): void {
    this.#ports.notify(vcpu);
  }

  setIrq(irq: IrqLine, level: boolean, _carrier: IrqCarrier): void {
    setXenIrq(this.#model, this.#irqs, irq, level);
  }

  close(): void {
    this.#ports.close();
    this.#privcmd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * The ends of a guest of Xen.
 *
 * @param open - default: the drivers of this kernel
 */
export function openXenEnds(data: XenEndsData, open: OpenXenDevice = borrowed): GuestEnds {
  return new XenEnds(data, open);
}
