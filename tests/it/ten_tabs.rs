//! A sign-in that was started ends: many tabs, the back button, blocked cookies, a provider that is away, a gateway that was replaced.

use std::time::Duration;

use crate::harness::idp::Breakage;
use crate::harness::idp::paths;
use futures_util::future::join_all;

use crate::harness::browser::Ask;
use crate::harness::{Browser, Gateway, RecordingUpstream, Scene, TestIdp, has_session, param};

#[tokio::test(flavor = "multi_thread")]
async fn ten_tabs_at_once_all_end_on_their_own_page() {
    // AT-LF-19, CK-05
    let scene = Scene::start().await;
    let browser = scene.gateway.browser();
    let urls: Vec<String> = (0..10).map(|n| scene.gateway.url(&format!("/tab/{n}?q=%2F"))).collect();
    let tabs = join_all(urls.iter().map(|url| browser.opens(url))).await;
    assert!(tabs.iter().all(|page| page.is_choosing()));
    let pages = join_all(tabs.iter().map(|tab| browser.picks(tab, "Ada"))).await;
    for (page, url) in pages.iter().zip(&urls) {
        assert_eq!((page.status, page.url.as_str()), (200, url.as_str()), "{}", page.text());
    }
    let mut seen: Vec<String> = scene.upstream.seen().into_iter().map(|seen| seen.target).collect();
    seen.sort();
    assert_eq!(seen, (0..10).map(|n| format!("/tab/{n}?q=%2F")).collect::<Vec<_>>());
    assert!(scene.idp.token_requests("authorization_code").len() <= 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn tabs_that_were_opened_one_after_the_other_end_on_their_own_page_too() {
    // AT-LF-19: only the eight newest attempts have cookies; the others go by what their state says.
    let scene = Scene::start().await;
    let browser = scene.gateway.browser();
    let mut tabs = Vec::new();
    for n in 0..60 {
        tabs.push(browser.opens(&scene.gateway.url(&format!("/tab/{n}"))).await);
        let attempts: Vec<_> = browser.cookies().into_iter().filter(|cookie| cookie.name.contains(".login.")).collect();
        assert_eq!(attempts.len(), 8.min(n + 1), "{n}: {attempts:?}");
        assert!(attempts.iter().map(|cookie| cookie.name.len() + cookie.value.len()).sum::<usize>() <= 8192);
        // Within one second or not.
        scene.gateway.clock.advance(Duration::from_millis(if n < 30 { 10 } else { 1000 }));
    }
    // The newest first: it begins the session that those without a cookie then find.
    for (n, tab) in tabs.iter().enumerate().rev() {
        let page = browser.picks(tab, "Ada").await;
        assert_eq!((page.status, page.url.path()), (200, format!("/tab/{n}").as_str()), "{}", page.text());
    }
    assert_eq!(scene.idp.token_requests("authorization_code").len(), 8, "each attempt ends by its own code");
    assert_eq!(scene.upstream.seen().len(), 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tab_whose_attempt_made_room_for_others_is_told_so() {
    // CK-09, AT-LF-01
    let scene = Scene::start().await;
    let browser = scene.gateway.browser();
    let first = scene.callback(&browser, "/first").await;
    for n in 0..30 {
        scene.sent_away(&browser, &format!("/tab/{n}")).await;
    }
    let page = browser.opens(first.as_str()).await;
    scene.is_refused(&browser, &page, "VB-1025");
    // It is another thing to come back in another browser, whatever that one has begun.
    let other = scene.gateway.browser();
    for _ in 0..2 {
        let page = other.opens(first.as_str()).await;
        scene.is_refused(&other, &page, "VB-1005");
        scene.sent_away(&other, "/own").await;
    }
    assert!(scene.token_endpoint_is_untouched());
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_tabs_at_once_all_end() {
    // AT-LF-19
    let scene = Scene::start().await;
    let browser = scene.gateway.browser();
    let urls: Vec<String> = (0..60).map(|n| scene.gateway.url(&format!("/tab/{n}"))).collect();
    let tabs = join_all(urls.iter().map(|url| browser.opens(url))).await;
    // Opened in the same moment, none of them knew of the others' cookies.
    let first = browser.picks(&tabs[59], "Ada").await;
    assert_eq!((first.status, first.url.as_str()), (200, urls[59].as_str()));
    let pages = join_all(tabs.iter().take(59).map(|tab| browser.picks(tab, "Ada"))).await;
    for (page, url) in pages.iter().zip(&urls) {
        assert_eq!((page.status, page.url.as_str()), (200, url.as_str()), "{}", page.text());
    }
    assert!(!browser.cookies().iter().any(|cookie| cookie.name.contains(".login.")), "{:?}", browser.cookies());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_back_button_leads_forward_again() {
    let scene = Scene::start().await;
    let browser = scene.gateway.browser();
    let landed = browser.signs_in(&scene.gateway.url("/wiki"), "Ada").await;
    // Back over the callback, the provider's page, and the page itself.
    for hop in landed.hops.iter().rev().filter(|hop| !hop.url.path().ends_with("choose")) {
        let page = browser.opens(hop.url.as_str()).await;
        assert_eq!((page.status, page.url.path()), (200, "/wiki"), "{}", hop.url);
    }
    let asked = scene.idp.seen_at(paths::AUTHORIZE)[0].query.clone();
    let page = browser.opens(&format!("{}?{asked}", scene.idp.url(paths::AUTHORIZE))).await;
    assert_eq!((page.status, page.url.path()), (200, "/wiki"), "an old authorization request, answered anew");
    assert_eq!(scene.idp.token_requests("authorization_code").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_page_that_was_left_open_too_long_still_leads_home() {
    // OA-03, OA-07: the attempt is over, but another tab has signed in meanwhile.
    let scene = Scene::start().await;
    let browser = scene.gateway.browser();
    let slow = browser.opens(&scene.gateway.url("/slow")).await;
    scene.gateway.clock.advance(Duration::from_secs(3600));
    let stranger = browser.copied();
    browser.signs_in(&scene.gateway.url("/quick"), "Ada").await;
    let page = browser.picks(&slow, "Ada").await;
    assert_eq!((page.status, page.url.path()), (200, "/slow"));
    assert_eq!(scene.idp.token_requests("authorization_code").len(), 1);
    // Without such a tab: a second round, in which the provider need not ask again.
    let page = stranger.picks(&slow, "Ada").await;
    assert_eq!((page.status, page.url.path()), (200, "/slow"), "{}", page.text());
    assert_eq!(scene.idp.token_requests("authorization_code").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_keeps_no_cookies_is_told_so() {
    // AT-LF-20
    let scene = Scene::start().await;
    let browser = scene.gateway.browser().refusing_cookies();
    let page = browser.opens(&scene.gateway.url("/wiki")).await;
    let page = browser.picks(&page, "Ada").await;
    assert_eq!(page.status, 400);
    assert!(page.text().contains("VB-1005") && scene.upstream.seen().is_empty(), "{}", page.text());
    assert!(scene.token_endpoint_is_untouched());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_cookie_that_never_comes_back_does_not_go_round_for_ever() {
    // AT-LF-20
    let scene = Scene::start().await;
    let browser = scene.gateway.browser();
    browser.signs_in(&scene.gateway.url("/wiki"), "Ada").await;
    let mut url = scene.gateway.url("/wiki");
    let mut requests = 0;
    let last = loop {
        block_session(&scene, &browser);
        let page = browser.does(Ask::navigation(&url).without_following()).await;
        requests += 1;
        assert!(requests < 20, "a loop over {url}");
        if !(300..400).contains(&page.status) {
            break page;
        }
        url = page.location().into();
    };
    assert_eq!(last.status, 400, "{}", last.text());
    assert!(last.text().contains("VB-1006"), "{}", last.text());
    assert!(!browser.cookies().iter().any(|cookie| cookie.name.contains("rounds")), "{:?}", browser.cookies());
    assert!(scene.idp.token_requests("authorization_code").len() <= 4);
    assert_eq!(scene.upstream.seen().len(), 1, "only the sign-in before");
    // Whoever allows cookies now may try again at once.
    assert_eq!(browser.signs_in(&scene.gateway.url("/wiki"), "Ada").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_locked_out_by_a_count_that_was_planted() {
    // AT-LF-20
    let scene = Scene::start().await;
    let looping = scene.gateway.browser();
    for _ in 0..3 {
        looping.signs_in(&scene.gateway.url("/wiki"), "Ada").await;
        block_session(&scene, &looping);
    }
    let genuine = looping.cookie(&scene.gateway.url("/"), "vestibule.rounds").unwrap();
    let state = scene.sent_away(&scene.gateway.browser(), "/wiki").await;
    for (planted, blocked) in [
        ("3".to_owned(), false),
        ("99".to_owned(), false),
        (param(&state, "state")[12..].to_owned(), false),
        // Somebody's own count stops one sign-in, and the page takes it away.
        (genuine, true),
    ] {
        let browser = scene.gateway.browser();
        browser.plants(&scene.gateway.url("/"), &format!("vestibule.rounds={planted}; Path=/"));
        if blocked {
            assert!(browser.opens(&scene.gateway.url("/wiki")).await.text().contains("VB-1006"));
        }
        assert_eq!(browser.signs_in(&scene.gateway.url("/wiki"), "Ada").await.status, 200, "{planted}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_again_and_again_is_no_loop() {
    // The breaker of AT-LF-20 does not hit whoever signs out in between.
    let scene = Scene::start().await;
    let browser = scene.gateway.browser();
    let own: url::Url = scene.gateway.url("/").parse().unwrap();
    for n in 0..6 {
        let page = browser.signs_in(&scene.gateway.url("/wiki"), "Ada").await;
        assert_eq!((page.status, page.url.path()), (200, "/wiki"), "{n}: {}", page.text());
        browser.does(Ask::form(&scene.gateway.own("logout"), &[]).from(&own)).await;
        assert!(!has_session(&browser));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_provider_is_away_sessions_go_on_and_new_sign_ins_wait() {
    // DI-07: a gateway that starts while its provider is away
    let (idp, upstream) = (TestIdp::start().await, RecordingUpstream::start().await);
    let builder = Gateway::in_front_of(&upstream).signing_in_at(&idp);
    let before = builder.clone().start().await;
    let browser = before.browser();
    browser.signs_in(&before.url("/"), "Ada").await;
    before.stop().await;
    upstream.forget_seen();

    idp.break_with(|faults| {
        faults.discovery.break_with(Breakage::Status(503));
        faults.discovery.headers.push(("Retry-After".to_owned(), "17".to_owned()));
    });
    idp.forget_seen();
    let gateway = builder.start().await;
    // Cookies know no ports: the session of the gateway before is one of this.
    assert_eq!(browser.asks(&gateway.url("/wiki")).await.status, 200);
    assert_eq!(upstream.only_request().header("x-forwarded-preferred-username"), Some("ada"));
    assert!(idp.seen().is_empty());

    let newcomer = gateway.browser();
    let page = newcomer.opens(&gateway.url("/wiki")).await;
    assert_eq!((page.status, page.header("retry-after")), (503, Some("17")));
    assert!(page.text().contains("VB-2001") && newcomer.cookies().is_empty(), "{}", page.text());
    let script = newcomer.fetches(&gateway.url("/"), &gateway.url("/api")).await;
    assert_eq!(script.status, 401, "what is no navigation never asks the provider");
    // Nobody knocks again before it is time.
    for _ in 0..5 {
        assert_eq!(newcomer.opens(&gateway.url("/wiki")).await.status, 503);
    }
    assert_eq!(idp.seen_at(paths::DISCOVERY).len(), 1);
    idp.heal();
    gateway.clock.advance(Duration::from_secs(17));
    let page = newcomer.signs_in(&gateway.url("/wiki"), "Grace").await;
    assert_eq!((page.status, page.url.path()), (200, "/wiki"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_survives_a_gateway_that_is_replaced() {
    // Promise 2: a sign-in that was started ends.
    let (idp, upstream) = (TestIdp::start().await, RecordingUpstream::start().await);
    let builder = Gateway::in_front_of(&upstream).signing_in_at(&idp).at_https("wiki.example.com");
    let before = builder.clone().start().await;
    let tab = before.browser().opens(&before.url("/wiki")).await;
    assert!(tab.is_choosing());

    let browser = before.browser();
    let tab = browser.opens(&before.url("/wiki")).await;
    before.stop().await;
    let after = builder.start().await;
    let browser = browser.resolving("https://wiki.example.com", after.address);
    let page = browser.picks(&tab, "Ada").await;
    assert_eq!((page.status, page.url.path()), (200, "/wiki"), "{}", page.text());
    assert!(browser.cookie("https://wiki.example.com/", "__Host-vestibule").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn switching_accounts_while_the_provider_is_away_signs_out_all_the_same() {
    // LO-01, AT-LG-13: first here, whatever becomes of the rest; a gateway that has just started knows no endpoints yet
    let (idp, upstream) = (TestIdp::start().await, RecordingUpstream::start().await);
    let builder = Gateway::in_front_of(&upstream)
        .signing_in_at(&idp)
        .with("[route.app.paths]\n'/admin' = { allow.groups = ['nobody'] }");
    let before = builder.clone().start().await;
    let browser = before.browser();
    browser.signs_in(&before.url("/"), "Ada").await;
    before.stop().await;
    idp.break_with(|faults| faults.discovery.break_with(Breakage::Status(503)));
    let gateway = builder.start().await;
    let stolen = browser.copied();
    let denied = browser.opens(&gateway.url("/admin")).await;
    assert_eq!(denied.status, 403);
    let page = browser.submits(&denied, "logout", &[]).await;
    assert_eq!((page.status, page.header("retry-after").is_some()), (503, true), "{}", page.text());
    assert!(!has_session(&browser), "{:?}", browser.cookies());
    assert_eq!(stolen.asks(&gateway.url("/")).await.status, 503, "the old cookie opens nothing");
    assert_eq!(upstream.seen().len(), 1);
}

fn block_session(scene: &Scene, browser: &Browser) {
    browser.plants(&scene.gateway.url("/"), "vestibule=; Max-Age=0; Path=/");
}
