//! The provider's honesty: what it refuses, and that what it gives verifies.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use jsonwebtoken::{DecodingKey, Validation};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::*;
use crate::clock::{ManualClock, UnixTime};

#[test]
fn an_honest_sign_in_gives_tokens_that_verify() {
    let demo = Demo::new();
    let callback = demo.signed_in();
    assert_eq!((callback["iss"].as_str(), callback["state"].as_str()), (ISSUER, "s-0")); // IS-01: announced, so it is there
    let set = demo.exchanged(&callback["code"], VERIFIER).unwrap();
    let claims = demo.verified(set["id_token"].as_str().unwrap());
    for (name, value) in [("iss", ISSUER), ("aud", "app"), ("nonce", "n-0"), ("name", "Ada Lovelace")] {
        assert_eq!(claims[name], value);
    }
    let digest = Sha256::digest(set["access_token"].as_str().unwrap());
    assert_eq!(claims["at_hash"], URL_SAFE_NO_PAD.encode(&digest[..16]));
    assert_eq!(set["expires_in"], 60);
    let renewed = demo.refreshed(&set).unwrap();
    let claims = demo.verified(renewed["id_token"].as_str().unwrap());
    assert_eq!((claims["sub"].as_str(), claims.get("nonce")), (Some(ADA), None));
}

#[test]
fn pkce_can_neither_be_left_out_nor_weakened_and_is_really_checked() {
    // PK-05
    let demo = Demo::new();
    for (name, value) in [("code_challenge", ""), ("code_challenge_method", "plain"), ("code_challenge_method", "")] {
        let answer = demo.get(AUTHORIZE, &request(&[(name, value)]));
        assert_eq!(callback_of(&answer)["error"], "invalid_request", "{name}={value}");
    }
    let code = &demo.signed_in()["code"];
    assert_eq!(demo.exchanged(code, &"x".repeat(43)).unwrap_err(), "invalid_grant");
    // The failed attempt did not spend the code.
    assert!(demo.exchanged(code, VERIFIER).is_ok());
}

#[test]
fn what_is_sent_a_second_time_revokes_what_it_gave() {
    let demo = Demo::new();
    let code = &demo.signed_in()["code"];
    let set = demo.exchanged(code, VERIFIER).unwrap();
    assert_eq!(demo.exchanged(code, VERIFIER).unwrap_err(), "invalid_grant");
    assert_eq!(demo.userinfo(&set).0, StatusCode::UNAUTHORIZED);
    assert_eq!(demo.refreshed(&set).unwrap_err(), "invalid_grant");

    let first = demo.exchanged(&demo.signed_in()["code"], VERIFIER).unwrap();
    let second = demo.refreshed(&first).unwrap();
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    assert_eq!(demo.userinfo(&second).1["name"], "Ada Lovelace");
    assert_eq!(demo.refreshed(&first).unwrap_err(), "invalid_grant");
    assert_eq!(demo.refreshed(&second).unwrap_err(), "invalid_grant");
    assert_eq!(demo.userinfo(&second).0, StatusCode::UNAUTHORIZED);
}

#[test]
fn codes_and_access_tokens_expire() {
    let demo = Demo::new();
    let code = &demo.signed_in()["code"];
    demo.clock.advance(CODE_LIFE);
    assert_eq!(demo.exchanged(code, VERIFIER).unwrap_err(), "invalid_grant");
    let set = demo.exchanged(&demo.signed_in()["code"], VERIFIER).unwrap();
    demo.clock.advance(Duration::from_secs(59));
    assert_eq!(demo.userinfo(&set).0, StatusCode::OK);
    demo.clock.advance(Duration::from_secs(1));
    assert_eq!(demo.userinfo(&set).0, StatusCode::UNAUTHORIZED);
}

#[test]
fn addresses_that_are_not_registered_are_never_gone_to() {
    let demo = Demo::new();
    for uri in ["https://evil.example/", "https://app.example/callback/", "https://app.example/callback?x"] {
        let answer = demo.get(AUTHORIZE, &request(&[("redirect_uri", uri)]));
        assert_eq!((answer.status(), answer.headers().get("location")), (StatusCode::BAD_REQUEST, None), "{uri}");
    }
    let answer = demo.get(END_SESSION, &form(&[("post_logout_redirect_uri", "https://evil.example/")]));
    assert_eq!((answer.status(), answer.headers().get("location")), (StatusCode::BAD_REQUEST, None));
}

#[test]
fn the_client_is_believed_by_one_method_only() {
    let demo = Demo::new();
    let token = "grant_type=refresh_token&refresh_token=unknown";
    let error = |authorization: &str, form: &str| demo.tokens(authorization, form).unwrap_err();
    // The right secret is believed: what is wrong then is the token.
    assert_eq!(error(&basic("app", SECRET), token), "invalid_grant");
    assert_eq!(error(&basic("app", "wrong"), token), "invalid_client");
    assert_eq!(error(&basic("other", SECRET), token), "invalid_client");
    let posted = format!("{token}&{}", form(&[("client_id", "app"), ("client_secret", SECRET)]));
    assert_eq!(error("", &posted), "invalid_client");
    // OA-13: two methods at once.
    assert_eq!(error(&basic("app", SECRET), &posted), "invalid_client");
    // OA-12: a client that does not form-urlencode its secret is not believed.
    let raw = format!("Basic {}", STANDARD.encode(format!("app:{SECRET}")));
    assert_eq!(error(&raw, token), "invalid_client");
}

#[test]
fn signing_out_and_revocation_end_the_tokens() {
    let demo = Demo::new();
    let set = demo.exchanged(&demo.signed_in()["code"], VERIFIER).unwrap();
    let back = ("post_logout_redirect_uri", "https://app.example/bye");
    let query = form(&[("id_token_hint", set["id_token"].as_str().unwrap()), back, ("state", "s-1")]);
    let answer = demo.get(END_SESSION, &query);
    assert_eq!(answer.headers()["location"], "https://app.example/bye?state=s-1");
    assert_eq!(demo.refreshed(&set).unwrap_err(), "invalid_grant");

    let set = demo.exchanged(&demo.signed_in()["code"], VERIFIER).unwrap();
    let token = form(&[("token", set["refresh_token"].as_str().unwrap())]);
    assert_eq!(demo.post(REVOKE, &basic("app", SECRET), &token).status(), StatusCode::OK);
    assert_eq!(demo.userinfo(&set).0, StatusCode::UNAUTHORIZED);
}

#[test]
fn without_a_hint_a_sign_out_asks_first() {
    let demo = Demo::new();
    let cookie = demo.signed_in()["cookie"].clone();
    let is_signed_in = || demo.asked("GET", &format!("{AUTHORIZE}?{}", request(&[])), "", &cookie, "").status() == 303;
    assert!(is_signed_in());
    let (status, page) = text_of(demo.asked("GET", END_SESSION, "", &cookie, ""));
    assert!(status == StatusCode::OK && page.contains("Sign out?") && is_signed_in());
    let (status, page) = text_of(demo.asked("POST", &format!("{END_SESSION}?"), "", &cookie, ""));
    assert!(status == StatusCode::OK && page.contains("Signed out") && !is_signed_in());
}

#[test]
fn nobody_is_asked_again_where_the_request_does_not_want_it() {
    let demo = Demo::new();
    let asked =
        |cookie: &str, more: &str| demo.asked("GET", &format!("{AUTHORIZE}?{}{more}", request(&[])), "", cookie, "");
    assert_eq!(callback_of(&asked("", "&prompt=none"))["error"], "login_required");
    let cookie = &demo.signed_in()["cookie"];
    assert!(callback_of(&asked(cookie, "&prompt=none")).contains_key("code"));
    for asks in ["&prompt=login", "&prompt=select_account", "&max_age=9"] {
        demo.clock.advance(Duration::from_secs(10));
        assert_eq!(asked(cookie, asks).status(), StatusCode::OK, "{asks}");
    }
}

#[test]
fn pages_escape_what_they_were_sent() {
    let demo = Demo::new();
    let (_, page) = text_of(demo.get(AUTHORIZE, &request(&[("state", "\"><script>alert(1)</script>")])));
    assert!(page.contains("Ada Lovelace") && page.contains("Grace Hopper") && !page.contains("<script"), "{page}");
}

/// A provider and its clock.
struct Demo {
    idp: Idp,
    clock: Arc<ManualClock>,
}

impl Demo {
    fn new() -> Self {
        let clock = ManualClock::starting_at(UnixTime::from_secs(1_000_000));
        let client = Client {
            id: "app".to_owned(),
            secret: SECRET.to_owned(),
            redirect_uri: REDIRECT_URI.to_owned(),
            post_logout_redirect_uri: "https://app.example/bye".to_owned(),
        };
        let idp = Idp::new(ISSUER.to_owned(), client, Duration::from_secs(60), clock.clone()).unwrap();
        Self { idp, clock }
    }

    fn asked(&self, method: &str, target: &str, authorization: &str, cookie: &str, body: &str) -> Response<Body> {
        let request = Request::builder().method(method).uri(target);
        let request = request.header("authorization", authorization).header("cookie", cookie);
        self.idp.answer(&request.body(Bytes::from(body.to_owned())).unwrap())
    }

    fn get(&self, path: &str, query: &str) -> Response<Body> {
        self.asked("GET", &format!("{path}?{query}"), "", "", "")
    }

    fn post(&self, path: &str, authorization: &str, body: &str) -> Response<Body> {
        self.asked("POST", path, authorization, "", body)
    }

    /// Ada chooses to be Ada; gives what came back to the redirect URI, and the `cookie`.
    fn signed_in(&self) -> Params {
        let answer = self.post(CHOOSE, "", &form(&[("request", &request(&[])), ("person", ADA)]));
        let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        callback_of(&answer).into_iter().chain([("cookie".to_owned(), cookie)]).collect()
    }

    /// A token request: the token set, or the error code.
    fn tokens(&self, authorization: &str, form: &str) -> Result<Value, String> {
        let (status, text) = text_of(self.post(TOKEN, authorization, form));
        let answer: Value = serde_json::from_str(&text).unwrap();
        if status == StatusCode::OK { Ok(answer) } else { Err(answer["error"].as_str().unwrap().to_owned()) }
    }

    fn exchanged(&self, code: &str, verifier: &str) -> Result<Value, String> {
        let code = [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", REDIRECT_URI)];
        self.tokens(&basic("app", SECRET), &form(&[&code[..], &[("code_verifier", verifier)]].concat()))
    }

    fn refreshed(&self, set: &Value) -> Result<Value, String> {
        let token = ("refresh_token", set["refresh_token"].as_str().unwrap());
        self.tokens(&basic("app", SECRET), &form(&[("grant_type", "refresh_token"), token]))
    }

    fn userinfo(&self, set: &Value) -> (StatusCode, Value) {
        let bearer = format!("Bearer {}", set["access_token"].as_str().unwrap());
        let (status, text) = text_of(self.asked("GET", USERINFO, &bearer, "", ""));
        (status, serde_json::from_str(&text).unwrap_or_default())
    }

    /// The claims of an ID token, verified by a library that the provider does not use.
    fn verified(&self, token: &str) -> Value {
        let keys: Value = serde_json::from_str(&text_of(self.get(KEY_SET, "")).1).unwrap();
        let key = DecodingKey::from_jwk(&serde_json::from_value(keys["keys"][0].clone()).unwrap()).unwrap();
        let mut signature_only = Validation::new(jsonwebtoken::Algorithm::ES256);
        signature_only.validate_exp = false;
        signature_only.validate_aud = false;
        jsonwebtoken::decode(token, &key, &signature_only).unwrap().claims
    }
}

/// An authorization request with some parameters in place of the right ones; an empty value leaves the parameter out.
fn request(changes: &[(&str, &str)]) -> String {
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
    let right = [
        ("response_type", "code"),
        ("client_id", "app"),
        ("redirect_uri", REDIRECT_URI),
        ("scope", "openid profile email"),
        ("state", "s-0"),
        ("nonce", "n-0"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    let changed = |name: &str| changes.iter().find(|(changed, _)| *changed == name).map(|(_, value)| *value);
    let params = right.map(|(name, value)| (name, changed(name).unwrap_or(value)));
    form(&params.into_iter().filter(|(_, value)| !value.is_empty()).collect::<Vec<_>>())
}

fn text_of(answer: Response<Body>) -> (StatusCode, String) {
    let (head, body) = answer.into_parts();
    let body = body.collect().now_or_never().unwrap().unwrap().to_bytes();
    (head.status, String::from_utf8(body.to_vec()).unwrap())
}

fn callback_of(answer: &Response<Body>) -> Params {
    let location = answer.headers()["location"].to_str().unwrap();
    Url::parse(location).unwrap().query_pairs().into_owned().collect()
}

fn form(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn basic(id: &str, secret: &str) -> String {
    let half = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!("Basic {}", STANDARD.encode(format!("{}:{}", half(id), half(secret))))
}

const ISSUER: &str = "http://127.0.0.1:9";
const REDIRECT_URI: &str = "https://app.example/callback";
const SECRET: &str = "s:e%c r+é&t";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const ADA: &str = "248289761001";
