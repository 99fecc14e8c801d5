//! Only navigations are sent to sign in. Everything else gets the address of the sign-in, and no cookie.

use http::Method;

use crate::harness::browser::{Ask, Page};
use crate::harness::{Browser, Raw, Scene, param};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_navigation_gets_401_and_no_cookie() {
    // CK-25, CH-01
    let scene = Scene::start().await;
    let url = scene.gateway.url("/api?x=1");
    let navigation = || Ask::navigation(&url);
    for ask in [
        Ask::script(&url),
        Ask::image(&url),
        Ask::script(&url).by(Method::POST),
        navigation().by(Method::PUT),
        navigation().by(Method::DELETE),
        navigation().by(Method::OPTIONS),
        // Fetch Metadata wins over everything that looks like a page.
        Ask::script(&url).with("accept", "text/html"),
        Ask::script(&url).with("x-requested-with", "XMLHttpRequest"),
    ] {
        let browser = scene.gateway.browser();
        let page = browser.does(ask.clone()).await;
        assert_eq!(page.status, 401, "{ask:?}");
        is_problem(&scene, &page);
        assert!(browser.cookies().is_empty());
    }
    nobody_noticed(&scene);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_fetch_metadata_the_other_fields_decide() {
    // CK-25
    let scene = Scene::start().await;
    let url = scene.gateway.url("/api?x=1");
    let old = || scene.gateway.browser().without_fetch_metadata();
    let page = old().does(Ask::navigation(&url).without_following()).await;
    assert_eq!(page.status, 302);
    let page = old().does(Ask::navigation(&url).with("x-requested-with", "XMLHttpRequest").without_following()).await;
    is_problem(&scene, &page);
    for accept in ["application/json", "image/png,*/*;q=0.1", "text/css", "text/html;q=0, application/json"] {
        let request = format!(
            "GET /api?x=1 HTTP/1.1\r\nHost: {}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n",
            scene.gateway.authority()
        );
        let answer = Raw::once(scene.gateway.address, request).await;
        assert_eq!((answer.status, answer.header("content-type")), (401, Some("application/problem+json")), "{accept}");
        assert!(answer.header("set-cookie").is_none() && answer.header("location").is_none());
    }
    // What asks for anything, as curl does, gets plain text.
    for accept in ["", "Accept: */*\r\n"] {
        let request = format!(
            "GET /api?x=1 HTTP/1.1\r\nHost: {}\r\n{accept}Connection: close\r\n\r\n",
            scene.gateway.authority()
        );
        let answer = Raw::once(scene.gateway.address, request).await;
        assert_eq!((answer.status, answer.header("content-type")), (401, Some("text/plain; charset=utf-8")));
        assert!(answer.text().contains(&format!("Sign in: {}?rd=", scene.gateway.own("login"))), "{}", answer.text());
        assert!(answer.header("set-cookie").is_none());
    }
    nobody_noticed(&scene);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_login_url_of_a_refusal_leads_to_the_page() {
    let scene = Scene::start().await;
    let browser = scene.gateway.browser();
    let refused = browser.fetches(&scene.gateway.url("/"), &scene.gateway.url("/api?x=1")).await;
    let login = refused.url.join(refused.json()["login_url"].as_str().unwrap()).unwrap();
    let page = browser.signs_in(login.as_str(), "Ada").await;
    assert_eq!((page.status, page.url.to_string()), (200, scene.gateway.url("/api?x=1")));
    let fetched = browser.fetches(&scene.gateway.url("/"), &scene.gateway.url("/api?x=1")).await;
    assert_eq!(fetched.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_came_too_late_is_not_passed_on_and_the_person_is_told() {
    let scene = Scene::start().await;
    let browser = scene.gateway.browser();
    let form: url::Url = scene.gateway.url("/edit/7").parse().unwrap();
    let fields = [("text".to_owned(), "an hour's work".to_owned())];
    let ask = Ask::form(&scene.gateway.url("/save"), &fields).from(&form).with("referer", form.as_str());
    let page = browser.does(ask).await;
    assert_eq!(page.status, 401);
    assert!(page.text().contains("VB-1022") && page.text().contains("not submitted"), "{}", page.text());
    assert!(browser.cookies().is_empty());
    nobody_noticed(&scene);
    // Signing in again leads back to the form, not to what it was sent to.
    let link = page
        .text()
        .split("href=\"")
        .find(|part| part.contains("login?rd="))
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    let page = browser.follows(&page, &link.replace("&#x2f;", "/").replace("&amp;", "&")).await;
    let page = browser.picks(&page, "Ada").await;
    assert_eq!((page.status, page.url.as_str()), (200, form.as_str()));
    assert_eq!(scene.upstream.only_request().method, "GET");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_judged_as_a_get() {
    // AT-PM-15
    let scene = Scene::start().await;
    let browser = scene.gateway.browser();
    let page = browser.does(Ask::navigation(&scene.gateway.url("/wiki")).by(Method::HEAD).without_following()).await;
    assert_eq!(page.status, 302);
    assert_eq!(param(&page.location(), "redirect_uri"), scene.gateway.own("callback"));
    assert!(page.body.is_empty());
    let page = browser.does(Ask::script(&scene.gateway.url("/wiki")).by(Method::HEAD)).await;
    assert!(page.status == 401 && page.body.is_empty());
    nobody_noticed(&scene);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_is_never_redirected_and_says_which_scheme() {
    // BE-02
    let scene = Scene::with("[route.app.paths]\n'/api' = { access = 'api' }").await;
    let browser = scene.gateway.browser();
    let url = scene.gateway.url("/api/x");
    // RFC 6750 section 3: a parameter, and no error where no token was sent.
    let realm = format!("Bearer realm=\"{}\"", scene.gateway.authority());
    for ask in [Ask::navigation(&url), Ask::script(&url), Ask::form(&url, &[])] {
        let page = browser.does(ask).await;
        assert_eq!((page.status, page.header("www-authenticate")), (401, Some(&*realm)));
        assert!(page.header("location").is_none() && browser.cookies().is_empty());
    }
    nobody_noticed(&scene);
    // With a session it is as any other path.
    let browser = scene.signs_in().await;
    assert_eq!(browser.does(Ask::script(&url)).await.status, 200);
    // A page that asks for a sign-in by redirect says nothing of the kind.
    let page = scene.gateway.browser().does(Ask::script(&scene.gateway.url("/other"))).await;
    assert_eq!((page.status, page.header("www-authenticate")), (401, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_sign_in_is_kept_by_nobody() {
    // AT-CL-03, AT-CL-05, CH-01
    let scene = Scene::start().await;
    let ask = Ask::navigation(&scene.gateway.url("/logo.png"))
        .with("if-none-match", "*")
        .with("if-modified-since", "Thu, 01 Jan 2026 00:00:00 GMT");
    let page = scene.gateway.browser().does(ask.without_following()).await;
    assert_eq!(
        (page.status, page.header("cache-control"), page.header("referrer-policy")),
        (302, Some("no-store"), Some("no-referrer"))
    );
    nobody_noticed(&scene);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_no_navigation_begins_nothing() {
    // CK-25
    let scene = Scene::start().await;
    let browser = scene.gateway.browser();
    let page = browser.fetches(&scene.gateway.url("/"), &scene.gateway.own("login?rd=/wiki")).await;
    assert_eq!(page.status, 401);
    let page = browser.does(Ask::script(&scene.gateway.own("login")).by(Method::POST)).await;
    assert_eq!(page.status, 401);
    let page = browser.does(Ask::navigation(&scene.gateway.own("login?rd=/wiki")).by(Method::PUT)).await;
    assert_eq!((page.status, page.header("allow")), (405, Some("GET, HEAD, POST")));
    assert!(browser.cookies().is_empty());
    nobody_noticed(&scene);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_browser_fetches_ahead_begins_and_ends_no_sign_in() {
    // CK-25
    let scene = Scene::start().await;
    let callback_of = scene.gateway.browser();
    let callback = scene.callback(&callback_of, "/wiki").await;
    let held = callback_of.cookies().len();
    let ahead = [
        ("sec-purpose", "prefetch"),
        ("sec-purpose", "prefetch;prerender"),
        ("sec-purpose", "prefetch;anonymous-client-ip"),
        ("purpose", "prefetch"),
        ("x-purpose", "preview"),
        ("x-moz", "prefetch"),
    ];
    for (name, value) in ahead {
        let browser = scene.gateway.browser();
        for url in [scene.gateway.url("/wiki"), scene.gateway.own("login?rd=/wiki")] {
            for ask in [Ask::navigation(&url), Ask::navigation(&url).by(Method::HEAD)] {
                let page = browser.does(ask.with(name, value).without_following()).await;
                assert_eq!((page.status, page.header("location")), (401, None), "{name}: {value} of {url}");
            }
        }
        assert!(browser.cookies().is_empty());
        let page = callback_of.does(Ask::navigation(callback.as_str()).with(name, value).without_following()).await;
        assert_eq!((page.status, page.header("set-cookie"), callback_of.cookies().len()), (401, None, held));
    }
    nobody_noticed(&scene);
    let page = callback_of.opens(callback.as_str()).await;
    assert_eq!((page.status, page.url.path()), (200, "/wiki"));
    // Who is signed in gets pages ahead as ever.
    for (name, value) in ahead {
        let page = callback_of.does(Ask::navigation(&scene.gateway.url("/next")).with(name, value)).await;
        assert_eq!(page.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_ours_cannot_be_framed_or_run_anything() {
    // SB-12, SB-15, AT-CL-20
    let scene = Scene::start().await;
    let signed_in = scene.signs_in().await;
    let stranger = scene.gateway.browser();
    let pages: [(&Browser, &str, u16); 5] = [
        (&stranger, "callback?state=x", 400),
        (&stranger, "signed-out", 200),
        (&stranger, "nothing-here", 404),
        (&signed_in, "logout", 200),
        (&signed_in, "session", 200),
    ];
    for (browser, endpoint, status) in pages {
        let page = browser.opens(&scene.gateway.own(endpoint)).await;
        assert_eq!(page.status, status, "{endpoint}");
        let policy = page.header("content-security-policy").unwrap();
        assert!(
            policy.contains("frame-ancestors 'none'") && policy.contains("default-src 'none'"),
            "{endpoint}: {policy}"
        );
        assert_eq!(page.header("x-frame-options"), Some("DENY"));
        assert_eq!(page.header("cache-control"), Some("no-store"));
        assert!(!page.text().contains("<script") && !page.text().contains("postMessage"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn identity_from_outside_is_stripped_on_the_way_to_signing_in_too() {
    // SB-11, AT-HS-01
    let scene = Scene::with("[route.app.paths]\n'/open' = { access = 'public' }").await;
    let spoof = |ask: Ask| {
        ask.with("x-forwarded-user", "root").with("X-Forwarded-Email", "root@example.com").with("remote-user", "root")
    };
    let page =
        scene.gateway.browser().does(spoof(Ask::navigation(&scene.gateway.url("/wiki"))).without_following()).await;
    assert_eq!(page.status, 302);
    let page = scene.gateway.browser().does(spoof(Ask::navigation(&scene.gateway.url("/open")))).await;
    assert_eq!(page.status, 200);
    let seen = scene.upstream.only_request();
    assert!(!seen.head.contains("root"), "{}", seen.head);
}

fn is_problem(scene: &Scene, page: &Page) {
    assert_eq!(page.status, 401);
    assert_eq!(page.header("content-type"), Some("application/problem+json"));
    assert_eq!(
        (page.header("cache-control"), page.header("location"), page.header("set-cookie")),
        (Some("no-store"), None, None)
    );
    assert_eq!(page.header("www-authenticate"), None);
    if page.body.is_empty() {
        return;
    }
    let problem = page.json();
    assert_eq!(
        (problem["status"].as_u64(), problem["type"].as_str()),
        (Some(401), Some("urn:vestibule:problem:sign_in_needed"))
    );
    let login = page.url.join(problem["login_url"].as_str().unwrap()).unwrap();
    assert_eq!((login.path(), param(&login, "rd")), ("/_vestibule/login", scene.gateway.url("/api?x=1")));
    assert!(problem["request_id"].is_string() && problem["title"].is_string() && problem["detail"].is_string());
}

/// Neither the application nor the provider.
fn nobody_noticed(scene: &Scene) {
    assert!(scene.upstream.seen().is_empty(), "{:?}", scene.upstream.seen());
    assert!(scene.token_endpoint_is_untouched());
}
