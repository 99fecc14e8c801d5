//! Requests as a browser sends them, one at a time: no redirect is followed, no cookie kept.

use std::error::Error as StdError;
use std::net::SocketAddr;
use std::path::Path;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tower::Service;
use url::Url;

use crate::provider::tls_config;
use crate::telemetry::causes::with_causes;
use crate::tls_version::MinTlsVersion;

/// A client of one server, or of whatever a URL names.
pub(super) struct Visitor(Client<HttpsConnector<HttpConnector<Resolver>>, Empty<Bytes>>);

/// What came back.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    url: Url,
}

impl Answer {
    /// Where a redirect leads.
    pub(super) fn location(&self) -> Option<Url> {
        let location = self.headers.get(LOCATION).filter(|_| self.status.is_redirection())?;
        self.url.join(location.to_str().ok()?).ok()
    }
}

/// Why nothing came back.
#[derive(Clone, Debug)]
pub(super) enum NoAnswer {
    /// No connection, or none that holds.
    Nobody(String),
    /// Its certificate is refused here.
    Certificate(String),
    /// It refused the TLS handshake.
    Handshake(String),
}

impl NoAnswer {
    /// The cause in words.
    pub(super) fn cause(&self) -> &str {
        let (Self::Nobody(cause) | Self::Certificate(cause) | Self::Handshake(cause)) = self;
        cause
    }
}

/// The TLS of every visit: the machine's roots, and those of a PEM file.
///
/// # Errors
/// The file is no PEM, or has no use.
pub(super) fn tls(ca: Option<&Path>) -> Result<ClientConfig, String> {
    let roots = match ca {
        Some(path) => CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| format!("{} is no PEM file of certificates: {error}", path.display()))?,
        None => Vec::new(),
    };
    tls_config(roots, MinTlsVersion::default()).map_err(|error| error.to_string())
}

impl Visitor {
    /// A visitor that finds hosts by the system's resolver, or all of them at one address.
    pub(super) fn new(tls: ClientConfig, at: Option<SocketAddr>) -> Self {
        let mut http = HttpConnector::new_with_resolver(Resolver { at, system: GaiResolver::new() });
        http.enforce_http(false);
        http.set_connect_timeout(Some(PATIENCE));
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(http);
        let mut client = Client::builder(TokioExecutor::new());
        // What one request leaves behind must not matter for the next.
        client.timer(TokioTimer::new()).pool_max_idle_per_host(0);
        Self(client.build(connector))
    }

    /// A navigation to a page, with these fields besides.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub(super) async fn opens(&self, url: &Url, fields: &[(&'static str, String)]) -> Result<Answer, NoAnswer> {
        let broken = |cause: &dyn std::fmt::Display| NoAnswer::Nobody(cause.to_string());
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = url.as_str().parse().map_err(|error: http::uri::InvalidUri| broken(&error))?;
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("text/html,application/xhtml+xml,*/*;q=0.8"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("vestibule-doctor/", env!("CARGO_PKG_VERSION"))));
        for (name, value) in
            [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("sec-fetch-site", "none")]
        {
            headers.insert(name, HeaderValue::from_static(value));
        }
        for (name, value) in fields {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| broken(&error))?;
            headers.append(name, HeaderValue::from_str(value).map_err(|error| broken(&error))?);
        }
        tokio::time::timeout(PATIENCE, self.exchange(url, request))
            .await
            .unwrap_or_else(|_| Err(NoAnswer::Nobody(format!("no answer within {} s", PATIENCE.as_secs()))))
    }

    async fn exchange(&self, url: &Url, request: Request<Empty<Bytes>>) -> Result<Answer, NoAnswer> {
        let response = self.0.request(request).await.map_err(|error| why(&error))?;
        let (parts, body) = response.into_parts();
        // A page that is longer shows its headers at the beginning.
        let body = Limited::new(body, LONGEST_PAGE).collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        Ok(Answer { status: parts.status, headers: parts.headers, body, url: url.clone() })
    }
}

fn why(error: &hyper_util::client::legacy::Error) -> NoAnswer {
    let text = with_causes(error);
    match tls_cause(error) {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            NoAnswer::Certificate(text)
        }
        Some(_) => NoAnswer::Handshake(text),
        None => NoAnswer::Nobody(text),
    }
}

/// The error of TLS among the causes.
fn tls_cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(cause) = next {
        // `io::Error` skips what it wraps when it is asked for its source.
        let wrapped = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let wrapped = wrapped.map(|wrapped| wrapped as &(dyn StdError + 'static));
        if let Some(found) = cause.downcast_ref().or_else(|| wrapped?.downcast_ref()) {
            return Some(found);
        }
        next = wrapped.or_else(|| cause.source());
    }
    None
}

/// Every name at one address, or where the system says.
#[derive(Clone, Debug)]
struct Resolver {
    at: Option<SocketAddr>,
    system: GaiResolver,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.system.poll_ready(context)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        if let Some(address) = self.at {
            return Box::pin(async move { Ok(vec![address].into_iter()) });
        }
        let found = self.system.call(name);
        Box::pin(async move { Ok(found.await?.collect::<Vec<_>>().into_iter()) })
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
const LONGEST_PAGE: usize = 1024 * 1024;
