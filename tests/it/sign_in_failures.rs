//! What is reported of sign-ins that fail: the same reason to each visitor, in the metric, the audit log, the process log and on the page.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use vestibule::clock::Clock as _;

use crate::harness::idp::{Breakage, Edits, Faults};
use crate::harness::process_log::{lines_with, listen};
use crate::harness::{Gateway, RecordingUpstream, Scene, TestIdp};
use crate::operation::{json_lines, logs_in};

type Break = fn(&mut Faults);

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_cannot_begin_is_told_for_each_visitor_with_its_cause() {
    // DI-07: also while the provider is not asked again yet.
    let cases: [(&str, Break); 6] = [
        ("provider_connection_broken", |faults| faults.discovery.break_with(Breakage::Reset)),
        ("provider_server_error", |faults| faults.discovery.break_with(Breakage::Status(503))),
        ("discovery_not_json", |faults| faults.discovery.break_with(Breakage::Html)),
        ("discovery_status", |faults| faults.discovery.break_with(Breakage::Status(403))),
        ("discovery_issuer_mismatch", |faults| {
            faults.discovery.members.set("issuer", "https://evil.example");
        }),
        ("discovery_member_missing", |faults| {
            faults.discovery.members.remove("jwks_uri");
        }),
    ];
    for (reason, breakage) in cases {
        let folder = TempDir::new().unwrap();
        let Scene { idp, upstream, gateway, .. } = Scene::with(&logs_in(folder.path())).await;
        idp.break_with(breakage);
        for visitor in 0..4 {
            let place = if visitor % 2 == 0 { gateway.url("/page") } else { gateway.own("login?rd=/page") };
            let page = gateway.browser().asks(&place).await;
            assert_eq!(page.status, if reason.starts_with("provider_") { 503 } else { 502 }, "{reason}");
            assert!(page.text().contains(reason) && !page.text().contains("waiting"), "{reason}: {}", page.text());
            // It comes back by itself, and is asked no more often than that.
            gateway.clock.advance(Duration::from_millis(100));
        }
        let metrics = gateway.admin_text("/metrics").await;
        let failed =
            format!(r#"vestibule_logins_completed_total{{provider="idp",outcome="failure",reason="{reason}"}} 4"#);
        let started = r#"vestibule_logins_started_total{provider="idp"} 4"#;
        for line in [failed.as_str(), started] {
            assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
        }
        let came_back = |line: &&str| line.starts_with("vestibule_callback_errors_total") && !line.ends_with(" 0");
        assert_eq!(metrics.lines().find(came_back), None, "nobody came back");
        gateway.stop().await;
        let audit = json_lines(&folder.path().join("audit"));
        assert_eq!(audit.len(), 4, "{audit:#?}");
        for line in &audit {
            assert_eq!((&line["event"], &line["reason"]), (&json!("login.failed"), &json!(reason)), "{line}");
            assert_eq!(line["provider"], "idp", "{line}");
            assert!(line["request_id"].is_string() && line["client"].is_string(), "{line}");
        }
        assert!(upstream.seen().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn switching_the_account_where_the_provider_is_away_is_told_as_well() {
    let folder = TempDir::new().unwrap();
    let scene = Scene::signed_in_at(TestIdp::start().await, |gateway| {
        gateway.with(&logs_in(folder.path())).with("[route.app.paths]\n'/admins' = { allow.groups = ['board'] }")
    })
    .await;
    let denied = scene.asks("/admins").await;
    scene.idp.break_with(|faults| {
        faults.discovery.break_with(Breakage::Status(503));
        faults.key_set.break_with(Breakage::Status(503));
    });
    scene.later(2 * 3600);
    let page = scene.browser.submits(&denied, "/_vestibule/logout", &[]).await;
    assert_eq!(page.status, 503, "{}", page.text());
    scene.gateway.stop().await;
    let failed: Vec<Value> =
        json_lines(&folder.path().join("audit")).into_iter().filter(|line| line["event"] == "login.failed").collect();
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert_eq!(failed[0]["reason"], "provider_server_error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_time_tells_by_how_much_the_clocks_differ() {
    // ID-11, ID-12, ID-13, ID-16: pages.md, moment 7
    listen();
    let moves: [(&str, i64, &[&str]); 8] = [
        ("id_token_iat_future", 3600, &["iat", "exp"]),
        ("id_token_expired", -3600, &["iat", "exp"]),
        ("id_token_expired", -1800, &["exp"]),
        ("id_token_iat_old", -7200, &["iat"]),
        ("id_token_nbf", 3600, &["nbf"]),
        ("id_token_auth_time_future", 3600, &["auth_time"]),
        ("id_token_auth_time_old", -3600, &["auth_time"]),
        ("id_token_iat_future", 90, &["iat"]),
    ];
    for (case, (reason, by, claims)) in moves.into_iter().enumerate() {
        for shows_date in [true, false] {
            let idp = TestIdp::start().await;
            let upstream = RecordingUpstream::start().await;
            let name = format!("clock-{case}-{shows_date}");
            let now = idp.clock.now().secs();
            idp.break_with(|faults| {
                set_all(&mut faults.id_token.claims, claims, now, by);
                // Where the Date agrees with our clock, the token's own times tell.
                faults.token.headers.push(("date".to_owned(), date(if shows_date { by } else { 0 })));
            });
            let gateway = Gateway::in_front_of(&upstream)
                .and_at(&name, &idp)
                .with(&format!("[provider.{name}]\nmax_age = '10m'"))
                .start()
                .await;
            let browser = gateway.browser();
            let page = browser.signs_in(&gateway.url("/"), "Ada").await;
            let page = if page.is_choosing() { browser.picks(&page, "Ada").await } else { page };
            assert_eq!(page.status, 502, "{reason} {by}: {}", page.text());
            let side = if by > 0 { "ahead of ours" } else { "behind ours" };
            let says = format!("clock is {} seconds {side}", by.abs());
            let lines = lines_with(&[&name, reason]);
            let logged = lines.iter().find(|line| line.contains("ERROR") || line.contains("WARN"));
            let logged = logged.unwrap_or_else(|| panic!("{reason}: {lines:#?}"));
            if shows_date {
                assert!(page.text().contains(&says), "{reason}: {}", page.text());
                assert!(logged.contains(&format!("the provider's {says}")), "{logged}");
            } else if reason != "id_token_auth_time_old" {
                let tells = |text: &str| text.contains(side) && text.contains(" seconds ");
                assert!(tells(&page.text()) && tells(logged), "{reason}: {logged} {}", page.text());
            }
            assert!(upstream.seen().is_empty());
        }
    }
}

fn set_all(edits: &mut Edits, claims: &[&str], now: u64, by: i64) {
    for claim in claims {
        edits.set(claim, json!(i64::try_from(now).unwrap() + by));
    }
}

/// The test's clock stands at 2026-01-01T00:00:00Z.
fn date(by: i64) -> String {
    let (day, second) = if by < 0 { ("Wed, 31 Dec 2025", 86_400 + by) } else { ("Thu, 01 Jan 2026", by) };
    format!("{day} {:02}:{:02}:{:02} GMT", second / 3600, second / 60 % 60, second % 60)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refreshed_token_that_we_refuse_is_a_warning_for_each_session_and_says_who_refused() {
    // RF-08, AT-TP-17
    listen();
    let cases: [(&str, Break); 3] = [
        ("id_token_sub_changed", |faults| {
            faults.refreshed_id_token.claims.set("sub", "mallory");
        }),
        ("id_token_iss", |faults| {
            faults.refreshed_id_token.claims.set("iss", "https://evil.example");
        }),
        ("invalid_grant", |faults| faults.refresh.break_with(Breakage::oauth_error("invalid_grant"))),
    ];
    for (reason, breakage) in cases {
        let (idp, upstream) = (TestIdp::start().await, RecordingUpstream::start().await);
        let name = format!("renewal-{reason}").replace('_', "-");
        let gateway = Gateway::in_front_of(&upstream).and_at(&name, &idp).start().await;
        let browsers = [gateway.browser(), gateway.browser()];
        for browser in &browsers {
            browser.signs_in(&gateway.url("/"), "Ada").await;
        }
        upstream.forget_seen();
        idp.break_with(breakage);
        gateway.clock.advance(Duration::from_secs(58));
        for browser in &browsers {
            assert_eq!(browser.asks(&gateway.url("/")).await.status, 302, "{reason}");
        }
        assert!(upstream.seen().is_empty(), "{reason}: {:?}", upstream.seen());
        let (ours, theirs) = ("refused here, and the session with it", "the provider ended a session");
        let (refused, ended) = (lines_with(&["WARN", &name, reason, ours]), lines_with(&["INFO", &name, theirs]));
        let is_ours = reason != "invalid_grant";
        assert_eq!((refused.len(), ended.len()), if is_ours { (2, 0) } else { (0, 2) }, "{refused:#?} {ended:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_providers_words_stand_on_a_line_for_each_visitor_and_on_a_warning() {
    // OA-08
    listen();
    for (error, status) in [("invalid_scope", 400), ("access_denied", 403), ("no_such_error", 400)] {
        let (idp, upstream) = (TestIdp::start().await, RecordingUpstream::start().await);
        let name = format!("words-{error}").replace('_', "-");
        let gateway = Gateway::in_front_of(&upstream).and_at(&name, &idp).start().await;
        for visitor in ["one", "two"] {
            let description = format!("not for\n\u{1b}[31m{name} {visitor}{}", "x".repeat(5000));
            idp.heal();
            idp.break_with(|faults| faults.callback.error = Some((error.to_owned(), Some(description))));
            let page = gateway.browser().signs_in(&gateway.url("/"), "Ada").await;
            assert_eq!(page.status, status, "{}", page.text());
        }
        for visitor in ["one", "two"] {
            let lines = lines_with(&["INFO", error, &format!("{name} {visitor}")]);
            assert_eq!(lines.len(), 1, "{lines:#?}");
        }
        let warnings = lines_with(&["WARN", error, &format!("[31m{name} one")]);
        assert_eq!(warnings.len(), 1, "{warnings:#?}");
        assert!(warnings[0].len() < 700 && !warnings[0].contains('\u{1b}'), "{}", warnings[0]);
        assert_eq!(lines_with(&["WARN", &format!("{name} two")]).len(), 0, "once a minute");
    }
}
