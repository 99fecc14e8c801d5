//! Where sessions are kept, and the handle by which a browser names its own.
//!
//! A [`SessionStore`] knows nothing of requests: [`Jar`](super::jar::Jar) turns their cookies into a handle and back. A store in
//! cookies answers at once; one across a network does not, so its verbs are futures. None of them is on the warm path, where the
//! session is in memory.

use std::fmt;
use std::sync::Arc;

use crate::clock::UnixTime;
use crate::provider::Provider;
use crate::remembered::Party;
use crate::request::host::Host;
use crate::seal::OpenError;
use crate::session::codec::DecodeError;
use crate::session::settings::TokenKinds;
use crate::session::{Session, SessionId};

/// Keeps sessions.
pub trait SessionStore {
    /// The session of a handle, with the `wanted` tokens.
    ///
    /// # Errors
    /// [`LoadError`], when the handle is none of ours, or belongs elsewhere.
    fn load(
        &self,
        site: Site<'_>,
        handle: &str,
        wanted: TokenKinds,
        now: UnixTime,
    ) -> impl Future<Output = Result<Stored, LoadError>> + Send;

    /// Keeps a new session.
    fn create(&self, site: Site<'_>, session: &Session, now: UnixTime) -> impl Future<Output = Handle> + Send;

    /// Keeps a session in place of an earlier state of it, if that was of the `expected` generation or an older one.
    ///
    /// # Errors
    /// [`Superseded`].
    fn replace(
        &self,
        site: Site<'_>,
        session: &Session,
        expected: u32,
        now: UnixTime,
    ) -> impl Future<Output = Result<Handle, Superseded>> + Send;

    /// Ends a session at once, for every copy of its handle; `owner`: on whose account that is remembered.
    fn end(&self, id: &SessionId, owner: Party) -> impl Future<Output = ()> + Send;
}

/// What a session belongs to besides its person.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// The provider, one of those of the configuration.
    pub provider: &'a Arc<Provider>,
    /// The host that was asked.
    pub host: &'a Host,
}

/// What a browser holds of a session; whoever has it has the session. Prints without its value.
#[derive(Clone, Eq, PartialEq)]
pub struct Handle(Arc<str>);

impl Handle {
    /// The text that stands in the cookies.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// By what it is found in memory.
    pub(super) fn end(&self) -> HandleEnd {
        HandleEnd::of(self.0.as_bytes())
    }
}

/// The end of a handle, by which sessions are found in memory: of a sealed value 96 bits of its authentication tag. Only what
/// verified is kept, so hashing the two thousand bytes before it adds nothing; whoever makes up a cookie with the end of another
/// finds that one's place, and the comparison of the whole handle there.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct HandleEnd(u128);

impl HandleEnd {
    /// That of a handle.
    pub(super) fn of(handle: &[u8]) -> Self {
        Self(handle.last_chunk().map_or(0, |end| u128::from_le_bytes(*end)))
    }
}

impl From<&str> for Handle {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Handle {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.0.len()).finish()
    }
}

/// A genuine session, however old it is.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The session.
    pub session: Session,
    /// Why it opens nothing any more, or not yet.
    pub lapsed: Option<OpenError>,
}

/// Why there is no session of a handle.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum LoadError {
    /// It does not open.
    #[error("the session cookie does not open")]
    Seal(#[from] OpenError),
    /// It opens, and holds what this version cannot read.
    #[error("the session cookie holds no session that this version reads")]
    Decode(#[from] DecodeError),
}

impl LoadError {
    /// Every reason that there is.
    pub(super) const REASONS: &[&str] = &[
        "sealed_malformed",
        "sealed_unknown_key",
        "sealed_expired",
        "sealed_ahead",
        "sealed_tampered",
        "session_format",
        "session_dictionary",
        "session_malformed",
        "session_text_too_large",
        "session_deflate",
    ];

    /// A stable reason for logs and metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Seal(error) => error.code(),
            Self::Decode(error) => error.code(),
        }
    }
}

/// A later generation of the session is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a later generation of the session is known")]
pub struct Superseded;
