//! What stands at the door: the operator's message, and a page with a button before anybody is sent to a provider.

use std::time::Duration;

use http::Method;

use crate::harness::browser::{Ask, Page};
use crate::harness::idp::{IdpSettings, paths};
use crate::harness::{Gateway, Raw, RecordingUpstream, Scene, TestIdp, param};

const PAGE: &str = "
[pages]
sign_in = 'page'
notice = '''
Members only.
Use is <logged> & kept.

Ask first.'''
[provider.idp]
title = 'Corp & Sons'
[route.app.paths]
'/api' = { access = 'api' }
'/closed' = { allow.groups = ['board'] }
";

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_sent_to_the_provider_before_they_press_the_button() {
    let Scene { idp, upstream, gateway, browser } = Scene::with(PAGE).await;
    let page = browser.asks(&gateway.url("/wiki?x=1&y=%2F")).await;
    assert_eq!((page.status, page.header("content-type")), (401, Some("text/html; charset=utf-8")));
    assert_eq!((page.header("cache-control"), page.header("set-cookie")), (Some("no-store"), None));
    assert_eq!((page.header("x-vestibule-response"), page.header("location")), (Some("sign-in"), None));
    let text = page.text();
    assert!(text.contains("Sign in with <bdi>Corp &amp; Sons</bdi></a>"), "{text}");
    assert!(text.contains(NOTICE), "{text}");
    assert_eq!(text.matches("<a ").count(), 1, "{text}");
    assert!(idp.seen().is_empty() && upstream.seen().is_empty() && browser.cookies().is_empty());
    // A second look begins nothing either.
    browser.asks(&gateway.url("/")).await;
    assert!(idp.seen().is_empty() && browser.cookies().is_empty());

    let page = browser.follows(&page, &link(&page, "login?")).await;
    assert!(page.is_choosing(), "{}", page.text());
    let page = browser.picks(&page, "Ada").await;
    assert_eq!((page.status, page.url.to_string()), (200, gateway.url("/wiki?x=1&y=%2F")), "{}", page.text());
    assert_eq!(upstream.only_request().target, "/wiki?x=1&y=%2F");
    assert_eq!(idp.seen_at(paths::AUTHORIZE).len(), 1);
    // Who is signed in sees no door.
    assert_eq!(browser.asks(&gateway.url("/other")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_no_page_of_a_person_is_answered_as_without_the_page() {
    let with = Scene::with(PAGE).await;
    let without = Scene::with(&PAGE.replace("sign_in = 'page'", "")).await;
    let told = async |scene: &Scene| {
        let (url, browser) = (|path: &str| scene.gateway.url(path), scene.gateway.browser());
        let without_port = |value: &str| value.replace(scene.gateway.authority(), "HOST");
        let mut told = Vec::new();
        for ask in [
            Ask::script(&url("/")).from(&url("/").parse().unwrap()),
            Ask::image(&url("/logo")).from(&url("/").parse().unwrap()),
            Ask::script(&url("/")).by(Method::POST),
            Ask::form(&url("/save"), &[]),
            Ask::navigation(&url("/api/x")),
            Ask::navigation(&url("/")).with("sec-purpose", "prefetch"),
            Ask::navigation(&url("/_vestibule/session")),
            Ask::navigation(&url("/_vestibule/none")),
        ] {
            let page = browser.does(ask.without_following()).await;
            assert_eq!(page.header("set-cookie"), None);
            let fields = ["content-type", "www-authenticate", "x-vestibule-response", "allow"];
            told.push((page.status, fields.map(|name| page.header(name).map(without_port))));
        }
        let curl = format!("GET / HTTP/1.1\r\nHost: {}\r\nAccept: */*\r\n\r\n", scene.gateway.authority());
        let answer = Raw::once(scene.gateway.address, curl).await;
        told.push((
            answer.status,
            ["content-type", "x-vestibule-response", "set-cookie", "allow"]
                .map(|name| answer.header(name).map(str::to_owned)),
        ));
        assert!(scene.idp.seen().is_empty() && scene.upstream.seen().is_empty());
        told
    };
    assert_eq!(told(&with).await, told(&without).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_login_endpoint_is_the_button_and_asks_nothing_again() {
    let Scene { idp, upstream: _upstream, gateway, browser } = Scene::with(PAGE).await;
    for endpoint in ["login", "login?rd=/x", "login?rd=/x&provider=idp"] {
        let page = browser.asks(&gateway.own(endpoint)).await;
        assert!(page.location().as_str().starts_with(&idp.url(paths::AUTHORIZE)), "{endpoint}");
    }
    // By HEAD as well, nothing begins at the page.
    let head = browser.does(Ask::navigation(&gateway.url("/x")).by(Method::HEAD).without_following()).await;
    assert_eq!((head.status, head.body.len(), head.header("set-cookie")), (401, 0, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_ends_at_the_message_and_does_not_sign_in_again() {
    let Scene { idp, upstream: _upstream, gateway, browser } = Scene::with(PAGE).await;
    browser.signs_in(&gateway.own("login?rd=/"), "Ada").await;
    let page = browser.asks(&gateway.url("/closed")).await;
    assert!(page.status == 403 && page.text().contains(NOTICE), "{}", page.text());
    let page = browser.opens(&gateway.own("logout")).await;
    assert!(!page.text().contains("Members only"), "{}", page.text());
    let page = browser.submits(&page, "/_vestibule/logout", &[]).await;
    assert!(page.status == 200 && page.text().contains(NOTICE), "{}", page.text());
    idp.forget_seen();
    // The page of before stands at a door again; the link on the last page is the button.
    assert_eq!(browser.asks(&gateway.url("/")).await.status, 401);
    assert!(idp.seen().is_empty());
    let href = link(&page, "login?");
    let page = browser.does(Ask::navigation(page.url.join(&href).unwrap().as_str()).without_following()).await;
    assert!(page.location().as_str().starts_with(&idp.url(paths::AUTHORIZE)));
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_are_several_providers_the_page_is_the_choice_in_the_order_of_the_route() {
    let upstream = RecordingUpstream::start().await;
    let one = TestIdp::start().await;
    let two = TestIdp::sharing(IdpSettings::default(), one.clock.clone()).await;
    let toml = "[pages]\nsign_in = 'page'\nnotice = 'Members only.'\n[route.app.paths]\n'/r' = { providers = ['two', 'one'] }\n'/two' = { providers = ['two'] }";
    let gateway = Gateway::in_front_of(&upstream).and_at("one", &one).and_at("two", &two).with(toml).start().await;
    crate::several_providers::register(&gateway, &[("one", &one), ("two", &two)]);
    let browser = gateway.browser();
    for (path, order) in [("/r/x", ["two", "one"]), ("/", ["one", "two"])] {
        let page = browser.asks(&gateway.url(path)).await;
        let text = page.text();
        assert!(page.status == 401 && text.contains("Members only."), "{path}: {text}");
        let places = order.map(|name| text.find(&format!("provider={name}")).unwrap());
        assert!(places.is_sorted() && text.matches("<a ").count() == 2, "{path}: {text}");
    }
    let page = browser.asks(&gateway.url("/two/x")).await;
    assert!(page.status == 401 && page.text().matches("<a ").count() == 1, "{}", page.text());
    assert!(one.seen().is_empty() && two.seen().is_empty() && browser.cookies().is_empty());
    let page = browser.follows(&page, &link(&page, "provider=two")).await;
    let page = browser.picks(&page, "Grace").await;
    assert_eq!((page.status, page.url.path()), (200, "/two/x"), "{}", page.text());
    assert!(one.seen().is_empty());
    // Without the page, the choice is at `login`; there it has the message too.
    let page = browser.opens(&gateway.own("login?rd=/")).await;
    assert!(page.status == 200 && page.text().contains("Members only."), "{}", page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_to_sign_in_once_more_is_asked_first_and_gets_past_the_door() {
    // ID-16: a link does not say how old the sign-in may be; an old one would lead back to the door without end.
    let rules =
        "[session]\nidle_timeout = '2h'\n[pages]\nsign_in = 'page'\n[route.app.paths]\n'/admin' = { max_age = '5m' }";
    let Scene { idp, upstream, gateway, browser } = Scene::with(rules).await;
    let page = browser.asks(&gateway.url("/admin?a=b")).await;
    assert_eq!(page.status, 401);
    let page = browser.follows(&page, &link(&page, "login?")).await;
    assert_eq!(page.param("max_age").as_deref(), Some("300"), "{}", page.url);
    assert_eq!(browser.picks(&page, "Ada").await.status, 200);
    gateway.clock.advance(Duration::from_secs(301));
    idp.forget_seen();
    upstream.forget_seen();
    let page = browser.asks(&gateway.url("/admin?a=b")).await;
    let text = page.text();
    assert_eq!(page.status, 401, "{text}");
    for told in ["Please sign in once more", "It takes one of the last 5 minutes.", "Ada Lovelace"] {
        assert!(text.contains(told), "{told}: {text}");
    }
    // Tokens were renewed in between; nobody was sent anywhere.
    assert!(idp.seen_at(paths::AUTHORIZE).is_empty() && upstream.seen().is_empty());
    let page = browser.follows(&page, &link(&page, "login?")).await;
    assert!(page.is_choosing(), "{}", page.text());
    assert_eq!(page.param("max_age").as_deref(), Some("300"));
    let page = browser.picks(&page, "Ada").await;
    assert_eq!((page.status, page.url.to_string()), (200, gateway.url("/admin?a=b")), "{}", page.text());
    // A rule without an age asks for none.
    let request = gateway.browser().asks(&gateway.own("login?rd=/page")).await.location();
    assert!(request.query_pairs().all(|(name, _)| name != "max_age"), "{request}");
    let request = gateway.browser().asks(&gateway.own("login?rd=/admin/x%23y?z%23top")).await.location();
    assert_eq!(param(&request, "max_age"), "300");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_when_a_session_has_ended_and_when_an_address_is_too_long() {
    let scene =
        Scene::signed_in_at(TestIdp::start().await, |gateway| gateway.with("[session]\nlifetime = '10m'")).await;
    let Scene { idp, upstream, mut gateway, browser } = scene;
    gateway.reload_with("[pages]\nsign_in = 'page'\nnotice = 'Members only.'");
    gateway.clock.advance(Duration::from_secs(601));
    idp.forget_seen();
    let page = browser.asks(&gateway.url("/")).await;
    assert!(page.status == 401 && page.text().contains("Your session has ended"), "{}", page.text());
    // What no compression makes shorter.
    let numbers: String = (0_u32..1500).map(|number| format!("{:08x}", number.wrapping_mul(2_654_435_761))).collect();
    let page = browser.asks(&gateway.url(&format!("/p?q={}", &numbers[..7000]))).await;
    assert!(page.status == 414 && page.names("VB-1026"), "{}", page.text());
    assert!(idp.seen().is_empty() && upstream.seen().is_empty());
    gateway.reload_with("[pages]\nsign_in = 'redirect'");
    assert_eq!(browser.asks(&gateway.url("/")).await.status, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_may_not_pass_gets_the_message_and_a_program_does_not() {
    let scene = Scene::signed_in_with(&PAGE.replace("sign_in = 'page'", "")).await;
    let (host, cookie) = (scene.gateway.authority(), scene.cookie());
    let ask = async |accept: &str| {
        let request =
            format!("GET /closed HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\nCookie: vestibule={cookie}\r\n\r\n");
        Raw::once(scene.gateway.address, request).await
    };
    let terminal = ask("*/*").await;
    assert!(
        terminal.status == 403 && terminal.text().contains("\nMembers only.\nUse is <logged> & kept.\n\nAsk first.\n")
    );
    let program = ask("application/json").await;
    assert!(program.status == 403 && !program.text().contains("Members only"), "{}", program.text());
    assert!(scene.upstream.seen().is_empty() && scene.idp.seen().is_empty());
}

/// The first link of a page that holds this text.
fn link(page: &Page, part: &str) -> String {
    let text = page.text();
    let links = text.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let mut links = links.map(|link| link.replace("&#x2f;", "/").replace("&amp;", "&"));
    links.find(|link| link.contains(part)).unwrap_or_else(|| panic!("no link with {part}: {text}"))
}

const NOTICE: &str =
    "<p dir=\"auto\">Members only.\nUse is &lt;logged&gt; &amp; kept.</p>\n<p dir=\"auto\">Ask first.</p>";
