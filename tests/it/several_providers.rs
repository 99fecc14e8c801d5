//! Several providers: the person chooses, each has a redirect URI of its own, and no answer of one is taken for another's.

use crate::harness::idp::{IdpSettings, paths};

use crate::harness::idp::CLIENT_ID;
use crate::harness::scene::ADA;
use crate::harness::{Browser, Gateway, RecordingUpstream, TestIdp, has_session, param, with_param};

struct Two {
    one: TestIdp,
    two: TestIdp,
    upstream: RecordingUpstream,
    gateway: Gateway,
}

impl Two {
    async fn start(iss_in_callback: bool, toml: &str) -> Self {
        let settings = || IdpSettings { iss_in_callback, ..IdpSettings::default() };
        let (one, upstream) = (TestIdp::with(settings()).await, RecordingUpstream::start().await);
        let two = TestIdp::sharing(settings(), one.clock.clone()).await;
        let gateway = Gateway::in_front_of(&upstream).and_at("one", &one).and_at("two", &two).with(toml).start().await;
        register(&gateway, &[("one", &one), ("two", &two)]);
        Self { one, two, upstream, gateway }
    }

    /// The callback of a sign-in at one of the two, not made yet.
    async fn callback(&self, browser: &Browser, name: &str) -> url::Url {
        let request = browser.asks(&self.gateway.own(&format!("login?provider={name}&rd=/{name}"))).await.location();
        let page = browser.asks(request.as_str()).await;
        if !page.is_choosing() {
            return page.location();
        }
        let form = page.form("sso/choose");
        let mut fields = form.fields;
        fields.push(("person".to_owned(), ADA.to_owned()));
        browser
            .does(crate::harness::browser::Ask::form(&form.action, &fields).from(&page.url).without_following())
            .await
            .location()
    }

    fn nobody_was_asked_for_a_token(&self) -> bool {
        self.one.seen_at(paths::TOKEN).is_empty() && self.two.seen_at(paths::TOKEN).is_empty()
    }

    fn refused(&self, browser: &Browser, page: &crate::harness::browser::Page, reason: &str) {
        assert_eq!(page.status, 400, "{}", page.text());
        assert!(page.text().contains(reason), "{reason}: {}", page.text());
        assert!(!has_session(browser) && self.upstream.seen().is_empty());
        assert!(self.nobody_was_asked_for_a_token());
    }
}

/// Registers the redirect URI that each provider has to itself.
pub(crate) fn register(gateway: &Gateway, providers: &[(&str, &TestIdp)]) {
    for (name, idp) in providers {
        idp.allow_return_to(CLIENT_ID, &gateway.own(&format!("callback/{name}")), &gateway.own("signed-out"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_chooses_where_to_sign_in_and_lands_on_the_page() {
    let all = Two::start(true, "[provider.two]\ntitle = 'The <other> one'").await;
    let browser = all.gateway.browser();
    let page = browser.opens(&all.gateway.url("/wiki?x=1&y=%2F")).await;
    assert_eq!((page.status, page.url.path()), (200, "/_vestibule/login"));
    let text = page.text();
    assert!(text.contains("The &lt;other&gt; one") && !text.contains("<other>"), "{text}");
    assert!(all.one.seen().is_empty() && all.two.seen().is_empty(), "nobody is asked before the choice");
    let link = text.split("href=\"").find(|part| part.contains("provider=two")).unwrap().split('"').next().unwrap();
    let page = browser.follows(&page, &link.replace("&#x2f;", "/").replace("&amp;", "&")).await;
    let page = browser.picks(&page, "Grace").await;
    assert_eq!((page.status, page.url.to_string()), (200, all.gateway.url("/wiki?x=1&y=%2F")));
    assert_eq!(all.upstream.only_request().header("x-forwarded-preferred-username"), Some("grace"));
    assert!(all.one.seen_at(paths::TOKEN).is_empty());
    assert!(browser.cookie(&all.gateway.url("/"), "vestibule-two").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_chooser_shows_the_providers_in_the_order_of_the_route() {
    let toml = "[route.app.paths]\n'/r' = { providers = ['two', 'one'] }\n'/s' = { providers = ['one', 'two'] }";
    let all = Two::start(true, toml).await;
    for (path, order) in [("/r/x", ["two", "one"]), ("/s/x", ["one", "two"]), ("/", ["one", "two"])] {
        let text = all.gateway.browser().opens(&all.gateway.url(path)).await.text();
        let places = order.map(|name| text.find(&format!("provider={name}")).unwrap());
        assert!(places.is_sorted(), "{path}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_takes_one_provider_goes_there_at_once() {
    let all = Two::start(true, "[route.app.paths]\n'/two' = { providers = ['two'] }").await;
    let page = all.gateway.browser().asks(&all.gateway.url("/two/x")).await;
    assert!(page.location().as_str().starts_with(all.two.issuer()));
    assert_eq!(param(&page.location(), "redirect_uri"), all.gateway.own("callback/two"));
    let page = all.gateway.browser().asks(&all.gateway.own("login?provider=three")).await;
    assert_eq!(page.status, 400);
    assert!(page.text().contains("VB-1024"));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_provider_has_a_redirect_uri_of_its_own_and_needs_no_iss() {
    // IS-03, SB-03, OA-02
    let all = Two::start(false, "").await;
    for (name, idp) in [("one", &all.one), ("two", &all.two)] {
        let page =
            all.gateway.browser().signs_in(&all.gateway.own(&format!("login?provider={name}&rd=/{name}")), "Ada").await;
        assert_eq!((page.status, page.url.path()), (200, format!("/{name}").as_str()), "{}", page.text());
        let asked = &idp.seen_at(paths::AUTHORIZE)[0];
        let exchange = &idp.token_requests("authorization_code")[0];
        assert_eq!(asked.query_field("redirect_uri"), Some(all.gateway.own(&format!("callback/{name}"))));
        assert_eq!(exchange.field("redirect_uri"), asked.query_field("redirect_uri"));
    }
    // At a redirect URI that was not sent, an answer could be anybody's.
    let browser = all.gateway.browser();
    let callback = all.callback(&browser, "one").await;
    let seen = (all.one.seen_at(paths::TOKEN).len(), all.two.seen_at(paths::TOKEN).len());
    let page = browser.opens(&callback.as_str().replace("/callback/one", "/callback")).await;
    assert_eq!(page.status, 400);
    assert!(page.text().contains("issuer_mismatch") && !has_session(&browser), "{}", page.text());
    assert_eq!((all.one.seen_at(paths::TOKEN).len(), all.two.seen_at(paths::TOKEN).len()), seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_another_provider_is_refused() {
    // AT-LF-10, SB-03, IS-02
    let all = Two::start(true, "").await;
    // `iss` of the other one, with its code or without.
    let browser = all.gateway.browser();
    let of_one = all.callback(&browser, "one").await;
    let of_two = all.callback(&browser, "two").await;
    let mixed = with_param(&of_one, "iss", Some(all.two.issuer()));
    all.refused(&browser, &browser.opens(&mixed).await, "iss_mismatch");

    let browser = all.gateway.browser();
    let of_one = all.callback(&browser, "one").await;
    let mixed = with_param(&of_two, "state", Some(&param(&of_one, "state"))).replace("callback/two", "callback/one");
    all.refused(&browser, &browser.opens(&mixed).await, "iss_mismatch");

    // The state of one at the redirect URI of the other, whatever else it says.
    for iss in [Some(all.one.issuer()), Some(all.two.issuer()), None] {
        let browser = all.gateway.browser();
        let of_one = all.callback(&browser, "one").await;
        let mixed = with_param(&of_one, "iss", iss).replace("callback/one", "callback/two");
        all.refused(&browser, &browser.opens(&mixed).await, "issuer_mismatch");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_goes_only_where_it_was_asked_for_and_opens_nothing_there() {
    // AT-LF-10: a provider that sends no `iss`: its code, injected into a sign-in at another one
    let all = Two::start(false, "").await;
    let browser = all.gateway.browser();
    let of_one = all.callback(&browser, "one").await;
    let of_two = all.callback(&all.gateway.browser(), "two").await;
    let mixed = with_param(&of_one, "code", Some(&param(&of_two, "code")));
    let page = browser.asks(&mixed).await;
    // A second round, at the provider that was asked.
    assert!(page.location().as_str().starts_with(all.one.issuer()) && !has_session(&browser));
    assert!(all.two.seen_at(paths::TOKEN).is_empty() && all.upstream.seen().is_empty());
    assert_eq!(all.one.token_requests("authorization_code").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_session_for_each_provider_side_by_side() {
    let all =
        Two::start(true, "[route.app.paths]\n'/one' = { providers = ['one'] }\n'/two' = { providers = ['two'] }").await;
    let browser = all.gateway.browser();
    browser.signs_in(&all.gateway.url("/one"), "Ada").await;
    browser.signs_in(&all.gateway.url("/two"), "Grace").await;
    all.upstream.forget_seen();
    for (path, person) in [("/one", "ada"), ("/two", "grace"), ("/", "ada")] {
        assert_eq!(browser.asks(&all.gateway.url(path)).await.status, 200);
        assert_eq!(all.upstream.last_request().header("x-forwarded-preferred-username"), Some(person), "{path}");
    }
    // The session of one, under the name of the other, is nobody's.
    let thief = all.gateway.browser();
    let value = browser.cookie(&all.gateway.url("/"), "vestibule-one").unwrap();
    thief.plants(&all.gateway.url("/"), &format!("vestibule-two={value}; Path=/"));
    assert_eq!(thief.asks(&all.gateway.url("/two")).await.status, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_provider_that_is_away_does_not_keep_anybody_from_the_other() {
    // AT-TP-21: other routes live
    let all = Two::start(true, "[provider.one]\ntimeout = '10s'").await;
    all.one.break_with(|faults| faults.discovery.break_with(crate::harness::idp::Breakage::Hang));
    let (stuck, free) = (all.gateway.browser(), all.gateway.browser());
    let url = all.gateway.own("login?provider=one");
    let waiting = stuck.asks(&url);
    let other = async {
        all.one.wait_for(paths::DISCOVERY, 1).await;
        free.signs_in(&all.gateway.own("login?provider=two&rd=/x"), "Ada").await
    };
    tokio::select! {
        page = waiting => panic!("it was to hang: {}", page.status),
        page = other => assert_eq!((page.status, page.url.path()), (200, "/x")),
    }
}
