//! UserInfo at an OpenID provider.

use super::*;

#[tokio::test]
async fn userinfo_is_asked_when_a_configured_claim_is_missing() {
    // UI-01, UI-02, UI-10
    let key = TestKey::es256("k1");
    let double = Double::openid(&key).await;
    double.issues(&key, &double.claims());
    let told = json!({ "sub": "alice", "groups": ["a"], "email": "other@example.com", "name": "Alice",
        "_claim_names": { "x": "src" }, "_claim_sources": { "src": { "endpoint": double.at("/elsewhere") } } });
    double.on("/userinfo", [Answer::json(&told)]);
    let fixture = Fixture::openid_with(&double, |s| s.userinfo = UserinfoUse::Auto);
    let claims = fixture.redeem().await.unwrap().claims;
    assert_eq!(claims["groups"], json!(["a"]));
    assert_eq!(claims["email"], "alice@example.com"); // the signed one stays
    let seen = &double.seen("/userinfo")[0];
    assert_eq!((&seen.method, seen.authorization()), (&Method::GET, Some("Bearer access-1")));
    assert_eq!(double.count("/elsewhere"), 0);
    let mut full = double.claims();
    (full["groups"], full["name"]) = (json!(["b"]), json!("A"));
    double.issues(&key, &full);
    fixture.redeem().await.unwrap();
    assert_eq!(double.count("/userinfo"), 1);
}

#[tokio::test]
async fn userinfo_about_somebody_else_is_refused() {
    // UI-01, UI-05
    let key = TestKey::es256("k1");
    let double = Double::openid(&key).await;
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
    let key = TestKey::es256("k1");
    let double = Double::openid(&key).await;
    double.issues(&key, &double.claims());
    let fixture = Fixture::openid_with(&double, |s| s.userinfo = UserinfoUse::Always);
    let good = json!({ "sub": "alice", "iss": double.origin, "aud": "client", "groups": ["a"] });
    double.on("/userinfo", [Answer::typed(200, "application/jwt", key.sign(&good))]);
    assert_eq!(fixture.redeem().await.unwrap().claims["groups"], json!(["a"]));
    let forged = TestKey::es256("k1").sign(&good);
    for (token, code) in [
        (forged, "id_token_signature"),
        (key.sign(&json!({ "sub": "alice", "iss": "https://evil.example" })), "userinfo_signed_claims"),
        (key.sign(&json!({ "sub": "alice", "aud": "other" })), "userinfo_signed_claims"),
        (key.sign(&json!({ "sub": "alice", "exp": START - 100 })), "userinfo_signed_claims"),
        (key.sign(&double.claims()), "userinfo_signed_claims"),
    ] {
        double.on("/userinfo", [Answer::typed(200, "application/jwt", token)]);
        assert_eq!(fixture.refusal().await, code);
    }
}
