//! Tokens are renewed behind people's backs: once, whoever asks and however many; whatever is rotated is never lost.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::harness::idp::{Breakage, Gate};
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vestibule::demo::idp::paths;

use crate::harness::{Browser, Gateway, House, Page, RecordingUpstream, TestIdp};

/// The tokens of the test provider live for 60 s, and are renewed in the last 6 of them.
const DUE: u64 = 55;
const ENDED: u64 = 61;

#[tokio::test(flavor = "multi_thread")]
async fn however_many_requests_come_at_once_there_is_one_refresh() {
    // RF-06, AT-TP-23, AT-CS-23
    let house = House::signed_in().await;
    house.later(ENDED);
    let answers = asked_at_once(&house, &house.browser.copied(), 200).await;
    assert_eq!(statuses(&answers), [200].into());
    assert!(answers.iter().all(|answer| answer.headers.get("set-cookie").is_some()), "each of them gets the session");
    assert_eq!((house.refreshes(), house.idp.refresh_reuses()), (1, 0));
    assert_eq!(house.upstream.seen().len(), 200);
    assert_eq!(house.asks("/after").await.status, 200);
    assert_eq!(house.asks("/settled").await.headers.get("set-cookie"), None);
    house.later(ENDED);
    assert_eq!(house.asks("/next").await.status, 200);
    assert_eq!((house.refreshes(), house.idp.refresh_reuses()), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_cookie_gets_the_new_session_for_30_seconds_once_that_was_seen() {
    // RF-06, AT-CS-23
    let house = House::signed_in().await;
    let (late, later) = (house.browser.copied(), house.browser.copied());
    house.later(ENDED);
    house.asks("/").await;
    house.later(20);
    house.asks("/").await;
    house.later(30);
    let answer = late.asks(&house.gateway.url("/late")).await;
    assert_eq!((answer.status, house.cookie_of(&late)), (200, house.cookie()));
    house.later(1);
    house.upstream.forget_seen();
    assert_eq!(later.asks(&house.gateway.url("/later")).await.status, 302);
    assert!(house.upstream.seen().is_empty());
    // A spent refresh token was not sent again: the provider would have ended the new session too.
    assert_eq!((house.refreshes(), house.idp.refresh_reuses()), (1, 0));
    assert_eq!(house.asks("/").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_goes_on_when_every_browser_hangs_up() {
    // RF-06, AT-CS-23
    let house = House::signed_in().await;
    let gate = Gate::new();
    house.idp.break_with(|faults| faults.refresh.break_with(Breakage::Hold(gate.clone())));
    house.later(ENDED);
    let mut hanging_up = house.gateway.raw().await;
    hanging_up.send(house.navigation("/", &format!("vestibule={}", house.cookie()))).await;
    house.idp.wait_for(paths::TOKEN, 1).await;
    drop(hanging_up);
    gate.open();
    assert_eq!(house.asks("/next").await.status, 200);
    assert_eq!((house.refreshes(), house.idp.refresh_reuses()), (1, 0));
    assert_eq!(house.upstream.only_request().target, "/next");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_answer_is_it_carries_the_new_session() {
    // AT-CS-23
    let house = House::with("[route.app.paths.\"/closed\"]\nallow.groups = ['nobody']").await;
    house.upstream.answers("");
    for (path, status) in [("/closed", 403), ("/broken", 502)] {
        house.later(ENDED);
        let old = house.cookie();
        assert_eq!(house.asks(path).await.status, status);
        assert_ne!(house.cookie(), old, "{path} lost a rotated refresh token");
    }
    assert_eq!((house.refreshes(), house.idp.refresh_reuses()), (2, 0));
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
        let gateway = Gateway::in_front_of_url(&upstream.url).signing_in_at(&idp).start().await;
        let browser = gateway.browser();
        browser.signs_in(&gateway.url("/"), "Ada").await;
        gateway.clock.advance(Duration::from_secs(ENDED));
        let tab = (browser.clone(), gateway.url("/slow"));
        let download = tokio::spawn(async move { tab.0.asks(&tab.1).await });
        upstream.reached.cancelled().await;
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
    upstream.gate.cancel();
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
    upstream.gate.cancel();
    assert_eq!(download.await.unwrap().headers.get("set-cookie"), None);
    assert_eq!(browser.cookie(&gateway.url("/"), "vestibule"), graces);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_refresh_token_is_never_sent_twice() {
    // RF-02, RF-01
    let house = House::signed_in().await;
    for _ in 0..4 {
        house.later(DUE);
        assert_eq!(house.asks("/").await.status, 200);
    }
    let requests = house.idp.token_requests("refresh_token");
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
    let house = House::signed_in().await;
    house.idp.configure(|settings| settings.rotation = false);
    for _ in 0..3 {
        house.later(DUE);
        assert_eq!(house.asks("/").await.status, 200);
    }
    let requests = house.idp.token_requests("refresh_token");
    let sent: BTreeSet<_> = requests.iter().map(|request| request.field("refresh_token").unwrap()).collect();
    assert_eq!((requests.len(), sent.len()), (3, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_goes_to_nobody_but_its_own_provider() {
    // RF-05
    let (idp, upstream) = (TestIdp::start().await, RecordingUpstream::start().await);
    let other = TestIdp::sharing(vestibule::demo::idp::IdpSettings::default(), idp.clock.clone()).await;
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
        let house = House::built(idp, |builder| builder.with(&format!("[session]\n{setting}"))).await;
        house.later(life / 2 - 1);
        for _ in 0..5 {
            assert_eq!(house.asks("/").await.status, 200);
        }
        assert_eq!(house.refreshes(), 0, "{setting}, {life} s");
        house.later(1);
        assert_eq!(statuses(&asked_at_once(&house, &house.browser.copied(), 50).await), [200].into());
        assert_eq!((house.refreshes(), house.idp.refresh_reuses()), (1, 0), "{setting}, {life} s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_renewal_never_arrived_is_found_by_its_old_cookie() {
    // RF-06, AT-CS-23: the client left in mid-refresh, and is back long after the grace
    let house = House::with("[session]\nidle_timeout = '1h'").await;
    let gate = Gate::new();
    house.idp.break_with(|faults| faults.refresh.break_with(Breakage::Hold(gate.clone())));
    house.idp.configure(|settings| settings.access_life = Some(Duration::from_secs(6000)));
    let (back, stale) = (house.browser.copied(), house.browser.copied());
    house.later(ENDED);
    let mut leaving = house.gateway.raw().await;
    leaving.send(house.navigation("/", &format!("vestibule={}", house.cookie()))).await;
    house.idp.wait_for(paths::TOKEN, 1).await;
    drop(leaving);
    gate.open();
    // Whoever waits for the renewal loses the answer too.
    assert_eq!(house.browser.copied().asks(&house.gateway.url("/lost")).await.status, 200);
    house.later(3000);
    let answer = back.asks(&house.gateway.url("/back")).await;
    assert_eq!(answer.status, 200);
    assert_ne!(house.cookie_of(&back), house.cookie_of(&stale));
    assert_eq!(back.asks(&house.gateway.url("/next")).await.status, 200);
    // From here on the new cookie is known to have arrived.
    house.later(30);
    assert_eq!(stale.copied().asks(&house.gateway.url("/within")).await.status, 200);
    house.later(1);
    house.upstream.forget_seen();
    assert_eq!(stale.asks(&house.gateway.url("/after")).await.status, 302);
    assert!(house.upstream.seen().is_empty());
    assert_eq!((house.refreshes(), house.idp.refresh_reuses()), (1, 0));
    let metrics = house.gateway.admin_text("/metrics").await;
    assert!(metrics.contains("vestibule_refresh_answers_lost_total{provider=\"idp\"} 1"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_cookie_is_not_good_beyond_its_own_idle_time() {
    // CK-17
    let house = House::with("[session]\nidle_timeout = '10m'").await;
    house.idp.configure(|settings| settings.access_life = Some(Duration::from_secs(6000)));
    let stale = house.browser.copied();
    house.later(ENDED);
    assert_eq!(house.browser.copied().asks(&house.gateway.url("/lost")).await.status, 200);
    house.later(600 - ENDED);
    house.upstream.forget_seen();
    assert_eq!(stale.asks(&house.gateway.url("/")).await.status, 302);
    assert!(house.upstream.seen().is_empty());
    assert_eq!((house.refreshes(), house.idp.refresh_reuses()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_expires_in_the_configured_default_counts() {
    // OA-18
    let idp = TestIdp::start().await;
    idp.configure(|settings| settings.access_life = None);
    let house = House::built(idp, |builder| builder.with("[provider.idp]\ndefault_expires_in = '10m'")).await;
    house.later(539);
    house.asks("/").await;
    assert_eq!(house.refreshes(), 0);
    house.later(1);
    house.asks("/").await;
    assert_eq!(house.refreshes(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_session_that_is_itself_past_its_token_is_renewed_within_the_grace() {
    // RF-06
    let house = House::signed_in().await;
    house.idp.configure(|settings| settings.access_life = Some(Duration::from_secs(10)));
    let late = house.browser.copied();
    house.later(DUE);
    house.asks("/").await;
    house.later(15);
    assert_eq!(late.asks(&house.gateway.url("/late")).await.status, 200);
    assert_eq!((house.refreshes(), house.idp.refresh_reuses()), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_access_token_is_the_applications_affair() {
    // AT-TP-26
    let house = House::signed_in().await;
    house.upstream.answers("HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nnope");
    for _ in 0..3 {
        let answer = house.asks("/").await;
        assert_eq!((answer.status, answer.text().as_str()), (401, "nope"));
    }
    assert_eq!((house.refreshes(), house.upstream.seen().len()), (0, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_take_turns_with_one_session() {
    // RF-07, AT-TP-24
    let house = House::signed_in().await;
    let second = Gateway::in_front_of(&house.upstream).signing_in_at(&house.idp).start().await;
    for turn in 0..6 {
        house.later(DUE);
        let gateway = if turn % 2 == 0 { &second } else { &house.gateway };
        assert_eq!(house.browser.asks(&gateway.url("/")).await.status, 200, "turn {turn}");
    }
    assert_eq!((house.refreshes(), house.idp.refresh_reuses()), (6, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_that_both_spend_a_token_sign_nobody_out() {
    // RF-07, AT-TP-24: the provider is of the strictest kind, and ends the whole family.
    let house = House::signed_in().await;
    let second = Gateway::in_front_of(&house.upstream).signing_in_at(&house.idp).start().await;
    let racing = house.browser.copied();
    house.later(ENDED);
    assert_eq!(house.asks("/").await.status, 200);
    assert_eq!(racing.asks(&second.url("/")).await.status, 302);
    assert_eq!((house.refreshes(), house.idp.refresh_reuses()), (2, 1));
    // What the first instance made of the session goes on at both.
    assert_eq!(house.browser.asks(&second.url("/")).await.status, 200);
    assert_eq!(house.asks("/").await.status, 200);
    // When its token ends, the provider knows who it is, and asks nobody anything.
    house.later(ENDED);
    let page = house.browser.opens(&second.url("/page")).await;
    assert_eq!((page.status, page.url.path()), (200, "/page"));
}

#[tokio::test(flavor = "multi_thread")]
async fn renewals_are_counted_and_audited_without_secrets() {
    // OA-25
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit");
    let house = House::with(&format!("[log]\naudit = '{}'", audit.display())).await;
    house.later(DUE);
    house.asks("/").await;
    house.idp.revoke_everything();
    house.later(DUE);
    house.asks("/").await;
    let metrics = house.gateway.admin_text("/metrics").await;
    for (outcome, reason) in [("success", "ok"), ("failure", "invalid_grant")] {
        let line = format!("vestibule_refresh_total{{provider=\"idp\",outcome=\"{outcome}\",reason=\"{reason}\"}} 1");
        assert!(metrics.contains(&line), "{metrics}");
    }
    assert!(metrics.contains("vestibule_session_cookie_bytes_count 2"), "{metrics}");
    let tokens: Vec<_> =
        house.idp.token_requests("refresh_token").iter().map(|seen| seen.field("refresh_token").unwrap()).collect();
    house.gateway.stop().await;
    let told = std::fs::read_to_string(audit).unwrap();
    for event in ["session.refreshed", "session.refresh_failed"] {
        let lines: Vec<&str> = told.lines().filter(|line| line.contains(&format!("\"{event}\""))).collect();
        assert_eq!(lines.len(), 1, "{event} in {told}");
        assert!(lines[0].contains("\"subject\":\"248289761001\"") && lines[0].contains("\"session\":"), "{}", lines[0]);
    }
    assert!(tokens.iter().all(|token| !told.contains(token) && !metrics.contains(token)));
}

async fn asked_at_once(house: &House, browser: &Browser, count: usize) -> Vec<Page> {
    let urls: Vec<String> = (0..count).map(|n| house.gateway.url(&format!("/{n}"))).collect();
    // Each with the cookie as it is now, whatever the others get meanwhile.
    let tabs: Vec<Browser> = urls.iter().map(|_| browser.copied()).collect();
    join_all(urls.iter().zip(&tabs).map(|(url, tab)| tab.asks(url))).await
}

fn statuses(answers: &[Page]) -> BTreeSet<u16> {
    answers.iter().map(|answer| answer.status).collect()
}

/// An application that answers `/slow` only when it is told to.
struct SlowUpstream {
    url: String,
    /// Somebody asked for `/slow`.
    reached: CancellationToken,
    /// `/slow` may be answered.
    gate: CancellationToken,
}

impl SlowUpstream {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (reached, gate) = (CancellationToken::new(), CancellationToken::new());
        let shared = (reached.clone(), gate.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve_slowly(stream, shared.0.clone(), shared.1.clone()));
            }
        });
        Self { url, reached, gate }
    }
}

async fn serve_slowly(mut stream: TcpStream, reached: CancellationToken, gate: CancellationToken) -> Option<()> {
    let mut head = Vec::new();
    loop {
        while !head.ends_with(b"\r\n\r\n") {
            (stream.read_buf(&mut head).await.ok()? > 0).then_some(())?;
        }
        if head.starts_with(b"GET /slow") {
            reached.cancel();
            gate.cancelled().await;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.ok()?;
        head.clear();
    }
}
