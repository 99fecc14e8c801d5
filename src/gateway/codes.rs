//! The codes that people see on our pages: for each its status, and the words for the person in front of the page.
//!
//! The words stand in `pages/en.txt`; they accuse nobody and name no part of the machinery. The long text for whoever runs the
//! gateway stands in the registry of all codes, [`crate::codes`].

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use http::StatusCode;

macro_rules! codes {
    ($($name:ident $number:literal $reason:literal $status:ident;)+) => {
        /// What went wrong, as a closed list.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum Problem {
            $(#[doc = concat!("`", $number, " ", $reason, "`")] $name,)+
        }

        impl Problem {
            /// Every code there is, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The number on the page, `VB-1002`.
            pub fn number(self) -> &'static str {
                match self {
                    $(Self::$name => $number,)+
                }
            }

            /// The same in words for logs, metrics and scripts, `state_expired`.
            pub fn reason(self) -> &'static str {
                match self {
                    $(Self::$name => $reason,)+
                }
            }

            /// The status that goes with it.
            pub fn status(self) -> StatusCode {
                match self {
                    $(Self::$name => StatusCode::$status,)+
                }
            }
        }
    };
}

codes! {
    StateMissing "VB-1001" "state_missing" BAD_REQUEST;
    StateExpired "VB-1002" "state_expired" BAD_REQUEST;
    StateUnknown "VB-1003" "state_unknown" BAD_REQUEST;
    AttemptUsed "VB-1004" "attempt_used" BAD_REQUEST;
    OtherBrowser "VB-1005" "attempt_cookie_missing" BAD_REQUEST;
    CookiesBlocked "VB-1006" "cookies_blocked" BAD_REQUEST;
    CallbackMalformed "VB-1008" "callback_malformed" BAD_REQUEST;
    IssuerMismatch "VB-1009" "issuer_mismatch" BAD_REQUEST;
    IdTokenRefused "VB-1010" "id_token_refused" BAD_GATEWAY;
    ClockSkew "VB-1011" "clock_skew" BAD_GATEWAY;
    AccessDenied "VB-1012" "access_denied" FORBIDDEN;
    LoginRequired "VB-1013" "login_required" BAD_REQUEST;
    ConsentRequired "VB-1014" "consent_required" BAD_REQUEST;
    InteractionRequired "VB-1015" "interaction_required" BAD_REQUEST;
    ProviderError "VB-1016" "provider_error" BAD_REQUEST;
    IdentityMissing "VB-1017" "identity_missing" BAD_GATEWAY;
    TenantNotAllowed "VB-1019" "tenant_not_allowed" FORBIDDEN;
    SignInNeeded "VB-1020" "sign_in_needed" UNAUTHORIZED;
    SessionEnded "VB-1021" "session_ended" UNAUTHORIZED;
    FormNotSubmitted "VB-1022" "form_not_submitted" UNAUTHORIZED;
    ProviderUnknown "VB-1024" "provider_unknown" BAD_REQUEST;
    AttemptDropped "VB-1025" "attempt_dropped" BAD_REQUEST;
    ReturnTooLong "VB-1026" "return_too_long" URI_TOO_LONG;
    SignInTooOld "VB-1027" "sign_in_too_old" UNAUTHORIZED;
    FormTooLate "VB-1028" "form_too_late" UNAUTHORIZED;
    TooManyRefused "VB-1029" "too_many_refused" TOO_MANY_REQUESTS;
    UserNameRefused "VB-1040" "user_name_refused" FORBIDDEN;

    ProviderUnreachable "VB-2001" "provider_unreachable" SERVICE_UNAVAILABLE;
    ProviderSlow "VB-2002" "provider_slow" SERVICE_UNAVAILABLE;
    TokenExchangeRefused "VB-2003" "token_exchange_refused" BAD_GATEWAY;
    ClientRefused "VB-2004" "client_refused" BAD_GATEWAY;
    TokenResponseBad "VB-2005" "token_response_bad" BAD_GATEWAY;
    DiscoveryBad "VB-2006" "discovery_bad" BAD_GATEWAY;
    KeysBad "VB-2007" "keys_bad" BAD_GATEWAY;
    UserinfoBad "VB-2008" "userinfo_bad" BAD_GATEWAY;
    IntrospectionBad "VB-2009" "introspection_bad" BAD_GATEWAY;
    ProviderBusy "VB-2010" "temporarily_unavailable" SERVICE_UNAVAILABLE;
    ProviderFault "VB-2011" "server_error" BAD_GATEWAY;
    KeysChanged "VB-2012" "keys_changed" SERVICE_UNAVAILABLE;
    PushedRequests "VB-2013" "pushed_requests_required" BAD_GATEWAY;
    SignedRequests "VB-2014" "signed_requests_required" BAD_GATEWAY;
    ProxyUnreachable "VB-2020" "proxy_unreachable" SERVICE_UNAVAILABLE;
    ProxyAuthentication "VB-2021" "proxy_authentication" SERVICE_UNAVAILABLE;
    ProxyRefused "VB-2022" "proxy_refused" SERVICE_UNAVAILABLE;
    ProxyCertificate "VB-2023" "proxy_certificate" SERVICE_UNAVAILABLE;

    UpstreamConnect "VB-3001" "upstream_connect" BAD_GATEWAY;
    UpstreamTimeout "VB-3002" "upstream_timeout" GATEWAY_TIMEOUT;
    UpstreamBroke "VB-3003" "upstream_broke_off" BAD_GATEWAY;
    UpstreamTls "VB-3004" "upstream_tls" BAD_GATEWAY;
    UpstreamBadResponse "VB-3005" "upstream_bad_response" BAD_GATEWAY;
    UpstreamNoRoom "VB-3006" "upstream_no_room" SERVICE_UNAVAILABLE;

    BadRequest "VB-4001" "bad_request" BAD_REQUEST;
    BadHost "VB-4002" "bad_host" BAD_REQUEST;
    BadPath "VB-4003" "bad_path" BAD_REQUEST;
    BadHeader "VB-4004" "bad_header" BAD_REQUEST;
    BodyTooLarge "VB-4005" "body_too_large" PAYLOAD_TOO_LARGE;
    BodyTooSlow "VB-4006" "request_body_timeout" REQUEST_TIMEOUT;
    BadForm "VB-4007" "bad_form" BAD_REQUEST;
    NotAllowed "VB-4010" "not_allowed" FORBIDDEN;
    NetworkNotAllowed "VB-4013" "network_not_allowed" FORBIDDEN;
    RouteClosed "VB-4014" "route_closed" FORBIDDEN;
    UnknownHost "VB-4020" "unknown_host" MISDIRECTED_REQUEST;
    NotFound "VB-4021" "not_found" NOT_FOUND;
    MethodNotAllowed "VB-4022" "method_not_allowed" METHOD_NOT_ALLOWED;
    WebSocketOrigin "VB-4023" "websocket_origin" FORBIDDEN;
    CrossSiteLogout "VB-4024" "cross_site_logout" FORBIDDEN;
    UpgradeRefused "VB-4025" "upgrade_refused" BAD_REQUEST;
    UserNameUnsendable "VB-4035" "user_name_unsendable" FORBIDDEN;

    SessionTooLarge "VB-5001" "session_too_large" INTERNAL_SERVER_ERROR;
    Internal "VB-5004" "internal" INTERNAL_SERVER_ERROR;
}

impl Problem {
    /// Those with which a sign-in may end.
    pub fn of_sign_ins() -> impl Iterator<Item = Self> {
        let ends = |code: &&Self| code.number().starts_with("VB-1") || code.number().starts_with("VB-2");
        Self::ALL.iter().filter(ends).copied()
    }

    /// The heading of the page.
    pub fn title(self) -> &'static str {
        self.wording().0
    }

    /// The sentences of the page; `provider` is what people call the provider that it is about.
    pub fn message(self, provider: Option<&str>) -> String {
        let at = provider.map(|title| format!(" of {title}")).unwrap_or_default();
        self.wording().1.replacen(AT, &at, 1)
    }

    /// Whether it keeps somebody out, whoever they are or because of who they are.
    pub fn denies(self) -> bool {
        matches!(
            self,
            Self::NotAllowed
                | Self::NetworkNotAllowed
                | Self::RouteClosed
                | Self::TenantNotAllowed
                | Self::UserNameRefused
        )
    }

    /// Whether the provider's title stands in the sentences of the page.
    pub fn is_about_a_provider(self) -> bool {
        self.wording().1.contains(AT)
    }

    /// The heading and the sentences.
    fn wording(self) -> (&'static str, &'static str) {
        WORDINGS.get(self.number()).copied().unwrap_or_default()
    }

    /// Whether the person need not do anything but try again later.
    pub fn is_passing(self) -> bool {
        matches!(
            self.status(),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
        ) || matches!(self, Self::UpstreamConnect | Self::UpstreamBroke | Self::ProviderFault | Self::KeysBad)
    }

    /// The code for the `error` of an authorization response
    /// ([RFC 6749 section 4.1.2.1](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2.1),
    /// [OpenID Connect Core section 3.1.2.6](https://openid.net/specs/openid-connect-core-1_0.html#AuthError)).
    pub fn of_provider_error(error: &str) -> Self {
        match error {
            "access_denied" => Self::AccessDenied,
            "login_required" => Self::LoginRequired,
            "consent_required" => Self::ConsentRequired,
            "interaction_required" | "account_selection_required" => Self::InteractionRequired,
            "temporarily_unavailable" => Self::ProviderBusy,
            "server_error" => Self::ProviderFault,
            _ => Self::ProviderError,
        }
    }

    /// The reason of an authorization response with `error`: that error where it is a registered one, else the code's own.
    pub fn reason_of_provider_error(error: &str) -> &'static str {
        let registered = REGISTERED_ERRORS.iter().copied().find(|registered| *registered == error);
        registered.unwrap_or_else(|| Self::of_provider_error(error).reason())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.number())
    }
}

/// The heading and the sentences of each page, by number. A test holds that none is missing.
static WORDINGS: LazyLock<HashMap<&str, (&str, &str)>> = LazyLock::new(|| {
    let entries = include_str!("pages/en.txt").split("\n\n").filter_map(|entry| {
        let mut lines = entry.lines();
        Some((lines.next()?, (lines.next()?, lines.next()?)))
    });
    entries.collect()
});

/// The errors of an authorization response
/// ([OpenID Connect Core section 3.1.2.6](https://openid.net/specs/openid-connect-core-1_0.html#AuthError),
/// [RFC 6749 section 4.1.2.1](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2.1),
/// [RFC 8707 section 2](https://www.rfc-editor.org/rfc/rfc8707#section-2)) that are no code's own reason.
const REGISTERED_ERRORS: [&str; 11] = [
    "account_selection_required",
    "invalid_request",
    "invalid_request_object",
    "invalid_request_uri",
    "invalid_scope",
    "invalid_target",
    "registration_not_supported",
    "request_not_supported",
    "request_uri_not_supported",
    "unauthorized_client",
    "unsupported_response_type",
];
/// Where in a message the provider's title goes.
const AT: &str = "{at}";

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::codes;

    #[test]
    fn every_code_is_numbered_once_and_in_order() {
        let numbers: Vec<_> = Problem::ALL.iter().map(|code| code.number()).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
        assert_eq!(numbers.iter().collect::<HashSet<_>>().len(), numbers.len());
        assert_eq!(Problem::ALL.iter().map(|code| code.reason()).collect::<HashSet<_>>().len(), numbers.len());
        assert!(numbers.iter().all(|n| n.len() == 7 && n.starts_with("VB-")));
    }

    #[test]
    fn every_code_has_a_long_text_of_its_own() {
        let listed = codes::all().filter(|(number, _)| ("VB-1000".."VB-6000").contains(number));
        assert!(listed.map(|(number, _)| number).eq(Problem::ALL.iter().map(|code| code.number())));
        for code in Problem::ALL {
            assert_eq!(codes::reasons(code.number()).next(), Some(code.reason()), "{code}");
        }
    }

    #[test]
    fn every_code_has_words_of_its_own_for_pages() {
        assert_eq!(WORDINGS.len(), Problem::ALL.len());
        for code in Problem::ALL {
            assert!(!code.title().is_empty() && !code.message(None).is_empty(), "{code}");
        }
    }

    // OA-07
    #[test]
    fn errors_of_the_provider_have_distinct_outcomes() {
        let status = |error| Problem::of_provider_error(error).status().as_u16();
        assert_eq!(status("access_denied"), 403);
        assert_eq!(status("temporarily_unavailable"), 503);
        assert_eq!(status("server_error"), 502);
        assert_eq!(status("login_required"), 400);
        assert_eq!(status("<script>"), 400);
    }

    // pages.md section 8.1, moment 5: the person is never accused.
    #[test]
    fn nobody_is_accused() {
        for code in Problem::ALL {
            let said = format!("{} {}", code.title(), code.message(None)).to_lowercase();
            for word in ["attack", "csrf", "forged", "malicious", "illegal", "invalid", "hacker"] {
                assert!(!said.contains(word), "{code} says {word}");
            }
        }
    }
}
