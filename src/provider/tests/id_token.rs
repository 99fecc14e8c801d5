//! The ID token of a sign-in: every way in which it can be wrong.

use super::*;

#[tokio::test]
async fn every_signature_algorithm_is_taken_when_it_is_allowed() {
    // ID-10, ID-27
    let keys = [
        TestKey::rsa("RS384", "k"),
        TestKey::rsa("RS512", "k"),
        TestKey::rsa("PS256", "k"),
        TestKey::rsa("PS384", "k"),
        TestKey::rsa("PS512", "k"),
        TestKey::es256("k"),
        TestKey::es384("k"),
        TestKey::es512("k"),
        TestKey::ed25519("k"),
    ];
    for key in keys {
        let double = Double::openid(&key).await;
        double.issues(&key, &double.claims());
        let alg = key.header()["alg"].as_str().unwrap().to_owned();
        let fixture = Fixture::openid_with(&double, |s| s.id_token_algorithms = vec![alg.clone()]);
        assert!(fixture.redeem().await.is_ok(), "{alg}");
    }
}

#[tokio::test]
async fn the_algorithm_is_never_the_tokens_choice() {
    // ID-07, ID-09, AT-TP-02, AT-TP-03
    let key = TestKey::rsa("RS256", "k1");
    let double = Double::openid(&key).await;
    let fixture = Fixture::openid(&double);
    let public = key.jwk["n"].as_str().unwrap().as_bytes();
    let secret = b"client-secret-of-at-least-32-bytes";
    for forger in [TestKey::hmac(public), TestKey::hmac(secret)] {
        double.issues(&forger, &double.claims());
        assert_eq!(fixture.refusal().await, "id_token_alg");
    }
    for alg in ["none", "None", "NONE", "", "RS1"] {
        let unsigned = key.sign_with(&json!({ "alg": alg }), &double.claims());
        let unsigned = format!("{}.", unsigned.rsplit_once('.').unwrap().0);
        double.on("/token", [Answer::json(&token_answer(&json!({ "id_token": unsigned })))]);
        assert_eq!(fixture.refusal().await, "jwt_alg_unknown", "{alg}");
    }
    let other = TestKey::ed25519("k1");
    double.issues(&other, &double.claims());
    assert_eq!(fixture.refusal().await, "id_token_alg");
}

#[tokio::test]
async fn hmac_is_taken_only_when_it_is_configured() {
    // ID-08
    let (_, double) = openid().await;
    let hmac = TestKey::hmac(b"client-secret-of-at-least-32-bytes");
    double.issues(&hmac, &double.claims());
    let fixture = Fixture::openid_with(&double, |s| s.id_token_algorithms = vec!["HS256".to_owned()]);
    assert!(fixture.redeem().await.is_ok());
    assert_eq!(double.count("/jwks"), 0);
    double.issues(&TestKey::hmac(b"another-secret-of-at-least-32-bytes"), &double.claims());
    assert_eq!(fixture.refusal().await, "id_token_signature");
    let too_short = |s: &mut ProviderSettings| {
        s.id_token_algorithms = vec!["HS256".to_owned()];
        s.client_auth = ClientAuth::Basic(Secret::from("short"));
    };
    let mut settings = settings(ProviderKind::Oidc { issuer: double.origin.clone(), overrides: Endpoints::default() });
    too_short(&mut settings);
    assert!(Provider::new(settings, Arc::clone(&fixture.clock) as _).is_err());
}

#[tokio::test]
async fn each_wrong_claim_is_refused_with_a_reason_of_its_own() {
    // ID-02, ID-03, ID-04, ID-05, ID-11, ID-12, ID-13, ID-14, ID-17, ID-18, ID-19, AT-TP-14, AT-TP-15, SB-13
    let (key, double) = openid().await;
    let fixture = Fixture::openid(&double);
    let slash = format!("{}/", double.origin);
    let cases: Vec<(&str, Value, &str)> = vec![
        ("iss", json!(slash), "id_token_iss"),
        ("iss", json!(double.origin.replace("http", "HTTP")), "id_token_iss"),
        ("iss", Value::Null, "id_token_iss_missing"),
        ("aud", json!("other"), "id_token_aud"),
        ("aud", json!(["client", "stranger"]), "id_token_aud_stranger"),
        ("aud", json!([]), "id_token_aud_missing"),
        ("aud", json!(7), "id_token_aud_missing"),
        ("aud", Value::Null, "id_token_aud_missing"),
        ("azp", json!("other"), "id_token_azp"),
        ("exp", json!(START - 61), "id_token_expired"),
        ("exp", json!((START + 10).to_string()), "id_token_time"),
        ("exp", json!(-1), "id_token_time"),
        ("exp", Value::Null, "id_token_exp_missing"),
        ("iat", json!(START + 61), "id_token_iat_future"),
        ("iat", json!(START - 7200), "id_token_iat_old"),
        ("iat", Value::Null, "id_token_iat_missing"),
        ("nbf", json!(START + 61), "id_token_nbf"),
        ("nonce", json!("other"), "id_token_nonce"),
        ("nonce", json!(1), "id_token_nonce"),
        ("nonce", Value::Null, "id_token_nonce_missing"),
        ("sub", json!(""), "id_token_sub"),
        ("sub", json!("a".repeat(256)), "id_token_sub"),
        ("sub", json!("a\nb"), "id_token_sub"),
        ("sub", json!(5), "id_token_sub"),
        ("sub", Value::Null, "id_token_sub_missing"),
        ("at_hash", json!("AAAAAAAAAAAAAAAAAAAAAA"), "id_token_at_hash"),
        ("events", json!({ "http://schemas.openid.net/event/backchannel-logout": {} }), "id_token_typ"),
    ];
    for (name, value, code) in cases {
        let mut claims = double.claims();
        match value {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.to_owned(), value),
        };
        double.issues(&key, &claims);
        assert_eq!(fixture.refusal().await, code, "{name}: {claims}");
    }
}

#[tokio::test]
async fn what_is_within_the_rules_is_taken() {
    // ID-03, ID-04, ID-05, ID-11, ID-17, ID-19
    let (key, double) = openid().await;
    let fixture = Fixture::openid_with(&double, |s| s.audiences = vec!["api".to_owned()]);
    // OpenID Connect Core 3.1.3.6: the left half of SHA-256("access-1")
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"access-1");
    for (name, value) in [
        ("exp", json!(START as f64 - 59.5)),
        ("iat", json!(START + 59)),
        ("aud", json!(["client"])),
        ("at_hash", json!(b64(&hash.as_ref()[..16]))),
        ("unknown", json!({ "x": [1] })),
    ] {
        let mut claims = double.claims();
        claims[name] = value;
        double.issues(&key, &claims);
        assert!(fixture.redeem().await.is_ok(), "{name}");
    }
    let mut claims = double.claims();
    claims["aud"] = json!(["client", "api"]);
    double.issues(&key, &claims);
    assert_eq!(fixture.refusal().await, "id_token_azp"); // several audiences want azp
    claims["azp"] = json!("client");
    double.issues(&key, &claims);
    assert!(fixture.redeem().await.is_ok());
}

#[tokio::test]
async fn max_age_and_acr_are_checked_when_they_were_asked_for() {
    // ID-15, ID-16
    let (key, double) = openid().await;
    let fixture = Fixture::openid_with(&double, |s| {
        s.max_age = Some(Duration::from_secs(600));
        s.acr_values = vec!["gold".to_owned()];
    });
    let mut claims = double.claims();
    double.issues(&key, &claims);
    assert_eq!(fixture.refusal().await, "id_token_acr");
    claims["acr"] = json!("gold");
    double.issues(&key, &claims);
    assert_eq!(fixture.refusal().await, "id_token_auth_time_missing");
    claims["auth_time"] = json!(START - 700);
    double.issues(&key, &claims);
    assert_eq!(fixture.refusal().await, "id_token_auth_time_old");
    claims["auth_time"] = json!(START - 600);
    double.issues(&key, &claims);
    assert_eq!(fixture.redeem().await.unwrap().auth_time, Some(UnixTime::from_secs(START - 600)));
}

#[tokio::test]
async fn a_malformed_id_token_is_refused_in_bounded_time() {
    // ID-01, ID-20, ID-21, ID-23, ID-24, ID-25, AT-TP-11, AT-TP-12, AT-TP-30
    let (key, double) = openid().await;
    let fixture = Fixture::openid(&double);
    let good = key.sign(&double.claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let header = r#"{"alg":"ES256","kid":"k1"}"#;
    let claims = double.claims().to_string();
    let cases = [
        (signed.to_owned(), "jwt_malformed"),
        (format!("{good}.x"), "jwt_malformed"),
        (format!("{good}.x.y"), "jwt_encrypted"),
        (format!("{good}=="), "jwt_malformed"),
        (format!("{good}\n"), "jwt_malformed"),
        (format!(" {good}"), "jwt_malformed"),
        (format!("{signed}.+{}", &signature[1..]), "jwt_malformed"),
        (format!("{signed}."), "id_token_signature"),
        (format!("{signed}.{}", b64(&[0; 64])), "id_token_signature"),
        (format!("{good}AAAA"), "id_token_signature"),
        (key.sign_text(r#"{"alg":"ES256","alg":"ES256"}"#, &claims), "jwt_malformed"),
        (key.sign_text("[]", &claims), "jwt_malformed"),
        (key.sign_text(r#"{"alg":"ES256","kid":7}"#, &claims), "jwt_malformed"),
        (key.sign_text(r#"{"alg":"ES256","crit":["exp"],"exp":1}"#, &claims), "jwt_crit"),
        (key.sign_text(r#"{"alg":"ES256","b64":false}"#, &claims), "jwt_crit"),
        (key.sign_text(r#"{"alg":"ES256","zip":"DEF"}"#, &claims), "jwt_encrypted"),
        (key.sign_text(r#"{"alg":"ES256","kid":"k1","typ":"at+jwt"}"#, &claims), "id_token_typ"),
        (key.sign_text(r#"{"alg":"ES256","kid":"k1","typ":"application/logout+JWT"}"#, &claims), "id_token_typ"),
        (key.sign_text(header, "[1]"), "jwt_claims"),
        (key.sign_text(header, r#"{"sub":"a","sub":"b"}"#), "jwt_claims"),
        (key.sign_text(header, r#"{"exp":1e400}"#), "jwt_claims"),
        (key.sign_text(header, &"[".repeat(10_000)), "jwt_claims"),
        ("x".repeat(70_000), "jwt_too_large"),
    ];
    for (token, code) in cases {
        double.on("/token", [Answer::json(&token_answer(&json!({ "id_token": token })))]);
        let error = fixture.redeem().await.map(|s| s.claims).unwrap_err();
        // A token with a line break in it does not even get out of the token answer.
        let expected = if token.ends_with('\n') { "answer_id_token" } else { code };
        assert_eq!(error.code(), expected, "{token:.80}");
    }
}

#[tokio::test]
async fn an_id_token_has_to_come() {
    let (_, double) = openid().await;
    double.on("/token", [Answer::json(&token_answer(&json!({})))]);
    assert_eq!(Fixture::openid(&double).refusal().await, "id_token_missing");
}

#[tokio::test]
async fn a_refusal_names_what_was_expected_and_what_came() {
    // OA-08, OA-25: printable and capped, and never the nonce
    let (key, double) = openid().await;
    let long = "x".repeat(9000);
    for (claim, value, words) in [
        ("aud", json!("another-client-77"), vec!["another-client-77", "\"client\""]),
        ("aud", json!(["a-77", "b-78"]), vec!["a-77, b-78", "\"client\""]),
        ("aud", json!(["client", "stranger-9"]), vec!["stranger-9", "audiences"]),
        ("aud", json!(format!("e\u{1b}[31m\n\"vil{long}")), vec!["e[31m vilxx"]),
        ("azp", json!("other-azp"), vec!["other-azp", "\"client\""]),
        ("iss", json!("https://evil.example"), vec!["https://evil.example", &double.origin]),
        ("iss", json!(7), vec!["\"7\""]),
        ("acr", json!("bronze"), vec!["bronze", "silver, gold"]),
        ("acr", Value::Null, vec!["null", "silver, gold"]),
        ("exp", json!(START - 100), vec!["100 s ago"]),
        ("iat", json!(START + 100), vec!["100 s in the future"]),
        ("nbf", json!(START + 90), vec!["90 s in the future"]),
        ("auth_time", json!(START - 500), vec!["500 s", "300 s"]),
        ("nonce", json!("stolen-nonce-123"), vec!["nonce"]),
    ] {
        let mut claims = double.claims();
        (claims["acr"], claims["auth_time"]) = (json!("gold"), json!(START));
        claims[claim] = value;
        double.issues(&key, &claims);
        let fixture = Fixture::openid_with(&double, |s| {
            s.acr_values = vec!["silver".to_owned(), "gold".to_owned()];
            s.max_age = Some(Duration::from_secs(300));
        });
        let message = fixture.redeem().await.map(|s| s.claims).unwrap_err().to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{claim}: {words:?} in {message}");
        assert!(message.len() < 600 && !message.contains(char::is_control), "{message:?}");
        assert!(!message.contains("stolen-nonce") && !message.contains(NONCE), "{message}");
    }
    for (algorithm, words) in
        [("HS256", vec!["HS256", "RS256, ES256"]), ("none", vec!["\"none\""]), ("RS1", vec!["\"RS1\""])]
    {
        let token = key.sign_with(&json!({ "alg": algorithm, "kid": "k1" }), &double.claims());
        double.on("/token", [Answer::json(&token_answer(&json!({ "id_token": token })))]);
        let message = Fixture::openid(&double).redeem().await.map(|s| s.claims).unwrap_err().to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{words:?} in {message}");
    }
}
