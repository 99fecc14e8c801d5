//! A proxy on the way out: everything that is asked of a provider goes through it, and nothing else.

use std::net::TcpListener;
use std::process::Output;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::gateway::{GatewayBuilder, key};
use crate::harness::idp::{IdpRequest, IdpSettings, paths};
use crate::harness::outgoing::{OutgoingManner, OutgoingProxy, field};
use crate::harness::process_log::{lines_with, listen};
use crate::harness::program::clock_of_today;
use crate::harness::{Authority, Browser, Gateway, Program, RecordingUpstream, TestIdp, has_session};

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_an_https_provider_is_asked_goes_through_tunnels_by_name_and_reaches_it_alone() {
    let scene = Scene::tunnelled(|manner| manner.wants = Some(basic("svc", "p@ss"))).await;
    let gateway = scene
        .gateway(&format!(
            "{{ url = '{}', user = 'svc', password = 'p@ss' }}\nuserinfo = 'always'\nca = '{}'",
            scene.proxy.url(),
            scene.authority.root().display()
        ))
        .start()
        .await;
    let browser = scene.browser(&gateway);
    let page = browser.signs_in(&gateway.url("/page"), "Ada").await;
    assert_eq!(page.status, 200, "{}", page.text());
    gateway.clock.advance(std::time::Duration::from_secs(59));
    assert_eq!(browser.asks(&gateway.url("/page")).await.status, 200);
    let page = browser.opens(&gateway.own("logout")).await;
    browser.submits(&page, "/_vestibule/logout", &[]).await;

    // The provider: it was asked all of that, and heard nothing of a proxy.
    let seen = scene.idp.seen();
    for path in [paths::DISCOVERY, paths::KEY_SET, paths::TOKEN, paths::USERINFO, paths::REVOKE] {
        assert!(seen.iter().any(|seen| seen.path == path), "{path} was not asked");
    }
    assert!(!scene.idp.token_requests("refresh_token").is_empty(), "nothing was renewed");
    assert!(seen.iter().all(tells_nothing_of_a_proxy), "{seen:#?}");
    // The proxy: it was asked for this one name, which nobody here could resolve, and saw nothing else.
    for head in scene.proxy.asked() {
        assert!(head.starts_with("CONNECT login.invalid:443 HTTP/1.1\r\n"), "{head}");
        assert_eq!(field(&head, "host").as_deref(), Some("login.invalid:443"), "{head}");
        assert_eq!(field(&head, "proxy-authorization"), Some(basic("svc", "p@ss")));
        assert_eq!(field(&head, "authorization"), None, "{head}");
    }
    // The application: it was reached without it.
    assert_eq!(scene.upstream.seen().len(), 2);
    assert!(scene.upstream.seen().iter().all(|seen| seen.header("proxy-authorization").is_none()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_provider_is_asked_in_absolute_form_even_on_loopback() {
    for introspects in [false, true] {
        let idp = if introspects { TestIdp::plain_oauth2().await } else { TestIdp::start().await };
        let wants = Some(basic("svc", "p@ss:100%"));
        let proxy =
            OutgoingProxy::start(OutgoingManner { leads_to: Some(idp.address), wants, ..Default::default() }).await;
        let upstream = RecordingUpstream::start().await;
        let mut builder = Gateway::in_front_of(&upstream).signing_in_at(&idp);
        if introspects {
            builder = builder.without("provider.idp.userinfo_endpoint").with(&format!(
                "[provider.idp]\nintrospection_endpoint = '{}'\nrevocation_endpoint = '{}'",
                idp.url(paths::INTROSPECT),
                idp.url(paths::REVOKE)
            ));
        }
        let url = format!("http://svc:p%40ss%3A100%25@{}", proxy.address);
        let gateway = builder.with(&format!("[provider.idp]\noutgoing_proxy = '{url}'")).start().await;
        let browser = gateway.browser();
        let page = browser.signs_in(&gateway.url("/"), "Ada").await;
        assert_eq!(page.status, 200, "{}", page.text());
        let page = browser.opens(&gateway.own("logout")).await;
        browser.submits(&page, "/_vestibule/logout", &[]).await;

        // Browsers ask the provider themselves; what the gateway asked, the proxy saw.
        let by_gateway = |seen: &IdpRequest| seen.header("user-agent").is_some_and(|it| it.starts_with("vestibule/"));
        let seen: Vec<IdpRequest> = idp.seen().into_iter().filter(by_gateway).collect();
        assert!(seen.iter().all(tells_nothing_of_a_proxy), "{seen:#?}");
        let asked: Vec<String> =
            seen.iter().map(|seen| format!("{} {} HTTP/1.1", seen.method, idp.url(&seen.path))).collect();
        assert_eq!(proxy.lines(), asked);
        let endpoint = if introspects { paths::INTROSPECT } else { paths::DISCOVERY };
        for path in [endpoint, paths::TOKEN, paths::REVOKE] {
            assert!(seen.iter().any(|seen| seen.path == path), "{path}: {asked:#?}");
        }
        let authorized = |head: &String| field(head, "proxy-authorization") == Some(basic("svc", "p@ss:100%"));
        assert!(proxy.asked().iter().all(authorized));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_spoken_to_by_tls_where_its_url_says_so() {
    let own = Authority::new();
    for (ca_of_proxy, status) in [(true, 200), (false, 503)] {
        let scene = Scene::tunnelled(|manner| manner.own_tls = Some(own.acceptor("localhost", &[], false))).await;
        let both = scene.authority.root().with_file_name("both.pem");
        let mut roots = std::fs::read_to_string(scene.authority.root()).unwrap();
        roots.push_str(&std::fs::read_to_string(own.root()).unwrap());
        std::fs::write(&both, roots).unwrap();
        let ca = if ca_of_proxy { both } else { scene.authority.root() };
        let url = format!("https://localhost:{}", scene.proxy.address.port());
        let gateway = scene.gateway(&format!("'{url}'\nca = '{}'", ca.display())).start().await;
        let page = scene.browser(&gateway).signs_in(&gateway.url("/"), "Ada").await;
        assert_eq!(page.status, status, "{}", page.text());
        assert!(ca_of_proxy || page.names("proxy_unreachable"), "{}", page.text());
        assert_eq!(scene.proxy.lines().is_empty(), !ca_of_proxy);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn interim_answers_before_a_tunnel_are_passed_over() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nX-Note: wait\r\n\r\n";
    let scene = Scene::tunnelled(|manner| manner.interim = interim).await;
    let gateway = scene.trusting().start().await;
    let page = scene.browser(&gateway).signs_in(&gateway.url("/"), "Ada").await;
    assert_eq!(page.status, 200, "{}", page.text());
}

/// What a proxy answers to CONNECT: the code and the reason on the page, `error_type`, and words for the log.
const ANSWERS: [(&str, &str, &str, &str, &str); 14] = [
    (
        "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n",
        "VB-2021",
        "proxy_authentication",
        "proxy_authentication",
        "refused the user name and password (status 407)",
    ),
    (
        "HTTP/1.1 407 No\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n",
        "VB-2021",
        "proxy_authentication",
        "proxy_authentication",
        "it takes Negotiate, NTLM, and Basic is spoken",
    ),
    (
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nsnip",
        "VB-2022",
        "proxy_refused",
        "proxy_refused",
        "refused a connection to login.invalid:443 with status 403",
    ),
    (
        "HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n",
        "VB-2022",
        "proxy_refused",
        "proxy_refused",
        "with status 503 Service Unavailable: it could not reach or resolve",
    ),
    ("HTTP/1.1 302 Found\r\nLocation: http://x/\r\n\r\n", "VB-2022", "proxy_refused", "proxy_refused", "status 302"),
    ("HTTP/1.1 101 Switching Protocols\r\n\r\n", "VB-2022", "proxy_refused", "proxy_refused", "status 101"),
    ("HTTP/1.1 204 No Content\r\n\r\n", "VB-2022", "proxy_refused", "proxy_refused", "status 204"),
    ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "VB-2020", "proxy_answer", "proxy_unreachable", "no answer to CONNECT that can be"),
    ("", "VB-2020", "proxy_timeout", "proxy_unreachable", "no answer to CONNECT within the timeout"),
    ("HTTP/1.1 200 OK\r\n", "VB-2020", "proxy_timeout", "proxy_unreachable", "no answer to CONNECT within the timeout"),
    ("HTTP/1.1 100 Continue\r\n\r\n", "VB-2020", "proxy_timeout", "proxy_unreachable", "no answer to CONNECT within"),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "VB-2020",
        "proxy_answer",
        "proxy_unreachable",
        "more than a head came in answer to CONNECT",
    ),
    ("ENDLESS", "VB-2020", "proxy_answer", "proxy_unreachable", "no answer to CONNECT that can be used"),
    (
        "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "VB-2020",
        "proxy_answer",
        "proxy_unreachable",
        "more than a head came in answer to CONNECT",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn each_way_in_which_a_proxy_fails_has_a_reason_of_its_own_in_page_log_metrics_and_readiness() {
    listen();
    for (number, (says, code, reason, error_type, words)) in ANSWERS.into_iter().enumerate() {
        let says = if says == "ENDLESS" {
            format!("HTTP/1.1 200 OK\r\nX-Long: {}\r\n\r\n", "x".repeat(100_000))
        } else {
            says.to_owned()
        };
        let scene = Scene::tunnelled(|manner| manner.says = Some(says.clone())).await;
        let proxy = format!("{{ url = '{}', user = 'svc', password = 'p@ss' }}", scene.proxy.url());
        let shown = fails(&scene, &format!("p{number}"), &proxy, code, reason, error_type).await;
        assert!(shown.contains(words), "{says}: {shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_is_not_there_and_a_certificate_of_an_authority_in_between_are_told_apart() {
    listen();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let of_nobody = "VB-2020";
    let scene = Scene::tunnelled(|_| ()).await;
    for (name, proxy, code, reason, error_type, words) in [
        ("gone", format!("http://{gone}"), of_nobody, "proxy_unreachable", "proxy_unreachable", "Connection refused"),
        (
            "nameless",
            "http://no-such-host.invalid:3128".to_owned(),
            of_nobody,
            "proxy_unreachable",
            "proxy_unreachable",
            "the name cannot be resolved",
        ),
        // The proxy ends TLS itself; its authority is not in `ca`.
        ("opened", scene.proxy.url(), "VB-2023", "proxy_certificate", "proxy_certificate", "`provider.opened.ca`"),
    ] {
        let shown = fails(&scene, name, &format!("'{proxy}'"), code, reason, error_type).await;
        assert!(shown.contains(words), "{shown}");
    }
    let asks_for = Scene::tunnelled(|manner| manner.wants = Some(basic("svc", "p@ss"))).await;
    let proxy = format!("'{}'", asks_for.proxy.url());
    let shown = fails(&asks_for, "bare", &proxy, "VB-2021", "proxy_authentication", "proxy_authentication").await;
    assert!(shown.contains("asks for a user name and a password, and none are configured"), "{shown}");
}

/// A provider of this name behind a proxy that fails: nobody signs in, and it is said why. Gives the line of the log.
async fn fails(scene: &Scene, name: &str, proxy: &str, code: &str, reason: &str, error_type: &str) -> String {
    let table = format!(
        "[provider.{name}]\nissuer = 'https://login.invalid'\nclient_id = 'a'\nclient_secret = 'only for tests'\n\
         timeout = '1s'\noutgoing_proxy = {proxy}"
    );
    let gateway = Gateway::in_front_of(&scene.upstream).with(&table).start().await;
    let browser = gateway.browser();
    let page = browser.asks(&gateway.url("/")).await;
    assert_eq!(page.status, 503, "{reason}: {}", page.text());
    assert!(page.names(reason) && page.names(code), "{reason}, {code}: {}", page.text());
    assert!(page.header("retry-after").is_some() && !has_session(&browser));
    assert!(scene.upstream.seen().is_empty() && scene.idp.seen().is_empty(), "{reason}");
    let lines = lines_with(&["ERROR", &format!("\"{name}\"")]);
    let lines = if lines.is_empty() { lines_with(&["ERROR", name]) } else { lines };
    assert_eq!(lines.len(), 1, "{reason}: {lines:#?}");
    assert!(lines[0].contains(reason), "{}", lines[0]);
    let metrics = gateway.admin_text("/metrics").await;
    let of = format!(r#"vestibule_peer="idp",server_address="{name}",http_request_method="GET""#);
    let counted = format!(r#"http_client_request_duration_seconds_count{{{of},error_type="{error_type}"}}"#);
    assert!(metrics.contains(&counted), "{counted}\n{metrics}");
    let readiness = gateway.admin_text("/readyz?verbose").await;
    assert!(readiness.contains(reason), "{readiness}");
    for shown in [&lines[0], &metrics, &readiness, &page.text()] {
        assert!(!shown.contains("p@ss") && !shown.contains(&basic("svc", "p@ss")), "{shown}");
    }
    lines[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_407_to_a_request_in_absolute_form_is_the_proxys() {
    let idp = TestIdp::start().await;
    let manner = OutgoingManner { leads_to: Some(idp.address), wants: Some(basic("a", "b")), ..Default::default() };
    let proxy = OutgoingProxy::start(manner).await;
    let upstream = RecordingUpstream::start().await;
    let with = format!("[provider.idp]\noutgoing_proxy = '{}'", proxy.url());
    let gateway = Gateway::in_front_of(&upstream).signing_in_at(&idp).with(&with).start().await;
    let page = gateway.browser().asks(&gateway.url("/")).await;
    assert_eq!(page.status, 503, "{}", page.text());
    assert!(page.names("proxy_authentication"), "{}", page.text());
    assert!(idp.seen().is_empty() && !proxy.asked().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_the_proxy_signs_nobody_out_and_a_changed_password_is_taken_up() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "first\n").unwrap();
    let idp = TestIdp::start().await;
    let behind = |password: &str| {
        let wants = Some(basic("svc", password));
        OutgoingProxy::start(OutgoingManner { leads_to: Some(idp.address), wants, ..Default::default() })
    };
    let (first, second) = (behind("first").await, behind("second").await);
    let upstream = RecordingUpstream::start().await;
    let through = |proxy: &OutgoingProxy| {
        let password = format!("{{ file = '{}' }}", file.display());
        format!("[provider.idp]\noutgoing_proxy = {{ url = '{}', user = 'svc', password = {password} }}", proxy.url())
    };
    let mut gateway = Gateway::in_front_of(&upstream).signing_in_at(&idp).with(&through(&first)).start().await;
    let browser = gateway.browser();
    assert_eq!(browser.signs_in(&gateway.url("/"), "Ada").await.status, 200);
    // The other proxy wants another password: tokens cannot be renewed, and Ada stays signed in.
    gateway.reload_with(&through(&second));
    gateway.clock.advance(std::time::Duration::from_secs(57));
    assert_eq!(browser.asks(&gateway.url("/")).await.status, 200);
    let page = gateway.browser().asks(&gateway.url("/")).await;
    assert!(page.status == 503 && page.names("proxy_authentication"), "{}", page.text());
    std::fs::write(&file, "second\n").unwrap();
    gateway.reload_with("");
    assert_eq!(gateway.browser().signs_in(&gateway.url("/"), "Ada").await.status, 200);
    assert!(second.asked().iter().any(|head| field(head, "proxy-authorization") == Some(basic("svc", "second"))));
}

/// Variables and keys, and what `check` says of them; `PROXY` stands for a URL with a password.
type Said = (&'static [(&'static str, &'static str)], &'static str, &'static str);
const CHOICES: [Said; 13] = [
    (&[("HTTPS_PROXY", "PROXY")], "", "asked through the proxy http://proxy.corp:3128 (HTTPS_PROXY)"),
    (
        &[("https_proxy", "PROXY"), ("HTTPS_PROXY", "b:1")],
        "",
        "asked through the proxy http://proxy.corp:3128 (https_proxy)",
    ),
    (&[("https_proxy", ""), ("HTTPS_PROXY", "b:1")], "", "asked through the proxy http://b:1 (HTTPS_PROXY)"),
    (&[("HTTP_PROXY", "PROXY")], "", "asked directly: no proxy is named"),
    (&[("HTTPS_PROXY", "PROXY"), ("NO_PROXY", "other, example.com")], "", "asked directly: NO_PROXY names the host"),
    (
        &[("HTTPS_PROXY", "PROXY"), ("no_proxy", ".login.example.com"), ("NO_PROXY", "*")],
        "",
        "asked through the proxy http://proxy.corp:3128 (HTTPS_PROXY)",
    ),
    (
        &[("HTTPS_PROXY", "b:1"), ("NO_PROXY", "*")],
        "outgoing_proxy = 'PROXY'",
        "asked through the proxy http://proxy.corp:3128 (provider.corp.outgoing_proxy at vestibule.toml:11)",
    ),
    (
        &[("HTTPS_PROXY", "PROXY")],
        "outgoing_proxy = 'none'",
        "asked directly: outgoing_proxy is \"none\" (provider.corp.outgoing_proxy at vestibule.toml:11)",
    ),
    (
        &[("HTTPS_PROXY", "socks5://b:1")],
        "outgoing_proxy = { url = 'http://proxy.corp:3128', user = 'svc', password = { env = 'WORD' } }",
        "asked through the proxy http://proxy.corp:3128 (provider.corp.outgoing_proxy at vestibule.toml:11)",
    ),
    (
        &[("VESTIBULE__PROVIDER__CORP__OUTGOING_PROXY", "PROXY")],
        "",
        "asked through the proxy http://proxy.corp:3128 (VESTIBULE__PROVIDER__CORP__OUTGOING_PROXY)",
    ),
    (&[], "outgoing_proxy = 'https://[fd00::1]'", "asked through the proxy https://[fd00::1]:443 (provider.corp."),
    (
        &[("HTTP_PROXY", "PROXY")],
        "token_endpoint = 'http://127.0.0.1:1/token'",
        "token_endpoint is asked through the proxy http://proxy.corp:3128 (HTTP_PROXY)",
    ),
    (
        &[("HTTPS_PROXY", "PROXY"), ("NO_PROXY", "api.example.com")],
        "userinfo_endpoint = 'https://api.example.com/me'",
        "userinfo_endpoint is asked directly: NO_PROXY names the host",
    ),
];

#[test]
fn check_and_show_say_which_proxy_is_used_and_where_it_was_taken_from_and_never_a_password() {
    for (variables, keys, said) in CHOICES {
        let proxy = |text: &str| text.replace("PROXY", "http://svc:hunter2@proxy.corp:3128");
        let folder = written(&proxy(keys));
        let env: Vec<(&str, String)> = variables.iter().map(|(name, value)| (*name, proxy(value))).collect();
        let (code, checked) = ran(&["check", "--offline", "--format", "json"], &folder, &env);
        assert_eq!(code, 0, "{variables:?} {keys}: {checked}");
        let json: Value = serde_json::from_str(checked.split("\n\u{0}").next().unwrap()).unwrap();
        let found: Vec<&str> = json["probes"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|found| found["code"] == "outgoing_proxy")
            .map(|found| found["message"].as_str().unwrap())
            .collect();
        assert!(found.iter().any(|message| message.starts_with(said)), "{variables:?} {keys}: {found:?}");
        for command in [
            &["check", "--offline"] as &[&str],
            &["show", "--origin"],
            &["show", "--effective", "--origin"],
            &["bugreport", "--offline"],
        ] {
            let (_, shown) = ran(command, &folder, &env);
            assert!(!shown.contains("hunter2"), "{command:?}: {shown}");
        }
        assert!(!checked.contains("hunter2"), "{checked}");
    }
    let folder = written("");
    let env = [("HTTPS_PROXY", "http://svc:hunter2@proxy.corp:3128".to_owned())];
    let (_, shown) = ran(&["show", "--effective", "--origin"], &folder, &env);
    assert!(shown.contains("outgoing_proxy = \"http://proxy.corp:3128\" # HTTPS_PROXY"), "{shown}");
    let (_, shown) = ran(&["show"], &folder, &env);
    assert!(!shown.contains("outgoing_proxy"), "{shown}");
    let (_, silent) = ran(&["check", "--offline"], &folder, &[]);
    assert!(!silent.contains("asked"), "nothing is said where nothing is named: {silent}");
}

#[test]
fn a_variable_that_names_no_proxy_stops_everything_and_nobody_is_asked_directly() {
    let folder = written("");
    for (name, value, words) in [
        ("HTTPS_PROXY", "socks5://svc:hunter2@proxy.corp:1080", "SOCKS is not spoken"),
        ("https_proxy", "http://svc:hunter2@proxy.corp:99999", "it is not a URL"),
        ("http_proxy", "gopher://svc:hunter2@proxy.corp", "its scheme is neither http nor https"),
    ] {
        for command in [&["check", "--offline"] as &[&str], &["run"]] {
            let (code, said) = ran(command, &folder, &[(name, value.to_owned())]);
            assert_eq!(code, 78, "{said}");
            assert!(said.contains("VB-0041") && said.contains(name) && said.contains(words), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_asks_the_provider_through_the_proxy_and_tells_its_failures_apart() {
    let clock = clock_of_today();
    let idp = TestIdp::sharing(IdpSettings::default(), clock).await;
    let honest = OutgoingProxy::start(OutgoingManner { leads_to: Some(idp.address), ..Default::default() }).await;
    let refusing =
        |says: &str| OutgoingProxy::start(OutgoingManner { says: Some(says.to_owned()), ..Default::default() });
    let (wants, forbids) = (
        refusing("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n").await,
        refusing("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await,
    );
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let opening = Scene::tunnelled(|_| ()).await;
    let https = "https://login.invalid";
    for (issuer, proxy, code, words) in [
        (idp.issuer(), honest.url(), "discovery", "discovery document of"),
        (idp.issuer(), wants.url(), "proxy_authentication", "407"),
        (https, wants.url(), "proxy_authentication", "407"),
        (https, forbids.url(), "proxy_refused", "status 403"),
        (https, format!("http://{gone}"), "proxy_unreachable", "Connection refused"),
        (https, opening.proxy.url(), "proxy_certificate", "`provider.corp.ca`"),
    ] {
        let folder = written_for(issuer, &format!("outgoing_proxy = '{proxy}'"));
        let (_, checked) = ran(&["check", "--format", "json"], &folder, &[]);
        let json: Value = serde_json::from_str(checked.split("\n\u{0}").next().unwrap()).unwrap();
        let probes = json["probes"].as_array().unwrap();
        let found = probes.iter().find(|found| found["code"] == code).unwrap_or_else(|| panic!("{code}: {checked}"));
        assert!(found["message"].as_str().unwrap().contains(words), "{found}");
        assert_eq!(found["verdict"], if code == "discovery" { "ok" } else { "fail" }, "{found}");
    }
    assert!(honest.lines().iter().any(|line| line.contains(paths::DISCOVERY)), "{:?}", honest.lines());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_running_program_asks_through_the_proxy_that_a_variable_names() {
    let idp = TestIdp::sharing(IdpSettings::default(), clock_of_today()).await;
    let proxy = OutgoingProxy::start(OutgoingManner { leads_to: Some(idp.address), ..Default::default() }).await;
    let folder = written_for(idp.issuer(), "");
    let mut command = Program::command();
    command.args(["run", "-c", "vestibule.toml"]).env("HTTP_PROXY", proxy.url()).env("NO_PROXY", "other.example");
    command.env("WORD", "only for tests").env("KEY", key(1));
    let program = Program::started(command, folder);
    let address = program.address().await;
    let browser = Browser::new(idp.clock.clone()).resolving("https://wiki.example.com", address);
    let page = browser.asks("https://wiki.example.com/").await;
    assert_eq!(page.status, 302, "{}", page.text());
    assert_eq!(proxy.lines()[0], format!("GET {} HTTP/1.1", idp.url(paths::DISCOVERY)));
}

/// A provider that is `https://login.invalid` behind a proxy that leads there, an application, and the provider's authority.
struct Scene {
    idp: TestIdp,
    proxy: OutgoingProxy,
    upstream: RecordingUpstream,
    authority: Authority,
}

impl Scene {
    async fn tunnelled(change: impl FnOnce(&mut OutgoingManner)) -> Self {
        let (idp, authority) = (TestIdp::at_https("login.invalid", IdpSettings::default()).await, Authority::new());
        let far_tls = Some(authority.acceptor("login.invalid", &[], false));
        let mut manner = OutgoingManner { leads_to: Some(idp.address), far_tls, ..Default::default() };
        change(&mut manner);
        let (proxy, upstream) = (OutgoingProxy::start(manner).await, RecordingUpstream::start().await);
        Self { idp, proxy, upstream, authority }
    }

    /// A gateway with this as `outgoing_proxy`, and what follows it.
    fn gateway(&self, outgoing_proxy: &str) -> GatewayBuilder {
        let with = format!("[provider.idp]\noutgoing_proxy = {outgoing_proxy}");
        Gateway::in_front_of(&self.upstream).signing_in_at(&self.idp).with(&with)
    }

    /// The same, with what is needed.
    fn trusting(&self) -> GatewayBuilder {
        self.gateway(&format!("'{}'\nca = '{}'", self.proxy.url(), self.authority.root().display()))
    }

    /// A browser that knows the way to the provider by itself.
    fn browser(&self, gateway: &Gateway) -> Browser {
        gateway.browser().resolving(self.idp.issuer(), self.idp.address)
    }
}

fn tells_nothing_of_a_proxy(seen: &IdpRequest) -> bool {
    !seen.headers.iter().any(|(name, value)| {
        name.as_str().starts_with("proxy-")
            || value.to_str().is_ok_and(|value| value.contains(&STANDARD.encode("svc:")[..5]))
    })
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// A configuration with these keys of the provider, from line 11 on.
fn written(keys: &str) -> TempDir {
    written_for("https://login.example.com", keys)
}

fn written_for(issuer: &str, keys: &str) -> TempDir {
    let text = format!(
        "[server]\nlisten = '127.0.0.1:0'\npublic_url = 'https://wiki.example.com'\ntrusted_proxies = ['127.0.0.1']\n\
         [session]\nkeys = [{{ env = 'KEY' }}]\n[provider.corp]\nissuer = '{issuer}'\nclient_id = 'a'\n\
         client_secret = {{ env = 'WORD' }}\n{keys}\n[route.wiki]\nupstream = 'static:204'\n[admin]\nlisten = '127.0.0.1:0'\n"
    );
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("vestibule.toml"), text).unwrap();
    folder
}

/// The exit code of a command, and all that it says: first standard output, then, behind a NUL, standard error.
fn ran(arguments: &[&str], folder: &TempDir, env: &[(&str, String)]) -> (i32, String) {
    let mut command = Program::command();
    command.args(arguments).args(["-c", "vestibule.toml"]).current_dir(folder.path());
    command.env("WORD", "only for tests").env("KEY", key(1)).envs(env.iter().map(|(name, value)| (name, value)));
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), format!("{}\n\u{0}{}", text(stdout), text(stderr)))
}
