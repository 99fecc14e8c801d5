//! What memory keeps of a session's tokens: none, but for those that a header shows to applications.
//!
//! A session in memory is used at each request, its tokens once in minutes: whoever renews, revokes or hands them on opens the
//! cookie again. So taking tokens together is not paid for at each cookie that comes for the first time, they are not kept
//! thousandfold, and fewer secrets lie about. That a session without its tokens is another type keeps it from being sealed.

use crate::proxy::settings::{Authorization, IdentityHeaderSettings, IdentityValue};
use crate::secret::Secret;
use crate::session::{Session, Tokens};

/// Which tokens applications are shown.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(missing_docs, reason = "named for the token")]
pub struct ShownTokens {
    pub access: bool,
    pub id_token: bool,
}

impl ShownTokens {
    /// Those that any of these sets of headers names.
    pub fn of(sets: &[IdentityHeaderSettings]) -> Self {
        let any = |authorization, value| {
            let values = |set: &IdentityHeaderSettings| set.headers.iter().any(|(_, known)| *known == value);
            sets.iter().any(|set| set.authorization == authorization || values(set))
        };
        Self {
            access: any(Authorization::AccessToken, IdentityValue::AccessToken),
            id_token: any(Authorization::IdToken, IdentityValue::IdToken),
        }
    }
}

/// In place of [`Tokens`], where a session is only used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shown {
    /// The access token, if it is shown.
    pub access: Option<Secret<String>>,
    /// The ID token, if it is shown.
    pub id_token: Option<Secret<String>>,
    /// Whether there is a refresh token.
    pub renewable: bool,
}

/// Tokens of which it is known whether they can be renewed.
pub trait Renewable {
    /// Whether there is a refresh token.
    fn is_renewable(&self) -> bool;
}

impl Renewable for Tokens {
    fn is_renewable(&self) -> bool {
        self.refresh.is_some()
    }
}

impl Renewable for Shown {
    fn is_renewable(&self) -> bool {
        self.renewable
    }
}

impl Session {
    /// The session as memory keeps it.
    pub fn shown(self, shown: ShownTokens) -> Session<Shown> {
        let Tokens { access, refresh, id_token } = self.tokens;
        let tokens = Shown {
            access: access.filter(|_| shown.access),
            id_token: id_token.filter(|_| shown.id_token),
            renewable: refresh.is_some(),
        };
        Session {
            id: self.id,
            provider: self.provider,
            issuer: self.issuer,
            created: self.created,
            active: self.active,
            auth_time: self.auth_time,
            tokens,
            access_issued: self.access_issued,
            access_expires: self.access_expires,
            generation: self.generation,
            claims: self.claims,
            asked: self.asked,
            nonce: self.nonce,
            scope: self.scope,
        }
    }
}
