//! How many sign-ins ended in a browser a moment ago without a session coming back: what breaks a loop (AT-LF-20).
//!
//! The count is sealed, for one host or cookie domain and for half a minute: whoever could plant a count of their own making
//! would keep a person from signing in.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::set_cookie::SetCookie;
use super::settings::CookieSettings;
use crate::clock::UnixTime;
use crate::request::cookies::{CookieScan, OwnCookies};
use crate::seal::{KeyRing, OpenError, Opened, Purpose};

/// Reads and writes the cookie that counts.
#[derive(Clone, Debug)]
pub struct Rounds {
    names: OwnCookies,
    settings: CookieSettings,
    lines: SetCookie,
    ring: Arc<KeyRing>,
}

impl Rounds {
    /// A counter in cookies of these names.
    pub fn new(settings: &CookieSettings, names: OwnCookies, ring: Arc<KeyRing>) -> Self {
        Self { names, settings: settings.clone(), lines: SetCookie::sign_in(settings), ring }
    }

    /// How many rounds the request's cookies count.
    pub fn count(&self, scan: &CookieScan, host: &str, now: UnixTime) -> u8 {
        if scan.rounds.is_empty() {
            return 0;
        }
        let sealer = self.ring.sealer(Purpose::Rounds, &self.settings.realm(host));
        let sealed_at = |opened: &Opened| opened.expires.minus(LIFE);
        let read = |opened: &Opened| Ok::<_, OpenError>((opened.plaintext.first().copied(), sealed_at(opened)));
        let read = |sealed: &str| sealer.open_dated(sealed, now, read).ok()?;
        scan.rounds.iter().filter_map(|cookie| read(cookie.as_str())).max().unwrap_or(0)
    }

    /// The Set-Cookie line that remembers the count for a moment; `across_sites` where the provider's page posts its answers, and
    /// the count would otherwise not come along.
    pub fn remember(&self, count: u8, host: &str, now: UnixTime, across_sites: bool) -> HeaderValue {
        let sealer = self.ring.sealer(Purpose::Rounds, &self.settings.realm(host));
        let sealed = sealer.seal(&[count], now.plus(LIFE), now);
        self.lines.set_for_sign_in(self.names.rounds_name(), &sealed, LIFE, across_sites)
    }

    /// The Set-Cookie line that begins the count anew.
    pub fn clear(&self) -> HeaderValue {
        self.lines.delete(self.names.rounds_name())
    }
}

/// How long a round counts.
const LIFE: Duration = Duration::from_secs(30);
