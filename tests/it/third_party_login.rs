//! Sign-ins that another site begins (OpenID Connect Core section 4): by GET and by POST, and with nothing in them but what is taken.

use crate::harness::idp::{IdpSettings, paths};
use http::Method;
use url::form_urlencoded;

use crate::harness::browser::{Ask, Page};
use crate::harness::{Browser, Gateway, RecordingUpstream, Scene, TestIdp, has_session, param};

const PORTAL: &str = "https://portal.example/apps";

/// What a browser gets that a portal sends to `login`.
async fn sent_by_portal(browser: &Browser, login: &str, method: &Method, fields: &[(&str, &str)]) -> Page {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let fields: Vec<(String, String)> = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let ask = match *method {
        Method::POST => Ask::form(login, &fields),
        _ => Ask::navigation(&format!("{login}?{query}")).by(method.clone()),
    };
    browser.does(ask.from(&PORTAL.parse().unwrap()).without_following()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_third_party_begins_a_sign_in_by_get_and_by_post() {
    // UI-13, UI-11
    let scene = Scene::start().await;
    for (method, status) in [(Method::GET, 302), (Method::POST, 303)] {
        scene.upstream.forget_seen();
        let browser = scene.gateway.browser();
        let target = scene.gateway.url("/deep?a=1&b=2");
        let fields = [
            ("iss", scene.idp.issuer()),
            ("login_hint", "ann+x@example.com"),
            ("target_link_uri", target.as_str()),
            ("prompt", "none"),
            ("redirect_uri", "https://evil.example/"),
            ("scope", "admin"),
            ("state", "mine"),
            ("nonce", "mine"),
        ];
        let page = sent_by_portal(&browser, &scene.gateway.own("login"), &method, &fields).await;
        assert_eq!(page.status, status, "{}", page.text());
        let request = page.location();
        assert_eq!(param(&request, "login_hint"), "ann+x@example.com");
        assert_eq!(
            (param(&request, "prompt"), param(&request, "scope")),
            (String::new(), "openid profile email".into())
        );
        assert!(param(&request, "state").len() > 20 && param(&request, "nonce").len() > 20);
        assert_eq!(param(&request, "redirect_uri"), scene.gateway.own("callback"));
        assert!(!has_session(&browser), "nobody is signed in by being sent here");
        let callback = scene.answered(&browser, &request).await;
        let page = browser.opens(callback.as_str()).await;
        assert_eq!((page.status, page.url.as_str()), (200, target.as_str()));
        assert_eq!(scene.upstream.only_request().target, "/deep?a=1&b=2");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_third_party_sends_nobody_elsewhere() {
    // AT-LF-22, AT-LF-23, AT-OR-01
    let scene = Scene::start().await;
    let login = scene.gateway.own("login");
    for method in [Method::GET, Method::POST] {
        for target in ["https://evil.example/", "//evil.example/x", "/\\evil.example", "javascript:alert(1)", ""] {
            let browser = scene.gateway.browser();
            let fields = [("iss", scene.idp.issuer()), ("target_link_uri", target)];
            let request = sent_by_portal(&browser, &login, &method, &fields).await.location();
            let page = browser.opens(scene.answered(&browser, &request).await.as_str()).await;
            assert_eq!(page.url.as_str(), scene.gateway.url("/"), "{method} {target}");
        }
        scene.idp.forget_seen();
        let (own, slash) = (scene.idp.issuer(), format!("{}/", scene.idp.issuer()));
        let shouted = own.to_uppercase();
        for iss in ["https://evil.example", "", slash.as_str(), shouted.as_str()] {
            let browser = scene.gateway.browser();
            let page = sent_by_portal(&browser, &login, &method, &[("iss", iss), ("target_link_uri", "/x")]).await;
            assert_eq!(page.status, 400, "{method} {iss}");
            assert!(page.text().contains("VB-1024"), "{}", page.text());
            assert!(browser.cookies().is_empty());
        }
        assert!(scene.idp.seen().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_twice_or_cannot_be_read_begins_nothing() {
    // OA-05, UI-13
    let scene = Scene::start().await;
    let (login, iss) = (scene.gateway.own("login"), scene.idp.issuer());
    let long = "x".repeat(9000);
    for method in [Method::GET, Method::POST] {
        for extra in [
            [("iss", iss), ("iss", iss)],
            [("login_hint", "a"), ("login_hint", "b")],
            [("target_link_uri", "/a"), ("target_link_uri", "https://evil.example/")],
            [("rd", "/a"), ("rd", "/b")],
            [("provider", "idp"), ("provider", "idp")],
            [("iss", long.as_str()), ("x", "")],
        ] {
            let browser = scene.gateway.browser();
            let fields = if extra[0].0 == "iss" { extra.to_vec() } else { [&[("iss", iss)], &extra[..]].concat() };
            let page = sent_by_portal(&browser, &login, &method, &fields).await;
            assert_eq!((page.status, browser.cookies().len()), (400, 0), "{method} {extra:?}");
        }
    }
    let browser = scene.gateway.browser();
    let json = Ask::form(&login, &[("iss".to_owned(), iss.to_owned())]).with("content-type", "application/json");
    assert_eq!(browser.does(json).await.status, 400);
    let huge = Ask::form(&login, &[("iss".to_owned(), "x".repeat(20_000))]);
    assert_eq!(browser.does(huge).await.status, 413);
    for method in [Method::PUT, Method::DELETE, Method::OPTIONS] {
        let page = browser.does(Ask::navigation(&login).by(method)).await;
        assert_eq!((page.status, page.header("allow")), (405, Some("GET, HEAD, POST")));
    }
    // A script begins no sign-in, by whatever method.
    let script = Ask::script(&login).by(Method::POST).from(&PORTAL.parse().unwrap());
    assert_eq!(browser.does(script).await.status, 401);
    assert!(browser.cookies().is_empty() && scene.idp.seen().is_empty() && scene.upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_issuer_picks_the_provider() {
    // UI-13, IS-03
    let settings = IdpSettings::default;
    let (one, upstream) = (TestIdp::with(settings()).await, RecordingUpstream::start().await);
    let two = TestIdp::sharing(settings(), one.clock.clone()).await;
    let gateway = Gateway::in_front_of(&upstream).and_at("one", &one).and_at("two", &two).start().await;
    let login = gateway.own("login");
    for method in [Method::GET, Method::POST] {
        for idp in [&two, &one] {
            let fields = [("iss", idp.issuer()), ("login_hint", "ann"), ("target_link_uri", "/x")];
            let page = sent_by_portal(&gateway.browser(), &login, &method, &fields).await;
            assert!(page.location().as_str().starts_with(&idp.url(paths::AUTHORIZE)), "{}", page.location());
        }
        // A name that contradicts the issuer is no choice.
        let fields = [("iss", two.issuer()), ("provider", "one")];
        assert_eq!(sent_by_portal(&gateway.browser(), &login, &method, &fields).await.status, 400);
        // Without an issuer the person chooses, and the hint goes with each choice.
        let page = sent_by_portal(&gateway.browser(), &login, &method, &[("login_hint", "ann")]).await;
        assert_eq!(page.status, 200);
        assert!(page.text().contains("provider=one&amp;login_hint=ann"), "{}", page.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hint_is_handed_on_whoever_wrote_the_link_in_place_of_a_configured_one() {
    // UI-11, AT-LF-22
    let scene = Scene::start().await;
    let hint = async |scene: &Scene, fields: &[(&str, &str)]| {
        let page = sent_by_portal(&scene.gateway.browser(), &scene.gateway.own("login"), &Method::GET, fields).await;
        param(&page.location(), "login_hint")
    };
    let iss = scene.idp.issuer();
    assert_eq!(hint(&scene, &[("iss", iss), ("login_hint", "Änn & Co")]).await, "Änn & Co");
    assert_eq!(hint(&scene, &[("login_hint", "ann")]).await, "ann");
    assert_eq!(hint(&scene, &[("provider", "idp"), ("login_hint", "ann")]).await, "ann");
    for odd in ["a\r\nb", "a\0", "", &"x".repeat(2000)] {
        assert_eq!(hint(&scene, &[("iss", iss), ("login_hint", odd)]).await, "", "{odd:?}");
    }
    let scene = Scene::with("[provider.idp]\nauthorization_params = { login_hint = 'kiosk' }").await;
    assert_eq!(hint(&scene, &[("iss", scene.idp.issuer()), ("login_hint", "ann")]).await, "ann");
    assert_eq!(hint(&scene, &[("iss", scene.idp.issuer())]).await, "kiosk");
    let scene = Scene::with("[provider.idp]\nlogin_params = []").await;
    assert_eq!(hint(&scene, &[("iss", scene.idp.issuer()), ("login_hint", "ann")]).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_of_another_site_do_not_fill_the_browser_with_cookies() {
    // CK-09, AT-CS-15: our Lax cookies do not come along with such a post, so that it could not count them
    let idp = TestIdp::start().await;
    let upstream = RecordingUpstream::start().await;
    let gateway = Gateway::in_front_of(&upstream).signing_in_at(&idp).at_https("wiki.example.com").start().await;
    let browser = gateway.browser();
    for _ in 0..60 {
        let fields = [("iss", idp.issuer()), ("target_link_uri", "/x")];
        assert_eq!(sent_by_portal(&browser, &gateway.own("login"), &Method::POST, &fields).await.status, 303);
    }
    let bytes: usize = browser.cookies().iter().map(|kept| kept.name.len() + kept.value.len()).sum();
    assert!(browser.cookies().len() <= 30 && bytes <= 9000, "{} cookies, {bytes} bytes", browser.cookies().len());
    // The last of them ends.
    let page = browser.signs_in(&gateway.url("/after"), "Ada").await;
    assert_eq!((page.status, page.url.path()), (200, "/after"));
}
