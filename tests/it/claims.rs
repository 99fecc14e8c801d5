//! Claims that decide who may pass, and that name people: never guessed at, never mixed up, and never lost in silence.

use std::time::Duration;

use crate::harness::idp::paths;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cookies::noise;
use crate::harness::process_log::{lines_with, listen};
use crate::harness::{Gateway, RecordingUpstream, Scene, TestIdp};
use crate::operation::{json_lines, logs_in};

/// What comes as the groups claim; the status at a page for admins; the groups that the application receives.
type Case = (Value, u16, Option<&'static str>);

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_configured_as_a_group_is_one() {
    // AT-TP-18
    let cases: [(&str, &[Case]); 4] = [
        (
            "",
            &[
                (json!(["staff", "admins"]), 200, Some("staff,admins")),
                (json!("admins"), 200, Some("admins")),
                (json!("Former admins"), 403, Some("Former admins")),
                (json!("staff admins"), 403, Some("staff admins")),
                (json!("CN=Wiki,OU=admins"), 403, Some("CN=Wiki%2COU=admins")),
                (json!({"admins": false}), 403, None),
                (json!({"admins": true}), 403, None),
                (json!([["admins"]]), 403, None),
                (json!([{"name": "admins"}, "staff"]), 403, Some("staff")),
                (json!(["Admins", " admins", "аdmins"]), 403, None),
            ],
        ),
        (
            "groups_separator = ';'",
            &[
                (json!("staff;admins"), 200, Some("staff,admins")),
                (json!("staff,admins"), 403, None),
                (json!(["x;admins"]), 403, None),
            ],
        ),
        (
            "groups_shape = 'keys'",
            &[
                (json!({"admins": {"1": "corp"}}), 200, Some("admins")),
                (json!({"admins": false, "staff": null}), 403, None),
            ],
        ),
        (
            "groups_member = 'name'",
            &[
                (json!([{"id": 1, "name": "admins"}]), 200, Some("admins")),
                (json!([{"id": 1, "slug": "admins"}, {"name": false}, {"admins": true}]), 403, None),
            ],
        ),
    ];
    for (keys, cases) in cases {
        let toml =
            format!("[provider.idp.claims]\n{keys}\n[route.app.paths]\n'/adm' = {{ allow.groups = ['admins'] }}");
        // The same wherever the claim comes from: ID token, userinfo of a plain server, introspection.
        let openid = Scene::with(&toml).await;
        let plain =
            Scene::at(TestIdp::plain_oauth2().await, &format!("[provider.idp]\nscopes = ['profile']\n{toml}")).await;
        for scene in [&openid, &plain] {
            for (claim, status, told) in cases {
                scene.idp.configure(|settings| drop(settings.people[0].claims.insert("groups".into(), claim.clone())));
                let browser = scene.signs_in().await;
                let seen = scene.upstream.last_request();
                if told.is_some() {
                    assert_eq!(seen.header("x-forwarded-groups"), *told, "{keys} {claim}");
                }
                scene.upstream.forget_seen();
                let page = browser.asks(&scene.gateway.url("/adm")).await;
                assert_eq!(page.status, *status, "{keys} {claim}");
                assert_eq!(scene.upstream.seen().len(), usize::from(*status == 200), "{keys} {claim}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_of_the_groups_is_in_the_log_at_each_sign_in() {
    listen();
    let scene = Scene::with("[provider.idp]\nclaims.groups = 'left_out_roles'").await;
    let said = || lines_with(&["WARN", "groups_left_out", "left_out_roles"]);
    let sign_in_with = async |claim: Value| {
        scene.idp.configure(|settings| drop(settings.people[0].claims.insert("left_out_roles".into(), claim)));
        scene.signs_in().await
    };
    for fine in [json!(["staff"]), json!("staff"), json!([]), json!(null)] {
        sign_in_with(fine).await;
    }
    assert!(said().is_empty(), "{:?}", said());
    for (number, claim) in [
        json!([{"id": 1, "name": "Xavier"}]),
        json!({"Xavier": true}),
        json!([["Xavier"]]),
        json!([null, 1.5]),
        json!(true),
        json!([""]),
    ]
    .into_iter()
    .enumerate()
    {
        sign_in_with(claim).await;
        assert_eq!(said().len(), number + 1, "{:?}", said());
    }
    // Names of people's groups are not for the log; the names of keys that help are.
    assert!(said()[0].contains("groups_member") && !said().concat().contains("Xavier"), "{:?}", said());
    // A refresh says it again only when something else came.
    let browser = sign_in_with(json!([{"id": 1}])).await;
    let before = said().len();
    scene.gateway.clock.advance(Duration::from_secs(58));
    assert_eq!(browser.asks(&scene.gateway.url("/")).await.status, 200);
    assert_eq!((scene.idp.token_requests("refresh_token").len(), said().len()), (1, before));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_decides_and_does_not_come_is_said_once_with_those_that_came() {
    listen();
    for (sought, comes, hint) in [
        ("once_missing", json!({}), None),
        ("/once_access/rolez", json!({"once_access": {"roles": ["x"]}}), Some("/once_access/roles")),
        ("once_dotted.roles", json!({"once_dotted": {"roles": ["x"]}}), Some("/once_dotted/roles")),
        ("once_null", json!({"once_null": null}), None),
    ] {
        let scene =
            Scene::with(&format!("[provider.idp]\nclaims.groups = '{sought}'\n[route.app]\nallow.groups = ['x']"))
                .await;
        let claims = comes.as_object().unwrap().clone();
        scene.idp.configure(|settings| settings.people[0].claims.extend(claims));
        for _ in 0..2 {
            let page = scene.gateway.browser().signs_in(&scene.gateway.url("/"), "Ada").await;
            assert_eq!(page.status, 403, "{}", page.text());
        }
        assert!(scene.upstream.seen().is_empty());
        let said = lines_with(&["WARN", "claim_missing", &format!("\"{sought}\"")]);
        let [line] = said.as_slice() else { panic!("{sought}: {said:?}") };
        for word in ["allow.groups", "preferred_username", "email_verified"].into_iter().chain(hint) {
            assert!(line.contains(word), "{word} is not in {line}");
        }
        assert_eq!(line.contains("did you mean"), hint.is_some(), "{line}");
        // Values are the person's.
        assert!(!line.contains("ada@example.com"), "{line}");
    }
    // Groups that came, though not the right ones, are nothing to warn of; nor is a claim that only a header wants.
    let scene = Scene::with(
        "[provider.idp]\nclaims.groups = 'once_there'\n[route.app]\nallow.groups = ['x']\nidentity = { headers = { X-A = 'claim:once_header' } }",
    )
    .await;
    scene.idp.configure(|settings| drop(settings.people[0].claims.insert("once_there".into(), json!(["y"]))));
    scene.gateway.browser().signs_in(&scene.gateway.url("/"), "Ada").await;
    assert!(lines_with(&["WARN", "once_there"]).is_empty() && lines_with(&["WARN", "once_header"]).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_came_and_names_nobody_is_said_once() {
    listen();
    let toml = "[provider.idp.claims]\nemail = 'odd_emails'\nuser = 'odd_user'\n[route.app]\nallow.emails = ['ada@example.com']";
    let scene = Scene::with(toml).await;
    scene.idp.configure(|settings| {
        let odd = json!({"odd_emails": ["ada@example.com"], "odd_user": {"name": "ada"}});
        settings.people[0].claims.extend(odd.as_object().unwrap().clone());
    });
    for _ in 0..2 {
        assert_eq!(scene.gateway.browser().signs_in(&scene.gateway.url("/"), "Ada").await.status, 403);
    }
    assert!(scene.upstream.seen().is_empty());
    for claim in ["odd_emails", "odd_user"] {
        assert_eq!(lines_with(&["WARN", "claim_unusable", &format!("\"{claim}\"")]).len(), 1, "{claim}");
    }
    // The same for the claim without which nobody signs in.
    let scene = Scene::with("[provider.idp]\nclaims.subject = 'identity.number'").await;
    scene.idp.configure(|settings| drop(settings.people[0].claims.insert("identity".into(), json!({"number": 7}))));
    assert_eq!(scene.gateway.browser().signs_in(&scene.gateway.url("/"), "Ada").await.status, 502);
    let said = lines_with(&[
        "WARN",
        "subject_missing",
        "identity.number",
        "did you mean \"/identity/number\"",
        "preferred_username",
    ]);
    assert_eq!(said.len(), 1, "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_names_somebody_else_ends_the_session() {
    // RF-08: by the raw subject, and by the claim that is mapped.
    let scene = Scene::with("[provider.idp]\nclaims.subject = 'employee'").await;
    for (next, status) in [(json!(7), 200), (json!("7"), 200), (json!(8), 302), (json!(null), 302)] {
        scene.idp.configure(|settings| drop(settings.people[0].claims.insert("employee".into(), 7.into())));
        let browser = scene.signs_in().await;
        scene.idp.configure(|settings| drop(settings.people[0].claims.insert("employee".into(), next.clone())));
        scene.idp.forget_seen();
        scene.upstream.forget_seen();
        scene.gateway.clock.advance(Duration::from_secs(58));
        assert_eq!(browser.asks(&scene.gateway.url("/")).await.status, status, "{next}");
        assert_eq!(scene.idp.token_requests("refresh_token").len(), 1, "{next}");
        assert_eq!(scene.upstream.seen().len(), usize::from(status == 200), "{next}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_star_lets_in_the_subdomains_of_a_domain_and_nobody_else() {
    // AT-TP-18, UI-06
    let below = "[route.app]\nallow.domains = ['*.Example.com']";
    let both =
        "[route.app]\nallow.domains = ['example.com', '*.example.com', '*.xn--bcher-kva.example', 'bücher.example']";
    for (toml, address, status) in [
        (below, "ada@dev.example.com", 200),
        (below, "ada@a.b.EXAMPLE.com", 200),
        (below, "ada@example.com", 403),
        (below, "ada@evilexample.com", 403),
        (below, "ada@dev.example.com.evil.org", 403),
        (below, "ada@dev.example.com.", 403),
        (below, "ada@.example.com", 403),
        (below, "ada@dev..example.com", 403),
        (below, "ada@*.example.com@evil.org", 403),
        (below, "dev.example.com", 403),
        (both, "ada@example.com", 200),
        (both, "ada@dev.example.com", 200),
        (both, "ada@shop.xn--bcher-kva.example", 200),
        (both, "ada@bücher.example", 200),
        (both, "ada@xn--bcher-kva.example", 403),
        (both, "ada@shop.bücher.example", 403),
    ] {
        let scene = Scene::with(toml).await;
        scene.idp.configure(|settings| drop(settings.people[0].claims.insert("email".into(), address.into())));
        let page = scene.gateway.browser().signs_in(&scene.gateway.url("/"), "Ada").await;
        assert_eq!((page.status, scene.upstream.seen().len()), (status, usize::from(status == 200)), "{address}");
        let reason = "email_domain_not_allowed";
        assert_eq!(page.names(reason), status == 403, "{address}: {}", page.text());
        scene.idp.configure(|settings| drop(settings.people[0].claims.insert("email_verified".into(), json!(false))));
        assert_eq!(scene.gateway.browser().signs_in(&scene.gateway.url("/"), "Ada").await.status, 403, "{address}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unverified_address_has_a_reason_of_its_own() {
    // UI-06
    let folder = TempDir::new().unwrap();
    let rules = "[route.app]\nallow.domains = ['example.com']\n";
    let Scene { idp, upstream, gateway, .. } =
        Scene::built(|gateway| gateway.with(rules).with(&logs_in(folder.path()))).await;
    for verified in [json!(false), json!("false"), json!(0)] {
        idp.configure(|settings| drop(settings.people[0].claims.insert("email_verified".into(), verified)));
        let page = gateway.browser().signs_in(&gateway.url("/"), "Ada").await;
        assert_eq!(page.status, 403);
        assert!(page.text().contains("verified") && !page.text().contains("in example.com"), "{}", page.text());
    }
    idp.configure(|settings| drop(settings.people[0].claims.insert("email".into(), "ada@other.example".into())));
    let page = gateway.browser().signs_in(&gateway.url("/"), "Ada").await;
    assert!(page.status == 403 && page.text().contains("in example.com"), "{}", page.text());
    assert!(upstream.seen().is_empty());
    gateway.stop().await;
    let mut reasons: Vec<String> = json_lines(&folder.path().join("audit"))
        .into_iter()
        .filter(|line| line["event"] == "access.denied")
        .map(|line| line["reason"].as_str().unwrap().to_owned())
        .collect();
    reasons.sort();
    assert_eq!(reasons, ["email_domain_not_allowed", "email_unverified", "email_unverified", "email_unverified"]);

    // Where administrators alone write addresses, the operator may say so.
    let scene = Scene::with(&format!("[provider.idp]\ninsecure_unverified_email = true\n{rules}")).await;
    scene.idp.configure(|settings| drop(settings.people[0].claims.insert("email_verified".into(), false.into())));
    scene.signs_in().await;
    assert_eq!(scene.upstream.only_request().header("x-forwarded-email"), Some("ada@example.com"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_about_a_session_names_the_subject_that_is_mapped() {
    let folder = TempDir::new().unwrap();
    let idp = TestIdp::start().await;
    idp.configure(|settings| drop(settings.people[0].claims.insert("id".into(), 4711.into())));
    let upstream = RecordingUpstream::start().await;
    let gateway = Gateway::in_front_of(&upstream)
        .signing_in_at(&idp)
        .with("[provider.idp]\nclaims.subject = 'id'\n[route.app.paths]\n'/adm' = { allow.users = ['x'] }\n'/own' = { allow.subjects = ['4711'] }")
        .with(&logs_in(folder.path()))
        .start()
        .await;
    let browser = gateway.browser();
    browser.signs_in(&gateway.url("/"), "Ada").await;
    assert_eq!(browser.asks(&gateway.url("/adm")).await.status, 403);
    assert_eq!(browser.asks(&gateway.url("/own")).await.status, 200);
    gateway.clock.advance(Duration::from_secs(58));
    assert_eq!(browser.asks(&gateway.url("/")).await.status, 200);
    idp.break_with(|faults| faults.refresh.break_with(crate::harness::idp::Breakage::Status(503)));
    gateway.clock.advance(Duration::from_secs(58));
    assert_eq!(browser.asks(&gateway.url("/")).await.status, 200);
    gateway.clock.advance(Duration::from_secs(60 * 60 * 24));
    browser.asks(&gateway.url("/")).await;
    idp.heal();
    let browser = gateway.browser();
    browser.signs_in(&gateway.url("/"), "Ada").await;
    let page = browser.opens(&gateway.own("logout")).await;
    let form = page.form("logout");
    browser.does(crate::harness::browser::Ask::form(&form.action, &form.fields).from(&page.url)).await;
    gateway.stop().await;

    let lines = json_lines(&folder.path().join("audit"));
    let about: Vec<&Value> = lines.iter().filter(|line| !line["subject"].is_null()).collect();
    for event in [
        "access.denied",
        "login.succeeded",
        "logout.user",
        "session.expired",
        "session.refresh_failed",
        "session.refreshed",
    ] {
        let line =
            about.iter().find(|line| line["event"] == event).unwrap_or_else(|| panic!("no {event} in {lines:#?}"));
        assert_eq!(line["subject"], "4711", "{line}");
    }
    assert!(about.iter().all(|line| line["subject"] == "4711"), "{about:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_nothing_reads_are_not_in_the_session() {
    let roles = || (0..300).map(|_| Value::from(noise(16))).collect::<Value>();
    let size = async |scene: &Scene| {
        let browser = scene.signs_in().await;
        assert_eq!(scene.upstream.last_request().header("x-forwarded-groups"), Some("staff,admins"));
        browser.cookies().iter().map(|cookie| cookie.name.len() + cookie.value.len()).sum::<usize>()
    };
    // Wherever they come from: the ID token, userinfo, introspection.
    for (idp, toml) in [
        (TestIdp::start().await, ""),
        (TestIdp::start().await, "[provider.idp]\nuserinfo = 'always'"),
        (TestIdp::plain_oauth2().await, "[provider.idp]\nscopes = ['profile']"),
    ] {
        let scene = Scene::at(idp, toml).await;
        let small = size(&scene).await;
        scene.idp.configure(|settings| {
            settings.people[0].claims.insert("realm_access".into(), json!({ "roles": roles() }));
            settings.people[0].claims.insert("picture".into(), noise(3000).into());
        });
        let large = size(&scene).await;
        assert!(large < small + 100, "{large} in place of {small}: {toml}");
    }
    // What a rule reads is kept, and only that; after a refresh too.
    let scene = Scene::with("[route.app]\nallow.claims = { '/realm_access/level' = [3] }").await;
    scene.idp.configure(|settings| {
        settings.people[0].claims.insert("realm_access".into(), json!({ "level": 3, "roles": roles() }));
    });
    let browser = scene.signs_in().await;
    scene.gateway.clock.advance(Duration::from_secs(58));
    assert_eq!(browser.asks(&scene.gateway.url("/")).await.status, 200);
    let bytes: usize = browser.cookies().iter().map(|cookie| cookie.value.len()).sum();
    assert!(bytes < 2000, "{bytes}");
    assert_eq!(scene.idp.token_requests("refresh_token").len(), 1);
    assert!(scene.idp.seen_at(paths::USERINFO).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_that_front_proxies_may_not_take_are_warned_of_once() {
    listen();
    let said = || lines_with(&["WARN", "large_set_cookie"]);
    let scene = Scene::start().await;
    scene.signs_in().await;
    let before = said().len();
    scene.idp.configure(|settings| {
        let groups: Value = (0..300).map(|_| Value::from(noise(16))).collect();
        settings.people[0].claims.insert("groups".into(), groups);
    });
    scene.signs_in().await;
    scene.signs_in().await;
    let said = said();
    // Another story in this program may have large sessions of its own.
    assert!(said.len() > before, "{said:?}");
    assert!(said.last().unwrap().contains("proxy_buffer_size"), "{said:?}");
}
