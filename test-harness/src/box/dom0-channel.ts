import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  encodeData,
  encodeFrame,
  type Frame,
  FrameReader,
  FrameType,
  type Request,
  type Result,
} from './agent/frames.ts';
import { deferred } from './deadline.ts';
import { BoxError } from './errors.ts';

const RETRY_MS = 20;

/** What the harness does with one channel. */
export interface OpenChannel {
  /** Settles when the agent has closed the channel, rejects when the connection is lost. */
  readonly result: Promise<Result>;
  write(data: Uint8Array): void;
  end(): void;
  signal(name: string): void;
}

/** Receives what the agent sends on a channel. */
export interface ChannelListener {
  onData?(data: Buffer): void;
  onErrorData?(data: Buffer): void;
}

interface Entry {
  readonly listener: ChannelListener;
  resolve(result: Result): void;
  reject(error: Error): void;
}

/** The harness's end of the connection to the agent in dom0. */
export class Dom0Channel {
  readonly #socket: Socket;
  readonly #channels = new Map<number, Entry>();
  readonly #reader = new FrameReader();
  #next = 1;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (data) => this.#onData(data));
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#fail(new BoxError('MACHINE_EXITED', 'Cannot reach dom0: its machine is gone'));
    });
  }

  /**
   * Connects to QEMU's socket for the port, as soon as it is there.
   *
   * @param gone - rejects when there is no hope left
   */
  static async connect(path: string, gone: Promise<never>): Promise<Dom0Channel> {
    for (;;) {
      const socket = connect(path);
      const connected = await new Promise<boolean>((resolve) => {
        socket.once('connect', () => resolve(true));
        socket.once('error', () => resolve(false));
      });
      if (connected) return new Dom0Channel(socket);
      await Promise.race([sleep(RETRY_MS), gone]);
    }
  }

  /** Opens a channel. Requests made before the agent is up wait for it. */
  open(request: Request, listener: ChannelListener): OpenChannel {
    const id = this.#next++;
    const { promise, resolve, reject } = deferred<Result>();
    this.#channels.set(id, { listener, resolve, reject });
    this.#socket.write(encodeFrame(id, FrameType.OPEN, JSON.stringify(request)));
    return {
      result: promise,
      write: (data) => {
        for (const frame of encodeData(id, FrameType.DATA, data)) this.#socket.write(frame);
      },
      end: () => {
        this.#socket.write(encodeFrame(id, FrameType.END, ''));
      },
      signal: (name) => {
        this.#socket.write(encodeFrame(id, FrameType.SIGNAL, name));
      },
    };
  }

  /** Ends the connection. */
  close(): void {
    this.#socket.destroy();
  }

  #onData(data: Buffer): void {
    try {
      for (const frame of this.#reader.push(data)) this.#onFrame(frame);
    } catch (cause) {
      this.#fail(new BoxError('PROTOCOL', 'Cannot talk to dom0: broken frame', { cause }));
      this.#socket.destroy();
    }
  }

  #onFrame({ channel, type, payload }: Frame): void {
    const entry = this.#channels.get(channel);
    if (type === FrameType.DATA) entry?.listener.onData?.(payload);
    else if (type === FrameType.ERROR_DATA) entry?.listener.onErrorData?.(payload);
    else if (type === FrameType.CLOSE) {
      this.#channels.delete(channel);
      entry?.resolve(JSON.parse(payload.toString()) as Result);
    }
  }

  #fail(error: Error): void {
    for (const entry of this.#channels.values()) entry.reject(error);
    this.#channels.clear();
  }
}
