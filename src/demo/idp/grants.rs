//! What the provider remembers: who is signed in in which browser, what was granted there, and what was given out for it.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::clock::UnixTime;
use crate::demo::idp::people::EndUser;
use crate::seal;

/// Everything that was given out.
#[derive(Default)]
pub(super) struct Grants {
    /// By the value of their cookie.
    browsers: HashMap<String, BrowserSession>,
    /// By a name of their own; one that is revoked is gone.
    grants: HashMap<String, Grant>,
    issued: HashMap<String, Issued>,
}

/// A person's session in one browser (single sign-on).
#[derive(Clone, Debug)]
pub(super) struct BrowserSession {
    pub(super) sid: String,
    pub(super) person: &'static EndUser,
    pub(super) auth_time: UnixTime,
}

/// What a person granted at one sign-in.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    /// The browser session in which it was granted.
    pub(super) session: BrowserSession,
    pub(super) scope: String,
    pub(super) nonce: Option<String>,
    /// The PKCE challenge.
    pub(super) challenge: String,
}

/// The kinds of value that stand for a grant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum IssuedKind {
    Code,
    AccessToken,
    RefreshToken,
}

/// One value that stands for a grant.
struct Issued {
    kind: IssuedKind,
    grant: String,
    expires: Option<UnixTime>,
    /// Whether it was used up: a code, or a refresh token.
    is_spent: bool,
}

impl Grants {
    /// Somebody signs in in a browser.
    pub(super) fn sign_in(&mut self, person: &'static EndUser, now: UnixTime) -> BrowserSession {
        let session = BrowserSession { sid: unguessable("sid_"), person, auth_time: now };
        self.browsers.insert(session.sid.clone(), session.clone());
        session
    }

    /// Who is signed in in the browser with this cookie.
    pub(super) fn signed_in(&self, sid: &str) -> Option<&BrowserSession> {
        self.browsers.get(sid)
    }

    /// Ends a browser's session, and everything that was granted in it.
    pub(super) fn sign_out(&mut self, sid: &str) {
        self.browsers.remove(sid);
        self.grants.retain(|_, grant| grant.session.sid != sid);
    }

    /// Keeps a grant; gives its name.
    pub(super) fn begin(&mut self, grant: Grant) -> String {
        let name = unguessable("");
        self.grants.insert(name.clone(), grant);
        name
    }

    /// Gives out a value for a grant.
    pub(super) fn issue(&mut self, kind: IssuedKind, grant: &str, expires: Option<UnixTime>) -> String {
        let value = unguessable(match kind {
            IssuedKind::Code => "code_",
            IssuedKind::AccessToken => "at_",
            IssuedKind::RefreshToken => "rt_",
        });
        self.issued.insert(value.clone(), Issued { kind, grant: grant.to_owned(), expires, is_spent: false });
        value
    }

    /// The grant behind a value that is good now, and its name. A spent value that comes again revokes everything that its grant
    /// gave ([RFC 6749 section 4.1.2](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2),
    /// [RFC 9700 section 4.14.2](https://www.rfc-editor.org/rfc/rfc9700#section-4.14.2)). The error says why it is refused, for
    /// `error_description`, where a developer looks first.
    pub(super) fn find(
        &mut self,
        kind: IssuedKind,
        value: &str,
        now: UnixTime,
    ) -> Result<(String, Grant), &'static str> {
        let known = self.issued.get(value).filter(|issued| issued.kind == kind).ok_or("it was never given out")?;
        if known.is_spent {
            self.grants.remove(&known.grant);
            return Err("it came a second time, so everything that it gave is revoked");
        }
        if known.expires.is_some_and(|expires| expires <= now) {
            return Err("it has expired");
        }
        let grant = self.grants.get(&known.grant).ok_or("it has been revoked")?;
        Ok((known.grant.clone(), grant.clone()))
    }

    /// Uses a value up.
    pub(super) fn spend(&mut self, value: &str) {
        if let Some(issued) = self.issued.get_mut(value) {
            issued.is_spent = true;
        }
    }

    /// Revokes a token: with a refresh token goes its grant
    /// ([RFC 7009 section 2.1](https://www.rfc-editor.org/rfc/rfc7009#section-2.1)). Says nothing about unknown ones.
    pub(super) fn revoke(&mut self, token: &str) {
        if let Some(issued) = self.issued.remove(token)
            && issued.kind == IssuedKind::RefreshToken
        {
            self.grants.remove(&issued.grant);
        }
    }
}

/// An unguessable value, with a prefix that says what it is.
fn unguessable(prefix: &str) -> String {
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(seal::random::<24>()))
}
