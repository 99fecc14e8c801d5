//! A small, honest OpenID provider: it checks all that a provider must check, so that a gateway that signs in here does it right.
//!
//! 1. Authorization code with PKCE (S256), verified; a code works once, and its reuse revokes what it gave (RFC 6749 section 4.1.2).
//! 2. Client authentication by Basic, Post, `private_key_jwt` or none: exactly the registered method, really verified.
//! 3. Refresh tokens rotate; a spent one that comes again revokes its whole family (RFC 9700 section 4.14.2).
//! 4. Userinfo (plain or signed), introspection, revocation, RP-initiated logout, `iss` in the callback (RFC 9207).
//! 5. As a plain OAuth 2.0 server it has no discovery, no key set and no ID token.
//!
//! It has no passwords: whoever reaches it chooses to be one of the people it knows. It is served over loopback alone.
//! Tests break it on purpose by [`Idp::break_with`] and read what it was asked by [`Idp::seen`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request, Response};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::sync::Notify;

use crate::body::Body;
use crate::clock::{SharedClock, UnixTime};
use crate::demo::serve::BreakOff;
use crate::seal;

mod answer;
mod authorize;
mod client_auth;
mod discovery;
mod faults;
mod grants;
mod keys;
mod logout;
mod pages;
mod people;
mod recorder;
mod resource;
mod settings;
mod token;
mod tokens;

pub use faults::{Breakage, CallbackFaults, Edit, Edits, EndpointFaults, Faults, Gate, KeyForm, Signing, TokenFaults};
pub use keys::{KeyError, SigningAlgorithm};
pub use people::Person;
pub use recorder::Seen;
pub use settings::{Client, ClientProof, IdpSettings, Mode, Pkce};

use answer::Answer;
use grants::Grants;
use keys::Keys;

/// A running provider. Every method may be called while it serves.
pub struct Idp {
    issuer: String,
    clock: SharedClock,
    state: Mutex<State>,
    /// Told at each request that has been recorded.
    arrived: Notify,
}

struct State {
    settings: IdpSettings,
    keys: Keys,
    grants: Grants,
    faults: Faults,
    seen: Vec<Seen>,
}

impl Idp {
    /// A provider that calls itself `issuer`, with a key made now.
    ///
    /// # Errors
    /// When the machine can make no key.
    pub fn new(issuer: String, settings: IdpSettings, clock: SharedClock) -> Result<Arc<Self>, KeyError> {
        let keys = Keys::new(settings.signing)?;
        let state = State { settings, keys, grants: Grants::default(), faults: Faults::default(), seen: Vec::new() };
        Ok(Arc::new(Self { issuer, clock, state: Mutex::new(state), arrived: Notify::new() }))
    }

    /// The issuer identifier: also the origin below which everything is.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The URL of one of its endpoints, for clients that are configured without discovery.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer)
    }

    /// Registers a client, in place of one that has the same identifier.
    pub fn register(&self, client: Client) {
        let mut state = self.state();
        state.settings.clients.retain(|known| known.id != client.id);
        state.settings.clients.push(client);
    }

    /// Adds addresses to a registered client: where a sign-in and where a sign-out may come back to.
    pub fn allow_return_to(&self, client_id: &str, redirect_uri: &str, post_logout_redirect_uri: &str) {
        let mut state = self.state();
        for client in state.settings.clients.iter_mut().filter(|client| client.id == client_id) {
            client.redirect_uris.push(redirect_uri.to_owned());
            client.post_logout_redirect_uris.push(post_logout_redirect_uri.to_owned());
        }
    }

    /// Changes how the provider behaves from now on: people, lives of tokens, rotation, ….
    pub fn configure(&self, change: impl FnOnce(&mut IdpSettings)) {
        change(&mut self.state().settings);
    }

    /// Breaks something on purpose from now on; earlier faults stay.
    pub fn break_with(&self, faults: impl FnOnce(&mut Faults)) {
        faults(&mut self.state().faults);
    }

    /// Honest again. What waits at a [`Gate`] still waits for it.
    pub fn heal(&self) {
        self.state().faults = Faults::default();
    }

    /// Signs with a new key from now on; the old one stays in the key set.
    ///
    /// # Errors
    /// When the machine can make no key.
    pub fn rotate_key(&self) -> Result<(), KeyError> {
        let mut state = self.state();
        let algorithm = state.settings.signing;
        state.keys.rotate(algorithm)
    }

    /// Takes every key but the one that signs out of the key set.
    pub fn withdraw_old_keys(&self) {
        self.state().keys.withdraw_old();
    }

    /// The key set as it would be served now.
    pub fn key_set(&self) -> Value {
        self.state().keys.key_set()
    }

    /// Every request so far, in order of arrival.
    pub fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// The requests so far to one path.
    pub fn seen_at(&self, path: &str) -> Vec<Seen> {
        self.state().seen.iter().filter(|seen| seen.path == path).cloned().collect()
    }

    /// The requests so far to the token endpoint with one grant type (`authorization_code`, `refresh_token`).
    pub fn token_requests(&self, grant_type: &str) -> Vec<Seen> {
        self.seen_at(paths::TOKEN)
            .into_iter()
            .filter(|seen| seen.field("grant_type").as_deref() == Some(grant_type))
            .collect()
    }

    /// Waits until `count` requests have come to `path`; also those that are still waiting for an answer count.
    pub async fn wait_for(&self, path: &str, count: usize) {
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            // Enabled before counting, so that no arrival falls between the two.
            arrived.as_mut().enable();
            if self.seen_at(path).len() >= count {
                return;
            }
            arrived.await;
        }
    }

    /// Forgets the record, not the tokens.
    pub fn forget_seen(&self) {
        self.state().seen.clear();
    }

    /// How often a spent refresh token came again.
    pub fn refresh_reuses(&self) -> usize {
        self.state().grants.reuses()
    }

    /// Ends every refresh and access token that it gave, as an administrator there would.
    pub fn revoke_everything(&self) {
        self.state().grants.revoke_all();
    }

    /// Ends every single-sign-on session, so that the next authorization request asks who somebody is.
    pub fn forget_browsers(&self) {
        self.state().grants.end_browser_sessions();
    }

    pub(super) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, BreakOff> {
        let Some(seen) = recorder::read(request, self.now()).await else {
            return Ok(Answer::text(http::StatusCode::PAYLOAD_TOO_LARGE, "too large").into_response());
        };
        let faults = {
            let mut state = self.state();
            state.seen.push(seen.clone());
            state.faults.for_request(&seen)
        };
        self.arrived.notify_waiters();
        faults.play(|| self.honest_answer(&seen)).await
    }

    fn honest_answer(&self, seen: &Seen) -> Answer {
        let plain = self.state().settings.mode == Mode::PlainOAuth2;
        match (seen.method.as_str(), seen.path.as_str()) {
            ("GET", paths::DISCOVERY | paths::KEY_SET | paths::END_SESSION) if plain => Answer::not_found(),
            ("GET", paths::DISCOVERY) => self.discovery(),
            ("GET", paths::KEY_SET) => self.serve_key_set(),
            ("GET", paths::AUTHORIZE) => self.authorize(seen),
            ("POST", paths::CHOOSE) => self.choose(seen),
            ("POST", paths::TOKEN) => self.token(seen),
            ("GET" | "POST", paths::USERINFO) => self.userinfo(seen),
            ("POST", paths::INTROSPECT) => self.introspect(seen),
            ("POST", paths::REVOKE) => self.revoke(seen),
            ("GET" | "POST", paths::END_SESSION) => self.end_session(seen),
            ("GET", "/") => pages::front(&self.issuer),
            _ => Answer::not_found(),
        }
    }

    fn now(&self) -> UnixTime {
        self.clock.now()
    }

    fn state(&self) -> MutexGuard<'_, State> {
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
pub mod paths {
    /// OpenID Connect Discovery 1.0.
    pub const DISCOVERY: &str = "/.well-known/openid-configuration";
    /// The key set.
    pub const KEY_SET: &str = "/jwks";
    /// The authorization endpoint.
    pub const AUTHORIZE: &str = "/sso/authorize";
    /// Where its page sends the choice of a person.
    pub const CHOOSE: &str = "/sso/choose";
    /// RP-initiated logout.
    pub const END_SESSION: &str = "/sso/end-session";
    /// The token endpoint.
    pub const TOKEN: &str = "/token";
    /// Userinfo.
    pub const USERINFO: &str = "/userinfo";
    /// Introspection (RFC 7662).
    pub const INTROSPECT: &str = "/introspect";
    /// Revocation (RFC 7009).
    pub const REVOKE: &str = "/revoke";
}

/// A value that nobody guesses, with a prefix that tells people what it is.
fn unguessable(prefix: &str) -> String {
    let bytes = seal::random::<24>();
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))
}

const CODE_LIFE: Duration = Duration::from_secs(60);
const ID_TOKEN_LIFE: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests;
