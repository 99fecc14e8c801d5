//! A wall clock that is set forward or back: nothing stands still, nobody is signed out for it, and nothing lives longer for it.

use std::time::Duration;

use vestibule::clock::{Clock as _, UnixTime};
use vestibule::demo::idp::paths;

use crate::harness::{Gateway, House, TestIdp};

const HOUR: i64 = 3600;

/// Sets the clock of the gateway, which is also the provider's.
fn step(gateway: &Gateway, seconds: i64) {
    let now = gateway.clock.now().secs();
    gateway.clock.step_to(UnixTime::from_secs(now.saturating_add_signed(seconds)));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_signed_in_stays_so_and_is_renewed_at_once_when_the_clock_is_set_back() {
    // CK-17, RF-06
    let house = House::signed_in().await;
    step(&house.gateway, -HOUR);
    assert_eq!(house.asks("/").await.status, 200);
    // How old the tokens are nobody can tell any more: they are renewed, once.
    assert_eq!(house.refreshes(), 1);
    assert_eq!(house.asks("/again").await.status, 200);
    assert_eq!(house.asks("/settled").await.headers.get("set-cookie"), None);
    assert_eq!(house.refreshes(), 1);
    house.later(61);
    assert_eq!(house.asks("/later").await.status, 200);
    assert_eq!((house.refreshes(), house.idp.refresh_reuses()), (2, 0));
    assert_eq!(house.upstream.seen().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_set_back_gives_no_session_a_longer_life() {
    // CK-11, CK-17, AT-CS-21
    let idp = TestIdp::start().await;
    idp.configure(|settings| settings.access_life = Some(Duration::from_secs(86_400)));
    let limits = "[session]\nlifetime = '1h'\nidle_timeout = '10m'\nkeep = ['access']";
    let house = House::built(idp, |builder| builder.with(limits)).await;
    let copy = house.cookie();
    house.later(300);
    step(&house.gateway, -HOUR);
    house.later(299);
    let cookies = format!("vestibule={copy}");
    assert_eq!(house.sends_cookies(&cookies).await.status, 200);
    house.upstream.forget_seen();
    house.later(1);
    // Idle for ten minutes, whatever the clock shows.
    assert_eq!(house.sends_cookies(&cookies).await.status, 302);
    assert!(house.upstream.seen().is_empty());
    assert_eq!(house.refreshes(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_under_way_ends_whichever_way_the_clock_is_set() {
    // OA-03
    for seconds in [-HOUR, -86_400 * 30, 600] {
        let house = House::signed_in().await;
        let browser = house.gateway.browser();
        let there = browser.asks(&house.gateway.url("/late")).await.location();
        step(&house.gateway, seconds);
        let page = browser.signs_in(there.as_str(), "Ada").await;
        assert_eq!((page.status, page.url.path()), (200, "/late"), "{seconds} s: {}", page.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_sealed_ahead_of_time_opens_nowhere_until_the_clocks_agree() {
    // AT-CS-21, CK-11
    let house = House::with("[session]\nlifetime = '90d'\nidle_timeout = '60d'").await;
    let theirs = format!("vestibule={}", house.cookie());
    let gateway = Gateway::in_front_of(&house.upstream).signing_in_at(&house.idp);
    let other = gateway.with("[session]\nlifetime = '90d'\nidle_timeout = '60d'").start().await;
    let sends = async || {
        let request = house.navigation("/", &theirs).replace(house.gateway.authority(), other.authority());
        crate::harness::Raw::once(other.address, request).await
    };
    let start = house.gateway.clock.now();
    // Within `clock_leeway` the machines' clocks may differ.
    for (ahead, status) in [(59, 200), (61, 302), (30 * 86_400, 302)] {
        step(&other, -ahead);
        house.upstream.forget_seen();
        house.idp.forget_seen();
        let answer = sends().await;
        assert_eq!(answer.status, status, "sealed {ahead} s ahead: {}", answer.head);
        assert_eq!(house.upstream.seen().len(), usize::from(status == 200), "{ahead} s");
        assert!(house.idp.seen_at(paths::TOKEN).is_empty(), "{ahead} s");
        other.clock.step_to(start);
    }
    // It was in memory there meanwhile, which changes nothing.
    assert_eq!(sends().await.status, 200);
    step(&other, -30 * 86_400);
    house.upstream.forget_seen();
    assert_eq!(sends().await.status, 302);
    assert!(house.upstream.seen().is_empty());
    assert!(other.admin_text("/metrics").await.contains("reason=\"sealed_ahead\""));
    // Who sealed it knows it again.
    assert_eq!(house.sends_cookies(&theirs).await.status, 200);
}
