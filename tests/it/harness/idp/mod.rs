//! An OpenID provider as tests start it: an [honest one](honest) with one client and a clock that they move, a record of every
//! request, and switches for all that a provider can do wrong.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};
use vestibule::body::Body;
use vestibule::clock::{Clock as _, ManualClock};

mod assertions;
mod callback;
mod faults;
mod honest;
mod serve;
mod signing;
mod tests;

pub(crate) use faults::{Breakage, Edits, Faults, Gate};
pub(crate) use honest::{
    AuthMethod, Client, Idp, IdpRequest, IdpResponse, IdpSettings, Mode, Pair, Person, Pkce, SigningAlgorithm,
    SigningKey, paths,
};
pub(crate) use signing::{KeyForm, Signing};

use assertions::{Assertions, STANDS_FOR_ASSERTION};
use faults::TokenFaults;
use serve::BreakOff;

/// A running provider; everything that [`Misbehaving`] and [`Idp`] can do, it can.
pub(crate) struct TestIdp {
    provider: Arc<Misbehaving>,
    /// The provider's clock, to be shared with the gateway.
    pub(crate) clock: Arc<ManualClock>,
    /// Whether it is a plain OAuth 2.0 server.
    pub(crate) plain: bool,
    /// Where it listens, in plain text.
    pub(crate) address: SocketAddr,
    _until_dropped: DropGuard,
}

/// The honest provider, behind faults that are switched on and off.
pub(crate) struct Misbehaving {
    honest: Arc<Idp>,
    clock: Arc<ManualClock>,
    state: Mutex<State>,
    /// Told at each request that has been recorded.
    arrived: Notify,
}

struct State {
    faults: Faults,
    seen: Vec<IdpRequest>,
    /// The one that signs first.
    keys: Vec<Arc<SigningKey>>,
    assertions: Assertions,
    signs_userinfo: bool,
    /// How many logout tokens were made.
    logout_tokens: u32,
}

impl State {
    fn logout_tokens(&mut self) -> u32 {
        self.logout_tokens += 1;
        self.logout_tokens
    }
}

impl TestIdp {
    /// An OpenID provider with the client [`CLIENT_ID`].
    pub(crate) async fn start() -> Self {
        Self::with(IdpSettings::default()).await
    }

    /// A plain OAuth 2.0 server with the same client.
    pub(crate) async fn plain_oauth2() -> Self {
        Self::with(IdpSettings::plain_oauth2()).await
    }

    /// A provider that signs in another way than by ES256.
    pub(crate) async fn signing_by(algorithm: SigningAlgorithm) -> Self {
        Self::started(IdpSettings::default(), algorithm, super::clock()).await
    }

    /// A provider that is set up otherwise; the client is added unless there is one.
    pub(crate) async fn with(settings: IdpSettings) -> Self {
        Self::sharing(settings, super::clock()).await
    }

    /// A second provider with the same clock as another one.
    pub(crate) async fn sharing(settings: IdpSettings, clock: Arc<ManualClock>) -> Self {
        Self::started(settings, SigningAlgorithm::Es256, clock).await
    }

    /// A provider that is `https://NAME` to everybody: whoever leads that name to it ends TLS before it.
    pub(crate) async fn at_https(name: &str, settings: IdpSettings) -> Self {
        let issuer = Some(format!("https://{name}"));
        Self::started_at(issuer, settings, SigningAlgorithm::Es256, super::clock()).await
    }

    /// The same, whose userinfo is a signed JWT.
    pub(crate) fn signing_userinfo(self) -> Self {
        self.state().signs_userinfo = true;
        self
    }

    async fn started(settings: IdpSettings, algorithm: SigningAlgorithm, clock: Arc<ManualClock>) -> Self {
        Self::started_at(None, settings, algorithm, clock).await
    }

    async fn started_at(
        issuer: Option<String>,
        mut settings: IdpSettings,
        algorithm: SigningAlgorithm,
        clock: Arc<ManualClock>,
    ) -> Self {
        if settings.clients.is_empty() {
            settings.clients.push(Client::with_secret(CLIENT_ID, CLIENT_SECRET));
        }
        let plain = settings.mode == Mode::PlainOAuth2;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let issuer = issuer.unwrap_or_else(|| format!("http://{address}"));
        let provider = Misbehaving::new(issuer, settings, algorithm, clock.clone());
        let shutdown = CancellationToken::new();
        tokio::spawn(serve::serve(listener, Arc::clone(&provider), shutdown.clone()));
        Self { provider, clock, plain, address, _until_dropped: shutdown.drop_guard() }
    }

    /// The provider itself, to be held elsewhere.
    pub(crate) fn shared(&self) -> Arc<Misbehaving> {
        Arc::clone(&self.provider)
    }
}

impl Misbehaving {
    fn new(issuer: String, settings: IdpSettings, algorithm: SigningAlgorithm, clock: Arc<ManualClock>) -> Arc<Self> {
        let key = Arc::new(SigningKey::generate(algorithm).unwrap());
        let state = State {
            faults: Faults::default(),
            seen: Vec::new(),
            keys: vec![Arc::clone(&key)],
            assertions: Assertions::default(),
            signs_userinfo: false,
            logout_tokens: 0,
        };
        let honest = Idp::new(issuer, settings, key, clock.clone());
        Arc::new(Self { honest, clock, state: Mutex::new(state), arrived: Notify::new() })
    }

    /// Breaks something on purpose from now on; earlier faults stay.
    pub(crate) fn break_with(&self, faults: impl FnOnce(&mut Faults)) {
        faults(&mut self.state().faults);
    }

    /// Honest again. What waits at a [`Gate`] still waits for it.
    pub(crate) fn heal(&self) {
        self.state().faults = Faults::default();
    }

    /// Adds addresses to a registered client: where a sign-in and where a sign-out may come back to.
    pub(crate) fn allow_return_to(&self, client_id: &str, redirect_uri: &str, post_logout_redirect_uri: &str) {
        self.configure(|settings| {
            for client in settings.clients.iter_mut().filter(|client| client.id == client_id) {
                client.redirect_uris.push(redirect_uri.to_owned());
                client.post_logout_redirect_uris.push(post_logout_redirect_uri.to_owned());
            }
        });
    }

    /// A client proves itself by `private_key_jwt` from now on, with the private half of this JWK, which has `alg`.
    pub(crate) fn expects_assertions(&self, client_id: &str, jwk: Value) {
        self.state().assertions.expect(client_id, jwk);
        self.register(Client::with_secret(client_id, STANDS_FOR_ASSERTION));
    }

    /// Signs with a new key from now on; the old one stays in the key set.
    pub(crate) fn rotate_key(&self) {
        let mut state = self.state();
        let key = SigningKey::generate(state.keys[0].algorithm()).unwrap();
        state.keys.insert(0, Arc::new(key));
        self.set_keys(state.keys.clone());
    }

    /// Takes every key but the one that signs out of the key set.
    pub(crate) fn withdraw_old_keys(&self) {
        let mut state = self.state();
        state.keys.truncate(1);
        self.set_keys(state.keys.clone());
    }

    /// The key set as it would be served now.
    pub(crate) fn key_set(&self) -> Value {
        json!({ "keys": self.state().keys.iter().map(|key| key.jwk()).collect::<Vec<_>>() })
    }

    /// A logout token for our client, with these members in place of the honest ones (null: gone), and what is wrong on purpose.
    pub(crate) fn logout_token(&self, members: &Value, wrong: impl FnOnce(&mut TokenFaults)) -> String {
        let now = self.clock_seconds();
        let mut claims = json!({
            "iss": self.issuer(), "aud": CLIENT_ID, "iat": now, "exp": now + 120,
            "jti": format!("{:x}", self.state().logout_tokens()),
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        });
        let claims = claims.as_object_mut().unwrap();
        claims.extend(members.as_object().unwrap().clone());
        claims.retain(|_, value| !value.is_null());
        let mut faults = TokenFaults::default();
        faults.header.set("typ", "logout+jwt");
        wrong(&mut faults);
        self.signed(claims.clone(), &faults)
    }

    /// The provider's time, in seconds since 1970.
    pub(crate) fn clock_seconds(&self) -> u64 {
        self.clock.now().secs()
    }

    /// Every request so far, in order of arrival.
    pub(crate) fn seen(&self) -> Vec<IdpRequest> {
        self.state().seen.clone()
    }

    /// The requests so far to one path.
    pub(crate) fn seen_at(&self, path: &str) -> Vec<IdpRequest> {
        self.state().seen.iter().filter(|seen| seen.path == path).cloned().collect()
    }

    /// The requests so far to the token endpoint with one grant type (`authorization_code`, `refresh_token`).
    pub(crate) fn token_requests(&self, grant_type: &str) -> Vec<IdpRequest> {
        let mut seen = self.seen_at(paths::TOKEN);
        seen.retain(|seen| seen.field("grant_type").as_deref() == Some(grant_type));
        seen
    }

    /// Waits until `count` requests have come to `path`; also those that are still waiting for an answer count.
    pub(crate) async fn wait_for(&self, path: &str, count: usize) {
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
    pub(crate) fn forget_seen(&self) {
        self.state().seen.clear();
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, BreakOff> {
        let Some(asked) = IdpRequest::read(request).await else { return Ok(IdpResponse::too_large().into_response()) };
        let faults = {
            let mut state = self.state();
            state.seen.push(asked.clone());
            state.faults.for_request(&asked)
        };
        self.arrived.notify_waiters();
        faults.play(|| self.work(&asked)).await
    }

    /// What the honest provider answers, with what is wrong in tokens and in the callback.
    fn work(&self, asked: &IdpRequest) -> IdpResponse {
        let faults = self.state().faults.clone();
        match asked.path.as_str() {
            paths::AUTHORIZE | paths::CHOOSE => {
                let answer = match callback::refused(asked, &faults.callback) {
                    Some(refused) => callback::says_not_supported(self.honest.answer(&refused)),
                    None => self.honest.answer(asked),
                };
                callback::broken(answer, &faults.callback)
            }
            paths::TOKEN | paths::INTROSPECT | paths::REVOKE => self.proven(asked, &faults),
            paths::USERINFO => self.userinfo(asked, &faults),
            paths::KEY_SET => edited(self.honest.answer(asked), |members| {
                let keys = members.get_mut("keys").and_then(Value::as_array_mut).into_iter().flatten();
                for key in keys.filter_map(Value::as_object_mut).filter(|_| faults.keys_without_kid) {
                    key.remove("kid");
                }
            }),
            _ => self.honest.answer(asked),
        }
    }

    /// An endpoint at which the client proves itself.
    fn proven(&self, asked: &IdpRequest, faults: &Faults) -> IdpResponse {
        let translated = self.state().assertions.translated(asked, self.issuer(), self.clock.now().secs());
        let asked = match translated {
            Ok(asked) => asked,
            Err(why) => return not_believed(why),
        };
        let mut wrong = match asked.field("grant_type").as_deref() {
            Some("refresh_token") => faults.refreshed_id_token.clone(),
            _ => faults.id_token.clone(),
        };
        if faults.keys_without_kid {
            wrong.header.remove("kid");
        }
        edited(self.honest.answer(&asked), |members| {
            if let Some(Value::String(token)) = members.get_mut("id_token") {
                *token = self.signed(signing::claims(token), &wrong);
            }
        })
    }

    fn userinfo(&self, asked: &IdpRequest, faults: &Faults) -> IdpResponse {
        let answer = self.honest.answer(asked);
        if !self.state().signs_userinfo || answer.status != StatusCode::OK {
            return answer;
        }
        let mut claims: Map<String, Value> = serde_json::from_slice(&answer.body).unwrap();
        claims.insert("iss".to_owned(), json!(self.issuer()));
        claims.insert("aud".to_owned(), json!(CLIENT_ID));
        // Edits of the JSON can no longer reach what is signed.
        let wrong = TokenFaults { claims: faults.userinfo.members.clone(), ..TokenFaults::default() };
        IdpResponse::new(StatusCode::OK, "application/jwt", self.signed(claims, &wrong))
    }

    fn signed(&self, claims: Map<String, Value>, wrong: &TokenFaults) -> String {
        signing::token(&self.state().keys[0], claims, wrong)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panicking test must not take the provider of the other tests with it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer whose JSON is changed, where it is an object.
fn edited(mut answer: IdpResponse, change: impl FnOnce(&mut Map<String, Value>)) -> IdpResponse {
    if let Ok(Value::Object(mut members)) = serde_json::from_slice(&answer.body) {
        change(&mut members);
        answer.body = Value::Object(members).to_string().into();
    }
    answer
}

fn not_believed(why: &str) -> IdpResponse {
    let body = json!({ "error": "invalid_client", "error_description": why }).to_string();
    let headers = vec![
        (CONTENT_TYPE, "application/json".to_owned()),
        (WWW_AUTHENTICATE, "Basic realm=\"demo provider\"".to_owned()),
    ];
    IdpResponse { status: StatusCode::UNAUTHORIZED, headers, body: body.into() }
}

impl Deref for TestIdp {
    type Target = Misbehaving;

    fn deref(&self) -> &Misbehaving {
        &self.provider
    }
}

impl Deref for Misbehaving {
    type Target = Idp;

    fn deref(&self) -> &Idp {
        &self.honest
    }
}

pub(crate) const CLIENT_ID: &str = "test app";
/// With every character that tells form-urlencoding from its absence (OA-12).
pub(crate) const CLIENT_SECRET: &str = "s:e%c r+é&t=";
