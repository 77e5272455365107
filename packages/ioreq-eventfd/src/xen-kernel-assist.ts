import { VIRTIO_MMIO_QUEUE_NOTIFY } from '@node-vmm/virtio-bindings';
import {
  type AddressRange,
  type IoeventfdMatch,
  type IrqLine,
  type NotificationMode,
  VmError,
} from '@node-vmm/vm-device';
import { type EventFd, errorMessage, type Logger, type Mapping } from '@node-vmm/vmm-sys-util';
import {
  type Assignment,
  type DomId,
  encodeSetIrqLevel,
  type KernelNotifier,
  type Port,
  XenSysError,
} from '@node-vmm/xen-sys';
import type { IrqKind } from './xen-interrupts.ts';

// The kernel knows no other register, and compares 16 bits of the value.
const QUEUE_NOTIFY = BigInt(VIRTIO_MMIO_QUEUE_NOTIFY);
const QUEUE_MASK = 0xffffn;

// The kernel raises a line and never lowers it, and a line that is high has no further edge: a
// driver that acknowledges last would lose what came while it worked.
const NO_ISA_IRQFD = 'the kernel can only raise an ISA line, so interrupts would be lost';

type Help = 'ioeventfd' | 'irqfd';

/**
 * Wirings that the kernel makes, where it can: notifications of virtio-mmio queues and interrupts
 * then pass without this process running.
 */
export class KernelAssist {
  readonly #notifier: KernelNotifier;
  readonly #logger: Logger;
  readonly #domid: DomId;
  readonly #irqs: IrqKind;
  readonly #mode: NotificationMode;
  // What the kernel turned out not to have is not tried again.
  readonly #absent = new Set<Help>();
  readonly #logged = new Set<Help>();

  /** @throws {VmError} NOT_SUPPORTED when the kernel alone can never do it */
  constructor(
    components: { readonly notifier: KernelNotifier; readonly logger: Logger },
    options: {
      readonly domid: DomId;
      readonly irqs: IrqKind;
      readonly mode: NotificationMode;
    },
  ) {
    this.#notifier = components.notifier;
    this.#logger = components.logger;
    this.#domid = options.domid;
    this.#irqs = options.irqs;
    this.#mode = options.mode;
    if (this.#mode !== 'kernel' || this.#irqs === 'spi') return;
    throw new VmError(
      'NOT_SUPPORTED',
      `Cannot serve xen:${this.#domid} by the kernel alone: ${NO_ISA_IRQFD}; use notification auto`,
      { vm: `xen:${this.#domid}` },
    );
  }

  /**
   * @param window - the claimed window that holds the register
   * @returns undefined when user space is to do it
   * @throws {VmError} NOT_SUPPORTED in mode `kernel`
   */
  ioeventfd(
    match: IoeventfdMatch,
    window: AddressRange,
    server: { readonly page: Mapping; readonly ports: readonly Port[] },
    eventfd: EventFd,
  ): Assignment | undefined {
    return this.#try('ioeventfd', () => {
      const { datamatch, length } = match;
      const notify = window.space === 'memory' && match.guestAddr - window.base === QUEUE_NOTIFY;
      const queue = notify ? datamatch : undefined;
      if (queue === undefined || queue > QUEUE_MASK) {
        throw new VmError(
          'NOT_SUPPORTED',
          'Cannot assign an ioeventfd: the kernel matches only virtio-mmio queue notifications',
          { guestAddr: match.guestAddr },
        );
      }
      const { page, ports } = server;
      const vq = Number(queue);
      return this.#notifier.ioeventfd({
        domid: this.#domid,
        page,
        ports,
        base: window.base,
        length,
        vq,
        eventfd,
      });
    });
  }

  /** As {@link ioeventfd}. The kernel sets level 1 at every signal, which on Arm is an edge. */
  irqfd(irq: IrqLine, eventfd: EventFd): Assignment | undefined {
    return this.#try('irqfd', () => {
      if (this.#irqs === 'isa') throw new XenSysError('UNSUPPORTED', NO_ISA_IRQFD);
      const dmOp = encodeSetIrqLevel(irq, true);
      return this.#notifier.irqfd({ domid: this.#domid, dmOp, eventfd });
    });
  }

  #try(help: Help, assign: () => Assignment): Assignment | undefined {
    if (this.#mode === 'user' || (this.#mode === 'auto' && this.#absent.has(help)))
      return undefined;
    try {
      return assign();
    } catch (error) {
      if (this.#mode === 'kernel') {
        const text = `Cannot have the kernel do an ${help}: ${errorMessage(error)}`;
        const context = { vm: `xen:${this.#domid}` };
        throw new VmError('NOT_SUPPORTED', text, context, { cause: error });
      }
      if (XenSysError.is(error) && error.code === 'UNSUPPORTED') this.#absent.add(help);
      if (!this.#logged.has(help)) {
        this.#logged.add(help);
        this.#logger.info({ reason: errorMessage(error) }, `${help} is done in user space`);
      }
      return undefined;
    }
  }
}
