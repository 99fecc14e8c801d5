//! Callbacks with codes that nobody gave out: each address has a budget of them, and nobody pays for a stranger (AT-CL-17).

use std::time::Duration;

use crate::harness::idp::Breakage;
use crate::harness::process_log::{lines_with, listen};
use crate::harness::{Browser, Gateway, Page, Scene, has_session, param};
use crate::operation::{json_lines, logs_in};
use tempfile::TempDir;

/// As many as one address may have refused in a row, and one more in each of these spans.
const BUDGET: usize = 30;
const EACH: Duration = Duration::from_secs(2);

/// Where every client is behind a proxy that says who it is.
const BEHIND_A_PROXY: &str = "[server]\ntrusted_proxies = ['127.0.0.1/32']";

fn from(gateway: &Gateway, address: &str) -> Browser {
    gateway.browser().sending("x-forwarded-for", address)
}

/// The callback of a sign-in that this browser begins, with a code that nobody gave out.
async fn junk(scene: &Scene, browser: &Browser) -> String {
    let request = scene.sent_away(browser, "/page").await;
    let mut url: url::Url = scene.gateway.own("callback").parse().unwrap();
    let state = param(&request, "state");
    url.query_pairs_mut()
        .append_pair("code", "junk")
        .append_pair("state", &state)
        .append_pair("iss", scene.idp.issuer());
    url.into()
}

async fn sends_junk(scene: &Scene, address: &str) -> Page {
    let browser = from(&scene.gateway, address);
    let callback = junk(scene, &browser).await;
    let page = browser.asks(&callback).await;
    assert!(!has_session(&browser), "{:?}", browser.cookies());
    page
}

fn exchanges(scene: &Scene) -> usize {
    scene.idp.token_requests("authorization_code").len()
}

#[tokio::test(flavor = "multi_thread")]
async fn junk_callbacks_of_one_address_make_few_token_requests_and_lock_nobody_else_out() {
    // AT-CL-17
    listen();
    let folder = TempDir::new().unwrap();
    let scene = Scene::with(&format!("{BEHIND_A_PROXY}\n{}", logs_in(folder.path()))).await;
    // Somebody who is at the provider meanwhile, at home in the same network.
    let neighbour = from(&scene.gateway, "203.0.113.9");
    let callback = scene.callback(&neighbour, "/page").await;
    let mut last = None;
    for sent in 0..100 {
        let page = sends_junk(&scene, "203.0.113.9").await;
        assert_eq!(page.status, if sent < BUDGET { 303 } else { 429 }, "{sent}: {}", page.text());
        last = Some(page);
    }
    assert_eq!(exchanges(&scene), BUDGET);
    let page = last.unwrap();
    assert_eq!(page.header("retry-after"), Some("2"));
    assert!(page.text().contains("VB-1029") && page.text().contains("too_many_refused"), "{}", page.text());
    let warnings = lines_with(&["WARN", "too_many_refused", "203.0.113.9", "invalid_grant"]);
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    let metrics = scene.gateway.admin_text("/metrics").await;
    let counted = r#"vestibule_logins_completed_total{provider="idp",outcome="failure",reason="too_many_refused"} 70"#;
    assert!(metrics.lines().any(|line| line == counted), "{metrics}");

    // Other addresses have budgets of their own, and so has the next network of IPv6.
    for address in ["203.0.113.10", "2001:db8:0:1::1", "2001:db8:0:2::1"] {
        let browser = from(&scene.gateway, address);
        assert_eq!(browser.signs_in(&scene.gateway.url("/page"), "Ada").await.status, 200, "{address}");
    }
    // The neighbour's code is as good as before: the same address, a moment later.
    let before = exchanges(&scene);
    assert_eq!(neighbour.asks(callback.as_str()).await.status, 429);
    assert_eq!(exchanges(&scene), before, "nothing was sent");
    scene.gateway.clock.advance(EACH);
    assert_eq!(neighbour.opens(callback.as_str()).await.status, 200);
    assert!(has_session(&neighbour));

    scene.gateway.stop().await;
    let audit = json_lines(&folder.path().join("audit"));
    let refused = audit.iter().filter(|line| line["reason"] == "too_many_refused");
    assert_eq!(refused.filter(|line| line["client"] == "203.0.113.9").count(), 71);
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_sign_ins_that_succeed_nor_reloads_nor_outages_take_from_the_budget() {
    let scene = Scene::with(BEHIND_A_PROXY).await;
    let address = "198.51.100.1";
    // One refused callback, again and again: sent once.
    let browser = from(&scene.gateway, address);
    let callback = junk(&scene, &browser).await;
    for _ in 0..2 * BUDGET {
        assert_ne!(browser.asks(&callback).await.status, 429);
    }
    assert_eq!(exchanges(&scene), 1);
    // Everybody in a company.
    for _ in 0..2 * BUDGET {
        let browser = from(&scene.gateway, address);
        assert_eq!(browser.signs_in(&scene.gateway.url("/page"), "Ada").await.status, 200);
    }
    // The provider is away.
    scene.idp.break_with(|faults| faults.token.break_with(Breakage::Status(503)));
    for _ in 0..2 * BUDGET {
        assert_eq!(sends_junk(&scene, address).await.status, 503);
    }
    // It lets people in, and we take none of its tokens: that is the set-up, and no junk.
    scene.idp.heal();
    scene.idp.break_with(|faults| {
        faults.id_token.claims.set("aud", "another");
    });
    for _ in 0..2 * BUDGET {
        let browser = from(&scene.gateway, address);
        assert_eq!(browser.signs_in(&scene.gateway.url("/page"), "Ada").await.status, 502);
    }
    scene.idp.heal();
    for sent in 1..=BUDGET {
        assert_eq!(sends_junk(&scene, address).await.status, if sent < BUDGET { 303 } else { 429 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bare_500_is_junk_where_others_are_served_and_an_outage_otherwise() {
    let scene = Scene::with(BEHIND_A_PROXY).await;
    let internal = |scene: &Scene| scene.idp.break_with(|faults| faults.token.break_with(Breakage::Status(500)));
    internal(&scene);
    for _ in 0..2 * BUDGET {
        assert_eq!(sends_junk(&scene, "192.0.2.1").await.status, 503);
    }
    scene.idp.heal();
    assert_eq!(from(&scene.gateway, "192.0.2.2").signs_in(&scene.gateway.url("/"), "Ada").await.status, 200);
    internal(&scene);
    for sent in 0..=BUDGET {
        assert_eq!(sends_junk(&scene, "192.0.2.1").await.status, if sent < BUDGET { 503 } else { 429 }, "{sent}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_behind_a_proxy_that_nobody_trusts_share_no_budget() {
    // TLS ends somewhere in front, and nothing says who came there.
    let scene = Scene::built(|gateway| gateway.at_https("wiki.example.com")).await;
    for _ in 0..2 * BUDGET {
        assert_eq!(sends_junk(&scene, "203.0.113.9").await.status, 303);
    }
    let browser = scene.gateway.browser();
    assert_eq!(browser.signs_in(&scene.gateway.url("/page"), "Ada").await.status, 200);
}
