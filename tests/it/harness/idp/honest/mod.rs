//! A small, honest OpenID provider: it checks all that a provider must check, so that a gateway that signs in here does it right.
//!
//! 1. Authorization code with PKCE (S256), verified; a code works once, and its reuse revokes what it gave
//!    ([RFC 6749 section 4.1.2](https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2)).
//! 2. Client authentication by Basic, Post or none: exactly the registered method, really verified.
//! 3. Refresh tokens rotate; a spent one that comes again revokes its whole family
//!    ([RFC 9700 section 4.14.2](https://www.rfc-editor.org/rfc/rfc9700#section-4.14.2)).
//! 4. Userinfo, introspection, revocation, RP-initiated logout, `iss` in the callback
//!    ([RFC 9207](https://www.rfc-editor.org/rfc/rfc9207)).
//! 5. As a plain OAuth 2.0 server it has no discovery, no key set and no ID token.
//!
//! It has no passwords: whoever reaches it chooses to be one of the people it knows. It is served over loopback alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use vestibule::clock::{SharedClock, UnixTime};

mod authorize;
mod client_auth;
mod discovery;
mod grants;
mod keys;
mod logout;
mod pages;
mod people;
mod request;
mod resource;
mod response;
mod settings;
mod token;
mod tokens;

pub(crate) use keys::{Pair, SigningAlgorithm, SigningKey};
pub(crate) use people::Person;
pub(crate) use request::IdpRequest;
pub(crate) use response::IdpResponse;
pub(crate) use settings::{AuthMethod, Client, IdpSettings, Mode, Pkce};

use grants::Grants;

/// A running provider. Every method may be called while it serves.
pub(crate) struct Idp {
    issuer: String,
    clock: SharedClock,
    state: Mutex<IdpState>,
}

struct IdpState {
    settings: IdpSettings,
    /// The one that signs first.
    keys: Vec<Arc<SigningKey>>,
    grants: Grants,
}

impl Idp {
    /// A provider that calls itself `issuer` and signs with `key`.
    pub(crate) fn new(issuer: String, settings: IdpSettings, key: Arc<SigningKey>, clock: SharedClock) -> Arc<Self> {
        let state = IdpState { settings, keys: vec![key], grants: Grants::default() };
        Arc::new(Self { issuer, clock, state: Mutex::new(state) })
    }

    /// The issuer identifier: also the origin below which everything is.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The URL of one of its endpoints, for clients that are configured without discovery.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer)
    }

    /// Registers a client, in place of one that has the same identifier.
    pub(crate) fn register(&self, client: Client) {
        let mut state = self.state();
        state.settings.clients.retain(|known| known.id != client.id);
        state.settings.clients.push(client);
    }

    /// Changes how the provider behaves from now on: people, lives of tokens, rotation, ….
    pub(crate) fn configure(&self, change: impl FnOnce(&mut IdpSettings)) {
        change(&mut self.state().settings);
    }

    /// Publishes these keys from now on, and signs with the first.
    pub(crate) fn set_keys(&self, keys: Vec<Arc<SigningKey>>) {
        self.state().keys = keys;
    }

    /// How often a spent refresh token came again.
    pub(crate) fn refresh_reuses(&self) -> usize {
        self.state().grants.reuses()
    }

    /// Ends every refresh and access token that it gave, as an administrator there would.
    pub(crate) fn revoke_everything(&self) {
        self.state().grants.revoke_all();
    }

    /// Ends every single-sign-on session, so that the next authorization request asks who somebody is.
    pub(crate) fn forget_browsers(&self) {
        self.state().grants.end_browser_sessions();
    }

    /// Answers one request.
    pub(crate) fn answer(&self, asked: &IdpRequest) -> IdpResponse {
        let plain = self.state().settings.mode == Mode::PlainOAuth2;
        match (asked.method.as_str(), asked.path.as_str()) {
            ("GET", paths::DISCOVERY | paths::KEY_SET | paths::END_SESSION) if plain => IdpResponse::not_found(),
            ("GET", paths::DISCOVERY) => self.discovery(),
            ("GET", paths::KEY_SET) => self.key_set(),
            ("GET", paths::AUTHORIZE) => self.authorize(asked),
            ("POST", paths::CHOOSE) => self.choose(asked),
            ("POST", paths::TOKEN) => self.token(asked),
            ("GET" | "POST", paths::USERINFO) => self.userinfo(asked),
            ("POST", paths::INTROSPECT) => self.introspect(asked),
            ("POST", paths::REVOKE) => self.revoke(asked),
            ("GET" | "POST", paths::END_SESSION) => self.end_session(asked),
            ("GET", "/") => pages::front(&self.issuer),
            _ => IdpResponse::not_found(),
        }
    }

    fn now(&self) -> UnixTime {
        self.clock.now()
    }

    fn state(&self) -> MutexGuard<'_, IdpState> {
        // A panicking test must not take the provider of the other tests with it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Idp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Idp").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// Where its endpoints are.
pub(crate) mod paths {
    /// OpenID Connect Discovery 1.0.
    pub(crate) const DISCOVERY: &str = "/.well-known/openid-configuration";
    /// The key set.
    pub(crate) const KEY_SET: &str = "/jwks";
    /// The authorization endpoint.
    pub(crate) const AUTHORIZE: &str = "/sso/authorize";
    /// Where its page sends the choice of a person.
    pub(crate) const CHOOSE: &str = "/sso/choose";
    /// RP-initiated logout.
    pub(crate) const END_SESSION: &str = "/sso/end-session";
    /// The token endpoint.
    pub(crate) const TOKEN: &str = "/token";
    /// Userinfo.
    pub(crate) const USERINFO: &str = "/userinfo";
    /// Introspection ([RFC 7662](https://www.rfc-editor.org/rfc/rfc7662)).
    pub(crate) const INTROSPECT: &str = "/introspect";
    /// Revocation ([RFC 7009](https://www.rfc-editor.org/rfc/rfc7009)).
    pub(crate) const REVOKE: &str = "/revoke";
}

const CODE_LIFE: Duration = Duration::from_secs(60);
const ID_TOKEN_LIFE: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests;
