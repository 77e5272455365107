import { dirname, resolve } from 'node:path';
import { Worker } from 'node:worker_threads';
import {
  closeFd,
  dupFd,
  errorMessage,
  type Fd,
  type Logger,
  type Metric,
  threadOptions,
  UNIX_PATH_MAX,
  UnixListener,
} from '@node-vmm/vmm-sys-util';
import { checkDirectory, checkNoDirectory } from '../directories.ts';
import { CliError } from '../errors.ts';
import { socketProblem } from '../sockets.ts';
import { formatMetricsAddress, parseMetricsAddress } from './address.ts';
import type { FromMetricsThread, MetricsThreadData, ToMetricsThread } from './messages.ts';

const OPTION = '--metrics';
/** Who may connect to the socket: the user of the process. */
const MODE = 0o600;
const HEAP_MB = 64;
/** Tests run the sources, which Node 20 cannot load in a worker thread: there it runs what was built. */
const FROM_SOURCE = import.meta.url.endsWith('.ts');
const ENTRY = new URL(
  FROM_SOURCE ? '../../dist/metrics/thread.js' : './thread.js',
  import.meta.url,
);

/** What is measured now, as plain data; read when somebody asks. */
export type CollectMetrics = () => readonly Metric[];

/** Serves metrics to Prometheus from a thread of its own. */
export class MetricsServer implements Disposable {
  readonly #worker: Worker;
  readonly #listener: UnixListener | undefined;
  readonly #logger: Logger;
  readonly #collect: CollectMetrics;
  #live = true;

  private constructor(
    worker: Worker,
    listener: UnixListener | undefined,
    collect: CollectMetrics,
    logger: Logger,
  ) {
    this.#worker = worker;
    this.#listener = listener;
    this.#collect = collect;
    this.#logger = logger;
    worker.on('message', (message: FromMetricsThread) => this.#onMessage(message));
    worker.on('error', (err) => this.#failed(errorMessage(err)));
    // It serves for as long as there is something to measure.
    worker.unref();
  }

  /**
   * Listens, and ends when it does.
   *
   * @param text - a path, whose socket has mode 0600, or `[host:]port`
   * @throws {CliError} USAGE, BAD_DIRECTORY, METRICS
   */
  static async open(text: string, collect: CollectMetrics, logger: Logger): Promise<MetricsServer> {
    const address = parseMetricsAddress(text);
    let listener: UnixListener | undefined;
    let data: MetricsThreadData;
    /** The thread's, once it has said something. */
    let lent: Fd | undefined;
    let worker: Worker | undefined;
    try {
      if ('path' in address) {
        listener = bind(address.path);
        // A descriptor of its own: the thread closes it, and the file has to be removed before that.
        lent = dupFd(listener.fd);
        data = { fd: lent };
      } else {
        data = address;
      }
      worker = startThread(data);
      const first = await firstWord(worker);
      lent = undefined;
      if (first.type !== 'failed') return new MetricsServer(worker, listener, collect, logger);
      const { code, text: reason } = first;
      throw new Error(problem(code, reason));
    } catch (error) {
      listener?.close();
      await worker?.terminate();
      if (lent !== undefined) closeFd(lent);
      if (error instanceof CliError) throw error;
      const text = `Cannot serve metrics on ${formatMetricsAddress(address)}: ${errorMessage(error)}`;
      throw new CliError('METRICS', text, {}, { cause: error });
    }
  }

  #onMessage(message: FromMetricsThread): void {
    if (message.type === 'failed') this.#failed(message.text);
    else if (message.type === 'collect') this.#worker.postMessage(this.#answer());
  }

  #answer(): ToMetricsThread {
    try {
      return { metrics: this.#collect() };
    } catch (error) {
      return { problem: errorMessage(error) };
    }
  }

  #failed(reason: string): void {
    if (!this.#live) return;
    this.#logger.error({ reason }, 'metrics are not served any more');
    this.close();
  }

  /** Serves nobody any more, and removes the socket file. Idempotent. */
  close(): void {
    this.#live = false;
    this.#listener?.close();
    void this.#worker.terminate();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function startThread(workerData: MetricsThreadData): Worker {
  return new Worker(ENTRY, {
    name: 'metrics',
    workerData,
    // Else the process's own, of which Node refuses some where they are named.
    ...(FROM_SOURCE ? { execArgv: [] } : threadOptions()),
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
    // Descriptors belong to the process, not to the thread that happens to close them.
    trackUnmanagedFds: false,
  });
}

/** @throws what the thread has thrown */
function firstWord(worker: Worker): Promise<FromMetricsThread> {
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

/** @throws {CliError} USAGE, BAD_DIRECTORY, METRICS */
function bind(path: string): UnixListener {
  if (Buffer.byteLength(path) > UNIX_PATH_MAX) {
    const text = `Cannot use ${OPTION} ${path}: a socket's path has ${UNIX_PATH_MAX} bytes at most`;
    throw new CliError('USAGE', text);
  }
  checkDirectory(dirname(resolve(path)), 'create the socket for metrics in', OPTION);
  checkNoDirectory(path, OPTION);
  try {
    return UnixListener.bind(path, { mode: MODE });
  } catch (cause) {
    throw new CliError('METRICS', socketProblem(cause, path, OPTION), { path }, { cause });
  }
}

function problem(code: string | undefined, text: string): string {
  switch (code) {
    case 'EADDRINUSE':
      return `another process does; stop it or choose another ${OPTION}`;
    case 'EACCES':
      return `permission denied; choose a port of 1024 or more`;
    case 'EADDRNOTAVAIL':
      return 'this machine has no such address';
    case 'EAFNOSUPPORT':
      return `there is no such network here; choose a path for ${OPTION}`;
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'no such host is known';
    default:
      return text;
  }
}
