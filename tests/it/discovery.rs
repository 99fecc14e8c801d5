//! Discovery: a provider that describes itself wrongly, points elsewhere, or is away.

use crate::harness::{Scene, param};
use std::time::Duration;

use crate::harness::idp::Breakage;
use crate::harness::idp::paths;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_points_elsewhere_sends_nobody_anywhere() {
    // AT-TP-20, DI-02, DI-06
    let scene = Scene::start().await;
    let issuer = scene.idp.issuer().to_owned();
    let mismatch = "discovery_issuer_mismatch";
    let refused = "discovery_endpoint_refused";
    let missing = "discovery_member_missing";
    for (reason, name, value) in [
        (mismatch, "issuer", json!(format!("{issuer}/"))),
        (mismatch, "issuer", json!("https://evil.example")),
        (mismatch, "issuer", json!(null)),
        (refused, "token_endpoint", json!("http://evil.example/token")),
        (refused, "token_endpoint", json!("file:///etc/passwd")),
        (refused, "token_endpoint", json!("https://user:pass@evil.example/token")),
        (refused, "authorization_endpoint", json!("javascript:alert(1)")),
        (refused, "authorization_endpoint", json!("http://evil.example/authorize")),
        (refused, "authorization_endpoint", json!("https://evil.example/authorize#x")),
        (refused, "jwks_uri", json!("http://169.254.169.254/latest")),
        (refused, "jwks_uri", json!("gopher://127.0.0.1/")),
        (refused, "userinfo_endpoint", json!("http://10.0.0.1/userinfo")),
        (refused, "end_session_endpoint", json!("ftp://evil.example/")),
        (refused, "token_endpoint", json!("not a url")),
    ] {
        let browser = scene.gateway.browser();
        scene.idp.heal();
        scene.idp.break_with(|faults| {
            faults.discovery.members.set(name, value.clone());
        });
        let page = browser.opens(&scene.gateway.url("/")).await;
        assert_eq!(page.status, 502, "{name} {value}");
        scene.is_refused(&browser, &page, reason);
        assert!(!page.text().contains("evil") && page.header("location").is_none(), "{}", page.text());
        scene.gateway.clock.advance(Duration::from_secs(31));
    }
    for name in ["authorization_endpoint", "token_endpoint", "jwks_uri"] {
        let browser = scene.gateway.browser();
        scene.idp.heal();
        scene.idp.break_with(|faults| {
            faults.discovery.members.remove(name);
        });
        let page = browser.opens(&scene.gateway.url("/")).await;
        scene.is_refused(&browser, &page, missing);
        scene.gateway.clock.advance(Duration::from_secs(31));
    }
    assert!(scene.token_endpoint_is_untouched() && scene.idp.seen_at(paths::KEY_SET).is_empty());
    scene.idp.heal();
    scene.signs_in().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_no_document_is_refused_within_bounds() {
    // DI-05, AT-TP-21
    let scene = Scene::with("[provider.idp]\ntimeout = '400ms'").await;
    let answer =
        |status, body: &str| Breakage::Answer { status, content_type: "application/json".into(), body: body.into() };
    for (status, reason, breakage) in [
        (502, "discovery_not_json", Breakage::Html),
        (502, "discovery_not_json", answer(200, "[]")),
        (502, "discovery_not_json", answer(200, "{\"issuer\":")),
        (502, "discovery_status", Breakage::Status(403)),
        (502, "discovery_status", answer(302, "{}")),
        (502, "discovery_status", answer(201, "{}")),
        (503, "provider_answer_too_large", Breakage::Padded(2 << 20)),
        (503, "provider_server_error", Breakage::Status(502)),
        (503, "provider_connection_broken", Breakage::Reset),
        (503, "provider_connection_broken", Breakage::Truncated),
        (503, "provider_timeout", Breakage::Hang),
        (503, "provider_timeout", Breakage::Drip(Duration::from_millis(50))),
    ] {
        let browser = scene.gateway.browser();
        scene.idp.heal();
        scene.idp.break_with(|faults| faults.discovery.break_with(breakage));
        let page = browser.opens(&scene.gateway.url("/")).await;
        assert_eq!(page.status, status, "{reason}: {}", page.text());
        scene.is_refused(&browser, &page, reason);
        assert!(browser.cookies().is_empty(), "a sign-in that could not begin leaves nothing");
        assert_eq!(status == 503, page.header("retry-after").is_some());
        // Nor is it told otherwise while the provider is not asked again.
        let page = browser.opens(&scene.gateway.url("/")).await;
        assert_eq!((page.status, page.header("retry-after").is_some()), (status, status == 503), "{reason}");
        scene.gateway.clock.advance(Duration::from_secs(31));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_is_read_where_the_issuer_says_once_an_hour_and_changes_are_followed() {
    // DI-01, DI-08
    let scene = Scene::start().await;
    scene.signs_in().await;
    let first = scene.idp.seen().into_iter().next().unwrap();
    assert_eq!((first.method.as_str(), first.path.as_str(), first.query.as_str()), ("GET", paths::DISCOVERY, ""));
    for _ in 0..3 {
        scene.signs_in().await;
    }
    assert_eq!(scene.idp.seen_at(paths::DISCOVERY).len(), 1);

    // A sign-in that began before the change ends properly.
    let browser = scene.gateway.browser();
    let callback = scene.callback(&browser, "/old").await;
    let endpoint = format!("{}?v=2", scene.idp.url(paths::AUTHORIZE));
    scene.idp.break_with(|faults| {
        faults.discovery.members.set("authorization_endpoint", endpoint);
    });
    scene.gateway.clock.advance(Duration::from_secs(9 * 60));
    assert_eq!(param(&scene.sent_away(&scene.gateway.browser(), "/").await, "v"), "");
    scene.gateway.clock.advance(Duration::from_secs(55 * 60));
    assert_eq!(param(&scene.sent_away(&scene.gateway.browser(), "/").await, "v"), "2");
    let page = browser.asks(callback.as_str()).await;
    assert_eq!(param(&page.location(), "v"), "2", "its time is over, and it begins anew");
    assert_eq!(scene.idp.seen_at(paths::DISCOVERY).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_visitors_at_once_cost_one_question() {
    // DI-07
    let scene = Scene::start().await;
    let browsers: Vec<_> = (0..20).map(|_| scene.gateway.browser()).collect();
    let url = scene.gateway.url("/");
    let pages = futures_util::future::join_all(browsers.iter().map(|browser| browser.asks(&url))).await;
    assert!(pages.iter().all(|page| page.status == 302));
    assert_eq!(scene.idp.seen_at(paths::DISCOVERY).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_demands_what_is_not_done_here_gets_nobody_and_a_page_names_it() {
    let scene = Scene::start().await;
    for (member, reason, words) in [
        ("require_pushed_authorization_requests", "pushed_requests_required", "pushed authorization requests (PAR)"),
        ("require_signed_request_object", "signed_requests_required", "signed authorization requests (JAR)"),
    ] {
        let browser = scene.gateway.browser();
        scene.idp.heal();
        scene.idp.break_with(|faults| {
            faults.discovery.members.set(member, json!(true));
        });
        let page = browser.opens(&scene.gateway.url("/")).await;
        assert_eq!(page.status, 502, "{member}");
        scene.is_refused(&browser, &page, reason);
        assert!(page.text().contains(words) && page.header("location").is_none(), "{}", page.text());
        // The document is read again after an hour.
        scene.gateway.clock.advance(Duration::from_secs(3601));
    }
    assert!(scene.token_endpoint_is_untouched());
    // Offered is not demanded.
    scene.idp.heal();
    scene.idp.break_with(|faults| {
        let endpoint = json!("http://127.0.0.1:9/par");
        faults.discovery.members.set("pushed_authorization_request_endpoint", endpoint);
        faults.discovery.members.set("require_pushed_authorization_requests", json!(false));
    });
    scene.signs_in().await;
}
