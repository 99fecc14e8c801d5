//! One request to a receiver, tried again where the receiver asks for that.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use prost::Message as _;
use url::Url;

use crate::telemetry::otlp::proto::ExportAnswer;
use crate::telemetry::otlp::settings::ExportSettings;
use crate::trust::{self, TrustError};

/// Sends messages.
pub(super) struct Client {
    /// The HTTP client.
    http: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Fields of each request.
    headers: HeaderMap,
    /// Time for one request.
    timeout: Duration,
}

/// Why a message did not arrive.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotSent {
    /// No answer came in time.
    #[error("the receiver does not answer in time")]
    Timeout,
    /// No answer came.
    #[error("the receiver cannot be reached: {0}")]
    Unreachable(String),
    /// The answer is none of success.
    #[error("the receiver answers {0}")]
    Refused(StatusCode),
    /// No request can be made of it.
    #[error("the URL cannot be called")]
    Url,
}

impl Client {
    /// A client with the fields and the time that are configured.
    pub(super) fn new(settings: &ExportSettings) -> Result<Self, TrustError> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(settings.timeout));
        let tls = trust::client_config(Vec::new(), rustls::DEFAULT_VERSIONS)?;
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector);
        let http = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        let mut headers = HeaderMap::from_iter(settings.headers.iter().cloned());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("vestibule/", env!("CARGO_PKG_VERSION"))));
        Ok(Self { http, headers, timeout: settings.timeout })
    }

    /// Sends a message; how much of it the receiver rejected.
    pub(super) async fn post(&self, url: &Url, message: Vec<u8>) -> Result<u64, NotSent> {
        let message = Bytes::from(message);
        let mut wait = FIRST_WAIT;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let (error, asked) = match self.attempt(url, message.clone()).await {
                Ok(rejected) => return Ok(rejected),
                Err(failure) => failure,
            };
            // The others would be the same again (OTLP specification, "Retryable Response Codes").
            let again = matches!(
                error,
                NotSent::Unreachable(_)
                    | NotSent::Refused(
                        StatusCode::TOO_MANY_REQUESTS
                            | StatusCode::BAD_GATEWAY
                            | StatusCode::SERVICE_UNAVAILABLE
                            | StatusCode::GATEWAY_TIMEOUT
                    )
            );
            if !again || attempts == ATTEMPTS {
                return Err(error);
            }
            tokio::time::sleep(asked.map_or(wait, |asked| asked.min(LONGEST_WAIT))).await;
            wait *= 2;
        }
    }

    /// Sends it once; with an error, how long the receiver asks to wait.
    async fn attempt(&self, url: &Url, message: Bytes) -> Result<u64, (NotSent, Option<Duration>)> {
        let mut request = Request::post(url.as_str()).body(Full::new(message)).map_err(|_| (NotSent::Url, None))?;
        request.headers_mut().extend(self.headers.clone());
        let exchange = async {
            let answer = self.http.request(request).await.map_err(|error| (unreachable(&error), None))?;
            let status = answer.status();
            if !status.is_success() {
                let asked = answer.headers().get(RETRY_AFTER).and_then(|it| it.to_str().ok()?.parse().ok());
                return Err((NotSent::Refused(status), asked.map(Duration::from_secs)));
            }
            let body = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
            let answer = body.ok().and_then(|body| ExportAnswer::decode(body.to_bytes()).ok());
            Ok(answer.and_then(|it| it.partial_success).map_or(0, |it| it.rejected.try_into().unwrap_or(0)))
        };
        tokio::time::timeout(self.timeout, exchange).await.unwrap_or(Err((NotSent::Timeout, None)))
    }
}

/// The error with its causes.
fn unreachable(error: &legacy::Error) -> NotSent {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    NotSent::Unreachable(text)
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

/// Requests for one message at most.
const ATTEMPTS: u32 = 3;
/// Before the second attempt; then twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Of what a receiver asks for.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How long a connection is kept.
const IDLE: Duration = Duration::from_secs(30);
/// The largest answer that is read.
const LONGEST_ANSWER: usize = 64 * 1024;
