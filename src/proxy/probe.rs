//! `vestibule check`: whether an application is reachable and speaks the configured protocol, as far as one harmless request shows it.
//!
//! With TLS 1.3 a handshake is over before the server has looked at the client's certificate, and a server of TLS takes any
//! connection: only what comes after tells ([RFC 8446 section 4.4.2](https://www.rfc-editor.org/rfc/rfc8446#section-4.4.2)).

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Empty;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::time::timeout;

use crate::proxy::balance::Upstream;
use crate::proxy::connect::{Connected, connect};
use crate::proxy::error::UpstreamError;
use crate::proxy::settings::{UpstreamAddress, UpstreamProtocol, UpstreamSettings, UpstreamTls, UpstreamTransport};
use crate::telemetry::causes::{cause, with_causes};

/// Tries every address once: what cannot be used is named, with what to do about it.
///
/// # Errors
/// The first address that fails, in words.
pub async fn probe(settings: &UpstreamSettings) -> Result<(), String> {
    let upstream = Upstream::new(settings.clone()).map_err(|error| with_causes(&error))?;
    for address in &settings.addresses {
        let connected = connect(&upstream, address, false).await.map_err(|error| advised(&error))?;
        // It is there. How it answers a request for nothing in particular, and how fast, is its own affair.
        let Ok(answer) = timeout(ANSWER, ask(connected, address)).await else { continue };
        match (address.protocol, answer) {
            (UpstreamProtocol::Tls, Err(error)) => {
                let why = if settings.tls.client.is_some() {
                    "it may not take the client certificate of the route's `tls.cert`"
                } else {
                    "it may want a client certificate: name one with the route's `tls.cert` and `tls.key`"
                };
                return Err(format!(
                    "{} ended the connection after the TLS handshake: {error}: {why}",
                    address.place()
                ));
            }
            (UpstreamProtocol::Http1, answer) => {
                let is_odd = answer.is_err() || answer == Ok(StatusCode::BAD_REQUEST);
                if is_odd && speaks_tls(settings, address).await {
                    return Err(format!("{} speaks TLS: write the upstream as https://", address.place()));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The status of `HEAD /`, or how the connection ended before there was one.
async fn ask(connected: Connected, address: &UpstreamAddress) -> Result<StatusCode, String> {
    let Connected { stream, http2 } = connected;
    let io = TokioIo::new(stream);
    let words = |error: hyper::Error| with_causes(&error);
    let request = if http2 { format!("http://{}/", address.authority) } else { "/".to_owned() };
    let request =
        Request::head(request).header(header::HOST, &*address.authority).header(header::USER_AGENT, USER_AGENT);
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
    if http2 {
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.map_err(words)?;
        meanwhile(sender.send_request(request), connection).await
    } else {
        let (mut sender, connection) = http1::handshake(io).await.map_err(words)?;
        meanwhile(sender.send_request(request), connection).await
    }
    .map(|answer| answer.status())
    .map_err(words)
}

/// The answer, while the connection is driven; where that ends without one, its error explains more than the lost request does. What
/// comes after the answer does not matter: some applications send a body for HEAD.
async fn meanwhile<T>(
    answer: impl Future<Output = hyper::Result<T>>,
    connection: impl Future<Output = hyper::Result<()>>,
) -> hyper::Result<T> {
    tokio::pin!(answer, connection);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        ended = &mut connection => answer.await.map_err(|lost| ended.err().unwrap_or(lost)),
    }
}

/// Whether a server of TLS answers at an address that is written as http.
async fn speaks_tls(settings: &UpstreamSettings, address: &UpstreamAddress) -> bool {
    if !matches!(address.transport, UpstreamTransport::Tcp(..)) {
        return false;
    }
    let address = UpstreamAddress { protocol: UpstreamProtocol::Tls, ..address.clone() };
    // Whose certificate it is does not matter: nothing is sent.
    let tls = UpstreamTls { insecure_skip_verify: true, ..UpstreamTls::default() };
    let settings = UpstreamSettings { addresses: vec![address.clone()], tls, ..settings.clone() };
    let Ok(upstream) = Upstream::new(settings) else { return false };
    match timeout(ANSWER, connect(&upstream, &address, true)).await {
        Ok(Ok(_)) => true,
        // Only who speaks TLS sends an alert of TLS.
        Ok(Err(error)) => matches!(cause(&error), Some(rustls::Error::AlertReceived(_))),
        Err(_) => false,
    }
}

/// A connection that failed, with what it most likely needs.
fn advised(error: &UpstreamError) -> String {
    use rustls::{AlertDescription as Alert, CertificateError as Fault, Error, InvalidMessage};
    let help = match cause(error) {
        Some(Error::InvalidCertificate(fault)) => match fault {
            Fault::UnknownIssuer => {
                "no authority that is known here issued its certificate: name one with the route's `tls.ca`"
            }
            Fault::BadSignature => {
                "another authority than the known one of that name issued its certificate: name it with the route's `tls.ca`"
            }
            Fault::NotValidForName | Fault::NotValidForNameContext { .. } => {
                "its certificate is for another name: write that as the route's `tls.server_name`"
            }
            Fault::Other(other) if other.0.downcast_ref() == Some(&webpki::Error::CaUsedAsEndEntity) => {
                "its certificate is its own authority: name that with the route's `tls.ca`"
            }
            _ => "",
        },
        Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            "it does not speak TLS there: write the upstream as http://"
        }
        Some(Error::AlertReceived(Alert::CertificateRequired)) => {
            "it wants a client certificate: name one with the route's `tls.cert` and `tls.key`"
        }
        Some(Error::AlertReceived(Alert::HandshakeFailure)) => {
            "it may want a client certificate: name one with the route's `tls.cert` and `tls.key`"
        }
        _ => "",
    };
    let separator = if help.is_empty() { "" } else { ": " };
    format!("{}{separator}{help}", with_causes(error))
}

/// How long an answer is waited for: a slow application is there all the same.
const ANSWER: Duration = Duration::from_secs(2);
/// What we call ourselves.
const USER_AGENT: &str = concat!("vestibule/", env!("CARGO_PKG_VERSION"));
