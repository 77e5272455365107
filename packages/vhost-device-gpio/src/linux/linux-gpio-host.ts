import type { HostThread } from '@node-vmm/vhost-user-backend';
import {
  errorCode,
  errorMessage,
  type Fd,
  type Logger,
  type Poller,
  readFd,
  type Watch,
} from '@node-vmm/vmm-sys-util';
import { GpioError, isGpioErrorCode } from '../errors.ts';
import { GPIO_V2_LINE_EVENT } from './gpio.ts';
import type { ArmedLine, LineAnswer, LineRequest } from './line-messages.ts';

/** Events that one read takes. */
const EVENTS = 16;

/** What has become of edges. */
export interface LinuxGpioCounters {
  /** Edges that the kernel saw of armed lines, those included that it had no room to report. */
  edges: number;
  /** Edges that it had no room to report: gaps in `line_seqno`. */
  lostEvents: number;
}

interface Armed {
  readonly onEdge: (count: number) => void;
  watch: Watch | undefined;
  seqno: number;
}

/** Reads from a line's descriptor; tests give another. As `readFd`. */
export type ReadEvents = (fd: Fd, memory: DataView) => number;
