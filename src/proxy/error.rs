//! Why an application gave no answer, and who is to blame for it.

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::body::{Stalled, TooLarge};
use crate::proxy::answer_head::Endless;
use crate::proxy::response::HEADER_TOO_LARGE;
use crate::telemetry::metrics::CallFailure;

/// A request that could not be forwarded, or whose answer could not be taken. The display text may hold addresses: it is for
/// logs. [`code`](Self::code) is for people and metrics.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No connection to any address.
    #[error("cannot connect to {authority}")]
    Connect {
        /// The address tried last.
        authority: Arc<str>,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The name of no address could be resolved.
    #[error("cannot resolve the name of {authority}")]
    NameResolution {
        /// The address tried last.
        authority: Arc<str>,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The connection, TLS included, took too long.
    #[error("connecting to {authority} took longer than {after:?}")]
    ConnectTimeout {
        /// The address tried last.
        authority: Arc<str>,
        /// The configured limit.
        after: Duration,
    },
    /// As many connections to applications are open as there may be, and none was given up in time.
    #[error(
        "no connection to {authority} within {after:?}: as many to applications are open as the limit of open files allows"
    )]
    NoRoom {
        /// The address.
        authority: Arc<str>,
        /// The configured limit.
        after: Duration,
    },
    /// The TLS handshake failed: an unknown authority, another name, a refused client certificate.
    #[error("TLS towards {authority} failed")]
    Tls {
        /// The address tried last.
        authority: Arc<str>,
        /// The error of rustls.
        source: io::Error,
    },
    /// The request was sent; no response head came in time.
    #[error("{authority} did not begin to answer within {after:?}")]
    FirstByteTimeout {
        /// The address.
        authority: Arc<str>,
        /// The configured limit.
        after: Duration,
    },
    /// The connection ended before the response head.
    #[error("{authority} closed the connection before it answered")]
    Closed {
        /// The address.
        authority: Arc<str>,
        /// The error of hyper.
        source: hyper::Error,
    },
    /// What came back is not a response that may be passed on.
    #[error("{authority} sent a faulty response: {fault}")]
    BadResponse {
        /// The address.
        authority: Arc<str>,
        /// What is wrong with it.
        fault: &'static str,
        /// The error of hyper, where hyper found it.
        source: Option<hyper::Error>,
    },
    /// An upgrade was asked of an application that is spoken to by HTTP/2 only.
    #[error("{authority} speaks HTTP/2 only, which has no upgrades")]
    UpgradeImpossible {
        /// The address.
        authority: Arc<str>,
    },
    /// The client's connection failed while it sent the request's body.
    #[error("the client broke off the request's body")]
    RequestBody {
        /// The error of hyper.
        source: hyper::Error,
    },
    /// The client sent nothing, or too little, of its request's body for too long.
    #[error("the client sent nothing, or less than `body_rate`, of the request's body for {after:?}")]
    RequestBodyTimeout {
        /// The configured limit.
        after: Duration,
    },
    /// The request's body is larger than the limit.
    #[error("the request's body is larger than the limit")]
    RequestTooLarge,
}

impl UpstreamError {
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
        match self {
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused => {
                CallFailure::ConnectionRefused
            }
            _ => self.facts().2,
        }
    }

    /// Whether the application is to blame, so that its address may be put aside; otherwise the client is, or a limit of ours.
    pub fn is_upstream_fault(&self) -> bool {
        self.facts().3
    }

    /// Code, status, failure, and whether the application is to blame.
    fn facts(&self) -> (&'static str, StatusCode, CallFailure, bool) {
        use CallFailure::{BadResponse, Connect, ConnectionClosed, NameResolution, Request, Timeout, Tls};
        match self {
            Self::Connect { .. } => ("upstream_connect", StatusCode::BAD_GATEWAY, Connect, true),
            Self::NameResolution { .. } => ("upstream_name_resolution", StatusCode::BAD_GATEWAY, NameResolution, true),
            Self::ConnectTimeout { .. } => ("upstream_connect_timeout", StatusCode::GATEWAY_TIMEOUT, Timeout, true),
            Self::NoRoom { .. } => ("upstream_no_room", StatusCode::SERVICE_UNAVAILABLE, Connect, false),
            Self::Tls { .. } => ("upstream_tls", StatusCode::BAD_GATEWAY, Tls, true),
            Self::FirstByteTimeout { .. } => {
                ("upstream_first_byte_timeout", StatusCode::GATEWAY_TIMEOUT, Timeout, true)
            }
            Self::Closed { .. } => ("upstream_closed", StatusCode::BAD_GATEWAY, ConnectionClosed, true),
            Self::BadResponse { .. } => ("upstream_bad_response", StatusCode::BAD_GATEWAY, BadResponse, true),
            Self::UpgradeImpossible { .. } => ("upstream_upgrade_impossible", StatusCode::BAD_GATEWAY, Request, false),
            Self::RequestBody { .. } => ("request_body_broken", StatusCode::BAD_REQUEST, Request, false),
            Self::RequestBodyTimeout { .. } => ("request_body_timeout", StatusCode::REQUEST_TIMEOUT, Request, false),
            Self::RequestTooLarge => ("request_body_too_large", StatusCode::PAYLOAD_TOO_LARGE, Request, false),
        }
    }

    /// What hyper reports for an exchange that failed before the response head.
    pub(super) fn from_exchange(authority: &Arc<str>, source: hyper::Error) -> Self {
        if source.is_user() {
            return if caused_by::<TooLarge>(&source).is_some() {
                Self::RequestTooLarge
            } else if let Some(Stalled(after)) = caused_by(&source) {
                Self::RequestBodyTimeout { after: *after }
            } else {
                Self::RequestBody { source }
            };
        }
        let authority = Arc::clone(authority);
        if is_endless(&source) {
            let fault = "more than 256 KiB of informational answers (1xx) and no final one";
            Self::BadResponse { authority, fault, source: None }
        } else if source.is_parse_too_large() {
            Self::BadResponse { authority, fault: HEADER_TOO_LARGE, source: Some(source) }
        } else if source.is_parse() {
            Self::BadResponse { authority, fault: "it cannot be read as HTTP", source: Some(source) }
        } else {
            Self::Closed { authority, source }
        }
    }

    pub(super) fn bad_response(authority: &Arc<str>, fault: &'static str) -> Self {
        Self::BadResponse { authority: Arc::clone(authority), fault, source: None }
    }
}

fn is_endless(error: &hyper::Error) -> bool {
    let stream = error.source().and_then(<dyn StdError>::downcast_ref::<io::Error>);
    stream.and_then(io::Error::get_ref).is_some_and(|cause| cause.is::<Endless>())
}

/// The error of this kind that lies below another one.
fn caused_by<E: StdError + 'static>(error: &hyper::Error) -> Option<&E> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}
