//! What the access log leaves out, and what no client can keep out of it.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Raw, Scene};
use crate::operation::{json_lines, logs_in};

const RULES: &str = "
[route.app.paths]
'/quiet' = { access = 'public', access_log = false }
'/quiet/loud' = { access = 'public', access_log = true }
'/members' = { access_log = false }
'/shut' = { access = 'deny', access_log = false }
";

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_keeps_parts_of_a_route_out_of_the_access_log() {
    let folder = TempDir::new().unwrap();
    let Scene { idp: _idp, upstream, gateway, browser } =
        Scene::built(|gateway| gateway.with(&logs_in(folder.path())).with(RULES)).await;
    let asks = async |path: &str| browser.asks(&gateway.url(path)).await.status;
    assert_eq!(asks("/quiet/style.css").await, 200);
    assert_eq!(asks("/quiet/loud").await, 200);
    assert_eq!(asks("/members").await, 302);
    assert_eq!(asks("/shut").await, 403);
    let member = gateway.browser();
    assert_eq!(member.signs_in(&gateway.url("/members"), "Ada").await.status, 200);
    upstream.answers_once("");
    assert_eq!(asks("/quiet/broken").await, 502);
    // Nobody can say which rule such a path is for.
    assert_eq!(asks("//quiet/x").await, 400);
    assert_eq!(asks("/_vestibule/none").await, 404);
    let metrics = gateway.admin_text("/metrics").await;
    gateway.stop().await;

    assert_eq!(
        lines(folder.path()),
        [
            ("//quiet/x".to_owned(), 400),
            ("/_vestibule/callback".to_owned(), 303),
            ("/_vestibule/none".to_owned(), 404),
            ("/quiet/loud".to_owned(), 200),
        ]
    );
    // What is not in the access log is everywhere else.
    let audit = json_lines(&folder.path().join("audit"));
    let has = |event: &str, path: &str| audit.iter().any(|line| line["event"] == event && line["path"] == path);
    assert!(has("access.denied", "/shut") && has("access.granted", "/members"), "{audit:#?}");
    assert!(metrics.contains("decision=\"deny\",reason=\"route_closed\"} 1"), "{metrics}");
    assert!(metrics.contains("vestibule_auth_decisions_total{route=\"app\",decision=\"bypass\",reason=\"public\"} 3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_is_left_out_may_have_parts_that_are_not_and_a_reload_changes_both() {
    let folder = TempDir::new().unwrap();
    let Scene { idp: _idp, upstream: _upstream, mut gateway, browser } = Scene::built(|gateway| {
        gateway
            .with(&logs_in(folder.path()))
            .with("[route.app]\naccess = 'public'\naccess_log = false\npaths.'/admin' = { access_log = true }")
    })
    .await;
    for path in ["/a", "/admin/b"] {
        assert_eq!(browser.asks(&gateway.url(path)).await.status, 200);
    }
    gateway.reload_with("[route.app]\naccess_log = true\npaths.'/admin' = { access_log = false }");
    for path in ["/c", "/admin/d"] {
        assert_eq!(browser.asks(&gateway.url(path)).await.status, 200);
    }
    gateway.stop().await;
    assert_eq!(lines(folder.path()), [("/admin/b".to_owned(), 200), ("/c".to_owned(), 200)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_left_out_by_its_name_and_hides_neither_errors_nor_anybody_who_is_signed_in() {
    let folder = TempDir::new().unwrap();
    let rules = "
    [log]
    access_exclude_agents = ['kube-probe/*', 'Uptime*(quiet)']
    [route.app.paths]
    '/open' = { access = 'public' }
    '/maybe' = { access = 'optional' }
    '/shut' = { access = 'deny' }
    ";
    let scene = Scene::built(|gateway| gateway.with(&logs_in(folder.path())).with(rules)).await;
    let gateway = &scene.gateway;
    let page = scene.browser.signs_in(&gateway.url("/"), "Ada").await;
    assert_eq!(page.status, 200);
    let (stranger, ada) = ("theme=dark".to_owned(), format!("vestibule={}", scene.cookie()));
    let forger = "vestibule=Zm9yZ2Vk".to_owned();
    let host = gateway.authority();
    let mut wanted = Vec::new();
    for (number, (who, path, agent, status, is_logged)) in [
        (&stranger, "/open", "kube-probe/1.33", 200, false),
        (&stranger, "/open", "Uptime 2 (quiet)", 200, false),
        (&stranger, "/maybe", "kube-probe/1.33", 200, false),
        (&stranger, "/members", "kube-probe/1.33", 302, false),
        (&stranger, "/_vestibule/signed-out", "kube-probe/1.33", 200, false),
        (&stranger, "/open", "Mozilla/5.0 kube-probe/1.33", 200, true),
        (&stranger, "/open", "Kube-Probe/1.33", 200, true),
        (&stranger, "/open", "Uptime 2 (quiet) and more", 200, true),
        (&stranger, "/shut", "kube-probe/1.33", 403, true),
        (&stranger, "/_vestibule/none", "kube-probe/1.33", 404, true),
        (&stranger, "//open", "kube-probe/1.33", 400, true),
        (&ada, "/members", "kube-probe/1.33", 200, true),
        (&ada, "/maybe", "kube-probe/1.33", 200, true),
        (&ada, "/open", "kube-probe/1.33", 200, true),
        (&ada, "/_vestibule/session", "kube-probe/1.33", 200, true),
        (&forger, "/maybe", "kube-probe/1.33", 200, true),
        (&forger, "/open", "kube-probe/1.33", 200, true),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("{path}?{number}");
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nCookie: {who}\r\nAccept: text/html\r\n\r\n"
        );
        assert_eq!(Raw::once(gateway.address, request).await.status, status, "{path} by {agent}");
        if is_logged {
            // Of our own endpoints, and of what takes no route, only the path is written.
            let is_ours = path.starts_with("/_vestibule") || path.starts_with("//");
            let shown = if is_ours { path.split('?').next().unwrap().to_owned() } else { path };
            wanted.push((shown, u64::from(status)));
        }
    }
    // What could not be read, and what names no client.
    for (request, status) in [
        (format!("GET /bad%00 HTTP/1.1\r\nHost: {host}\r\nUser-Agent: kube-probe/1\r\n\r\n"), 400),
        (format!("GET /open?none HTTP/1.1\r\nHost: {host}\r\n\r\n"), 200),
        (format!("GET /open?odd HTTP/1.1\r\nHost: {host}\r\nUser-Agent: kube-probe/\u{e4}\r\n\r\n"), 200),
    ] {
        assert_eq!(Raw::once(gateway.address, request).await.status, status);
    }
    wanted.extend([("/bad%00".to_owned(), 400), ("/open?none".to_owned(), 200), ("/open?odd".to_owned(), 200)]);
    let Scene { gateway, .. } = scene;
    gateway.stop().await;
    wanted.sort();
    let mut found = lines(folder.path());
    found.retain(|(path, _)| path != "/" && path != "/_vestibule/callback");
    assert_eq!(found, wanted);
}

/// Path and status of each line, sorted: lines of different threads may stand in another order than they were made in.
fn lines(folder: &Path) -> Vec<(String, u64)> {
    let read = |line: &Value| (line["path"].as_str().unwrap().to_owned(), line["status"].as_u64().unwrap());
    let mut lines: Vec<_> = json_lines(&folder.join("access")).iter().map(read).collect();
    lines.sort();
    lines
}
