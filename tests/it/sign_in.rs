//! A person signs in: the way there, the way back, and what the application receives.

use std::collections::HashSet;
use std::time::Duration;

use crate::harness::idp::Breakage;
use crate::harness::idp::{Pkce, paths};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::harness::idp::{CLIENT_ID, CLIENT_SECRET};
use crate::harness::{Scene, TestIdp, has_session, param, with_param};

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_and_lands_on_the_page_that_they_asked_for() {
    // OA-01, CK-26
    let Scene { idp, upstream, gateway, .. } = Scene::start().await;
    let page = gateway.browser().signs_in(&gateway.url("/wiki?x=1&y=%2F"), "Ada").await;
    assert_eq!(page.status, 200, "{}", page.text());
    assert_eq!(page.url.to_string(), gateway.url("/wiki?x=1&y=%2F"));
    let seen = upstream.only_request();
    assert_eq!(seen.header("x-forwarded-preferred-username"), Some("ada"));
    assert_eq!(seen.header("cookie"), None);
    assert_eq!(idp.token_requests("authorization_code").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_session_refreshes_once_for_parallel_requests() {
    // RF-06, AT-TP-23
    let Scene { idp, upstream: _upstream, gateway, .. } = Scene::with("[session]\nidle_timeout = '2h'").await;
    let browser = gateway.browser();
    browser.signs_in(&gateway.url("/"), "Ada").await;
    gateway.clock.advance(Duration::from_secs(3600));
    let urls: Vec<String> = (0..50).map(|n| gateway.url(&format!("/{n}"))).collect();
    let pages = futures_util::future::join_all(urls.iter().map(|url| browser.asks(url))).await;
    assert!(
        pages.iter().all(|page| page.status == 200),
        "{:?}",
        pages.iter().map(|page| page.status).collect::<Vec<_>>()
    );
    assert_eq!(idp.token_requests("refresh_token").len(), 1);
    assert_eq!(idp.refresh_reuses(), 0);
    assert_eq!(browser.asks(&gateway.url("/after")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_authorization_request_says_all_that_it_must() {
    // OA-01, OA-02, PK-01, PK-02, PK-03, SB-04, UI-11
    let scene = Scene::start().await;
    let browser = scene.gateway.browser();
    let request = scene.sent_away(&browser, "/wiki").await;
    assert_eq!(param(&request, "response_type"), "code");
    assert_eq!(param(&request, "client_id"), CLIENT_ID);
    assert_eq!(param(&request, "scope"), "openid profile email");
    assert_eq!(param(&request, "redirect_uri"), scene.gateway.own("callback"));
    assert_eq!(param(&request, "code_challenge_method"), "S256");
    assert!(param(&request, "state").len() >= 22 && param(&request, "nonce").len() >= 22, "{request}");
    let names: Vec<String> = request.query_pairs().map(|(name, _)| name.into_owned()).collect();
    assert_eq!(names.len(), names.iter().collect::<HashSet<_>>().len(), "nothing stands twice: {request}");
    // No implicit grant, and nothing that a token could come back by.
    assert!(!names.iter().any(|name| name == "response_mode") && request.fragment().is_none());

    let callback = scene.answered(&browser, &request).await;
    assert_eq!(browser.opens(callback.as_str()).await.status, 200);
    let exchange = &scene.idp.token_requests("authorization_code")[0];
    let verifier = exchange.field("code_verifier").unwrap();
    assert!((43..=128).contains(&verifier.len()), "{verifier}");
    assert!(verifier.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b)), "{verifier}");
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
    assert_eq!(param(&request, "code_challenge"), challenge);
    assert_eq!(exchange.field("redirect_uri"), Some(param(&request, "redirect_uri")));
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_unguessable_is_new_in_each_attempt() {
    // SB-02, PK-02, PK-04
    let scene = Scene::start().await;
    let browser = scene.gateway.browser();
    let (one, two) = (scene.sent_away(&browser, "/a").await, scene.sent_away(&browser, "/a").await);
    for name in ["state", "nonce", "code_challenge"] {
        assert_ne!(param(&one, name), param(&two, name), "{name}");
    }
    // Each verifier goes with its own code, whichever tab comes back first.
    for request in [&two, &one] {
        let callback = scene.answered(&browser, request).await;
        let _ = browser.asks(callback.as_str()).await;
        browser.plants(&scene.gateway.url("/"), "vestibule=; Max-Age=0; Path=/");
    }
    let seen = scene.idp.token_requests("authorization_code");
    let challenges: Vec<String> = seen
        .iter()
        .map(|exchange| URL_SAFE_NO_PAD.encode(Sha256::digest(exchange.field("code_verifier").unwrap())))
        .collect();
    assert_eq!(challenges, [param(&two, "code_challenge"), param(&one, "code_challenge")]);
    // The verifier is in nothing that the browser was ever shown.
    let verifier = seen[0].field("code_verifier").unwrap();
    assert!(browser.cookies().iter().all(|cookie| !cookie.value.contains(&verifier)));
    assert!(!one.as_str().contains(&verifier) && !two.as_str().contains(&verifier));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_back_leaves_no_code_in_the_address_bar_and_nothing_in_a_cache() {
    // SB-09, SB-10, SB-04, CH-01
    let scene = Scene::start().await;
    let page = scene.gateway.browser().signs_in(&scene.gateway.url("/wiki"), "Ada").await;
    let callback = page.hop("/_vestibule/callback");
    assert_eq!(callback.status, 303);
    let field = |name: &str| callback.headers.get(name).and_then(|value| value.to_str().ok());
    assert_eq!((field("cache-control"), field("referrer-policy")), (Some("no-store"), Some("no-referrer")));
    let query: Vec<String> = callback.url.query_pairs().map(|(name, _)| name.into_owned()).collect();
    assert_eq!(query, ["code", "state", "iss"], "no token comes by the front channel");
    assert!(page.url.query().is_none() && page.url.fragment().is_none());
    assert!(scene.upstream.only_request().header("referer").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_that_the_endpoint_already_has_stay() {
    // OA-01
    let scene = Scene::start().await;
    let endpoint = format!("{}?tenant=a%26b&state=mine&scope=admin", scene.idp.url(paths::AUTHORIZE));
    scene.idp.break_with(|faults| {
        faults.discovery.members.set("authorization_endpoint", endpoint);
    });
    let request = scene.sent_away(&scene.gateway.browser(), "/").await;
    assert_eq!(param(&request, "tenant"), "a&b");
    assert_eq!(param(&request, "scope"), "openid profile email");
    assert_eq!(request.query_pairs().filter(|(name, _)| name == "state").count(), 1);
    assert_ne!(param(&request, "state"), "mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn configured_parameters_go_along_and_break_nothing() {
    // UI-11, IS-05
    let scene = Scene::with(
        "[provider.idp]\nprompt = 'select_account'\nresource = ['https://api.example.com/', 'https://b.example.com/x']\n\
         authorization_params = { ui_locales = 'de', login_hint = 'ada' }",
    )
    .await;
    let browser = scene.gateway.browser();
    let request = scene.sent_away(&browser, "/").await;
    assert_eq!(param(&request, "prompt"), "select_account");
    assert_eq!((param(&request, "ui_locales"), param(&request, "login_hint")), ("de".into(), "ada".into()));
    let resources = |pairs: Vec<(String, String)>| -> Vec<String> {
        pairs.into_iter().filter(|(name, _)| name == "resource").map(|(_, value)| value).collect()
    };
    let wanted = ["https://api.example.com/", "https://b.example.com/x"];
    assert_eq!(resources(request.query_pairs().into_owned().collect()), wanted);
    let callback = scene.answered(&browser, &request).await;
    assert_eq!(browser.opens(callback.as_str()).await.status, 200);
    assert_eq!(resources(scene.idp.token_requests("authorization_code")[0].form()), wanted);
    scene.gateway.clock.advance(Duration::from_secs(59));
    assert_eq!(browser.asks(&scene.gateway.url("/")).await.status, 200);
    assert_eq!(resources(scene.idp.token_requests("refresh_token")[0].form()), wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_the_start_url_reaches_the_provider() {
    // AT-LF-22
    let scene = Scene::start().await;
    let browser = scene.gateway.browser();
    let nasty = "prompt=none&redirect_uri=https%3A%2F%2Fevil.example%2F&client_id=other&scope=admin&request=eyJ&request_uri=urn%3Ax\
                 &max_age=0&state=mine&nonce=mine&response_type=token&response_mode=fragment&login_hint=x&acr_values=0&claims=%7B%7D";
    let honest: Vec<String> = names_of(&scene.sent_away(&browser, "/").await);
    for path in
        [format!("/wiki?{nasty}"), format!("/_vestibule/login?{nasty}"), format!("/_vestibule/login?rd=/&{nasty}")]
    {
        let request = scene.sent_away(&browser, &path).await;
        // A hint is what a link may hand on by default (`login_params`).
        let hinted = path.starts_with("/_vestibule/").then(|| "login_hint".to_owned());
        assert_eq!(names_of(&request), honest.iter().cloned().chain(hinted).collect::<Vec<_>>(), "{path}");
        assert_eq!(param(&request, "redirect_uri"), scene.gateway.own("callback"));
        assert_eq!((param(&request, "client_id"), param(&request, "response_type")), (CLIENT_ID.into(), "code".into()));
        assert_ne!(param(&request, "state"), "mine");
        assert_ne!(param(&request, "nonce"), "mine");
    }
    assert!(scene.upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_a_provider_begins_starts_a_normal_one() {
    // UI-13, AT-LF-23
    let scene = Scene::start().await;
    let browser = scene.gateway.browser();
    let login = |iss: &str, target: &str| {
        let mut url = url::Url::parse(&scene.gateway.own("login")).unwrap();
        url.query_pairs_mut().append_pair("iss", iss).append_pair("target_link_uri", target);
        url
    };
    let stranger = browser.opens(login("https://evil.example", "https://evil.example/").as_str()).await;
    assert_eq!(stranger.status, 400);
    scene.is_refused(&browser, &stranger, "VB-1024");
    assert!(scene.idp.seen_at(paths::AUTHORIZE).is_empty());

    // Own state and nonce; a target elsewhere is forgotten.
    let page = browser.signs_in(login(scene.idp.issuer(), "https://evil.example/").as_str(), "Ada").await;
    assert_eq!((page.status, page.url.as_str()), (200, scene.gateway.url("/").as_str()));
    let page = browser.signs_in(login(scene.idp.issuer(), "/wiki").as_str(), "Ada").await;
    assert_eq!(page.url.as_str(), scene.gateway.url("/wiki"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_replaces_a_session_that_was_planted_before() {
    // AT-LF-07, CK-16
    let scene = Scene::start().await;
    let attacker = scene.gateway.browser();
    attacker.signs_in(&scene.gateway.url("/"), "Grace").await;
    let planted = attacker.cookie(&scene.gateway.url("/"), "vestibule").unwrap();
    scene.gateway.clock.advance(Duration::from_secs(1));

    let victim = scene.gateway.browser();
    victim.plants(&scene.gateway.url("/"), &format!("vestibule={planted}; Path=/"));
    let page = victim.signs_in(&scene.gateway.own("login?rd=/wiki"), "Ada").await;
    assert_eq!(page.status, 200);
    let own = victim.cookie(&scene.gateway.url("/"), "vestibule").unwrap();
    assert_ne!(own, planted);
    assert_eq!(scene.upstream.last_request().header("x-forwarded-preferred-username"), Some("ada"));
    assert!(victim.cookies().iter().all(|cookie| cookie.value != planted && !cookie.name.contains("login")));
    assert_eq!(scene.idp.token_requests("authorization_code").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_planted_during_a_sign_in_does_not_win_over_it() {
    // AT-LF-07, CK-16: also within one moment of the clock, and whatever attempt it came from
    for wait in [0, 1, 500, 30_000] {
        let scene = Scene::start().await;
        let (victim, attacker) = (scene.gateway.browser(), scene.gateway.browser());
        let callback = scene.callback(&victim, "/mine").await;
        scene.gateway.clock.advance(Duration::from_millis(wait));
        attacker.signs_in(&scene.gateway.url("/"), "Grace").await;
        let planted = attacker.cookie(&scene.gateway.url("/"), "vestibule").unwrap();
        victim.plants(&scene.gateway.url("/"), &format!("vestibule={planted}; Path=/"));
        let page = victim.opens(callback.as_str()).await;
        assert_eq!((page.status, page.url.path()), (200, "/mine"), "{}", page.text());
        assert_eq!(scene.upstream.last_request().header("x-forwarded-preferred-username"), Some("ada"));
        assert_eq!(scene.idp.token_requests("authorization_code").len(), 2);
        // The planted one is over, for everybody.
        let page = attacker.asks(&scene.gateway.url("/")).await;
        assert_eq!(page.status, 302);
        // Once this attempt was redeemed it only redirects.
        let page = victim.opens(callback.as_str()).await;
        assert_eq!((page.status, page.url.path()), (200, "/mine"));
        assert_eq!(scene.idp.token_requests("authorization_code").len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_tab_of_one_person_ends_by_its_own_code_and_cuts_nobody_off() {
    let scene = Scene::start().await;
    let browser = scene.gateway.browser();
    let tabs = [scene.callback(&browser, "/one").await, scene.callback(&browser, "/two").await];
    browser.opens(tabs[0].as_str()).await;
    let session = browser.cookie(&scene.gateway.url("/"), "vestibule");
    let page = browser.opens(tabs[1].as_str()).await;
    assert_eq!((page.status, page.url.path()), (200, "/two"));
    assert_eq!(scene.idp.token_requests("authorization_code").len(), 2);
    assert_eq!(browser.cookie(&scene.gateway.url("/"), "vestibule"), session);
    assert!(!browser.cookies().iter().any(|cookie| cookie.name.contains(".login.")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_injected_code_signs_nobody_in() {
    // AT-LF-08, SB-13, PK-04: a code that was stolen from another browser meets another verifier and another nonce.
    let scene = Scene::start().await;
    let (victim, attacker) = (scene.gateway.browser(), scene.gateway.browser());
    let stolen = scene.callback(&victim, "/").await;
    let own = scene.callback(&attacker, "/").await;
    let injected = with_param(&own, "code", Some(&param(&stolen, "code")));
    let page = attacker.asks(&injected).await;
    // A second round: whoever signs in there is the attacker.
    assert!(page.location().as_str().starts_with(scene.idp.issuer()) && !has_session(&attacker));
    assert!(scene.upstream.seen().is_empty());
    let exchange = &scene.idp.token_requests("authorization_code")[0];
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(exchange.field("code_verifier").unwrap()));
    let asked = scene.idp.seen_at(paths::AUTHORIZE);
    assert_eq!(
        Some(challenge),
        asked[1].query_field("code_challenge"),
        "the verifier is that of the attacker's own attempt"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_injected_code_fails_by_its_nonce_where_the_provider_ignores_the_verifier() {
    // AT-LF-08, AT-LF-16, SB-13, ID-14, PK-05
    let idp = TestIdp::start().await;
    idp.configure(|settings| settings.clients[0].pkce = Pkce::Optional);
    let scene = Scene::at(idp, "").await;
    scene.idp.break_with(|faults| {
        faults.discovery.members.remove("code_challenge_methods_supported");
    });
    let browser = scene.gateway.browser();
    let request = scene.sent_away(&browser, "/").await;
    assert_eq!(param(&request, "code_challenge_method"), "S256", "sent whatever the metadata say");
    let (_, page) = scene
        .signs_in_while(|faults| {
            faults.id_token.claims.set("nonce", "of another attempt");
        })
        .await;
    assert!(page.text().contains("id_token_nonce"), "{}", page.text());
    assert!(scene.upstream.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn pkce_is_never_dropped_nor_weakened() {
    // PK-05, AT-LF-16
    let scene = Scene::start().await;
    scene.idp.break_with(|faults| {
        faults.discovery.members.set("code_challenge_methods_supported", serde_json::json!(["plain"]));
    });
    let browser = scene.gateway.browser();
    for _ in 0..2 {
        let request = scene.sent_away(&browser, "/").await;
        assert_eq!(
            (param(&request, "code_challenge_method"), param(&request, "code_challenge").len()),
            ("S256".into(), 43)
        );
        // The provider refuses: the next attempt is no weaker.
        scene.idp.configure(|settings| settings.clients[0].pkce = Pkce::Refused);
        let refused = browser.opens(request.as_str()).await;
        assert_eq!(refused.status, 400);
        scene.is_refused(&browser, &refused, "invalid_request");
    }
    assert!(scene.token_endpoint_is_untouched());
}

#[tokio::test(flavor = "multi_thread")]
async fn pkce_is_left_out_only_where_the_operator_says_so() {
    let idp = TestIdp::start().await;
    idp.configure(|settings| settings.clients[0].pkce = Pkce::Refused);
    let scene = Scene::at(idp, "[provider.idp]\npkce = false").await;
    scene.signs_in().await;
    assert_eq!(scene.idp.token_requests("authorization_code")[0].field("code_verifier"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_sign_in_that_needs_the_person_becomes_one_that_asks() {
    // UI-12
    let scene = Scene::with("[provider.idp]\nprompt = 'none'").await;
    let page = scene.gateway.browser().signs_in(&scene.gateway.url("/wiki"), "Ada").await;
    assert_eq!((page.status, page.url.path()), (200, "/wiki"), "{}", page.text());
    let prompts: Vec<_> = scene.idp.seen_at(paths::AUTHORIZE).iter().map(|seen| seen.query_field("prompt")).collect();
    assert_eq!(prompts, [Some("none".to_owned()), Some("login".to_owned())]);

    // Whoever says so again is not asked a third time.
    for error in ["login_required", "consent_required", "interaction_required", "account_selection_required"] {
        scene.idp.forget_seen();
        let (browser, page) =
            scene.signs_in_while(|faults| faults.callback.error = Some((error.to_owned(), None))).await;
        assert_eq!(page.status, 400, "{}", page.text());
        assert!(page.text().contains(error) && !has_session(&browser));
        assert_eq!(scene.idp.seen_at(paths::AUTHORIZE).len(), 2, "{error}");
        assert!(scene.token_endpoint_is_untouched());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_wants_a_fresh_sign_in_gets_one() {
    // ID-16: `max_age` goes along, and `auth_time` is held to it.
    let scene = Scene::with("[session]\nidle_timeout='2h'\n[route.app.paths]\n'/admin' = { max_age = '5m' }").await;
    let browser = scene.signs_in().await;
    assert_eq!(browser.asks(&scene.gateway.url("/admin")).await.status, 200);
    scene.gateway.clock.advance(Duration::from_secs(301));
    assert_eq!(browser.asks(&scene.gateway.url("/page")).await.status, 200);
    let request = scene.sent_away(&browser, "/admin").await;
    assert_eq!(param(&request, "max_age"), "300");

    // A provider that answers without asking anybody proves nothing: it is made to ask, once.
    scene.upstream.forget_seen();
    scene.idp.break_with(|faults| {
        faults.id_token.claims.shift("auth_time", -3600);
    });
    let page = browser.signs_in(&scene.gateway.url("/admin"), "Ada").await;
    assert_eq!(page.param("prompt").as_deref(), Some("login"));
    let page = browser.picks(&page, "Ada").await;
    assert_eq!(page.status, 502);
    assert!(page.text().contains("id_token_auth_time_old") && scene.upstream.seen().is_empty());
    scene.idp.heal();
    let page = browser.signs_in(&scene.gateway.url("/admin"), "Ada").await;
    assert_eq!((page.status, page.url.path()), (200, "/admin"), "{}", page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_says_401_is_believed_and_starts_nothing() {
    // AT-TP-26
    let scene = Scene::start().await;
    let browser = scene.signs_in().await;
    scene.upstream.answers(
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer error=\"invalid_token\"\r\nContent-Length: 2\r\n\r\nno",
    );
    let page = browser.opens(&scene.gateway.url("/api")).await;
    assert_eq!((page.status, page.text().as_str()), (401, "no"));
    assert_eq!(page.header("www-authenticate"), Some("Bearer error=\"invalid_token\""));
    assert_eq!(scene.upstream.seen().len(), 2);
    assert_eq!(scene.idp.token_requests("refresh_token").len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_somebody_merely_claims_opens_nothing() {
    // AT-TP-18, UI-06, ID-18
    let idp = TestIdp::start().await;
    idp.configure(|settings| {
        settings.people[0].claims.insert("email_verified".to_owned(), false.into());
        settings.people[1].claims.insert("email".to_owned(), "ada@example.com@evil.example".into());
    });
    let scene = Scene::at(idp, "[route.app.allow]\nemails = ['ada@example.com']").await;
    for person in ["Ada", "Grace"] {
        scene.idp.forget_browsers();
        let page = scene.gateway.browser().signs_in(&scene.gateway.url("/"), person).await;
        assert_eq!(page.status, 403, "{person}: {}", page.text());
        assert!(scene.upstream.seen().is_empty());
    }
    scene.idp.configure(|settings| {
        settings.people[0].claims.insert("email_verified".to_owned(), true.into());
    });
    scene.idp.forget_browsers();
    assert_eq!(scene.gateway.browser().signs_in(&scene.gateway.url("/"), "Ada").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_reaches_the_browser_the_logs_or_the_metrics() {
    // OA-25, SB-04
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let scene = Scene::with(&format!("[log]\naudit = '{}'\naccess = '{}'", file("audit"), file("access"))).await;
    let browser = scene.gateway.browser();
    let callback = scene.callback(&browser, "/page").await;
    let landed = browser.opens(callback.as_str()).await;
    scene.gateway.clock.advance(Duration::from_secs(59));
    let renewed = browser.opens(&scene.gateway.url("/page")).await;
    let session = browser.opens(&scene.gateway.own("session")).await;
    let (_, refused) =
        scene.signs_in_while(|faults| faults.token.break_with(Breakage::oauth_error("invalid_client"))).await;
    let metrics = scene.gateway.admin_text("/metrics").await;

    let form = |grant: &str| scene.idp.token_requests(grant)[0].form();
    let mut secrets: Vec<String> = form("authorization_code")
        .into_iter()
        .chain(form("refresh_token"))
        .filter(|(name, _)| ["code", "code_verifier", "refresh_token"].contains(&name.as_str()))
        .map(|(_, value)| value)
        .collect();
    secrets.push(param(&callback, "state"));
    secrets.push(CLIENT_SECRET.to_owned());
    secrets.push(browser.cookie(&scene.gateway.url("/"), "vestibule").unwrap());
    assert_eq!(secrets.len(), 6);
    scene.gateway.stop().await;
    let logs = [file("audit"), file("access")].map(|path| std::fs::read_to_string(path).unwrap());
    assert!(logs.iter().all(|log| log.lines().count() > 3), "{logs:?}");
    for secret in &secrets {
        assert!(logs.iter().all(|log| !log.contains(secret.as_str())), "{secret} is in a log");
        assert!(!metrics.contains(secret.as_str()), "{secret} is a label");
        for page in [&landed, &renewed, &session, &refused] {
            assert!(!page.text().contains(secret.as_str()), "{secret} is on {}", page.url);
            let hidden =
                page.headers.iter().all(|(name, value)| name == "set-cookie" || !contains(value.as_bytes(), secret));
            assert!(hidden, "{secret} is in a header of {}", page.url);
        }
    }
    // Tokens: the prefixes by which the provider marks each of them.
    for text in logs.iter().chain([&metrics, &session.text(), &refused.text()]) {
        assert!(!["at_", "rt_", "code_", "eyJ"].iter().any(|mark| tokens_with(text, mark)), "{text}");
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Whether a long word begins with this.
fn tokens_with(text: &str, mark: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c))
        .any(|word| word.starts_with(mark) && word.len() > 24)
}

fn names_of(url: &url::Url) -> Vec<String> {
    url.query_pairs().map(|(name, _)| name.into_owned()).collect()
}
