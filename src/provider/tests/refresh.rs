//! Refresh at an OpenID provider: the same person or nobody, and no refresh token lost or sent twice.

use super::*;

#[tokio::test]
async fn a_refresh_sends_the_token_once_and_keeps_what_did_not_change() {
    // RF-01, RF-02, RF-05, RF-11
    let key = TestKey::es256("k1");
    let double = Double::openid(&key).await;
    let fixture = Fixture::openid(&double);
    double.on("/token", [Answer::json(&json!({ "access_token": "at2", "token_type": "Bearer" }))]);
    let refreshed = fixture.refresh(&double.claims()).await.unwrap();
    assert_eq!(refreshed.claims, None);
    assert_eq!(refreshed.tokens.refresh_token.unwrap().expose(), "refresh-1");
    assert_eq!(refreshed.tokens.scope.as_deref(), Some("openid email"));
    let seen = &double.seen("/token")[0];
    assert_eq!(
        seen.form(),
        [("grant_type", "refresh_token"), ("refresh_token", "refresh-1")].map(|(a, b)| (a.to_owned(), b.to_owned()))
    );
    assert!(seen.authorization().unwrap().starts_with("Basic "));
}

#[tokio::test]
async fn a_refreshed_id_token_is_about_the_same_sign_in() {
    // RF-08, RF-09, RF-10, RF-12, AT-TP-17
    let key = TestKey::es256("k1");
    let double = Double::openid(&key).await;
    let fixture = Fixture::openid(&double);
    for (name, value, code) in [
        ("sub", json!("mallory"), "id_token_sub_changed"),
        ("iss", json!("https://other.example"), "id_token_iss"),
        ("aud", json!("other"), "id_token_aud"),
        ("azp", json!("client"), "id_token_azp_changed"),
        ("nonce", json!("other"), "id_token_nonce"),
        ("at_hash", json!("AAAA"), "id_token_at_hash"),
        ("iat", json!(START - 7200), "id_token_iat_old"),
        ("exp", json!(START - 100), "id_token_expired"),
    ] {
        let mut claims = double.claims();
        claims[name] = value;
        double.issues(&key, &claims);
        let error = fixture.refresh(&double.claims()).await.map(|_| ()).unwrap_err();
        assert_eq!((error.code(), (error.class() == FailureClass::Over)), (code, true));
    }
    let mut claims = double.claims();
    claims.as_object_mut().unwrap().remove("nonce");
    claims["email"] = json!("new@example.com");
    double.issues(&key, &claims);
    let refreshed = fixture.refresh(&double.claims()).await.unwrap();
    assert_eq!(refreshed.claims.unwrap()["email"], "new@example.com");
}

#[tokio::test]
async fn auth_time_stays_that_of_the_sign_in() {
    // RF-09
    let key = TestKey::es256("k1");
    let double = Double::openid(&key).await;
    let fixture = Fixture::openid(&double);
    let mut claims = double.claims();
    claims["auth_time"] = json!(START - 5);
    double.issues(&key, &claims);
    let (token, before) = (Secret::from("refresh-1"), double.claims());
    let mut request = RefreshRequest {
        refresh_token: &token,
        issuer: &double.origin,
        claims: before.as_object().unwrap(),
        nonce: Some(NONCE),
        auth_time: Some(UnixTime::from_secs(START - 5)),
        scope: None,
    };
    assert!(fixture.provider.refresh(&request).await.is_ok());
    request.auth_time = Some(UnixTime::from_secs(START - 6));
    let error = fixture.provider.refresh(&request).await.map(|_| ()).unwrap_err();
    assert_eq!(error.code(), "id_token_auth_time_changed");
}

#[tokio::test]
async fn away_refused_and_over_are_told_apart() {
    // RF-03, RF-04, OA-22: an OAuth error in the body decides, whatever the status and the content type
    use FailureClass::{Away, Over, Refused};
    let key = TestKey::es256("k1");
    let double = Double::openid(&key).await;
    let fixture = Fixture::openid_with(&double, |s| s.timeout = Duration::from_millis(300));
    let error = |status, code: &str| Answer::status(status, &json!({ "error": code, "error_description": "x" }));
    let as_text = |status, media: &str, body: &str| Answer::typed(status, media, body.to_owned());
    let mut cases = vec![
        (as_text(400, "text/plain; charset=utf-8", "{\"error\":\"invalid_grant\"}"), Over),
        (as_text(400, "text/html", "{\"error\":\"invalid_grant\"}"), Over),
        (as_text(400, "text/plain", "invalid_grant\n"), Over),
        (as_text(400, "application/x-www-form-urlencoded", "error_description=x&error=invalid_grant"), Over),
        (error(200, "invalid_grant"), Over),
        (error(400, "INVALID_GRANT"), Over),
        (error(400, " Invalid_Grant "), Over),
        (error(400, "bad_refresh_token"), Over),
        (Answer::Never, Away),
        (as_text(500, "text/html", "<html><a href=\"?a=1&error=invalid_grant&b\">"), Away),
        (error(500, "Internal Server Error"), Away),
        (error(503, "internal_failure"), Away),
        (as_text(503, "application/json", "[{\"error\":\"invalid_grant\"}]"), Away),
        (as_text(503, "application/json", "{\"error\":{\"code\":503}}"), Away),
        (as_text(400, "text/html", "<html><a href=\"?a=1&error=invalid_grant&b\">"), Refused),
        (as_text(400, "application/json", "[{\"error\":\"invalid_grant\"}]"), Refused),
        (as_text(400, "application/json", "{\"error\":7}"), Refused),
        (as_text(200, "text/html", "<html>sign in</html>"), Refused),
        (as_text(200, "application/json", ""), Refused),
        (as_text(200, "application/json", "[]"), Refused),
        (Answer::json(&json!({ "token_type": "Bearer", "expires_in": 300 })), Refused),
        (as_text(204, "application/json", ""), Refused),
        (Answer::status(302, &json!({})).with("location", "/login"), Refused),
        (error(401, "invalid_client"), Refused),
        (error(401, "unauthorized_client"), Refused),
        (as_text(401, "text/plain", ""), Refused),
        (error(403, "access_denied"), Refused),
        (as_text(404, "text/html", "<h1>no</h1>"), Refused),
    ];
    for status in [400, 401, 403, 500, 502, 503] {
        cases.push((error(status, "invalid_grant"), Over));
        cases.push((error(status, "interaction_required"), Refused));
        cases.push((error(status, "invalid_request"), Refused));
        cases.push((error(status, "vendor_specific"), Refused));
    }
    for status in [200, 400, 401, 403, 500, 503] {
        cases.push((error(status, "temporarily_unavailable"), Away));
        cases.push((error(status, "server_error"), Away));
    }
    for status in [500, 502, 503, 504, 599, 429] {
        cases.push((as_text(status, "text/plain", ""), Away));
    }
    for code in ["invalid_grant", "invalid_request", "slow_down"] {
        cases.push((error(429, code), Away));
    }
    for (number, (answer, class)) in cases.into_iter().enumerate() {
        double.on("/token", [answer]);
        let before = double.count("/token");
        let error = fixture.refresh(&double.claims()).await.map(|_| ()).unwrap_err();
        assert_eq!(error.class(), class, "case {number}: {error}");
        assert_eq!(double.count("/token"), before + 1);
    }
    assert_eq!(double.count("/login"), 0);
}

#[tokio::test]
async fn status_401_is_client_authentication_whatever_the_name() {
    // OA-22, RFC 6749 section 5.2; some servers send invalid_grant with it (RF-03)
    let double = Double::openid(&TestKey::es256("k1")).await;
    let fixture = Fixture::openid(&double);
    for name in ["invalid_client", "unauthorized_client", "invalid_request", "access_denied", "whatever"] {
        double.on("/token", [Answer::status(401, &json!({ "error": name }))]);
        assert_eq!(fixture.refusal().await, "invalid_client", "{name}");
        double.on("/token", [Answer::status(403, &json!({ "error": name }))]);
        assert_eq!(fixture.refusal().await == "invalid_client", name == "invalid_client", "{name}");
    }
    double.on("/token", [Answer::status(401, &json!({ "error": "invalid_grant" }))]);
    assert_eq!(fixture.refusal().await, "invalid_grant");
}

#[tokio::test]
async fn a_rotated_token_is_not_lost_when_its_id_token_can_not_be_checked_now() {
    // RF-02, RF-04
    let (old, new) = (TestKey::es256("k1"), TestKey::es256("k2"));
    let double = Double::openid(&old).await;
    let fixture = Fixture::openid(&double);
    double.on("/jwks", [Answer::status(503, &json!({}))]);
    let answer = token_answer(&json!({ "id_token": new.sign(&double.claims()), "refresh_token": "refresh-2" }));
    double.on("/token", [Answer::json(&answer)]);
    let refreshed = fixture.refresh(&double.claims()).await.unwrap();
    assert_eq!(refreshed.tokens.refresh_token.unwrap().expose(), "refresh-2");
    assert!(refreshed.claims.is_none() && refreshed.tokens.id_token.is_none());
}

#[tokio::test]
async fn a_key_that_is_nowhere_ends_the_session_once_the_set_was_read_again() {
    // ID-31, RF-08
    let (old, new) = (TestKey::es256("k1"), TestKey::es256("k2"));
    let double = Double::openid(&old).await;
    let fixture = Fixture::openid(&double);
    double.issues(&old, &double.claims());
    fixture.refresh(&double.claims()).await.unwrap();
    double.issues(&new, &double.claims()).on("/jwks", [Answer::json(&json!({ "keys": [new.jwk] }))]);
    fixture.refresh(&double.claims()).await.unwrap();
    double.issues(&old, &double.claims());
    let refreshed = fixture.refresh(&double.claims()).await.unwrap();
    assert!(refreshed.claims.is_none() && refreshed.tokens.id_token.is_none());
    fixture.clock.advance(Duration::from_secs(61));
    let error = fixture.refresh(&double.claims()).await.map(|_| ()).unwrap_err();
    assert_eq!((error.code(), (error.class() == FailureClass::Over)), ("id_token_key_unknown", true));
}

#[tokio::test]
async fn claims_of_userinfo_survive_its_outage() {
    let key = TestKey::es256("k1");
    let double = Double::openid(&key).await;
    double.issues(&key, &double.claims());
    let fixture = Fixture::openid_with(&double, |s| s.userinfo = UserinfoUse::Always);
    let mut before: Value = double.claims();
    before["groups"] = json!(["a"]);
    double.on("/userinfo", [Answer::status(503, &json!({}))]);
    let claims = fixture.refresh(&before).await.unwrap().claims.unwrap();
    assert_eq!(claims["groups"], json!(["a"]));
    double.on("/userinfo", [Answer::json(&json!({ "sub": "alice", "groups": ["b"] }))]);
    let claims = fixture.refresh(&before).await.unwrap().claims.unwrap();
    assert_eq!(claims["groups"], json!(["b"]));
}
