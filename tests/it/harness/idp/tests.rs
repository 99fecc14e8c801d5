//! What is wrong on purpose really is wrong, and nothing else is.

use jsonwebtoken::{DecodingKey, Validation};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::*;

#[tokio::test]
async fn what_is_broken_on_purpose_does_not_verify() {
    let forged = [
        Signing::Flipped,
        Signing::Missing,
        Signing::Unsigned,
        Signing::HmacOfPublicKey(KeyForm::Pem),
        Signing::ForeignKey,
        Signing::EmbeddedKey,
    ];
    let idp = provider().await;
    assert!(verifies(&idp, &tokens(&idp)), "control");
    for signing in forged {
        idp.break_with(|faults| faults.id_token.signing = signing.clone());
        assert!(!verifies(&idp, &tokens(&idp)), "{signing:?}");
    }
}

#[tokio::test]
async fn a_rotated_key_verifies_until_it_is_withdrawn() {
    let idp = TestIdp::signing_by(SigningAlgorithm::Rs256).await;
    idp.allow_return_to(CLIENT_ID, REDIRECT_URI, REDIRECT_URI);
    let set = tokens(&idp);
    idp.rotate_key();
    assert_eq!(idp.key_set()["keys"].as_array().unwrap().len(), 2);
    assert!(verifies(&idp, &set));
    idp.withdraw_old_keys();
    assert!(!verifies(&idp, &set));
    assert!(verifies(&idp, &tokens(&idp)));
}

#[tokio::test]
async fn edits_reach_claims_and_callback() {
    let idp = provider().await;
    idp.break_with(|faults| {
        faults.id_token.claims.set("iss", "https://evil.example").remove("nonce").shift("exp", -3600);
        faults.callback.params.set("iss", "https://evil.example").remove("state");
    });
    for mode in ["query", "form_post"] {
        let callback = callback_in(&idp, mode);
        assert_eq!(callback["iss"], "https://evil.example", "{mode}");
        assert!(callback.get("state").is_none(), "{mode}");
        let set = exchanged(&idp, callback["code"].as_str().unwrap());
        assert!(verifies(&idp, &set));
        let claims = signing::claims(set["id_token"].as_str().unwrap());
        assert_eq!(claims["iss"], "https://evil.example");
        assert!(claims.get("nonce").is_none());
        assert!(claims["exp"].as_u64().unwrap() < idp.clock.now().secs());
    }
}

#[tokio::test]
async fn a_parameter_that_is_not_to_be_known_is_refused_in_both_response_modes() {
    let idp = provider().await;
    for (refused, is_refused) in [("nonce", true), ("prompt", false), ("scope=profile", true), ("scope=phone", false)] {
        idp.break_with(|faults| faults.callback.refused = vec![refused.to_owned()]);
        for mode in ["query", "form_post"] {
            let callback = callback_in(&idp, mode);
            let error = callback.get("error").and_then(Value::as_str);
            assert_eq!(error, is_refused.then_some("invalid_request"), "{refused} {mode}");
            assert_eq!(callback["state"], "s-0");
        }
    }
}

#[tokio::test]
async fn a_counted_breakage_heals() {
    let mut faults = faults::EndpointFaults::default();
    faults.break_times(2, Breakage::Status(503));
    for expected in [503, 503, 200, 200] {
        let answer = || IdpResponse::new(StatusCode::OK, "text/plain", "fine");
        let response = faults.for_next().play(answer).await.unwrap();
        assert_eq!(response.status().as_u16(), expected);
    }
}

#[tokio::test]
async fn a_client_assertion_is_verified_and_works_once() {
    // CA-01, CA-03
    let idp = provider().await;
    let pair = aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap();
    let private = jsonwebtoken::EncodingKey::from_ed_der(pair.to_pkcs8v1().unwrap().as_ref());
    let public = aws_lc_rs::signature::KeyPair::public_key(&pair).as_ref().to_vec();
    let x = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, public);
    idp.expects_assertions("robot", json!({ "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": x }));
    let assertion = |audience: &str, jti: &str| {
        let now = idp.clock.now().secs();
        let claims =
            json!({ "iss": "robot", "sub": "robot", "aud": audience, "exp": now + 60, "iat": now, "jti": jti });
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::EdDSA);
        let jwt = jsonwebtoken::encode(&header, &claims, &private).unwrap();
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        let sent = [
            ("grant_type", "refresh_token"),
            ("refresh_token", "unknown"),
            ("client_assertion", &jwt),
            ("client_assertion_type", kind),
        ];
        json_of(&idp.work(&asked("POST", paths::TOKEN, "", &form(&sent))))["error"].as_str().unwrap().to_owned()
    };
    let issuer = idp.issuer().to_owned();
    // Whoever is believed is refused for the token.
    assert_eq!(assertion(&issuer, "1"), "invalid_grant");
    assert_eq!(assertion(&issuer, "1"), "invalid_client");
    assert_eq!(assertion("https://elsewhere.example", "2"), "invalid_client");
}

async fn provider() -> TestIdp {
    let idp = TestIdp::start().await;
    idp.allow_return_to(CLIENT_ID, REDIRECT_URI, REDIRECT_URI);
    idp
}

fn tokens(idp: &TestIdp) -> Value {
    exchanged(idp, callback_in(idp, "query")["code"].as_str().unwrap())
}

/// What comes back to the redirect URI when Ada chooses to be Ada.
fn callback_in(idp: &TestIdp, mode: &str) -> Map<String, Value> {
    let challenge = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, Sha256::digest(VERIFIER));
    let request = form(&[
        ("response_type", "code"),
        ("client_id", CLIENT_ID),
        ("redirect_uri", REDIRECT_URI),
        ("scope", "openid profile email"),
        ("state", "s-0"),
        ("nonce", "n-0"),
        ("response_mode", mode),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ]);
    let chosen = form(&[("request", &request), ("person", "248289761001")]);
    let answer = idp.work(&asked("POST", paths::CHOOSE, "", &chosen));
    let pairs = match answer.headers.iter().find(|(name, _)| name == http::header::LOCATION) {
        Some((_, location)) => url::Url::parse(location).unwrap().query_pairs().into_owned().collect::<Vec<_>>(),
        None => callback::posted_form(&answer.body).unwrap().1,
    };
    pairs.into_iter().map(|(name, value)| (name, json!(value))).collect()
}

fn exchanged(idp: &TestIdp, code: &str) -> Value {
    let sent = form(&[
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", REDIRECT_URI),
        ("code_verifier", VERIFIER),
    ]);
    let half = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let both = format!("{}:{}", half(CLIENT_ID), half(CLIENT_SECRET));
    let basic = format!("Basic {}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, both));
    json_of(&idp.work(&asked("POST", paths::TOKEN, &basic, &sent)))
}

/// Whether a library that the provider does not use takes the ID token for one of its own.
fn verifies(idp: &TestIdp, set: &Value) -> bool {
    let keys = idp.key_set();
    keys["keys"].as_array().unwrap().iter().any(|key| {
        let mut signature_only = Validation::new(key["alg"].as_str().unwrap().parse().unwrap());
        signature_only.validate_exp = false;
        signature_only.validate_aud = false;
        let key = DecodingKey::from_jwk(&serde_json::from_value(key.clone()).unwrap()).unwrap();
        jsonwebtoken::decode::<Value>(set["id_token"].as_str().unwrap(), &key, &signature_only).is_ok()
    })
}

fn json_of(answer: &IdpResponse) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

fn asked(method: &str, path: &str, authorization: &str, body: &str) -> IdpRequest {
    let mut headers = http::HeaderMap::new();
    headers.insert(CONTENT_TYPE, "application/x-www-form-urlencoded".parse().unwrap());
    if !authorization.is_empty() {
        headers.insert("authorization", authorization.parse().unwrap());
    }
    IdpRequest {
        method: method.to_owned(),
        path: path.to_owned(),
        query: String::new(),
        headers,
        body: body.to_owned().into(),
    }
}

fn form(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

const REDIRECT_URI: &str = "https://app.example/callback";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
