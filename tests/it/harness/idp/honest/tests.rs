//! The provider's own honesty: what it is trusted to refuse in every other test.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, StatusCode};
use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::*;
use vestibule::clock::ManualClock;

#[test]
fn an_honest_sign_in_gives_tokens_that_verify() {
    let idp = provider(IdpSettings::default());
    let callback = signed_in(&idp, &asked(&[]));
    assert_eq!(callback["iss"], ISSUER); // IS-01: announced, so it is there
    let set = exchanged(&idp, &callback["code"], VERIFIER).unwrap();
    let claims = verified(&idp, set["id_token"].as_str().unwrap());
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["aud"], "app");
    assert_eq!(claims["nonce"], "n-0");
    assert_eq!(claims["name"], "Ada Lovelace");
    let digest = Sha256::digest(set["access_token"].as_str().unwrap());
    assert_eq!(claims["at_hash"], URL_SAFE_NO_PAD.encode(&digest[..16]));
    assert_eq!(set["expires_in"], 60);
}

#[test]
fn an_rsa_key_signs_what_others_verify() {
    let idp = provider(IdpSettings::default());
    idp.set_keys(vec![Arc::new(SigningKey::generate(SigningAlgorithm::Rs256).unwrap())]);
    let callback = signed_in(&idp, &asked(&[]));
    let set = exchanged(&idp, &callback["code"], VERIFIER).unwrap();
    let token = set["id_token"].as_str().unwrap();
    assert_eq!(verified(&idp, token)["sub"], ADA);
    assert!(idp.state().keys[0].own_claims(token).is_some());
}

#[test]
fn pkce_is_really_checked() {
    let idp = provider(IdpSettings::default());
    let code = signed_in(&idp, &asked(&[]))["code"].clone();
    let wrong = exchanged(&idp, &code, &"x".repeat(43));
    assert_eq!(wrong.unwrap_err(), "invalid_grant");
    // The failed attempt did not spend the code: it was never this client's to lose.
    assert!(exchanged(&idp, &code, VERIFIER).is_ok());
}

#[test]
fn pkce_can_neither_be_left_out_nor_weakened() {
    // PK-05
    let idp = provider(IdpSettings::default());
    for (name, value) in [("code_challenge", ""), ("code_challenge_method", "plain"), ("code_challenge_method", "")] {
        let answer = get(&idp, paths::AUTHORIZE, &asked(&[(name, value)]));
        assert_eq!(callback_of(&answer)["error"], "invalid_request", "{name}={value}");
    }
}

#[test]
fn a_second_exchange_of_a_code_revokes_the_first() {
    let idp = provider(IdpSettings::default());
    let code = signed_in(&idp, &asked(&[]))["code"].clone();
    let set = exchanged(&idp, &code, VERIFIER).unwrap();
    assert_eq!(exchanged(&idp, &code, VERIFIER).unwrap_err(), "invalid_grant");
    assert_eq!(userinfo(&idp, &set).status, StatusCode::UNAUTHORIZED);
    assert_eq!(refreshed(&idp, &set).unwrap_err(), "invalid_grant");
}

#[test]
fn a_code_expires() {
    let clock = ManualClock::starting_at(UnixTime::from_secs(1_000_000));
    let idp = at(IdpSettings::default(), clock.clone());
    let code = signed_in(&idp, &asked(&[]))["code"].clone();
    clock.advance(CODE_LIFE);
    assert_eq!(exchanged(&idp, &code, VERIFIER).unwrap_err(), "invalid_grant");
}

#[test]
fn a_spent_refresh_token_revokes_its_family() {
    let idp = provider(IdpSettings::default());
    let code = signed_in(&idp, &asked(&[]))["code"].clone();
    let first = exchanged(&idp, &code, VERIFIER).unwrap();
    let second = refreshed(&idp, &first).unwrap();
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    assert_eq!(userinfo(&idp, &second).status, StatusCode::OK);
    assert_eq!(refreshed(&idp, &first).unwrap_err(), "invalid_grant");
    assert_eq!(idp.refresh_reuses(), 1);
    assert_eq!(refreshed(&idp, &second).unwrap_err(), "invalid_grant");
    assert_eq!(userinfo(&idp, &second).status, StatusCode::UNAUTHORIZED);
}

#[test]
fn without_rotation_the_refresh_token_stays_and_none_comes_back() {
    let idp = provider(IdpSettings { rotation: false, ..IdpSettings::default() });
    let code = signed_in(&idp, &asked(&[]))["code"].clone();
    let first = exchanged(&idp, &code, VERIFIER).unwrap();
    assert!(refreshed(&idp, &first).unwrap().get("refresh_token").is_none());
    assert!(refreshed(&idp, &first).is_ok());
}

#[test]
fn an_access_token_ends_when_it_was_said_to() {
    let clock = ManualClock::starting_at(UnixTime::from_secs(1_000_000));
    let idp = at(IdpSettings::default(), clock.clone());
    let code = signed_in(&idp, &asked(&[]))["code"].clone();
    let set = exchanged(&idp, &code, VERIFIER).unwrap();
    clock.advance(Duration::from_secs(59));
    assert_eq!(userinfo(&idp, &set).status, StatusCode::OK);
    clock.advance(Duration::from_secs(1));
    assert_eq!(userinfo(&idp, &set).status, StatusCode::UNAUTHORIZED);
}

#[test]
fn a_redirect_uri_that_is_not_registered_is_never_followed() {
    let idp = provider(IdpSettings::default());
    for uri in ["https://evil.example/", "https://app.example/callback/", "https://app.example/callback?x"] {
        let answer = get(&idp, paths::AUTHORIZE, &asked(&[("redirect_uri", uri)]));
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{uri}");
        assert!(header(&answer, "location").is_none());
    }
}

#[test]
fn a_client_is_believed_by_its_registered_method_only() {
    let idp = provider(IdpSettings::default());
    let token = "grant_type=refresh_token&refresh_token=unknown";
    let error = |authorization: Option<&str>, form: &str| error_of(&post(&idp, paths::TOKEN, authorization, form));
    // The right secret is believed: what is wrong then is the token.
    assert_eq!(error(Some(&basic("app", SECRET)), token), "invalid_grant");
    assert_eq!(error(Some(&basic("app", "wrong")), token), "invalid_client");
    assert_eq!(error(None, &format!("{token}&client_id=app")), "invalid_client");
    let posted: String = form(&[("client_id", "app"), ("client_secret", SECRET)]);
    assert_eq!(error(None, &format!("{token}&{posted}")), "invalid_client");
    // OA-13: two methods at once.
    assert_eq!(error(Some(&basic("app", SECRET)), &format!("{token}&{posted}")), "invalid_client");
    // OA-12: a client that does not form-urlencode its secret is not believed.
    let raw = format!("Basic {}", STANDARD.encode(format!("app:{SECRET}")));
    assert_eq!(error(Some(&raw), token), "invalid_client");
}

#[test]
fn signing_out_ends_the_browser_session_and_its_tokens() {
    let idp = provider(IdpSettings::default());
    let code = signed_in(&idp, &asked(&[]))["code"].clone();
    let set = exchanged(&idp, &code, VERIFIER).unwrap();
    let hint = set["id_token"].as_str().unwrap();
    let query = |to: &str| form(&[("id_token_hint", hint), ("post_logout_redirect_uri", to), ("state", "s-1")]);
    let refused = get(&idp, paths::END_SESSION, &query("https://evil.example/"));
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    let answer = get(&idp, paths::END_SESSION, &query("https://app.example/bye"));
    assert_eq!(header(&answer, "location").unwrap(), "https://app.example/bye?state=s-1");
    assert_eq!(refreshed(&idp, &set).unwrap_err(), "invalid_grant");
}

#[test]
fn a_sign_out_without_a_hint_asks_first() {
    let idp = provider(IdpSettings::default());
    let answer = get(&idp, paths::END_SESSION, "");
    assert_eq!(answer.status, StatusCode::OK);
    assert!(String::from_utf8_lossy(&answer.body).contains("Sign out?"));
}

#[test]
fn a_plain_oauth_server_has_neither_discovery_nor_id_token() {
    let idp = provider(IdpSettings::plain_oauth2());
    assert_eq!(get(&idp, paths::DISCOVERY, "").status, StatusCode::NOT_FOUND);
    let callback = signed_in(&idp, &asked(&[("scope", "profile")]));
    assert!(callback.get("iss").is_none());
    let set = exchanged(&idp, &callback["code"], VERIFIER).unwrap();
    assert!(set.get("id_token").is_none());
    assert_eq!(set["token_type"], "Bearer");
    let who: Value = serde_json::from_slice(&userinfo(&idp, &set).body).unwrap();
    assert_eq!(who["name"], "Ada Lovelace");
}

#[test]
fn pages_escape_what_they_were_sent() {
    let idp = provider(IdpSettings::default());
    let answer = get(&idp, paths::AUTHORIZE, &asked(&[("state", "\"><script>alert(1)</script>")]));
    let page = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(page.contains("Ada Lovelace") && page.contains("Grace Hopper"));
    assert!(!page.contains("<script"));
}

fn provider(settings: IdpSettings) -> Arc<Idp> {
    let clock = ManualClock::starting_at(UnixTime::from_secs(1_000_000));
    at(settings, clock)
}

fn at(settings: IdpSettings, clock: Arc<ManualClock>) -> Arc<Idp> {
    let key = SigningKey::generate(SigningAlgorithm::Es256).unwrap();
    Idp::new(ISSUER.to_owned(), with_client(settings), Arc::new(key), clock)
}

fn with_client(mut settings: IdpSettings) -> IdpSettings {
    let mut client = Client::with_secret("app", SECRET);
    client.redirect_uris.push(REDIRECT_URI.to_owned());
    client.post_logout_redirect_uris.push("https://app.example/bye".to_owned());
    settings.clients.push(client);
    settings
}

/// The claims of an ID token, verified by a library that the provider does not use.
fn verified(idp: &Idp, token: &str) -> Value {
    let keys: Value = serde_json::from_slice(&get(idp, paths::KEY_SET, "").body).unwrap();
    let key = DecodingKey::from_jwk(&serde_json::from_value(keys["keys"][0].clone()).unwrap()).unwrap();
    let mut signature_only = Validation::new(keys["keys"][0]["alg"].as_str().unwrap().parse().unwrap());
    signature_only.validate_exp = false;
    signature_only.validate_aud = false;
    jsonwebtoken::decode(token, &key, &signature_only).unwrap().claims
}

/// An authorization request with some parameters in place of the right ones; an empty value leaves the parameter out.
fn asked(changes: &[(&str, &str)]) -> String {
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

/// Ada chooses to be Ada; gives what came back to the redirect URI.
fn signed_in(idp: &Idp, query: &str) -> serde_json::Map<String, Value> {
    let page = get(idp, paths::AUTHORIZE, query);
    assert_eq!(page.status, StatusCode::OK, "{}", String::from_utf8_lossy(&page.body));
    callback_of(&post(idp, paths::CHOOSE, None, &form(&[("request", query), ("person", ADA)])))
}

fn exchanged(idp: &Idp, code: &Value, verifier: &str) -> Result<Value, String> {
    let sent = form(&[
        ("grant_type", "authorization_code"),
        ("code", code.as_str().unwrap()),
        ("redirect_uri", REDIRECT_URI),
        ("code_verifier", verifier),
    ]);
    token_set(&post(idp, paths::TOKEN, Some(&basic("app", SECRET)), &sent))
}

fn refreshed(idp: &Idp, set: &Value) -> Result<Value, String> {
    let sent = form(&[("grant_type", "refresh_token"), ("refresh_token", set["refresh_token"].as_str().unwrap())]);
    token_set(&post(idp, paths::TOKEN, Some(&basic("app", SECRET)), &sent))
}

fn userinfo(idp: &Idp, set: &Value) -> IdpResponse {
    let bearer = format!("Bearer {}", set["access_token"].as_str().unwrap());
    idp.answer(&asked_of("GET", paths::USERINFO, "", Some(&bearer), ""))
}

fn token_set(answer: &IdpResponse) -> Result<Value, String> {
    if answer.status == StatusCode::OK {
        Ok(serde_json::from_slice(&answer.body).unwrap())
    } else {
        Err(error_of(answer))
    }
}

fn error_of(answer: &IdpResponse) -> String {
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    body["error"].as_str().unwrap().to_owned()
}

fn callback_of(answer: &IdpResponse) -> serde_json::Map<String, Value> {
    let location = header(answer, "location").unwrap();
    let pairs = Url::parse(location).unwrap().query_pairs().into_owned().collect::<Vec<_>>();
    pairs.into_iter().map(|(name, value)| (name, json!(value))).collect()
}

fn get(idp: &Idp, path: &str, query: &str) -> IdpResponse {
    idp.answer(&asked_of("GET", path, query, None, ""))
}

fn post(idp: &Idp, path: &str, authorization: Option<&str>, body: &str) -> IdpResponse {
    idp.answer(&asked_of("POST", path, "", authorization, body))
}

fn asked_of(method: &str, path: &str, query: &str, authorization: Option<&str>, body: &str) -> IdpRequest {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/x-www-form-urlencoded"));
    if let Some(value) = authorization {
        headers.insert("authorization", HeaderValue::from_str(value).unwrap());
    }
    IdpRequest {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body: body.to_owned().into(),
    }
}

fn header<'a>(answer: &'a IdpResponse, name: &str) -> Option<&'a str> {
    answer.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn form(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn basic(id: &str, secret: &str) -> String {
    let half = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!("Basic {}", STANDARD.encode(format!("{}:{}", half(id), half(secret))))
}

const ISSUER: &str = "http://127.0.0.1:9";
const REDIRECT_URI: &str = "https://app.example/callback";
const SECRET: &str = "s:e%c r+é&t";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const ADA: &str = "248289761001";
