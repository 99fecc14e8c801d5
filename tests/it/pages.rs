//! Answers of our own: what they carry, in which form they come, and that none of them can be framed, cached or misread.

use crate::harness::idp::Breakage;
use crate::harness::idp::paths;
use http::Method;
use url::Url;

use crate::harness::browser::Ask;
use crate::harness::{Page, Raw, Scene};

const RULES: &str = "
[route.app.paths.'/closed']
allow.groups = ['board']
[route.app.paths.'/api']
access = 'api'
[route.app.paths.'/nobody']
access = 'deny'
";

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_html_that_nobody_frames_keeps_or_sniffs() {
    // CH-01, CH-05, AT-CL-20, SB-12, LO-08
    let scene = Scene::signed_in_with(RULES).await;
    let stranger = scene.gateway.browser();
    let mut pages = Vec::new();
    for (path, status) in [
        ("/closed", 403),
        ("/nobody", 403),
        ("/_vestibule/logout", 200),
        ("/_vestibule/session", 200),
        ("/_vestibule/callback?code=x&state=y", 303),
        ("/_vestibule/login?provider=nobody", 400),
        ("/_vestibule/none", 404),
        ("//closed", 400),
    ] {
        let page = scene.asks(path).await;
        assert_eq!(page.status, status, "{path}: {}", page.text());
        pages.push(page);
    }
    for (path, status) in [
        ("/_vestibule/callback", 400),
        ("/_vestibule/callback?code=x&state=y", 400),
        ("/_vestibule/signed-out", 200),
        ("/_vestibule/session", 401),
        ("/_vestibule/logout", 200),
    ] {
        let page = stranger.asks(&scene.gateway.url(path)).await;
        assert_eq!(page.status, status, "{path}: {}", page.text());
        pages.push(page);
    }
    pages.push(stranger.does(Ask::form(&scene.gateway.url("/"), &[]).without_following()).await);
    scene.upstream.answers("");
    pages.push(scene.asks("/broken").await);
    scene.idp.break_with(|faults| faults.refresh.break_with(Breakage::Status(503)));
    scene.later(61);
    pages.push(scene.asks("/").await);
    assert_eq!(pages.iter().rev().map(|page| page.status).take(3).collect::<Vec<_>>(), [503, 502, 401]);
    for page in pages.iter().filter(|page| page.status != 303) {
        assert_is_proper(page);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_denied_is_told_who_they_are_and_what_is_missing() {
    // CH-05
    let scene = Scene::signed_in_with(RULES).await;
    let page = scene.asks("/closed").await;
    let text = page.text();
    for told in ["Ada Lovelace", "board", "Switch account", "VB-4010"] {
        assert!(text.contains(told), "{told} is not in {text}");
    }
    assert!(scene.upstream.seen().is_empty() && scene.idp.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_get_problem_documents_and_command_lines_get_text() {
    // CH-06, CK-25
    let scene = Scene::signed_in_with(RULES).await;
    let script = scene.fetches("/closed").await;
    assert_eq!((script.status, script.header("content-type")), (403, Some("application/problem+json")));
    let problem = script.json();
    assert_eq!(problem["status"], 403);
    for member in ["type", "title", "detail", "request_id"] {
        assert!(problem[member].is_string(), "{member} is not in {problem}");
    }
    let host = scene.gateway.authority();
    let curl = format!("GET / HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n");
    let answer = Raw::once(scene.gateway.address, curl).await;
    assert_eq!((answer.status, answer.header("content-type")), (401, Some("text/plain; charset=utf-8")));
    assert!(answer.header("set-cookie").is_none() && scene.idp.seen().is_empty());
    for field in ["cache-control", "x-content-type-options", "content-security-policy"] {
        assert!(answer.header(field).is_some() && script.header(field).is_some(), "{field}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_is_told_which_scheme_it_takes_and_of_no_error() {
    // BE-02
    let scene = Scene::signed_in_with(RULES).await;
    let stranger = scene.gateway.browser();
    let realm = format!("Bearer realm=\"{}\"", scene.gateway.authority());
    for answer in [
        stranger.asks(&scene.gateway.url("/api/x")).await,
        stranger.fetches(&scene.gateway.url("/"), &scene.gateway.url("/api/x")).await,
    ] {
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some(&*realm)));
        assert_eq!(answer.headers.get("set-cookie"), None);
    }
    assert!(scene.upstream.seen().is_empty() && scene.idp.seen().is_empty());
    assert_eq!(scene.asks("/api/x").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_to_the_provider_is_kept_by_nobody() {
    // CH-01, CH-04, AT-CL-03, AT-CL-05, AT-CL-06
    let scene = Scene::signed_in().await;
    let stranger = scene.gateway.browser();
    let conditions =
        [("if-none-match", "\"x\""), ("if-modified-since", "Thu, 01 Jan 2026 00:00:00 GMT"), ("range", "bytes=0-")];
    for (name, value) in conditions {
        let ask = Ask::navigation(&scene.gateway.url("/style.css?a=\"%0d%0aSet-Cookie:x=1")).with(name, value);
        let answer = stranger.does(ask.without_following()).await;
        assert_eq!((answer.status, answer.header("cache-control")), (302, Some("no-store")));
        assert_eq!((answer.header("referrer-policy"), answer.body.len()), (Some("no-referrer"), 0));
        let location = answer.header("location").unwrap();
        assert!(location.starts_with(&scene.idp.url(paths::AUTHORIZE)), "{location}");
        assert!(location.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"'), "{location}");
        assert!(!answer.headers.contains_key("etag") && !answer.headers.contains_key("x"));
    }
    let script = stranger.fetches(&scene.gateway.url("/"), &scene.gateway.url("/style.css")).await;
    assert_eq!((script.status, script.header("cache-control")), (401, Some("no-store")));
    assert!(scene.upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_depends_on_a_session_is_private_unless_the_application_says_more() {
    // CH-02, CH-03
    let scene = Scene::signed_in_with("[route.app.paths.'/open']\naccess = 'public'").await;
    assert_eq!(scene.asks("/").await.header("cache-control"), Some("private"));
    assert_eq!(scene.asks("/open").await.header("cache-control"), None);
    scene.upstream.answers("HTTP/1.1 200 OK\r\nCache-Control: max-age=60, private\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(scene.asks("/").await.header("cache-control"), Some("max-age=60, private"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_foreign_origin_is_let_in() {
    // CH-07, AT-CL-21
    let scene = Scene::signed_in_with(RULES).await;
    let host = scene.gateway.authority();
    let cookie = format!("vestibule={}", scene.cookie());
    for path in ["/_vestibule/session", "/_vestibule/logout", "/_vestibule/login", "/closed", "/api/x", "/"] {
        for origin in ["https://evil.example", "null"] {
            let preflight = format!(
                "OPTIONS {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nSec-Fetch-Mode: cors\r\n\
                 Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: x-a\r\n\r\n"
            );
            let answer = Raw::once(scene.gateway.address, preflight).await;
            let status = if path.starts_with("/_vestibule/") { 405 } else { 401 };
            assert_eq!(answer.status, status, "{path}: {}", answer.head);
            assert_no_cors(&answer.headers);
            // With the cookie, as a browser without SameSite would send it: our own answers only.
            if path != "/" && path != "/api/x" {
                let request = format!(
                    "GET {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nSec-Fetch-Mode: cors\r\nCookie: {cookie}\r\n\r\n"
                );
                assert_no_cors(&Raw::once(scene.gateway.address, request).await.headers);
            }
        }
    }
    assert!(scene.upstream.seen().is_empty() && scene.idp.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_remembers_nobody() {
    // AT-SM-13
    let scene = Scene::signed_in().await;
    let mut raw = scene.gateway.raw().await;
    let signed_in = scene.navigation("/mine", &format!("vestibule={}", scene.cookie()));
    for (request, status) in [(&signed_in, 200), (&scene.navigation("/theirs", "a=1"), 302), (&signed_in, 200)] {
        raw.send(request).await;
        assert_eq!(raw.answer("GET").await.status, status);
    }
    let targets: Vec<String> = scene.upstream.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(targets, ["/mine", "/mine"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_somebody_whose_session_ended_is_not_passed_on() {
    // CK-26
    let scene = Scene::signed_in().await;
    scene.later(3600);
    let (url, page): (_, Url) = (scene.gateway.url("/save"), scene.gateway.url("/edit?id=1").parse().unwrap());
    let ask = Ask::form(&url, &[("text".to_owned(), "precious".to_owned())]).from(&page).with("referer", page.as_str());
    let answer = scene.browser.does(ask.without_following()).await;
    assert_eq!(answer.status, 401);
    assert!(
        answer.text().contains("was not submitted") && answer.text().contains("edit%3Fid%3D1"),
        "{}",
        answer.text()
    );
    let other = scene.browser.does(Ask::script(&url).by(Method::POST)).await;
    assert_eq!((other.status, other.header("content-type")), (401, Some("application/problem+json")));
    assert!(scene.upstream.seen().is_empty());
}

#[track_caller]
fn assert_no_cors(headers: &[(String, String)]) {
    let cors = headers.iter().filter(|(name, _)| name.to_ascii_lowercase().starts_with("access-control-"));
    assert_eq!(cors.count(), 0, "{headers:?}");
}

#[track_caller]
fn assert_is_proper(page: &Page) {
    let text = page.text();
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"), "{}: {text}", page.url);
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(page.header("x-frame-options"), Some("DENY"));
    let policy = page.header("content-security-policy").unwrap();
    for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "style-src 'sha256-"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !text.contains("<script"), "{policy}");
    assert!(text.len() < 16 * 1024 && text.contains("<html lang=\"en\">") && text.matches("<h1").count() == 1);
    assert!(page.header("x-vestibule-response").is_some());
}
