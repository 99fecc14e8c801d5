//! `vestibule doctor` against real gateways: one that is well, and one with each fault.

use std::net::{SocketAddr, TcpListener};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::idp::CLIENT_ID;
use crate::harness::{Authority, Gateway, Program, RecordingUpstream, Scene, TestIdp};

const WIKI: &str = "wiki.example.com";

/// The exit, and the codes that were found, remarks among them.
async fn examined(arguments: &[&str]) -> (i32, Vec<String>, Value) {
    let folder = TempDir::new().unwrap();
    let arguments = [&["doctor", "--format", "json"], arguments].concat();
    let (exit, said, errors) = tokio::task::block_in_place(|| Program::ended(&arguments, &folder));
    let report: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}{errors}"));
    assert_eq!(report["exit"], exit, "{report:#}");
    let codes = report["findings"].as_array().unwrap().iter().filter_map(|it| it["code"].as_str().map(str::to_owned));
    (exit, codes.collect(), report)
}

/// The message beside a code.
fn message<'a>(report: &'a Value, code: &str) -> &'a str {
    let found = report["findings"].as_array().unwrap().iter().find(|it| it["code"] == code);
    found.unwrap_or_else(|| panic!("no {code} in {report:#}"))["message"].as_str().unwrap()
}

fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A page for everybody that shows the headers that it was asked with.
const ECHO: &str = "[route.app.paths]\n'/echo' = { access = 'public' }\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_is_well_is_said_to_be() {
    let authority = Authority::new();
    let pair = authority.certifies("wiki", &[WIKI]);
    let tls = format!("[server.tls]\ncert = '{}'\nkey = '{}'\n{ECHO}", pair.cert.display(), pair.key.display());
    let scene = Scene::built(|gateway| gateway.at_https(WIKI).with(&tls)).await;
    let (url, at, away) =
        (format!("https://{WIKI}/"), scene.gateway.address.to_string(), format!("http://{}", nobody()));
    let root = authority.root();
    let root = root.to_str().unwrap();
    let arguments = [&url, "--connect", &at, "--ca", root, "--echo", "/echo", "--upstream", &away];
    let (exit, codes, report) = examined(&arguments).await;
    assert_eq!((exit, codes), (0, vec!["VB-6013".to_owned()]), "HSTS is a remark: {report:#}");
    let good: Vec<&str> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it["verdict"] == "ok")
        .map(|it| it["subject"].as_str().unwrap())
        .collect();
    let expected = [
        "https",
        "page",
        "redirect_uri",
        "sign-in",
        "cookies",
        "provider",
        "host",
        "header buffers",
        "forged headers",
        "application",
    ];
    assert_eq!(good, expected, "{report:#}");
    // It signs nobody in.
    assert!(scene.idp.token_requests("authorization_code").is_empty());

    // What people read.
    let folder = TempDir::new().unwrap();
    let (exit, said, errors) =
        tokio::task::block_in_place(|| Program::ended(&[&["doctor"] as &[&str], &arguments].concat(), &folder));
    assert_eq!((exit, errors.as_str()), (0, ""));
    assert!(said.contains("note [VB-6013] hsts: ") && said.contains("ok   sign-in: leads to "), "{said}");

    // A certificate that this machine does not trust ends it.
    let (exit, codes, _) = examined(&[&url, "--connect", &at]).await;
    assert_eq!((exit, codes), (78, vec!["VB-6002".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_the_gateway_has_its_code() {
    for (toml, more, expected, told) in [
        // Such a provider refuses, too.
        ("provider.idp.pkce = false", &[] as &[&str], vec!["VB-6005", "VB-6006"], "PKCE"),
        ("provider.idp.client_id = 'nobody'", &[], vec!["VB-6006"], "answers 4"),
        ("server.limits.header_bytes = '8KiB'", &[], vec!["VB-6009"], "431"),
        ("server.trusted_proxies = ['127.0.0.1']\nroute.app.host = '127.0.0.1'", &[], vec!["VB-6012"], "421"),
        ("", &["--upstream", "UPSTREAM"], vec!["VB-6011"], "answers 200"),
        ("route.app.insecure_keep_headers = ['Remote-User']", &["--echo", "/echo"], vec!["VB-6010"], "remote-user"),
        ("route.app.access = 'public'", &["--prefix", "/auth"], vec!["VB-6014", "VB-6003"], "/"),
    ] {
        let scene = Scene::built(|gateway| gateway.with(ECHO).with(toml)).await;
        let upstream = scene.upstream.url();
        let more: Vec<&str> = more.iter().map(|it| if *it == "UPSTREAM" { &upstream } else { *it }).collect();
        let url = scene.gateway.url("/");
        let (exit, codes, report) = examined(&[&[url.as_str()] as &[&str], &more].concat()).await;
        assert_eq!(
            (exit, &codes),
            (78, &expected.iter().map(|it| (*it).to_owned()).collect()),
            "{toml} {more:?}: {report:#}"
        );
        assert!(message(&report, expected[0]).contains(told), "{report:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_hides_https_or_the_host_is_found_by_the_redirect() {
    let scene = Scene::built(|gateway| gateway.at_https(WIKI)).await;
    let at = scene.gateway.address.to_string();
    let (exit, codes, report) = examined(&[&format!("http://{WIKI}/"), "--connect", &at]).await;
    assert_eq!((exit, codes), (78, vec!["VB-6001".to_owned(), "VB-6004".to_owned()]), "{report:#}");
    assert!(message(&report, "VB-6004").contains(&format!("come back to https://{WIKI}/_vestibule/callback")));
    // A host of the same cookie domain is another matter.
    let idp = TestIdp::start().await;
    let upstream = RecordingUpstream::start().await;
    let domain = "[server]\npublic_url = 'http://auth.example.com'\n[session.cookie]\ndomain = 'example.com'\n[route.app]\nhost = '*.example.com'\n";
    let gateway = Gateway::in_front_of(&upstream).signing_in_at(&idp).with(domain).start().await;
    idp.allow_return_to(
        CLIENT_ID,
        "http://auth.example.com/_vestibule/callback",
        "http://auth.example.com/_vestibule/signed-out",
    );
    let at = gateway.address.to_string();
    let (_, codes, report) = examined(&[&format!("http://{WIKI}/"), "--connect", &at]).await;
    assert_eq!(codes, ["VB-6001"], "{report:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_that_something_in_front_rewrote_are_found() {
    let (idp, front) = (TestIdp::start().await, RecordingUpstream::start().await);
    let url = front.url();
    let location = format!(
        "{}/authorize?client_id={CLIENT_ID}&response_type=code&scope=read&state=s&code_challenge=c&code_challenge_method=S256&redirect_uri={url}/cb",
        idp.issuer()
    );
    for (cookie, code, told) in [
        ("vestibule.login.a=x; Path=/; SameSite=Lax".to_owned(), "VB-6007", "HttpOnly"),
        (format!("vestibule.login.a={}; Path=/; HttpOnly; SameSite=Lax", "x".repeat(4096)), "VB-6008", "4096"),
    ] {
        front.answers(format!(
            "HTTP/1.1 302 Found\r\nLocation: {location}\r\nSet-Cookie: {cookie}\r\nContent-Length: 0\r\n\r\n"
        ));
        let (exit, codes, report) = examined(&[&url]).await;
        assert!(exit == 78 && codes.iter().any(|it| it == code), "{report:#}");
        assert!(message(&report, code).contains(told), "{report:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_no_finding_and_nonsense_is_a_usage_error() {
    let folder = TempDir::new().unwrap();
    let url = format!("http://{}/", nobody());
    let ended = |arguments: &[&str]| tokio::task::block_in_place(|| Program::ended(arguments, &folder));
    let (exit, said, errors) = ended(&["doctor", &url]);
    assert!(exit == 69 && said.is_empty() && errors.contains("nobody answers at"), "{exit} {said} {errors}");
    for arguments in
        [&["doctor"] as &[&str], &["doctor", "wiki"], &["doctor", "ftp://a/"], &["doctor", &url, "--ca", "nowhere.pem"]]
    {
        assert_eq!(ended(arguments).0, 64, "{arguments:?}");
    }
    let (exit, said, _) = ended(&["explain", "VB-6011"]);
    assert!(exit == 0 && said.starts_with("VB-6011 reachable_around"), "{said}");
}
