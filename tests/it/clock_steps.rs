//! A wall clock that is set forward or back: nothing stands still, nobody is signed out for it, and nothing lives longer for it.

use std::time::Duration;

use crate::harness::idp::paths;
use vestibule::clock::{Clock as _, UnixTime};

use crate::harness::{Gateway, Scene, TestIdp};

const HOUR: i64 = 3600;

/// Sets the clock of the gateway, which is also the provider's.
fn step(gateway: &Gateway, seconds: i64) {
    let now = gateway.clock.now().secs();
    gateway.clock.step_to(UnixTime::from_secs(now.saturating_add_signed(seconds)));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_signed_in_stays_so_and_is_renewed_at_once_when_the_clock_is_set_back() {
    // CK-17, RF-06
    let scene = Scene::signed_in().await;
    step(&scene.gateway, -HOUR);
    assert_eq!(scene.asks("/").await.status, 200);
    // How old the tokens are nobody can tell any more: they are renewed, once.
    assert_eq!(scene.refreshes(), 1);
    assert_eq!(scene.asks("/again").await.status, 200);
    assert_eq!(scene.asks("/settled").await.headers.get("set-cookie"), None);
    assert_eq!(scene.refreshes(), 1);
    scene.later(61);
    assert_eq!(scene.asks("/later").await.status, 200);
    assert_eq!((scene.refreshes(), scene.idp.refresh_reuses()), (2, 0));
    assert_eq!(scene.upstream.seen().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_back_gives_no_session_a_longer_life() {
    // CK-11, CK-17, AT-CS-21
    let idp = TestIdp::start().await;
    idp.configure(|settings| settings.access_life = Some(Duration::from_secs(86_400)));
    let limits = "[session]\nlifetime = '1h'\nidle_timeout = '10m'\nkeep = ['access']";
    let scene = Scene::signed_in_at(idp, |builder| builder.with(limits)).await;
    let copy = scene.cookie();
    scene.later(300);
    step(&scene.gateway, -HOUR);
    scene.later(299);
    let cookies = format!("vestibule={copy}");
    assert_eq!(scene.sends_cookies(&cookies).await.status, 200);
    scene.upstream.forget_seen();
    scene.later(1);
    // Idle for ten minutes, whatever the clock shows.
    assert_eq!(scene.sends_cookies(&cookies).await.status, 302);
    assert!(scene.upstream.seen().is_empty());
    assert_eq!(scene.refreshes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_under_way_ends_whichever_way_the_clock_is_set() {
    // OA-03
    for seconds in [-HOUR, -86_400 * 30, 600] {
        let scene = Scene::signed_in().await;
        let browser = scene.gateway.browser();
        let there = browser.asks(&scene.gateway.url("/late")).await.location();
        step(&scene.gateway, seconds);
        let page = browser.signs_in(there.as_str(), "Ada").await;
        assert_eq!((page.status, page.url.path()), (200, "/late"), "{seconds} s: {}", page.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_sealed_ahead_of_time_opens_nowhere_until_the_clocks_agree() {
    // AT-CS-21, CK-11
    let scene = Scene::signed_in_with("[session]\nlifetime = '90d'\nidle_timeout = '60d'").await;
    let theirs = format!("vestibule={}", scene.cookie());
    let gateway = Gateway::in_front_of(&scene.upstream).signing_in_at(&scene.idp);
    let other = gateway.with("[session]\nlifetime = '90d'\nidle_timeout = '60d'").start().await;
    let sends = async || {
        let request = scene.navigation("/", &theirs).replace(scene.gateway.authority(), other.authority());
        crate::harness::Raw::once(other.address, request).await
    };
    let start = scene.gateway.clock.now();
    // Within `clock_leeway` the machines' clocks may differ.
    for (ahead, status) in [(59, 200), (61, 302), (30 * 86_400, 302)] {
        step(&other, -ahead);
        scene.upstream.forget_seen();
        scene.idp.forget_seen();
        let answer = sends().await;
        assert_eq!(answer.status, status, "sealed {ahead} s ahead: {}", answer.head);
        assert_eq!(scene.upstream.seen().len(), usize::from(status == 200), "{ahead} s");
        assert!(scene.idp.seen_at(paths::TOKEN).is_empty(), "{ahead} s");
        other.clock.step_to(start);
    }
    // It was in memory there meanwhile, which changes nothing.
    assert_eq!(sends().await.status, 200);
    step(&other, -30 * 86_400);
    scene.upstream.forget_seen();
    assert_eq!(sends().await.status, 302);
    assert!(scene.upstream.seen().is_empty());
    assert!(other.admin_text("/metrics").await.contains("reason=\"sealed_ahead\""));
    // Who sealed it knows it again.
    assert_eq!(scene.sends_cookies(&theirs).await.status, 200);
}
