//! What is said of failures: in the log with cause, route and request, in metrics by what failed.

use std::future::pending;
use std::net::TcpListener;

use crate::harness::process_log::{lines_with, listen};
use crate::harness::{Authority, Gateway, RecordingUpstream, Scene, Stage};

/// How an application, or a provider, is not to be had.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Garbage,
    HangsUp,
    NoName,
    Nobody,
    Silent,
    StrangersTls,
}

/// What is said of it: the reason and words in the log, `error_type`.
const OF_APPLICATIONS: [(Fault, &str, &str, &str); 6] = [
    (Fault::Nobody, "upstream_connect", "Connection refused", "connection_refused"),
    (Fault::NoName, "upstream_name_resolution", "cannot resolve the name of no-such-host.invalid", "name_resolution"),
    (Fault::StrangersTls, "upstream_tls", "UnknownIssuer", "tls"),
    (Fault::Silent, "upstream_first_byte_timeout", "did not begin to answer within 50ms", "timeout"),
    (Fault::HangsUp, "upstream_closed", "closed the connection before it answered", "connection_closed"),
    (Fault::Garbage, "upstream_bad_response", "invalid HTTP version", "bad_response"),
];
const OF_PROVIDERS: [(Fault, &str, &str, &str); 4] = [
    (Fault::Nobody, "provider_connect_failed", "Connection refused", "connection_refused"),
    (Fault::NoName, "provider_name_resolution", "the name cannot be resolved", "name_resolution"),
    (Fault::StrangersTls, "provider_tls_failed", "UnknownIssuer", "tls"),
    (Fault::Silent, "provider_timeout", "within the timeout", "timeout"),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_of_an_application_is_logged_with_cause_and_route_and_counted_by_its_kind() {
    listen();
    for (fault, reason, words, error_type) in OF_APPLICATIONS {
        let url = having(fault).await;
        let route = format!("app-{error_type}");
        let scene = Scene::with(&format!(
            "[route.{route}]\npath = '/x'\naccess = 'public'\nupstream = '{url}'\ntimeouts.first_byte = '50ms'"
        ))
        .await;
        let answer = scene.sends("GET", "/x", "").await;
        assert_eq!(answer.status, if matches!(fault, Fault::Silent) { 504 } else { 502 }, "{fault:?}");
        assert!(!answer.text().contains(words), "{fault:?}: what is inside is not for strangers (AT-CL-09)");
        let lines = lines_with(&["WARN", &request_id(&answer.text())]);
        assert_eq!(lines.len(), 1, "{fault:?}: {lines:#?}");
        assert!([&route, reason, words].iter().all(|part| lines[0].contains(*part)), "{fault:?}: {}", lines[0]);
        let metrics = scene.gateway.admin_text("/metrics").await;
        let of = format!(r#"vestibule_peer="upstream",server_address="{route}",http_request_method="GET""#);
        let counted = format!(r#"http_client_request_duration_seconds_count{{{of},error_type="{error_type}"}} 1"#);
        assert!(metrics.lines().any(|line| line == counted), "{counted}\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_breaks_off_is_not_told_as_a_failure_of_the_application() {
    listen();
    let stage = Stage::start().await;
    let scene =
        Scene::with(&format!("[route.slow]\npath = '/x'\naccess = 'public'\nupstream = '{}'", stage.url())).await;
    let mut client = scene.raw().await;
    client.send(scene.request("POST", "/x", "X-Broken: 1\r\nTransfer-Encoding: chunked\r\n")).await;
    let mut application = stage.connection().await;
    application.head().await;
    client.send("nonsense\r\n").await;
    let answer = client.answer("POST").await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    let of_it = lines_with(&[&request_id(&answer.text())]);
    assert_eq!(of_it.len(), 1, "{of_it:#?}");
    assert!(["INFO", "slow", "request_body_broken"].iter().all(|part| of_it[0].contains(part)), "{of_it:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_of_a_provider_is_logged_with_its_cause_and_counted_by_its_kind() {
    listen();
    let upstream = RecordingUpstream::start().await;
    for (fault, reason, words, error_type) in OF_PROVIDERS {
        let (url, name) = (having(fault).await, format!("op-{error_type}"));
        let table = format!(
            "[provider.{name}]\nissuer = '{url}'\nclient_id = 'a'\nclient_secret = 'only for tests'\ntimeout = '1s'\n\
             insecure_http = true"
        );
        let gateway = Gateway::in_front_of(&upstream).with(&table).start().await;
        let page = gateway.browser().asks(&gateway.url("/")).await;
        assert_eq!(page.status, 503, "{fault:?}: {}", page.text());
        assert!(!page.text().contains(words), "{fault:?}: {}", page.text());
        let lines = lines_with(&["ERROR", &name]);
        assert_eq!(lines.len(), 1, "{fault:?}: {lines:#?}");
        assert!([reason, words].iter().all(|part| lines[0].contains(part)), "{fault:?}: {}", lines[0]);
        let metrics = gateway.admin_text("/metrics").await;
        let of = format!(r#"vestibule_peer="idp",server_address="{name}",http_request_method="GET""#);
        let counted = format!(r#"http_client_request_duration_seconds_count{{{of},error_type="{error_type}"}} 1"#);
        assert!(metrics.lines().any(|line| line == counted), "{counted}\n{metrics}");
    }
}

/// Requests that never take a route, or end at an endpoint of ours: what is asked, the status, and the endpoint that counts it.
const OWN: [(&str, &str, u16, Option<&str>); 12] = [
    ("GET", "/..%2fadmin", 400, None),
    ("GET", "/a%zz", 400, None),
    ("TRACE", "/", 405, None),
    ("GET", "/unrouted", 404, None),
    ("GET", "/_vestibule/nothing", 404, None),
    ("GET", "/_vestibule/metrics/x", 404, None),
    ("GET", "/_vestibule/callback", 400, Some("callback")),
    ("DELETE", "/_vestibule/callback?state=x", 405, Some("callback")),
    ("DELETE", "/_vestibule/login", 405, Some("login")),
    ("GET", "/_vestibule/login", 401, Some("login")),
    ("GET", "/_vestibule/session", 401, Some("session")),
    ("GET", "/_vestibule/logout", 200, Some("logout")),
];

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_our_own_are_counted_and_leave_a_line_with_their_request_id() {
    listen();
    let scene = Scene::built(|gateway| {
        let route = "[route.app]\nhost = '127.0.0.1'\npath = '/app'\n[route.app.paths]\n'/app/admin' = { access = 'deny' }\n\
                     [route.admin]\nhost = '127.0.0.1'\npath = '/admin'\nupstream = 'static:204'\naccess = 'deny'";
        gateway.with(route)
    })
    .await;
    for (method, target, status, endpoint) in OWN {
        let labels = labels(method, status, endpoint);
        let before = served(&scene.gateway, &labels).await;
        let answer = scene.sends(method, target, "").await;
        assert_eq!(answer.status, status, "{method} {target}: {}", answer.text());
        assert_eq!(served(&scene.gateway, &labels).await, before + 1, "{method} {target}: {labels}");
        // What the audit log tells, and scripts that are not signed in, are no news for the process log.
        if status != 401 && status != 200 {
            let id = request_id(&answer.text());
            let lines = lines_with(&["INFO", &id]);
            assert_eq!(lines.len(), 1, "{method} {target}: {lines:#?}");
        }
    }
    let mut elsewhere = scene.raw().await;
    elsewhere.send("GET /app HTTP/1.1\r\nHost: other.example\r\n\r\n").await;
    let answer = elsewhere.answer("GET").await;
    assert_eq!(answer.status, 421, "{}", answer.text());
    assert_eq!(served(&scene.gateway, &labels("GET", 421, None)).await, 1);
    assert_eq!(lines_with(&["INFO", &request_id(&answer.text())]).len(), 1);
    let metrics = scene.gateway.admin_text("/metrics").await;
    assert!(metrics.lines().any(|line| line == "http_server_active_requests 0"), "{metrics}");
}

fn labels(method: &str, status: u16, endpoint: Option<&str>) -> String {
    let route = endpoint.map(|name| format!(r#"http_route="/_vestibule/{name}","#)).unwrap_or_default();
    format!(r#"http_request_method="{method}",http_response_status_code="{status}",{route}url_scheme="http""#)
}

async fn served(gateway: &Gateway, labels: &str) -> u64 {
    let metrics = gateway.admin_text("/metrics").await;
    let sample = format!("http_server_request_duration_seconds_count{{{labels}}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&sample)?.parse().ok()).unwrap_or_default()
}

/// The URL of somebody with this fault.
async fn having(fault: Fault) -> String {
    let stage = Stage::start().await;
    let (url, port) = (stage.url(), stage.address.port());
    match fault {
        Fault::Nobody => return format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()),
        Fault::NoName => return "http://no-such-host.invalid:80".to_owned(),
        Fault::Silent => drop(tokio::spawn(async move {
            // The kernel takes connections as long as somebody listens.
            let _listening = stage;
            pending::<()>().await;
        })),
        Fault::HangsUp => drop(tokio::spawn(async move {
            loop {
                drop(stage.stream().await);
            }
        })),
        Fault::Garbage => drop(tokio::spawn(async move {
            loop {
                let mut connection = stage.connection().await;
                connection.head().await;
                connection.send("SSH-2.0-OpenSSH_9.2\r\n\r\n").await;
            }
        })),
        Fault::StrangersTls => {
            let acceptor = Authority::new().acceptor("localhost", &["http/1.1"], false);
            tokio::spawn(async move {
                loop {
                    let _ = acceptor.accept(stage.stream().await).await;
                }
            });
            return format!("https://localhost:{port}");
        }
    }
    url
}

/// The request id in a page for a terminal: `Request ID at TIME on HOST`.
fn request_id(page: &str) -> String {
    let line = page.lines().rev().find(|line| line.starts_with("Request ")).unwrap_or_else(|| panic!("no id: {page}"));
    line.split(' ').nth(1).unwrap().to_owned()
}
