//! Calls to a provider, with limits on time, size and scheme; no redirect is ever followed.
//!
//! One call is one request on the wire. Nothing is retried here: a code or a rotated refresh token that may have been received
//! must not be sent twice (OA-10, [RFC 9700 section 4.14.2](https://www.rfc-editor.org/rfc/rfc9700#section-4.14.2)).

use std::borrow::Cow;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use url::Url;

use crate::clock::SharedClock;
use crate::provider::call_metrics::CallMetrics;
use crate::provider::connector::{Connector, Unresolved, is_of_unknown_authority};
use crate::provider::error::{AnswerFault, Endpoint, EndpointFault, ProviderError, ProviderSetupError, TransportError};
use crate::provider::incidents::IncidentLog;
use crate::provider::outgoing_proxy::{OutgoingProxies, ProxyChoice};
use crate::provider::refusal;
use crate::provider::reply::{Reply, place};
use crate::provider::settings::ProviderSettings;
use crate::provider::tunnel::{self, USER_AGENT};
use crate::request::host::{is_loopback, known_address};
use crate::secret::Secret;
use crate::telemetry::causes::{cause, with_causes};
use crate::tls_version::{MinTlsVersion, is_version_mismatch};
use crate::trace::{self, Kind};
use crate::trust::{self, TrustError};

/// The HTTP client of one provider.
#[derive(Debug)]
pub(super) struct Transport {
    client: Client<HttpsConnector<Connector>, Full<Bytes>>,
    outgoing: OutgoingProxies,
    timeout: Duration,
    tls_min_version: MinTlsVersion,
    clock: SharedClock,
    /// The outage that the last call met, if it met one.
    away: Mutex<Option<ProviderError>>,
    pub(super) metrics: CallMetrics,
    pub(super) incidents: IncidentLog,
}

impl Transport {
    /// A client that trusts the machine's roots and the provider's own. Starts no I/O.
    pub(super) fn new(settings: &ProviderSettings, clock: SharedClock) -> Result<Self, ProviderSetupError> {
        let tls = tls_config(settings.roots.clone(), settings.tls_min_version)?;
        let outgoing = settings.outgoing.clone();
        let connector = Connector::new(outgoing.clone(), Arc::new(tls.clone()), settings.timeout);
        // HTTP/1.1 only: calls are few, and a half-dead shared connection would cost a sign-in its whole timeout.
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            // Shorter than servers' own (5 s is common), so that a POST is not lost to a connection that is just closing.
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(4)
            .http1_max_buf_size(64 * 1024) // of a head, and read at once; hyper's own is 408 KiB
            .build(connector);
        let incidents = IncidentLog::of(&settings.name, Arc::clone(&clock), settings.clock_leeway);
        let (metrics, away) = (CallMetrics::default(), Mutex::default());
        let (timeout, tls_min_version) = (settings.timeout, settings.tls_min_version);
        Ok(Self { client, outgoing, timeout, tls_min_version, clock, away, metrics, incidents })
    }

    /// GET, with the access token as bearer ([RFC 6750 section 2.1](https://www.rfc-editor.org/rfc/rfc6750#section-2.1)) where
    /// there is one.
    pub(super) async fn get(
        &self,
        endpoint: Endpoint,
        url: &Url,
        accept: &'static str,
        bearer: Option<&Secret<String>>,
    ) -> Result<Reply, ProviderError> {
        let mut headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
        if let Some(token) = bearer {
            let value = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
            let mut value = value.map_err(|_| AnswerFault::AccessToken.at(endpoint))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        let mut reply = self.call(endpoint, Method::GET, url, headers, Bytes::new()).await?;
        reply.sent.extend(bearer.cloned());
        Ok(reply)
    }

    /// GET as a browser visits a page.
    pub(super) async fn visit(&self, endpoint: Endpoint, url: &Url, cookies: &str) -> Result<Reply, ProviderError> {
        let accept = HeaderValue::from_static("text/html,application/xhtml+xml,*/*;q=0.8");
        let cookies = HeaderValue::from_str(cookies).ok().filter(|cookies| !cookies.is_empty());
        let cookies = cookies.map(|cookies| (header::COOKIE, cookies));
        let headers = std::iter::once((header::ACCEPT, accept)).chain(cookies).collect();
        self.call(endpoint, Method::GET, url, headers, Bytes::new()).await
    }

    /// POST of a form: everything in the body, nothing in the URL (OA-11).
    pub(super) async fn post_form(
        &self,
        endpoint: Endpoint,
        url: &Url,
        form: &Form<'_>,
        authorization: Option<HeaderValue>,
    ) -> Result<Reply, ProviderError> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let media_types =
            [(header::ACCEPT, "application/json"), (header::CONTENT_TYPE, "application/x-www-form-urlencoded")];
        let media_types = media_types.map(|(name, value)| (name, HeaderValue::from_static(value)));
        let authorization = authorization.map(|value| (header::AUTHORIZATION, value));
        let headers = media_types.into_iter().chain(authorization).collect();
        self.call(endpoint, Method::POST, url, headers, body.into()).await
    }

    /// The outage that the last call met ([`ProviderError::is_outage`]); `None` when it met none.
    pub(super) fn away(&self) -> Option<ProviderError> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One call; records whether it met an outage.
    async fn call(
        &self,
        endpoint: Endpoint,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Reply, ProviderError> {
        let unreachable = |cause| ProviderError::Unreachable { endpoint, url: place(url), cause };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = url.as_str().parse().map_err(|_| unreachable(TransportError::Url))?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        let span = trace::current().map(|span| span.child(endpoint.span(), Kind::Client));
        if let Some(span) = &span {
            span.handle().inject(request.headers_mut());
        }
        // A call that is cancelled had no answer in the time that its caller gave it.
        let mut record = RecordOnDrop { away: &self.away, found: Some(unreachable(TransportError::Timeout)) };
        let reply = self.reply(endpoint, url, request).await;
        record.found = reply.as_ref().err().filter(|error| error.is_outage()).cloned();
        if let Some(span) = span {
            let (host, provider) =
                (url.host_str().unwrap_or_default().to_owned(), self.incidents.provider().to_owned());
            let ended = match &reply {
                Ok(reply) => ("http.response.status_code", reply.status.as_u16().into()),
                Err(error) => ("error.type", error.code().into()),
            };
            let about = || vec![("server.address", host.into()), ("vestibule.provider", provider.into()), ended];
            span.end(about, reply.as_ref().map_or(true, |reply| !reply.status.is_success()));
        }
        reply
    }

    /// The same with a time limit; counts it, and reports what begins and what ends with it.
    async fn reply(
        &self,
        endpoint: Endpoint,
        url: &Url,
        request: Request<Full<Bytes>>,
    ) -> Result<Reply, ProviderError> {
        let method = request.method().clone();
        let asked = Instant::now();
        let reply = tokio::time::timeout(self.timeout, self.exchange(url, request)).await;
        let reply = reply.unwrap_or(Err(TransportError::Timeout));
        let outcome = reply.as_ref().map(|reply| reply.status).map_err(TransportError::failure);
        self.metrics.called(&method, outcome, asked.elapsed());
        if let Some(theirs) = reply.as_ref().ok().and_then(Reply::date) {
            let now = self.clock.now();
            self.metrics.clock_shown(theirs, now);
            self.incidents.clocks.shown(endpoint, theirs, now);
        }
        let outage = |reply: Reply| refusal::outage(endpoint, &reply, self.clock.now()).map_or(Ok(reply), Err);
        let unreachable = |cause| ProviderError::Unreachable { endpoint, url: place(url), cause };
        let reply = reply.map_err(unreachable).and_then(outage);
        match &reply {
            Ok(_) => self.incidents.answered(endpoint),
            Err(error) => self.incidents.failed(error),
        }
        reply
    }

    /// The request and its whole answer.
    async fn exchange(&self, url: &Url, mut request: Request<Full<Bytes>>) -> Result<Reply, TransportError> {
        let choice = self.outgoing.choice(url);
        // In absolute form, the proxy reads the request itself; what goes through a tunnel, it never sees.
        let reader = match choice {
            ProxyChoice::Through(proxy) if url.scheme() == "http" => Some(proxy),
            _ => None,
        };
        let authorization = reader.and_then(|proxy| proxy.authorization());
        request.headers_mut().extend(authorization.map(|value| (header::PROXY_AUTHORIZATION, value)));
        let failure = |error| failure_of(&error, self.incidents.provider(), choice, self.tls_min_version);
        let response = self.client.request(request).await.map_err(failure)?;
        let (parts, body) = response.into_parts();
        if let Some(proxy) = reader.filter(|_| parts.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED) {
            return Err(tunnel::unauthenticated(proxy, &parts.headers));
        }
        let body =
            Limited::new(body, MAX_ANSWER).collect().await.map_err(|e| match e.downcast::<LengthLimitError>() {
                Ok(_) => TransportError::TooLarge,
                Err(e) => TransportError::Broken(with_causes(e.as_ref())),
            })?;
        let (status, headers, body) = (parts.status, parts.headers, body.to_bytes());
        Ok(Reply { url: url.clone(), status, headers, body, sent: Vec::new() })
    }
}

/// The fields of a form.
pub(super) type Form<'a> = Vec<(&'static str, Cow<'a, str>)>;

/// Records how a call ended when it is dropped, so also when the call is cancelled.
struct RecordOnDrop<'a> {
    away: &'a Mutex<Option<ProviderError>>,
    found: Option<ProviderError>,
}

impl Drop for RecordOnDrop<'_> {
    fn drop(&mut self) {
        *self.away.lock().unwrap_or_else(PoisonError::into_inner) = self.found.take();
    }
}

/// Why no answer came, from the error of the HTTP client.
fn failure_of(
    error: &hyper_util::client::legacy::Error,
    provider: &str,
    choice: ProxyChoice<'_>,
    tls_min_version: MinTlsVersion,
) -> TransportError {
    if let Some(of_proxy) = cause::<TransportError>(error) {
        return of_proxy.clone();
    }
    let mut text = with_causes(error);
    let is_unknown = is_of_unknown_authority(error);
    if is_unknown {
        text.push_str(&format!(
            ": no authority that is known here issued its certificate; name one with `provider.{provider}.ca`"
        ));
    }
    if cause(error).is_some_and(is_version_mismatch) {
        let key = format!("`provider.{provider}.tls_min_version`");
        text.push_str(&format!(": {}", tls_min_version.refusal(&key)));
    }
    if !error.is_connect() {
        return TransportError::Broken(text);
    }
    let is_io = |kind| cause::<io::Error>(error).is_some_and(|cause| cause.kind() == kind);
    match choice {
        ProxyChoice::Through(proxy) if is_unknown => TransportError::ProxyCertificate(format!(
            "{proxy}: {text}. A proxy that opens TLS shows certificates of the company's own authority"
        )),
        _ if cause::<rustls::Error>(error).is_some() => TransportError::Tls(text),
        _ if cause::<Unresolved>(error).is_some() => TransportError::NameResolution(text),
        _ if is_io(io::ErrorKind::ConnectionRefused) => TransportError::Refused(text),
        _ if is_io(io::ErrorKind::TimedOut) => TransportError::ConnectTimeout(text),
        _ => TransportError::Connect(text),
    }
}

/// Whether an endpoint may be called, or a browser be sent there: https, or http on loopback; no credentials, no fragment.
pub(super) fn check_endpoint(url: &Url, insecure_http: bool) -> Result<(), EndpointFault> {
    match url.scheme() {
        "https" => {}
        "http" if insecure_http || url.host().is_some_and(|host| is_loopback(&host)) => {}
        _ => return Err(EndpointFault::NotHttps),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(EndpointFault::Credentials);
    }
    if url.fragment().is_some() {
        return Err(EndpointFault::Fragment);
    }
    Ok(())
}

/// The same for an endpoint that a discovery document names: a public provider cannot name an address of our own machine or
/// network (AT-TP-20).
pub(super) fn check_discovered(url: &Url, issuer: &Url, insecure_http: bool) -> Result<(), EndpointFault> {
    check_endpoint(url, insecure_http)?;
    if is_inside(url) && !is_inside(issuer) {
        return Err(EndpointFault::PointsInside);
    }
    Ok(())
}

/// Whether a URL names an address of this machine, or one of its link.
fn is_inside(url: &Url) -> bool {
    url.host().and_then(|host| known_address(&host)).is_some_and(|ip| {
        let is_link_local = match ip {
            IpAddr::V4(ip) => ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        ip.is_loopback() || ip.is_unspecified() || is_link_local
    })
}

/// TLS towards a provider, of this version or a later one: the machine's roots, and these. No client certificate is sent.
///
/// # Errors
/// The roots cannot be used.
pub fn tls_config(
    extra: Vec<CertificateDer<'static>>,
    min_version: MinTlsVersion,
) -> Result<ClientConfig, ProviderSetupError> {
    trust::client_config(extra, min_version.versions()).map_err(|error| match error {
        TrustError::Tls(cause) => ProviderSetupError::Tls(cause),
        TrustError::Authorities(cause) => ProviderSetupError::Ca(cause),
    })
}

/// The largest answer that is read.
const MAX_ANSWER: usize = 1024 * 1024;
/// How long a connection is kept.
const IDLE: Duration = Duration::from_secs(3);
