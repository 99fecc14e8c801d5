//! Tokens are renewed behind people's backs: once, whoever asks and however many; whatever is rotated is never lost.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::harness::idp::paths;
use crate::harness::idp::{Breakage, Gate};
use futures_util::future::join_all;
use tokio::task::JoinHandle;

use crate::harness::{Browser, Gateway, Page, RecordingUpstream, Scene, SlowUpstream, TestIdp};

/// The tokens of the test provider live for 60 s, and are renewed in the last 6 of them.
const DUE: u64 = 55;
const ENDED: u64 = 61;

#[tokio::test(flavor = "multi_thread")]
async fn however_many_requests_come_at_once_there_is_one_refresh() {
    // RF-06, AT-TP-23, AT-CS-23
    let scene = Scene::signed_in().await;
    scene.later(ENDED);
    let answers = asked_at_once(&scene, &scene.browser.copied(), 200).await;
    assert_eq!(statuses(&answers), [200].into());
    assert!(answers.iter().all(|answer| answer.headers.get("set-cookie").is_some()), "each of them gets the session");
    assert_eq!((scene.refreshes(), scene.idp.refresh_reuses()), (1, 0));
    assert_eq!(scene.upstream.seen().len(), 200);
    assert_eq!(scene.asks("/after").await.status, 200);
    assert_eq!(scene.asks("/settled").await.headers.get("set-cookie"), None);
    scene.later(ENDED);
    assert_eq!(scene.asks("/next").await.status, 200);
    assert_eq!((scene.refreshes(), scene.idp.refresh_reuses()), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_cookie_gets_the_new_session_for_30_seconds_once_that_was_seen() {
    // RF-06, AT-CS-23
    let scene = Scene::signed_in().await;
    let (late, later) = (scene.browser.copied(), scene.browser.copied());
    scene.later(ENDED);
    scene.asks("/").await;
    scene.later(20);
    scene.asks("/").await;
    scene.later(30);
    let answer = late.asks(&scene.gateway.url("/late")).await;
    assert_eq!((answer.status, scene.cookie_of(&late)), (200, scene.cookie()));
    scene.later(1);
    scene.upstream.forget_seen();
    assert_eq!(later.asks(&scene.gateway.url("/later")).await.status, 302);
    assert!(scene.upstream.seen().is_empty());
    // A spent refresh token was not sent again: the provider would have ended the new session too.
    assert_eq!((scene.refreshes(), scene.idp.refresh_reuses()), (1, 0));
    assert_eq!(scene.asks("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_goes_on_when_every_browser_hangs_up() {
    // RF-06, AT-CS-23
    let scene = Scene::signed_in().await;
    let gate = Gate::new();
    scene.idp.break_with(|faults| faults.refresh.break_with(Breakage::Hold(gate.clone())));
    scene.later(ENDED);
    let mut hanging_up = scene.gateway.raw().await;
    hanging_up.send(scene.navigation("/", &format!("vestibule={}", scene.cookie()))).await;
    scene.idp.wait_for(paths::TOKEN, 1).await;
    drop(hanging_up);
    gate.open();
    assert_eq!(scene.asks("/next").await.status, 200);
    assert_eq!((scene.refreshes(), scene.idp.refresh_reuses()), (1, 0));
    assert_eq!(scene.upstream.only_request().target, "/next");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_answer_is_it_carries_the_new_session() {
    // AT-CS-23
    let scene = Scene::signed_in_with("[route.app.paths.\"/closed\"]\nallow.groups = ['nobody']").await;
    scene.upstream.answers("");
    for (path, status) in [("/closed", 403), ("/broken", 502)] {
        scene.later(ENDED);
        let old = scene.cookie();
        assert_eq!(scene.asks(path).await.status, status);
        assert_ne!(scene.cookie(), old, "{path} lost a rotated refresh token");
    }
    assert_eq!((scene.refreshes(), scene.idp.refresh_reuses()), (2, 0));
}

/// An answer that was begun with a session that was due, and is not sent before its gate is opened.
struct Slow {
    upstream: SlowUpstream,
    idp: TestIdp,
    gateway: Gateway,
    browser: Browser,
    download: JoinHandle<Page>,
}

impl Slow {
    async fn begun() -> Self {
        let upstream = SlowUpstream::start().await;
        let idp = TestIdp::start().await;
        let gateway = Gateway::in_front_of_url(&upstream.url()).signing_in_at(&idp).start().await;
        let browser = gateway.browser();
        browser.signs_in(&gateway.url("/"), "Ada").await;
        gateway.clock.advance(Duration::from_secs(ENDED));
        let tab = (browser.clone(), gateway.url("/slow"));
        let download = tokio::spawn(async move { tab.0.asks(&tab.1).await });
        upstream.wait_for(1).await;
        Self { upstream, idp, gateway, browser, download }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_answer_takes_no_newer_session_back() {
    // AT-CS-23
    let Slow { upstream, idp, gateway, browser, download } = Slow::begun().await;
    browser.asks(&gateway.url("/")).await;
    gateway.clock.advance(Duration::from_secs(ENDED));
    browser.asks(&gateway.url("/")).await;
    upstream.lets_go();
    assert_eq!(download.await.unwrap().status, 200);
    // Beyond the grace of what the slow answer began with.
    gateway.clock.advance(Duration::from_secs(DUE));
    assert_eq!(browser.asks(&gateway.url("/")).await.status, 200);
    assert_eq!((idp.token_requests("refresh_token").len(), idp.refresh_reuses()), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_answer_does_not_overwrite_the_session_of_a_later_sign_in() {
    // AT-LG-12
    let Slow { upstream, idp: _idp, gateway, browser, download } = Slow::begun().await;
    let page = browser.opens(&gateway.own("logout")).await;
    browser.submits(&page, "/_vestibule/logout", &[]).await;
    assert_eq!(browser.signs_in(&gateway.url("/"), "Grace").await.status, 200);
    let graces = browser.cookie(&gateway.url("/"), "vestibule");
    upstream.lets_go();
    assert_eq!(download.await.unwrap().headers.get("set-cookie"), None);
    assert_eq!(browser.cookie(&gateway.url("/"), "vestibule"), graces);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_refresh_token_is_never_sent_twice() {
    // RF-02, RF-01
    let scene = Scene::signed_in().await;
    for _ in 0..4 {
        scene.later(DUE);
        assert_eq!(scene.asks("/").await.status, 200);
    }
    let requests = scene.idp.token_requests("refresh_token");
    let sent: BTreeSet<_> = requests.iter().map(|request| request.field("refresh_token").unwrap()).collect();
    assert_eq!((requests.len(), sent.len()), (4, 4));
    for request in &requests {
        assert!(request.header("authorization").unwrap().starts_with("Basic "));
        assert_eq!((request.field("scope"), request.field("client_id")), (None, None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_new_refresh_token_the_old_one_stays() {
    // RF-02
    let scene = Scene::signed_in().await;
    scene.idp.configure(|settings| settings.rotation = false);
    for _ in 0..3 {
        scene.later(DUE);
        assert_eq!(scene.asks("/").await.status, 200);
    }
    let requests = scene.idp.token_requests("refresh_token");
    let sent: BTreeSet<_> = requests.iter().map(|request| request.field("refresh_token").unwrap()).collect();
    assert_eq!((requests.len(), sent.len()), (3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_goes_to_nobody_but_its_own_provider() {
    // RF-05
    let (idp, upstream) = (TestIdp::start().await, RecordingUpstream::start().await);
    let other = TestIdp::sharing(crate::harness::idp::IdpSettings::default(), idp.clock.clone()).await;
    let gateway = Gateway::in_front_of(&upstream).signing_in_at(&idp).and_at("other", &other).start().await;
    let browser = gateway.browser();
    for provider in ["idp", "other"] {
        browser.signs_in(&gateway.own(&format!("login?provider={provider}")), "Ada").await;
    }
    gateway.clock.advance(Duration::from_secs(DUE));
    assert_eq!(browser.asks(&gateway.url("/")).await.status, 200);
    let refreshed = |idp: &TestIdp| idp.token_requests("refresh_token").len();
    assert_eq!((refreshed(&idp), refreshed(&other)), (1, 0));
    assert_eq!(idp.refresh_reuses(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_setting_renews_a_token_before_half_of_its_life() {
    // RF-06: also not the least of the default, 5 s
    for (setting, life) in [("refresh_before = '1h'", 60), ("refresh_before = '60s'", 60), ("", 4), ("", 8)] {
        let idp = TestIdp::start().await;
        idp.configure(|settings| settings.access_life = Some(Duration::from_secs(life)));
        let scene = Scene::signed_in_at(idp, |builder| builder.with(&format!("[session]\n{setting}"))).await;
        scene.later(life / 2 - 1);
        for _ in 0..5 {
            assert_eq!(scene.asks("/").await.status, 200);
        }
        assert_eq!(scene.refreshes(), 0, "{setting}, {life} s");
        scene.later(1);
        assert_eq!(statuses(&asked_at_once(&scene, &scene.browser.copied(), 50).await), [200].into());
        assert_eq!((scene.refreshes(), scene.idp.refresh_reuses()), (1, 0), "{setting}, {life} s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_renewal_never_arrived_is_found_by_its_old_cookie() {
    // RF-06, AT-CS-23: the client left in mid-refresh, and is back long after the grace
    let scene = Scene::signed_in_with("[session]\nidle_timeout = '1h'").await;
    let gate = Gate::new();
    scene.idp.break_with(|faults| faults.refresh.break_with(Breakage::Hold(gate.clone())));
    scene.idp.configure(|settings| settings.access_life = Some(Duration::from_secs(6000)));
    let (back, stale) = (scene.browser.copied(), scene.browser.copied());
    scene.later(ENDED);
    let mut leaving = scene.gateway.raw().await;
    leaving.send(scene.navigation("/", &format!("vestibule={}", scene.cookie()))).await;
    scene.idp.wait_for(paths::TOKEN, 1).await;
    drop(leaving);
    gate.open();
    // Whoever waits for the renewal loses the answer too.
    assert_eq!(scene.browser.copied().asks(&scene.gateway.url("/lost")).await.status, 200);
    scene.later(3000);
    let answer = back.asks(&scene.gateway.url("/back")).await;
    assert_eq!(answer.status, 200);
    assert_ne!(scene.cookie_of(&back), scene.cookie_of(&stale));
    assert_eq!(back.asks(&scene.gateway.url("/next")).await.status, 200);
    // From here on the new cookie is known to have arrived.
    scene.later(30);
    assert_eq!(stale.copied().asks(&scene.gateway.url("/within")).await.status, 200);
    scene.later(1);
    scene.upstream.forget_seen();
    assert_eq!(stale.asks(&scene.gateway.url("/after")).await.status, 302);
    assert!(scene.upstream.seen().is_empty());
    assert_eq!((scene.refreshes(), scene.idp.refresh_reuses()), (1, 0));
    let metrics = scene.gateway.admin_text("/metrics").await;
    assert!(metrics.contains("vestibule_refresh_answers_lost_total{provider=\"idp\"} 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_cookie_is_not_good_beyond_its_own_idle_time() {
    // CK-17
    let scene = Scene::signed_in_with("[session]\nidle_timeout = '10m'").await;
    scene.idp.configure(|settings| settings.access_life = Some(Duration::from_secs(6000)));
    let stale = scene.browser.copied();
    scene.later(ENDED);
    assert_eq!(scene.browser.copied().asks(&scene.gateway.url("/lost")).await.status, 200);
    scene.later(600 - ENDED);
    scene.upstream.forget_seen();
    assert_eq!(stale.asks(&scene.gateway.url("/")).await.status, 302);
    assert!(scene.upstream.seen().is_empty());
    assert_eq!((scene.refreshes(), scene.idp.refresh_reuses()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_expires_in_the_configured_default_counts() {
    // OA-18
    let idp = TestIdp::start().await;
    idp.configure(|settings| settings.access_life = None);
    let scene = Scene::signed_in_at(idp, |builder| builder.with("[provider.idp]\ndefault_expires_in = '10m'")).await;
    scene.later(539);
    scene.asks("/").await;
    assert_eq!(scene.refreshes(), 0);
    scene.later(1);
    scene.asks("/").await;
    assert_eq!(scene.refreshes(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_session_that_is_itself_past_its_token_is_renewed_within_the_grace() {
    // RF-06
    let scene = Scene::signed_in().await;
    scene.idp.configure(|settings| settings.access_life = Some(Duration::from_secs(10)));
    let late = scene.browser.copied();
    scene.later(DUE);
    scene.asks("/").await;
    scene.later(15);
    assert_eq!(late.asks(&scene.gateway.url("/late")).await.status, 200);
    assert_eq!((scene.refreshes(), scene.idp.refresh_reuses()), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_access_token_is_the_applications_affair() {
    // AT-TP-26
    let scene = Scene::signed_in().await;
    scene.upstream.answers("HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nnope");
    for _ in 0..3 {
        let answer = scene.asks("/").await;
        assert_eq!((answer.status, answer.text().as_str()), (401, "nope"));
    }
    assert_eq!((scene.refreshes(), scene.upstream.seen().len()), (0, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_take_turns_with_one_session() {
    // RF-07, AT-TP-24
    let scene = Scene::signed_in().await;
    let second = Gateway::in_front_of(&scene.upstream).signing_in_at(&scene.idp).start().await;
    for turn in 0..6 {
        scene.later(DUE);
        let gateway = if turn % 2 == 0 { &second } else { &scene.gateway };
        assert_eq!(scene.browser.asks(&gateway.url("/")).await.status, 200, "turn {turn}");
    }
    assert_eq!((scene.refreshes(), scene.idp.refresh_reuses()), (6, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_that_both_spend_a_token_sign_nobody_out() {
    // RF-07, AT-TP-24: the provider is of the strictest kind, and ends the whole family.
    let scene = Scene::signed_in().await;
    let second = Gateway::in_front_of(&scene.upstream).signing_in_at(&scene.idp).start().await;
    let racing = scene.browser.copied();
    scene.later(ENDED);
    assert_eq!(scene.asks("/").await.status, 200);
    assert_eq!(racing.asks(&second.url("/")).await.status, 302);
    assert_eq!((scene.refreshes(), scene.idp.refresh_reuses()), (2, 1));
    // What the first instance made of the session goes on at both.
    assert_eq!(scene.browser.asks(&second.url("/")).await.status, 200);
    assert_eq!(scene.asks("/").await.status, 200);
    // When its token ends, the provider knows who it is, and asks nobody anything.
    scene.later(ENDED);
    let page = scene.browser.opens(&second.url("/page")).await;
    assert_eq!((page.status, page.url.path()), (200, "/page"));
}

#[tokio::test(flavor = "multi_thread")]
async fn renewals_are_counted_and_audited_without_secrets() {
    // OA-25
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit");
    let scene = Scene::signed_in_with(&format!("[log]\naudit = '{}'", audit.display())).await;
    scene.later(DUE);
    scene.asks("/").await;
    scene.idp.revoke_everything();
    scene.later(DUE);
    scene.asks("/").await;
    let metrics = scene.gateway.admin_text("/metrics").await;
    for (outcome, reason) in [("success", "ok"), ("failure", "invalid_grant")] {
        let line = format!("vestibule_refresh_total{{provider=\"idp\",outcome=\"{outcome}\",reason=\"{reason}\"}} 1");
        assert!(metrics.contains(&line), "{metrics}");
    }
    assert!(metrics.contains("vestibule_session_cookie_bytes_count 2"), "{metrics}");
    let tokens: Vec<_> =
        scene.idp.token_requests("refresh_token").iter().map(|seen| seen.field("refresh_token").unwrap()).collect();
    scene.gateway.stop().await;
    let told = std::fs::read_to_string(audit).unwrap();
    for event in ["session.refreshed", "session.refresh_failed"] {
        let lines: Vec<&str> = told.lines().filter(|line| line.contains(&format!("\"{event}\""))).collect();
        assert_eq!(lines.len(), 1, "{event} in {told}");
        assert!(lines[0].contains("\"subject\":\"248289761001\"") && lines[0].contains("\"session\":"), "{}", lines[0]);
    }
    assert!(tokens.iter().all(|token| !told.contains(token) && !metrics.contains(token)));
}

async fn asked_at_once(scene: &Scene, browser: &Browser, count: usize) -> Vec<Page> {
    let urls: Vec<String> = (0..count).map(|n| scene.gateway.url(&format!("/{n}"))).collect();
    // Each with the cookie as it is now, whatever the others get meanwhile.
    let tabs: Vec<Browser> = urls.iter().map(|_| browser.copied()).collect();
    join_all(urls.iter().zip(&tabs).map(|(url, tab)| tab.asks(url))).await
}

fn statuses(answers: &[Page]) -> BTreeSet<u16> {
    answers.iter().map(|answer| answer.status).collect()
}
