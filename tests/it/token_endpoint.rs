//! What the token endpoint may answer, and what becomes of everything else.

use crate::harness::{Scene, has_session};
use std::time::Duration;

use crate::harness::idp::Breakage;
use crate::harness::idp::paths;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_no_token_response_signs_nobody_in() {
    // OA-16, OA-17, OA-18
    let scene = Scene::start().await;
    for (reason, name, value) in [
        ("answer_access_token", "access_token", json!(7)),
        ("answer_access_token", "access_token", json!("")),
        ("answer_access_token", "access_token", json!(null)),
        ("answer_access_token", "access_token", json!("a\r\nX-Evil: 1")),
        ("answer_token_type", "token_type", json!("MAC")),
        ("answer_token_type", "token_type", json!("DPoP")),
        ("answer_token_type", "token_type", json!(["Bearer"])),
        ("answer_token_type", "token_type", json!("")),
        ("answer_expires_in", "expires_in", json!(-1)),
        ("answer_expires_in", "expires_in", json!("soon")),
        ("answer_expires_in", "expires_in", json!([60])),
        ("answer_refresh_token", "refresh_token", json!(7)),
    ] {
        let asked = scene
            .refuses_while(reason, |faults| {
                faults.token.members.set(name, value.clone());
            })
            .await;
        assert_eq!(asked, 1);
    }
    for name in ["access_token", "token_type"] {
        scene
            .refuses_while(&format!("answer_{name}"), |faults| {
                faults.token.members.remove(name);
            })
            .await;
    }
    for (reason, breakage) in [
        ("answer_content_type", Breakage::Html),
        ("answer_content_type", Breakage::ContentType("text/plain".to_owned())),
        ("answer_json", json_answer(200, "[]")),
        ("answer_json", json_answer(200, "{\"access_token\":\"a\",\"access_token\":\"b\",\"token_type\":\"Bearer\"}")),
        ("answer_status", json_answer(201, "{}")),
        ("answer_status", json_answer(302, "{}")),
    ] {
        scene.refuses_while(reason, |faults| faults.token.break_with(breakage)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_answer_may_take_many_forms() {
    // OA-16, OA-17, OA-18, OA-19, OA-23
    let scene = Scene::start().await;
    for (name, value) in [
        ("token_type", json!("bEaReR")),
        ("expires_in", json!(0)),
        ("expires_in", json!(u64::MAX)),
        ("expires_in", json!(1e300)),
        ("expires_in", json!(59.5)),
        ("expires_in", json!("3600")),
        ("new_member", json!({ "deep": [1, null] })),
        ("error", json!(null)),
        ("scope", json!("openid")),
    ] {
        let (_, page) = scene
            .signs_in_while(|faults| {
                faults.token.members.set(name, value.clone());
            })
            .await;
        assert_eq!(page.status, 200, "{name} = {value}: {}", page.text());
    }
    for name in ["expires_in", "scope", "refresh_token"] {
        let (_, page) = scene
            .signs_in_while(|faults| {
                faults.token.members.remove(name);
            })
            .await;
        assert_eq!(page.status, 200, "without {name}: {}", page.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_expires_in_the_configured_life_counts() {
    // OA-18
    let scene = Scene::with("[provider.idp]\ndefault_expires_in = '10m'").await;
    let (browser, _) = scene
        .signs_in_while(|faults| {
            faults.token.members.remove("expires_in");
        })
        .await;
    scene.gateway.clock.advance(Duration::from_secs(500));
    assert_eq!(browser.asks(&scene.gateway.url("/")).await.status, 200);
    assert_eq!(scene.idp.token_requests("refresh_token").len(), 0);
    scene.gateway.clock.advance(Duration::from_secs(60));
    assert_eq!(browser.asks(&scene.gateway.url("/")).await.status, 200);
    assert_eq!(scene.idp.token_requests("refresh_token").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scope_that_comes_back_is_the_granted_one() {
    // OA-20
    let scene = Scene::start().await;
    let told = async |browser: &crate::harness::Browser| {
        let own = scene.gateway.own("session");
        browser.fetches(&scene.gateway.url("/"), &own).await.json()["scope"].clone()
    };
    let (browser, _) = scene
        .signs_in_while(|faults| {
            faults.token.members.set("scope", "openid email");
        })
        .await;
    assert_eq!(told(&browser).await, "openid email");
    let (browser, _) = scene
        .signs_in_while(|faults| {
            faults.token.members.remove("scope");
        })
        .await;
    assert_eq!(told(&browser).await, "openid profile email");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opaque_token_of_any_form_reaches_the_application_as_it_is() {
    // OA-23
    let scene = Scene::with("[route.app.identity]\nheaders = { X-Access = 'access_token' }").await;
    for token in ["~+/-._=".to_owned(), "a.b.c".to_owned(), "eyJ.eyJ.".to_owned(), "x".repeat(2000)] {
        scene.upstream.forget_seen();
        let (_, page) = scene
            .signs_in_while(|faults| {
                faults.token.members.set("access_token", token.clone());
                faults.id_token.claims.remove("at_hash");
            })
            .await;
        assert_eq!(page.status, 200, "{}", page.text());
        assert_eq!(scene.upstream.only_request().header("x-access"), Some(token.as_str()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_is_told_by_its_known_code_and_never_in_its_own_words() {
    // OA-21, IS-06, AT-TP-27: nor is anything tried again in another way
    let scene = Scene::start().await;
    let body = |error: &str| {
        json!({ "error": error, "error_description": "<b>internal</b> db-7", "error_uri": "https://evil.example" })
            .to_string()
    };
    for (error, status, reason) in [
        ("invalid_grant", 400, "invalid_grant"),
        ("invalid_client", 401, "VB-2004"),
        ("unauthorized_client", 401, "VB-2004"),
        ("invalid_request", 401, "VB-2004"),
        ("invalid_grant", 401, "invalid_grant"),
        ("invalid_request", 500, "provider_error_response"),
        ("invalid_request", 400, "provider_error_response"),
        ("unauthorized_client", 400, "provider_error_response"),
        ("invalid_target", 400, "provider_error_response"),
        ("use_dpop_nonce", 400, "provider_error_response"),
        ("<script>alert(1)</script>", 400, "provider_error_response"),
    ] {
        scene.upstream.forget_seen();
        scene.idp.forget_seen();
        let (browser, page) =
            scene.signs_in_while(|faults| faults.token.break_with(json_answer(status, &body(error)))).await;
        assert_eq!(page.status, 502, "{error}");
        scene.is_refused(&browser, &page, reason);
        // A code that is too old has a second round; nothing else is asked twice.
        assert_eq!(scene.idp.seen_at(paths::TOKEN).len(), if error == "invalid_grant" { 2 } else { 1 });
        for leak in ["db-7", "evil.example", "<script"] {
            assert!(!page.text().contains(leak), "{leak}: {}", page.text());
        }
    }
    for (status, text) in [(400, "not json"), (401, "<html>")] {
        let (browser, page) = scene.signs_in_while(|faults| faults.token.break_with(json_answer(status, text))).await;
        assert_eq!((page.status, has_session(&browser)), (502, false), "{status} {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_slow_or_away_is_an_outage_and_keeps_nobody_else_waiting() {
    // AT-TP-21
    let scene = Scene::with("[provider.idp]\ntimeout = '400ms'").await;
    let signed_in = scene.signs_in().await;
    scene.upstream.forget_seen();
    for (status, reason, breakage) in [
        (503, "provider_timeout", Breakage::Drip(Duration::from_millis(50))),
        (503, "provider_timeout", Breakage::Hang),
        (503, "provider_connection_broken", Breakage::Reset),
        (503, "provider_connection_broken", Breakage::Truncated),
        (503, "provider_server_error", Breakage::Status(503)),
        (503, "provider_server_error", Breakage::Status(429)),
        (503, "provider_answer_too_large", Breakage::Padded(2 << 20)),
    ] {
        let before = scene.idp.seen_at(paths::TOKEN).len();
        let (browser, page) = scene.signs_in_while(|faults| faults.token.break_with(breakage)).await;
        assert_eq!(page.status, status, "{reason}: {}", page.text());
        scene.is_refused(&browser, &page, reason);
        assert_eq!(status == 503, page.header("retry-after").is_some());
        assert_eq!(scene.idp.seen_at(paths::TOKEN).len(), before + 1, "a code is not sent twice");
    }
    // While one sign-in hangs, whoever is signed in is served.
    scene.idp.heal();
    scene.idp.break_with(|faults| faults.token.break_with(Breakage::Hang));
    let browser = scene.gateway.browser();
    let callback = scene.callback(&browser, "/").await;
    let before = scene.idp.seen_at(paths::TOKEN).len();
    let served = async {
        scene.idp.wait_for(paths::TOKEN, before + 1).await;
        signed_in.asks(&scene.gateway.url("/")).await.status
    };
    let (hung, served) = tokio::join!(browser.opens(callback.as_str()), served);
    assert_eq!((hung.status, served), (503, 200));
}

fn json_answer(status: u16, body: &str) -> Breakage {
    Breakage::Answer { status, content_type: "application/json".to_owned(), body: body.to_owned() }
}
