//! `response_mode = "form_post"`: the provider's page posts the answer, from another site, with the cookies that come along then.

use crate::harness::idp::paths;
use cookie::SameSite;
use http::Method;
use serde_json::json;

use crate::harness::browser::{Ask, Page};
use crate::harness::scene::ADA;
use crate::harness::{Browser, Gateway, RecordingUpstream, TestIdp, has_session, param};

struct Posting {
    idp: TestIdp,
    upstream: RecordingUpstream,
    gateway: Gateway,
}

impl Posting {
    async fn with(toml: &str) -> Self {
        let (idp, upstream) = (TestIdp::start().await, RecordingUpstream::start().await);
        let gateway = Gateway::in_front_of(&upstream)
            .signing_in_at(&idp)
            .with("[provider.idp]\nresponse_mode = 'form_post'")
            .with(toml)
            .at_https("wiki.example.com")
            .start()
            .await;
        Self { idp, upstream, gateway }
    }

    /// Up to the provider's page that posts the answer: Ada, or whoever is signed in there already.
    async fn page(&self, browser: &Browser, path: &str) -> Page {
        let page = browser.opens(&self.gateway.url(path)).await;
        if !page.is_choosing() {
            return page;
        }
        let form = page.form("sso/choose");
        let mut fields = form.fields;
        fields.push(("person".to_owned(), ADA.to_owned()));
        browser.does(Ask::form(&form.action, &fields).from(&page.url)).await
    }

    /// The form of that page, sent with other fields.
    fn answer(&self, page: &Page, change: impl FnOnce(&mut Vec<(String, String)>)) -> Ask {
        let form = page.form("callback");
        let mut fields = form.fields;
        change(&mut fields);
        Ask::form(&form.action, &fields).from(&page.url).without_following()
    }

    fn exchanges(&self) -> usize {
        self.idp.token_requests("authorization_code").len()
    }
}

fn set(fields: &mut Vec<(String, String)>, name: &str, value: &str) {
    fields.retain(|(known, _)| known != name);
    fields.push((name.to_owned(), value.to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_ends_by_a_form_and_the_session_is_as_ever() {
    // UI-14, CK-04, SB-10
    let scene = Posting::with("").await;
    let browser = scene.gateway.browser();
    let request = browser.asks(&scene.gateway.url("/x?y=1")).await.location();
    assert_eq!(param(&request, "response_mode"), "form_post");
    let kept = browser.cookies();
    let [attempt] = kept.as_slice() else { panic!("{kept:?}") };
    assert_eq!((attempt.same_site, attempt.secure), (SameSite::None, true));

    let page = scene.page(&browser, "/x?y=1").await;
    let ended = browser.does(scene.answer(&page, |_| {})).await;
    assert_eq!((ended.status, ended.location().as_str()), (303, scene.gateway.url("/x?y=1").as_str()));
    assert!(has_session(&browser));
    let session = browser.cookies().into_iter().find(|kept| kept.name == "__Host-vestibule").unwrap();
    assert_eq!((session.same_site, session.secure), (SameSite::Lax, true));
    assert_eq!(browser.opens(&scene.gateway.url("/x")).await.status, 200);
    assert_eq!((scene.exchanges(), scene.upstream.seen().len()), (1, 1));

    // Sent again, by the back button: no second exchange, and on to the page.
    let again = browser.does(scene.answer(&page, |_| {})).await;
    assert_eq!((again.status, again.location().path()), (303, "/x"));
    assert_eq!(scene.exchanges(), 1);
    // Somebody else who sends it gets nothing by it.
    let stranger = scene.gateway.browser();
    stranger.does(scene.answer(&page, |_| {})).await;
    assert!(!has_session(&stranger) && scene.exchanges() == 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_comes_by_the_configured_way_only() {
    // AT-LF-17
    let scene = Posting::with("").await;
    let browser = scene.gateway.browser();
    let page = scene.page(&browser, "/x").await;
    let form = page.form("callback");
    let mut by_query = url::Url::parse(&form.action).unwrap();
    by_query.query_pairs_mut().extend_pairs(&form.fields);
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::OPTIONS] {
        let ask = Ask::navigation(by_query.as_str()).by(method.clone()).without_following();
        let refused = browser.does(ask).await;
        assert_eq!((refused.status, refused.header("allow")), (405, Some("POST")), "{method}");
    }
    // A code in the address beside an empty form is not looked at.
    let beside = browser.does(Ask::form(by_query.as_str(), &[]).from(&page.url).without_following()).await;
    assert_eq!(beside.status, 400);
    assert!(scene.exchanges() == 0 && !has_session(&browser) && scene.upstream.seen().is_empty());
    assert_eq!(browser.does(scene.answer(&page, |_| {})).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_is_not_an_answer_ends_nothing() {
    // OA-03, OA-05, AT-LF-02, AT-LF-04, AT-LF-13
    let scene = Posting::with("").await;
    let browser = scene.gateway.browser();
    let page = scene.page(&browser, "/x").await;
    let double =
        |name: &'static str| move |fields: &mut Vec<(String, String)>| fields.push((name.to_owned(), "b".to_owned()));
    let form = page.form("callback");
    let as_json = Ask::form(&form.action, &form.fields).with("content-type", "application/json").from(&page.url);
    for (ask, status) in [
        (scene.answer(&page, double("state")), 400),
        (scene.answer(&page, double("code")), 400),
        (scene.answer(&page, double("iss")), 400),
        (scene.answer(&page, |fields| set(fields, "state", "forged")), 400),
        (scene.answer(&page, |fields| fields.retain(|(name, _)| name != "state")), 400),
        (scene.answer(&page, |fields| set(fields, "user", &"x".repeat(17_000))), 413),
        (as_json.clone().without_following(), 400),
    ] {
        let refused = browser.does(ask).await;
        assert_eq!(refused.status, status, "{}", refused.text());
    }
    // Another browser's answer: login CSRF.
    let victim = scene.gateway.browser();
    assert_eq!(victim.does(scene.answer(&page, |_| {})).await.status, 400);
    assert!(scene.exchanges() == 0 && !has_session(&browser) && !has_session(&victim));
    // An error wins over a code, and ends the attempt.
    let denied = browser.does(scene.answer(&page, |fields| set(fields, "error", "access_denied"))).await;
    assert_eq!((denied.status, scene.exchanges()), (403, 0));
    assert!(scene.upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_browser_kept_of_an_older_session_goes_although_it_was_not_sent() {
    // CK-08, AT-LF-07: a large session before, a small one after, and the other way round
    let scene = Posting::with("").await;
    let browser = scene.gateway.browser();
    let signs_in = async |large: bool| {
        scene.idp.heal();
        let groups: Vec<String> =
            (0..if large { 500 } else { 1 }).map(|n| format!("group number {n} {}", n * n)).collect();
        scene.idp.break_with(|faults| {
            faults.id_token.claims.set("groups", json!(groups));
        });
        // Only the session ends; its cookies stay.
        scene.gateway.clock.advance(std::time::Duration::from_secs(13 * 3600));
        let page = scene.page(&browser, "/x").await;
        let ended = browser.does(scene.answer(&page, |_| {})).await;
        assert_eq!(ended.status, 303, "{}", ended.text());
        assert_eq!(browser.opens(&scene.gateway.url("/x")).await.status, 200, "large: {large}");
        let names = browser.cookies().into_iter().map(|kept| kept.name).filter(|n| n.starts_with("__Host-vestibule"));
        names.filter(|name| !name.contains(".rounds") && !name.contains(".login.")).collect::<Vec<_>>()
    };
    assert_eq!(signs_in(false).await, ["__Host-vestibule"]);
    let large = signs_in(true).await;
    assert!(large.len() > 1 && !large.contains(&"__Host-vestibule".to_owned()), "{large:?}");
    assert_eq!(signs_in(false).await, ["__Host-vestibule"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_keeps_no_session_is_not_sent_round_and_round() {
    // AT-LF-20: the count of rounds comes along with the post
    let scene = Posting::with("").await;
    let browser = scene.gateway.browser();
    let mut last = 0;
    for _ in 0..6 {
        let page = scene.page(&browser, "/x").await;
        last = page.status;
        if page.status != 200 {
            break;
        }
        browser.does(scene.answer(&page, |_| {})).await;
        browser.plants(&scene.gateway.url("/"), "__Host-vestibule=; Max-Age=0; Path=/; Secure");
    }
    assert_eq!(last, 400);
    assert!(scene.exchanges() <= 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_provider_that_posts_has_such_cookies() {
    // UI-14, IS-03
    let (idp, upstream) = (TestIdp::start().await, RecordingUpstream::start().await);
    let other = TestIdp::sharing(crate::harness::idp::IdpSettings::default(), idp.clock.clone()).await;
    let gateway = Gateway::in_front_of(&upstream)
        .and_at("idp", &idp)
        .and_at("other", &other)
        .with("[provider.idp]\nresponse_mode = 'form_post'")
        .at_https("wiki.example.com")
        .start()
        .await;
    for (name, same_site, mode) in [("idp", SameSite::None, "form_post"), ("other", SameSite::Lax, "")] {
        let browser = gateway.browser();
        let request = browser.asks(&gateway.own(&format!("login?provider={name}"))).await.location();
        assert_eq!(param(&request, "response_mode"), mode);
        assert_eq!(browser.cookies()[0].same_site, same_site, "{name}");
        let allowed = if mode.is_empty() { "GET" } else { "POST" };
        for method in [Method::GET, Method::POST] {
            let callback = Ask::navigation(&param(&request, "redirect_uri")).by(method.clone());
            let status = browser.does(callback).await.status;
            assert_eq!(status == 405, method.as_str() != allowed, "{name} {method}: {status}");
        }
    }
    assert!(idp.seen_at(paths::TOKEN).is_empty() && other.seen_at(paths::TOKEN).is_empty());
}
