//! Which rule a request takes: by host, path, method and address; and that no spelling of a path finds a laxer one.

use http::Method;

use crate::harness::browser::Ask;
use crate::harness::frames::{Fate, Frames};
use crate::harness::{Gateway, Raw, RecordingUpstream, Scene};

/// Everything asks for a sign-in, `/admin` for a group that only Ada is in, `/public` for nothing.
const HOUSE: &str = r#"
[route.app.paths]
"/admin/" = { allow.groups = ["admins"] }
"/public" = { access = "public" }
"/closed" = { access = "deny" }
"/api" = { access = "api" }
"/maybe" = { access = "optional" }
"#;

/// Ways to write `/admin` that some program somewhere takes for it, and that begin where anybody may go.
const AROUND_PUBLIC: &[&str] = &[
    // AT-PM-02
    "/public//../admin",
    "/public/..//admin",
    "/public/.//../admin",
    "/public//..//admin",
    // AT-PM-03
    "/public%2f..%2fadmin",
    "/public%2F..%2Fadmin",
    "/public/..%2fadmin",
    "/public/..%5cadmin",
    "/public/..\\admin",
    "/public\\..\\admin",
    "/public%5c..%5cadmin",
    "/public/%2e%2e%5cadmin",
    // and their family: dot segments plain, encoded, with parameters
    "/public/../admin",
    "/public/./../admin",
    "/public/%2e%2e/admin",
    "/public/.%2E/admin",
    "/public/..;/admin",
    "/public/..;x=1/admin",
    "/public/..%3b/admin",
    "/public/;/../admin",
    "/public/../../../admin",
    "/public/../Admin",
    "/public%2f..%2fADMIN",
    // AT-PM-09: our own endpoints are no way round either
    "/_vestibule/callback/../../admin",
    "/_vestibule/login/..%2f..%2fadmin",
    "/_vestibule%2f..%2fadmin",
];

/// Ways to write `/admin` that begin where everybody who is signed in may go.
const AROUND_LOGIN: &[&str] = &[
    "//admin",
    "///admin",
    "/./admin",
    "/../admin",
    "/x/../admin",
    "/x%2f..%2fadmin",
    "/admin%5c",
    "/admin\\",
    "/admin;x",
    "/admin;x/y",
    "/;/admin",
    "/%2e/admin",
    "/x//../admin",
    "/x/..;/admin",
    "/%2fadmin",
    "/admin%2fx",
    "//admin/x",
    "/ADMIN",
    "/Admin/x",
    "/%41dmin",
    "/x%2f..%2fADMIN",
    "//ADMIN",
    "/./Admin",
    "/x/..\\ADMIN",
    "/%61dmin",
    "/admin/",
    "/admin//",
    "/admin/../admin",
];

/// Of these, those that mean what is protected however they are read: judged by its rule, and not refused as ambiguous.
const PLAIN: [&str; 3] = ["/admin/", "/admin//", "/admin/../admin"];

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_leads_a_stranger_to_what_is_protected() {
    // PX-41, AT-PM-02, AT-PM-03, AT-PM-09
    let scene = Scene::with(HOUSE).await;
    for target in AROUND_PUBLIC.iter().chain(AROUND_LOGIN) {
        let answer = scene.sends("GET", target, "").await;
        assert_eq!(answer.status, if PLAIN.contains(target) { 401 } else { 400 }, "{target}: {}", answer.head);
        assert_eq!(answer.header("set-cookie"), None);
        scene.assert_nobody_was_asked(target);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_leads_a_person_past_the_rule() {
    // PX-41, AT-PM-02, AT-PM-03, AT-PM-06, AT-PM-09
    let scene = Scene::with(HOUSE).await;
    let session = scene.session_of("Grace").await;
    for target in AROUND_PUBLIC.iter().chain(AROUND_LOGIN) {
        let answer = scene.sends("GET", target, &session).await;
        assert_eq!(answer.status, if PLAIN.contains(target) { 403 } else { 400 }, "{target}: {}", answer.head);
        scene.assert_nobody_was_asked(target);
    }
    // Where no rule is at stake, an unusual spelling is the application's own affair.
    for target in ["/wiki//x", "/wiki%2Fx", "/wiki/%252e%252e/x", "/wiki/a;b=c"] {
        assert_eq!(scene.sends("GET", target, &session).await.status, 200, "{target}");
        assert_eq!(scene.upstream.last_request().target, *target);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn escapes_of_escapes_are_read_to_their_end() {
    // AT-PM-05: whoever stands behind us may decode again
    let scene = Scene::with(HOUSE).await;
    for target in ["/public/%252e%252e/admin", "/%252e%252e/admin", "/public/%25252e./admin", "/public/..%255cadmin"] {
        assert_eq!(scene.sends("GET", target, "").await.status, 400, "{target}");
        scene.assert_nobody_was_asked(target);
    }
    for target in ["/public/%252e%252e/public/x", "/public/%2541", "/public/100%25", "/public/a%252fb"] {
        assert_eq!(scene.sends("GET", target, "").await.status, 200, "{target}");
        assert_eq!(scene.upstream.last_request().target, target);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn capitals_count_only_where_the_route_says_so() {
    // AT-PM-06
    let scene = Scene::with(&format!("{HOUSE}[route.app]\ncase_sensitive = true")).await;
    let session = scene.session_of("Grace").await;
    assert_eq!(scene.sends("GET", "/ADMIN", &session).await.status, 200);
    assert_eq!(scene.sends("GET", "/admin", &session).await.status, 403);
    assert_eq!(scene.sends("GET", "/PUBLIC", "").await.status, 401);
    assert_eq!(scene.upstream.only_request().target, "/ADMIN");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_knows_capitals_does_not_speak_for_its_neighbours() {
    // AT-PM-06
    let neighbours = r#"
[route.files]
path = "/files"
case_sensitive = true
upstream = "static:204"
[route.upper]
path = "/Team"
upstream = "static:201"
[route.lower]
path = "/team"
access = "deny"
"#;
    let scene = Scene::with(&format!("{HOUSE}{neighbours}")).await;
    let session = scene.session_of("Grace").await;
    for (target, status) in [
        ("/ADMIN", 400),
        ("/x%2f..%2fAdmin", 400),
        ("/Files", 400),
        ("/files/A", 204),
        ("/files/a/../A", 204),
        ("/Team", 201),
        ("/team", 403),
        ("/TEAM", 400),
        ("/Wiki", 200),
    ] {
        assert_eq!(scene.sends("GET", target, &session).await.status, status, "{target}");
    }
    assert_eq!(scene.upstream.only_request().target, "/Wiki");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_match_whole_segments_from_the_start() {
    // AT-PM-08
    let scene = Scene::with(HOUSE).await;
    for target in [
        "/admin/x.css",
        "/admin/favicon.ico",
        "/admin?.png",
        "/admin?/public",
        "/admin/.well-known/x",
        "/admin/public",
        "/publicity",
        "/public.html",
        "/x/public",
        "/?/public",
        "/admin#/public",
    ] {
        assert_eq!(scene.sends("GET", target, "").await.status, 401, "{target}");
        scene.assert_nobody_was_asked(target);
    }
    let session = scene.session_of("Grace").await;
    for (target, status) in [
        ("/admin", 403),
        ("/admin/", 403),
        ("/admin/x.css", 403),
        ("/admin?x", 403),
        ("/administrator", 200),
        ("/public/x", 200),
    ] {
        assert_eq!(scene.sends("GET", target, &session).await.status, status, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_access_answers_in_its_own_way() {
    let scene = Scene::with(HOUSE).await;
    let page = "Accept: text/html\r\n";
    let realm = format!("Bearer realm=\"{}\"", scene.gateway.authority());
    let kinds = async |path: &str, fields: &str| {
        let answer = scene.sends("GET", path, fields).await;
        (answer.status, answer.header("www-authenticate").map(str::to_owned))
    };
    assert_eq!(kinds("/", "").await, (401, None));
    assert_eq!(kinds("/api/x", "").await, (401, Some(realm.clone())));
    assert_eq!(kinds("/api/x", page).await, (401, Some(realm.clone())));
    assert_eq!(kinds("/closed", "").await, (403, None));
    scene.assert_nobody_was_asked("nobody is signed in");
    assert_eq!(kinds("/", page).await, (302, None));
    assert_eq!(kinds("/maybe", page).await, (200, None));
    assert_eq!(kinds("/public", page).await, (200, None));

    let session = scene.session_of("Ada").await;
    for (path, status, told) in [
        ("/", 200, true),
        ("/api", 200, true),
        ("/maybe", 200, true),
        ("/public", 200, false),
        ("/closed", 403, false),
        ("/admin", 200, true),
    ] {
        scene.upstream.forget_seen();
        assert_eq!(kinds(path, &session).await, (status, None), "{path}");
        let seen = scene.upstream.seen();
        assert_eq!(seen.iter().any(|seen| seen.header("x-forwarded-user").is_some()), told, "{path}");
        assert!(seen.iter().all(|seen| seen.header("cookie").is_none()), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_passed_at_one_address_is_asked_again_at_the_next() {
    let rule = "[server]\ntrusted_proxies = ['127.0.0.0/8']\n[route.app.allow]\ngroups = ['admins']\nnetworks = ['203.0.113.0/24']";
    let scene = Scene::with(rule).await;
    let session = scene.session_of("Ada").await;
    for (client, status) in [("198.51.100.1", 403), ("203.0.113.1", 200), ("198.51.100.1", 403), ("203.0.113.1", 200)] {
        scene.upstream.forget_seen();
        let asked = format!("{session}X-Forwarded-For: {client}\r\nAccept: text/html\r\n");
        assert_eq!(scene.sends("GET", "/", &asked).await.status, status, "{client}");
        if status == 403 {
            scene.assert_nobody_was_asked(client);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_any_of_and_several_lists_are_all_of() {
    let allow = |lists: &str| format!("[route.app.allow]\n{lists}");
    for (lists, ada, grace) in [
        ("groups = ['admins', 'owners']", 200, 403),
        ("emails = ['ADA@example.com']", 200, 403),
        ("domains = ['example.com']", 200, 200),
        ("domains = ['ample.com']", 403, 403),
        ("users = ['248289761002']", 403, 200),
        ("claims = { preferred_username = ['ada', 'eve'] }", 200, 403),
        ("networks = ['127.0.0.0/8']", 200, 200),
        ("networks = ['10.0.0.0/8']", 403, 403),
        ("groups = ['staff']\nusers = ['248289761001']", 200, 403),
        ("groups = ['admins']\nnetworks = ['10.0.0.0/8']", 403, 403),
    ] {
        let scene = Scene::with(&allow(lists)).await;
        for (person, status) in [("Ada", ada), ("Grace", grace)] {
            let session = scene.session_of(person).await;
            let answer = scene.sends("GET", "/", &format!("{session}Accept: text/html\r\n")).await;
            assert_eq!(answer.status, status, "{person}: {lists}");
            if status == 403 {
                scene.assert_nobody_was_asked("a denial is no reason to sign in again");
                assert!(answer.header("location").is_none() && answer.text().contains(person), "{}", answer.text());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_are_part_of_the_rule_and_nothing_overrides_them() {
    // PX-40, AT-HS-16, AT-PM-14, AT-PM-15
    let routes = r#"
[route.read]
path = "/feed"
methods = ["GET"]
access = "public"
upstream = "UPSTREAM"
[route.strict]
path = "/docs"
methods = ["POST", "DELETE"]
upstream = "UPSTREAM"
[route.lax]
path = "/docs"
access = "public"
upstream = "UPSTREAM"
"#;
    let upstream = "http://127.0.0.1:9";
    let scene = Scene::with(&routes.replace("UPSTREAM", upstream)).await;
    let asks = async |method: &str, target: &str, fields: &str| scene.sends(method, target, fields).await;
    let refused = asks("POST", "/feed", "").await;
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")));
    for (method, target, fields, status) in [
        ("DELETE", "/feed", "X-HTTP-Method-Override: GET\r\n", 405),
        ("POST", "/feed?_method=GET", "X-Method-Override: GET\r\n", 405),
        ("DELETE", "/docs", "X-HTTP-Method-Override: GET\r\n", 401),
        ("POST", "/docs?_method=GET", "X-HTTP-Method: GET\r\n", 401),
        ("OPTIONS", "/", "", 401),
        ("OPTIONS", "/", "Origin: https://evil.example\r\nAccess-Control-Request-Method: PUT\r\n", 401),
        ("HEAD", "/", "", 401),
        ("get", "/feed", "", 405),
        // Taken, and only then found that nobody is there.
        ("HEAD", "/feed", "", 502),
        ("OPTIONS", "/docs", "", 502),
    ] {
        let answer = asks(method, target, fields).await;
        assert_eq!(answer.status, status, "{method} {target} {fields}");
        assert!(method != "HEAD" || answer.body.is_empty());
    }
    scene.assert_nobody_was_asked("no session");
    let page = scene
        .gateway
        .browser()
        .does(Ask::navigation(&scene.gateway.url("/x")).by(Method::HEAD).without_following())
        .await;
    assert_eq!((page.status, page.body.len()), (302, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn small_letters_in_a_method_are_no_way_round_a_rule() {
    // AT-HS-16: many frameworks read `delete` as `DELETE`.
    let upstream = RecordingUpstream::start().await;
    let rules = r#"
[route.app]
access = "public"
[route.rest]
path = "/p"
access = "public"
upstream = "UP"
[route.write]
path = "/p"
methods = ["DELETE", "PUT"]
access = "deny"
upstream = "UP"
[route.anything]
path = "/q"
access = "public"
upstream = "UP"
"#;
    let gateway = Gateway::in_front_of(&upstream).with(&rules.replace("UP", &upstream.url())).start().await;
    for (method, target, status) in [
        ("DELETE", "/p/x", 403),
        ("delete", "/p/x", 405),
        ("Delete", "/p/x", 405),
        ("pUT", "/p", 405),
        ("POST", "/p/x", 200),
        ("post", "/p/x", 200),
        ("brew", "/p/x", 200),
        ("delete", "/q", 200),
    ] {
        upstream.forget_seen();
        let authority = gateway.authority();
        let answer =
            Raw::once(gateway.address, format!("{method} {target} HTTP/1.1\r\nHost: {authority}\r\n\r\n")).await;
        assert_eq!(answer.status, status, "{method} {target}");
        let mut frames = Frames::connect(gateway.address).await;
        let fields = [(":method", method), (":scheme", "http"), (":authority", authority), (":path", target)];
        frames.asks(&fields).await;
        assert_eq!(frames.fate(1).await, Fate::Answered(status), "{method} {target} over HTTP/2");
        let methods: Vec<String> = upstream.seen().into_iter().map(|seen| seen.method).collect();
        assert_eq!(methods, if status == 200 { vec![method; 2] } else { vec![] });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_most_specific_host_then_the_most_specific_path_wins() {
    let routes = r#"
[route.app]
host = "*.example.com"
access = "public"
upstream = "static:200"
[route.wiki]
host = "wiki.example.com"
access = "public"
upstream = "static:201"
[route.deep]
host = "*.deep.example.com"
access = "public"
upstream = "static:202"
[route.path]
host = "*.example.com"
path = "/a/b"
access = "public"
upstream = "static:203"
[route.wikipath]
host = "wiki.example.com"
path = "/a"
access = "public"
upstream = "static:204"
"#;
    let scene = Scene::built(|gateway| gateway.at_https("wiki.example.com").with(routes)).await;
    for (host, path, status) in [
        ("wiki.example.com", "/", 201),
        ("WIKI.example.com.", "/", 201),
        ("wiki.example.com:443", "/a/b", 204),
        ("x.example.com", "/", 200),
        ("x.example.com", "/a/b/c", 203),
        ("x.example.com", "/a/bc", 200),
        ("x.deep.example.com", "/a/b", 202),
        ("y.x.example.com", "/", 200),
        ("example.com", "/", 421),
        ("evilexample.com", "/", 421),
        ("wiki.example.com.evil.example", "/", 421),
        ("127.0.0.1", "/", 421),
    ] {
        let answer = Raw::once(scene.gateway.address, format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(answer.status, status, "{host}{path}");
        assert!(status != 421 || !answer.text().contains(host) && answer.header("set-cookie").is_none());
    }
    scene.assert_nobody_was_asked("all of it is static");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_one_name_or_nothing() {
    // PX-09, PX-12, AT-PM-17
    let scene =
        Scene::built(|gateway| gateway.at_https("wiki.example.com").with("[route.app]\nhost = 'wiki.example.com'"))
            .await;
    for hosts in [
        "",
        "Host: evil.example\r\n",
        "Host: wiki.example.com:80@evil.example\r\n",
        "Host: evil.example@wiki.example.com\r\n",
        "Host: wiki.example.com\r\nHost: wiki.example.com\r\n",
        "Host: wiki.example.com\r\nHost: evil.example\r\n",
        "Host:\r\n",
        "Host: wiki example.com\r\n",
        "Host: wiki.example.com\tevil\r\n",
        "Host: wiki.example.com/evil\r\n",
        "Host: [fe80::1%25eth0]\r\n",
        "Host: wiki.example.com:99999\r\n",
        "Host: wiki.example.com:x\r\n",
        "Host: wiki.example.com, evil.example\r\n",
        "Host: evil.example\\wiki.example.com\r\n",
        "Host: wiki.example.com..\r\n",
    ] {
        let answer =
            Raw::once(scene.gateway.address, format!("GET / HTTP/1.1\r\n{hosts}Accept: text/html\r\n\r\n")).await;
        // A name that is well formed, and no route's.
        let status = if hosts == "Host: evil.example\r\n" { 421 } else { 400 };
        assert_eq!(answer.status, status, "{hosts:?}: {}", answer.head);
        assert!(!format!("{}{}", answer.head, answer.text()).contains("evil"), "{hosts:?} is reflected");
        assert!(answer.header("set-cookie").is_none() && answer.header("location").is_none());
        scene.assert_nobody_was_asked(hosts);
    }
    let canonical = Raw::once(scene.gateway.address, "GET / HTTP/1.1\r\nHost: WIKI.Example.com.:443\r\n\r\n").await;
    assert_eq!(canonical.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_target_may_have_every_form_and_is_judged_by_what_it_names() {
    // PX-08, PX-10, AT-PM-11, AT-PM-12
    let scene = Scene::built(|gateway| {
        gateway.at_https("wiki.example.com").with("[route.app]\nhost = 'wiki.example.com'").with(HOUSE)
    })
    .await;
    for (line, status) in [
        ("GET https://other.example/public", 421),
        ("GET http://wiki.example.com/admin", 401),
        ("GET http://wiki.example.com/public/../admin", 400),
        ("GET http://user@wiki.example.com/public", 400),
        ("GET ftp://wiki.example.com/public", 400),
        ("GET http://wiki.example.com?x", 400),
        ("OPTIONS *", 400),
        ("GET *", 400),
        ("GET wiki.example.com", 400),
        ("GET wiki.example.com:80", 400),
        ("CONNECT upstream:80", 405),
        ("CONNECT wiki.example.com:443", 405),
        ("GET public", 400),
    ] {
        let mut raw = scene.raw().await;
        raw.send(format!("{line} HTTP/1.1\r\nHost: wiki.example.com\r\n\r\n")).await;
        assert_eq!(raw.answer("GET").await.status, status, "{line}");
        scene.assert_nobody_was_asked(line);
    }
    let absolute = "GET http://wiki.example.com/public HTTP/1.1\r\nHost: other.example\r\n\r\n";
    assert_eq!(Raw::once(scene.gateway.address, absolute).await.status, 200);
    assert_eq!(scene.upstream.only_request().header("host"), Some("wiki.example.com"));
}

#[tokio::test(flavor = "multi_thread")]
async fn long_targets_are_answered_in_bounded_time() {
    // AT-PM-20, AT-PM-21, PX-30
    let scene = Scene::with(HOUSE).await;
    let targets = [
        format!("/{}", "x".repeat(64 << 10)),
        format!("/public?{}", "a=b&".repeat(10_000)),
        format!("/public{}", "/s".repeat(200)),
        format!("/public{}", "/..".repeat(5_000)),
        format!("/{}", "%2e%2e%2f%5c//;".repeat(2_000)),
        format!("/{}", ".%2e/%2f\\;%5c".repeat(150)),
        format!("/{}!", "a".repeat(30_000)),
        format!("/public/{}", "%61".repeat(9_000)),
    ];
    let asked = targets.iter().map(|target| scene.sends("GET", target, ""));
    let answers = tokio::time::timeout(std::time::Duration::from_secs(10), futures_util::future::join_all(asked));
    let statuses: Vec<u16> = answers.await.unwrap().iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [431, 200, 200, 414, 414, 400, 401, 414]);
    assert!(scene.upstream.seen().iter().all(|seen| seen.target.starts_with("/public")));
    assert_eq!(scene.sends("GET", "/public", "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_path_holds_is_refused() {
    // PX-30, AT-SM-20
    let scene = Scene::with(HOUSE).await;
    for target in [
        "/public/%00",
        "/public/%0d%0aSet-Cookie:%20a=b",
        "/public/%0a",
        "/public/%7f",
        "/public/%zz",
        "/public/%",
        "/public/%c0%ae",
    ] {
        let answer = scene.sends("GET", target, "Accept: text/html\r\n").await;
        assert_eq!(answer.status, 400, "{target}");
        assert!(answer.header("set-cookie").is_none());
        scene.assert_nobody_was_asked(target);
    }
    for line in [
        "GET /public\0 HTTP/1.1",
        "GET /pub\x01lic HTTP/1.1",
        "GET  /public HTTP/1.1",
        "GET /public  HTTP/1.1",
        "GET /public x HTTP/1.1",
    ] {
        let answer =
            Raw::once(scene.gateway.address, format!("{line}\r\nHost: {}\r\n\r\n", scene.gateway.authority())).await;
        assert_eq!(answer.status, 400, "{line:?}");
        scene.assert_nobody_was_asked(line);
    }
}
