/** Labels by their names: of bounded number, and never what a guest or peer chose. */
export type MetricLabels = Readonly<Record<string, string>>;

/** A value, of what its labels say. */
export interface MetricSample {
  readonly labels?: MetricLabels;
  readonly value: number;
}

/** A value that only grows, or one of now. */
export interface ValueMetric {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  readonly samples: readonly MetricSample[];
}

/** How many observations were how big. */
export interface HistogramMetric {
  readonly name: string;
  readonly help: string;
  readonly type: 'histogram';
  /** Ascending upper bounds of the classes. */
  readonly bounds: readonly number[];
  /** How many are in each class, one more than there are bounds. */
  readonly counts: readonly number[];
  /** All observations added up. */
  readonly sum: number;
}

/**
 * A measurement with its name and meaning, as plain data: what a package gives to whoever shows it. Names are
 * those of Prometheus.
 */
export type Metric = ValueMetric | HistogramMetric;
