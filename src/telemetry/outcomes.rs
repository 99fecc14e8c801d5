//! Histograms by method and outcome over closed lists, resolved once and then reached by index.

use std::sync::OnceLock;
use std::time::Duration;

use http::{Method, StatusCode};

use crate::telemetry::shards::ShardedHistogram;

/// Why a call had no answer: the label `error_type`, as OpenTelemetry's `error.type` a closed list.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CallFailure {
    /// What came is not an answer.
    BadResponse,
    /// No connection, for another reason than the others.
    Connect,
    /// The connection ended before the answer.
    ConnectionClosed,
    /// Nobody listens there.
    ConnectionRefused,
    /// The name has no address.
    NameResolution,
    /// The proxy on the way out wants other credentials, or any.
    ProxyAuthentication,
    /// Behind the proxy on the way out, a certificate of an authority that is not known.
    ProxyCertificate,
    /// The proxy on the way out makes no connection to the peer.
    ProxyRefused,
    /// The proxy on the way out cannot be reached, or gives no answer.
    ProxyUnreachable,
    /// The request could not be sent: its sender broke off, or it is not one for this peer.
    Request,
    /// It took too long.
    Timeout,
    /// No trusted TLS session.
    Tls,
}

impl CallFailure {
    const ALL: [Self; 12] = [
        Self::BadResponse,
        Self::Connect,
        Self::ConnectionClosed,
        Self::ConnectionRefused,
        Self::NameResolution,
        Self::ProxyAuthentication,
        Self::ProxyCertificate,
        Self::ProxyRefused,
        Self::ProxyUnreachable,
        Self::Request,
        Self::Timeout,
        Self::Tls,
    ];

    /// Whether the peer was there all the same; none where that cannot be said.
    pub(super) fn is_up(self) -> Option<bool> {
        match self {
            Self::Connect | Self::ConnectionRefused | Self::NameResolution | Self::Tls => Some(false),
            Self::ProxyAuthentication | Self::ProxyCertificate | Self::ProxyRefused | Self::ProxyUnreachable => {
                Some(false)
            }
            Self::BadResponse => Some(true),
            Self::ConnectionClosed | Self::Request | Self::Timeout => None,
        }
    }

    /// The word for the label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadResponse => "bad_response",
            Self::Connect => "connect",
            Self::ConnectionClosed => "connection_closed",
            Self::ConnectionRefused => "connection_refused",
            Self::NameResolution => "name_resolution",
            Self::ProxyAuthentication => "proxy_authentication",
            Self::ProxyCertificate => "proxy_certificate",
            Self::ProxyRefused => "proxy_refused",
            Self::ProxyUnreachable => "proxy_unreachable",
            Self::Request => "request",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
        }
    }
}

/// A histogram for each method and outcome, made when first seen. All lists are closed: what is not on them counts as
/// `_OTHER` (as OpenTelemetry has it) and as its class, so that neither clients nor upstreams can make up label values.
pub(super) struct Outcomes(Box<[OnceLock<ShardedHistogram>]>);

impl Default for Outcomes {
    fn default() -> Self {
        Self((0..METHODS.len() * ENDS).map(|_| OnceLock::new()).collect())
    }
}

impl Outcomes {
    /// The histogram of a method and a status is there from now on.
    pub(super) fn exist(
        &self,
        method: &Method,
        status: StatusCode,
        resolve: impl FnOnce(&'static str, Label) -> ShardedHistogram,
    ) {
        let (method, end) = (method_place(method), status_place(status));
        let Some(slot) = self.0.get(method * ENDS + end) else { return };
        slot.get_or_init(|| resolve(METHODS.get(method).copied().unwrap_or("_OTHER"), label(end)));
    }

    /// `resolve` is given the method and the outcome as labels.
    pub(super) fn observe(
        &self,
        method: &Method,
        outcome: Result<StatusCode, CallFailure>,
        took: Duration,
        resolve: impl FnOnce(&'static str, Label) -> ShardedHistogram,
    ) {
        let method = method_place(method);
        let end = match outcome {
            Ok(status) => status_place(status),
            Err(failure) => STATUSES.len() + failure as usize,
        };
        let Some(slot) = self.0.get(method * ENDS + end) else { return };
        slot.get_or_init(|| resolve(METHODS.get(method).copied().unwrap_or("_OTHER"), label(end))).observe(took);
    }
}

/// The name and the value of a label.
pub(super) type Label = (&'static str, String);

fn label(end: usize) -> Label {
    match (STATUSES.get(end), CallFailure::ALL.get(end.saturating_sub(STATUSES.len()))) {
        (Some(class @ 1..=9), _) => ("http_response_status_code", format!("{class}xx")),
        (Some(code), _) => ("http_response_status_code", code.to_string()),
        (None, failure) => ("error_type", failure.map_or("_OTHER", |failure| failure.as_str()).to_owned()),
    }
}

fn method_place(method: &Method) -> usize {
    METHODS.iter().position(|known| *known == method.as_str()).unwrap_or(METHODS.len() - 1)
}

fn status_place(status: StatusCode) -> usize {
    let code = status.as_u16();
    let exact = STATUSES.iter().position(|known| *known == code);
    exact.or_else(|| STATUSES.iter().position(|known| *known == code / 100)).unwrap_or(STATUSES.len() - 1)
}

const METHODS: [&str; 9] = ["GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "_OTHER"];
/// Status codes with a label of their own, most frequent first; numbers below 10 are classes.
const STATUSES: [u16; 37] = [
    200, 304, 302, 303, 404, 401, 403, 204, 206, 201, 202, 101, 301, 307, 308, 400, 405, 408, 409, 410, 412, 413, 415,
    421, 422, 429, 431, 500, 501, 502, 503, 504, 1, 2, 3, 4, 5,
];
/// Outcomes with a label of their own.
const ENDS: usize = STATUSES.len() + CallFailure::ALL.len();

/// What ends a session before its time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SessionEnd {
    /// The person.
    Logout,
    /// A logout token of the provider.
    Backchannel,
    /// A page of the provider.
    Frontchannel,
}

impl SessionEnd {
    /// Each of them.
    pub(super) const ALL: [Self; 3] = [Self::Logout, Self::Backchannel, Self::Frontchannel];

    /// The label.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::Backchannel => "backchannel",
            Self::Frontchannel => "frontchannel",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_a_label_of_its_own() {
        for (place, failure) in CallFailure::ALL.into_iter().enumerate() {
            assert_eq!(failure as usize, place);
            assert_eq!(label(STATUSES.len() + place), ("error_type", failure.as_str().to_owned()));
        }
        assert_eq!(label(0), ("http_response_status_code", "200".to_owned()));
        assert_eq!(label(STATUSES.len() - 1), ("http_response_status_code", "5xx".to_owned()));
    }
}
