//! Counters and histograms that several workers bump at once without sharing a cache line.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// A number that only grows.
#[derive(Clone, Debug, Default)]
pub(super) struct ShardedCounter(Arc<[CacheLine<AtomicU64>; SHARDS]>);

impl ShardedCounter {
    pub(super) fn add(&self, more: u64) {
        if let Some(line) = self.0.get(shard()) {
            line.0.fetch_add(more, Relaxed);
        }
    }

    fn sum(&self) -> u64 {
        self.0.iter().map(|line| line.0.load(Relaxed)).fold(0, u64::wrapping_add)
    }
}

impl EncodeMetric for ShardedCounter {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> std::fmt::Result {
        encoder.encode_counter::<NoLabels, _, u64>(&self.sum(), None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for ShardedCounter {
    const TYPE: MetricType = MetricType::Counter;
}

/// A number of things that are there now. What one thread adds another may take away: only the sum means anything.
#[derive(Clone, Debug, Default)]
pub(super) struct ShardedGauge(Arc<[CacheLine<AtomicI64>; SHARDS]>);

impl ShardedGauge {
    pub(super) fn add(&self, more: i64) {
        if let Some(line) = self.0.get(shard()) {
            line.0.fetch_add(more, Relaxed);
        }
    }
}

impl EncodeMetric for ShardedGauge {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> std::fmt::Result {
        encoder.encode_gauge(&self.0.iter().map(|line| line.0.load(Relaxed)).fold(0, i64::wrapping_add))
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for ShardedGauge {
    const TYPE: MetricType = MetricType::Gauge;
}

/// How long requests took, in the buckets that OpenTelemetry advises.
#[derive(Clone, Debug, Default)]
pub(super) struct ShardedHistogram(Arc<[CacheLine<HistogramShard>; SHARDS]>);

impl ShardedHistogram {
    pub(super) fn observe(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let Some(CacheLine(buckets_of)) = self.0.get(shard()) else { return };
        let slot = BOUNDS.iter().position(|bound| took <= *bound).unwrap_or(BOUNDS.len());
        if let Some(bucket) = buckets_of.buckets.get(slot) {
            bucket.fetch_add(1, Relaxed);
            buckets_of.nanos.fetch_add(nanos, Relaxed);
        }
    }
}

impl EncodeMetric for ShardedHistogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> std::fmt::Result {
        let mut buckets = [(f64::INFINITY, 0); BUCKETS];
        for (bucket, bound) in buckets.iter_mut().zip(BOUNDS) {
            bucket.0 = bound.as_secs_f64();
        }
        let mut nanos = 0u64;
        for CacheLine(buckets_of) in self.0.iter() {
            nanos = nanos.wrapping_add(buckets_of.nanos.load(Relaxed));
            for (bucket, counted) in buckets.iter_mut().zip(&buckets_of.buckets) {
                bucket.1 += counted.load(Relaxed);
            }
        }
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabels>(Duration::from_nanos(nanos).as_secs_f64(), count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for ShardedHistogram {
    const TYPE: MetricType = MetricType::Histogram;
}

#[derive(Debug, Default)]
struct HistogramShard {
    buckets: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
}

/// Alone on its cache lines (two, since processors fetch them in pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
struct CacheLine<T>(T);

/// The label set of something that has no labels.
type NoLabels = [(&'static str, &'static str); 0];

fn shard() -> usize {
    thread_local! {
        static SHARD: usize = NEXT_SHARD.fetch_add(1, Relaxed) % SHARDS;
    }
    SHARD.with(|shard| *shard)
}

static NEXT_SHARD: AtomicUsize = AtomicUsize::new(0);
const SHARDS: usize = 8;
const BUCKETS: usize = BOUNDS.len() + 1;
const BOUNDS: [Duration; 14] = [
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(75),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(750),
    Duration::from_secs(1),
    Duration::from_millis(2500),
    Duration::from_secs(5),
    Duration::from_millis(7500),
    Duration::from_secs(10),
];
