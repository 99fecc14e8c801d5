//! UserInfo at an OpenID provider.

use super::*;
use crate::identity::ClaimPath;

#[tokio::test]
async fn userinfo_is_asked_when_a_claim_that_routes_use_is_missing() {
    // UI-01, UI-02, UI-10
    let (key, double) = openid().await;
    double.issues(&key, &double.claims());
    let told = json!({ "sub": "alice", "groups": ["a"], "email": "other@example.com", "name": "Alice",
        "_claim_names": { "x": "src" }, "_claim_sources": { "src": { "endpoint": double.at("/elsewhere") } } });
    double.on("/userinfo", [Answer::json(&told)]);
    let fixture = Fixture::openid_with(&double, |s| needs(s, &["groups"]));
    let claims = fixture.redeem().await.unwrap().claims;
    assert_eq!(claims["groups"], json!(["a"]));
    assert_eq!(claims["email"], "alice@example.com"); // the signed one stays
    let seen = &double.seen("/userinfo")[0];
    assert_eq!((&seen.method, seen.authorization()), (&Method::GET, Some("Bearer access-1")));
    assert_eq!(double.count("/elsewhere"), 0);
    let mut full = double.claims();
    full["groups"] = json!(["b"]);
    double.issues(&key, &full);
    fixture.redeem().await.unwrap();
    assert_eq!(double.count("/userinfo"), 1);
}

#[tokio::test]
async fn what_the_id_token_says_to_be_nothing_may_be_told_by_userinfo() {
    // UI-01
    let (key, double) = openid().await;
    let mut claims = double.claims();
    claims["groups"] = json!(null);
    double.issues(&key, &claims);
    double.on("/userinfo", [Answer::json(&json!({ "sub": "alice", "groups": ["a"], "email": null }))]);
    let fixture = Fixture::openid_with(&double, |s| needs(s, &["groups"]));
    let signed_in = fixture.redeem().await.unwrap();
    assert_eq!(signed_in.claims["groups"], json!(["a"]));
    assert_eq!(signed_in.claims["email"], "alice@example.com");
    assert_eq!(signed_in.asked.unwrap().names, ["groups"]);
}

#[tokio::test]
async fn what_no_route_uses_is_not_asked_for() {
    // UI-02: a name, an address and groups are mapped by default, and missing here
    let (key, double) = openid().await;
    double.issues(&key, &double.claims());
    for needed in [vec![], vec!["email"], vec!["sub", "/email"]] {
        let fixture = Fixture::openid_with(&double, |s| needs(s, &needed));
        assert!(!fixture.redeem().await.unwrap().claims.contains_key("groups"));
    }
    assert_eq!(double.count("/userinfo"), 0);
    // Without a subject nobody signs in, whatever routes use.
    double.on("/userinfo", [Answer::json(&json!({ "sub": "alice", "oid": "7" }))]);
    let fixture = Fixture::openid_with(&double, |s| {
        needs(s, &[]);
        s.claims.subject = ClaimPath::parse("oid").unwrap();
    });
    assert_eq!(fixture.redeem().await.unwrap().claims["oid"], "7");
}

#[tokio::test]
async fn a_refusal_fails_a_sign_in_under_always_and_is_an_absent_claim_under_auto() {
    // UI-05
    let (key, double) = openid().await;
    double.issues(&key, &double.claims());
    let always = Fixture::openid_with(&double, |s| s.userinfo = UserinfoUse::Always);
    let auto = Fixture::openid_with(&double, |s| needs(s, &["groups"]));
    let html = || Answer::typed(401, "text/html", "<html>");
    let moved = || Answer::status(302, &json!({})).with("location", "/login");
    let mut refusals: Vec<Answer> =
        [400, 401, 403, 404, 405, 410, 422].map(|status| Answer::status(status, &json!({}))).into();
    refusals.extend([html(), moved(), Answer::json(&json!({ "error": "invalid_token" }))]);
    refusals.extend([Answer::typed(200, "text/html", "<html>"), Answer::typed(200, "application/json", "")]);
    for refusal in refusals {
        double.on("/userinfo", [refusal]);
        let codes = ["userinfo_unauthorized", "answer_status", "answer_content_type", "answer_json"];
        assert!(codes.contains(&always.refusal().await));
        let claims = auto.redeem().await.unwrap().claims;
        assert_eq!((&claims["sub"], claims.get("groups")), (&json!("alice"), None));
    }
    // Neither an outage nor an answer about somebody else is a refusal.
    for (answer, code) in [
        (Answer::status(500, &json!({})), "provider_server_error"),
        (Answer::status(429, &json!({})), "provider_server_error"),
        (Answer::json(&json!({ "sub": "bob" })), "userinfo_subject"),
        (Answer::typed(200, "application/jwt", "a.b.c.d.e"), "userinfo_encrypted"),
    ] {
        double.on("/userinfo", [answer]);
        assert_eq!(auto.refusal().await, code);
    }
}

fn needs(settings: &mut ProviderSettings, claims: &[&str]) {
    settings.userinfo = UserinfoUse::Auto;
    settings.needed_claims = claims.iter().map(|claim| ClaimPath::parse(claim).unwrap()).collect();
}

#[tokio::test]
async fn userinfo_about_somebody_else_is_refused() {
    // UI-01, UI-05
    let (key, double) = openid().await;
    double.issues(&key, &double.claims());
    let fixture = Fixture::openid_with(&double, |s| s.userinfo = UserinfoUse::Always);
    for (answer, code) in [
        (Answer::json(&json!({ "sub": "bob" })), "userinfo_subject"),
        (Answer::json(&json!({ "sub": "Alice" })), "userinfo_subject"),
        (Answer::json(&json!({ "groups": [] })), "userinfo_subject"),
        (Answer::status(401, &json!({})), "userinfo_unauthorized"),
        (Answer::status(500, &json!({})), "provider_server_error"),
        (Answer::typed(200, "text/html", "<html>"), "answer_content_type"),
    ] {
        double.on("/userinfo", [answer]);
        assert_eq!(fixture.refusal().await, code);
    }
}

#[tokio::test]
async fn signed_userinfo_is_verified() {
    // UI-03
    let (key, double) = openid().await;
    double.issues(&key, &double.claims());
    let fixture = Fixture::openid_with(&double, |s| s.userinfo = UserinfoUse::Always);
    let good = json!({ "sub": "alice", "iss": double.origin, "aud": "client", "groups": ["a"] });
    double.on("/userinfo", [Answer::typed(200, "application/jwt", key.sign(&good))]);
    assert_eq!(fixture.redeem().await.unwrap().claims["groups"], json!(["a"]));
    let forged = TestKey::es256("k1").sign(&good);
    for (token, code) in [
        (forged, "userinfo_signature"),
        (key.sign(&json!({ "sub": "alice", "iss": "https://evil.example" })), "userinfo_signed_claims"),
        (key.sign(&json!({ "sub": "alice", "aud": "other" })), "userinfo_signed_claims"),
        (key.sign(&json!({ "sub": "alice", "exp": START - 100 })), "userinfo_signed_claims"),
        (key.sign(&double.claims()), "userinfo_signed_claims"),
    ] {
        double.on("/userinfo", [Answer::typed(200, "application/jwt", token)]);
        assert_eq!(fixture.refusal().await, code);
    }
}

#[tokio::test]
async fn signed_userinfo_has_algorithms_of_its_own() {
    // UI-03, UI-04: what is configured, else what is discovered for UserInfo, else those of ID tokens
    let (es, rs) = (TestKey::es256("es"), TestKey::rsa("RS256", "rs"));
    let hs = TestKey::hmac(b"client-secret-of-at-least-32-bytes");
    let double = Double::start().await;
    double.on("/jwks", [Answer::json(&json!({ "keys": [es.jwk, rs.jwk] }))]);
    double.issues(&rs, &double.claims());
    let told = json!({ "sub": "alice", "iss": double.origin, "aud": "client" });
    let (by_es, by_rs, by_hs) = (es.sign(&told), rs.sign(&told), hs.sign(&told));
    let listed = |algorithms: &Value| {
        let mut document = double.document();
        document["id_token_signing_alg_values_supported"] = json!(["RS256"]);
        document["userinfo_signing_alg_values_supported"] = algorithms.clone();
        document
    };
    let (all, none) = (json!(["none", "HS256", "RS256", "ES256"]), Value::Null);
    for (configured, discovered, token, expected) in [
        (&["ES256"][..], &none, &by_es, None),
        (&["ES256"], &all, &by_rs, Some("userinfo_alg")),
        (&["HS256"], &all, &by_hs, None),
        (&["HS256"], &all, &by_es, Some("userinfo_alg")),
        (&[], &all, &by_es, None),
        (&[], &all, &by_rs, None),
        (&[], &all, &by_hs, Some("userinfo_alg")),
        (&[], &json!(["ES256"]), &by_rs, Some("userinfo_alg")),
        (&[], &json!(["none"]), &by_rs, Some("userinfo_alg")),
        (&[], &none, &by_rs, None),
        (&[], &none, &by_es, Some("userinfo_alg")),
    ] {
        double.on(DISCOVERY, [Answer::json(&listed(discovered))]);
        double.on("/userinfo", [Answer::typed(200, "application/jwt; charset=utf-8", token.clone())]);
        let fixture = Fixture::openid_with(&double, |s| {
            s.userinfo = UserinfoUse::Always;
            s.userinfo_algorithms = configured.iter().map(|name| (*name).to_owned()).collect();
        });
        let refused = fixture.redeem().await.err().map(|error| error.code());
        assert_eq!(refused, expected, "{configured:?} {discovered}");
    }
}

#[tokio::test]
async fn a_signed_userinfo_answer_is_refused_in_words_of_its_own() {
    // UI-03, UI-04
    let (key, double) = openid().await;
    double.issues(&key, &double.claims());
    let told = json!({ "sub": "alice" });
    let stranger = TestKey::es256("k2").sign(&told);
    let jwt = |token: &str| Answer::typed(200, "application/jwt", token.to_owned());
    let typed = |typ: &str| key.sign_with(&json!({ "alg": "ES256", "kid": "k1", "typ": typ }), &told);
    let none = format!("{}.{}.", b64(br#"{"alg":"none"}"#), b64(br#"{"sub":"alice"}"#));
    for (answer, code) in [
        (jwt(&none), "userinfo_alg_unknown"),
        (jwt("x"), "userinfo_malformed"),
        (jwt("a.b.c.d.e"), "userinfo_encrypted"),
        (jwt(&key.sign_with(&json!({ "alg": "ES256", "kid": "k1", "zip": "DEF" }), &told)), "userinfo_encrypted"),
        (jwt(&typed("logout+jwt")), "userinfo_typ"),
        (jwt(&TestKey::es256("k1").sign(&told)), "userinfo_signature"),
        (jwt(&stranger), "userinfo_key_unknown"),
        (Answer::json(&told), "userinfo_unsigned"),
    ] {
        double.on("/userinfo", [answer]);
        let fixture = Fixture::openid_with(&double, |s| {
            s.userinfo = UserinfoUse::Always;
            s.userinfo_algorithms = vec!["ES256".to_owned()];
        });
        let error = fixture.redeem().await.unwrap_err();
        // `_yet` where the set is not due to be read again.
        assert_eq!(error.code().trim_end_matches("_yet"), code);
        assert!(!error.to_string().contains("ID token"), "{error}");
    }
}
