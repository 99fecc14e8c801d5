//! The authorization request, and whose answer a callback is.

use super::*;
use crate::provider::AuthorizationRequest;

#[tokio::test]
async fn the_callback_has_to_come_from_this_issuer() {
    // IS-01, IS-02, IS-03, SB-03
    let (key, double) = openid().await;
    double.issues(&key, &double.claims());
    let fixture = Fixture::openid(&double);
    let error = fixture.redeem_iss(Some("https://evil.example")).await.map(|s| s.claims).unwrap_err();
    assert_eq!(error.code(), "iss_mismatch");
    let error = fixture.redeem_iss(Some(&format!("{}/", double.origin))).await.map(|s| s.claims).unwrap_err();
    assert_eq!(error.code(), "iss_mismatch");
    assert_eq!(double.count("/token"), 0);
    assert!(fixture.redeem_iss(Some(&double.origin)).await.is_ok());
    assert_eq!(fixture.provider.check_iss(None, false).await.unwrap_err().code(), "iss_missing");
    let mut document = double.document();
    document["authorization_response_iss_parameter_supported"] = json!(true);
    double.on(DISCOVERY, [Answer::json(&document)]);
    let strict = Fixture::openid(&double);
    assert_eq!(strict.refusal().await, "iss_missing");
    assert!(strict.provider.check_iss(Some(&double.origin), true).await.is_ok());
}

#[tokio::test]
async fn the_authorization_request_has_everything_once() {
    // OA-01, OA-02, PK-01, PK-03, PK-05, IS-05, SB-04, UI-11, DI-10 (no response_mode: query is the default)
    let (_, double) = openid().await;
    let mut document = double.document();
    document["authorization_endpoint"] = json!(format!("{}/authorize?tenant=a%20b&state=fixed", double.origin));
    document["code_challenge_methods_supported"] = json!(["plain"]);
    double.on(DISCOVERY, [Answer::json(&document)]);
    let fixture = Fixture::openid_with(&double, |s| {
        s.scopes = vec!["email".to_owned()];
        s.prompt = Some("login".to_owned());
        s.max_age = Some(Duration::from_secs(900));
        s.acr_values = vec!["gold".to_owned(), "silver".to_owned()];
        s.resource = vec![Url::parse("https://a.example/").unwrap(), Url::parse("https://b.example/").unwrap()];
        s.authorization_params = [("prompt", "none"), ("nonce", "evil"), ("access_type", "offline")]
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .into();
    });
    let verifier = Secret::from("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    let request = AuthorizationRequest {
        redirect_uri: REDIRECT,
        state: "s1",
        nonce: "n1",
        verifier: &verifier,
        max_age: Some(Duration::from_secs(60)),
        extra: &[("prompt", "select_account"), ("state", "evil"), ("request_uri", "https://evil.example")],
        bare: false,
    };
    let url = Url::parse(&fixture.provider.authorization_url(&request).await.unwrap()).unwrap();
    let mut query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    query.sort();
    let expected = [
        ("access_type", "offline"),
        ("acr_values", "gold silver"),
        ("client_id", "client"),
        ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
        ("code_challenge_method", "S256"),
        ("max_age", "60"),
        ("nonce", "n1"),
        ("prompt", "select_account"),
        ("redirect_uri", REDIRECT),
        ("resource", "https://a.example/"),
        ("resource", "https://b.example/"),
        ("response_type", "code"),
        ("scope", "openid email"),
        ("state", "s1"),
        ("tenant", "a b"),
    ];
    assert_eq!(query, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    let fragment = AuthorizationRequest { redirect_uri: "https://app.example.com/#x", ..request };
    assert!(matches!(fixture.provider.authorization_url(&fragment).await, Err(ProviderError::RedirectUri)));
}

#[tokio::test]
async fn pkce_and_resource_reach_the_token_endpoint_as_configured() {
    // IS-05, PK-04
    let (key, double) = openid().await;
    double.issues(&key, &double.claims());
    let fixture = Fixture::openid_with(&double, |s| {
        s.pkce = false;
        s.resource = vec![Url::parse("https://a.example/").unwrap()];
    });
    fixture.redeem().await.unwrap();
    let seen = &double.seen("/token")[0];
    assert_eq!(seen.field("code_verifier"), None);
    assert_eq!(seen.field("resource").as_deref(), Some("https://a.example/"));
}
