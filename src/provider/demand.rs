//! What a provider's metadata can require of every sign-in and is not supported here.

use std::fmt;

/// What a provider can require of every sign-in and is not supported here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Demand {
    /// `require_pushed_authorization_requests` ([RFC 9126 section 5](https://www.rfc-editor.org/rfc/rfc9126#section-5)).
    PushedRequests,
    /// `require_signed_request_object` ([RFC 9101 section 10.5](https://www.rfc-editor.org/rfc/rfc9101#section-10.5)).
    SignedRequests,
}

impl Demand {
    /// A stable reason for logs and pages.
    pub fn code(self) -> &'static str {
        match self {
            Self::PushedRequests => "pushed_requests_required",
            Self::SignedRequests => "signed_requests_required",
        }
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PushedRequests => {
                "pushed authorization requests (PAR: require_pushed_authorization_requests), which are not supported here: switch that off there"
            }
            Self::SignedRequests => {
                "signed request objects (JAR: require_signed_request_object), which are not supported here: switch that off there"
            }
        })
    }
}
