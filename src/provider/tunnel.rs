//! A tunnel through a proxy: CONNECT ([RFC 9110 section 9.3.6](https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6)).

use std::pin::pin;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::header::{self, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use crate::byte_stream::ByteStream;
use crate::provider::error::TransportError;
use crate::provider::outgoing_proxy::OutgoingProxy;
use crate::provider::words::printable;
use crate::telemetry::causes::with_causes;

/// Asks the proxy at the other end of `stream` for a connection to `target` (`host:port`), which it resolves itself.
pub(super) async fn through(
    stream: Box<dyn ByteStream>,
    proxy: &OutgoingProxy,
    target: &str,
) -> Result<Box<dyn ByteStream>, TransportError> {
    let broken = |error: hyper::Error| TransportError::ProxyAnswer(format!("{proxy}: {}", with_causes(&error)));
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let request = request(proxy, target)?;
    let answered = async {
        let answer = sender.send_request(request).await.map_err(broken)?;
        if answer.status() != StatusCode::OK {
            return Err(refusal(proxy, target, &answer));
        }
        hyper::upgrade::on(answer).await.map_err(broken)
    };
    let upgraded = match select(pin!(answered), pin!(connection.with_upgrades())).await {
        Either::Left((upgraded, _)) => upgraded?,
        // The connection hands over what came last before it ends.
        Either::Right((_, answered)) => answered.await?,
    };
    let parts = upgraded.downcast::<TokioIo<Box<dyn ByteStream>>>();
    let parts = parts.map_err(|_| TransportError::ProxyAnswer(format!("{proxy}: no tunnel came of it")))?;
    // The provider speaks after us: what came already is not from it.
    if !parts.read_buf.is_empty() {
        return Err(TransportError::ProxyAnswer(format!("{proxy}: more than a head came in answer to CONNECT")));
    }
    Ok(parts.io.into_inner())
}

/// The request; only here, and in what is asked in absolute form, does the proxy learn its credentials.
fn request(proxy: &OutgoingProxy, target: &str) -> Result<Request<Empty<Bytes>>, TransportError> {
    let host = HeaderValue::from_str(target).map_err(|_| TransportError::Url)?;
    let mut request = Request::connect(target).body(Empty::new()).map_err(|_| TransportError::Url)?;
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    headers.extend(proxy.authorization().map(|value| (PROXY_AUTHORIZATION, value)));
    Ok(request)
}

/// What an answer other than 200 means.
fn refusal(proxy: &OutgoingProxy, target: &str, answer: &Response<Incoming>) -> TransportError {
    let status = answer.status();
    if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        return unauthenticated(proxy, answer.headers());
    }
    let why = if status.is_server_error() { ": it could not reach or resolve that host" } else { "" };
    TransportError::ProxyRefused(format!("{proxy} refused a connection to {target} with status {status}{why}"))
}

/// The proxy wants other credentials, or any (407).
pub(super) fn unauthenticated(proxy: &OutgoingProxy, headers: &HeaderMap) -> TransportError {
    let what = if proxy.has_credentials() {
        "refused the user name and password"
    } else {
        "asks for a user name and a password, and none are configured"
    };
    let schemes: Vec<String> = headers
        .get_all(PROXY_AUTHENTICATE)
        .iter()
        .filter_map(|field| field.to_str().ok()?.split_whitespace().next())
        .take(MOST_SCHEMES)
        .map(|scheme| printable(scheme, LONGEST_SCHEME))
        .collect();
    let is_basic = schemes.is_empty() || schemes.iter().any(|scheme| scheme.eq_ignore_ascii_case("basic"));
    let only = if is_basic { String::new() } else { format!("; it takes {}, and Basic is spoken", schemes.join(", ")) };
    TransportError::ProxyAuthentication(format!("{proxy} {what} (status 407){only}"))
}

/// What our requests call us: some providers refuse those without.
pub(super) const USER_AGENT: &str = concat!("vestibule/", env!("CARGO_PKG_VERSION"));
/// The largest head that is taken of a proxy, and read at once.
const MAX_HEAD: usize = 16 * 1024;
/// The schemes of authentication that are named in an error.
const MOST_SCHEMES: usize = 4;
/// The longest of these.
const LONGEST_SCHEME: usize = 20;
