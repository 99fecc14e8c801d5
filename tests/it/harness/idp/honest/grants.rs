//! What the provider remembers: codes, refresh-token families, access tokens, and who is signed in in which browser.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use vestibule::clock::UnixTime;
use vestibule::seal;

/// Everything that was given out.
#[derive(Default)]
pub(super) struct Grants {
    codes: HashMap<String, IssuedCode>,
    /// By token family; one that is revoked is gone.
    families: HashMap<u64, Grant>,
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
pub(super) struct IssuedCode {
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

/// Why a code or a refresh token was refused; for `error_description`, where a developer looks first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal(pub(super) &'static str);

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
        self.codes.insert(code.clone(), IssuedCode { grant, redirect_uri, challenge, expires, spent: None });
        code
    }

    /// The code, if this client may still exchange it. A second exchange revokes what the first one gave
    /// ([RFC 6749 section 4.1.2](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2)).
    pub(super) fn code(&mut self, code: &str, client_id: &str, now: UnixTime) -> Result<&IssuedCode, Refusal> {
        if let Some(family) = self.codes.get(code).ok_or(UNKNOWN)?.spent {
            self.families.remove(&family);
            return Err(REUSED);
        }
        match self.codes.get(code).ok_or(UNKNOWN)? {
            code if code.grant.client_id != client_id => Err(OF_ANOTHER_CLIENT),
            code if code.expires <= now => Err(EXPIRED),
            code => Ok(code),
        }
    }

    /// Spends a code; gives the family that now holds its grant.
    pub(super) fn spend_code(&mut self, code: &str) -> Option<u64> {
        let spent = self.codes.get_mut(code)?;
        let family = self.next_family;
        self.next_family += 1;
        spent.spent = Some(family);
        self.families.insert(family, spent.grant.clone());
        Some(family)
    }

    /// The family of a refresh token that may be used. A spent one revokes the whole family
    /// ([RFC 9700 section 4.14.2](https://www.rfc-editor.org/rfc/rfc9700#section-4.14.2)).
    pub(super) fn refreshable(&mut self, token: &str, client_id: &str) -> Result<(u64, Grant), Refusal> {
        let found = self.refresh.get(token).ok_or(UNKNOWN)?;
        let family = found.family;
        if self.families.get(&family).is_some_and(|grant| grant.client_id != client_id) {
            return Err(OF_ANOTHER_CLIENT);
        }
        if found.spent {
            self.reuses += 1;
            self.families.remove(&family);
            return Err(REUSED);
        }
        self.families.get(&family).map(|grant| (family, grant.clone())).ok_or(REVOKED)
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
        let grant = self.families.get(&found.family)?.clone();
        Some((Grant { scope: found.scope.clone(), ..grant }, found.expires))
    }

    /// The grant behind a refresh token that is good.
    pub(super) fn refresh_grant(&self, token: &str) -> Option<Grant> {
        let found = self.refresh.get(token).filter(|found| !found.spent)?;
        self.families.get(&found.family).cloned()
    }

    /// Revokes a token of this client: with a refresh token goes its family
    /// ([RFC 7009 section 2.1](https://www.rfc-editor.org/rfc/rfc7009#section-2.1)). Says nothing about unknown ones.
    pub(super) fn revoke(&mut self, token: &str, client_id: &str) {
        let of_client = |family: u64| self.families.get(&family).is_some_and(|grant| grant.client_id == client_id);
        if let Some(family) = self.refresh.get(token).map(|found| found.family).filter(|family| of_client(*family)) {
            self.families.remove(&family);
        } else if self.access.get(token).is_some_and(|found| of_client(found.family)) {
            self.access.remove(token);
        }
    }

    pub(super) fn revoke_all(&mut self) {
        self.families.clear();
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
        self.families.retain(|_, grant| grant.sid != sid);
    }

    pub(super) fn end_browser_sessions(&mut self) {
        self.browsers.clear();
    }
}

pub(super) const UNKNOWN: Refusal = Refusal("it was never given out");
const EXPIRED: Refusal = Refusal("it has expired");
const REUSED: Refusal = Refusal("it came a second time, so everything that it gave is revoked");
const REVOKED: Refusal = Refusal("it has been revoked");
const OF_ANOTHER_CLIENT: Refusal = Refusal("it was given to another client");

/// An unguessable value, with a prefix that says what it is.
pub(super) fn unguessable(prefix: &str) -> String {
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(seal::random::<24>()))
}
