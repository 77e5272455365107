import type { HistogramMetric, Metric } from '@node-vmm/vmm-sys-util';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

/** What Prometheus reads. */
export interface Exposition {
  /** Of the text, for HTTP's Content-Type. */
  readonly contentType: string;
  readonly text: string;
}

/** A histogram that somebody else has counted. */
class CountedHistogram extends Histogram {
  readonly #metric: HistogramMetric;

  constructor(metric: HistogramMetric, registry: Registry) {
    const { name, help, bounds } = metric;
    super({ name, help, buckets: [...bounds], registers: [registry] });
    this.#metric = metric;
  }

  /** What the registry asks for, and `get`. */
  async getForPromString(): Promise<object> {
    const { name, help, bounds, counts, sum } = this.#metric;
    const value = (suffix: string, number: number, labels: object = {}): object => ({
      metricName: name + suffix,
      labels,
      sharedLabels: {},
      value: number,
    });
    let total = 0;
    const buckets = [...bounds, '+Inf'].map((le, i) => {
      total += counts[i] ?? 0;
      return value('_bucket', total, { le });
    });
    const values = [...buckets, value('_sum', sum), value('_count', total)];
    return { name, help, type: 'histogram', values };
  }
}

/** Writes metrics in Prometheus's text format. */
export async function exposition(metrics: readonly Metric[]): Promise<Exposition> {
  // Of this text alone: what is counted is kept elsewhere.
  const registry = new Registry();
  for (const metric of metrics) add(metric, registry);
  return { contentType: registry.contentType, text: await registry.metrics() };
}

function add(metric: Metric, registry: Registry): void {
  if (metric.type === 'histogram') {
    new CountedHistogram(metric, registry);
    return;
  }
  const { name, help, samples } = metric;
  const labelNames = [...new Set(samples.flatMap(({ labels = {} }) => Object.keys(labels)))];
  const config = { name, help, labelNames, registers: [registry] };
  if (metric.type === 'counter') {
    const counter = new Counter(config);
    for (const { labels = {}, value } of samples) counter.inc(labels, value);
  } else {
    const gauge = new Gauge(config);
    for (const { labels = {}, value } of samples) gauge.set(labels, value);
  }
}
