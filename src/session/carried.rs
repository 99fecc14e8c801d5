//! What a request carries of sessions, and which of several is believed.
//!
//! A cookie can be planted: by a sibling host, or by whoever had the browser before. So where a request carries several sessions,
//! only genuine ones count, the newest of one person is taken, and of several people nobody (AT-CS-12).

use std::borrow::Cow;
use std::sync::Arc;

use http::HeaderValue;

use crate::clock::UnixTime;
use crate::provider::Provider;
use crate::request::cookies::{CookieScan, Owner};
use crate::session::Session;
use crate::session::jar::{Jar, SessionTooLarge, candidates};
use crate::session::settings::TokenKinds;
use crate::session::store::{Handle, SessionStore, Site};

/// The sessions that a request carries for one site.
pub(super) struct Carried<'a, S> {
    pub(super) jar: &'a Jar,
    pub(super) store: &'a S,
    /// All providers of the configuration.
    pub(super) providers: &'a [Arc<Provider>],
    pub(super) scan: &'a CookieScan,
    pub(super) site: Site<'a>,
    pub(super) now: UnixTime,
}

impl<'a, S: SessionStore> Carried<'a, S> {
    /// The handle of the session to use. Nothing is loaded unless the request carries several; then those that `is_ended` knows do
    /// not count, and the provider's mapping says whether they are one person's.
    pub(super) async fn choose(&self, is_ended: impl Fn(&Session) -> bool) -> Option<Cow<'a, str>> {
        if let Some(handle) = self.scan.lone_session(self.site.provider.place()) {
            return Some(Cow::Borrowed(handle.as_str()));
        }
        let mut handles = self.jar.handles(self.scan, self.site.provider)?;
        if handles.len() > 1 { self.choose_of(handles, is_ended).await } else { handles.pop() }
    }

    /// The genuine sessions, of as many as are looked at, however old they are.
    pub(super) async fn sessions(&self) -> Vec<Session> {
        let mut found = Vec::new();
        for handle in candidates(self.scan, |owner| owner.may_be(self.site.provider.place())) {
            found.extend(self.load(self.site, &handle).await);
        }
        found
    }

    /// The Set-Cookie lines that put `handle` into the browser, and delete what it has of this site besides.
    pub(super) async fn set_cookies(&self, handle: &Handle) -> Result<Vec<HeaderValue>, SessionTooLarge> {
        let unnamed_is_anothers = self.unnamed_is_anothers().await;
        self.jar.set_cookies(self.site.provider, handle, self.scan, unnamed_is_anothers)
    }

    /// Whether a session under the name of a lone provider is that of another one than this.
    async fn unnamed_is_anothers(&self) -> bool {
        let unnamed = candidates(self.scan, |owner| owner == Owner::Unnamed);
        for provider in self.providers.iter().filter(|other| !Arc::ptr_eq(other, self.site.provider)) {
            for handle in &unnamed {
                if self.load(Site { provider, ..self.site }, handle).await.is_some() {
                    return true;
                }
            }
        }
        false
    }

    /// The one of several that is genuine; the newest, where all genuine ones are of one person. Where they are of several,
    /// somebody planted one of them, and which is not for us to guess.
    async fn choose_of(&self, handles: Vec<Cow<'a, str>>, is_ended: impl Fn(&Session) -> bool) -> Option<Cow<'a, str>> {
        let mapping = &self.site.provider.settings().claims;
        let mut best: Option<(Session, Cow<'a, str>)> = None;
        let mut passed_over = None;
        for handle in handles {
            let session = self.load(self.site, &handle).await.filter(|session| !is_ended(session));
            match (session, &best) {
                (None, _) => passed_over = Some(handle),
                (Some(session), Some((other, _))) if !session.same_person(other, mapping) => return None,
                (Some(session), Some((other, _))) if session.age_order() <= other.age_order() => {}
                (Some(session), _) => best = Some((session, handle)),
            }
        }
        // None of them opens, or all have ended: the caller finds out why by loading one.
        best.map(|(_, handle)| handle).or(passed_over)
    }

    /// A genuine session, however old it is, without its tokens.
    async fn load(&self, site: Site<'_>, handle: &str) -> Option<Session> {
        let loaded = self.store.load(site, handle, TokenKinds::default(), self.now).await;
        loaded.ok().map(|loaded| loaded.session)
    }
}
