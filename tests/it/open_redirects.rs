//! Nobody is sent anywhere but home: every target that somebody may name, at every place that takes one.

use crate::harness::idp::paths;
use http::Method;

use crate::harness::browser::{Ask, Page};
use crate::harness::{Gateway, Raw, RecordingUpstream, Scene, TestIdp, param};

/// Targets that a browser, or a careless reader, would take for another site.
const FOREIGN: [&str; 38] = [
    // AT-OR-01
    "https://evil.example/",
    "http://evil.example",
    "HTTPS://EVIL.EXAMPLE/x",
    "javascript:alert(1)",
    "data:text/html,x",
    "ftp://127.0.0.1/",
    // AT-OR-02
    "//evil.example",
    "///evil.example",
    "////evil.example/%2e%2e",
    "/\\evil.example",
    "\\\\evil.example",
    "\\/evil.example",
    "/\\/evil.example",
    "http:evil.example",
    "http:/evil.example",
    "http:\\\\evil.example",
    // AT-OR-04
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r/evil.example",
    "\u{0}//evil.example",
    " //evil.example",
    "\u{b}https://evil.example",
    "ht\ntp://evil.example",
    // AT-OR-05; OWN is what browsers call the gateway.
    "http://OWN@evil.example",
    "http://OWN:443@evil.example",
    "http://OWN%40evil.example",
    "http://OWN.evil.example",
    "http://OWN#@evil.example:80/",
    "http://evil.example?OWN",
    "http://evil.example\\@OWN/",
    "http://OWN\\.evil.example",
    "http://evil.example#@OWN/",
    // AT-OR-08
    "http://evil．example/",
    "http:／／evil.example",
    "http://xn--80ak6aa92e.example/",
    "http://0x7f000001/",
    "http://[::ffff:7f00:1]/",
    "http://2130706433/",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_foreign_target_survives_a_sign_in() {
    // AT-OR-01, AT-OR-02, AT-OR-04, AT-OR-05, AT-OR-08, SB-01
    let scene = Scene::start().await;
    for target in FOREIGN {
        let url = named(&scene.gateway, "login", target);
        let browser = scene.gateway.browser();
        let started = browser.asks(&url).await;
        let page = browser.signs_in(&url, "Ada").await;
        assert_eq!(page.status, 200, "{target:?}: {}", page.text());
        stays_home(&scene.gateway, target, &page);
        assert!(param(&started.location(), "redirect_uri").starts_with(scene.gateway.origin()));
        // A second visit, with a session, is no way out either.
        stays_home(&scene.gateway, target, &browser.opens(&url).await);
    }
    assert!(scene.upstream.seen().iter().all(|seen| !seen.target.contains("evil")), "{:?}", scene.upstream.seen());
    assert!(scene.idp.seen().iter().all(|seen| !String::from_utf8_lossy(&seen.body).contains("evil")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ours_arrives_with_its_fragment() {
    // SB-01, CK-26
    let scene = Scene::start().await;
    let origin = scene.gateway.origin().to_owned();
    for (target, wanted) in [
        ("/wiki?x=1&y=%2F#part", "/wiki?x=1&y=%2F#part"),
        ("/app#/route/7?tab=x", "/app#/route/7?tab=x"),
        ("/app#a#b é", "/app#a#b%20%C3%A9"),
        (&format!("{origin}/#/inbox"), "/#/inbox"),
        (&format!("{origin}/own#//evil.example"), "/own#//evil.example"),
        ("/a/../b", "/b"),
        ("/é ü", "/%C3%A9%20%C3%BC"),
        (&format!("{origin}/own?z"), "/own?z"),
        (&format!("{origin}?q"), "/?q"),
        (&origin, "/"),
        ("wiki", "/"),
        ("", "/"),
    ] {
        let page = scene.gateway.browser().signs_in(&named(&scene.gateway, "login", target), "Ada").await;
        assert_eq!((page.status, page.url.to_string()), (200, scene.gateway.url(wanted)), "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_comes_back_whole_or_is_told_to_be_too_long_before_the_sign_in() {
    // CK-26: never lost in silence
    let scene = Scene::start().await;
    for len in [900, 1100, 2100, 3000] {
        let path = format!("/p?q={}", "a1B~".repeat(len / 4));
        let browser = scene.gateway.browser();
        let page = browser.signs_in(&scene.gateway.url(&path), "Ada").await;
        assert_eq!((page.status, page.url.as_str()), (200, scene.gateway.url(&path).as_str()), "{len}");
        let url = named(&scene.gateway, "login", &format!("{path}#/part"));
        let page = scene.gateway.browser().signs_in(&url, "Ada").await;
        assert_eq!((page.status, page.url.as_str()), (200, scene.gateway.url(&format!("{path}#/part")).as_str()));
    }
    scene.upstream.forget_seen();
    let asked = scene.idp.seen_at(paths::AUTHORIZE).len();
    let long = |len: usize| {
        let mut state = 1_u32;
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b'a' + u8::try_from((state >> 16) % 26).unwrap())
        };
        format!("/p?q={}", std::iter::repeat_with(next).take(len).collect::<String>())
    };
    for url in [
        scene.gateway.url(&long(7000)),
        named(&scene.gateway, "login", &long(7000)),
        named(&scene.gateway, "login", &long(9000)),
    ] {
        let browser = scene.gateway.browser();
        let page = browser.opens(&url).await;
        assert_eq!(page.status, 414);
        scene.is_refused(&browser, &page, "VB-1026");
        assert!(browser.cookies().is_empty());
        let page = browser.follows(&page, &link_of(&page, "login?rd=")).await;
        let page = browser.picks(&page, "Ada").await;
        assert_eq!((page.status, page.url.as_str()), (200, scene.gateway.url("/").as_str()));
        scene.upstream.forget_seen();
        // Whoever is signed in opens it as it is.
        let page = browser.opens(&scene.gateway.url(&long(7000))).await;
        assert_eq!(page.status, 200);
        scene.upstream.forget_seen();
    }
    assert_eq!(scene.idp.seen_at(paths::AUTHORIZE).len(), asked + 3, "only for the start page");
}

/// The link of a page that holds this part.
fn link_of(page: &Page, part: &str) -> String {
    let text = page.text();
    let link = text.split("href=\"").skip(1).find(|link| link.split('"').next().unwrap().contains(part));
    link.unwrap_or_else(|| panic!("no {part} in {text}"))
        .split('"')
        .next()
        .unwrap()
        .replace("&#x2f;", "/")
        .replace("&amp;", "&")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_encoded_twice_stays_a_path_of_ours() {
    // AT-OR-07
    let scene = Scene::start().await;
    for target in [
        "%252f%252fevil.example",
        "%2f%2fevil.example",
        "/%2f%2fevil.example",
        "/%252f%252fevil.example",
        "/%5cevil.example",
        "/%2e%2e//evil.example",
    ] {
        for encoded in [target.to_owned(), url::form_urlencoded::byte_serialize(target.as_bytes()).collect()] {
            let browser = scene.gateway.browser();
            let page = browser.signs_in(&scene.gateway.own(&format!("login?rd={encoded}")), "Ada").await;
            stays_home(&scene.gateway, &encoded, &page);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_whose_path_looks_like_another_site_leads_home_again() {
    // AT-OR-02, AT-OR-04: the target that nobody names: the page itself
    let scene = Scene::start().await;
    for (path, status) in [
        ("//evil.example", 302),
        ("///evil.example/%2e%2e", 302),
        ("/\\evil.example", 302),
        ("/%09/evil.example", 400),
        ("/%0a/evil", 400),
        ("/%E2%80%A8/evil", 302),
    ] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: text/html\r\nConnection: close\r\n\r\n",
            scene.gateway.authority()
        );
        let answer = Raw::once(scene.gateway.address, request).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.head);
        if let Some(location) = answer.header("location") {
            assert!(location.starts_with(scene.idp.issuer()) && location.bytes().all(|byte| byte.is_ascii_graphic()));
            // And back.
            let browser = scene.gateway.browser();
            for cookie in answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie")) {
                browser.plants(&scene.gateway.url("/"), &cookie.1);
            }
            let callback = scene.answered(&browser, &location.parse().unwrap()).await;
            stays_home(&scene.gateway, path, &browser.asks(callback.as_str()).await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_foreign_target_survives_a_sign_out() {
    // AT-OR-11, SB-01, FC-06
    let scene = Scene::start().await;
    for (n, target) in FOREIGN.into_iter().enumerate() {
        let browser = scene.signs_in().await;
        let own: url::Url = scene.gateway.url("/").parse().unwrap();
        let url = match n % 2 {
            0 => named(&scene.gateway, "logout", target),
            _ => scene.gateway.own("logout"),
        };
        let fields = [("rd".to_owned(), target.to_owned()), ("post_logout_redirect_uri".to_owned(), target.to_owned())];
        let page = browser.does(Ask::form(&url, &fields).from(&own)).await;
        assert_eq!((page.status, page.url.path()), (200, "/_vestibule/signed-out"), "{target:?}");
        stays_home(&scene.gateway, target, &page);
        let page = browser.opens(&named(&scene.gateway, "signed-out", target)).await;
        stays_home(&scene.gateway, target, &page);
        assert!(!page.text().contains("evil"), "{}", page.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_foreign_target_survives_switching_accounts_or_an_error() {
    // AT-OR-01, AT-OR-11: the links of pages too
    let scene = Scene::start().await;
    for target in FOREIGN {
        let browser = scene.signs_in().await;
        let own: url::Url = scene.gateway.url("/").parse().unwrap();
        let fields = [("switch".to_owned(), "1".to_owned()), ("rd".to_owned(), target.to_owned())];
        let page = browser.does(Ask::form(&scene.gateway.own("logout"), &fields).from(&own)).await;
        assert!(page.is_choosing(), "{target:?}: {}", page.text());
        stays_home(&scene.gateway, target, &browser.picks(&page, "Grace").await);

        let url = named(&scene.gateway, "login", target) + "&provider=nobody";
        let page = scene.gateway.browser().opens(&url).await;
        assert_eq!(page.status, 400);
        assert!(!page.text().contains("evil") || page.text().contains("rd=http%3A%2F%2F127.0.0.1"), "{}", page.text());
        assert!(!page.text().contains("href=\"http"), "{}", page.text());
    }
    // A form that came too late leads back to the page that sent it, if that is ours.
    let ask = Ask::form(&scene.gateway.url("/save"), &[]).by(Method::POST).with("referer", "https://evil.example/form");
    let page = scene.gateway.browser().does(ask).await;
    assert!(page.status == 401 && !page.text().contains("evil"));
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarding_headers_of_strangers_name_no_host() {
    // AT-OR-10, AT-HS-17, AT-CL-02
    let scene = Scene::start().await;
    let browser = scene.gateway.browser();
    for (name, value) in [
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "444"),
        ("forwarded", "host=evil.example;proto=https"),
        ("x-original-url", "https://evil.example/"),
        ("x-forwarded-prefix", "/evil.example"),
        ("x-host", "evil.example"),
    ] {
        let page =
            browser.does(Ask::navigation(&scene.gateway.url("/wiki")).with(name, value).without_following()).await;
        assert_eq!(param(&page.location(), "redirect_uri"), scene.gateway.own("callback"), "{name}");
        let callback = scene.answered(&browser, &page.location()).await;
        let page = browser.does(Ask::navigation(callback.as_str()).with(name, value).without_following()).await;
        assert_eq!(page.location().as_str(), scene.gateway.url("/wiki"), "{name}");
        browser.plants(&scene.gateway.url("/"), "vestibule=; Max-Age=0; Path=/");
        browser.plants(&scene.gateway.url("/"), "vestibule.rounds=; Max-Age=0; Path=/");
        // Nor do pages of ours repeat what a cache would not tell apart.
        let page = browser.does(Ask::navigation(&scene.gateway.own("nothing-here")).with(name, value)).await;
        assert!(page.status == 404 && !page.text().contains("evil.example"), "{name}: {}", page.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_no_route_names_gets_no_sign_in() {
    // AT-OR-10, AT-PM-17
    let Scene { idp, upstream, gateway, .. } =
        Scene::built(|gateway| gateway.at_https("wiki.example.com").with("[route.app]\nhost = 'wiki.example.com'"))
            .await;
    for host in ["evil.example", "wiki.example.com.evil.example", "evil-wiki.example.com"] {
        for path in ["/", "/_vestibule/login?rd=/", "/_vestibule/callback?code=x&state=y"] {
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\nConnection: close\r\n\r\n");
            let answer = Raw::once(gateway.address, request).await;
            assert_eq!((answer.status, answer.header("location")), (421, None), "{host}{path}");
            assert!(answer.header("set-cookie").is_none());
        }
    }
    assert!(idp.seen().is_empty() && upstream.seen().is_empty());
    // Whatever the request's own scheme, the way back is the configured one.
    let page = gateway.browser().asks(&gateway.url("/")).await;
    assert_eq!(param(&page.location(), "redirect_uri"), "https://wiki.example.com/_vestibule/callback");
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_name_that_nobody_configured_people_are_sent_to_the_public_url_first() {
    // AT-OR-10, FW-07: the route takes any host, but only the configured origin signs in
    let Scene { idp, upstream, gateway, .. } = Scene::built(|gateway| gateway.at_https("wiki.example.com")).await;
    for path in ["/wiki?x=1", "/_vestibule/login?rd=/wiki"] {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\nAccept: text/html\r\nConnection: close\r\n\r\n");
        let answer = Raw::once(gateway.address, request).await;
        let public = format!("https://wiki.example.com{path}");
        assert_eq!((answer.status, answer.header("location")), (302, Some(public.as_str())));
        assert!(answer.header("set-cookie").is_none());
    }
    assert!(idp.seen().is_empty() && upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_on_a_sister_host_needs_the_cookies_reach() {
    // SB-01: hosts that some route names, within the reach of the cookie
    let (idp, upstream) = (TestIdp::start().await, RecordingUpstream::start().await);
    let base = Gateway::in_front_of(&upstream)
        .signing_in_at(&idp)
        .at_https("wiki.example.com")
        .known_as("files.example.com")
        .with("[route.app]\nhost = ['wiki.example.com', 'files.example.com']")
        .with("[route.twin]\nhost = 'notexample.com'\naccess = 'public'\nupstream = 'static:200'");
    let alone = base.clone().start().await;
    let joined = base.with("[session.cookie]\ndomain = 'example.com'").start().await;
    let rd = "https://files.example.com/x";
    for (gateway, wanted) in [(&alone, "https://wiki.example.com/"), (&joined, rd)] {
        let page = gateway.browser().signs_in(&named(gateway, "login", rd), "Ada").await;
        assert_eq!((page.status, page.url.as_str()), (200, wanted), "{}", page.text());
    }
    for rd in [
        "https://other.example.com/",
        "https://files.example.com:8443/",
        "http://files.example.com/",
        "https://notexample.com/",
    ] {
        let page = joined.browser().signs_in(&named(&joined, "login", rd), "Ada").await;
        assert_eq!(page.url.as_str(), "https://wiki.example.com/", "{rd}");
    }
}

fn named(gateway: &Gateway, endpoint: &str, target: &str) -> String {
    let mut url = url::Url::parse(&gateway.own(endpoint)).unwrap();
    url.query_pairs_mut().append_pair("rd", &target.replace("OWN", gateway.authority()));
    url.into()
}

/// Every redirect was to the gateway or the provider, whole and visible, and the last page is ours.
fn stays_home(gateway: &Gateway, target: &str, page: &Page) {
    let local = |url: &url::Url| url.host_str() == Some("127.0.0.1");
    assert!(local(&page.url), "{target:?} leads to {}", page.url);
    for headers in page.hops.iter().map(|hop| &hop.headers).chain([&page.headers]) {
        if let Some(location) = headers.get("location") {
            let text = location.to_str().unwrap();
            assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{target:?}: {text:?}");
            let url = page.url.join(text).unwrap();
            assert!(local(&url), "{target:?} leads to {text}");
        }
    }
    let last = page.header("location").map_or_else(|| page.url.clone(), |_| page.location());
    assert!(last.as_str().starts_with(gateway.origin()) || page.is_choosing(), "{target:?} ends at {last}");
}
