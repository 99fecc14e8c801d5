//! Traces and metrics by [OTLP](https://opentelemetry.io/docs/specs/otlp/), `http/protobuf`: gathered and sent on the control
//! runtime, through a bounded queue. What a receiver does not take is counted, and no request waits for it.

mod client;
mod proto;
mod samples;
pub mod settings;
mod spans;

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::clock::SharedClock;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::otlp::client::{Client, NotSent};
use crate::telemetry::otlp::samples::Interval;
use crate::telemetry::otlp::settings::ExportSettings;
use crate::trace::{Span, Tracer};
use crate::trust::TrustError;

/// Sends what is gathered, for as long as the program runs.
#[derive(Debug)]
pub struct Export {
    /// What is sent where.
    settings: ExportSettings,
    /// What sends it.
    client: Client,
    /// The metrics that are sent, and that count what is lost.
    metrics: Arc<Metrics>,
    /// For the time of metrics.
    clock: SharedClock,
    /// What begins traces, and where finished spans come out.
    traces: Option<(Arc<Tracer>, mpsc::Receiver<Span>)>,
    /// Ends the export.
    stop: CancellationToken,
}

impl Export {
    /// An export of these metrics, and of the spans of its [`tracer`](Self::tracer). Nothing where there is nobody to send anything to.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(
        settings: &ExportSettings,
        metrics: &Arc<Metrics>,
        clock: &SharedClock,
        random: fn() -> [u8; 24],
        stop: CancellationToken,
    ) -> Result<Option<Self>, TrustError> {
        if settings.traces.is_none() && settings.metrics.is_none() {
            return Ok(None);
        }
        let lost = || metrics.telemetry_lost("traces");
        let traces =
            settings.traces.as_ref().map(|_| Tracer::new(settings.sampler, settings.spans.queue, random, lost()));
        let (client, clock, metrics) = (Client::new(settings)?, Arc::clone(clock), Arc::clone(metrics));
        Ok(Some(Self { settings: settings.clone(), client, metrics, clock, traces, stop }))
    }

    /// Begins the traces that are sent, where there is somebody who takes them.
    pub fn tracer(&self) -> Option<Arc<Tracer>> {
        self.traces.as_ref().map(|(tracer, _)| Arc::clone(tracer))
    }

    /// Sends until it is told to stop, and then what is left.
    pub async fn run(mut self) {
        let traces = self.traces.take();
        let (this, lost) = (&self, |signal| self.metrics.telemetry_lost(signal));
        let spans = async {
            if let (Some(url), Some((_tracer, spans))) = (&this.settings.traces, traces) {
                this.send_spans(spans, Receiver::new("traces", url, lost("traces"))).await;
            }
        };
        let samples = async {
            if let Some(url) = &this.settings.metrics {
                this.send_metrics(Receiver::new("metrics", url, lost("metrics"))).await;
            }
        };
        tokio::join!(spans, samples);
    }

    /// Sends spans in batches.
    async fn send_spans(&self, mut spans: mpsc::Receiver<Span>, mut receiver: Receiver<'_>) {
        let gather = self.settings.spans;
        loop {
            let mut batch = Vec::new();
            let stopping = self.stop.run_until_cancelled(spans.recv_many(&mut batch, gather.batch)).await.is_none();
            let more = async {
                loop {
                    let room = gather.batch.saturating_sub(batch.len());
                    if room == 0 || spans.recv_many(&mut batch, room).await == 0 {
                        return;
                    }
                }
            };
            let wait = if stopping || self.stop.is_cancelled() { Duration::ZERO } else { gather.delay };
            _ = self.stop.run_until_cancelled(timeout(wait, more)).await;
            if self.stop.is_cancelled() {
                while let Ok(span) = spans.try_recv() {
                    batch.push(span);
                }
            }
            if !batch.is_empty() {
                let count = batch.len() as u64;
                let message = spans::message(batch, &self.settings.resource).encode_to_vec();
                receiver.sent(self.client.post(receiver.url, message).await, count);
            }
            if stopping {
                return;
            }
        }
    }

    /// Sends metrics at each interval, and at the end.
    async fn send_metrics(&self, mut receiver: Receiver<'_>) {
        let start = nanos(&self.clock);
        let mut tick = tokio::time::interval(self.settings.metrics_interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tick.tick().await;
        loop {
            let stopping = self.stop.run_until_cancelled(tick.tick()).await.is_none();
            let interval = Interval { start, end: nanos(&self.clock) };
            let message = samples::message(&self.metrics.render(), interval, &self.settings.resource).encode_to_vec();
            receiver.sent(self.client.post(receiver.url, message).await, 1);
            if stopping {
                return;
            }
        }
    }
}

/// Whoever takes one signal, and how that went so far.
struct Receiver<'a> {
    /// `traces` or `metrics`.
    signal: &'static str,
    /// Where they are sent.
    url: &'a Url,
    /// Counts what did not arrive.
    lost: Counter,
    /// The last message did not.
    failing: bool,
}

impl<'a> Receiver<'a> {
    /// One that nothing was sent to yet.
    fn new(signal: &'static str, url: &'a Url, lost: Counter) -> Self {
        Self { signal, url, lost, failing: false }
    }

    /// Counts what did not arrive. The first of several failures is reported, and their end.
    fn sent(&mut self, outcome: Result<u64, NotSent>, count: u64) {
        let signal = self.signal;
        match outcome {
            Ok(rejected) => {
                self.lost.inc_by(rejected);
                if std::mem::take(&mut self.failing) {
                    tracing::info!(code = "telemetry_exported", signal, "telemetry is taken again");
                }
            }
            Err(error) => {
                self.lost.inc_by(count);
                if !std::mem::replace(&mut self.failing, true) {
                    let url = format!("{}{}", self.url.origin().ascii_serialization(), self.url.path());
                    tracing::warn!(code = "telemetry_not_exported", signal, url, %error, "telemetry is being lost");
                }
            }
        }
    }
}

/// Nanoseconds since 1970.
fn nanos(clock: &SharedClock) -> u64 {
    clock.now().millis().saturating_mul(1_000_000)
}
