//! What sessions need to know of the configuration, already proven: `[session]` and `[session.cookie]`.

use std::time::Duration;

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
    pub keep: KeptTokens,
    /// Our cookies.
    pub cookie: CookieSettings,
    /// How many live sessions are cached, in bytes of memory. Default 64 MiB.
    pub cache_bytes: u64,
    /// How long an old cookie gets the refreshed session once the new one has been seen. 30 s.
    pub grace: Duration,
    /// Life of one sign-in attempt. 10 minutes.
    pub attempt_life: Duration,
}

/// Which tokens the session keeps. Without the refresh token nothing is renewed; without the ID token signing out at the provider sends `client_id` only.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "named for the token")]
pub struct KeptTokens {
    pub access: bool,
    pub refresh: bool,
    pub id_token: bool,
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
        self.domain.as_ref().map_or_else(|| host.to_owned(), |domain| format!(".{domain}"))
    }
}

/// The `SameSite` attribute.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "named as in RFC 6265bis section 4.1.2.7")]
pub enum SameSite {
    Lax,
    Strict,
    None,
}
