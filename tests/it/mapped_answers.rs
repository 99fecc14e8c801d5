//! What an application behind another path answers leads a browser back to it: redirects, and cookies.

use std::path::PathBuf;

use crate::harness::{Gateway, Raw, RecordingUpstream, Scene, TestIdp};

/// The answer of an application that is not told of any prefix.
const MOVED: &str = "HTTP/1.1 302 Found\r\nLocation: /base/next?a=/base/b#c\r\nContent-Location: http://APPLICATION/base/next\r\n\
     Refresh: 5; url=/base/next\r\nLink: </base/next>\r\nSet-Cookie: own=1; Path=/base\r\nSet-Cookie: __Host-own=1; Secure; Path=/\r\n\
     Set-Cookie: all=1; Path=/; HttpOnly\r\nContent-Length: 0\r\n\r\n";

/// A route below `/wiki` to an application below `/base`, with what else is written in the route.
fn route(application: &str, more: &str) -> String {
    format!(
        "[route.app]\npath = '/wiki'\nstrip_prefix = '/wiki'\nupstream = '{application}/base'\n{more}\n[route.rest]\nupstream = 'static:404'\naccess = 'public'"
    )
}

async fn scene(more: &str) -> Scene {
    Scene::built(|gateway| gateway.with(&route("UPSTREAM", more))).await
}

/// Location, Content-Location, Refresh, and the cookies.
fn told(fields: &[(String, String)]) -> Vec<String> {
    let names = ["location", "content-location", "refresh", "link", "set-cookie"];
    names
        .iter()
        .flat_map(|name| fields.iter().filter(move |(known, _)| known == name))
        .map(|(_, value)| value.clone())
        .collect()
}

const MAPPED: [&str; 7] = [
    "/wiki/next?a=/base/b#c",
    "/wiki/next",
    "5; url=/wiki/next",
    "</base/next>",
    "own=1; Path=/wiki",
    "__Host-own=1; Secure; Path=/",
    "all=1; Path=/wiki; HttpOnly",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_an_application_answers_leads_back_to_it() {
    let scene = scene("").await;
    let session = scene.session_of("Ada").await;
    scene.upstream.answers(MOVED.replace("APPLICATION", &scene.upstream.address.to_string()));
    for method in ["GET", "HEAD", "POST"] {
        let answer = scene.sends(method, "/wiki/a", &session).await;
        assert_eq!((answer.status, told(&answer.headers)), (302, MAPPED.map(str::to_owned).to_vec()), "{method}");
    }
    for status in ["201 Created", "200 OK", "307 Temporary Redirect"] {
        let moved = MOVED.replace("APPLICATION", &scene.upstream.address.to_string()).replace("302 Found", status);
        scene.upstream.answers_once(moved);
        let answer = scene.sends("GET", "/wiki/a", &session).await;
        assert_eq!(told(&answer.headers), MAPPED, "{status}");
    }
    assert!(scene.upstream.seen().iter().all(|seen| seen.target == "/base/a"), "{:?}", scene.upstream.seen());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_finds_its_way_and_brings_its_cookies() {
    let scene = scene("").await;
    scene.upstream.answers_once(MOVED.replace("APPLICATION", &scene.upstream.address.to_string()));
    let page = scene.browser.signs_in(&scene.gateway.url("/wiki/start"), "Ada").await;
    // The sign-in came back to the browser's path, and the application's redirect to its own page.
    assert_eq!(
        (page.status, page.url.path(), page.url.query()),
        (200, "/wiki/next", Some("a=/base/b")),
        "{}",
        page.text()
    );
    let seen = scene.upstream.seen();
    assert_eq!(seen.iter().map(|seen| &*seen.target).collect::<Vec<_>>(), ["/base/start", "/base/next?a=/base/b"]);
    let cookies = seen[1].header("cookie").unwrap();
    assert!(cookies.contains("own=1") && cookies.contains("all=1") && !cookies.contains("vestibule"), "{cookies}");
    // They are for this application alone.
    let outside = scene.browser.asks(&scene.gateway.url("/elsewhere")).await;
    assert_eq!(outside.status, 404);
    assert!(scene.browser.cookies().iter().filter(|cookie| ["own", "all"].contains(&&*cookie.name)).count() == 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_path_alone_is_mapped_back_too() {
    let scene = Scene::built(|gateway| gateway.with("[route.app]\nupstream = 'UPSTREAM/base'")).await;
    let session = scene.session_of("Ada").await;
    scene.upstream.answers(MOVED.replace("APPLICATION", &scene.upstream.address.to_string()));
    let answer = scene.sends("GET", "/a", &session).await;
    let wanted = MAPPED.map(|value| {
        if value.contains("base") { value.to_owned() } else { value.replace("/wiki/", "/").replace("/wiki", "/") }
    });
    assert_eq!(told(&answer.headers)[1..], wanted[1..]);
    assert_eq!(answer.header("location"), Some("/next?a=/base/b#c"));
    // No page of the application can be named so that browsers take it for another host (AT-OR-02).
    scene.upstream.answers("HTTP/1.1 302 Found\r\nLocation: /base//evil.example/x\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(scene.sends("GET", "/a", &session).await.header("location"), Some("/.//evil.example/x"));
    assert!(scene.idp.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn rewrite_answers_false_leaves_answers_alone() {
    let scene = scene("rewrite_answers = false").await;
    let session = scene.session_of("Ada").await;
    let answer = "HTTP/1.1 302 Found\r\nLocation: /base/next\r\nRefresh: 0;url=/base\r\nSet-Cookie: own=1; Path=/base\r\nContent-Length: 0\r\n\r\n";
    scene.upstream.answers(answer);
    let answer = scene.sends("GET", "/wiki/a", &session).await;
    assert_eq!(told(&answer.headers), ["/base/next", "0;url=/base", "own=1; Path=/base"]);
    assert_eq!(scene.upstream.only_request().target, "/base/a");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_application_says_by_the_prefix_it_was_told_is_not_mapped_twice() {
    let scene = scene("").await;
    let session = scene.session_of("Ada").await;
    scene.upstream.answers(
        "HTTP/1.1 302 Found\r\nLocation: /wiki/next\r\nSet-Cookie: own=1; Path=/wiki\r\nContent-Length: 0\r\n\r\n",
    );
    let answer = scene.sends("GET", "/wiki/a", &session).await;
    assert_eq!(told(&answer.headers), ["/wiki/next", "own=1; Path=/wiki"]);
    assert_eq!(scene.upstream.only_request().header("x-forwarded-prefix"), Some("/wiki"));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_origins_and_other_paths_stay_as_they_are() {
    let scene = scene("").await;
    let session = scene.session_of("Ada").await;
    let at = scene.upstream.address.to_string();
    for location in [
        format!("http://{at}0/base/x"),
        format!("http://{at}.evil.example/base/x"),
        format!("http://{at}@evil.example/base/x"),
        format!("https://{at}/base/x"),
        format!("http://{at}/basement/x"),
        "//evil.example/base/x".to_owned(),
        "/basement".to_owned(),
        "/other".to_owned(),
        "next".to_owned(),
    ] {
        scene.upstream.answers(format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"));
        let answer = scene.sends("GET", "/wiki/a/b", &session).await;
        assert_eq!(answer.header("location"), Some(&*location));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sign_in_speaks_of_the_browser_s_path_and_what_an_operator_sets_is_meant_for_browsers() {
    let scene = scene("response_headers.set.Location = '/base/by-the-operator'").await;
    let away = scene.browser.signs_in(&scene.gateway.url("/wiki/start?x=1"), "Ada").await;
    assert_eq!((away.url.path(), away.url.query()), ("/wiki/start", Some("x=1")));
    let refused = scene.sends("GET", "/wiki/x", "").await;
    assert_eq!(refused.status, 401);
    assert_eq!(scene.asks("/wiki/y").await.headers["location"], "/base/by-the-operator");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_on_a_socket_is_at_localhost() {
    let folder = tempfile::tempdir().unwrap();
    let socket: PathBuf = folder.path().join("app.sock");
    let upstream = RecordingUpstream::on_unix(&socket);
    let idp = TestIdp::start().await;
    let route = format!(
        "[route.app]\npath = '/wiki'\nstrip_prefix = '/wiki'\nupstream = 'unix:{}'\naccess = 'public'",
        socket.display()
    );
    let gateway = Gateway::in_front_of(&upstream).signing_in_at(&idp).with(&route).start().await;
    upstream.answers("HTTP/1.1 302 Found\r\nLocation: http://localhost/next\r\nContent-Length: 0\r\n\r\n");
    let request = format!("GET /wiki/a HTTP/1.1\r\nHost: {}\r\n\r\n", gateway.authority());
    let answer = Raw::once(gateway.address, request).await;
    assert_eq!((answer.header("location"), &*upstream.only_request().target), (Some("/wiki/next"), "/a"));
}
