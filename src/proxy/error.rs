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
        /// What the system said.
        source: io::Error,
    },
    /// The name of no address could be resolved.
    #[error("cannot resolve the name of {authority}")]
    NameResolution {
        /// The address tried last.
        authority: Arc<str>,
        /// What the system said.
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
        /// What rustls said.
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
        /// What hyper said.
        source: hyper::Error,
    },
    /// What came back is not a response that may be passed on.
    #[error("{authority} sent a faulty response: {fault}")]
    BadResponse {
        /// The address.
        authority: Arc<str>,
        /// What is wrong with it.
        fault: &'static str,
        /// What hyper said, where hyper found it.
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
        /// What hyper said.
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
        match self {
            Self::Connect { .. } => "upstream_connect",
            Self::NameResolution { .. } => "upstream_name_resolution",
            Self::ConnectTimeout { .. } => "upstream_connect_timeout",
            Self::NoRoom { .. } => "upstream_no_room",
            Self::Tls { .. } => "upstream_tls",
            Self::FirstByteTimeout { .. } => "upstream_first_byte_timeout",
            Self::Closed { .. } => "upstream_closed",
            Self::BadResponse { .. } => "upstream_bad_response",
            Self::UpgradeImpossible { .. } => "upstream_upgrade_impossible",
            Self::RequestBody { .. } => "request_body_broken",
            Self::RequestBodyTimeout { .. } => "request_body_timeout",
            Self::RequestTooLarge => "request_body_too_large",
        }
    }

    /// The status that the browser gets (RFC 9110 sections 15.6.3 and 15.6.5: 502 for a fault, 504 for a time-out).
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Connect { .. }
            | Self::NameResolution { .. }
            | Self::Tls { .. }
            | Self::Closed { .. }
            | Self::BadResponse { .. }
            | Self::UpgradeImpossible { .. } => StatusCode::BAD_GATEWAY,
            Self::ConnectTimeout { .. } | Self::FirstByteTimeout { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::NoRoom { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::RequestBody { .. } => StatusCode::BAD_REQUEST,
            Self::RequestBodyTimeout { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::RequestTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }

    /// Whether the application is to blame, so that its address may be put aside; otherwise the client is.
    pub fn is_upstream_fault(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::NameResolution { .. }
            | Self::ConnectTimeout { .. }
            | Self::Tls { .. }
            | Self::FirstByteTimeout { .. }
            | Self::Closed { .. }
            | Self::BadResponse { .. } => true,
            Self::NoRoom { .. }
            | Self::UpgradeImpossible { .. }
            | Self::RequestBody { .. }
            | Self::RequestBodyTimeout { .. }
            | Self::RequestTooLarge => false,
        }
    }

    /// What failed, for metrics.
    pub fn failure(&self) -> CallFailure {
        match self {
            Self::Connect { source, .. } if source.kind() == io::ErrorKind::ConnectionRefused => {
                CallFailure::ConnectionRefused
            }
            Self::Connect { .. } | Self::NoRoom { .. } => CallFailure::Connect,
            Self::NameResolution { .. } => CallFailure::NameResolution,
            Self::ConnectTimeout { .. } | Self::FirstByteTimeout { .. } => CallFailure::Timeout,
            Self::Tls { .. } => CallFailure::Tls,
            Self::Closed { .. } => CallFailure::ConnectionClosed,
            Self::BadResponse { .. } => CallFailure::BadResponse,
            Self::UpgradeImpossible { .. }
            | Self::RequestBody { .. }
            | Self::RequestBodyTimeout { .. }
            | Self::RequestTooLarge => CallFailure::Request,
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
