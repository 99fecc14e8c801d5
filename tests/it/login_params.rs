//! Links to `login` that say more: who is coming, or where their account is. The operator says what is handed on, and no link changes
//! what a sign-in is for.

use serde_json::json;
use url::Url;

use crate::harness::idp::{Breakage, IdpSettings, paths};
use crate::harness::{Browser, Gateway, Page, RecordingUpstream, Scene, TestIdp, has_session, param};
use crate::several_providers::register;

/// What a help desk, a portal and a kiosk may say.
const LISTED: &str = "[provider.idp]
login_params = ['login_hint', 'kc_idp_hint', 'ui_locales', 'domain_hint']
authorization_params = { ui_locales = 'de', kc_idp_hint = 'corp' }";

/// The answer to a link to `login` with this query, as it stands.
async fn follows(gateway: &Gateway, browser: &Browser, query: &str) -> Page {
    browser.asks(&gateway.own(&format!("login?{query}"))).await
}

/// The authorization request that this link leads to, in a new browser.
async fn request(scene: &Scene, query: &str) -> Url {
    let page = follows(&scene.gateway, &scene.gateway.browser(), query).await;
    assert_eq!(page.status, 302, "{query}: {}", page.text());
    page.location()
}

/// All values of a parameter.
fn all(url: &Url, name: &str) -> Vec<String> {
    url.query_pairs().filter(|(known, _)| known == name).map(|(_, value)| value.into_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_says_who_is_coming_and_where_the_account_is() {
    // UI-11
    let scene = Scene::with(LISTED).await;
    let asked =
        request(&scene, "rd=/inbox&login_hint=ann%2Bx%40example.com&kc_idp_hint=partner&domain_hint=a+b%26c").await;
    assert_eq!(all(&asked, "login_hint"), ["ann+x@example.com"]);
    assert_eq!(all(&asked, "kc_idp_hint"), ["partner"], "in place of the configured one, never beside it");
    assert_eq!(all(&asked, "domain_hint"), ["a b&c"]);
    assert_eq!(all(&asked, "ui_locales"), ["de"], "what the link does not say stays as it is configured");
    // The sign-in goes on to the page.
    let browser = scene.gateway.browser();
    let login = scene.gateway.own("login?rd=/inbox&login_hint=ann&ui_locales=fr");
    let page = browser.signs_in(&login, "Ada").await;
    assert_eq!((page.status, page.url.path()), (200, "/inbox"));
    assert_eq!(scene.upstream.only_request().target, "/inbox");
    // Without the key, one is handed on.
    let scene = Scene::start().await;
    let asked = request(&scene, "rd=/&login_hint=ann&ui_locales=fr&kc_idp_hint=partner").await;
    assert_eq!(
        (param(&asked, "login_hint").as_str(), all(&asked, "ui_locales"), all(&asked, "kc_idp_hint")),
        ("ann", vec![], vec![])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_or_no_text_is_left_out_and_the_sign_in_goes_on() {
    // AT-LF-13
    let scene = Scene::with(LISTED).await;
    let (fits, long) = ("x".repeat(512), "x".repeat(513));
    assert_eq!(param(&request(&scene, &format!("login_hint={fits}")).await, "login_hint"), fits);
    // Bytes after decoding: 256 umlauts are six times as long in the link.
    let umlauts = "%C3%BC".repeat(256);
    assert_eq!(param(&request(&scene, &format!("login_hint={umlauts}")).await, "login_hint"), "ü".repeat(256));
    for odd in
        [long.as_str(), &format!("{umlauts}x"), "", "%0d%0aSet-Cookie:%20a=b", "a%00", "%ff%fe", "a%c2%85", "%C0%AE"]
    {
        let asked = request(&scene, &format!("rd=/x&login_hint={odd}&kc_idp_hint={odd}")).await;
        assert_eq!(all(&asked, "login_hint"), Vec::<String>::new(), "{odd}");
        assert_eq!(all(&asked, "kc_idp_hint"), ["corp"], "{odd}: the configured one");
    }
    // Four that fit are much for a cookie, and come to their page all the same.
    let four =
        ["login_hint", "kc_idp_hint", "ui_locales", "domain_hint"].map(|name| format!("{name}={fits}")).join("&");
    let page = scene.gateway.browser().signs_in(&scene.gateway.own(&format!("login?rd=/x&{four}")), "Ada").await;
    assert_eq!((page.status, page.url.path()), (200, "/x"));
    // What is said twice means two things.
    for name in ["login_hint", "kc_idp_hint"] {
        let browser = scene.gateway.browser();
        let page = follows(&scene.gateway, &browser, &format!("rd=/x&{name}=a&{name}=b")).await;
        assert_eq!((page.status, browser.cookies().len()), (400, 0), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_link_slips_in_what_the_flow_sets() {
    // UI-11, AT-LF-22, OA-01
    let scene = Scene::with(LISTED).await;
    let plain = request(&scene, "rd=/x").await;
    let own = ["response_type", "client_id", "redirect_uri", "scope", "code_challenge_method"];
    let injected =
        own.iter().chain(&["state", "nonce", "code_challenge", "prompt", "max_age", "acr_values", "response_mode"]);
    let injected: Vec<String> = injected
        .chain(&["request", "request_uri", "claims", "resource", "id_token_hint"])
        .map(|name| format!("{name}=evil"))
        .collect();
    for query in [
        injected.join("&"),
        format!("login_hint=a%26{}", injected.join("%26")),
        "login_hint=a%26prompt%3Dnone".to_owned(),
        "login_hint=a%23%26state%3Devil".to_owned(),
        "login_hint=a%2526prompt%253Dnone".to_owned(),
        "kc_idp_hint=x%3Fredirect_uri%3Dhttps://evil.example/".to_owned(),
        "login_hint=%0a%26scope%3Dadmin".to_owned(),
        "LOGIN_HINT=a&Login_Hint=b&login_hint%00=c&login_hint%5B%5D=d".to_owned(),
    ] {
        let asked = request(&scene, &format!("rd=/x&{query}")).await;
        for name in own {
            assert_eq!(all(&asked, name), all(&plain, name), "{query}: {name}");
        }
        for name in ["state", "nonce", "code_challenge"] {
            let values = all(&asked, name);
            assert!(values.len() == 1 && values[0].len() > 20, "{query}: {name} {values:?}");
        }
        let known = ["login_hint", "kc_idp_hint", "ui_locales", "state", "nonce", "code_challenge"];
        for (name, _) in asked.query_pairs() {
            assert!(own.contains(&&*name) || known.contains(&&*name), "{query}: {name}");
        }
        assert_eq!((asked.origin(), asked.path(), asked.fragment()), (plain.origin(), plain.path(), None), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_request_for_a_page_hands_nothing_on() {
    // AT-LF-22
    let scene = Scene::with(LISTED).await;
    let asked = scene.asks("/wiki?login_hint=ann&kc_idp_hint=evil&ui_locales=fr").await.location();
    assert_eq!((all(&asked, "login_hint"), all(&asked, "kc_idp_hint")), (vec![], vec!["corp".to_owned()]));
    // Nor does the address that a script is told.
    let problem = scene.fetches("/api?login_hint=ann").await;
    assert_eq!(problem.status, 401);
    let told = Url::parse(problem.json()["login_url"].as_str().unwrap()).unwrap();
    assert_eq!(told.query_pairs().map(|(name, _)| name.into_owned()).collect::<Vec<_>>(), ["rd"]);
    let problem = scene.fetches("/_vestibule/login?rd=/x&login_hint=ann").await;
    let told = Url::parse(problem.json()["login_url"].as_str().unwrap()).unwrap();
    assert_eq!(all(&told, "login_hint"), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_asks_for_a_stricter_sign_in_and_never_for_a_weaker_one() {
    // UI-12, ID-15, ID-16
    let toml = "[provider.idp]
login_params = ['prompt', 'max_age', 'acr_values']
max_age = '12h'
acr_values = ['gold', 'silver']
[route.app.paths.\"/admin\"]
max_age = '15m'";
    let scene = Scene::with(toml).await;
    for (query, max_age, acr, prompt) in [
        ("rd=/x", "43200", "gold silver", ""),
        ("rd=/x&max_age=60&acr_values=gold&prompt=login", "60", "gold", "login"),
        ("rd=/x&max_age=999999&acr_values=bronze&prompt=none", "43200", "gold silver", ""),
        ("rd=/x&max_age=-1&acr_values=bronze+silver&prompt=login+none", "43200", "silver", ""),
        ("rd=/admin/x&max_age=3600", "900", "gold silver", ""),
        ("rd=/admin/x&max_age=60", "60", "gold silver", ""),
    ] {
        let asked = request(&scene, query).await;
        assert_eq!(all(&asked, "max_age"), [max_age], "{query}");
        assert_eq!(all(&asked, "acr_values"), [acr], "{query}");
        assert_eq!(param(&asked, "prompt"), prompt, "{query}");
    }
    // The answer is checked by what was asked: silver will do, but not where the link asked for gold.
    scene.idp.configure(|settings| drop(settings.people[0].claims.insert("acr".into(), json!("silver"))));
    let page = scene.gateway.browser().signs_in(&scene.gateway.own("login?rd=/x"), "Ada").await;
    assert_eq!((page.status, page.url.path()), (200, "/x"), "{}", page.text());
    scene.upstream.forget_seen();
    let browser = scene.gateway.browser();
    let page = browser.signs_in(&scene.gateway.own("login?rd=/x&acr_values=gold"), "Ada").await;
    scene.is_refused(&browser, &page, "id_token_acr");
    // None of it without being listed.
    let scene = Scene::start().await;
    let asked = request(&scene, "rd=/x&max_age=60&acr_values=gold&prompt=login").await;
    for name in ["max_age", "acr_values", "prompt"] {
        assert_eq!(all(&asked, name), Vec::<String>::new(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_is_older_than_the_link_asks_for_is_refused() {
    // ID-16: the provider lets somebody in with an old sign-in, whatever `max_age` and `prompt` say
    let scene = Scene::with("[provider.idp]\nlogin_params = ['max_age']").await;
    for (query, refused) in [("rd=/x", false), ("rd=/x&max_age=60", true)] {
        scene.idp.heal();
        scene.idp.break_with(|faults| {
            faults.id_token.claims.shift("auth_time", -3600);
        });
        scene.forget_seen();
        let browser = scene.gateway.browser();
        let page = browser.signs_in(&scene.gateway.own(&format!("login?{query}")), "Ada").await;
        let page = if page.is_choosing() { browser.picks(&page, "Ada").await } else { page };
        let asked = scene.idp.seen_at(paths::AUTHORIZE);
        let asked: Vec<_> =
            asked.iter().map(|seen| (seen.query_field("max_age"), seen.query_field("prompt"))).collect();
        let sixty = || Some("60".to_owned());
        if refused {
            scene.is_refused(&browser, &page, "id_token_auth_time_old");
            assert_eq!(asked, [(sixty(), None), (sixty(), Some("login".to_owned()))]);
        } else {
            assert_eq!((page.status, asked), (200, vec![(None, None)]), "{}", page.text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_survive_the_choice_of_a_provider_and_a_second_round() {
    // OA-07
    let settings = IdpSettings::default;
    let (one, upstream) = (TestIdp::with(settings()).await, RecordingUpstream::start().await);
    let two = TestIdp::sharing(settings(), one.clock.clone()).await;
    let toml = "[provider.one]\nlogin_params = []\n[provider.two]\nlogin_params = ['login_hint', 'kc_idp_hint']";
    let gateway = Gateway::in_front_of(&upstream).and_at("one", &one).and_at("two", &two).with(toml).start().await;
    register(&gateway, &[("one", &one), ("two", &two)]);
    let browser = gateway.browser();
    let long = "x".repeat(513);
    let query = format!("rd=/x&login_hint=a%22%3E%3Cb%3E%26prompt%3Dnone&kc_idp_hint={long}&ui_locales=de");
    let page = follows(&gateway, &browser, &query).await;
    assert_eq!(page.status, 200);
    let text = page.text().replace("&#x2f;", "/").replace("&amp;", "&");
    assert!(!text.contains("<b>") && !text.contains(&long) && !text.contains("ui_locales"), "{text}");
    let link = |name: &str| {
        let part = text.split("href=\"").find(|part| part.contains(&format!("provider={name}"))).unwrap();
        part.split('"').next().unwrap().to_owned()
    };
    assert!(!link("one").contains("hint"), "{}", link("one"));
    let asked = browser.asks(&format!("{}{}", gateway.origin(), link("two"))).await.location();
    assert_eq!(all(&asked, "login_hint"), ["a\"><b>&prompt=none"]);
    assert_eq!((all(&asked, "prompt"), all(&asked, "kc_idp_hint")), (vec![], vec![]));

    // The code is too old: the second round says it again.
    two.forget_seen();
    two.break_with(|faults| faults.token.break_times(1, Breakage::oauth_error("invalid_grant")));
    let page =
        browser.signs_in(&gateway.own("login?provider=two&rd=/x&login_hint=ann&kc_idp_hint=partner"), "Ada").await;
    assert_eq!((page.status, page.url.path()), (200, "/x"), "{}", page.text());
    let rounds = two.seen_at(paths::AUTHORIZE);
    assert_eq!(rounds.len(), 2);
    for round in &rounds {
        assert_eq!(round.query_field("login_hint").as_deref(), Some("ann"));
        assert_eq!(round.query_field("kc_idp_hint").as_deref(), Some("partner"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_refuses_a_hint_is_asked_without() {
    // UI-11, OA-07
    let scene = Scene::with(LISTED).await;
    scene.idp.break_with(|faults| faults.callback.refused = vec!["domain_hint".to_owned()]);
    let browser = scene.gateway.browser();
    let page = browser.signs_in(&scene.gateway.own("login?rd=/x&domain_hint=corp&login_hint=ann"), "Ada").await;
    assert_eq!((page.status, page.url.path()), (200, "/x"), "{}", page.text());
    let rounds = scene.idp.seen_at(paths::AUTHORIZE);
    assert_eq!(rounds.len(), 2);
    assert_eq!((rounds[1].query_field("domain_hint"), rounds[1].query_field("login_hint")), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_leads_to_a_provider_that_its_page_takes() {
    // AT-LF-22
    let settings = IdpSettings::default;
    let (one, upstream) = (TestIdp::with(settings()).await, RecordingUpstream::start().await);
    let two = TestIdp::sharing(settings(), one.clock.clone()).await;
    let toml = "[route.app.paths]\n'/two' = { providers = ['two'] }\n'/open' = { access = 'public' }";
    let gateway = Gateway::in_front_of(&upstream).and_at("one", &one).and_at("two", &two).with(toml).start().await;
    register(&gateway, &[("one", &one), ("two", &two)]);
    // The only one that the page takes needs no choice.
    for query in ["rd=/two/x", "rd=/two/x&provider=two", "rd=/two"] {
        let page = follows(&gateway, &gateway.browser(), query).await;
        assert!(page.location().as_str().starts_with(two.issuer()), "{query}: {}", page.location());
    }
    // Another one would only be asked for again there.
    let browser = gateway.browser();
    let page = follows(&gateway, &browser, "rd=/two/x&provider=one").await;
    assert_eq!(page.status, 400, "{}", page.text());
    assert!(page.names("VB-1024") && !has_session(&browser) && browser.cookies().is_empty(), "{}", page.text());
    assert!(one.seen().is_empty() && upstream.seen().is_empty());
    // Elsewhere, and where the link names no page, both are taken.
    for query in ["rd=/x&provider=one", "rd=/open&provider=one", "provider=one", "rd=/_vestibule/session&provider=one"]
    {
        let page = follows(&gateway, &gateway.browser(), query).await;
        assert!(page.location().as_str().starts_with(one.issuer()), "{query}");
    }
    assert_eq!(follows(&gateway, &gateway.browser(), "rd=/x").await.status, 200, "the person chooses");
}
