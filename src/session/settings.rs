//! What sessions need to know of the configuration, already proven: `[session]` and `[session.cookie]`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::request::host::is_below;

/// Lifetimes and contents of a session.
#[derive(Clone, Debug)]
pub struct SessionSettings {
    /// Absolute life, from the sign-in. Default 12 h.
    pub lifetime: Duration,
    /// A session unused for this long is over. Default 1 h. Renewed in steps of a tenth of it.
    pub idle_timeout: Duration,
    /// How long before the access token's expiry a refresh is due, at most half of its life; `None`: a tenth of its life, at
    /// least 5 s, at most 5 minutes.
    pub refresh_before: Option<Duration>,
    /// Which tokens the session keeps.
    pub keep: TokenKinds,
    /// Our cookies.
    pub cookie: CookieSettings,
    /// How many live sessions are cached, in bytes of memory. Default 8 MiB.
    pub cache_bytes: u64,
    /// How long an old cookie gets the refreshed session once the new one has been seen. 30 s.
    pub grace: Duration,
    /// Life of one sign-in attempt. 10 minutes.
    pub attempt_life: Duration,
    /// How far the clocks of machines may differ: the largest of the providers' `clock_leeway`.
    pub clock_leeway: Duration,
}

/// Some of a session's tokens. A session that keeps no refresh token is not renewed; one that keeps no ID token names only the
/// client when it is signed out at the provider.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(missing_docs, reason = "named for the token")]
pub struct TokenKinds {
    pub access: bool,
    pub refresh: bool,
    pub id_token: bool,
}

impl TokenKinds {
    /// All of them.
    pub const ALL: Self = Self { access: true, refresh: true, id_token: true };
}

/// Our cookies' names and attributes.
#[derive(Clone, Debug)]
pub struct CookieSettings {
    /// The base name, with its `__Host-` or `__Secure-` prefix.
    pub name: String,
    /// `Domain`; none for cookies of one host.
    pub domain: Option<String>,
    /// `Secure`: the public URL is https.
    pub secure: bool,
    /// `SameSite` of the session cookie. Login attempts are always `Lax`, or they would not survive the way back (CK-05).
    pub same_site: SameSite,
    /// `Partitioned` (CHIPS).
    pub partitioned: bool,
}

impl CookieSettings {
    /// What our cookies at this host belong to, as part of what they are sealed with: the cookie domain, with a dot before it, or
    /// the host alone. A value opens nowhere else, whoever carries it there (CK-14).
    pub fn realm(&self, host: &str) -> String {
        self.domain_of(host).map_or_else(|| host.to_owned(), |domain| format!(".{domain}"))
    }

    /// Whether cookies of one of these hosts open at the other: whether both have one [`realm`](Self::realm).
    pub fn is_shared(&self, one: &str, other: &str) -> bool {
        one == other || (self.domain_of(one).is_some() && self.domain_of(other).is_some())
    }

    /// The cookie domain, where it reaches this host: a route for any host also serves others.
    fn domain_of(&self, host: &str) -> Option<&str> {
        self.domain.as_deref().filter(|domain| domain_reaches(domain, host))
    }
}

/// Whether a cookie of this domain is sent to a host
/// ([RFC 6265 section 5.1.3](https://www.rfc-editor.org/rfc/rfc6265#section-5.1.3)).
pub fn domain_reaches(domain: &str, host: &str) -> bool {
    host == domain || is_below(host, domain)
}

/// The `SameSite` attribute.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
#[expect(missing_docs, reason = "named as in RFC 6265bis section 4.1.2.7")]
pub enum SameSite {
    Lax,
    Strict,
    None,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_reaches_itself_and_what_is_below() {
        assert!(domain_reaches("example.com", "example.com"));
        assert!(domain_reaches("example.com", "wiki.example.com"));
        assert!(!domain_reaches("example.com", "badexample.com"));
        assert!(!domain_reaches("wiki.example.com", "example.com"));
    }
}
