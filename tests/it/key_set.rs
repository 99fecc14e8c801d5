//! The provider's keys: read with care, kept while it is away, read again when they change, and not more often than that.

use std::time::Duration;

use crate::harness::idp::{Breakage, Signing};
use crate::harness::idp::{SigningAlgorithm, paths};
use crate::harness::{Scene, TestIdp};
use serde_json::{Value, json};

const NO_WAIT: &str = "[provider.idp]\njwks_min_interval = '0s'";

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_taken_and_a_withdrawn_one_is_not() {
    // AT-TP-09, ID-31
    let scene = Scene::with("[route.app.identity]\nheaders = { X-Id = 'id_token' }").await;
    scene.signs_in().await;
    let old = scene.upstream.only_request().header("x-id").unwrap().to_owned();
    let old = || Signing::Text(old.clone());
    scene.upstream.forget_seen();
    assert_eq!(scene.idp.seen_at(paths::KEY_SET).len(), 1);

    // An ordinary fetch is no reason to keep anybody out who brings a newer key.
    scene.idp.rotate_key();
    scene.signs_in().await;
    scene.upstream.forget_seen();
    assert_eq!(scene.idp.seen_at(paths::KEY_SET).len(), 2);

    // A second fetch for the sake of a token has to wait for `jwks_min_interval`, and that passes by itself.
    scene.idp.rotate_key();
    scene.gateway.clock.advance(Duration::from_secs(20));
    let (browser, page) = scene.signs_in_while(|_| {}).await;
    scene.is_refused(&browser, &page, "id_token_key_unknown_yet");
    assert_eq!((page.status, page.header("retry-after")), (503, Some("40")), "{}", page.text());
    assert_eq!(scene.idp.seen_at(paths::KEY_SET).len(), 2);
    scene.gateway.clock.advance(Duration::from_secs(40));
    scene.signs_in().await;
    scene.upstream.forget_seen();
    assert_eq!(scene.idp.seen_at(paths::KEY_SET).len(), 3);
    // The old key still verifies: only what the old token says betrays it.
    scene.refuses_while("id_token_at_hash", |faults| faults.id_token.signing = old()).await;

    scene.idp.withdraw_old_keys();
    scene.gateway.clock.advance(Duration::from_secs(16 * 60));
    scene.refuses_while("id_token_key_unknown", |faults| faults.id_token.signing = old()).await;
    scene.idp.heal();
    scene.signs_in().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_asked_for_once_however_many_tokens_name_it() {
    // ID-31, AT-TP-06
    let scene = Scene::start().await;
    scene.signs_in().await;
    scene.upstream.forget_seen();
    scene.idp.break_with(|faults| {
        faults.id_token.header.set("kid", "nobody's");
    });
    scene.gateway.clock.advance(Duration::from_secs(61));
    let before = scene.idp.seen_at(paths::KEY_SET).len();
    let browsers: Vec<_> = (0..8).map(|_| scene.gateway.browser()).collect();
    let urls: Vec<_> = (0..8).map(|n| scene.gateway.url(&format!("/{n}"))).collect();
    let pages =
        futures_util::future::join_all(browsers.iter().zip(&urls).map(|(browser, url)| browser.signs_in(url, "Ada")))
            .await;
    // Who waits for the set that is being read knows that the key is none; who comes later may be right at the next reading, which
    // is not due yet. How many of each there are is a race.
    let knows: Vec<_> = pages.iter().filter(|page| page.names("id_token_key_unknown")).collect();
    assert!(!knows.is_empty() && knows.iter().all(|page| page.status == 502), "{knows:#?}");
    let later: Vec<_> = pages.iter().filter(|page| page.names("id_token_key_unknown_yet")).collect();
    assert!(later.iter().all(|page| page.status == 503), "{later:#?}");
    assert_eq!(knows.len() + later.len(), pages.len());
    assert_eq!(scene.idp.seen_at(paths::KEY_SET).len(), before + 1);
    assert!(scene.upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_without_a_name_are_tried_and_fetched_again() {
    // ID-29, ID-31
    let scene = Scene::with(NO_WAIT).await;
    scene.idp.break_with(|faults| faults.keys_without_kid = true);
    for _ in 0..2 {
        scene.signs_in().await;
        scene.idp.rotate_key();
    }
    scene.upstream.forget_seen();
    let (browser, page) = scene
        .signs_in_while(|faults| {
            faults.keys_without_kid = true;
            faults.id_token.signing = Signing::ForeignKey;
        })
        .await;
    scene.is_refused(&browser, &page, "id_token_signature");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_key_set_signs_nobody_in() {
    // AT-TP-08, ID-10, ID-26, ID-30, ID-33: a gateway that has read no other set yet
    let scene = Scene::at(TestIdp::signing_by(SigningAlgorithm::Rs256).await, NO_WAIT).await;
    let keys = scene.idp.key_set();
    let key = keys["keys"][0].clone();
    let with = |name: &str, value: Value| {
        let mut key = key.clone();
        key[name] = value;
        json!([key])
    };
    // 1024 bits; the last letter leaves no stray ones.
    let small = "v".repeat(170) + "w";
    for (reason, keys) in [
        ("jwks_no_usable_key", json!([])),
        ("answer_json", json!("keys")),
        ("answer_json", json!(null)),
        ("jwks_no_usable_key", json!([{ "kty": "oct", "k": "c2VjcmV0", "kid": key["kid"] }])),
        ("jwks_no_usable_key", with("use", json!("enc"))),
        ("jwks_no_usable_key", with("key_ops", json!(["sign"]))),
        ("jwks_no_usable_key", with("alg", json!("ES256"))),
        ("jwks_no_usable_key", with("alg", json!("HS256"))),
        ("jwks_no_usable_key", with("d", json!("AQAB"))),
        ("jwks_no_usable_key", with("n", json!(small))),
        ("jwks_no_usable_key", with("n", json!("not base64!"))),
        ("jwks_no_usable_key", with("kty", json!("EC"))),
        ("jwks_no_usable_key", with("kty", json!("XYZ"))),
        ("jwks_no_usable_key", json!(["x", 7, null, {}])),
    ] {
        scene
            .refuses_while(reason, |faults| {
                faults.key_set.members.set("keys", keys.clone());
            })
            .await;
        let verbose = scene.gateway.admin_text("/readyz?verbose").await;
        assert!(verbose.contains(&format!("[!]provider idp degraded: {reason}\n")), "{reason}: {verbose}");
        scene.gateway.clock.advance(Duration::from_secs(31));
    }
    // Strangers beside the good key do no harm: unknown kinds, broken ones, a twin of its name, thousands of them behind it.
    let stranger = json!({ "kty": "EC", "crv": "P-256", "kid": key["kid"], "x": "AA", "y": "AA" });
    let mut many = vec![json!({ "kty": "new" }), stranger, with("n", json!("AQ"))[0].clone(), key.clone()];
    many.extend((0..5000).map(|n| json!({ "kty": "oct", "k": "c2VjcmV0", "kid": n.to_string() })));
    let (_, page) = scene
        .signs_in_while(|faults| {
            faults.key_set.members.set("keys", json!(many));
        })
        .await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(scene.gateway.admin_text("/readyz?verbose").await.contains("[+]provider idp ok\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_set_that_cannot_be_read_is_an_outage_with_a_bound() {
    // AT-TP-08, DI-05
    let scene = Scene::with("[provider.idp]\njwks_min_interval = '0s'\ntimeout = '400ms'").await;
    for (status, reason, breakage) in [
        (503, "provider_server_error", Breakage::Status(500)),
        (502, "answer_content_type", Breakage::Html),
        (503, "provider_answer_too_large", Breakage::Padded(2 << 20)),
        (503, "provider_timeout", Breakage::Drip(Duration::from_millis(50))),
        (503, "provider_timeout", Breakage::Hang),
        (503, "provider_connection_broken", Breakage::Truncated),
        (
            502,
            "answer_json",
            Breakage::Answer { status: 200, content_type: "application/json".into(), body: "[".repeat(50_000) },
        ),
        (502, "answer_status", Breakage::Status(404)),
    ] {
        let (browser, page) = scene.signs_in_while(|faults| faults.key_set.break_with(breakage)).await;
        scene.is_refused(&browser, &page, reason);
        assert_eq!(page.status, status, "{reason}: {}", page.text());
        scene.gateway.clock.advance(Duration::from_secs(31));
    }
    scene.idp.heal();
    scene.signs_in().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_keys_stay_good_while_the_provider_is_away_but_not_for_ever() {
    // AT-TP-08, ID-32
    let scene = Scene::start().await;
    scene.signs_in().await;
    let breaks = |faults: &mut crate::harness::idp::Faults| faults.key_set.break_with(Breakage::Status(500));
    scene.gateway.clock.advance(Duration::from_secs(3 * 3600));
    let (_, page) = scene.signs_in_while(breaks).await;
    assert_eq!(page.status, 200, "{}", page.text());
    scene.upstream.forget_seen();
    scene.gateway.clock.advance(Duration::from_secs(24 * 3600));
    let (browser, page) = scene.signs_in_while(breaks).await;
    assert_eq!(page.status, 503);
    scene.is_refused(&browser, &page, "provider_server_error");
}
