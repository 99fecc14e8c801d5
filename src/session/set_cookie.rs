//! The one writer of our Set-Cookie lines, so that all of them, deletions too, carry the same attributes (AT-CS-18).

use std::time::Duration;

use cookie::Cookie;
use cookie::SameSite as Attribute;
use http::HeaderValue;

use super::settings::{CookieSettings, SameSite};

/// Writes Set-Cookie lines: always `Path=/` and `HttpOnly` (CK-03), and what the settings say.
#[derive(Clone, Debug)]
pub(super) struct SetCookie {
    settings: CookieSettings,
    same_site: SameSite,
}

impl SetCookie {
    /// For session cookies.
    pub(super) fn session(settings: &CookieSettings) -> Self {
        Self { settings: settings.clone(), same_site: settings.same_site }
    }

    /// For cookies that must come along when the provider sends the browser back: `Strict` ones would not (CK-05).
    pub(super) fn sign_in(settings: &CookieSettings) -> Self {
        let same_site = match settings.same_site {
            SameSite::Strict | SameSite::Lax => SameSite::Lax,
            // Asked for where the application is embedded by another site; there, Lax cookies are not kept at all (CK-04).
            SameSite::None => SameSite::None,
        };
        Self { settings: settings.clone(), same_site }
    }

    /// Sets a cookie; without `max_age` it ends with the browser's session. Ours are not kept longer on disk than needed, and
    /// no date of theirs decides anything (CK-11).
    pub(super) fn set(&self, name: &str, value: &str, max_age: Option<Duration>) -> HeaderValue {
        let mut cookie = self.cookie(name, value);
        cookie.set_max_age(max_age.and_then(|span| span.min(MAX_AGE).try_into().ok()));
        line(&cookie)
    }

    /// Sets a cookie of a sign-in, whose next step may be a POST from another site: only `None` comes along with it (UI-14), and
    /// browsers keep that with `Secure` only.
    pub(super) fn set_for_sign_in(&self, name: &str, value: &str, life: Duration, across_sites: bool) -> HeaderValue {
        let same_site = match (across_sites, self.settings.secure) {
            (true, true) => SameSite::None,
            (true, false) => SameSite::Lax,
            (false, _) => self.same_site,
        };
        Self { same_site, settings: self.settings.clone() }.set(name, value, Some(life))
    }

    /// Deletes a cookie: a browser does so only where name, path, domain, secure and partition are those it was set with
    /// (CK-10).
    pub(super) fn delete(&self, name: &str) -> HeaderValue {
        let mut cookie = self.cookie(name, "");
        cookie.set_max_age(time::Duration::ZERO);
        cookie.set_expires(time::OffsetDateTime::UNIX_EPOCH);
        line(&cookie)
    }

    /// A cookie with the attributes of all.
    fn cookie<'c>(&'c self, name: &'c str, value: &'c str) -> Cookie<'c> {
        let mut cookie = Cookie::new(name, value);
        cookie.set_path("/");
        cookie.set_http_only(true);
        cookie.set_secure(self.settings.secure);
        cookie.set_same_site(match self.same_site {
            SameSite::Lax => Attribute::Lax,
            SameSite::Strict => Attribute::Strict,
            SameSite::None => Attribute::None,
        });
        if let Some(domain) = &self.settings.domain {
            cookie.set_domain(domain.as_str());
        }
        if self.settings.partitioned {
            cookie.set_partitioned(true);
        }
        cookie
    }
}

/// Names and domains were proven by the configuration and values are base64url, so every line is a header value; were one
/// not, the browser would ignore the empty line.
fn line(cookie: &Cookie<'_>) -> HeaderValue {
    HeaderValue::try_from(cookie.to_string()).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The longest Set-Cookie line: browsers count name and value only
/// ([RFC 6265bis section 5.6](https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#section-5.6)), others more.
pub(super) const LINE_MAX: usize = 4096;
/// [RFC 6265bis section 5.5](https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#section-5.5).
const MAX_AGE: Duration = Duration::from_secs(400 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(60);

    fn settings(domain: Option<&str>, same_site: SameSite, partitioned: bool) -> CookieSettings {
        let name = if domain.is_some() { "__Secure-v" } else { "__Host-v" };
        CookieSettings { name: name.into(), domain: domain.map(str::to_owned), secure: true, same_site, partitioned }
    }

    // CK-01, CK-03, CK-04, CK-10, AT-CS-18
    #[test]
    fn host_cookies_have_the_attributes_of_their_prefix_and_deletions_too() {
        let cookies = SetCookie::session(&settings(None, SameSite::Lax, false));
        assert_eq!(cookies.set("__Host-v", "x", None), "__Host-v=x; HttpOnly; SameSite=Lax; Secure; Path=/");
        assert_eq!(
            cookies.delete("__Host-v"),
            "__Host-v=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
        );
    }

    // CK-02, CK-10
    #[test]
    fn cookies_of_a_domain_are_deleted_in_that_domain() {
        let cookies = SetCookie::session(&settings(Some("example.com"), SameSite::None, true));
        let set = cookies.set("__Secure-v", "x", None);
        assert_eq!(set, "__Secure-v=x; HttpOnly; SameSite=None; Partitioned; Secure; Path=/; Domain=example.com");
        let deleted = cookies.delete("__Secure-v");
        assert!(deleted.to_str().unwrap().starts_with(
            "__Secure-v=; HttpOnly; SameSite=None; Partitioned; Secure; Path=/; Domain=example.com; Max-Age=0"
        ));
    }

    // CK-05
    #[test]
    fn sign_in_cookies_are_never_strict() {
        let cookies = SetCookie::sign_in(&settings(None, SameSite::Strict, false));
        let line = cookies.set("a", "x", Some(Duration::from_secs(600)));
        assert_eq!(line, "a=x; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=600");
    }

    // UI-14, CK-04
    #[test]
    fn cookies_that_a_foreign_post_brings_along_are_none_and_secure() {
        for same_site in [SameSite::Strict, SameSite::Lax, SameSite::None] {
            let line = SetCookie::sign_in(&settings(None, same_site, false)).set_for_sign_in("a", "x", LIFE, true);
            assert_eq!(line, "a=x; HttpOnly; SameSite=None; Secure; Path=/; Max-Age=60");
        }
        let insecure = CookieSettings { secure: false, ..settings(None, SameSite::Lax, false) };
        assert_eq!(
            SetCookie::sign_in(&insecure).set_for_sign_in("a", "x", LIFE, true),
            "a=x; HttpOnly; SameSite=Lax; Path=/; Max-Age=60"
        );
    }

    // CK-11
    #[test]
    fn no_cookie_lives_longer_than_400_days() {
        let cookies = SetCookie::session(&settings(None, SameSite::Lax, false));
        let line = cookies.set("a", "x", Some(Duration::MAX));
        assert!(line.to_str().unwrap().contains("; Max-Age=34560000"), "{line:?}");
    }
}
