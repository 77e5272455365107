import { asFd, type Fd, UnixListener, UnixStream } from '@node-vmm/vmm-sys-util';
import type { DeviceSpec } from '../device-spec.ts';

/** Where front-ends come from, one after another. */
export interface FrontEndSource {
  /** Readable when one is there; undefined when none can come any more. */
  readonly fd: Fd | undefined;
  /** @returns undefined when none is there. @throws {SysError} EMFILE ... */
  accept(): UnixStream | undefined;
  /** No other comes. Idempotent. */
  close(): void;
}

/** The one front-end that a supervisor has connected to. */
class PassedConnection implements FrontEndSource {
  #stream: UnixStream | undefined;

  constructor(stream: UnixStream) {
    this.#stream = stream;
  }

  get fd(): Fd | undefined {
    return this.#stream?.fd;
  }

  accept(): UnixStream | undefined {
    const stream = this.#stream;
    this.#stream = undefined;
    return stream;
  }

  close(): void {
    this.accept()?.close();
  }
}

/**
 * Opens where a device is to be served.
 *
 * @throws {SysError} when the socket cannot be bound
 * @throws {DescriptorError} when a descriptor is not what it should be
 * @throws {TypeError} when not one place is given
 */
export function openSource(spec: DeviceSpec): FrontEndSource {
  const { name, socketPath, socketMode: mode, socketGroup: group, listenFd, connectedFd } = spec;
  const given = [socketPath, listenFd, connectedFd].filter((place) => place !== undefined);
  if (given.length !== 1) {
    throw new TypeError(
      `Cannot serve device ${name}: give one of socketPath, listenFd and connectedFd`,
    );
  }
  if (socketPath !== undefined) {
    return UnixListener.bind(socketPath, {
      ...(mode === undefined ? {} : { mode }),
      ...(group === undefined ? {} : { group }),
    });
  }
  if (mode !== undefined || group !== undefined) {
    throw new TypeError(`Cannot serve device ${name}: socketMode and socketGroup need socketPath`);
  }
  if (listenFd !== undefined) return UnixListener.fromFd(asFd(listenFd));
  return new PassedConnection(UnixStream.fromFd(asFd(connectedFd ?? -1)));
}
