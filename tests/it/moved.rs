//! What goes on when a reload gives things other names: another provider beside the first, another prefix, redirect path, public URL
//! or cookie domain. Sessions stay, a sign-in that was begun ends, and its code is sent once, with the redirect URI that was sent.

use std::time::Duration;

use crate::harness::idp::{Breakage, Gate};
use crate::harness::idp::{IdpSettings, paths};

use crate::harness::idp::CLIENT_ID;
use crate::harness::{Browser, Gateway, RecordingUpstream, Scene, TestIdp, has_session, param, with_param};

struct Stage {
    idp: TestIdp,
    other: TestIdp,
    upstream: RecordingUpstream,
    gateway: Gateway,
}

impl Stage {
    /// One provider; a second one stands by.
    async fn set() -> Self {
        Self::with("").await
    }

    async fn with(toml: &str) -> Self {
        let (idp, upstream) = (TestIdp::start().await, RecordingUpstream::start().await);
        let other = TestIdp::sharing(IdpSettings::default(), idp.clock.clone()).await;
        let gateway =
            Gateway::in_front_of(&upstream).signing_in_at(&idp).at_https("wiki.example.com").with(toml).start().await;
        Self { idp, other, upstream, gateway }
    }

    fn second_provider(&self) -> String {
        format!(
            "[provider.other]\nissuer = '{}'\nclient_id = '{CLIENT_ID}'\nclient_secret = 'a secret that is long enough'",
            self.other.issuer()
        )
    }

    /// Ada's callback, not made yet.
    async fn callback(&self, browser: &Browser) -> url::Url {
        let request = browser.asks(&self.gateway.own("login?rd=/late&provider=idp")).await.location();
        let page = browser.asks(request.as_str()).await;
        if !page.is_choosing() {
            return page.location();
        }
        let form = page.form("sso/choose");
        let mut fields = form.fields;
        fields.push(("person".to_owned(), crate::harness::scene::ADA.to_owned()));
        let ask = crate::harness::browser::Ask::form(&form.action, &fields).from(&page.url).without_following();
        browser.does(ask).await.location()
    }

    /// The code was exchanged once, with the redirect URI that it was asked for with (RFC 6749 section 4.1.3).
    fn exchanged_once(&self, callback: &url::Url) {
        let exchanges = self.idp.token_requests("authorization_code");
        assert_eq!(exchanges.len(), 1);
        let sent = self.idp.seen_at(paths::AUTHORIZE).last().unwrap().query_field("redirect_uri");
        assert_eq!(exchanges[0].field("redirect_uri"), sent);
        assert_eq!(sent.as_deref(), callback.as_str().split('?').next());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_ends_whatever_moves_meanwhile() {
    type Change<'a> = &'a dyn Fn(&Stage) -> String;
    // OA-02, RFC 6749 section 4.1.3
    let second = |stage: &Stage| stage.second_provider();
    let changes: [(&str, Change<'_>); 9] = [
        ("nothing", &|_| String::new()),
        ("a second provider", &second),
        ("a second provider, with a path", &|stage| format!("{}\nredirect_path = '/there'", second(stage))),
        ("the prefix", &|_| "[server]\nprefix = '/_new'".to_owned()),
        ("the redirect path", &|_| "[provider.idp]\nredirect_path = '/oauth2/callback'".to_owned()),
        ("the public URL", &|_| "[server]\npublic_url = 'https://other.example.com'".to_owned()),
        ("the cookie domain", &|_| "[session.cookie]\ndomain = 'example.com'".to_owned()),
        ("the cookie's name", &|_| "[session.cookie]\nname = '__Host-another'".to_owned()),
        ("everything", &|stage| {
            format!(
                "[server]\nprefix = '/_new'\n[session.cookie]\ndomain = 'example.com'\n[provider.idp]\nredirect_path = '/x'\n{}",
                second(stage)
            )
        }),
    ];
    for (what, change) in changes {
        let mut stage = Stage::set().await;
        let browser = stage.gateway.browser();
        let callback = stage.callback(&browser).await;
        let toml = change(&stage);
        stage.gateway.reload_with(&toml);
        // Twice: what was taken over by the first stays.
        stage.gateway.reload_with(&toml);
        let page = browser.opens(callback.as_str()).await;
        assert_eq!((page.status, page.url.path()), (200, "/late"), "{what}: {}", page.text());
        assert_eq!(stage.upstream.only_request().header("x-forwarded-preferred-username"), Some("ada"), "{what}");
        assert_eq!(stage.upstream.only_request().header("cookie"), None, "{what}");
        stage.exchanged_once(&callback);
        // The same again only redirects.
        assert_eq!(browser.opens(callback.as_str()).await.status, 200, "{what}");
        assert_eq!(stage.idp.token_requests("authorization_code").len(), 1, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_ends_when_a_second_provider_goes() {
    let mut stage = Stage::set().await;
    let second = stage.second_provider();
    stage.gateway.reload_with(&second);
    let (signed_in, browser) = (stage.gateway.browser(), stage.gateway.browser());
    signed_in.signs_in(&stage.gateway.own("login?provider=idp&rd=/"), "Ada").await;
    assert!(signed_in.cookie("https://wiki.example.com/", "__Host-vestibule-idp").is_some());
    let callback = stage.callback(&browser).await;
    assert!(callback.path().ends_with("/callback/idp"));
    stage.gateway.reload_without("provider.other");
    assert_eq!(signed_in.asks("https://wiki.example.com/").await.status, 200);
    let page = browser.opens(callback.as_str()).await;
    assert_eq!((page.status, page.url.path()), (200, "/late"), "{}", page.text());
    assert!(browser.cookie("https://wiki.example.com/", "__Host-vestibule").is_some());
    let exchanges = stage.idp.token_requests("authorization_code");
    assert!(exchanges.iter().all(|it| it.field("redirect_uri").is_some_and(|uri| uri.ends_with("/callback/idp"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_outlive_a_provider_that_comes_and_go_on_under_the_new_name() {
    let mut stage = Stage::with("[session]\nidle_timeout = '2h'").await;
    let browser = stage.gateway.browser();
    let url = "https://wiki.example.com/";
    browser.signs_in(url, "Ada").await;
    stage.gateway.reload_with(&stage.second_provider());
    stage.upstream.forget_seen();
    for _ in 0..2 {
        assert_eq!(browser.asks(url).await.status, 200);
    }
    assert!(stage.upstream.seen().iter().all(|seen| seen.header("cookie").is_none()));
    assert!(browser.cookie(url, "__Host-vestibule").is_some());
    // The next time that it is sealed, the name of before goes.
    stage.gateway.clock.advance(Duration::from_secs(900));
    assert_eq!(browser.asks(url).await.status, 200);
    assert!(browser.cookie(url, "__Host-vestibule").is_none());
    assert!(browser.cookie(url, "__Host-vestibule-idp").is_some());
    assert_eq!(browser.asks(url).await.status, 200);
    // It is nobody's else: not even at a route that takes the other provider alone.
    stage.gateway.reload_with("[route.app.paths]\n'/other' = { providers = ['other'] }");
    let page = browser.asks("https://wiki.example.com/other").await;
    assert!(page.location().as_str().starts_with(stage.other.issuer()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_path_of_before_is_the_applications_again_after_an_attempts_life() {
    let mut stage = Stage::with("[session]\nattempt_life = '5m'\n[route.app]\naccess = 'public'").await;
    stage.gateway.reload_with("[provider.idp]\nredirect_path = '/old/cb'");
    let url = "https://wiki.example.com/old/cb";
    assert_eq!(stage.gateway.browser().asks(url).await.status, 400);
    stage.gateway.reload_with("[provider.idp]\nredirect_path = '/new/cb'");
    assert_eq!(stage.gateway.browser().asks(url).await.status, 400);
    assert!(stage.upstream.seen().is_empty());
    stage.gateway.clock.advance(Duration::from_secs(301));
    assert_eq!(stage.gateway.browser().asks(url).await.status, 200);
    assert_eq!(stage.upstream.only_request().target, "/old/cb");
    assert_eq!(stage.gateway.browser().asks("https://wiki.example.com/new/cb").await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_path_is_any_path_and_ours_in_every_spelling() {
    // IS-03, PX-41
    let mut stage = Stage::with("[provider.idp]\nredirect_path = '/oauth2/callback'").await;
    stage.idp.allow_return_to(CLIENT_ID, "https://wiki.example.com/oauth2/callback", "https://wiki.example.com/");
    stage.gateway.reload_with(&stage.second_provider());
    let browser = stage.gateway.browser();
    let callback = stage.callback(&browser).await;
    assert_eq!(callback.path(), "/oauth2/callback");
    for spelling in
        ["/oauth2//callback", "/oauth2/./callback", "/oauth2/%2e/callback", "/oauth2%2fcallback", "//oauth2/callback"]
    {
        let request = format!(
            "GET {spelling}?{} HTTP/1.1\r\nHost: wiki.example.com\r\nConnection: close\r\n\r\n",
            callback.query().unwrap()
        );
        let answer = crate::harness::Raw::once(stage.gateway.address, request).await;
        assert_eq!(answer.status, 400, "{spelling}");
    }
    assert!(stage.upstream.seen().is_empty() && stage.idp.token_requests("authorization_code").is_empty());
    // An answer at a redirect URI that was not sent is not believed, whoever's that is.
    for elsewhere in ["/_vestibule/callback", "/_vestibule/callback/idp", "/_vestibule/callback/other"] {
        let copy = browser.copied();
        let page = copy.opens(&callback.as_str().replace("/oauth2/callback", elsewhere)).await;
        assert_eq!(page.status, 400, "{elsewhere}");
        assert!(page.text().contains("VB-1009") && !has_session(&copy), "{elsewhere}: {}", page.text());
    }
    let page = browser.opens(callback.as_str()).await;
    assert_eq!((page.status, page.url.path()), (200, "/late"), "{}", page.text());
    stage.exchanged_once(&callback);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_goes_out_once_although_a_reload_comes_in_between() {
    // OA-10
    for change in ["", "[provider.idp]\ntitle = 'Another'\n[route.app]\nidentity = 'remote-user'"] {
        let mut stage = Stage::set().await;
        let gate = Gate::new();
        stage.idp.break_with(|faults| faults.token.break_with(Breakage::Hold(gate.clone())));
        let browser = stage.gateway.browser();
        let callback = stage.callback(&browser).await;
        let (before, after) = (browser.copied(), browser.copied());
        let url = callback.to_string();
        let first = tokio::spawn(async move { before.opens(&url).await });
        stage.idp.wait_for(paths::TOKEN, 1).await;
        stage.gateway.reload_with(change);
        let opened = after.opens(callback.as_str());
        let release = async {
            tokio::task::yield_now().await;
            gate.open();
        };
        let (second, ()) = tokio::join!(opened, release);
        let first = first.await.unwrap();
        for page in [&first, &second] {
            assert_eq!((page.status, page.url.path()), (200, "/late"), "{}", page.text());
        }
        stage.exchanged_once(&callback);
        // And once more when all is done: by the old cookies, after another reload.
        stage.gateway.reload_with("[pages]\ntitle = 'Third'");
        let page = browser.opens(callback.as_str()).await;
        assert_eq!((page.status, page.url.path()), (200, "/late"), "{}", page.text());
        assert_eq!(stage.idp.token_requests("authorization_code").len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_an_attempt_was_not_begun_at_does_not_end_it() {
    // CK-14
    let Scene { idp, upstream, gateway, .. } = Scene::built(|gateway| {
        gateway
            .at_https("a.example.com")
            .known_as("b.example.com")
            .with("[route.app]\nhost = ['a.example.com', 'b.example.com']")
    })
    .await;
    let browser = gateway.browser();
    let request = browser.asks("https://a.example.com/").await.location();
    let id = &param(&request, "state")[..12];
    let name = format!("__Host-vestibule.login.{id}");
    let cookie = browser.cookie("https://a.example.com/", &name).unwrap();
    let thief = gateway.browser();
    thief.plants("https://b.example.com/", &format!("{name}={cookie}; Path=/; Secure"));
    let callback = url::Url::parse("https://b.example.com/_vestibule/callback?code=x").unwrap();
    let page = thief.opens(&with_param(&callback, "state", Some(&param(&request, "state")))).await;
    assert_eq!(page.status, 400);
    assert!(!has_session(&thief) && idp.seen_at(paths::TOKEN).is_empty() && upstream.seen().is_empty());
}
