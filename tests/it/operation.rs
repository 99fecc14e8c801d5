//! What operators see: the admin listener, metrics, the access and audit logs, reloads.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::harness::idp::Breakage;
use futures_util::future::join_all;
use http::Method;
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::harness::browser::Ask;
use crate::harness::gateway::key;
use crate::harness::{Authority, Browser, Gateway, Raw, RecordingUpstream, Scene, TestIdp};

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_listener_tells_of_life_and_readiness() {
    let Scene { idp: _idp, upstream: _upstream, gateway, .. } = Scene::start().await;
    assert_eq!(gateway.admin_text("/livez").await, "ok\n");
    settled(&gateway, "/readyz", |text| text == "ok\n").await;
    let verbose = gateway.admin_text("/readyz?verbose").await;
    assert_eq!(
        verbose,
        "[+]listeners ok\n[+]drain ok\n[+]configuration ok\n[?]provider idp unknown: it has not answered yet\nreadyz check passed\n"
    );
    let open =
        request("GET", "/metrics", "admin").replace("\r\n\r\n", "\r\nAccept: application/openmetrics-text\r\n\r\n");
    let answer = Raw::once(gateway.admin, open).await;
    assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    assert!(answer.text().ends_with("# EOF\n"));
    let answer = Raw::once(gateway.admin, request("GET", "/metrics", "admin")).await;
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(answer.text().contains("# TYPE vestibule_logins_started_total counter\n"), "{}", answer.text());
    assert_eq!(Raw::once(gateway.admin, request("POST", "/metrics", "admin")).await.status, 405);
    // Nothing of the traffic side is there.
    assert_eq!(Raw::once(gateway.admin, request("GET", "/_vestibule/login", "admin")).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_admin_listener_serves_is_never_on_the_traffic_port() {
    // AT-CL-11, CH-08
    let Scene { idp: _idp, upstream, gateway, .. } =
        Scene::with("[route.app.paths]\n\"/metrics\" = { access = \"public\" }").await;
    for (path, status) in [
        ("/livez", 401),
        ("/readyz", 401),
        ("/healthz", 401),
        ("/debug", 401),
        ("/config", 401),
        ("/%6detrics2", 401),
        ("//livez", 401),
        ("/./livez", 401),
        ("/%2e/readyz", 401),
        ("/_vestibule/metrics", 404),
        ("/_vestibule/livez", 404),
        ("/_vestibule/readyz?verbose", 404),
        ("/_vestibule/%6detrics", 400),
        ("/_vestibule//metrics", 400),
        ("/_vestibule/../metrics;x", 400),
        ("/_vestibule/debug", 404),
        ("/_vestibule/config", 404),
    ] {
        let answer = Raw::once(gateway.address, request("GET", path, gateway.authority())).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(!answer.text().contains("vestibule_build"), "{path}");
    }
    assert!(upstream.seen().is_empty());
    // A path of that name is the application's.
    let answer = Raw::once(gateway.address, request("GET", "/metrics", gateway.authority())).await;
    assert_eq!((answer.status, upstream.only_request().target.as_str()), (200, "/metrics"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_there_from_the_start_and_changes_are_seen() {
    // An alert on an increase misses the first event of a series that begins with it.
    let (idp, upstream) = (TestIdp::start().await, RecordingUpstream::start().await);
    let authority = Authority::new();
    let pair = authority.certifies("wiki", &["wiki.example.com"]);
    let folder = TempDir::new().unwrap();
    let secret = folder.path().join("key");
    fs::write(&secret, key(1)).unwrap();
    let people = folder.path().join("people");
    fs::write(&people, "ada").unwrap();
    let (cert, private, secret) = (pair.cert.display(), pair.key.display(), secret.display());
    let list = format!("[route.app.allow]\nusers = {{ file = '{}' }}", people.display());
    let gateway = Gateway::in_front_of(&upstream)
        .signing_in_at(&idp)
        .at_https("wiki.example.com")
        .with(&format!("[server.tls]\ncert = '{cert}'\nkey = '{private}'\n[session]\nkeys = [{{ file = '{secret}' }}]"))
        .with(&list)
        .start()
        .await;
    settled(&gateway, "/readyz", |text| text == "ok\n").await;
    let text = gateway.admin_text("/metrics").await;
    let reference = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/REFERENCE.md")).unwrap();
    let table = reference.split_once("## Metrics").unwrap().1.split("\n## ").next().unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" |"));
    let names = rows.flat_map(|(names, _)| names.split(['`', ',', ' '])).filter(|name| !name.is_empty());
    let missing: Vec<_> = names.filter(|name| !text.contains(&format!("\n# TYPE {name} "))).collect();
    assert!(missing.is_empty(), "{missing:?} are not in\n{text}");
    for line in [
        "vestibule_logins_completed_total{provider=\"idp\",outcome=\"failure\",reason=\"token_exchange_refused\"} 0",
        "vestibule_callback_errors_total{reason=\"state_expired\"} 0",
        "vestibule_sessions_decrypt_failures_total{reason=\"sealed_unknown_key\"} 0",
        "vestibule_auth_decisions_total{route=\"app\",decision=\"login\",reason=\"no_session\"} 0",
        "vestibule_log_lines_lost_total{log=\"audit\"} 0",
        "vestibule_header_spoof_attempts_total{route=\"app\"} 0",
        "vestibule_upstream_up{route=\"app\"} 1",
        "vestibule_provider_state{provider=\"idp\",state=\"unknown\"} 1",
        "vestibule_provider_state{provider=\"idp\",state=\"down\"} 0",
        "vestibule_connections 0",
        "vestibule_followed_file_current{name=\"route.app.allow.users\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(sample(&text, "vestibule_connections_limit").unwrap() >= 1.0);
    assert!(sample(&text, "vestibule_secret_file_mtime_seconds{name=\"session.keys\"}").unwrap() > 1e9);
    assert!(!text.contains(&key(1)) && !reference.contains(&key(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_is_away_and_a_provider_that_is_down_show_as_such() {
    let (idp, upstream) = (TestIdp::start().await, RecordingUpstream::start().await);
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    idp.break_with(|faults| faults.discovery.break_with(Breakage::Reset));
    let mut gateway = Gateway::in_front_of(&upstream)
        .signing_in_at(&idp)
        .with(&format!("[route.gone]\npath = '/gone'\nupstream = 'http://{gone}'\naccess = 'public'"))
        .start()
        .await;
    let browser = gateway.browser();
    assert_eq!(browser.asks(&gateway.url("/gone")).await.status, 502);
    assert_eq!(browser.asks(&gateway.url("/")).await.status, 503);
    let text = gateway.admin_text("/metrics").await;
    let up = |text: &str, route: &str| sample(text, &format!("vestibule_upstream_up{{route=\"{route}\"}}"));
    assert_eq!((up(&text, "gone"), up(&text, "app")), (Some(0.0), Some(1.0)));
    assert_eq!(sample(&text, "vestibule_provider_state{provider=\"idp\",state=\"down\"}"), Some(1.0));
    // The funnel counts who could not even begin.
    assert_eq!(sample(&text, "vestibule_logins_started_total{provider=\"idp\"}"), Some(1.0));
    let hash =
        |text: &str| text.lines().find(|line| line.starts_with("vestibule_config_hash_info{")).map(str::to_owned);
    let before = hash(&text).unwrap();
    gateway.reload_without("route.gone");
    let text = gateway.admin_text("/metrics").await;
    assert_eq!(up(&text, "gone"), None, "nobody has to repair it any more");
    assert_ne!(hash(&text).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_login_funnel_is_counted() {
    let Scene { idp: _idp, upstream: _upstream, gateway, .. } = Scene::start().await;
    gateway.browser().signs_in(&gateway.url("/"), "Ada").await;
    let declining = gateway.browser();
    let page = declining.opens(&gateway.url("/")).await;
    declining.submits(&page, "choose", &[("person", "")]).await;
    gateway.browser().opens(&gateway.own("callback?code=x")).await;
    let stuck = gateway.browser();
    stuck.opens(&gateway.url("/")).await;

    let metrics = gateway.admin_text("/metrics").await;
    for (line, value) in [
        (r#"vestibule_logins_started_total{provider="idp"}"#, 3.0),
        (r#"vestibule_logins_completed_total{provider="idp",outcome="success",reason="ok"}"#, 1.0),
        (r#"vestibule_logins_completed_total{provider="idp",outcome="failure",reason="access_denied"}"#, 1.0),
        (r#"vestibule_callback_errors_total{reason="access_denied"}"#, 1.0),
        (r#"vestibule_callback_errors_total{reason="state_missing"}"#, 1.0),
        ("vestibule_login_duration_seconds_count", 1.0),
        ("vestibule_session_cookie_bytes_count", 1.0),
        (r#"vestibule_session_cookie_bytes_bucket{le="4096.0"}"#, 1.0),
    ] {
        assert_eq!(sample(&metrics, line), Some(value), "{line}\n{metrics}");
    }
    assert!(sample(&metrics, "vestibule_session_cookie_bytes_sum").unwrap() > 200.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_counted_by_route_and_reason() {
    let rules = "[route.app.paths]\n'/open' = { access = 'public' }\n'/admins' = { allow.groups = ['admins'] }\n'/shut' = { access = 'deny' }";
    let Scene { idp: _idp, upstream: _upstream, gateway, .. } = Scene::with(rules).await;
    let browser = gateway.browser();
    browser.signs_in(&gateway.url("/"), "Grace").await;
    for (path, status) in [("/again", 200), ("/open/1", 200), ("/open/2", 200), ("/admins", 403), ("/shut", 403)] {
        assert_eq!(browser.asks(&gateway.url(path)).await.status, status, "{path}");
    }
    gateway.browser().asks(&gateway.url("/elsewhere")).await;

    let metrics = gateway.admin_text("/metrics").await;
    let decision = |decision: &str, reason: &str| {
        let labels = format!(r#"route="app",decision="{decision}",reason="{reason}""#);
        sample(&metrics, &format!("vestibule_auth_decisions_total{{{labels}}}"))
    };
    assert_eq!(decision("allow", "session"), Some(2.0), "{metrics}");
    assert_eq!(decision("bypass", "public"), Some(2.0), "{metrics}");
    assert_eq!(decision("login", "no_session"), Some(2.0), "{metrics}");
    assert_eq!(decision("deny", "group_missing"), Some(1.0), "{metrics}");
    assert_eq!(decision("deny", "route_closed"), Some(1.0), "{metrics}");
    let served = |method: &str, status: u16| {
        let labels = format!(
            r#"http_request_method="{method}",http_response_status_code="{status}",http_route="app",url_scheme="http""#
        );
        sample(&metrics, &format!("http_server_request_duration_seconds_count{{{labels}}}"))
    };
    assert_eq!((served("GET", 200), served("GET", 403), served("GET", 302)), (Some(4.0), Some(2.0), Some(2.0)));
    assert_eq!(sample(&metrics, "http_server_active_requests"), Some(0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn renewals_are_counted_with_their_reasons() {
    let Scene { idp, upstream: _upstream, gateway, .. } = Scene::start().await;
    let browser = gateway.browser();
    browser.signs_in(&gateway.url("/"), "Ada").await;
    gateway.clock.advance(Duration::from_secs(58));
    assert_eq!(browser.asks(&gateway.url("/")).await.status, 200);
    idp.break_with(|faults| faults.refresh.break_with(Breakage::oauth_error("invalid_grant")));
    gateway.clock.advance(Duration::from_secs(120));
    assert_eq!(browser.asks(&gateway.url("/")).await.status, 302);

    let metrics = gateway.admin_text("/metrics").await;
    let refresh = |outcome: &str, reason: &str| {
        let labels = format!(r#"provider="idp",outcome="{outcome}",reason="{reason}""#);
        sample(&metrics, &format!("vestibule_refresh_total{{{labels}}}"))
    };
    assert_eq!(refresh("success", "ok"), Some(1.0), "{metrics}");
    assert_eq!(refresh("failure", "invalid_grant"), Some(1.0), "{metrics}");
    assert_eq!(sample(&metrics, r#"vestibule_refresh_duration_seconds_count{provider="idp"}"#), Some(2.0));
    assert_eq!(sample(&metrics, "vestibule_session_cookie_bytes_count"), Some(2.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_and_applications_are_measured() {
    let (idp, upstream) = (TestIdp::start().await, RecordingUpstream::start().await);
    // The provider's clock is 42 s ahead, by its own `Date`; the test's clock stands at 2026-01-01T00:00:00Z.
    let date = ("date".to_owned(), "Thu, 01 Jan 2026 00:00:42 GMT".to_owned());
    idp.break_with(|faults| {
        for endpoint in [&mut faults.discovery, &mut faults.token, &mut faults.key_set, &mut faults.userinfo] {
            endpoint.headers.push(date.clone());
        }
    });
    let gateway = Gateway::in_front_of(&upstream).signing_in_at(&idp).start().await;
    let before = gateway.admin_text("/metrics").await;
    let asked = sample(&before, "vestibule_idp_discovery_last_success_timestamp_seconds{provider=\"idp\"}");
    assert_eq!(asked, Some(0.0), "nothing is asked before somebody signs in");
    let browser = gateway.browser();
    browser.signs_in(&gateway.url("/"), "Ada").await;
    upstream.answers("");
    assert_eq!(browser.asks(&gateway.url("/")).await.status, 502);

    let metrics = gateway.admin_text("/metrics").await;
    let now = 1_767_225_600.0;
    let of_idp = |name: &str| sample(&metrics, &format!(r#"{name}{{provider="idp"}}"#));
    assert_eq!(of_idp("vestibule_idp_discovery_last_success_timestamp_seconds"), Some(now), "{metrics}");
    assert_eq!(of_idp("vestibule_jwks_last_refresh_timestamp_seconds"), Some(now), "{metrics}");
    assert_eq!(of_idp("vestibule_idp_clock_offset_seconds"), Some(42.0), "{metrics}");
    let called = |peer: &str, address: &str, method: &str, outcome: &str| {
        let labels =
            format!(r#"vestibule_peer="{peer}",server_address="{address}",http_request_method="{method}",{outcome}"#);
        sample(&metrics, &format!("http_client_request_duration_seconds_count{{{labels}}}"))
    };
    let ok = r#"http_response_status_code="200""#;
    assert_eq!(called("idp", "idp", "POST", ok), Some(1.0), "{metrics}");
    assert_eq!(called("upstream", "app", "GET", ok), Some(1.0), "{metrics}");
    let closed = r#"error_type="connection_closed""#;
    assert_eq!(called("upstream", "app", "GET", closed), Some(1.0), "a call without an answer: {metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_that_do_not_open_are_counted_by_reason() {
    let Scene { idp, upstream, gateway, .. } = Scene::start().await;
    let other = Gateway::in_front_of(&upstream)
        .signing_in_at(&idp)
        .with(&format!("session.keys = ['{}']", key(2)))
        .start()
        .await;
    let browser = gateway.browser();
    browser.signs_in(&gateway.url("/"), "Ada").await;
    let cookie = browser.cookie(&gateway.url("/"), "vestibule").unwrap();
    for value in [cookie.as_str(), "rubbish"] {
        let stray = Browser::new(other.clock.clone()).sending("cookie", &format!("vestibule={value}"));
        assert_eq!(stray.asks(&other.url("/")).await.status, 302);
    }
    let metrics = other.admin_text("/metrics").await;
    let failures =
        |reason: &str| sample(&metrics, &format!(r#"vestibule_sessions_decrypt_failures_total{{reason="{reason}"}}"#));
    assert_eq!(failures("sealed_unknown_key"), Some(1.0), "{metrics}");
    assert_eq!(failures("sealed_malformed"), Some(1.0), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_lost_while_configurations_change_under_traffic() {
    // AT-CL-12
    let Scene { idp: _idp, upstream, mut gateway, .. } = Scene::with("server.workers = 2").await;
    let browser = gateway.browser();
    browser.signs_in(&gateway.url("/"), "Ada").await;
    let enough = CancellationToken::new();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (browser, url, enough) = (browser.clone(), gateway.url("/busy"), enough.clone());
            tokio::spawn(async move {
                let mut answered = 0;
                while !enough.is_cancelled() {
                    let page = browser.asks(&url).await;
                    assert_eq!(page.status, 200, "{}", page.text());
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    for number in 0..10 {
        upstream.wait_for(upstream.seen().len() + 5).await;
        gateway.reload_with(&format!(
            "[route.extra{number}]\npath = '/extra{number}'\nupstream = 'static:204'\naccess = 'public'"
        ));
        assert_eq!(browser.asks(&gateway.url(&format!("/extra{number}"))).await.status, 204);
    }
    enough.cancel();
    let answered = join_all(clients).await.into_iter().map(Result::unwrap).sum::<usize>();
    assert!(answered >= 50, "only {answered} requests");
    let metrics = gateway.admin_text("/metrics").await;
    assert_eq!(sample(&metrics, "vestibule_config_last_reload_successful"), Some(1.0));
    assert_eq!(sample(&metrics, "vestibule_config_last_reload_success_timestamp_seconds"), Some(1_767_225_600.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_sign_ins_under_way_survive_a_reload_with_a_new_first_key() {
    // CK-05
    let Scene { idp: _idp, upstream: _upstream, mut gateway, .. } = Scene::start().await;
    let (browser, midway) = (gateway.browser(), gateway.browser());
    browser.signs_in(&gateway.url("/"), "Ada").await;
    let choosing = midway.opens(&gateway.url("/midway")).await;
    gateway.reload_with(&format!("session.keys = ['{}', '{}']", key(2), key(1)));
    assert_eq!(browser.asks(&gateway.url("/")).await.status, 200);
    let landed = midway.picks(&choosing, "Grace").await;
    assert_eq!((landed.status, landed.url.to_string()), (200, gateway.url("/midway")));
    // Without the old key nobody is signed in any more, and nothing breaks.
    gateway.reload_with(&format!("session.keys = ['{}']", key(2)));
    assert_eq!(browser.asks(&gateway.url("/")).await.status, 302);
    assert_eq!(midway.asks(&gateway.url("/")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_starts_without_its_provider_and_recovers_by_itself() {
    // DI-07
    let (idp, upstream) = (TestIdp::start().await, RecordingUpstream::start().await);
    idp.break_with(|faults| faults.discovery.break_with(Breakage::Reset));
    let gateway = Gateway::in_front_of(&upstream)
        .signing_in_at(&idp)
        .with("[route.app.paths]\n'/open' = { access = 'public' }")
        .start()
        .await;
    settled(&gateway, "/readyz", |text| text == "ok\n").await;
    let browser = gateway.browser();
    assert_eq!(browser.asks(&gateway.url("/open")).await.status, 200);
    let page = browser.asks(&gateway.url("/")).await;
    assert_eq!(page.status, 503, "{}", page.text());
    let wait: u64 = page.header("retry-after").unwrap().parse().unwrap();
    assert_eq!(gateway.admin_text("/readyz").await, "ok\n");
    let verbose = gateway.admin_text("/readyz?verbose").await;
    assert!(verbose.contains("[!]provider idp degraded: provider_"), "{verbose}");
    idp.heal();
    gateway.clock.advance(Duration::from_secs(wait.max(60)));
    assert_eq!(browser.signs_in(&gateway.url("/"), "Ada").await.status, 200);
    assert!(gateway.admin_text("/readyz?verbose").await.contains("[+]provider idp ok"));
    // And away again: whoever is signed in stays so.
    idp.break_with(|faults| faults.discovery.break_with(Breakage::Reset));
    assert_eq!(browser.asks(&gateway.url("/")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_workers_share_sessions_and_renewals() {
    let Scene { idp, upstream: _upstream, gateway, .. } = Scene::with("server.workers = 3").await;
    let browser = gateway.browser();
    browser.signs_in(&gateway.url("/"), "Ada").await;
    // Kept open together, so that each worker has some of them.
    let cookie = browser.cookie(&gateway.url("/"), "vestibule").unwrap();
    let mut connections = join_all((0..9).map(|_| gateway.raw())).await;
    gateway.clock.advance(Duration::from_secs(58));
    let text = format!("GET /w HTTP/1.1\r\nHost: {}\r\nCookie: vestibule={cookie}\r\n\r\n", gateway.authority());
    let answers = join_all(connections.iter_mut().map(async |connection| {
        connection.send(&text).await;
        connection.answer("GET").await.status
    }))
    .await;
    assert_eq!(answers, [200; 9]);
    assert_eq!(idp.token_requests("refresh_token").len(), 1);
    let metrics = gateway.admin_text("/metrics").await;
    let allowed = r#"vestibule_auth_decisions_total{route="app",decision="allow",reason="session"}"#;
    assert_eq!(sample(&metrics, allowed), Some(10.0), "counted over all workers");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_has_one_line_with_its_reason_in_the_access_log() {
    let folder = TempDir::new().unwrap();
    let Scene { idp, upstream, gateway, .. } = Scene::with(&logs_in(folder.path())).await;
    let browser = gateway.browser();
    browser.signs_in(&gateway.url("/wiki?x=1"), "Ada").await;
    idp.break_with(|faults| faults.callback.error = Some(("access_denied".to_owned(), None)));
    gateway.browser().signs_in(&gateway.url("/declined"), "Grace").await;
    gateway.browser().opens(&gateway.own("callback?state=forged&code=c0de")).await;
    Raw::once(gateway.address, "GET /bad%00path HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    upstream.answers("");
    browser.asks(&gateway.url("/broken")).await;
    gateway.stop().await;

    let lines = json_lines(&folder.path().join("access"));
    let find = |path: &str, status: u64| {
        lines
            .iter()
            .find(|line| line["path"] == path && line["status"] == status)
            .unwrap_or_else(|| panic!("no line for {path} {status} in {lines:#?}"))
    };
    let wiki = find("/wiki?x=1", 200);
    assert_eq!((&wiki["decision"], &wiki["route"]), (&Value::from("allow"), &Value::from("app")));
    assert!(wiki["upstream_ms"].is_number() && wiki["session"].is_string() && wiki["user"].is_string(), "{wiki}");
    assert_eq!(find("/wiki?x=1", 302)["decision"], "login");
    assert_eq!(find("/_vestibule/callback", 303)["reason"], Value::Null);
    assert_eq!(find("/_vestibule/callback", 403)["reason"], "access_denied");
    assert_eq!(find("/_vestibule/callback", 400)["reason"], "state_unknown");
    assert_eq!(find("/bad%00path", 400)["reason"], "path_control_character");
    let broken = find("/broken", 502);
    assert!(broken["reason"].as_str().unwrap().starts_with("upstream_"), "{broken}");
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_events_tell_who_did_what() {
    let folder = TempDir::new().unwrap();
    let Scene { idp, upstream: _upstream, mut gateway, .. } = Scene::built(|gateway| {
        gateway.with(&logs_in(folder.path())).with("[route.app.paths]\n'/admins' = { allow.groups = ['admins'] }")
    })
    .await;
    let browser = gateway.browser();
    browser.signs_in(&gateway.url("/"), "Grace").await;
    gateway.clock.advance(Duration::from_secs(58));
    browser.asks(&gateway.url("/")).await;
    browser.asks(&gateway.url("/admins")).await;
    gateway.reload_with("pages.title = 'New'");
    let page = browser.opens(&gateway.own("logout")).await;
    browser.submits(&page, "logout", &[]).await;
    gateway.browser().opens(&gateway.own("callback?code=c0de")).await;
    gateway.stop().await;

    let lines = json_lines(&folder.path().join("audit"));
    // Lines of different threads may stand in another order than they were made in.
    let mut events: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    events.sort_unstable();
    let wanted = [
        "access.denied",
        "access.granted",
        "config.reloaded",
        "login.failed",
        "login.started",
        "login.succeeded",
        "logout.user",
        "session.refreshed",
    ];
    assert_eq!(events, wanted);
    for line in &lines {
        if matches!(line["event"].as_str().unwrap(), "config.reloaded" | "login.started" | "login.failed") {
            continue;
        }
        assert_eq!(line["issuer"], idp.issuer(), "{line}");
        assert_eq!(line["subject"], "248289761002", "{line}");
    }
    let line = |event: &str| lines.iter().find(|line| line["event"] == event).unwrap();
    let denied = line("access.denied");
    assert_eq!((&denied["route"], &denied["outcome"]), (&"app".into(), &"failure".into()), "{denied}");
    assert!(denied["request_id"].is_string() && denied["reason"] == "group_missing", "{denied}");
    assert_eq!(line("login.failed")["reason"], "state_missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_takes_over_sealing_is_audited_and_one_that_only_opens_is_not() {
    let folder = TempDir::new().unwrap();
    let Scene { idp: _idp, upstream: _upstream, mut gateway, .. } =
        Scene::built(|gateway| gateway.with(&logs_in(folder.path()))).await;
    gateway.reload_with(&format!("[session]\nkeys = ['{}', '{}']", key(1), key(2)));
    gateway.reload_with(&format!("[session]\nkeys = ['{}', '{}']", key(2), key(1)));
    gateway.stop().await;
    let lines = json_lines(&folder.path().join("audit"));
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events.iter().filter(|event| **event == "config.reloaded").count(), 2, "{events:?}");
    assert_eq!(events.iter().filter(|event| **event == "key.rotated").count(), 1, "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn identity_headers_from_strangers_are_recorded_as_spoofs() {
    // FW-01, FW-02
    let folder = TempDir::new().unwrap();
    let Scene { idp: _idp, upstream, gateway, .. } = Scene::built(|gateway| {
        gateway.with(&logs_in(folder.path())).with("[route.app.paths]\n'/open' = { access = 'public' }")
    })
    .await;
    let ask = |name: &str| {
        let ask = Ask::navigation(&gateway.url("/open"));
        ask.with(name, "admin").by(Method::GET)
    };
    let browser = gateway.browser();
    for name in ["x-forwarded-user", "x_forwarded_groups", "remote-user", "x-forwarded-for", "x-request-id"] {
        assert_eq!(browser.does(ask(name)).await.status, 200);
    }
    assert!(upstream.seen().iter().all(|seen| !seen.head.contains("admin")));
    gateway.stop().await;
    let lines = json_lines(&folder.path().join("audit"));
    let mut spoofs: Vec<&str> = lines
        .iter()
        .filter(|line| line["event"] == "header.spoof_attempt")
        .map(|line| line["detail"].as_str().unwrap())
        .collect();
    spoofs.sort_unstable();
    assert_eq!(spoofs, ["remote-user", "x-forwarded-user", "x_forwarded_groups"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_are_told_the_whole_address_of_the_sign_in() {
    // CK-25
    let Scene { idp: _idp, upstream: _upstream, gateway, .. } = Scene::start().await;
    let browser = gateway.browser();
    let page = browser.fetches(&gateway.url("/page"), &gateway.url("/api")).await;
    assert_eq!((page.status, page.header("content-type")), (401, Some("application/problem+json")));
    let problem = page.json();
    let login_url = problem["login_url"].as_str().unwrap();
    assert!(login_url.starts_with(&gateway.own("login?rd=")), "{login_url}");
    assert_eq!(browser.signs_in(login_url, "Ada").await.url.to_string(), gateway.url("/api"));
}

/// The value of a metric by its name and labels, as they are written.
fn sample(metrics: &str, name: &str) -> Option<f64> {
    let found = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    found.split(' ').next()?.parse().ok()
}

/// Asks again until the answer is as expected: what it waits for is on its way already.
async fn settled(gateway: &Gateway, path: &str, is_so: impl Fn(&str) -> bool) {
    for _ in 0..1000 {
        if is_so(&gateway.admin_text(path).await) {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{path} stays {}", gateway.admin_text(path).await);
}

pub(crate) fn logs_in(folder: &Path) -> String {
    format!("[log]\naccess = '{0}/access'\naudit = '{0}/audit'", folder.display())
}

pub(crate) fn json_lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(read).inspect(as_the_schema_says).collect()
}

/// Checks a line of the audit log, in whichever story it was written, against the schema that is shipped.
fn as_the_schema_says(line: &Value) {
    if line["log"] != "audit" {
        return;
    }
    let schema: Value = serde_json::from_str(include_str!("../../deploy/schema/audit.schema.json")).unwrap();
    for name in schema["required"].as_array().unwrap() {
        assert!(line.get(name.as_str().unwrap()).is_some(), "{name} is missing: {line}");
    }
    for (name, value) in line.as_object().unwrap() {
        let known = schema["properties"].get(name).unwrap_or_else(|| panic!("{name} is not in the schema: {line}"));
        let text = value.as_str().unwrap_or_else(|| panic!("{name} is no text: {line}"));
        assert!(known.get("enum").is_none_or(|all| all.as_array().unwrap().contains(value)), "{name}: {line}");
        assert!(known.get("const").is_none_or(|only| only == value), "{name}: {line}");
        match known["format"].as_str() {
            Some("ip") => assert!(text.parse::<std::net::IpAddr>().is_ok(), "{name}: {line}"),
            Some("date-time") => assert!(text.len() == 24 && text.ends_with('Z'), "{name}: {line}"),
            other => assert_eq!(other, None, "{name} has a format that is not checked here"),
        }
    }
}

fn request(method: &str, path: &str, host: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}
