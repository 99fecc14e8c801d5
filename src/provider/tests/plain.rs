//! A plain OAuth 2.0 server: the letter of the code grant, without discovery and without ID tokens.

use super::*;
use crate::identity::ClaimPath;
use crate::provider::AuthorizationRequest;

fn by_id(settings: &mut ProviderSettings) {
    settings.claims.subject = ClaimPath::parse("id").unwrap();
    settings.scopes = vec!["read:user".to_owned(), "profile".to_owned()];
}

#[tokio::test]
async fn the_code_grant_by_the_letter() {
    // OA-01, OA-11, OA-12, OA-18, OA-20
    let double = Double::start().await;
    double.on("/token", [Answer::json(&json!({ "access_token": "at", "token_type": "bearer" }))]);
    double.on("/userinfo", [Answer::json(&json!({ "id": 7, "login": "alice" }))]);
    let fixture = Fixture::plain_with(&double, OAuth2Identity::Userinfo, by_id);
    let verifier = Secret::from("v".repeat(43).as_str());
    let request = AuthorizationRequest {
        redirect_uri: REDIRECT,
        state: "s1",
        nonce: "n1",
        verifier: &verifier,
        max_age: None,
        extra: &[],
        bare: false,
    };
    let url = Url::parse(&fixture.provider.authorization_url(&request).await.unwrap()).unwrap();
    let names: Vec<String> = url.query_pairs().map(|(n, _)| n.into_owned()).collect();
    assert_eq!(
        names,
        ["response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method"]
    );
    assert!(url.query().unwrap().contains("scope=read%3Auser+profile"));
    let sign_in = fixture.redeem().await.unwrap();
    assert_eq!(sign_in.claims["login"], "alice");
    assert_eq!(&*sign_in.issuer, double.origin);
    assert_eq!(sign_in.tokens.expires_in, Duration::from_secs(600));
    assert_eq!(sign_in.tokens.scope.as_deref(), Some("read:user profile"));
    assert!(sign_in.tokens.refresh_token.is_none());
    assert_eq!(double.seen("/userinfo")[0].authorization(), Some("Bearer at"));
    assert!(double.seen("/token")[0].authorization().unwrap().starts_with("Basic "));
}

#[tokio::test]
async fn errors_with_status_200_are_errors() {
    // OA-16, OA-21: as GitHub and Slack answer
    let double = Double::start().await;
    let fixture = Fixture::plain_with(&double, OAuth2Identity::Nobody, |_| {});
    for (answer, code) in [
        (Answer::json(&json!({ "error": "bad_verification_code", "error_description": "x" })), "invalid_grant"),
        (Answer::json(&json!({ "error": "incorrect_client_credentials" })), "invalid_client"),
        (Answer::json(&json!({ "ok": false, "error": "whatever" })), "provider_error_response"),
        (Answer::typed(200, "application/x-www-form-urlencoded", "error=bad_verification_code"), "invalid_grant"),
        (
            Answer::typed(200, "application/x-www-form-urlencoded", "access_token=a&token_type=bearer"),
            "answer_content_type",
        ),
    ] {
        double.on("/token", [answer]);
        assert_eq!(fixture.refusal().await, code);
    }
}

#[tokio::test]
async fn nobody_in_particular_may_sign_in() {
    let double = Double::start().await;
    double.on("/token", [Answer::json(&token_answer(&json!({ "id_token": "whose?" })))]);
    let fixture = Fixture::plain_with(&double, OAuth2Identity::Nobody, |_| {});
    let sign_in = fixture.redeem().await.unwrap();
    assert!(sign_in.claims.is_empty() && sign_in.tokens.id_token.is_none());
    assert_eq!(double.count("/userinfo"), 0);
}

#[tokio::test]
async fn a_refresh_asks_again_who_it_is() {
    // RF-01, RF-02, AT-TP-17
    let double = Double::start().await;
    double.on(
        "/token",
        [Answer::json(&json!({ "access_token": "at2", "token_type": "bearer", "refresh_token": "refresh-2" }))],
    );
    double.on("/userinfo", [Answer::json(&json!({ "id": 7, "login": "alice2" }))]);
    let fixture = Fixture::plain_with(&double, OAuth2Identity::Userinfo, by_id);
    let before = json!({ "id": 7, "login": "alice" });
    let refreshed = fixture.refresh(&before).await.unwrap();
    assert_eq!(refreshed.identity.unwrap().claims["login"], "alice2");
    assert_eq!(refreshed.tokens.refresh_token.unwrap().expose(), "refresh-2");
    double.on("/userinfo", [Answer::json(&json!({ "id": 8 }))]);
    let error = fixture.refresh(&before).await.map(|_| ()).unwrap_err();
    assert!((error.class() == FailureClass::Over) && error.code() == "subject_changed");
    // The new refresh token is not lost because userinfo is away; but nothing new vouches for the person (UI-05).
    double.on("/userinfo", [Answer::status(503, &json!({}))]);
    let refreshed = fixture.refresh(&before).await.unwrap();
    assert_eq!(refreshed.identity.unwrap_err().class(), FailureClass::Away);
    assert_eq!(refreshed.tokens.refresh_token.unwrap().expose(), "refresh-2");
    // One refusal may be a moment too early, two are the end.
    double.on("/userinfo", [Answer::status(401, &json!({})), Answer::json(&json!({ "id": 7, "login": "alice3" }))]);
    assert_eq!(fixture.refresh(&before).await.unwrap().identity.unwrap().claims["login"], "alice3");
    for status in [400, 401, 403, 404] {
        double.on("/userinfo", [Answer::status(status, &json!({ "error": "invalid_token" }))]);
        let asked = double.count("/userinfo");
        let error = fixture.refresh(&before).await.map(|_| ()).unwrap_err();
        assert_eq!((error.class(), double.count("/userinfo")), (FailureClass::Over, asked + 2), "{status}");
    }
}

#[tokio::test]
async fn an_issuer_parameter_is_compared_as_far_as_it_can_be() {
    // IS-02, IS-03, OA-04
    let double = Double::start().await;
    let fixture = Fixture::plain_with(&double, OAuth2Identity::Nobody, |_| {});
    let check = |iss: Option<String>, own| {
        let provider = &fixture.provider;
        async move { provider.check_iss(iss.as_deref(), own).await.map(drop).map_err(|e| e.code()) }
    };
    assert_eq!(check(None, true).await, Ok(()));
    assert_eq!(check(None, false).await, Err("iss_missing"));
    assert_eq!(check(Some(format!("{}/login", double.origin)), false).await, Ok(()));
    assert_eq!(check(Some("https://other.example".to_owned()), false).await, Err("iss_mismatch"));
    assert_eq!(check(Some("https://other.example".to_owned()), true).await, Ok(()));
}
