//! What the provider remembers: codes, refresh-token families, access tokens, and who is signed in in which browser.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::clock::UnixTime;
use crate::seal;

/// Everything that was given out.
#[derive(Default)]
pub(super) struct Grants {
    codes: HashMap<String, Code>,
    families: HashMap<u64, Family>,
    refresh: HashMap<String, RefreshToken>,
    access: HashMap<String, AccessToken>,
    browsers: HashMap<String, BrowserSession>,
    reuses: usize,
    next_family: u64,
}

/// What a person granted to a client at one sign-in.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) client_id: String,
    pub(super) sub: String,
    pub(super) scope: String,
    pub(super) nonce: Option<String>,
    pub(super) auth_time: UnixTime,
    /// The browser session in which it was granted.
    pub(super) sid: String,
}

/// An authorization code.
pub(super) struct Code {
    pub(super) grant: Grant,
    pub(super) redirect_uri: String,
    pub(super) challenge: Option<String>,
    pub(super) expires: UnixTime,
    /// The family that it was exchanged for.
    spent: Option<u64>,
}

/// A person's session in one browser (single sign-on).
#[derive(Clone, Debug)]
pub(super) struct BrowserSession {
    pub(super) sub: String,
    pub(super) auth_time: UnixTime,
}

/// Why a code or a refresh token was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    Unknown,
    Expired,
    /// It came a second time: what it gave is revoked.
    Reused,
    Revoked,
    OfAnotherClient,
}

struct Family {
    grant: Grant,
    revoked: bool,
}

struct RefreshToken {
    family: u64,
    spent: bool,
}

struct AccessToken {
    family: u64,
    scope: String,
    expires: UnixTime,
}

impl Grants {
    pub(super) fn give_code(
        &mut self,
        grant: Grant,
        redirect_uri: String,
        challenge: Option<String>,
        expires: UnixTime,
    ) -> String {
        let code = unguessable("code_");
        self.codes.insert(code.clone(), Code { grant, redirect_uri, challenge, expires, spent: None });
        code
    }

    /// The code, if this client may still exchange it. A second exchange revokes what the first one gave (RFC 6749 section 4.1.2).
    pub(super) fn code(&mut self, code: &str, client_id: &str, now: UnixTime) -> Result<&Code, Refusal> {
        if let Some(family) = self.codes.get(code).ok_or(Refusal::Unknown)?.spent {
            self.revoke_family(family);
            return Err(Refusal::Reused);
        }
        match self.codes.get(code).ok_or(Refusal::Unknown)? {
            code if code.grant.client_id != client_id => Err(Refusal::OfAnotherClient),
            code if code.expires <= now => Err(Refusal::Expired),
            code => Ok(code),
        }
    }

    /// Spends a code; gives the family that now holds its grant.
    pub(super) fn spend_code(&mut self, code: &str) -> Option<u64> {
        let spent = self.codes.get_mut(code)?;
        let family = self.next_family;
        self.next_family += 1;
        spent.spent = Some(family);
        self.families.insert(family, Family { grant: spent.grant.clone(), revoked: false });
        Some(family)
    }

    /// The family of a refresh token that may be used. A spent one revokes the whole family (RFC 9700 section 4.14.2).
    pub(super) fn refreshable(&mut self, token: &str, client_id: &str) -> Result<(u64, Grant), Refusal> {
        let found = self.refresh.get(token).ok_or(Refusal::Unknown)?;
        let (id, spent) = (found.family, found.spent);
        let family = self.families.get(&id).ok_or(Refusal::Unknown)?;
        if family.grant.client_id != client_id {
            return Err(Refusal::OfAnotherClient);
        }
        if spent {
            self.reuses += 1;
            self.revoke_family(id);
            return Err(Refusal::Reused);
        }
        if family.revoked { Err(Refusal::Revoked) } else { Ok((id, family.grant.clone())) }
    }

    pub(super) fn spend_refresh(&mut self, token: &str) {
        if let Some(token) = self.refresh.get_mut(token) {
            token.spent = true;
        }
    }

    pub(super) fn give_refresh(&mut self, family: u64) -> String {
        let token = unguessable("rt_");
        self.refresh.insert(token.clone(), RefreshToken { family, spent: false });
        token
    }

    pub(super) fn keep_access(&mut self, token: String, family: u64, scope: String, expires: UnixTime) {
        self.access.insert(token, AccessToken { family, scope, expires });
    }

    /// The grant behind an access token that is good now, with the token's own scope and end.
    pub(super) fn access(&self, token: &str, now: UnixTime) -> Option<(Grant, UnixTime)> {
        let found = self.access.get(token).filter(|found| now < found.expires)?;
        let family = self.families.get(&found.family).filter(|family| !family.revoked)?;
        Some((Grant { scope: found.scope.clone(), ..family.grant.clone() }, found.expires))
    }

    /// The grant behind a refresh token that is good.
    pub(super) fn refresh_grant(&self, token: &str) -> Option<Grant> {
        let found = self.refresh.get(token).filter(|found| !found.spent)?;
        self.families.get(&found.family).filter(|family| !family.revoked).map(|family| family.grant.clone())
    }

    /// Revokes a token of this client: with a refresh token goes its family (RFC 7009 section 2.1). Says nothing about unknown ones.
    pub(super) fn revoke(&mut self, token: &str, client_id: &str) {
        let of_client =
            |family: u64| self.families.get(&family).is_some_and(|family| family.grant.client_id == client_id);
        if let Some(family) = self.refresh.get(token).map(|found| found.family).filter(|family| of_client(*family)) {
            self.revoke_family(family);
        } else if self.access.get(token).is_some_and(|found| of_client(found.family)) {
            self.access.remove(token);
        }
    }

    pub(super) fn revoke_all(&mut self) {
        for family in self.families.values_mut() {
            family.revoked = true;
        }
    }

    pub(super) fn reuses(&self) -> usize {
        self.reuses
    }

    pub(super) fn begin_browser_session(&mut self, session: BrowserSession) -> String {
        let sid = unguessable("sid_");
        self.browsers.insert(sid.clone(), session);
        sid
    }

    pub(super) fn browser_session(&self, sid: &str) -> Option<BrowserSession> {
        self.browsers.get(sid).cloned()
    }

    /// Signing out: the browser's session, and every family that was granted in it.
    pub(super) fn end_browser_session(&mut self, sid: &str) {
        self.browsers.remove(sid);
        for family in self.families.values_mut().filter(|family| family.grant.sid == sid) {
            family.revoked = true;
        }
    }

    pub(super) fn end_browser_sessions(&mut self) {
        self.browsers.clear();
    }

    fn revoke_family(&mut self, family: u64) {
        if let Some(family) = self.families.get_mut(&family) {
            family.revoked = true;
        }
    }
}

impl Refusal {
    /// For `error_description`, where a developer looks first.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::Unknown => "it was never given out",
            Self::Expired => "it has expired",
            Self::Reused => "it came a second time, so everything that it gave is revoked",
            Self::Revoked => "it has been revoked",
            Self::OfAnotherClient => "it was given to another client",
        }
    }
}

/// A value that nobody guesses, with a prefix that tells people what it is.
pub(super) fn unguessable(prefix: &str) -> String {
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(seal::random::<24>()))
}
