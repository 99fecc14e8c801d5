//! The ID token: whatever is wrong with it signs nobody in, and the page says which check it failed.

use crate::harness::idp::{KeyForm, Signing};
use crate::harness::idp::{SigningAlgorithm, paths};
use serde_json::{Value, json};
use vestibule::clock::Clock as _;

use crate::harness::idp::{CLIENT_ID, CLIENT_SECRET};
use crate::harness::{RecordingUpstream, Scene, TestIdp};

#[tokio::test(flavor = "multi_thread")]
async fn every_claim_that_must_hold_is_checked() {
    // AT-TP-14, ID-02, ID-03, ID-04, ID-05, ID-11, ID-12, ID-13, ID-14, ID-18
    let scene = Scene::start().await;
    let issuer = scene.idp.issuer().to_owned();
    let port = issuer.rsplit_once(':').unwrap().1.to_owned();
    let set = |name: &'static str, value: Value| (name, Some(value));
    for (reason, (name, value)) in [
        ("id_token_iss", set("iss", json!(format!("{issuer}/")))),
        ("id_token_iss", set("iss", json!(issuer.to_uppercase()))),
        ("id_token_iss", set("iss", json!(issuer.replace(&port, "1")))),
        ("id_token_iss", set("iss", json!("https://evil.example"))),
        ("id_token_iss", set("iss", json!([issuer]))),
        ("id_token_iss_missing", ("iss", None)),
        ("id_token_aud", set("aud", json!("somebody else"))),
        ("id_token_aud", set("aud", json!(CLIENT_ID.to_uppercase()))),
        ("id_token_aud_missing", set("aud", json!([]))),
        ("id_token_aud_missing", set("aud", json!(7))),
        ("id_token_aud_missing", ("aud", None)),
        ("id_token_aud_stranger", set("aud", json!([CLIENT_ID, "stranger"]))),
        ("id_token_azp", set("azp", json!("somebody else"))),
        ("id_token_exp_missing", ("exp", None)),
        ("id_token_iat_missing", ("iat", None)),
        ("id_token_nonce_missing", ("nonce", None)),
        ("id_token_nonce", set("nonce", json!("another"))),
        ("id_token_nonce", set("nonce", json!(["another"]))),
        ("id_token_sub_missing", ("sub", None)),
        ("id_token_sub", set("sub", json!(""))),
        ("id_token_sub", set("sub", json!("x".repeat(256)))),
        ("id_token_sub", set("sub", json!("ada\r\nX-Evil: 1"))),
        ("id_token_sub", set("sub", json!(248289761001_u64))),
    ] {
        let asked = scene
            .refuses_while(reason, |faults| {
                let claims = &mut faults.id_token.claims;
                match value {
                    Some(value) => claims.set(name, value),
                    None => claims.remove(name),
                };
            })
            .await;
        assert_eq!(asked, 1, "the code was sent once, and nothing was tried again");
    }
    assert!(scene.idp.seen_at(paths::USERINFO).is_empty(), "UI-02");
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_numbers_within_a_minute_of_ours() {
    // AT-TP-14, AT-TP-12, ID-11, ID-12, ID-13, ID-19
    let scene = Scene::start().await;
    let now = scene.gateway.clock.now().secs();
    for (reason, name, value) in [
        ("id_token_expired", "exp", json!(now - 60)),
        ("id_token_iat_future", "iat", json!(now + 61)),
        ("id_token_iat_old", "iat", json!(now - 24 * 3600)),
        ("id_token_nbf", "nbf", json!(now + 61)),
        ("id_token_time", "exp", json!("4102444800")),
        ("id_token_time", "exp", json!(-1)),
        ("id_token_time", "iat", json!([now])),
        ("id_token_time", "nbf", json!(null)),
        ("id_token_time", "auth_time", json!("now")),
    ] {
        scene
            .refuses_while(reason, |faults| {
                faults.id_token.claims.set(name, value);
            })
            .await;
    }
    for (name, value) in [
        ("exp", json!(now - 59)),
        ("exp", json!(1e300)),
        ("iat", json!(now + 60)),
        ("iat", json!(now as f64 - 0.5)),
        ("nbf", json!(now + 60)),
    ] {
        let (_, page) = scene
            .signs_in_while(|faults| {
                faults.id_token.claims.set(name, value.clone());
            })
            .await;
        assert_eq!(page.status, 200, "{name} {value}: {}", page.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_audiences_are_taken_when_they_are_configured() {
    // ID-03, ID-04, ID-05
    let scene = Scene::with("[provider.idp]\naudiences = ['api']").await;
    let aud = json!([CLIENT_ID, "api"]);
    scene
        .refuses_while("id_token_azp", |faults| {
            faults.id_token.claims.set("aud", aud.clone());
        })
        .await;
    let (_, page) = scene
        .signs_in_while(|faults| {
            faults.id_token.claims.set("aud", aud).set("azp", CLIENT_ID);
        })
        .await;
    assert_eq!(page.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_signature_but_the_providers_own_counts() {
    // AT-TP-02, AT-TP-03, AT-TP-11, ID-06, ID-07, ID-08, ID-09, ID-10, ID-27
    for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::Rs256] {
        let scene = Scene::at(TestIdp::signing_by(algorithm).await, "").await;
        scene.signs_in().await;
        scene.upstream.forget_seen();
        let zeros = vec![0; 64];
        let der = [0x30, 0x45, 0x02, 0x20].into_iter().chain([7; 67]).collect();
        for (reason, signing) in [
            ("id_token_signature", Signing::Flipped),
            ("id_token_signature", Signing::Missing),
            ("jwt_alg_unknown", Signing::Unsigned),
            ("id_token_alg", Signing::HmacOfPublicKey(KeyForm::Pem)),
            ("id_token_alg", Signing::HmacOfPublicKey(KeyForm::Der)),
            ("id_token_alg", Signing::HmacOfPublicKey(KeyForm::Jwk)),
            ("id_token_alg", Signing::HmacOf(CLIENT_SECRET.to_owned())),
            ("id_token_alg", Signing::HmacOf(String::new())),
            ("id_token_signature", Signing::Bytes(zeros)),
            ("id_token_signature", Signing::Bytes(der)),
            ("id_token_signature", Signing::Bytes(vec![0xff; 256])),
            ("id_token_signature", Signing::Bytes(vec![1; 65])),
            ("id_token_signature", Signing::ForeignKey),
            ("id_token_signature", Signing::EmbeddedKey),
        ] {
            scene.refuses_while(reason, |faults| faults.id_token.signing = signing.clone()).await;
        }
        // `alg` in other letters is still not a signature.
        for alg in ["None", "NONE", "nOnE", "", "HS257"] {
            scene
                .refuses_while("jwt_alg_unknown", |faults| {
                    faults.id_token.signing = Signing::Unsigned;
                    faults.id_token.header.set("alg", alg);
                })
                .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_algorithm_is_the_configured_one_and_not_the_tokens_choice() {
    // ID-07, ID-08
    let scene = Scene::with("[provider.idp]\nid_token_algorithms = ['RS256']").await;
    scene.refuses_while("id_token_alg", |_| {}).await;

    let secret = "a secret that is at least as long as its hash";
    let idp = TestIdp::start().await;
    let hmac =
        Scene::at(idp, &format!("[provider.idp]\nid_token_algorithms = ['HS256']\nclient_secret = '{secret}'")).await;
    hmac.idp
        .configure(|settings| settings.clients[0].proof = crate::harness::idp::AuthMethod::Basic(secret.to_owned()));
    hmac.refuses_while("id_token_alg", |_| {}).await;
    hmac.refuses_while("id_token_signature", |faults| faults.id_token.signing = Signing::HmacOf("another".to_owned()))
        .await;
    let (_, page) = hmac.signs_in_while(|faults| faults.id_token.signing = Signing::HmacOf(secret.to_owned())).await;
    assert_eq!(page.status, 200, "{}", page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_token_brings_along_is_not_looked_at() {
    // AT-TP-05, ID-22
    let scene = Scene::start().await;
    let elsewhere = RecordingUpstream::start().await;
    let url = elsewhere.url();
    for (name, value) in
        [("jku", json!(format!("{url}/keys"))), ("x5u", json!(format!("{url}/chain"))), ("x5c", json!(["MIIB"]))]
    {
        scene
            .refuses_while("id_token_signature", |faults| {
                faults.id_token.signing = Signing::EmbeddedKey;
                faults.id_token.header.set(name, value);
            })
            .await;
    }
    // With the provider's own signature they do no harm either.
    let (_, page) = scene
        .signs_in_while(|faults| {
            faults.id_token.header.set("jku", format!("{url}/keys"));
        })
        .await;
    assert_eq!(page.status, 200);
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_key_id_finds_no_key() {
    // AT-TP-06, ID-31
    let scene = Scene::start().await;
    scene.signs_in().await;
    scene.upstream.forget_seen();
    let fetched = scene.idp.seen_at(paths::KEY_SET).len();
    for kid in ["../../etc/passwd", "' OR 1=1 --", "a\u{0}b", "", "https://evil.example/keys"] {
        // The first has the set read; the next reading is not due yet.
        let is_first = scene.idp.seen_at(paths::KEY_SET).len() == fetched;
        let reason = if is_first { "id_token_key_unknown" } else { "id_token_key_unknown_yet" };
        scene
            .refuses_while(reason, |faults| {
                faults.id_token.header.set("kid", kid);
            })
            .await;
    }
    for kid in [json!(7), json!(null), json!(["a"])] {
        scene
            .refuses_while("jwt_malformed", |faults| {
                faults.id_token.header.set("kid", kid);
            })
            .await;
    }
    scene
        .refuses_while("jwt_too_large", |faults| {
            faults.id_token.header.set("kid", "k".repeat(600_000));
        })
        .await;
    let again = scene.idp.seen_at(paths::KEY_SET).len() - fetched;
    assert!(again <= 1, "the key set was read {again} times");

    // Another key's name: that key is tried, and does not fit.
    scene.idp.rotate_key();
    scene.gateway.clock.advance(std::time::Duration::from_secs(61));
    let old = scene.idp.key_set()["keys"][1]["kid"].as_str().unwrap().to_owned();
    scene
        .refuses_while("id_token_signature", |faults| {
            faults.id_token.header.set("kid", old);
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_jwt_is_refused_in_bounded_time() {
    // AT-TP-12, ID-01, ID-20, ID-21, ID-23, ID-24, ID-25
    let scene = Scene::start().await;
    let text = |text: &str| Signing::Text(text.to_owned());
    let payload = |text: String| Signing::Payload(text);
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let good = "eyJhbGciOiJFUzI1NiJ9";
    for (reason, signing) in [
        ("jwt_malformed", text("a.b")),
        ("jwt_malformed", text("a.b.c.d")),
        ("jwt_malformed", text(&format!("{good}.e30.AA=="))),
        ("jwt_malformed", text(&format!("{good}.e30 .AA"))),
        ("jwt_malformed", text(&format!(" {good}.e30.AA"))),
        ("jwt_malformed", text(&format!("{good}.e+/0.AA"))),
        ("jwt_malformed", text("..")),
        ("jwt_malformed", text("{}")),
        ("answer_id_token", text("é.é.é")),
        ("jwt_encrypted", text(&format!("{good}.a.b.c.d"))),
        ("jwt_too_large", text(&"x".repeat(800_000))),
        ("jwt_claims", payload("[]".to_owned())),
        ("jwt_claims", payload("not json".to_owned())),
        ("jwt_claims", payload("{\"sub\":\"a\",\"sub\":\"b\"}".to_owned())),
        ("jwt_claims", payload("{\"exp\":1e400}".to_owned())),
        ("jwt_claims", payload(deep)),
        ("id_token_iss_missing", payload("{}".to_owned())),
    ] {
        scene.refuses_while(reason, |faults| faults.id_token.signing = signing.clone()).await;
    }
    scene
        .refuses_while("jwt_crit", |faults| {
            faults.id_token.header.set("crit", json!(["exp"]));
        })
        .await;
    scene
        .refuses_while("jwt_crit", |faults| {
            faults.id_token.header.set("crit", json!(["b64"])).set("b64", false);
        })
        .await;
    // A string where the token response has something else.
    scene
        .refuses_while("answer_id_token", |faults| {
            faults.token.members.set("id_token", json!({"a": 1}));
        })
        .await;
    scene
        .refuses_while("id_token_missing", |faults| {
            faults.token.members.remove("id_token");
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_kind_is_no_id_token() {
    // AT-TP-30, ID-28
    let scene = Scene::start().await;
    for typ in ["at+jwt", "application/at+jwt", "logout+jwt", "dpop+jwt", "AT+JWT"] {
        scene
            .refuses_while("id_token_typ", |faults| {
                faults.id_token.header.set("typ", typ);
            })
            .await;
    }
    let events = json!({ "http://schemas.openid.net/event/backchannel-logout": {} });
    scene
        .refuses_while("id_token_typ", |faults| {
            faults.id_token.claims.set("events", events);
        })
        .await;

    // Nor is an ID or access token of ours, shown as a bearer token, a session.
    let scene = Scene::with("[route.app.identity]\nheaders = { X-Id = 'id_token', X-Access = 'access_token' }").await;
    scene.signs_in().await;
    let seen = scene.upstream.only_request();
    scene.upstream.forget_seen();
    for token in ["x-id", "x-access"].map(|name| seen.header(name).unwrap().to_owned()) {
        for cookie in [format!("vestibule={token}"), "other=1".to_owned()] {
            let ask = crate::harness::browser::Ask::script(&scene.gateway.url("/"));
            let ask = ask.with("authorization", &format!("Bearer {token}")).with("cookie", &cookie);
            assert_eq!(scene.gateway.browser().does(ask).await.status, 401);
        }
    }
    assert!(scene.upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_token_must_be_the_one_that_the_id_token_names() {
    // AT-TP-15, ID-17
    let scene = Scene::start().await;
    scene
        .refuses_while("id_token_at_hash", |faults| {
            faults.token.members.set("access_token", "swapped");
        })
        .await;
    scene
        .refuses_while("id_token_at_hash", |faults| {
            faults.id_token.claims.set("at_hash", "AAAA");
        })
        .await;
    scene
        .refuses_while("id_token_at_hash", |faults| {
            faults.id_token.claims.set("at_hash", 7);
        })
        .await;
    let (_, page) = scene
        .signs_in_while(|faults| {
            faults.id_token.claims.remove("at_hash");
        })
        .await;
    assert_eq!(page.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_of_the_sign_in_is_checked() {
    // ID-15, ID-16
    let scene = Scene::with("[provider.idp]\nacr_values = ['phr', 'phrh']\nmax_age = '5m'").await;
    scene.refuses_while("id_token_acr", |_| {}).await;
    scene
        .refuses_while("id_token_acr", |faults| {
            faults.id_token.claims.set("acr", "0");
        })
        .await;
    let acr = "phrh";
    scene
        .refuses_while("id_token_auth_time_missing", |faults| {
            faults.id_token.claims.set("acr", acr).remove("auth_time");
        })
        .await;
    scene
        .refuses_while("id_token_auth_time_old", |faults| {
            faults.id_token.claims.set("acr", acr).shift("auth_time", -361);
        })
        .await;
    let (_, page) = scene
        .signs_in_while(|faults| {
            faults.id_token.claims.set("acr", acr);
        })
        .await;
    assert_eq!(page.status, 200);
    let asked = scene.idp.seen_at(paths::AUTHORIZE).pop().unwrap();
    assert_eq!(
        (asked.query_field("acr_values"), asked.query_field("max_age")),
        (Some("phr phrh".into()), Some("300".into()))
    );
}
