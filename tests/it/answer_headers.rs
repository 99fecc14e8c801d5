//! Headers of answers: what an operator changes on those of the application, and the promise of https on all of them.

use crate::harness::browser::Ask;
use crate::harness::{Gateway, Raw, RawAnswer, RecordingUpstream, Scene, TestIdp};

/// What a company asks of its applications.
const HOUSE_RULES: &str = r#"
[route.app.response_headers]
set = { X-Frame-Options = "DENY", Vary = ["Accept", "Cookie"], ETag = "\"ours\"" }
add = { Link = ["</b.css>", "</c.css>"], Set-Cookie = "theme=dark" }
remove = ["Server", "X-Powered-By", "Via"]
"#;
/// An answer that breaks each of these rules.
const CHATTY: &str = "HTTP/1.1 200 OK\r\nServer: app/1.2\r\nX-Powered-By: PHP\r\nX-Powered-By: ASP\r\nX-Frame-Options: ALLOWALL\r\n\
                      Link: </a.css>\r\nVary: *\r\nSet-Cookie: own=1\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_changes_what_applications_answer() {
    let scene = Scene::with(HOUSE_RULES).await;
    let session = scene.session_of("Ada").await;
    for (method, answer) in [
        ("GET", CHATTY.to_owned()),
        ("HEAD", CHATTY.trim_end_matches("ok").to_owned()),
        ("GET", CHATTY.replace("200 OK", "500 Broken")),
        ("GET", CHATTY.replace("200 OK", "304 Not Modified").replace("Content-Length: 2\r\n\r\nok", "\r\n")),
        ("GET", CHATTY.replace("200 OK", "302 Found\r\nLocation: /x")),
    ] {
        scene.upstream.answers_once(&answer);
        let answer = scene.sends(method, "/", &session).await;
        assert_house_rules(&answer);
        assert_eq!(all(&answer, "set-cookie"), ["own=1", "theme=dark"]);
        assert_eq!(
            answer.body,
            if answer.status == 304 || method == "HEAD" { "" } else { "ok" }.as_bytes(),
            "{answer:?}"
        );
    }
    // Early Hints end here, as they do without.
    scene.upstream.answers_once(format!("HTTP/1.1 103 Early Hints\r\nLink: </z>\r\n\r\n{CHATTY}"));
    let answer = scene.sends("GET", "/", &session).await;
    assert_eq!(answer.status, 200);
    assert_house_rules(&answer);
    scene.upstream.answers_once(UPGRADE);
    let answer = scene.sends("GET", "/", &format!("{session}{HANDSHAKE}")).await;
    assert_eq!(
        (answer.status, answer.header("upgrade"), answer.header("connection")),
        (101, Some("websocket"), Some("Upgrade"))
    );
    assert_eq!((answer.header("x-frame-options"), answer.header("server")), (Some("DENY"), None));
    assert_eq!(answer.header("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(scene.upstream.seen().len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_answers_stay_as_they_are() {
    let closed = "[route.app.paths]\n'/closed' = { allow.groups = ['nobody'] }\n'/api' = { access = 'api' }";
    let scene = Scene::with(&format!("{HOUSE_RULES}\n{closed}")).await;
    let session = scene.session_of("Ada").await;
    let anonymous = "Accept: text/html\r\n";
    let own = |name: &str| format!("/_vestibule/{name}");
    let mut answers = Vec::new();
    for (target, fields, status) in [
        ("/", anonymous, 302),
        ("/api", anonymous, 401),
        ("/closed", &*session, 403),
        ("/a/..%2fclosed", &*session, 400),
        (&own("session"), &*session, 200),
        (&own("logout"), &*session, 200),
        (&own("callback"), anonymous, 400),
        (&own("nothing"), anonymous, 404),
    ] {
        let answer = scene.sends("GET", target, fields).await;
        assert_eq!(answer.status, status, "{target}");
        answers.push(answer);
    }
    // The application is there no more.
    scene.upstream.answers("");
    answers.push(scene.sends("GET", "/", &session).await);
    assert_eq!(answers.last().unwrap().status, 502);
    for answer in answers {
        assert_eq!(
            (answer.header("link"), answer.header("etag"), answer.header("vary")),
            (None, None, None),
            "{answer:?}"
        );
        assert!(all(&answer, "set-cookie").iter().all(|cookie| !cookie.starts_with("theme")), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_answer_is_the_route_s_own() {
    let gateway =
        Gateway::in_front_of_url("static:204").with("[route.app]\naccess = 'public'").with(HOUSE_RULES).start().await;
    let answer = Raw::once(gateway.address, format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", gateway.authority())).await;
    assert_eq!((answer.status, answer.header("x-frame-options")), (204, Some("DENY")));
    assert_eq!(all(&answer, "link"), ["</b.css>", "</c.css>"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_rule_takes_a_renewed_session_away_and_no_cache_keeps_it() {
    // CK-19, CK-20, AT-CS-23: neither what the operator writes nor what the application sends
    const CACHED: &str = "[route.app.response_headers]\nremove = ['Set-Cookie']\n\
         set = { Cache-Control = 'public, max-age=31536000', CDN-Cache-Control = 'max-age=60', Expires = 'Thu, 01 Jan 2099 00:00:00 GMT' }";
    const SENDS: &str = "HTTP/1.1 200 OK\r\nSet-Cookie: own=1\r\nSet-Cookie: vestibule=planted\r\nCache-Control: public\r\n\
         Surrogate-Control: max-age=60\r\nX-Accel-Expires: 60\r\nCloudflare-CDN-Cache-Control: public\r\nContent-Length: 0\r\n\r\n";
    for (rules, cookies) in
        [(CACHED, 1), ("[route.app.response_headers]\nadd = { Cache-Control = 'public' }", 2), ("", 2)]
    {
        let scene = Scene::signed_in_with(rules).await;
        scene.upstream.answers(SENDS);
        let settled = scene.asks("/").await;
        assert_eq!(settled.headers.get_all("set-cookie").iter().count(), cookies - 1, "{rules}");
        assert!(
            settled.headers.get_all("cache-control").iter().any(|value| value.to_str().unwrap().contains("public"))
        );
        let old = scene.cookie();
        scene.later(61);
        let renewed = scene.asks("/").await;
        assert_eq!((renewed.status, scene.refreshes()), (200, 1), "{rules}");
        assert_ne!(scene.cookie(), old, "{rules}");
        assert_ne!(scene.cookie(), "planted", "{rules}");
        assert_eq!(renewed.headers.get_all("set-cookie").iter().count(), cookies, "{rules}");
        let of_caches =
            ["surrogate-control", "x-accel-expires", "cdn-cache-control", "cloudflare-cdn-cache-control", "expires"];
        for name in of_caches {
            assert_eq!(renewed.headers.get(name), None, "{rules}: {name}");
        }
        let control: Vec<_> = renewed.headers.get_all("cache-control").iter().collect();
        assert_eq!(control, ["no-store"], "{rules}");
        // The application got its request once each time, without our cookie.
        assert!(
            scene.upstream.seen().iter().all(|seen| seen.header("cookie").is_none_or(|it| !it.contains("vestibule")))
        );
        assert_eq!(scene.upstream.seen().len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_for_one_person_stays_private_where_its_own_word_is_removed() {
    // CH-02
    let scene = Scene::signed_in_with("[route.app.response_headers]\nremove = ['Cache-Control']").await;
    scene.upstream.answers("HTTP/1.1 200 OK\r\nCache-Control: public, max-age=60\r\nContent-Length: 0\r\n\r\n");
    let answer = scene.asks("/").await;
    assert_eq!(answer.headers.get_all("cache-control").iter().collect::<Vec<_>>(), ["private"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_promises_https_once() {
    // TL-06
    const HSTS: &str = "max-age=31536000; includeSubDomains; preload";
    let idp = TestIdp::start().await;
    let hsts = "[server]\nhsts = { max_age = '365d', include_subdomains = true, preload = true }\n[server.limits]\nheader_bytes = '8KiB'";
    let closed = "[route.app]\nhost = 'wiki.example.com'\n[route.app.paths]\n'/closed' = { allow.groups = ['nobody'] }\n'/public' = { access = 'public' }";
    let scene = Scene::built_at(idp, |gateway| gateway.at_https("wiki.example.com").with(hsts).with(closed)).await;
    let session = scene.session_of("Ada").await;
    scene.upstream.answers(
        "HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=0\r\nStrict-Transport-Security: max-age=1\r\nContent-Length: 0\r\n\r\n",
    );
    let request = |target: &str, fields: &str| scene.request("GET", target, fields);
    let requests = [
        (200, request("/", &session)),
        (200, request("/public", "")),
        (200, request("/public", "X-Forwarded-Proto: http\r\n")),
        (302, request("/", "Accept: text/html\r\n")),
        (401, request("/", "")),
        (403, request("/closed", &session)),
        (400, request("/a/..%2fclosed", &session)),
        (400, request("/_vestibule/callback?code=a&state=b", "")),
        (404, request("/_vestibule/nothing", "")),
        (302, request("/_vestibule/login?rd=/", "Accept: text/html\r\n")),
        (421, "GET / HTTP/1.1\r\nHost: other.example\r\n\r\n".to_owned()),
        // Refused unread, by the gateway and by the server.
        (400, "GET / HTTP/1.1\r\n\r\n".to_owned()),
        (400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned()),
        (400, "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        (431, request("/", &format!("X-Pad: {}\r\n", "x".repeat(20_000)))),
        (405, "TRACE / HTTP/1.1\r\nHost: wiki.example.com\r\n\r\n".to_owned()),
    ];
    for (status, bytes) in requests {
        let answer = Raw::once(scene.gateway.address, bytes.clone()).await;
        assert_eq!((answer.status, all(&answer, "strict-transport-security")), (status, vec![HSTS]), "{bytes}");
    }
    scene.upstream.answers("");
    let answer = scene.sends("GET", "/", &session).await;
    assert_eq!((answer.status, all(&answer, "strict-transport-security")), (502, vec![HSTS]));
    scene.upstream.answers(UPGRADE);
    let answer = scene.sends("GET", "/public", HANDSHAKE).await;
    assert_eq!((answer.status, all(&answer, "strict-transport-security")), (101, vec![HSTS]));
    // The admin listener is plain, and nobody's site.
    let admin =
        Raw::once(scene.gateway.admin, format!("GET /livez HTTP/1.1\r\nHost: {}\r\n\r\n", scene.gateway.admin)).await;
    assert_eq!((admin.status, admin.header("strict-transport-security")), (200, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_in_browser_sees_the_promise_on_each_step() {
    let scene = Scene::built(|gateway| gateway.at_https("wiki.example.com").with("[server]\nhsts = '1h'")).await;
    let away = scene.asks("/page").await;
    assert_eq!(
        (away.status, away.headers.get("strict-transport-security").unwrap().to_str().unwrap()),
        (302, "max-age=3600")
    );
    let page = scene.browser.signs_in(&scene.gateway.url("/page"), "Ada").await;
    assert_eq!(
        (page.status, page.headers.get("strict-transport-security").unwrap().to_str().unwrap()),
        (200, "max-age=3600")
    );
    let page = scene.browser.does(Ask::navigation(&scene.gateway.own("logout"))).await;
    assert_eq!(page.headers.get("strict-transport-security").unwrap().to_str().unwrap(), "max-age=3600");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_application_s_own_promise_passes_where_there_is_none_of_ours() {
    let own = "HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=7\r\nContent-Length: 0\r\n\r\n";
    for (server, wanted) in [("", vec!["max-age=7"]), ("[server]\nhsts = '365d'", vec!["max-age=7"])] {
        // Over http, `hsts` is of no use.
        let upstream = RecordingUpstream::start().await;
        upstream.answers(own);
        let gateway = Gateway::in_front_of(&upstream).with("[route.app]\naccess = 'public'").with(server).start().await;
        let answer =
            Raw::once(gateway.address, format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", gateway.authority())).await;
        assert_eq!(all(&answer, "strict-transport-security"), wanted, "{server}");
        let answer =
            Raw::once(gateway.address, format!("GET /_vestibule/x HTTP/1.1\r\nHost: {}\r\n\r\n", gateway.authority()))
                .await;
        assert_eq!(answer.header("strict-transport-security"), None, "{server}");
    }
}

/// What [`HOUSE_RULES`] make of [`CHATTY`].
fn assert_house_rules(answer: &RawAnswer) {
    for (name, wanted) in [
        ("server", &[][..]),
        ("x-powered-by", &[]),
        ("via", &[]),
        ("x-frame-options", &["DENY"]),
        ("link", &["</a.css>", "</b.css>", "</c.css>"]),
        ("vary", &["Accept", "Cookie"]),
        ("etag", &["\"ours\""]),
    ] {
        assert_eq!(all(answer, name), wanted, "{name} of {answer:?}");
    }
}

/// The values of a field, in order.
fn all<'a>(answer: &'a RawAnswer, name: &str) -> Vec<&'a str> {
    let of_name = answer.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
    of_name.map(|(_, value)| value.as_str()).collect()
}

/// Asks for a WebSocket (RFC 6455 section 1.3).
const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
/// The answer to it.
const UPGRADE: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nServer: app/1.2\r\n\
                       Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
