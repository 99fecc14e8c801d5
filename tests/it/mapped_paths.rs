//! Another path towards the application: `strip_prefix` of a route, and the path of an upstream URL. What arrives, what is told, and
//! that no target is judged as one path and read as another there.

use tempfile::TempDir;

use crate::harness::frames::{Fate, Frames};
use crate::harness::{Gateway, Raw, RecordingUpstream, Scene};

/// A wiki for everybody, of which one part is closed to strangers; the application has it at its root.
const WIKI: &str = "[route.app]\npath = '/wiki'\nstrip_prefix = '/wiki'\naccess = 'public'\n\
    [route.app.paths]\n'/wiki/admin' = { access = 'login', allow.groups = ['admins'] }";

/// The same without a provider: the part is closed to everybody.
const CLOSED: &str = "[route.app]\npath = '/wiki'\nstrip_prefix = '/wiki'\naccess = 'public'\n\
    [route.app.paths]\n'/wiki/admin' = { access = 'deny' }";

/// That, where the application has it at `/base`.
async fn based(upstream: &RecordingUpstream, more: &str) -> Gateway {
    let url = format!("[route.app]\nupstream = '{}/base'", upstream.url());
    Gateway::in_front_of(upstream).with(CLOSED).with(&url).with(more).start().await
}

async fn status(gateway: &Gateway, method: &str, target: &str, fields: &str) -> u16 {
    let host = gateway.authority();
    Raw::once(gateway.address, format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_at_its_root_is_reached_below_a_prefix() {
    // PX-41
    let scene = Scene::with(WIKI).await;
    for (sent, arrives) in [
        ("/wiki", "/"),
        ("/wiki/", "/"),
        ("/wiki?q=1", "/?q=1"),
        ("/wiki/x", "/x"),
        ("/wiki/wiki/x", "/wiki/x"),
        ("/wiki/a%2Fb/%C3%A9;v=1?q=%zz[]|&next=/wiki/y", "/a%2Fb/%C3%A9;v=1?q=%zz[]|&next=/wiki/y"),
        ("/wiki//x/", "//x/"),
        ("/wiki/a/../b", "/a/../b"),
        ("/wiki/é", "/é"),
        ("/%77iki/x", "/x"),
        ("/wiki/\"<a>\"`?\"b\"", "/\"<a>\"`?\"b\""),
    ] {
        let answer = scene.sends("GET", sent, "").await;
        let expected = if sent.starts_with("/%77") { 400 } else { 200 };
        assert_eq!(answer.status, expected, "{sent}: {}", answer.text());
        if expected == 200 {
            let seen = scene.upstream.last_request();
            assert_eq!(seen.head.split(' ').nth(1), Some(arrives), "{sent}");
            assert_eq!(seen.all("x-forwarded-prefix"), ["/wiki"], "{sent}");
        }
    }
    let absolute = format!("http://{}/wiki/x?y", scene.gateway.authority());
    assert_eq!(scene.sends("GET", &absolute, "").await.status, 200);
    assert_eq!(scene.upstream.last_request().target, "/x?y");
    scene.forget_seen();
    for (outside, answered) in [("/wikis", 404), ("/", 404), ("/x", 404), ("/Wiki/x", 404), ("*", 400)] {
        assert_eq!(scene.sends("OPTIONS", outside, "").await.status, answered, "{outside}");
        scene.assert_nobody_was_asked(outside);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_path_of_an_upstream_url_is_put_in_front_each_address_its_own() {
    let (one, two) = (RecordingUpstream::start().await, RecordingUpstream::start().await);
    let both =
        format!("[server]\nworkers = 1\n[route.app]\nupstream = ['{}/one', '{}/tw%C3%B6/deep/']", one.url(), two.url());
    let gateway = Gateway::in_front_of(&one).with(CLOSED).with(&both).start().await;
    for target in ["/wiki/x?a", "/wiki/x?a", "/wiki", "/wiki", "/wiki/\"?<", "/wiki/\"?<"] {
        assert_eq!(status(&gateway, "GET", target, "").await, 200, "{target}");
    }
    let targets = |upstream: &RecordingUpstream| {
        let mut targets: Vec<_> =
            upstream.seen().iter().map(|it| it.head.split(' ').nth(1).unwrap().to_owned()).collect();
        targets.sort();
        targets
    };
    assert_eq!(targets(&one), ["/one", "/one/\"?<", "/one/x?a"]);
    assert_eq!(targets(&two), ["/tw%C3%B6/deep", "/tw%C3%B6/deep/\"?<", "/tw%C3%B6/deep/x?a"]);
    assert!(one.seen().iter().chain(&two.seen()).all(|it| it.all("x-forwarded-prefix") == ["/wiki"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_application_makes_of_a_mapped_path_is_judged_too() {
    // PX-41, AT-PM-02, AT-PM-03: public as it was sent, public without the prefix, and closed as the application reads it.
    for base in ["", "/base", "/base/deep"] {
        let upstream = RecordingUpstream::start().await;
        let gateway = Gateway::in_front_of(&upstream)
            .with(CLOSED)
            .with(&format!("[route.app]\nupstream = '{}{base}'", upstream.url()));
        // Everything else is public, too: what a target means outside the route is no reason to refuse it.
        let rest = format!("[route.rest]\nupstream = '{}'\naccess = 'public'", upstream.url());
        let gateway = gateway.with(&rest).start().await;
        for target in [
            "/wiki/..%2fadmin",
            "/wiki/..%2Fadmin/x",
            "/wiki/%2e%2e%2fadmin",
            "/wiki/..%5cadmin",
            "/wiki/..\\admin",
            "/wiki/../admin",
            "/wiki/%2e%2e/admin",
            "/wiki/..;/admin",
            "/wiki/x/../../admin",
            "/wiki/x/..%2f..%2fadmin",
            "/wiki/%252e%252e%252fadmin",
            "/wiki//admin",
            "/wiki//x/admin",
            "/wiki/\\x/admin",
            "/wiki/\\admin",
            "/wiki/%2fadmin",
            "/wiki/%2f%2fx/admin",
            "/wiki/http://x/admin",
            "/wiki/http:/x/admin",
            "/wiki/http:x/admin",
            "/wiki/.//x/admin",
            "/wiki/ADMIN",
            "/wiki/x/../Admin",
            "/wiki/;/admin",
            "/wiki;a=b/admin",
            "/wiki/x%3f/../admin",
            "/wiki?/../admin",
            "/wiki/x?/../../admin",
            "/wiki%2fadmin",
            "/wiki/%61dmin",
            "/wiki/%ef%bc%8e%ef%bc%8e/admin",
        ] {
            let answered = status(&gateway, "GET", target, "").await;
            assert_eq!(answered, 400, "{base}: {target}");
            assert_eq!(upstream.seen().len(), 0, "{base}: {target} arrived as {:?}", upstream.seen());
        }
        assert_eq!(status(&gateway, "GET", "/wiki/admin/x", "").await, 403);
        assert!(upstream.seen().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_reading_leaves_the_base_path() {
    let upstream = RecordingUpstream::start().await;
    // One rule for everything: nothing but the base is at stake.
    let gateway = based(&upstream, "").await;
    let plain = Gateway::in_front_of_url(&format!("{}/base", upstream.url()))
        .with("[route.app]\naccess = 'public'")
        .start()
        .await;
    for target in [
        "/..",
        "/../x",
        "/../base/x",
        "/../basement",
        "/x/../../y",
        "/..%2fx",
        "/%2e%2e/x",
        "/..\\x",
        "/..%5cx",
        "/..;/x",
        "/%252e%252e/x",
        "/..%23",
        "/..%3f",
        "/x?/../../../y",
        "/.%2509./x",
        "/..%20/x",
        "/%ef%bc%8e%ef%bc%8e/x",
    ] {
        for (gateway, target) in [(&plain, target.to_owned()), (&gateway, format!("/wiki{target}"))] {
            assert_eq!(status(gateway, "GET", &target, "").await, 400, "{target}");
            assert!(upstream.seen().is_empty(), "{target} arrived as {:?}", upstream.seen());
        }
    }
    for (target, arrives) in [("/a//b", "/base/a//b"), ("/a%2Fb;c", "/base/a%2Fb;c"), ("/...", "/base/...")] {
        assert_eq!(status(&plain, "GET", target, "").await, 200, "{target}");
        assert_eq!(upstream.last_request().target, arrives);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_and_logs_speak_of_the_browsers_path() {
    let folder = TempDir::new().unwrap();
    let access = folder.path().join("access");
    let log = format!("[log]\naccess = '{}'", access.display());
    let scene = Scene::built(|gateway| gateway.with(WIKI).with(&log)).await;
    let (ada, grace) = (scene.session_of("Ada").await, scene.session_of("Grace").await);
    assert_eq!(scene.sends("GET", "/wiki/admin/x?y", &ada).await.status, 200);
    assert_eq!(scene.upstream.only_request().target, "/admin/x?y");
    scene.forget_seen();
    assert_eq!(scene.sends("GET", "/wiki/admin/x", &grace).await.status, 403);
    assert_eq!(scene.sends("GET", "/wiki/admin", "").await.status, 401);
    scene.assert_nobody_was_asked("who may not pass");
    scene.gateway.stop().await;
    let lines = std::fs::read_to_string(access).unwrap();
    let find = |path: &str| {
        let mut lines = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.find(|line| line["path"] == path).unwrap_or_else(|| panic!("{path} is not there"))
    };
    assert_eq!(find("/wiki/admin/x?y")["upstream_path"], "/admin/x?y");
    assert_eq!(find("/wiki/admin/x")["upstream_path"], serde_json::Value::Null, "it was not sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_prefix_is_told_and_only_a_trusted_proxy_puts_its_own_before_it() {
    // AT-HS-17
    let upstream = RecordingUpstream::start().await;
    for (trusted, fields, told) in [
        ("", "X-Forwarded-Prefix: /evil\r\n", "/wiki"),
        ("", "X_Forwarded_Prefix: /evil\r\nX-Script-Name: /evil\r\n", "/wiki"),
        ("", "Connection: X-Forwarded-Prefix\r\n", "/wiki"),
        ("[server]\ntrusted_proxies = ['127.0.0.0/8']", "X-Forwarded-Prefix: /outer/\r\n", "/outer/wiki"),
        ("[server]\ntrusted_proxies = ['127.0.0.0/8']", "X-Forwarded-Prefix: //evil.example\r\n", "/wiki"),
        ("[server]\ntrusted_proxies = ['127.0.0.0/8']", "", "/wiki"),
    ] {
        let gateway = based(&upstream, trusted).await;
        assert_eq!(status(&gateway, "GET", "/wiki/x", fields).await, 200, "{fields}");
        let seen = upstream.last_request();
        assert_eq!(seen.target, "/base/x");
        let told_by: Vec<_> = seen
            .headers
            .iter()
            .filter(|(name, _)| name.to_lowercase().replace('_', "-") == "x-forwarded-prefix")
            .collect();
        assert_eq!(told_by.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), [told], "{fields}");
        assert_eq!(seen.header("x-script-name"), None);
    }
    // Where nothing is taken off, there is nothing to tell.
    let plain = Gateway::in_front_of(&upstream).with("[route.app]\naccess = 'public'").start().await;
    assert_eq!(status(&plain, "GET", "/wiki/x", "X-Forwarded-Prefix: /evil\r\n").await, 200);
    assert_eq!(upstream.last_request().header("x-forwarded-prefix"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_mapped_and_judged_alike() {
    let scene = Scene::with(WIKI).await;
    for (path, arrives) in [
        ("/wiki/x?y", Some("/x?y")),
        ("/wiki", Some("/")),
        ("/wiki/..%2fadmin", None),
        ("/wiki//admin", None),
        ("*", None),
    ] {
        scene.forget_seen();
        let mut frames = Frames::connect(scene.gateway.address).await;
        let authority = scene.gateway.authority();
        frames.asks(&[(":method", "GET"), (":scheme", "http"), (":authority", authority), (":path", path)]).await;
        let fate = frames.fate(1).await;
        assert_eq!(fate == Fate::Answered(200), arrives.is_some(), "{path}: {fate:?}");
        let seen = scene.upstream.seen();
        assert_eq!(seen.first().map(|it| it.target.as_str()), arrives, "{path}");
    }
}

/// What Ada, Grace and a stranger may move where: Ada is an administrator, Grace is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_destination_is_mapped_and_judged_like_the_target() {
    // RFC 4918 section 10.3
    for (base, prefix) in [("", "/wiki"), ("/base", "/wiki"), ("", ""), ("/base", "")] {
        let upstream = RecordingUpstream::start().await;
        let url = upstream.url();
        let strip = if prefix.is_empty() { "" } else { "strip_prefix = '/wiki'" };
        let rules = format!(
            "[route.app]\npath = '/wiki'\n{strip}\nupstream = '{url}{base}'\n\
             [route.app.paths]\n'/wiki/admin' = {{ allow.groups = ['admins'] }}\n'/wiki/closed' = {{ access = 'deny' }}\n\
             [route.neighbour]\npath = '/wiki/shared'\n{strip}\nupstream = '{url}{base}'\naccess = 'public'\n\
             [route.other]\npath = '/other'\nupstream = 'http://127.0.0.1:9'\n\
             [route.elsewhere]\nhost = 'other.example'\nupstream = '{url}'",
        );
        let scene = Scene::at(crate::harness::TestIdp::start().await, &rules).await;
        // The scene's own application stands aside.
        let own = scene.gateway.origin().to_owned();
        let (ada, grace) = (scene.session_of("Ada").await, scene.session_of("Grace").await);
        let sent = |path: &str| format!("{base}{}", path.strip_prefix(prefix).unwrap());
        for (who, destination, status, arrives) in [
            (&grace, "/wiki/b?c".to_owned(), 200, Some(sent("/wiki/b?c"))),
            (&grace, format!("{own}/wiki/b%20c"), 200, Some(format!("{own}{}", sent("/wiki/b%20c")))),
            (&ada, "/wiki/admin/b".to_owned(), 200, Some(sent("/wiki/admin/b"))),
            (&ada, format!("{own}/wiki/admin/b"), 200, Some(format!("{own}{}", sent("/wiki/admin/b")))),
            (&grace, "/wiki/shared/b".to_owned(), 200, Some(sent("/wiki/shared/b"))),
            (&grace, "/wiki/admin/b".to_owned(), 403, None),
            (&grace, format!("{own}/wiki/admin/b"), 403, None),
            (&ada, "/wiki/closed/b".to_owned(), 403, None),
            (&grace, "/wiki/..%2fadmin/b".to_owned(), 400, None),
            (&grace, "/wiki/../admin".to_owned(), 400, None),
            (&grace, "/wiki//admin/b".to_owned(), 400, None),
            (&grace, "/admin/b".to_owned(), 400, None),
            (&grace, "/b".to_owned(), 400, None),
            (&ada, "/other/b".to_owned(), 400, None),
            (&ada, "http://other.example/wiki/b".to_owned(), 400, None),
            (&ada, "ftp://other.example/wiki/b".to_owned(), 400, None),
            // The routes are for any host. This is none of ours.
            (&ada, "http://evil.example/wiki/b".to_owned(), 400, None),
            (&ada, format!("http://{}.evil.example/wiki/b", scene.gateway.authority()), 400, None),
            (&ada, "http://127.0.0.1:9/wiki/b".to_owned(), 400, None),
            (&ada, "https://127.0.0.1/wiki/b".to_owned(), 400, None),
            (&ada, "/_vestibule/logout".to_owned(), 400, None),
            (&ada, "wiki/b".to_owned(), 400, None),
            (&ada, "/wiki/b\r\nDestination: /wiki/c".to_owned(), 400, None),
        ] {
            for method in ["MOVE", "COPY"] {
                let why = format!("{method} {base}: {destination}");
                scene.forget_seen();
                upstream.forget_seen();
                let fields = format!("{who}Destination: {destination}\r\n");
                let answer = scene.sends(method, "/wiki/a", &fields).await;
                assert_eq!(answer.status, status, "{why}: {}", answer.text());
                let seen = upstream.seen();
                assert_eq!(seen.len(), usize::from(arrives.is_some()), "{why}");
                for request in seen {
                    assert_eq!(request.target, sent("/wiki/a"), "{why}");
                    assert_eq!(request.all("destination"), [arrives.as_deref().unwrap()], "{why}");
                }
                assert!(scene.idp.seen().is_empty() && scene.upstream.seen().is_empty(), "{why}");
            }
        }
        // Who is nobody yet is asked to sign in, whatever the destination is.
        let answer = scene.sends("MOVE", "/wiki/a", "Destination: /wiki/b\r\n").await;
        assert_eq!(answer.status, 401);
        assert_eq!(scene.sends("MOVE", "/wiki/shared/a", "Destination: /wiki/b\r\n").await.status, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_names_the_host_that_the_application_gets_to_see() {
    let upstream = RecordingUpstream::start().await;
    let gateway = based(&upstream, "[route.app]\nhost_header = 'dav.internal:8080'").await;
    let own = gateway.origin();
    for (sent, arrives) in
        [(format!("{own}/wiki/b"), "http://dav.internal:8080/base/b"), ("/wiki/b".to_owned(), "/base/b")]
    {
        assert_eq!(status(&gateway, "MOVE", "/wiki/a", &format!("Destination: {sent}\r\n")).await, 200);
        let seen = upstream.last_request();
        assert_eq!((seen.header("host"), seen.header("destination")), (Some("dav.internal:8080"), Some(arrives)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_reaches_no_application_by_another_method() {
    // AT-HS-16: an application that takes a POST for a MOVE must not get one that nobody judged.
    let upstream = RecordingUpstream::start().await;
    let gateway = based(&upstream, "").await;
    for (method, more) in [
        ("POST", "X-HTTP-Method-Override: MOVE\r\nContent-Length: 0\r\n"),
        ("move", ""),
        ("GET", ""),
        ("PUT", "Content-Length: 0\r\n"),
    ] {
        let fields = format!("Destination: /wiki/admin/x\r\n{more}");
        assert_eq!(status(&gateway, method, "/wiki/a", &fields).await, 200, "{method}");
        let seen = upstream.last_request();
        assert_eq!((seen.method.as_str(), seen.header("destination")), (method, None));
    }
    let kept = based(&upstream, "[route.app]\ninsecure_keep_headers = ['Destination']").await;
    assert_eq!(status(&kept, "GET", "/wiki/a", "Destination: erp\r\n").await, 200);
    assert_eq!(upstream.last_request().header("destination"), Some("erp"));
    assert_eq!(status(&kept, "MOVE", "/wiki/a", "Destination: erp\r\n").await, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_another_prefix() {
    let upstream = RecordingUpstream::start().await;
    let public = "[route.app]\naccess = 'public'\npath = '/wiki'\nstrip_prefix = '/wiki'";
    let mut gateway = Gateway::in_front_of(&upstream).with(public).start().await;
    assert_eq!(status(&gateway, "GET", "/wiki/x/y", "").await, 200);
    assert_eq!(upstream.last_request().target, "/x/y");
    gateway.reload_with("[route.app]\npath = '/wiki/x'\nstrip_prefix = '/wiki/x'");
    assert_eq!(status(&gateway, "GET", "/wiki/x/y", "").await, 200);
    assert_eq!(upstream.last_request().target, "/y");
}
