//! A browser's cookies, by the rules of RFC 6265bis: domain, path, `Secure`, prefixes, `SameSite`, expiry, size.

use std::sync::Arc;
use std::time::Duration;

use cookie::{Cookie, Expiration, SameSite};
use url::{Host, Url};
use vestibule::clock::{Clock, ManualClock, UnixTime};

/// The cookies of one browser.
#[derive(Clone, Debug)]
pub(crate) struct CookieJar {
    kept: Vec<Kept>,
    clock: Arc<ManualClock>,
    made: u64,
}

/// A cookie as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) domain: String,
    pub(crate) host_only: bool,
    pub(crate) path: String,
    pub(crate) secure: bool,
    pub(crate) same_site: SameSite,
    /// `None`: until the browser is closed.
    pub(crate) expires: Option<UnixTime>,
    made: u64,
}

/// How a request came about, as far as cookies care.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reach {
    /// From the same site, or from the person: every cookie.
    SameSite,
    /// A top-level navigation by a safe method that another site caused: all but `Strict`.
    CrossSiteNavigation,
    /// Anything else that another site caused: `None` only.
    CrossSite,
}

impl CookieJar {
    pub(crate) fn new(clock: Arc<ManualClock>) -> Self {
        Self { kept: Vec::new(), clock, made: 0 }
    }

    /// The `Cookie` field for a request; `None` when there is nothing to send.
    pub(crate) fn header(&self, url: &Url, reach: Reach) -> Option<String> {
        let mut sent: Vec<&Kept> = self.live().filter(|kept| kept.goes_to(url) && kept.reaches(reach)).collect();
        // Section 5.8.3: longer paths first, then older cookies.
        sent.sort_by_key(|kept| (usize::MAX - kept.path.len(), kept.made));
        let pairs: Vec<String> = sent.iter().map(|kept| format!("{}={}", kept.name, kept.value)).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// Takes a `Set-Cookie` field, if a browser would.
    pub(crate) fn take(&mut self, url: &Url, field: &str) {
        let Some(mut kept) = Kept::read(url, field, self.clock.now()) else { return };
        let same = |old: &Kept| old.name == kept.name && old.domain == kept.domain && old.path == kept.path;
        // Section 5.7: what came over https is not overwritten from http.
        if url.scheme() != "https"
            && self.kept.iter().any(|old| old.secure && old.name == kept.name && old.goes_near(url))
        {
            return;
        }
        self.made += 1;
        kept.made = self.kept.iter().find(|old| same(old)).map_or(self.made, |old| old.made);
        self.kept.retain(|old| !same(old));
        self.kept.push(kept);
        let now = self.clock.now();
        self.kept.retain(|kept| kept.lives(now));
    }

    /// What is kept now.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Kept> {
        let now = self.clock.now();
        self.kept.iter().filter(move |kept| kept.lives(now))
    }
}

impl Kept {
    fn read(url: &Url, field: &str, now: UnixTime) -> Option<Self> {
        let cookie = Cookie::parse(field.to_owned()).ok()?;
        let (name, value) = (cookie.name().to_owned(), cookie.value().to_owned());
        let https = url.scheme() == "https";
        let host = url.host_str()?.to_ascii_lowercase();
        let secure = cookie.secure().unwrap_or(false);
        if name.len() + value.len() > COOKIE_BYTES || field.chars().any(char::is_control) || (secure && !https) {
            return None;
        }
        let (domain, host_only) = match cookie.domain().filter(|domain| !domain.is_empty()) {
            None => (host, true),
            Some(domain) => {
                let domain = domain.trim_start_matches('.').to_ascii_lowercase();
                (covers(&domain, url).then_some(domain)?, false)
            }
        };
        let path = cookie.path().filter(|path| path.starts_with('/')).map_or_else(|| default_path(url), str::to_owned);
        let prefix = name.to_ascii_lowercase();
        let host_rules = secure && host_only && cookie.path() == Some("/");
        if (prefix.starts_with("__host-") && !host_rules) || (prefix.starts_with("__secure-") && !secure) {
            return None;
        }
        let expires = match (cookie.max_age(), cookie.expires()) {
            (Some(age), _) => Some(now.plus(Duration::from_secs(u64::try_from(age.whole_seconds()).unwrap_or(0)))),
            (None, Some(Expiration::DateTime(at))) => {
                Some(UnixTime::from_secs(u64::try_from(at.unix_timestamp()).unwrap_or(0)))
            }
            _ => None,
        };
        let same_site = cookie.same_site().unwrap_or(SameSite::Lax);
        if same_site == SameSite::None && !secure {
            return None;
        }
        Some(Self { name, value, domain, host_only, path, secure, same_site, expires, made: 0 })
    }

    fn lives(&self, now: UnixTime) -> bool {
        self.expires.is_none_or(|expires| expires > now)
    }

    fn goes_to(&self, url: &Url) -> bool {
        let path = url.path();
        let below = path.strip_prefix(self.path.as_str());
        let on_path = below.is_some_and(|rest| rest.is_empty() || self.path.ends_with('/') || rest.starts_with('/'));
        self.goes_near(url) && on_path && (!self.secure || url.scheme() == "https")
    }

    fn goes_near(&self, url: &Url) -> bool {
        if self.host_only { url.host_str() == Some(self.domain.as_str()) } else { covers(&self.domain, url) }
    }

    fn reaches(&self, reach: Reach) -> bool {
        match reach {
            Reach::SameSite => true,
            Reach::CrossSiteNavigation => self.same_site != SameSite::Strict,
            Reach::CrossSite => self.same_site == SameSite::None,
        }
    }
}

/// Whether two URLs are of one site: scheme and registrable domain, which is here the last two labels of a name. Ports do not count.
pub(crate) fn same_site(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme() && site(one) == site(other)
}

fn site(url: &Url) -> Option<String> {
    match url.host()? {
        Host::Domain(name) => {
            let labels: Vec<&str> = name.rsplit('.').take(2).collect();
            Some(labels.join("."))
        }
        address => Some(address.to_string()),
    }
}

fn covers(domain: &str, url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let below = || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    // A bare label stands in for a public suffix.
    host == domain || (matches!(url.host(), Some(Host::Domain(_))) && domain.contains('.') && below())
}

fn default_path(url: &Url) -> String {
    match url.path().rsplit_once('/') {
        Some(("", _)) | None => "/".to_owned(),
        Some((folder, _)) => folder.to_owned(),
    }
}

const COOKIE_BYTES: usize = 4096;
