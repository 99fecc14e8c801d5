//! The codes that people see on our pages: for each its status, and the words for the person in front of the page.
//!
//! `title` and `message` accuse nobody and name no part of the machinery. The long text for whoever runs the gateway stands in the
//! registry of all codes, [`crate::codes`].

use std::fmt;

use http::StatusCode;

macro_rules! codes {
    ($($name:ident $number:literal $reason:literal $status:ident $title:literal $message:literal;)+) => {
        /// What went wrong, as a closed list.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum Code {
            $(#[doc = $title] $name,)+
        }

        impl Code {
            /// Every code there is, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            fn entry(self) -> &'static Entry {
                match self {
                    $(Self::$name => &Entry {
                        number: $number,
                        reason: $reason,
                        status: StatusCode::$status,
                        title: $title,
                        message: $message,
                    },)+
                }
            }
        }
    };
}

codes! {
    StateMissing "VB-1001" "state_missing" BAD_REQUEST
        "This sign-in could not be matched"
        "The address that brought you here is not complete. This happens when it was typed, shortened or kept as a bookmark. Start again from the page that you want to see.";
    StateExpired "VB-1002" "state_expired" BAD_REQUEST
        "This sign-in took too long"
        "The sign-in page{at} was open for longer than a sign-in may take. Nothing is lost: start again, and it should take only a moment.";
    StateUnknown "VB-1003" "state_unknown" BAD_REQUEST
        "This sign-in is not known here"
        "This sign-in was not started here, or it was started before this site changed its keys. Start again from the page that you want to see.";
    AttemptUsed "VB-1004" "attempt_used" BAD_REQUEST
        "This sign-in is already finished"
        "Each sign-in works once. You probably came back to it with the back button, a reload or a bookmark.";
    OtherBrowser "VB-1005" "attempt_cookie_missing" BAD_REQUEST
        "This sign-in began in another browser"
        "A sign-in has to end in the browser and the window in which it began. Start again here.";
    CookiesBlocked "VB-1006" "cookies_blocked" BAD_REQUEST
        "Your browser did not keep our cookie"
        "Signing in needs one cookie from this site, and it did not come back. Allow cookies for this site, or open it in a tab of its own if it is shown inside another page.";
    CallbackMalformed "VB-1008" "callback_malformed" BAD_REQUEST
        "The answer to this sign-in makes no sense"
        "What came back from the sign-in page{at} is not complete or contradicts itself. Start again from the page that you want to see.";
    IssuerMismatch "VB-1009" "issuer_mismatch" BAD_REQUEST
        "This answer came from somewhere else"
        "The sign-in page{at} was asked, and the answer is from another one. You have not been signed in. Start again.";
    IdTokenRefused "VB-1010" "id_token_refused" BAD_GATEWAY
        "Your sign-in could not be verified"
        "The sign-in page{at} let you in, but what it told us about you could not be verified. This is a fault in the set-up, not in what you did.";
    ClockSkew "VB-1011" "clock_skew" BAD_GATEWAY
        "Two clocks disagree"
        "The clock of the sign-in page{at} and ours are too far apart for a sign-in to be verified. Somebody has to set one of them.";
    AccessDenied "VB-1012" "access_denied" FORBIDDEN
        "The sign-in was declined"
        "You, or the sign-in page{at}, said no. If that was a mistake, start again.";
    LoginRequired "VB-1013" "login_required" BAD_REQUEST
        "You need to sign in yourself"
        "You could not be signed in without being asked. Start again, and follow the sign-in page{at}.";
    ConsentRequired "VB-1014" "consent_required" BAD_REQUEST
        "Your consent is needed"
        "The sign-in page{at} has to ask you whether this site may know who you are. Start again, and answer its question.";
    InteractionRequired "VB-1015" "interaction_required" BAD_REQUEST
        "The sign-in page needs something from you"
        "The sign-in page{at} could not sign you in without asking you something. Start again, and follow its steps.";
    ProviderError "VB-1016" "provider_error" BAD_REQUEST
        "The sign-in page refused"
        "The sign-in page{at} did not say yes to this sign-in. If starting again does not help, pass on the lines below.";
    IdentityMissing "VB-1017" "identity_missing" BAD_GATEWAY
        "We were not told who you are"
        "The sign-in worked, but nothing came back from the sign-in page{at} that says who you are. This is a fault in the set-up, not in what you did.";
    TenantNotAllowed "VB-1019" "tenant_not_allowed" FORBIDDEN
        "Your organisation has no access here"
        "At the sign-in page{at}, you signed in with an account of an organisation whose people cannot use this site.";
    SignInNeeded "VB-1020" "sign_in_needed" UNAUTHORIZED
        "Please sign in"
        "This page is only for people who are signed in.";
    SessionEnded "VB-1021" "session_ended" UNAUTHORIZED
        "Your session has ended"
        "You were signed in for a long time, or away for a while. Sign in again to go on.";
    FormNotSubmitted "VB-1022" "form_not_submitted" UNAUTHORIZED
        "Your form was not submitted"
        "You were not signed in any more when you sent the form, so nothing was saved or changed. Sign in again, go back to the form, and send it once more.";
    ProviderUnknown "VB-1024" "provider_unknown" BAD_REQUEST
        "There is no such way to sign in"
        "The way to sign in that this address asks for does not exist here. Start again and choose another.";
    AttemptDropped "VB-1025" "attempt_dropped" BAD_REQUEST
        "Too many sign-ins at once"
        "Your browser began more sign-ins than we keep track of, in several tabs perhaps, and this was one of the oldest. Start again here.";
    ReturnTooLong "VB-1026" "return_too_long" URI_TOO_LONG
        "This address is too long"
        "You need to sign in, and the address that you asked for is too long to be kept until you come back. Sign in from the start page first, then open the address again.";
    SignInTooOld "VB-1027" "sign_in_too_old" UNAUTHORIZED
        "Please sign in once more"
        "You are signed in, but this page takes only a sign-in of a short time ago.";
    FormTooLate "VB-1028" "form_too_late" UNAUTHORIZED
        "Your form was not submitted"
        "You are signed in, but this form is taken only a short time after a sign-in, so nothing was saved or changed. Sign in once more, go back to the form, and send it again.";
    TooManyRefused "VB-1029" "too_many_refused" TOO_MANY_REQUESTS
        "Too many sign-ins could not be completed"
        "In a short time, many sign-ins that came from your network were refused. Yours was not looked at yet, and nothing is lost: wait a moment, then try again.";

    ProviderUnreachable "VB-2001" "provider_unreachable" SERVICE_UNAVAILABLE
        "The sign-in page is not available"
        "New sign-ins have to wait until the sign-in page{at} is back. Whoever is signed in already stays signed in.";
    ProviderSlow "VB-2002" "provider_slow" SERVICE_UNAVAILABLE
        "The sign-in page takes too long"
        "The sign-in page{at} did not answer in time, so we stopped waiting. Try again in a moment.";
    TokenExchangeRefused "VB-2003" "token_exchange_refused" BAD_GATEWAY
        "The sign-in could not be completed"
        "You did everything right. The sign-in page{at} refused to complete what it had begun. The people who run this site have been told.";
    ClientRefused "VB-2004" "client_refused" BAD_GATEWAY
        "This site is not set up correctly"
        "The sign-in page{at} does not accept this site's own credentials. Only the people who run this site can put that right; it has been logged for them.";
    TokenResponseBad "VB-2005" "token_response_bad" BAD_GATEWAY
        "The sign-in page gave a broken answer"
        "We could not understand what the sign-in page{at} sent when your sign-in was to be completed. It has been logged for the people who run this site.";
    DiscoveryBad "VB-2006" "discovery_bad" BAD_GATEWAY
        "The sign-in page describes itself wrongly"
        "What the sign-in page{at} says about itself does not fit how this site is set up. It has been logged for the people who run this site.";
    KeysBad "VB-2007" "keys_bad" BAD_GATEWAY
        "The sign-in page's keys are not available"
        "Without the keys of the sign-in page{at}, nobody's sign-in can be verified. Try again in a moment.";
    UserinfoBad "VB-2008" "userinfo_bad" BAD_GATEWAY
        "We could not find out who you are"
        "The sign-in worked, but the sign-in page{at} did not answer properly who you are. Try again; if it stays like this, pass on the lines below.";
    IntrospectionBad "VB-2009" "introspection_bad" BAD_GATEWAY
        "Your sign-in could not be looked up"
        "The sign-in worked, but its result could not be looked up at the sign-in page{at}. Try again; if it stays like this, pass on the lines below.";
    ProviderBusy "VB-2010" "temporarily_unavailable" SERVICE_UNAVAILABLE
        "The sign-in page is busy"
        "The sign-in page{at} asks for a little patience. Try again in a moment.";
    ProviderFault "VB-2011" "server_error" BAD_GATEWAY
        "The sign-in page has a fault"
        "Something went wrong at the sign-in page{at}, not with you. Try again in a moment.";
    KeysChanged "VB-2012" "keys_changed" SERVICE_UNAVAILABLE
        "The sign-in page has just changed its keys"
        "Your sign-in could not be verified with the keys of the sign-in page{at} that are known here. They are read again in a moment: try again then.";
    PushedRequests "VB-2013" "pushed_requests_required" BAD_GATEWAY
        "Sign-ins cannot begin here"
        "The sign-in page{at} takes only pushed authorization requests (PAR), which this site does not make. Only the people who run this site can put that right; it has been logged for them.";
    SignedRequests "VB-2014" "signed_requests_required" BAD_GATEWAY
        "Sign-ins cannot begin here"
        "The sign-in page{at} takes only signed authorization requests (JAR), which this site does not make. Only the people who run this site can put that right; it has been logged for them.";

    UpstreamConnect "VB-3001" "upstream_connect" BAD_GATEWAY
        "The application is not reachable"
        "Your sign-in is fine. The application behind it does not take connections at the moment; it may be restarting.";
    UpstreamTimeout "VB-3002" "upstream_timeout" GATEWAY_TIMEOUT
        "The application takes too long"
        "Your sign-in is fine. The application did not answer in time.";
    UpstreamBroke "VB-3003" "upstream_broke_off" BAD_GATEWAY
        "The application broke off"
        "Your sign-in is fine. The application closed the connection before it had answered.";
    UpstreamTls "VB-3004" "upstream_tls" BAD_GATEWAY
        "The application could not be verified"
        "Your sign-in is fine. No secure connection to the application could be made.";
    UpstreamBadResponse "VB-3005" "upstream_bad_response" BAD_GATEWAY
        "The application gave a broken answer"
        "Your sign-in is fine. What the application answered could not be understood.";
    UpstreamNoRoom "VB-3006" "upstream_no_room" SERVICE_UNAVAILABLE
        "Too much is going on"
        "Your sign-in is fine. So many requests are under way that this one could not be passed on. Try again in a moment.";

    BadRequest "VB-4001" "bad_request" BAD_REQUEST
        "This request could not be understood"
        "What your browser or program sent is not a request that we can take.";
    BadHost "VB-4002" "bad_host" BAD_REQUEST
        "This request names no proper host"
        "The name of the site in the request is missing, doubled or not a name.";
    BadPath "VB-4003" "bad_path" BAD_REQUEST
        "This address is written in an unusual way"
        "It could be read in more than one way, so we do not guess. Check the address, or go to the start page.";
    BadHeader "VB-4004" "bad_header" BAD_REQUEST
        "This request has a broken header"
        "One of the header fields that came with the request cannot be taken.";
    BodyTooLarge "VB-4005" "body_too_large" PAYLOAD_TOO_LARGE
        "That was too large"
        "What you sent is larger than this site takes. Nothing was saved. Try it with less, or with a smaller file.";
    BodyTooSlow "VB-4006" "request_body_timeout" REQUEST_TIMEOUT
        "That came too slowly"
        "What your browser or program sent did not arrive in time. Nothing was saved. Check the connection, and send it again.";
    BadForm "VB-4007" "bad_form" BAD_REQUEST
        "This form could not be read"
        "What was sent is not the form that we gave out. Go back and send it again.";
    NotAllowed "VB-4010" "not_allowed" FORBIDDEN
        "You do not have access"
        "You are signed in, but this page is not open to you.";
    NetworkNotAllowed "VB-4013" "network_not_allowed" FORBIDDEN
        "Not from this network"
        "This page can only be opened from certain networks. Connect to the right one, for example by VPN, and try again.";
    RouteClosed "VB-4014" "route_closed" FORBIDDEN
        "This page is closed"
        "Nobody may open this page.";
    UnknownHost "VB-4020" "unknown_host" MISDIRECTED_REQUEST
        "This site is not served here"
        "The request reached us under a name for which there is nothing here. Check the address.";
    NotFound "VB-4021" "not_found" NOT_FOUND
        "There is nothing here"
        "This address does not exist. Check it, or go to the start page.";
    MethodNotAllowed "VB-4022" "method_not_allowed" METHOD_NOT_ALLOWED
        "That does not work here"
        "This address cannot be used in this way.";
    WebSocketOrigin "VB-4023" "websocket_origin" FORBIDDEN
        "Another site tried to connect"
        "A page from another site wanted to open a connection to this one. That is not allowed.";
    CrossSiteLogout "VB-4024" "cross_site_logout" FORBIDDEN
        "Another site tried to sign you out"
        "Signing out has to begin on this site. You are still signed in.";
    UpgradeRefused "VB-4025" "upgrade_refused" BAD_REQUEST
        "This kind of connection is not offered"
        "The request asked for a kind of connection that is not passed on.";

    SessionTooLarge "VB-5001" "session_too_large" INTERNAL_SERVER_ERROR
        "Your account says too much about you"
        "The sign-in worked, but what has to be kept about you (often a long list of groups) does not fit into your browser's cookies. Only the people who run this site can change that.";
    Internal "VB-5004" "internal" INTERNAL_SERVER_ERROR
        "Something went wrong on our side"
        "It was not your doing, and it has been logged. Try again; if it stays like this, pass on the lines below.";
}

impl Code {
    /// The number on the page, `VB-1002`.
    pub fn number(self) -> &'static str {
        self.entry().number
    }

    /// The same in words for logs, metrics and scripts, `state_expired`.
    pub fn reason(self) -> &'static str {
        self.entry().reason
    }

    /// The status that goes with it.
    pub fn status(self) -> StatusCode {
        self.entry().status
    }

    /// The heading of the page.
    pub fn title(self) -> &'static str {
        self.entry().title
    }

    /// What the person is told; `provider` is what people call the provider that it is about.
    pub fn message(self, provider: Option<&str>) -> String {
        let at = provider.map(|title| format!(" of {title}")).unwrap_or_default();
        self.entry().message.replacen(AT, &at, 1)
    }

    /// Whether the provider's title stands in what the person is told.
    pub fn is_about_a_provider(self) -> bool {
        self.entry().message.contains(AT)
    }

    /// Whether the person need not do anything but try again later.
    pub fn is_passing(self) -> bool {
        matches!(
            self.status(),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
        ) || matches!(self, Self::UpstreamConnect | Self::UpstreamBroke | Self::ProviderFault | Self::KeysBad)
    }

    /// The code for the `error` of an authorization response (RFC 6749 section 4.1.2.1, OpenID Connect Core section 3.1.2.6).
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

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.number())
    }
}

struct Entry {
    number: &'static str,
    reason: &'static str,
    status: StatusCode,
    title: &'static str,
    message: &'static str,
}

/// The errors of an authorization response (OpenID Connect Core section 3.1.2.6, RFC 6749 section 4.1.2.1, RFC 8707 section 2)
/// that are no code's own reason.
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
        let numbers: Vec<_> = Code::ALL.iter().map(|code| code.number()).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
        assert_eq!(numbers.iter().collect::<HashSet<_>>().len(), numbers.len());
        assert_eq!(Code::ALL.iter().map(|code| code.reason()).collect::<HashSet<_>>().len(), numbers.len());
        assert!(numbers.iter().all(|n| n.len() == 7 && n.starts_with("VB-")));
    }

    #[test]
    fn every_code_has_a_long_text_of_its_own() {
        let listed = codes::all().filter(|(number, _)| *number >= "VB-1000");
        assert!(listed.map(|(number, _)| number).eq(Code::ALL.iter().map(|code| code.number())));
        for code in Code::ALL {
            assert_eq!(codes::reasons(code.number()).next(), Some(code.reason()), "{code}");
        }
    }

    // OA-07
    #[test]
    fn errors_of_the_provider_have_distinct_outcomes() {
        let status = |error| Code::of_provider_error(error).status().as_u16();
        assert_eq!(status("access_denied"), 403);
        assert_eq!(status("temporarily_unavailable"), 503);
        assert_eq!(status("server_error"), 502);
        assert_eq!(status("login_required"), 400);
        assert_eq!(status("<script>"), 400);
    }

    // pages.md section 8.1, moment 5: the person is never accused.
    #[test]
    fn nobody_is_accused() {
        for code in Code::ALL {
            let said = format!("{} {}", code.title(), code.message(None)).to_lowercase();
            for word in ["attack", "csrf", "forged", "malicious", "illegal", "invalid", "hacker"] {
                assert!(!said.contains(word), "{code} says {word}");
            }
        }
    }
}
