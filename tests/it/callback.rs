//! The way back: what a callback must bring, and what happens to every other one. The state is looked at before anything is said to the provider.

use crate::harness::idp::{Breakage, Gate};
use crate::harness::idp::{IdpSettings, paths};
use crate::harness::{Gateway, RecordingUpstream, Scene, has_session, param, with_param};
use http::Method;
use serde_json::json;

use crate::harness::browser::Ask;

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_without_the_browser_that_started_it_is_refused() {
    // AT-LF-01, OA-03, SB-02, SB-14
    let scene = Scene::start().await;
    let (attacker, victim) = (scene.gateway.browser(), scene.gateway.browser());
    let callback = scene.callback(&attacker, "/").await;
    let page = victim.opens(callback.as_str()).await;
    assert_eq!(page.status, 400);
    scene.is_refused(&victim, &page, "VB-1005");
    assert!(scene.token_endpoint_is_untouched());
    // Whoever started it can still end it.
    assert_eq!(attacker.opens(callback.as_str()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_of_another_browser_is_refused_and_spoils_nothing() {
    // AT-LF-02, OA-03, SB-02
    let scene = Scene::start().await;
    let (one, two) = (scene.gateway.browser(), scene.gateway.browser());
    let of_one = scene.callback(&one, "/one").await;
    let of_two = scene.callback(&two, "/two").await;
    let page = two.opens(of_one.as_str()).await;
    scene.is_refused(&two, &page, "VB-1005");
    assert!(scene.token_endpoint_is_untouched());
    // The cookie of one attempt under the name of another opens nothing either.
    let login = two.cookies().into_iter().find(|cookie| cookie.name.contains(".login.")).unwrap();
    let id = &param(&of_one, "state")[..12];
    two.plants(&scene.gateway.url("/"), &format!("vestibule.login.{id}={}; Path=/", login.value));
    let page = two.opens(of_one.as_str()).await;
    scene.is_refused(&two, &page, "VB-1003");
    assert!(scene.token_endpoint_is_untouched());
    let page = two.opens(of_two.as_str()).await;
    assert_eq!((page.status, page.url.path()), (200, "/two"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_missing_empty_or_doubled_is_refused() {
    // AT-LF-04, OA-03, OA-05
    let scene = Scene::start().await;
    let browser = scene.gateway.browser();
    let callback = scene.callback(&browser, "/").await;
    let doubled = |name: &str, value: &str| format!("{callback}&{name}={value}");
    for (url, reason) in [
        (with_param(&callback, "state", None), "VB-1001"),
        (with_param(&callback, "state", Some("")), "VB-1001"),
        (doubled("state", "b"), "VB-1008"),
        (doubled("state", &param(&callback, "state")), "VB-1008"),
        (with_param(&callback, "state", Some("b")) + "&state=" + &param(&callback, "state"), "VB-1008"),
        (doubled("code", "b"), "VB-1008"),
        (doubled("iss", "https%3A%2F%2Fevil.example"), "VB-1008"),
        (doubled("error", "x") + "&error=x", "VB-1008"),
    ] {
        let page = browser.opens(&url).await;
        assert_eq!(page.status, 400, "{url}");
        scene.is_refused(&browser, &page, reason);
    }
    assert!(scene.token_endpoint_is_untouched());
    assert_eq!(browser.opens(callback.as_str()).await.status, 200, "none of them spoiled the attempt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_no_state_of_ours_is_refused_at_once_and_not_repeated() {
    // AT-LF-05, OA-03
    let folder = tempfile::tempdir().unwrap();
    let audit = folder.path().join("audit");
    let scene = Scene::with(&format!("[log]\naudit = '{}'\nformat = 'json'", audit.display())).await;
    let browser = scene.gateway.browser();
    let callback = scene.callback(&browser, "/").await;
    let good = param(&callback, "state");
    let guess: String = good.chars().rev().collect();
    let flipped = format!("{}{}", &good[..good.len() - 1], if good.ends_with('A') { 'B' } else { 'A' });
    let long = "reflected".repeat(800);
    let nasty = [
        "reflected\r\nX-Evil: 1\0",
        "reflected\"><script>alert(1)</script>",
        &guess,
        &flipped,
        &long,
        "é\u{202e}reflected",
    ];
    for state in nasty {
        let page = browser.opens(&with_param(&callback, "state", Some(state))).await;
        assert_eq!(page.status, 400, "{state:?}");
        scene.is_refused(&browser, &page, "VB-1003");
        assert!(!page.text().contains("reflected") && page.header("x-evil").is_none());
    }
    // Larger than any head may be.
    let huge = format!(
        "GET /_vestibule/callback?code=x&state={} HTTP/1.1\r\nHost: {}\r\n\r\n",
        "a".repeat(1 << 20),
        scene.gateway.authority()
    );
    let mut raw = scene.gateway.raw().await;
    raw.send(huge).await;
    assert_eq!(raw.answer("GET").await.status, 431);

    assert!(scene.token_endpoint_is_untouched());
    let lines = nasty.len();
    scene.gateway.stop().await;
    let log = std::fs::read_to_string(audit).unwrap();
    let failed: Vec<&str> = log.lines().filter(|line| line.contains("state_unknown")).collect();
    assert_eq!(failed.len(), lines, "{log}");
    assert!(log.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{log}");
    assert!(!log.contains("reflected"));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_parameters_are_ignored() {
    // OA-04
    let scene = Scene::start().await;
    let added =
        [("session_state", "x"), ("foo", "1"), ("foo", "2"), ("code_challenge", "y"), ("access_token", "at_front")];
    let (_, page) = scene
        .signs_in_while(|faults| {
            faults.callback.added = added.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        })
        .await;
    assert_eq!((page.status, page.url.path()), (200, "/page"));
    // SB-04: a token in the front channel is nothing to us.
    assert!(!scene.upstream.only_request().head.contains("at_front"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_ends_the_attempt_and_asks_nobody_for_a_token() {
    // OA-06, OA-07, AT-LF-13: also when a code comes with it
    let scene = Scene::start().await;
    for (error, status, code) in [
        ("access_denied", 403, "VB-1012"),
        ("temporarily_unavailable", 503, "VB-2010"),
        ("server_error", 502, "VB-2011"),
        ("invalid_request", 400, "VB-1016"),
        ("unauthorized_client", 400, "VB-1016"),
        ("login_required", 400, "VB-1013"),
        ("something_new", 400, "VB-1016"),
        ("", 400, "VB-1016"),
    ] {
        for with_code in [false, true] {
            let browser = scene.gateway.browser();
            let callback = scene.callback(&browser, "/").await;
            let url = with_param(&callback, "error", Some(error));
            let url = if with_code { url } else { with_param(&url.parse().unwrap(), "code", None) };
            let page = browser.opens(&url).await;
            assert_eq!(page.status, status, "{error}: {}", page.text());
            scene.is_refused(&browser, &page, code);
            assert!(!browser.cookies().iter().any(|cookie| cookie.name.contains("login")), "{error}");
            assert_eq!(status == 503, page.header("retry-after").is_some(), "{error}");
            // The attempt is over, also for the code.
            assert_eq!(browser.opens(callback.as_str()).await.status, 400);
        }
    }
    assert!(scene.token_endpoint_is_untouched());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_cannot_be_hidden_behind_bulk() {
    // AT-LF-13: an `error` too long to be looked at, or behind more parameters than are read, is one all the same.
    let scene = Scene::start().await;
    let bulk = |name: &str| vec![(name.to_owned(), "x".repeat(9000))];
    let behind: Vec<_> = (0..120).map(|n| (format!("p{n}"), String::new())).collect();
    for added in
        [bulk("error"), bulk("iss"), [behind.clone(), vec![("error".to_owned(), "access_denied".to_owned())]].concat()]
    {
        let (browser, page) = scene
            .signs_in_while(|faults| {
                faults.callback.params.remove("iss");
                faults.discovery.members.set("authorization_response_iss_parameter_supported", false);
                faults.callback.added = added;
            })
            .await;
        assert_eq!(page.status, 400, "{}", page.url);
        scene.is_refused(&browser, &page, "VB-1008");
    }
    assert!(scene.token_endpoint_is_untouched());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_says_about_an_error_is_shown_harmlessly() {
    // AT-LF-14, OA-08, OA-09, SB-12, SB-15
    let scene = Scene::start().await;
    for description in [
        "<script>alert(document.cookie)</script>",
        "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
        "\" onmouseover=\"alert(1)",
        "'><img src=x onerror=alert(1)>",
        "line\r\nSet-Cookie: evil=1",
    ] {
        let (browser, page) = scene
            .signs_in_while(|faults| {
                faults.callback.error = Some(("access_denied".to_owned(), Some(description.to_owned())));
                faults.callback.params.set("error_uri", "https://evil.example/why");
            })
            .await;
        assert_eq!(page.status, 403);
        scene.is_refused(&browser, &page, "VB-1012");
        let text = page.text();
        let body = text.split("<body>").nth(1).unwrap();
        for raw in ["<script", "<img", "\" onmouseover", "evil.example", "postMessage"] {
            assert!(!body.contains(raw), "{raw} from {description}: {body}");
        }
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("script-src") && !policy.contains("unsafe-inline"), "{policy}");
        assert_eq!(page.header("x-frame-options"), Some("DENY"));
        assert_eq!(
            (page.header("cache-control"), page.header("referrer-policy")),
            (Some("no-store"), Some("no-referrer"))
        );
        assert!(page.header("set-cookie").is_none_or(|cookie| !cookie.contains("evil")));
    }
    let long = "a".repeat(6000);
    let (_, page) = scene.signs_in_while(|faults| faults.callback.error = Some(("x".repeat(3000), Some(long)))).await;
    assert!(page.status == 400 && page.body.len() < 16 * 1024);
    assert!(scene.token_endpoint_is_untouched());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_method_ends_a_sign_in() {
    // AT-LF-17, UI-14: there is no form_post callback
    let scene = Scene::start().await;
    let browser = scene.gateway.browser();
    let callback = scene.callback(&browser, "/").await;
    for method in [Method::POST, Method::PUT, Method::HEAD, Method::OPTIONS, Method::DELETE, Method::PATCH] {
        let page = browser.does(Ask::navigation(callback.as_str()).by(method.clone())).await;
        assert_eq!((page.status, page.header("allow")), (405, Some("GET")), "{method}");
        assert!(!has_session(&browser) && page.header("set-cookie").is_none());
    }
    let form: Vec<(String, String)> = callback.query_pairs().into_owned().collect();
    let page = browser.does(Ask::form(&scene.gateway.own("callback"), &form)).await;
    assert_eq!(page.status, 405);
    assert!(scene.token_endpoint_is_untouched() && scene.upstream.seen().is_empty());
    assert_eq!(browser.opens(callback.as_str()).await.status, 200, "the code was not burnt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_where_there_is_no_provider_is_refused_as_any_other() {
    // AT-LF-17: not 405, for `Allow` would name the very method that was used (RFC 9110 section 15.5.6)
    let upstream = RecordingUpstream::start().await;
    let gateway = Gateway::in_front_of(&upstream).with("[route.app]\naccess = \"public\"").start().await;
    let (browser, callback) = (gateway.browser(), gateway.own("callback?code=c&state=s"));
    let page = browser.opens(&callback).await;
    assert_eq!(page.status, 400);
    assert!(page.text().contains("VB-1003"), "{}", page.text());
    let page = browser.does(Ask::navigation(&callback).by(Method::POST)).await;
    assert_eq!((page.status, page.header("allow")), (405, Some("GET")));
    assert!(upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_sent_once_however_often_its_callback_comes() {
    // OA-10, SB-02
    let scene = Scene::start().await;
    let browser = scene.gateway.browser();
    let callback = scene.callback(&browser, "/wiki").await;
    let before = browser.copied();
    let landed = browser.opens(callback.as_str()).await;
    assert_eq!((landed.status, landed.url.path()), (200, "/wiki"));
    // With a session, a reload just goes to the page; so does one whose cookies are from before.
    for tab in [&browser, &before] {
        let again = tab.opens(callback.as_str()).await;
        assert_eq!((again.status, again.url.path()), (200, "/wiki"));
    }
    assert_eq!(scene.idp.token_requests("authorization_code").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_while_the_code_is_on_its_way_waits_for_the_same_end() {
    // OA-10
    let scene = Scene::start().await;
    let gate = Gate::new();
    scene.idp.break_with(|faults| faults.token.break_with(Breakage::Hold(gate.clone())));
    let browser = scene.gateway.browser();
    let callback = scene.callback(&browser, "/wiki").await;
    let copies: Vec<_> = (0..4).map(|_| browser.copied()).collect();
    let opened = futures_util::future::join_all(copies.iter().map(|tab| tab.opens(callback.as_str())));
    let release = async {
        scene.idp.wait_for(paths::TOKEN, 1).await;
        gate.open();
    };
    let (pages, ()) = tokio::join!(opened, release);
    for page in &pages {
        assert_eq!((page.status, page.url.path()), (200, "/wiki"), "{}", page.text());
    }
    assert_eq!(scene.idp.token_requests("authorization_code").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_callback_says_that_it_is_over_and_begins_nothing() {
    // OA-10, SB-02: after the session is gone, nothing is left that could loop.
    let scene = Scene::start().await;
    let browser = scene.gateway.browser();
    let callback = scene.callback(&browser, "/wiki").await;
    browser.opens(callback.as_str()).await;
    browser.plants(&scene.gateway.url("/"), "vestibule=; Max-Age=0; Path=/");
    scene.upstream.forget_seen();
    let page = browser.opens(callback.as_str()).await;
    assert_eq!(page.status, 400);
    scene.is_refused(&browser, &page, "VB-1004");
    assert_eq!(scene.idp.token_requests("authorization_code").len(), 1);
    assert_eq!(scene.idp.seen_at(paths::AUTHORIZE).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_without_a_code_makes_no_sense() {
    // OA-03
    let scene = Scene::start().await;
    for code in [None, Some("")] {
        let browser = scene.gateway.browser();
        let callback = scene.callback(&browser, "/").await;
        let page = browser.opens(&with_param(&callback, "code", code)).await;
        scene.is_refused(&browser, &page, "VB-1008");
    }
    assert!(scene.token_endpoint_is_untouched());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_iss_parameter_must_be_the_issuer_to_the_letter() {
    // IS-02, SB-03, AT-LF-10: in error responses too
    let scene = Scene::start().await;
    let issuer = scene.idp.issuer().to_owned();
    for iss in [
        format!("{issuer}/"),
        issuer.to_uppercase(),
        "https://evil.example".to_owned(),
        String::new(),
        format!(" {issuer}"),
    ] {
        for error in [None, Some(("access_denied".to_owned(), None))] {
            let (browser, page) = scene
                .signs_in_while(|faults| {
                    faults.callback.params.set("iss", iss.clone());
                    faults.callback.error = error;
                })
                .await;
            assert_eq!(page.status, 400, "{iss}");
            scene.is_refused(&browser, &page, "iss_mismatch");
        }
    }
    assert!(scene.token_endpoint_is_untouched());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_iss_that_was_promised_must_be_there() {
    // IS-01, AT-LF-11
    let scene = Scene::start().await;
    for error in [None, Some(("access_denied".to_owned(), None))] {
        let (browser, page) = scene
            .signs_in_while(|faults| {
                faults.callback.params.remove("iss");
                faults.callback.error = error;
            })
            .await;
        assert_eq!(page.status, 400);
        scene.is_refused(&browser, &page, "iss_missing");
    }
    assert!(scene.token_endpoint_is_untouched());

    // A provider that promises none, and is alone, may leave it out.
    let silent = Scene::set_up(IdpSettings { iss_in_callback: false, ..IdpSettings::default() }, "").await;
    silent.signs_in().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_of_any_form_goes_through_as_it_is() {
    // OA-23, OA-11: opaque, whatever it looks like, and in the body alone
    let scene = Scene::start().await;
    for code in ["a+b/c=&d%20é\"'~".to_owned(), "x".repeat(6000)] {
        let browser = scene.gateway.browser();
        let callback = scene.callback(&browser, "/").await;
        // It opens nothing; who brought it is sent to sign in again.
        let page = browser.asks(&with_param(&callback, "code", Some(&code))).await;
        assert!(page.location().as_str().starts_with(scene.idp.issuer()) && !has_session(&browser));
        let seen = scene.idp.token_requests("authorization_code").pop().unwrap();
        assert_eq!((seen.field("code"), seen.query.as_str()), (Some(code), ""));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_name_nobody_sign_nobody_in() {
    let scene = Scene::with("[provider.idp.claims]\nsubject = 'employee'").await;
    let (browser, page) = scene.signs_in_while(|_| {}).await;
    assert_eq!(page.status, 502);
    scene.is_refused(&browser, &page, "VB-1017");
    scene.idp.configure(|settings| {
        settings.people[0].claims.insert("employee".to_owned(), json!("e-7"));
    });
    scene.signs_in().await;
    assert_eq!(scene.upstream.only_request().header("x-forwarded-preferred-username"), Some("ada"));
}
