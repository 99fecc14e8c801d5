//! The code exchange: the request that leaves, and what of the answer is taken.

use super::*;
use crate::provider::{Endpoint, TransportError};

#[tokio::test]
async fn a_sign_in_gives_tokens_and_claims() {
    // OA-11, OA-12, OA-13, OA-19, PK-04, ID-06, RF-05
    let key = TestKey::rsa("RS256", "k1");
    let double = Double::openid(&key).await;
    double.issues(&key, &double.claims());
    let fixture = Fixture::openid(&double);
    let sign_in = fixture.redeem().await.unwrap();
    assert_eq!(sign_in.claims["sub"], "alice");
    assert_eq!(&*sign_in.issuer, double.origin);
    assert_eq!(sign_in.tokens.access_token.unwrap().expose(), "access-1");
    assert_eq!(sign_in.tokens.refresh_token.unwrap().expose(), "refresh-1");
    assert_eq!(sign_in.tokens.expires_in, Duration::from_secs(300));
    assert_eq!(sign_in.tokens.scope.as_deref(), Some("openid email")); // OA-20: silent means as asked
    let request = &double.seen("/token")[0];
    assert_eq!(request.method, Method::POST);
    assert_eq!(request.query, None);
    assert_eq!(request.headers["content-type"], "application/x-www-form-urlencoded");
    let mut names: Vec<String> = request.form().into_iter().map(|(n, _)| n).collect();
    names.sort();
    assert_eq!(names, ["code", "code_verifier", "grant_type", "redirect_uri"]);
    assert_eq!(request.field("redirect_uri").unwrap(), REDIRECT); // OA-02
    assert_eq!(request.field("code_verifier").unwrap(), "verifier-1");
    assert_eq!(request.authorization(), Some("Basic Y2xpZW50OmNsaWVudC1zZWNyZXQtb2YtYXQtbGVhc3QtMzItYnl0ZXM="));
}

#[tokio::test]
async fn a_code_is_sent_once_whatever_happens() {
    // OA-10, OA-21, OA-22, AT-TP-21
    let key = TestKey::es256("k1");
    let cases = [
        (Answer::status(400, &json!({ "error": "invalid_grant", "error_description": "<b>" })), "invalid_grant", false),
        (Answer::status(401, &json!({ "error": "invalid_client" })), "invalid_client", false),
        (Answer::typed(401, "text/html", "no"), "invalid_client", false),
        (Answer::status(400, &json!({ "error": "<script>" })), "provider_error_response", false),
        (Answer::status(400, &json!({ "error": "invalid_target" })), "provider_error_response", false), // IS-06
        (Answer::typed(400, "text/html", "<html>"), "answer_status", false),
        (Answer::status(302, &json!({})).with("location", "/elsewhere"), "answer_status", false),
        (Answer::status(201, &token_answer(&json!({}))), "answer_status", false),
        (Answer::status(500, &json!({ "error": "invalid_grant" })), "invalid_grant", false),
        (Answer::status(503, &json!({})), "provider_server_error", true),
        (Answer::status(429, &json!({})), "provider_server_error", true),
        (Answer::Never, "provider_timeout", true),
        (Answer::typed(200, "application/json", vec![b' '; 2 * 1024 * 1024]), "provider_answer_too_large", false),
    ];
    for (answer, code, outage) in cases {
        let double = Double::openid(&key).await;
        double.on("/token", [answer]);
        let fixture = Fixture::openid_with(&double, |s| s.timeout = Duration::from_millis(300));
        let error = fixture.redeem().await.map(|s| s.claims).unwrap_err();
        assert_eq!(error.code(), code);
        assert_eq!(error.is_outage(), outage, "{code}");
        assert!(!error.code().contains("script"), "pages show the code");
        assert_eq!(double.count("/token"), 1);
        assert_eq!(double.count("/elsewhere"), 0);
    }
}

#[tokio::test]
async fn the_token_answer_is_read_strictly() {
    // OA-16, OA-17, OA-18, OA-19
    let (key, double) = openid().await;
    let fixture = Fixture::openid(&double);
    let id_token = key.sign(&double.claims());
    let with = |name: &str, value: Value| {
        let mut answer = token_answer(&json!({ "id_token": id_token, "unknown": [1] }));
        answer[name] = value;
        Answer::json(&answer)
    };
    for (answer, code) in [
        (with("access_token", Value::Null), "answer_access_token"),
        (with("access_token", json!("")), "answer_access_token"),
        (with("access_token", json!(7)), "answer_access_token"),
        (with("access_token", json!("a\r\nb")), "answer_access_token"),
        (with("token_type", Value::Null), "answer_token_type"),
        (with("token_type", json!("DPoP")), "answer_token_type"),
        (with("token_type", json!("mac")), "answer_token_type"),
        (with("expires_in", json!(-1)), "answer_expires_in"),
        (with("expires_in", json!("soon")), "answer_expires_in"),
        (with("expires_in", json!("-5")), "answer_expires_in"),
        (with("expires_in", json!([])), "answer_expires_in"),
        (with("refresh_token", json!({})), "answer_refresh_token"),
        (with("id_token", json!(1)), "answer_id_token"),
        (with("error", json!("invalid_grant")), "invalid_grant"),
        (Answer::typed(200, "text/html", "<html>"), "answer_content_type"),
        (Answer::typed(200, "application/json", "{\"access_token\":\"a\",\"access_token\":\"b\"}"), "answer_json"),
        (Answer::typed(200, "application/json", "[]"), "answer_json"),
    ] {
        double.on("/token", [answer]);
        assert_eq!(fixture.refusal().await, code);
    }
    for (name, value, seconds) in [
        ("token_type", json!("bEARER"), 300),
        ("expires_in", Value::Null, 600),
        ("expires_in", json!(0), 0),
        ("expires_in", json!("3600"), 3600),
        ("expires_in", json!(12.7), 12),
        ("expires_in", json!(1e300), u64::MAX),
        ("expires_in", json!("99999999999999999999999"), u64::MAX),
    ] {
        double.on("/token", [with(name, value)]);
        let tokens = fixture.redeem().await.unwrap().tokens;
        assert_eq!(tokens.expires_in, Duration::from_secs(seconds));
        assert!(fixture.clock.starting().plus(tokens.expires_in) >= fixture.clock.starting());
    }
    double.on("/token", [with("scope", json!("openid"))]);
    assert_eq!(fixture.redeem().await.unwrap().tokens.scope.as_deref(), Some("openid")); // OA-20
}

trait Starting {
    fn starting(&self) -> UnixTime;
}

impl Starting for ManualClock {
    fn starting(&self) -> UnixTime {
        use crate::clock::Clock as _;
        self.now()
    }
}

#[tokio::test]
async fn codes_and_tokens_are_opaque_and_of_any_length() {
    // OA-23, OA-11
    let (key, double) = openid().await;
    let long = "~+/=&% .".repeat(8000);
    let answer = json!({ "access_token": long, "refresh_token": long, "id_token": key.sign(&double.claims()) });
    double.on("/token", [Answer::json(&token_answer(&answer))]);
    let fixture = Fixture::openid(&double);
    let tokens = fixture.redeem_code(&long, None).await.unwrap().tokens;
    assert_eq!(tokens.access_token.unwrap().expose(), &long);
    assert_eq!(tokens.refresh_token.unwrap().expose(), &long);
    assert_eq!(double.seen("/token")[0].field("code").unwrap(), long);
}

#[tokio::test]
async fn a_refusal_is_told_in_the_providers_words_without_what_was_sent() {
    // OA-08, OA-21, OA-25
    let (_, double) = openid().await;
    let fixture = Fixture::openid(&double);
    let said = |error: &str, text: &str| json!({ "error": error, "error_description": text });
    let secret = "client-secret-of-at-least-32-bytes";
    for (answer, words) in [
        (
            Answer::status(400, &said("invalid_grant", "Session not active")),
            vec!["invalid_grant", "Session not active"],
        ),
        (
            Answer::status(401, &said("invalid_client", "AADSTS7000215: Invalid secret")),
            vec!["client_secret", "AADSTS7000215"],
        ),
        (
            Answer::status(400, &said("invalid_dpop_proof", "DPoP proof is missing")),
            vec!["invalid_dpop_proof", "DPoP proof is missing"],
        ),
        (Answer::status(400, &said("brand_new_error", "as it is")), vec!["brand_new_error", "as it is"]),
        (Answer::status(503, &said("temporarily_unavailable", "back at noon")), vec!["503", "back at noon", "/token"]),
        (
            Answer::typed(
                400,
                "application/x-www-form-urlencoded",
                "error=invalid_scope&error_description=no+such+scope",
            ),
            vec!["invalid_scope", "no such scope"],
        ),
        (Answer::typed(403, "text/html", "<h1>Blocked</h1><p>by the firewall"), vec!["403", "Blocked by the firewall"]),
        (
            Answer::status(400, &said("invalid_grant", "code code-1 of verifier-1 is unknown")),
            vec!["[redacted] of [redacted] is unknown"],
        ),
        (
            Answer::status(400, &said("invalid_request", &format!("secret {secret} is wrong"))),
            vec!["secret [redacted] is wrong"],
        ),
    ] {
        double.on("/token", [answer]);
        let error = fixture.redeem().await.map(|s| s.claims).unwrap_err();
        let message = error.to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{words:?} in {message}");
        assert!(!format!("{error:?}").contains("code-1") && !format!("{error:?}").contains(secret), "{error:?}");
    }
    let with_userinfo = Fixture::openid_with(&double, |s| s.userinfo = UserinfoUse::Always);
    let key = TestKey::es256("k1");
    double.on("/jwks", [Answer::json(&json!({ "keys": [key.jwk] }))]).issues(&key, &double.claims());
    let challenge = "Bearer error=\"insufficient_scope\", error_description=\"needs profile for access-1\"";
    double.on("/userinfo", [Answer::status(403, &json!({})).with("www-authenticate", challenge)]);
    let message = with_userinfo.redeem().await.map(|s| s.claims).unwrap_err().to_string();
    assert!(message.contains("insufficient_scope (\"needs profile for [redacted]\")"), "{message}");
}

// OA-10: only a code that was not sent may be sent later.
#[test]
fn a_code_counts_as_unsent_only_where_no_token_request_went_out() {
    let away = |endpoint| {
        let cause = TransportError::Refused("refused".to_owned());
        Arc::new(ProviderError::Unreachable { endpoint, url: "https://login.example.com".into(), cause })
    };
    let waiting = |last| ProviderError::Waiting { retry_after: Duration::from_secs(1), last };
    for endpoint in [Endpoint::Discovery, Endpoint::Token] {
        assert!(away(endpoint).is_unsent() && waiting(away(endpoint)).is_unsent());
        // Whose identity is refused has tokens.
        assert!(!ProviderError::IdentityRefused(away(endpoint)).is_unsent());
    }
    assert!(!away(Endpoint::Userinfo).is_unsent() && !away(Endpoint::KeySet).is_unsent());
}
