//! What all connections of a worker share: what answers them, and how HTTP/1.1 and HTTP/2 are spoken.

use std::cell::Cell;
use std::future::Future;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use http::{Request, Response};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioTimer;
use tokio::time::Instant;

use crate::body::Body;
use crate::local_executor::LocalExecutor;
use crate::request::Downstream;
use crate::server::settings::Limits;
use crate::server::tls::Certificates;
use crate::telemetry::metrics::Metrics;

/// What answers requests: the gateway, or a test.
type Service = Rc<dyn Fn(Request<Body>, Rc<Downstream>) -> LocalBoxFuture<'static, Response<Body>>>;

/// What all connections of a worker share.
pub(super) struct WorkerContext {
    pub(super) service: Service,
    /// Whether the capitals of fields' names are noted.
    notes_capitals: Arc<AtomicBool>,
    pub(super) tls: Option<Arc<Certificates>>,
    pub(super) limits: Limits,
    metrics: Arc<Metrics>,
    /// When a flood was last written about.
    flood_reported: Cell<Option<Instant>>,
}

impl WorkerContext {
    /// Has requests answered by `service`. Each answer to come is boxed, because a connection that waits for its next request
    /// would have room for all of one otherwise.
    pub(super) fn new<F: Future<Output = Response<Body>> + 'static>(
        service: impl Fn(Request<Body>, Rc<Downstream>) -> F + 'static,
        tls: Option<Arc<Certificates>>,
        limits: Limits,
        metrics: Arc<Metrics>,
        notes_capitals: Arc<AtomicBool>,
    ) -> Self {
        let service: Service = Rc::new(move |request, downstream| {
            // With the memory at hand, the compiler builds the future in place, and does not copy 2 700 bytes.
            let answer = Box::write(Box::new_uninit(), service(request, downstream));
            Box::into_pin(answer)
        });
        Self { service, notes_capitals, tls, limits, metrics, flood_reported: Cell::new(None) }
    }

    /// The same for connections that come after a reload: those that are open keep what they began with.
    pub(super) fn with(&self, tls: Option<Arc<Certificates>>, limits: Limits) -> Self {
        Self {
            service: Rc::clone(&self.service),
            notes_capitals: Arc::clone(&self.notes_capitals),
            tls,
            limits,
            metrics: Arc::clone(&self.metrics),
            flood_reported: Cell::new(None),
        }
    }

    /// HTTP/1.1 as we speak it at the moment. Head and idle times are not hyper's here: see `roster.rs`.
    pub(super) fn http1(&self) -> http1::Builder {
        let mut protocol = http1::Builder::new();
        protocol
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            // A client that closes its side before the answer is gone, as everywhere else: its upstream request is given up.
            .half_close(false)
            // A head and a small body leave in one plain write. The copy of a large body costs less than the bookkeeping of pieces.
            .writev(false)
            .preserve_header_case(self.notes_capitals.load(Relaxed))
            .max_buf_size(self.limits.header_bytes.max(H1_SMALLEST_BUFFER));
        protocol
    }

    /// HTTP/2 as we speak it.
    pub(super) fn http2(&self) -> http2::Builder<LocalExecutor> {
        let mut protocol = http2::Builder::new(LocalExecutor);
        protocol
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.limits.h2_streams)
            // Told in SETTINGS and enforced after decompression (PX-48, RFC 9113 section 10.5.1); it bounds CONTINUATION, too.
            .max_header_list_size(u32::try_from(self.limits.header_bytes).unwrap_or(u32::MAX))
            // Rapid reset (PX-47, CVE-2023-44487), and its mirror that makes us do the resetting (CVE-2025-8671).
            .max_pending_accept_reset_streams(H2_RESETS)
            .max_local_error_reset_streams(H2_RESETS)
            .max_send_buf_size(H2_SEND_BUFFER)
            .initial_stream_window_size(H2_UPLOAD)
            .initial_connection_window_size(H2_UPLOADS)
            .keep_alive_interval(self.limits.idle_time / 2)
            .keep_alive_timeout(self.limits.idle_time / 2);
        protocol
    }

    /// A client was cut off for a flood of such frames. All are counted; one line a second is logged.
    pub(super) fn flooded(&self, client: IpAddr, frames: &'static str) {
        self.metrics.flooded(frames);
        let now = Instant::now();
        if self.flood_reported.get().is_none_or(|reported| now.saturating_duration_since(reported) >= FLOOD_SILENCE) {
            self.flood_reported.set(Some(now));
            tracing::warn!(code = "http2_flood", %client, frames, "cut off a client that floods an HTTP/2 connection");
        }
    }
}

/// hyper does not take a smaller buffer, so a smaller `header_bytes` counts as this.
const H1_SMALLEST_BUFFER: usize = 8192;
/// Floods within this time after one that was written to the log are only counted, on each worker.
const FLOOD_SILENCE: Duration = Duration::from_secs(1);
/// Streams that a client may reset, or make us reset, before they are reaped; one more is GOAWAY.
const H2_RESETS: usize = 32;
/// Bytes of an answer that one stream may hold while its reader is slow.
const H2_SEND_BUFFER: usize = 64 * 1024;
/// Bytes of one request's body that wait for a slow application, and of all on a connection. hyper's own is 1 MiB for each. An upload
/// over a way of 20 ms there and back still has 6 MiB a second.
const H2_UPLOAD: u32 = 128 * 1024;
/// The same for all bodies of a connection.
const H2_UPLOADS: u32 = 2 * H2_UPLOAD;
