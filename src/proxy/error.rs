//! Why an application gave no answer, and who is to blame for it.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::body::{Stalled, TooLarge};
use crate::proxy::answer_head::Endless;
use crate::proxy::response::HEADER_TOO_LARGE;
use crate::proxy::settings::UpstreamAddress;
use crate::telemetry::causes::cause;
use crate::telemetry::metrics::CallFailure;

/// A request that could not be forwarded, or whose answer could not be taken. The display text may hold addresses: it is for
/// logs. [`code`](Self::code) is for people and metrics.
#[derive(Debug)]
pub struct UpstreamError {
    /// What went wrong.
    pub fault: UpstreamFault,
    /// The address, or the last one that was tried.
    place: Arc<str>,
    /// The error of the operating system, of rustls or of hyper.
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What went wrong with a request to an application. A time is the limit that was configured.
#[derive(Clone, Copy, Debug)]
pub enum UpstreamFault {
    /// No connection to any address.
    Connect,
    /// The name of no address could be resolved.
    NameResolution,
    /// The connection, TLS included, took too long.
    ConnectTimeout(Duration),
    /// As many connections to applications are open as there may be, and none was given up in time.
    NoRoom(Duration),
    /// The TLS handshake failed: an unknown authority, another name, a refused client certificate.
    Tls,
    /// The request was sent; no response head came in time.
    FirstByteTimeout(Duration),
    /// The connection ended before the response head.
    Closed,
    /// What came back is not a response that may be passed on: what is wrong with it.
    BadResponse(&'static str),
    /// An upgrade was asked of an application that is spoken to by HTTP/2 only.
    UpgradeImpossible,
    /// The path, or the `Destination`, has no counterpart at this address. The gateway judges neither then.
    Unmapped,
    /// The client's connection failed while it sent the request's body.
    RequestBody,
    /// The client sent nothing, or too little, of its request's body for too long.
    RequestBodyTimeout(Duration),
    /// The request's body is larger than the limit.
    RequestTooLarge,
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use UpstreamFault as Fault;
        let Self { place, .. } = self;
        match self.fault {
            Fault::Connect => write!(f, "cannot connect to {place}"),
            Fault::NameResolution => write!(f, "cannot resolve the name of {place}"),
            Fault::ConnectTimeout(after) => write!(f, "connecting to {place} took longer than {after:?}"),
            Fault::NoRoom(after) => write!(
                f,
                "no connection to {place} within {after:?}: as many to applications are open as the limit of open files allows"
            ),
            Fault::Tls => write!(f, "TLS towards {place} failed"),
            Fault::FirstByteTimeout(after) => write!(f, "{place} did not begin to answer within {after:?}"),
            Fault::Closed => write!(f, "{place} closed the connection before it answered"),
            Fault::BadResponse(fault) => write!(f, "{place} sent a faulty response: {fault}"),
            Fault::UpgradeImpossible => write!(f, "{place} speaks HTTP/2 only, which has no upgrades"),
            Fault::Unmapped => write!(f, "the path does not begin with what is taken off for {place}"),
            Fault::RequestBody => f.write_str("the client broke off the request's body"),
            Fault::RequestBodyTimeout(after) => {
                write!(f, "the client sent nothing, or less than `body_rate`, of the request's body for {after:?}")
            }
            Fault::RequestTooLarge => f.write_str("the request's body is larger than the limit"),
        }
    }
}

impl StdError for UpstreamError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl UpstreamError {
    /// Something went wrong at this address.
    pub(super) fn at(address: &UpstreamAddress, fault: UpstreamFault) -> Self {
        Self { fault, place: address.place(), source: None }
    }

    /// The same, because of an error of somebody else's.
    pub(super) fn because(
        address: &UpstreamAddress,
        fault: UpstreamFault,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self { source: Some(source.into()), ..Self::at(address, fault) }
    }

    /// Nothing can be tried.
    pub(super) fn without_address() -> Self {
        Self { fault: UpstreamFault::Connect, place: Arc::default(), source: None }
    }

    /// What hyper reports for an exchange that failed before the response head.
    pub(super) fn from_exchange(address: &UpstreamAddress, source: hyper::Error) -> Self {
        let fault = if source.is_user() {
            if cause::<TooLarge>(&source).is_some() {
                UpstreamFault::RequestTooLarge
            } else if let Some(Stalled(after)) = cause(&source) {
                UpstreamFault::RequestBodyTimeout(*after)
            } else {
                UpstreamFault::RequestBody
            }
        } else if cause::<Endless>(&source).is_some() {
            UpstreamFault::BadResponse("more than 256 KiB of informational answers (1xx) and no final one")
        } else if source.is_parse_too_large() {
            UpstreamFault::BadResponse(HEADER_TOO_LARGE)
        } else if source.is_parse() {
            UpstreamFault::BadResponse("it cannot be read as HTTP")
        } else {
            UpstreamFault::Closed
        };
        Self::because(address, fault, source)
    }

    /// A stable name for logs, metrics and pages.
    pub fn code(&self) -> &'static str {
        self.facts().0
    }

    /// The status that the browser gets ([RFC 9110 section 15.6](https://www.rfc-editor.org/rfc/rfc9110#section-15.6): 502 for a
    /// fault, 504 for a timeout).
    pub fn status(&self) -> StatusCode {
        self.facts().1
    }

    /// What failed, for metrics.
    pub fn failure(&self) -> CallFailure {
        let is_refused = |source: &io::Error| source.kind() == io::ErrorKind::ConnectionRefused;
        match self.fault {
            UpstreamFault::Connect if cause(self).is_some_and(is_refused) => CallFailure::ConnectionRefused,
            _ => self.facts().2,
        }
    }

    /// Whether the application is to blame, so that its address may be put aside; otherwise the client is, or a limit of ours.
    pub fn is_upstream_fault(&self) -> bool {
        self.facts().3
    }

    /// Code, status, failure, and whether the application is to blame.
    fn facts(&self) -> (&'static str, StatusCode, CallFailure, bool) {
        use UpstreamFault as Fault;
        let (bad, late) = (StatusCode::BAD_GATEWAY, StatusCode::GATEWAY_TIMEOUT);
        match self.fault {
            Fault::Connect => ("upstream_connect", bad, CallFailure::Connect, true),
            Fault::NameResolution => ("upstream_name_resolution", bad, CallFailure::NameResolution, true),
            Fault::ConnectTimeout(_) => ("upstream_connect_timeout", late, CallFailure::Timeout, true),
            Fault::NoRoom(_) => ("upstream_no_room", StatusCode::SERVICE_UNAVAILABLE, CallFailure::Connect, false),
            Fault::Tls => ("upstream_tls", bad, CallFailure::Tls, true),
            Fault::FirstByteTimeout(_) => ("upstream_first_byte_timeout", late, CallFailure::Timeout, true),
            Fault::Closed => ("upstream_closed", bad, CallFailure::ConnectionClosed, true),
            Fault::BadResponse(_) => ("upstream_bad_response", bad, CallFailure::BadResponse, true),
            Fault::UpgradeImpossible => ("upstream_upgrade_impossible", bad, CallFailure::Request, false),
            Fault::Unmapped => ("path_not_mapped", StatusCode::BAD_REQUEST, CallFailure::Request, false),
            Fault::RequestBody => ("request_body_broken", StatusCode::BAD_REQUEST, CallFailure::Request, false),
            Fault::RequestBodyTimeout(_) => {
                ("request_body_timeout", StatusCode::REQUEST_TIMEOUT, CallFailure::Request, false)
            }
            Fault::RequestTooLarge => {
                ("request_body_too_large", StatusCode::PAYLOAD_TOO_LARGE, CallFailure::Request, false)
            }
        }
    }
}
