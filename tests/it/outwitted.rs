//! Ways past the gateway that lie between its parts: each of these parts did what it should.

use std::time::Duration;

use crate::harness::idp::{Breakage, Gate};
use crate::harness::idp::{IdpSettings, paths};

use crate::harness::{Gateway, Raw, RecordingUpstream, Scene, TestIdp, param};

const FRESH: &str = "[session]\nidle_timeout = '2h'\n[route.app.paths]\n'/admin' = { max_age = '5m' }";

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_of_unknown_age_is_not_a_fresh_one() {
    // ID-16: most providers tell `auth_time` only when `max_age` was asked for; a sign-in that they granted without asking
    // anybody is then as new as its session, and not proven to be any fresher than last week.
    let scene = Scene::with(FRESH).await;
    scene.idp.break_with(|faults| {
        faults.id_token.claims.remove("auth_time");
    });
    let browser = scene.gateway.browser();
    let request = scene.sent_away(&browser, "/admin").await;
    assert_eq!(param(&request, "max_age"), "300");
    assert_eq!(browser.signs_in(&scene.gateway.url("/page"), "Ada").await.status, 200);
    scene.upstream.forget_seen();
    for detour in ["/admin", "/_vestibule/login?rd=/admin"] {
        let page = browser.opens(&scene.gateway.url(detour)).await;
        assert!(page.text().contains("id_token_auth_time_missing"), "{detour}: {} {}", page.status, page.text());
    }
    assert!(scene.upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_to_sign_in_afresh_is_sent_where_they_signed_in() {
    // ID-16: a choice of providers would forget the age that is asked for, and come back here without end.
    let upstream = RecordingUpstream::start().await;
    let one = TestIdp::start().await;
    let two = TestIdp::sharing(IdpSettings::default(), one.clock.clone()).await;
    let gateway = Gateway::in_front_of(&upstream).and_at("one", &one).and_at("two", &two).with(FRESH).start().await;
    crate::several_providers::register(&gateway, &[("one", &one), ("two", &two)]);
    let browser = gateway.browser();
    assert_eq!(browser.signs_in(&gateway.own("login?provider=two&rd=/admin"), "Ada").await.status, 200);
    gateway.clock.advance(Duration::from_secs(301));
    let request = browser.asks(&gateway.url("/admin")).await.location();
    assert!(request.as_str().starts_with(two.issuer()), "{request}");
    assert_eq!(param(&request, "max_age"), "300");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_that_a_reload_overtakes_is_told_by_the_new_rules() {
    // What was rendered and decided for the old configuration has other numbers in the new one.
    let mut scene = Scene::signed_in().await;
    let gate = Gate::new();
    scene.idp.break_with(|faults| faults.refresh.break_with(Breakage::Hold(gate.clone())));
    scene.later(61);
    let cookies = format!("vestibule={}", scene.cookie());
    let (mut before, mut after) = (scene.gateway.raw().await, scene.gateway.raw().await);
    before.send(scene.navigation("/before", &cookies)).await;
    scene.idp.wait_for(paths::TOKEN, 1).await;
    scene.gateway.reload_with("[route.app]\nidentity = 'none'");
    after.send(scene.navigation("/after", &cookies)).await;
    // Whoever comes after it on the same workers has been answered, so it waits by now.
    for _ in 0..20 {
        scene.gateway.browser().asks(&scene.gateway.own("signed-out")).await;
    }
    gate.open();
    assert_eq!((before.answer("GET").await.status, after.answer("GET").await.status), (200, 200));
    let seen = scene.upstream.seen();
    let of = |target: &str| seen.iter().find(|request| request.target == target).unwrap();
    assert!(of("/before").header("x-forwarded-user").is_some());
    assert_eq!(of("/after").header("x-forwarded-user"), None);
    assert_eq!(scene.refreshes(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_issuer_under_the_same_name_takes_nothing_over() {
    // RF-05: neither the sessions, nor the refresh tokens in them.
    let mut scene = Scene::signed_in().await;
    let other = TestIdp::sharing(IdpSettings::default(), scene.idp.clock.clone()).await;
    scene.gateway.reload_with(&format!("[provider.idp]\nissuer = '{}'", other.issuer()));
    for seconds in [0, 61] {
        scene.later(seconds);
        assert_eq!(scene.asks("/").await.status, 302);
    }
    assert!(scene.upstream.seen().is_empty() && other.token_requests("refresh_token").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_was_taken_away_is_gone_after_the_next_renewal() {
    // RF-11: many providers leave an empty claim out.
    let scene = Scene::signed_in_with("[route.app.paths]\n'/admin' = { allow.groups = ['admins'] }").await;
    assert_eq!(scene.asks("/admin").await.status, 200);
    scene.idp.configure(|settings| {
        for person in &mut settings.people {
            person.claims.remove("groups");
        }
    });
    scene.later(55);
    assert_eq!(scene.asks("/admin").await.status, 403);
    assert_eq!(scene.asks("/page").await.status, 200);
    assert_eq!(scene.upstream.last_request().header("x-forwarded-groups"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_dot_segments_lead_out_of_an_upstreams_own_path() {
    // PX-41: "/../other" is one rule's whatever it means here; behind a base path it means another application.
    let upstream = RecordingUpstream::start().await;
    let gateway = Gateway::in_front_of_url(&format!("{}/wiki", upstream.url()))
        .with("[route.app]\naccess = 'public'")
        .start()
        .await;
    for target in [
        "/../admin",
        "/x/../../admin",
        "/%2e%2e/admin",
        "/..%2fadmin",
        "/..%5cadmin",
        "/..;/admin",
        "/x%2f..%2f..%2fadmin",
        "/..",
        "/..%20/admin",
        "/%252e%252e/admin",
        "/x?/../../admin",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", gateway.authority());
        assert_eq!(Raw::once(gateway.address, request).await.status, 400, "{target}");
    }
    assert!(upstream.seen().is_empty());
    for target in ["/a//b", "/a%2fb", "/...", "/a;b", "/a?b=../c"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", gateway.authority());
        assert_eq!(Raw::once(gateway.address, request).await.status, 200, "{target}");
        assert_eq!(upstream.last_request().target, format!("/wiki{target}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_mark_in_disguise_does_not_hide_a_rule() {
    // PX-41: a reader that decodes before it cuts the query off sees `/admin` (CVE-2024-38474 and its kin).
    let scene = Scene::with("[route.app.paths]\n'/admin' = { allow.groups = ['admins'] }").await;
    let browser = scene.gateway.browser();
    browser.signs_in(&scene.gateway.url("/"), "Grace").await;
    scene.upstream.forget_seen();
    for target in ["/admin%3fx", "/admin%3Fx/y", "/admin%23x"] {
        assert_eq!(browser.asks(&scene.gateway.url(target)).await.status, 400, "{target}");
    }
    assert!(scene.upstream.seen().is_empty());
    assert_eq!(browser.asks(&scene.gateway.url("/wiki/what%3F")).await.status, 200);
    assert_eq!(scene.upstream.last_request().target, "/wiki/what%3F");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_that_counts_too_far_stops_no_callback() {
    // AT-LF-20: it is not sealed, and whoever shares the domain can plant it.
    let scene = Scene::start().await;
    let browser = scene.gateway.browser();
    let callback = scene.callback(&browser, "/page").await;
    browser.plants(&scene.gateway.url("/"), "vestibule.rounds=4294967295; Path=/");
    assert_eq!(browser.asks(callback.as_str()).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_ends_with_the_access_token_that_nothing_renews() {
    // WS-07, RF-03
    let scene = Scene::signed_in_with("[session]\nkeep = ['access', 'id']").await;
    scene.upstream.answers(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    );
    scene.later(59);
    let mut raw = scene.gateway.raw().await;
    let host = scene.gateway.authority();
    raw.send(format!(
        "GET /socket HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCookie: vestibule={}\r\n\r\n",
        scene.cookie()
    ))
    .await;
    assert_eq!(raw.answer("GET").await.status, 101);
    assert!(raw.is_closed().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_lost_its_way_leaves_no_code_in_the_log() {
    // AT-CL-08
    let folder = tempfile::TempDir::new().unwrap();
    let upstream = RecordingUpstream::start().await;
    let idp = TestIdp::start().await;
    let log = format!("log.access = '{}/access'\n[route.app]\nhost = '127.0.0.1'", folder.path().display());
    let gateway = Gateway::in_front_of(&upstream).signing_in_at(&idp).with(&log).start().await;
    for (host, path, status) in
        [(gateway.authority(), "/_vestibule//callback", 400), ("other.example", "/_vestibule/callback", 421)]
    {
        let request = format!("GET {path}?code=hunter2&state=hunter2 HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(Raw::once(gateway.address, request).await.status, status, "{host} {path}");
    }
    gateway.stop().await;
    let text = std::fs::read_to_string(folder.path().join("access")).unwrap();
    assert!(text.lines().count() == 2 && !text.contains("hunter2"), "{text}");
}
