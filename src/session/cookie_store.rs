//! Sessions that are kept whole in their cookies: the handle is the sealed session.
//!
//! 1. The seal is made for the provider, the client identifier there, and one host or cookie domain: whoever carries a value
//!    elsewhere, or keeps it until the identifier is another, opens nothing. The cookie's own name, which depends on how many
//!    providers there are, is not part of it.
//! 2. What is sealed is the form of `codec`, until the session's [end](Session::ends): no cookie date decides anything (CK-11).
//! 3. A cookie cannot be taken back. That a session ended, or was renewed since, is known to the [`Registry`].

use std::sync::Arc;

use zeroize::Zeroize as _;

use crate::clock::UnixTime;
use crate::remembered::Party;
use crate::request::cookies::OwnCookies;
use crate::seal::{KeyRing, OpenError, Purpose, Sealer};
use crate::session::codec;
use crate::session::registry::Registry;
use crate::session::settings::{CookieSettings, SessionSettings, TokenKinds};
use crate::session::store::{Handle, LoadError, SessionStore, Site, Stored, Superseded};
use crate::session::{Session, SessionId};

/// Sessions in cookies.
#[derive(Debug)]
pub struct CookieStore {
    sealer: SessionSealer,
    settings: SessionSettings,
    registry: Arc<Registry>,
}

impl CookieStore {
    /// Puts the parts together.
    pub fn new(sealer: SessionSealer, settings: &SessionSettings, registry: Arc<Registry>) -> Self {
        Self { sealer, settings: settings.clone(), registry }
    }

    /// The time by which a session that was sealed at `sealed` is judged.
    ///
    /// # Errors
    /// It comes from the future, and this process did not seal it.
    pub fn judged_at(&self, sealed: UnixTime, now: UnixTime) -> Result<UnixTime, OpenError> {
        self.sealer.ring.judged_at(sealed, now)
    }
}

/// Seals and opens the sessions of all providers.
#[derive(Clone, Debug)]
pub struct SessionSealer {
    pub(super) settings: CookieSettings,
    /// The name of the cookies that are not of one provider.
    base: Box<str>,
    ring: Arc<KeyRing>,
}

impl SessionSealer {
    /// For cookies of these names.
    pub fn new(settings: &CookieSettings, names: &OwnCookies, ring: Arc<KeyRing>) -> Self {
        Self { settings: settings.clone(), base: names.base().into(), ring }
    }

    /// Seals a session until `expires`.
    pub fn seal(&self, site: Site<'_>, session: &Session, expires: UnixTime, now: UnixTime) -> Handle {
        let mut bytes = codec::encode(session);
        let sealed = self.sealer(site).seal(&bytes, expires, now);
        bytes.zeroize();
        sealed.into()
    }

    /// Opens a sealed session.
    ///
    /// # Errors
    /// It is none of ours, or belongs elsewhere.
    pub fn open(&self, site: Site<'_>, sealed: &str, wanted: TokenKinds, now: UnixTime) -> Result<Stored, LoadError> {
        let opened = self.sealer(site).open_at_any_age(sealed)?;
        let session = codec::decode(&opened.plaintext, wanted)?;
        let lapsed = match self.ring.judged_at(session.active, now) {
            Ok(now) => (opened.expires <= now).then_some(OpenError::Expired),
            Err(ahead) => Some(ahead),
        };
        Ok(Stored { session, lapsed })
    }

    /// Names and hosts hold no NUL, so no two sites give the same text but by their client identifiers, which one provider has
    /// one of.
    pub(super) fn sealer(&self, site: Site<'_>) -> Sealer {
        let (base, realm) = (&self.base, self.settings.realm(site.host.name()));
        let (provider, client_id) = (site.provider.name(), &site.provider.settings().client_id);
        self.ring.sealer(Purpose::Session, &format!("{base}\0{provider}\0{realm}\0{client_id}"))
    }
}

impl SessionStore for CookieStore {
    async fn load(&self, site: Site<'_>, handle: &str, wanted: TokenKinds, now: UnixTime) -> Result<Stored, LoadError> {
        self.sealer.open(site, handle, wanted, now)
    }

    async fn create(&self, site: Site<'_>, session: &Session, now: UnixTime) -> Handle {
        self.sealer.seal(site, session, session.ends(&self.settings), now)
    }

    async fn replace(
        &self,
        site: Site<'_>,
        session: &Session,
        expected: u32,
        now: UnixTime,
    ) -> Result<Handle, Superseded> {
        if self.registry.cell(&session.id).succession.generation() > expected {
            return Err(Superseded);
        }
        Ok(self.create(site, session, now).await)
    }

    async fn end(&self, id: &SessionId, owner: Party) {
        self.registry.end(id, owner, self.settings.lifetime);
    }
}
