//! The other side of the provider's tests: a scripted server that records what it is asked, and keys that sign what it says.

mod authorize;
mod client_auth;
mod discovery;
mod exchange;
mod id_token;
mod introspect;
mod keys;
mod logout;
mod plain;
mod probe;
mod quirks;
mod refresh;
mod steps;
mod tenants;
mod userinfo;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::{Url, form_urlencoded};

use crate::clock::{Clock as _, ManualClock, UnixTime};
use crate::identity::ClaimMapping;
use crate::provider::settings::{
    ClientAuth, Endpoints, LogoutStyle, OAuth2Identity, ProviderKind, ProviderSettings, ResponseMode, UserinfoUse,
};
use crate::provider::{
    CodeExchange, FailureClass, ProbeRequest, Provider, ProviderError, RefreshRequest, Refreshed, SignIn,
};
use crate::secret::Secret;

pub(super) const START: u64 = 1_800_000_000;
pub(super) const REDIRECT: &str = "https://app.example.com/_vestibule/callback";

/// A provider's double.
#[derive(Clone)]
pub(super) struct Double {
    pub(super) origin: String,
    script: Arc<Mutex<Script>>,
}

#[derive(Default)]
struct Script {
    answers: HashMap<String, Vec<Answer>>,
    seen: Vec<Seen>,
}

/// One request as the double saw it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Seen {
    pub(super) fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }

    pub(super) fn field(&self, name: &str) -> Option<String> {
        self.form().into_iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    pub(super) fn authorization(&self) -> Option<&str> {
        self.headers.get("authorization").map(|v| v.to_str().unwrap())
    }
}

/// Puts parameters of a request where an answer's header field names them: `{state}`, `{redirect_uri}`.
fn echoing(query: &str) -> impl Fn(&str) -> String {
    let pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    move |text| pairs.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

/// What the double answers; a header field may name parameters of the request: `{state}`.
#[derive(Clone)]
pub(super) enum Answer {
    Whole { status: u16, headers: Vec<(&'static str, String)>, body: Bytes },
    Never,
}

impl Answer {
    pub(super) fn json(body: &Value) -> Self {
        Self::status(200, body)
    }

    pub(super) fn status(status: u16, body: &Value) -> Self {
        Self::typed(status, "application/json", body.to_string())
    }

    pub(super) fn typed(status: u16, media_type: &str, body: impl Into<Bytes>) -> Self {
        Self::Whole { status, headers: vec![("content-type", media_type.to_owned())], body: body.into() }
    }

    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Self::Whole { headers, .. } = &mut self {
            headers.push((name, value.to_owned()));
        }
        self
    }
}

impl Double {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let double = Self { origin, script: Arc::default() };
        let served = double.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let double = served.clone();
                let service = service_fn(move |request| double.clone().answer(request));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        double
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (parts, body) = request.into_parts();
        let body = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        let path = parts.uri.path().to_owned();
        let echo = echoing(parts.uri.query().unwrap_or_default());
        let answer = {
            let mut script = self.script.lock().unwrap();
            let query = parts.uri.query().map(str::to_owned);
            script.seen.push(Seen { method: parts.method, path: path.clone(), query, headers: parts.headers, body });
            match script.answers.get_mut(&path) {
                Some(answers) if answers.len() > 1 => answers.remove(0),
                Some(answers) => answers[0].clone(),
                None => Answer::status(404, &json!({})),
            }
        };
        let Answer::Whole { status, headers, body } = answer else { return std::future::pending().await };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            response.headers_mut().append(name, echo(&value).parse().unwrap());
        }
        Ok(response)
    }

    /// Answers `path` with these in turn; the last one stays.
    pub(super) fn on(&self, path: &str, answers: impl Into<Vec<Answer>>) -> &Self {
        self.script.lock().unwrap().answers.insert(path.to_owned(), answers.into());
        self
    }

    pub(super) fn seen(&self, path: &str) -> Vec<Seen> {
        self.script.lock().unwrap().seen.iter().filter(|s| s.path == path).cloned().collect()
    }

    pub(super) fn count(&self, path: &str) -> usize {
        self.seen(path).len()
    }

    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    pub(super) fn url(&self, path: &str) -> Url {
        Url::parse(&self.at(path)).unwrap()
    }

    pub(super) fn document(&self) -> Value {
        json!({
            "issuer": self.origin,
            "authorization_endpoint": self.at("/authorize"),
            "token_endpoint": self.at("/token"),
            "userinfo_endpoint": self.at("/userinfo"),
            "introspection_endpoint": self.at("/introspect"),
            "revocation_endpoint": self.at("/revoke"),
            "end_session_endpoint": self.at("/end"),
            "jwks_uri": self.at("/jwks"),
            "id_token_signing_alg_values_supported": ["none", "HS256", "RS256", "ES256"],
        })
    }

    /// An OpenID provider with this key.
    pub(super) async fn openid(key: &TestKey) -> Self {
        let double = Self::start().await;
        double.on(DISCOVERY, [Answer::json(&double.document())]);
        double.on("/jwks", [Answer::json(&json!({ "keys": [key.jwk] }))]);
        double
    }

    /// Claims of a good ID token for [`NONCE`].
    pub(super) fn claims(&self) -> Value {
        json!({
            "iss": self.origin, "sub": "alice", "aud": "client", "nonce": NONCE,
            "iat": START, "exp": START + 300, "email": "alice@example.com",
        })
    }

    /// Lets the token endpoint answer with an ID token of these claims.
    pub(super) fn issues(&self, key: &TestKey, claims: &Value) -> &Self {
        self.on("/token", [Answer::json(&token_answer(&json!({ "id_token": key.sign(claims) })))])
    }
}

pub(super) const DISCOVERY: &str = "/.well-known/openid-configuration";
pub(super) const NONCE: &str = "n-0S6_WzA2Mj";

pub(super) fn token_answer(more: &Value) -> Value {
    let mut answer = json!({
        "access_token": "access-1", "token_type": "Bearer", "refresh_token": "refresh-1", "expires_in": 300,
    });
    answer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    answer
}

type Signer = Box<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

/// A key that signs tokens.
pub(super) struct TestKey {
    pub(super) jwk: Value,
    alg: &'static str,
    signer: Signer,
}

impl TestKey {
    pub(super) fn es256(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self::ec(pair, "ES256", "P-256", 32, kid)
    }

    pub(super) fn es384(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        Self::ec(pair, "ES384", "P-384", 48, kid)
    }

    pub(super) fn es512(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&signature::ECDSA_P521_SHA512_FIXED_SIGNING).unwrap();
        Self::ec(pair, "ES512", "P-521", 66, kid)
    }

    fn ec(pair: EcdsaKeyPair, alg: &'static str, crv: &str, size: usize, kid: &str) -> Self {
        let (x, y) = pair.public_key().as_ref()[1..].split_at(size);
        let jwk = json!({ "kty": "EC", "crv": crv, "kid": kid, "use": "sig", "x": b64(x), "y": b64(y) });
        Self { jwk, alg, signer: Box::new(move |m| pair.sign(&SystemRandom::new(), m).unwrap().as_ref().to_vec()) }
    }

    pub(super) fn ed25519(kid: &str) -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": b64(pair.public_key().as_ref()) });
        Self { jwk, alg: "EdDSA", signer: Box::new(move |m| pair.sign(m).as_ref().to_vec()) }
    }

    /// RSA with one of its six algorithms.
    pub(super) fn rsa(alg: &'static str, kid: &str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let public = pair.public_key();
        let n = public.modulus().big_endian_without_leading_zero().to_vec();
        let e = public.exponent().big_endian_without_leading_zero().to_vec();
        let encoding: &'static dyn signature::RsaEncoding = match alg {
            "RS256" => &signature::RSA_PKCS1_SHA256,
            "RS384" => &signature::RSA_PKCS1_SHA384,
            "RS512" => &signature::RSA_PKCS1_SHA512,
            "PS256" => &signature::RSA_PSS_SHA256,
            "PS384" => &signature::RSA_PSS_SHA384,
            _ => &signature::RSA_PSS_SHA512,
        };
        let jwk = json!({ "kty": "RSA", "kid": kid, "use": "sig", "n": b64(&n), "e": b64(&e) });
        let signer = move |m: &[u8]| {
            let mut signed = vec![0; pair.public_modulus_len()];
            pair.sign(encoding, &SystemRandom::new(), m, &mut signed).unwrap();
            signed
        };
        Self { jwk, alg, signer: Box::new(signer) }
    }

    pub(super) fn hmac(secret: &[u8]) -> Self {
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
        Self {
            jwk: json!({ "kty": "oct" }),
            alg: "HS256",
            signer: Box::new(move |m| aws_lc_rs::hmac::sign(&key, m).as_ref().to_vec()),
        }
    }

    pub(super) fn header(&self) -> Value {
        match self.jwk.get("kid") {
            Some(kid) => json!({ "alg": self.alg, "kid": kid }),
            None => json!({ "alg": self.alg }),
        }
    }

    pub(super) fn sign(&self, claims: &Value) -> String {
        self.sign_with(&self.header(), claims)
    }

    pub(super) fn sign_with(&self, header: &Value, claims: &Value) -> String {
        self.sign_text(&header.to_string(), &claims.to_string())
    }

    pub(super) fn sign_text(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", b64(header.as_bytes()), b64(claims.as_bytes()));
        let signature = (self.signer)(signed.as_bytes());
        format!("{signed}.{}", b64(&signature))
    }

    /// The same key without its name.
    pub(super) fn nameless(mut self) -> Self {
        self.jwk.as_object_mut().unwrap().remove("kid");
        self
    }
}

pub(super) fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A provider under test and its clock.
pub(super) struct Fixture {
    pub(super) provider: Provider,
    pub(super) clock: Arc<ManualClock>,
}

impl Fixture {
    pub(super) fn openid(double: &Double) -> Self {
        Self::openid_with(double, |_| {})
    }

    pub(super) fn openid_with(double: &Double, change: impl FnOnce(&mut ProviderSettings)) -> Self {
        let kind = ProviderKind::Oidc { issuer: double.origin.clone(), overrides: Endpoints::default() };
        Self::new(kind, change)
    }

    pub(super) fn plain_with(
        double: &Double,
        identity: OAuth2Identity,
        change: impl FnOnce(&mut ProviderSettings),
    ) -> Self {
        let endpoints = Endpoints {
            authorization_endpoint: Some(double.url("/authorize")),
            token_endpoint: Some(double.url("/token")),
            userinfo_endpoint: Some(double.url("/userinfo")),
            introspection_endpoint: Some(double.url("/introspect")),
            ..Endpoints::default()
        };
        Self::new(ProviderKind::OAuth2 { endpoints, identity }, change)
    }

    fn new(kind: ProviderKind, change: impl FnOnce(&mut ProviderSettings)) -> Self {
        let clock = ManualClock::starting_at(UnixTime::from_secs(START));
        let mut settings = settings(kind);
        change(&mut settings);
        Self { provider: Provider::new(settings, Arc::clone(&clock) as _).unwrap(), clock }
    }

    /// Lets time pass until it is so many seconds after the epoch.
    pub(super) fn later_until(&self, seconds: u64) {
        self.clock.advance(UnixTime::from_secs(seconds).since(self.clock.now()));
    }

    pub(super) async fn redeem(&self) -> Result<SignIn, ProviderError> {
        self.redeem_iss(None).await
    }

    pub(super) async fn redeem_iss(&self, iss: Option<&str>) -> Result<SignIn, ProviderError> {
        let (code, verifier) = (Secret::from("code-1"), Secret::from("verifier-1"));
        let issuer = self.provider.check_iss(iss, true).await?;
        let exchange = CodeExchange {
            code: &code,
            issuer: &issuer,
            redirect_uri: REDIRECT,
            verifier: &verifier,
            nonce: NONCE,
            max_age: None,
        };
        self.provider.redeem(&exchange).await
    }

    /// The reason code of a sign-in that has to fail.
    pub(super) async fn refusal(&self) -> &'static str {
        self.redeem().await.map(|s| s.claims).unwrap_err().code()
    }

    pub(super) async fn refresh(&self, claims: &Value) -> Result<Refreshed, ProviderError> {
        let token = Secret::from("refresh-1");
        let issuer = claims.get("iss").and_then(Value::as_str).unwrap_or_default();
        let request = RefreshRequest {
            refresh_token: &token,
            issuer,
            claims: claims.as_object().unwrap(),
            asked: None,
            nonce: Some(NONCE),
            auth_time: None,
            scope: Some("openid email"),
        };
        self.provider.refresh(&request).await
    }
}

fn settings(kind: ProviderKind) -> ProviderSettings {
    ProviderSettings {
        name: Arc::from("corp"),
        redirect_path: "/_vestibule/callback".to_owned(),
        title: "Corp".to_owned(),
        kind,
        discovery_url: None,
        allowed_tenants: Vec::new(),
        client_id: "client".to_owned(),
        client_auth: ClientAuth::Basic(Secret::from("client-secret-of-at-least-32-bytes")),
        scopes: vec!["openid".to_owned(), "email".to_owned()],
        pkce: true,
        authorization_params: std::collections::BTreeMap::new(),
        response_mode: ResponseMode::Query,
        quirks: Vec::new(),
        prompt: None,
        max_age: None,
        acr_values: Vec::new(),
        resource: Vec::new(),
        ca_pem: None,
        timeout: Duration::from_secs(5),
        audiences: Vec::new(),
        id_token_algorithms: Vec::new(),
        userinfo_algorithms: Vec::new(),
        jwks_min_interval: Duration::from_secs(60),
        default_expires_in: Duration::from_secs(600),
        userinfo: UserinfoUse::Never,
        userinfo_every: None,
        logout: LogoutStyle::Auto,
        clock_leeway: Duration::from_secs(60),
        claims: ClaimMapping::default(),
        needed_claims: Vec::new(),
        deciding_claims: Vec::new(),
        insecure_http: false,
    }
}

#[tokio::test]
async fn no_secret_is_in_what_is_printed() {
    // OA-25
    let double = Double::start().await;
    double.on("/token", [Answer::json(&token_answer(&json!({})))]);
    let fixture = Fixture::plain_with(&double, OAuth2Identity::Nobody, |_| {});
    let sign_in = fixture.redeem().await.unwrap();
    let printed = format!("{:?} {sign_in:?}", fixture.provider);
    let basic = double.seen("/token")[0].authorization().unwrap()[6..].to_owned();
    for secret in ["client-secret-of", "access-1", "refresh-1", &basic] {
        assert!(!printed.contains(secret), "{printed}");
    }
    let hmac = Fixture::openid_with(&double, |s| s.id_token_algorithms = vec!["HS256".to_owned()]);
    assert!(!format!("{:?}", hmac.provider).contains("client-secret-of"));
}

#[test]
fn calls_can_be_made_from_any_thread() {
    fn is_send<T: Send>(_: &T) {}
    fn is_shared<T: Send + Sync + 'static>() {}
    is_shared::<Provider>();
    fn all(fixture: &Fixture) {
        is_send(&fixture.redeem());
        is_send(&fixture.refresh(&Value::Null));
        is_send(&fixture.provider.probe(&ProbeRequest::default()));
        is_send(&fixture.provider.end_session_url(None, "", ""));
        is_send(&fixture.provider.sign_out(None, None));
    }
    let _ = all;
}
