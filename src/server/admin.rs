//! The admin listener: is the process alive, is it ready, and its metrics. Never on the traffic port (AT-CL-11).

use std::convert::Infallible;
use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_utils::atomic::AtomicCell;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tower::service_fn;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;

use crate::byte_stream::ByteStream;
use crate::server::descriptors;
use crate::server::listener::OpenListener;
use crate::telemetry::exposition::is_open_metrics_wanted;
use crate::telemetry::metrics::Metrics;

/// What the admin listener reports.
#[derive(Clone)]
pub struct AdminState {
    readiness: Readiness,
    metrics: Arc<Metrics>,
    checks: Arc<Checks>,
}

/// What is only reported: a part, and how it is. A provider that is away does not make the gateway unready: sessions work on.
type Checks = dyn Fn() -> Vec<(String, Health)> + Send + Sync;

/// How a part is, as far as is known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Health {
    /// It works.
    Ok,
    /// It has not answered yet.
    Unknown,
    /// It does not, for this reason.
    Degraded(String),
}

impl AdminState {
    /// Metrics for `/metrics`, and for `/readyz?verbose` how other parts are.
    pub fn new(metrics: Arc<Metrics>, checks: impl Fn() -> Vec<(String, Health)> + Send + Sync + 'static) -> Self {
        Self { readiness: Readiness::default(), metrics, checks: Arc::new(checks) }
    }

    /// What `/readyz` answers from.
    pub(super) fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// What `/metrics` shows.
    pub(super) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Answers a request by its path.
    fn answer(&self, method: &Method, path: &str, query: Option<&str>, accept: &str) -> Response<Full<Bytes>> {
        if *method != Method::GET && *method != Method::HEAD {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only\n");
        }
        match path {
            // The process answers, so it lives. Nothing else may matter here: a dead provider must not restart every gateway.
            "/livez" | "/healthz" => plain(StatusCode::OK, "ok\n"),
            "/readyz" => self.ready(query.is_some_and(is_verbose)),
            "/metrics" => self.exposition(accept),
            _ => plain(StatusCode::NOT_FOUND, "/livez /readyz /metrics\n"),
        }
    }

    /// One line a check, as Kubernetes' own servers write them.
    fn ready(&self, verbose: bool) -> Response<Full<Bytes>> {
        let stage = self.readiness.0.load();
        let (listening, draining) = (stage >= Stage::Serving, stage == Stage::Draining);
        let ready = stage == Stage::Serving;
        if ready && !verbose {
            return plain(StatusCode::OK, "ok\n");
        }
        let mut text = String::new();
        text.push_str(if listening { "[+]listeners ok\n" } else { "[-]listeners failed: not open yet\n" });
        text.push_str(if draining { "[-]drain failed: stopping\n" } else { "[+]drain ok\n" });
        for (name, health) in (self.checks)() {
            _ = match health {
                Health::Ok => writeln!(text, "[+]{name} ok"),
                Health::Unknown => writeln!(text, "[?]{name} unknown: it has not answered yet"),
                Health::Degraded(code) => writeln!(text, "[!]{name} degraded: {code}"),
            };
        }
        text.push_str(if ready { "readyz check passed\n" } else { "readyz check failed\n" });
        plain(if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, text)
    }

    /// The metrics as text, in the form that is asked for.
    fn exposition(&self, accept: &str) -> Response<Full<Bytes>> {
        let (text, kind) = if is_open_metrics_wanted(accept) {
            (self.metrics.render(), OPEN_METRICS)
        } else {
            (self.metrics.render_plain(), PLAIN_METRICS)
        };
        let mut answer = plain(StatusCode::OK, text);
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        answer.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
        answer
    }
}

impl fmt::Debug for AdminState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminState").field("readiness", &self.readiness).finish_non_exhaustive()
    }
}

/// Whether traffic should be sent here. Clones share one state.
#[derive(Clone, Debug, Default)]
pub(super) struct Readiness(Arc<AtomicCell<Stage>>);

/// How far the process has come.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
enum Stage {
    /// The listeners are not open yet.
    #[default]
    Starting,
    /// The listeners are open, and no drain has begun.
    Serving,
    /// The drain has begun.
    Draining,
}

impl Readiness {
    /// The listeners are open.
    pub(super) fn listening(&self) {
        self.0.store(Stage::Serving);
    }

    /// The drain has begun.
    pub(super) fn draining(&self) {
        self.0.store(Stage::Draining);
    }

    /// Whether traffic should be sent here.
    #[cfg(test)]
    pub(super) fn is_ready(&self) -> bool {
        self.0.load() == Stage::Serving
    }
}

/// Serves one admin listener until it is retired, or the task is dropped.
pub(super) async fn serve(listener: OpenListener, state: AdminState, retired: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((stream, ..)) => {
                    if let Ok(stream) = stream.adopt() {
                        connections.spawn(speak(stream, state.clone()));
                    }
                }
                Err(cause) => {
                    tracing::warn!(code = "admin_accept_failed", %cause, "cannot accept admin connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            () = retired.cancelled() => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Answers the one request of a connection.
async fn speak(stream: Box<dyn ByteStream>, state: AdminState) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let accept = request.headers().get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let accept = accept.collect::<Vec<_>>().join(",");
        let answer = state.answer(request.method(), request.uri().path(), request.uri().query(), &accept);
        async move { Ok::<_, Infallible>(answer) }
    });
    let service = ServiceBuilder::new()
        .layer(SetResponseHeaderLayer::overriding(header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .layer(SetResponseHeaderLayer::overriding(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
        .layer(CatchPanicLayer::new())
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, TIME_LIMIT))
        .service(answer);
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(TIME_LIMIT)
        .keep_alive(false)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    // One request, within a time limit: a slow client must not keep a health check out.
    if let Ok(Err(cause)) = tokio::time::timeout(TIME_LIMIT, connection).await {
        tracing::debug!(code = "admin_connection_broken", %cause, "an admin connection ended early");
    }
}

/// `?verbose` and `?verbose=1` alike.
fn is_verbose(query: &str) -> bool {
    query.split('&').any(|part| part.split('=').next() == Some("verbose"))
}

/// A line of text.
fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

/// The media type of the metrics.
const PLAIN_METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Half of the descriptors that are kept in reserve.
const CONNECTIONS: usize = descriptors::RESERVE / 2;
/// After a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// For a whole connection.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// Of a request.
const HEAD_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn state() -> AdminState {
        AdminState::new(Metrics::new(crate::clock::UnixTime::default()), || {
            let of = |name: &str, health| (format!("provider {name}"), health);
            let trouble = Health::Degraded("provider_timeout".to_owned());
            vec![of("corp", trouble), of("other", Health::Ok), of("new", Health::Unknown)]
        })
    }

    fn status(state: &AdminState, path: &str) -> u16 {
        state.answer(&Method::GET, path, None, "").status().as_u16()
    }

    #[test]
    fn ready_means_listening_and_no_drain_whatever_the_providers_do() {
        let state = state();
        assert_eq!(status(&state, "/readyz"), 503);
        state.readiness().listening();
        assert_eq!(status(&state, "/readyz"), 200);
        state.readiness().draining();
        assert_eq!(status(&state, "/readyz"), 503);
        assert_eq!(status(&state, "/livez"), 200);
    }

    #[tokio::test]
    async fn a_provider_that_is_away_is_reported_and_nothing_more() {
        let state = state();
        state.readiness().listening();
        let answer = state.answer(&Method::GET, "/readyz", Some("verbose"), "");
        assert_eq!(answer.status(), 200);
        let text = answer.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&text);
        assert!(
            text.contains("[!]provider corp degraded: provider_timeout\n[+]provider other ok\n[?]provider new unknown"),
            "{text}"
        );
    }

    #[test]
    fn only_the_known_paths_and_methods_are_answered() {
        // AT-CL-11
        let state = state();
        assert_eq!(status(&state, "/"), 404);
        assert_eq!(status(&state, "/debug/pprof"), 404);
        assert_eq!(status(&state, "/healthz"), 200);
        assert_eq!(status(&state, "/metrics"), 200);
        assert_eq!(state.answer(&Method::POST, "/livez", None, "").status(), 405);
        assert!(is_verbose("a=b&verbose") && is_verbose("verbose=1") && !is_verbose("verbosely"));
    }
}
