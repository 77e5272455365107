import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { errorMessage } from '@node-vmm/vmm-sys-util/errors';
import type { Exposition } from './exposition.ts';

const PATH = '/metrics';
/** Whoever asks more often gets the same again. */
const MAX_AGE_MS = 250;
const CONNECTIONS_MAX = 16;
/** What a request may take to come, and a connection may be idle. */
const PATIENCE_MS = 5000;
const HEADER_MAX = 4096;

/** Serves metrics by HTTP: GET and HEAD of /metrics, and nothing else. */
export class MetricsHttp {
  readonly server: Server;
  readonly #expose: () => Promise<Exposition>;
  readonly #clock: () => number;
  #last: Promise<Exposition> | undefined;
  /** When it was there; undefined until then. */
  #lastAt: number | undefined;

  /**
   * @param expose - called four times a second at most
   * @param clock - milliseconds of a clock that never goes back
   */
  constructor(expose: () => Promise<Exposition>, clock: () => number = () => performance.now()) {
    this.#expose = expose;
    this.#clock = clock;
    this.server = createServer(
      {
        maxHeaderSize: HEADER_MAX,
        headersTimeout: PATIENCE_MS,
        requestTimeout: PATIENCE_MS,
        keepAliveTimeout: PATIENCE_MS,
        connectionsCheckingInterval: 1000,
      },
      (request, response) => void this.#answer(request, response),
    );
    this.server.maxConnections = CONNECTIONS_MAX;
    // Also of who does not read: Node destroys a socket on which nothing moves.
    this.server.setTimeout(PATIENCE_MS);
  }

  async #answer(
    { method = '', url = '' }: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    if (url.replace(/\?.*$/s, '') !== PATH) {
      refuse(response, 404, `there is ${PATH} and nothing else`);
    } else if (method !== 'GET' && method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      refuse(response, 405, 'metrics can be read');
    } else {
      try {
        const { contentType, text } = await this.#current();
        response.writeHead(200, {
          'content-type': contentType,
          'content-length': Buffer.byteLength(text),
        });
        response.end(method === 'HEAD' ? undefined : text);
      } catch (error) {
        refuse(response, 503, errorMessage(error));
      }
    }
  }

  #current(): Promise<Exposition> {
    const old = this.#lastAt !== undefined && this.#clock() - this.#lastAt >= MAX_AGE_MS;
    if (this.#last === undefined || old) {
      // While one is on its way everybody waits for that.
      this.#lastAt = undefined;
      this.#last = this.#expose().finally(() => {
        this.#lastAt = this.#clock();
      });
    }
    return this.#last;
  }
}

function refuse(response: ServerResponse, status: number, why: string): void {
  const text = `${why}\n`;
  response.writeHead(status, {
    'content-type': 'text/plain; charset=utf-8',
    'content-length': Buffer.byteLength(text),
    // Who is mistaken need not be kept.
    connection: 'close',
  });
  response.end(text);
}
