//! Introspection: only a clear yes is a yes.

use super::*;

#[tokio::test]
async fn only_an_active_token_for_us_counts() {
    // TK-01, TK-02, TK-04, AT-TP-29, AT-TP-30
    let double = Double::start().await;
    double.on("/token", [Answer::json(&token_answer(&json!({})))]);
    let fixture = Fixture::plain_with(&double, OAuth2Identity::Introspection, |s| s.audiences = vec!["api".to_owned()]);
    for (answer, code) in [
        (Answer::json(&json!({ "active": "true", "sub": "alice" })), "token_inactive"),
        (Answer::json(&json!({ "active": false })), "token_inactive"),
        (Answer::json(&json!({ "active": 1 })), "token_inactive"),
        (Answer::json(&json!({ "sub": "alice" })), "token_inactive"),
        (Answer::typed(200, "text/html", "<html>true</html>"), "answer_content_type"),
        (Answer::json(&json!({ "active": true, "exp": START - 61 })), "token_expired"),
        (Answer::json(&json!({ "active": true, "exp": "later" })), "token_time_invalid"),
        (Answer::json(&json!({ "active": true, "nbf": START + 61 })), "token_not_yet_valid"),
        (Answer::json(&json!({ "active": true, "aud": "other" })), "token_audience"),
        (Answer::json(&json!({ "active": true, "aud": 7 })), "token_audience"),
        (Answer::json(&json!({ "active": true, "client_id": "other" })), "token_client"),
        (Answer::status(401, &json!({ "error": "invalid_client" })), "invalid_client"),
        (Answer::status(400, &json!({ "error": "invalid_grant" })), "answer_status"),
        (Answer::status(503, &json!({})), "provider_server_error"),
    ] {
        double.on("/introspect", [answer]);
        assert_eq!(fixture.refusal().await, code);
    }
    double.on(
        "/introspect",
        [Answer::json(&json!({
            "active": true, "sub": "alice", "aud": ["api"], "client_id": "client", "exp": START + 10, "scope": "email",
        }))],
    );
    let sign_in = fixture.redeem().await.unwrap();
    assert_eq!(sign_in.claims["sub"], "alice");
    assert_eq!(sign_in.tokens.scope.as_deref(), Some("email"));
    let seen = double.seen("/introspect");
    let seen = seen.last().unwrap();
    assert_eq!((&seen.method, seen.query.as_deref()), (&Method::POST, None));
    assert_eq!(seen.field("token").as_deref(), Some("access-1"));
    assert_eq!(seen.field("token_type_hint").as_deref(), Some("access_token"));
    assert!(seen.authorization().unwrap().starts_with("Basic "));
}

#[tokio::test]
async fn a_known_issuer_is_compared() {
    // TK-02
    let (_, double) = openid().await;
    let fixture = Fixture::openid(&double);
    let ask = |answer: Value| {
        double.on("/introspect", [Answer::json(&answer)]);
        let provider = &fixture.provider;
        async move { provider.introspect(&Secret::from("t")).await.map_err(|e| e.code()).map(|_| ()) }
    };
    assert_eq!(ask(json!({ "active": true, "iss": double.origin, "aud": [] })).await, Ok(()));
    assert_eq!(ask(json!({ "active": true, "iss": "https://other.example" })).await, Err("token_issuer"));
}
