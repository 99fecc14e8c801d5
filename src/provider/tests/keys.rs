//! The key set: what of it is used, and when it is fetched again.

use super::*;

#[tokio::test]
async fn an_unknown_kid_fetches_the_set_again_but_not_too_often() {
    // ID-31, AT-TP-06, AT-TP-09
    let (old, new) = (TestKey::es256("k1"), TestKey::es256("k2"));
    let double = Double::openid(&old).await;
    let fixture = Fixture::openid(&double);
    double.issues(&old, &double.claims());
    fixture.redeem().await.unwrap();
    // The ordinary fetch of a moment ago is no reason to wait.
    double.issues(&new, &double.claims()).on("/jwks", [Answer::json(&json!({ "keys": [new.jwk] }))]);
    fixture.redeem().await.unwrap();
    assert_eq!(double.count("/jwks"), 2);
    // The withdrawn key is refused; the next fetch for the sake of a token is not due yet, and it is known when it will be.
    double.issues(&old, &double.claims());
    fixture.clock.advance(Duration::from_secs(15));
    let error = fixture.redeem().await.map(|s| s.claims).unwrap_err();
    assert_eq!((error.code(), error.is_outage()), ("id_token_key_unknown_yet", true));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(45)));
    assert_eq!(double.count("/jwks"), 2);
    fixture.clock.advance(Duration::from_secs(45));
    let error = fixture.redeem().await.map(|s| s.claims).unwrap_err();
    assert_eq!(error.to_string(), "the ID token: its key \"k1\" is not in the provider's key set (k2)");
    assert_eq!(double.count("/jwks"), 3);
}

#[tokio::test]
async fn a_set_that_was_read_for_this_very_token_is_not_read_twice() {
    let (old, new) = (TestKey::es256("k1"), TestKey::es256("k2"));
    let double = Double::openid(&old).await;
    double.issues(&new, &double.claims());
    assert_eq!(Fixture::openid(&double).refusal().await, "id_token_key_unknown");
    assert_eq!(double.count("/jwks"), 1);
}

#[tokio::test]
async fn with_no_interval_each_unknown_kid_fetches_once() {
    // ID-31, AT-TP-06
    let (key, double) = openid().await;
    let fixture = Fixture::openid_with(&double, |s| s.jwks_min_interval = Duration::ZERO);
    double.issues(&key, &double.claims());
    fixture.redeem().await.unwrap();
    let kids = ["../../x", "' or 1=1", "a\0b", &"k".repeat(10_000)];
    for (i, kid) in kids.iter().enumerate() {
        let token = key.sign_with(&json!({ "alg": "ES256", "kid": kid }), &double.claims());
        double.on("/token", [Answer::json(&token_answer(&json!({ "id_token": token })))]);
        assert_eq!(fixture.refusal().await, "id_token_key_unknown");
        assert_eq!(double.count("/jwks"), i + 2);
    }
    // A wrong signature by a known key is no reason to ask.
    double.issues(&TestKey::es256("k1"), &double.claims());
    assert_eq!(fixture.refusal().await, "id_token_signature");
    assert_eq!(double.count("/jwks"), kids.len() + 1);
}

#[tokio::test]
async fn keys_without_a_name_are_tried_and_fetched_again_when_none_fits() {
    // ID-29
    let (old, new) = (TestKey::es256("x").nameless(), TestKey::es256("y").nameless());
    let double = Double::openid(&old).await;
    let fixture = Fixture::openid_with(&double, |s| s.jwks_min_interval = Duration::ZERO);
    double.issues(&old, &double.claims());
    fixture.redeem().await.unwrap();
    double.issues(&new, &double.claims());
    assert_eq!(fixture.refusal().await, "id_token_signature");
    double.on("/jwks", [Answer::json(&json!({ "keys": [old.jwk, new.jwk] }))]);
    fixture.redeem().await.unwrap();
    assert_eq!(double.count("/jwks"), 3);
    // A token that names a key, and a set that names none.
    let token = new.sign_with(&json!({ "alg": "ES256", "kid": "z" }), &double.claims());
    double.on("/token", [Answer::json(&token_answer(&json!({ "id_token": token })))]);
    fixture.redeem().await.unwrap();
    assert_eq!(double.count("/jwks"), 3);
}

#[tokio::test]
async fn many_at_once_fetch_once() {
    // ID-31, DI-07: single flight for the document and for the set
    let (key, double) = openid().await;
    double.issues(&key, &double.claims());
    let fixture = Fixture::openid_with(&double, |s| s.jwks_min_interval = Duration::ZERO);
    let all = futures_util::future::join_all((0..20).map(|_| fixture.redeem())).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!((double.count(DISCOVERY), double.count("/jwks")), (1, 1));
    let next = TestKey::es256("k2");
    double.issues(&next, &double.claims()).on("/jwks", [Answer::json(&json!({ "keys": [next.jwk] }))]);
    let all = futures_util::future::join_all((0..20).map(|_| fixture.redeem())).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(double.count("/jwks"), 2);
}

#[tokio::test]
async fn old_keys_stay_while_the_provider_is_away_for_a_bounded_time() {
    // ID-32, AT-TP-08
    let key = TestKey::es256("k1");
    for answer in [
        Answer::status(500, &json!({})),
        Answer::typed(200, "text/html", "<html>"),
        Answer::typed(200, "application/json", vec![b' '; 2 * 1024 * 1024]),
        Answer::json(&json!({ "keys": "none" })),
        Answer::json(&json!({ "keys": [] })),
    ] {
        let double = Double::openid(&key).await;
        let fixture = Fixture::openid(&double);
        double.issues(&key, &double.claims());
        fixture.redeem().await.unwrap();
        double.on("/jwks", [answer]);
        for hours in [2, 23] {
            let now = START + hours * 3600;
            fixture.later_until(now);
            let mut claims = double.claims();
            (claims["iat"], claims["exp"]) = (json!(now), json!(now + 300));
            double.issues(&key, &claims);
            fixture.redeem().await.unwrap();
        }
        fixture.later_until(START + 25 * 3600);
        assert!(fixture.redeem().await.is_err());
    }
}

#[tokio::test]
async fn an_unknown_kid_is_an_outage_while_the_set_cannot_be_read() {
    let (old, new) = (TestKey::es256("k1"), TestKey::es256("k2"));
    let double = Double::openid(&old).await;
    let fixture = Fixture::openid(&double);
    double.issues(&old, &double.claims());
    fixture.redeem().await.unwrap();
    double.issues(&new, &double.claims()).on("/jwks", [Answer::status(503, &json!({}))]);
    fixture.clock.advance(Duration::from_secs(61));
    for _ in 0..2 {
        let error = fixture.redeem().await.map(|s| s.claims).unwrap_err();
        assert!(error.is_outage(), "{error}");
    }
    assert_eq!(double.count("/jwks"), 2);
}

#[tokio::test]
async fn the_key_sets_own_caching_counts_within_bounds() {
    // ID-32
    let (key, double) = openid().await;
    double.on("/jwks", [Answer::json(&json!({ "keys": [key.jwk] })).with("cache-control", "public, max-age=86400")]);
    double.issues(&key, &double.claims());
    let fixture = Fixture::openid(&double);
    fixture.redeem().await.unwrap();
    fixture.clock.advance(Duration::from_secs(290));
    fixture.redeem().await.unwrap();
    assert_eq!(double.count("/jwks"), 1);
    let now = START + 3600;
    fixture.later_until(now);
    let mut claims = double.claims();
    (claims["iat"], claims["exp"]) = (json!(now), json!(now + 300));
    double.issues(&key, &claims);
    fixture.redeem().await.unwrap();
    assert_eq!(double.count("/jwks"), 2);
}

#[tokio::test]
async fn unfit_keys_are_skipped_and_never_used() {
    // ID-10, ID-26, ID-30, ID-33, AT-TP-08
    let key = TestKey::es256("k1");
    let rsa = TestKey::rsa("RS256", "k1");
    let changed = |key: &TestKey, name: &str, value: Value| {
        let mut jwk = key.jwk.clone();
        jwk[name] = value;
        jwk
    };
    let mut off_curve = key.jwk.clone();
    off_curve["y"] = off_curve["x"].clone();
    let unfit = [
        changed(&key, "use", json!("enc")),
        changed(&key, "key_ops", json!(["encrypt"])),
        changed(&key, "key_ops", json!("verify")),
        changed(&key, "alg", json!("ES384")),
        changed(&key, "alg", json!("RS256")),
        changed(&key, "d", json!("AAAA")),
        changed(&key, "crv", json!("P-384")),
        changed(&key, "x", json!("AAAA")),
        changed(&key, "kty", json!("RSA")),
        changed(&key, "kid", json!(7)),
        changed(&rsa, "n", json!(b64(&[0xff; 128]))),
        changed(&rsa, "alg", json!("ES256")),
        json!({ "kty": "oct", "k": b64(b"client-secret-of-at-least-32-bytes"), "kid": "k1" }),
        json!({ "kty": "NEW", "kid": "k1" }),
        json!("text"),
        json!(null),
    ];
    for jwk in unfit {
        let double = Double::openid(&key).await;
        double.on("/jwks", [Answer::json(&json!({ "keys": [jwk] }))]);
        for signer in [&key, &rsa] {
            double.issues(signer, &double.claims());
            assert_eq!(Fixture::openid(&double).refusal().await, "jwks_no_usable_key", "{jwk}");
        }
        // Beside a good one it does no harm.
        double.on("/jwks", [Answer::json(&json!({ "keys": [jwk, off_curve, key.jwk] }))]);
        double.issues(&key, &double.claims());
        Fixture::openid(&double).redeem().await.unwrap();
    }
}

#[tokio::test]
async fn a_key_in_the_tokens_own_header_is_never_used() {
    // ID-22, AT-TP-05
    let key = TestKey::es256("k1");
    let thief = TestKey::es256("k1");
    let double = Double::openid(&key).await;
    let header = json!({
        "alg": "ES256", "kid": "k1", "jwk": thief.jwk, "jku": double.at("/evil"), "x5u": double.at("/evil"), "x5c": ["AAAA"],
    });
    let token = thief.sign_with(&header, &double.claims());
    double.on("/token", [Answer::json(&token_answer(&json!({ "id_token": token })))]);
    assert_eq!(Fixture::openid(&double).refusal().await, "id_token_signature");
    assert_eq!(double.count("/evil"), 0);
}

#[tokio::test]
async fn a_huge_key_set_costs_little() {
    // AT-TP-08
    let key = TestKey::es256("k1").nameless();
    let double = Double::openid(&key).await;
    let many: Vec<Value> = (0..5000).map(|_| key.jwk.clone()).collect();
    double.on("/jwks", [Answer::json(&json!({ "keys": many }))]);
    double.issues(&TestKey::es256("k").nameless(), &double.claims());
    assert_eq!(Fixture::openid(&double).refusal().await, "id_token_signature");
}

#[tokio::test]
async fn keys_without_a_name_are_tried_up_to_a_cap() {
    // ID-29, AT-TP-08
    let right = TestKey::es256("k1").nameless();
    for (strangers, found) in [(15, true), (16, false)] {
        let double = Double::openid(&right).await;
        let mut keys: Vec<Value> = (0..strangers).map(|_| TestKey::es256("k1").nameless().jwk).collect();
        keys.push(right.jwk.clone());
        double.on("/jwks", [Answer::json(&json!({ "keys": keys }))]);
        double.issues(&right, &double.claims());
        let refused = Fixture::openid(&double).redeem().await.err().map(|error| error.code());
        assert_eq!(refused, (!found).then_some("id_token_signature"), "{strangers}");
    }
}
