//! Who somebody is, asked again where no refresh token renews the session (`userinfo_every`): groups follow, a refusal ends the
//! session, an outage does not, and one question is asked for all requests of a session.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::idp::{Breakage, Faults, Gate, IdpSettings, Person, paths};
use crate::harness::scene::ADA;
use crate::harness::{Browser, Scene, TestIdp};

/// The interval, in seconds.
const EVERY: u64 = 900;

/// Where a provider says who somebody is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    Userinfo,
    Introspection,
    /// Userinfo of OpenID Connect, beside an ID token with nothing but `sub`.
    OpenId,
}

impl Source {
    const ALL: [Self; 3] = [Self::Userinfo, Self::Introspection, Self::OpenId];

    fn path(self) -> &'static str {
        if self == Self::Introspection { paths::INTROSPECT } else { paths::USERINFO }
    }
}

/// Ada signed in at a provider that gives no refresh token and tokens for two hours.
async fn scene(source: Source, toml: &str) -> Scene {
    let settings = match source {
        Source::OpenId => IdpSettings { thin_id_tokens: true, ..IdpSettings::default() },
        Source::Userinfo | Source::Introspection => IdpSettings::plain_oauth2(),
    };
    let idp = TestIdp::with(IdpSettings { access_life: Some(Duration::from_secs(7200)), ..settings }).await;
    idp.break_with(|faults| {
        faults.token.members.remove("refresh_token");
    });
    let introspection = format!("[provider.idp]\nintrospection_endpoint = '{}'", idp.url(paths::INTROSPECT));
    let scene = Scene::signed_in_at(idp, |gateway| {
        let gateway = match source {
            Source::Introspection => gateway.without("provider.idp.userinfo_endpoint").with(&introspection),
            Source::Userinfo | Source::OpenId => gateway,
        };
        gateway.with(&format!("[provider.idp]\nuserinfo_every = '{EVERY}s'\nscopes = ['profile', 'email']")).with(toml)
    })
    .await;
    scene.idp.heal();
    scene
}

/// Ada has these groups from now on.
fn regroup(scene: &Scene, groups: &[&str]) {
    scene.idp.configure(|settings| settings.people[0] = Person::new(ADA, "Ada Lovelace", "ada", groups));
}

fn questions(scene: &Scene, source: Source) -> usize {
    scene.idp.seen_at(source.path()).len()
}

fn groups(scene: &Scene) -> String {
    scene.upstream.last_request().header("x-forwarded-groups").unwrap_or_default().to_owned()
}

async fn status(scene: &Scene, browser: &Browser) -> u16 {
    browser.asks(&scene.gateway.url("/")).await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_follow_when_the_interval_is_over_and_not_before() {
    for source in Source::ALL {
        let admins = "[route.app.paths]\n'/admin' = { allow.groups = ['admins'] }";
        let scene = scene(source, admins).await;
        let old = scene.browser.copied();
        assert_eq!(scene.asks("/admin").await.status, 200);
        regroup(&scene, &["staff", "auditors"]);
        scene.later(EVERY - 1);
        assert_eq!(scene.asks("/admin").await.status, 200);
        assert_eq!((groups(&scene), questions(&scene, source)), ("staff,admins".to_owned(), 0), "{source:?}");
        scene.later(1);
        scene.upstream.forget_seen();
        // The very request that meets the end of the interval is judged by the answer.
        let denied = scene.asks("/admin").await;
        assert_eq!((denied.status, scene.upstream.seen().len()), (403, 0), "{source:?}");
        assert!(denied.header("set-cookie").is_some(), "the cookie carries what was said");
        for browser in [&scene.browser, &old] {
            assert_eq!(status(&scene, browser).await, 200);
            assert_eq!(groups(&scene), "staff,auditors", "{source:?}");
        }
        assert_eq!(questions(&scene, source), 1, "{source:?}");
        regroup(&scene, &["admins"]);
        scene.later(EVERY);
        assert_eq!((scene.asks("/admin").await.status, questions(&scene, source)), (200, 2), "{source:?}");
        assert!(scene.idp.token_requests("refresh_token").is_empty());
        // The end of the access token stays the end.
        scene.later(7200 - 2 * EVERY);
        assert_eq!((scene.asks("/").await.status, questions(&scene, source)), (302, 2), "{source:?}");
    }
}

/// The reason that is audited, and what the provider does.
type Refusal = (&'static str, fn(&mut Faults));

/// What ends a session, at userinfo.
fn refusals() -> Vec<Refusal> {
    fn answer(status: u16, body: &str) -> Breakage {
        Breakage::Answer { status, content_type: "application/json".into(), body: body.into() }
    }
    vec![
        ("userinfo_unauthorized", |faults| faults.userinfo.break_with(Breakage::Status(401))),
        ("userinfo_unauthorized", |faults| faults.userinfo.break_with(Breakage::Status(403))),
        ("userinfo_unauthorized", |faults| {
            faults.userinfo.break_with(answer(200, r#"{"error":"invalid_token"}"#));
        }),
        ("another", |faults| _ = faults.userinfo.members.set("sub", "248289761002")),
        ("another", |faults| _ = faults.userinfo.members.set("sub", json!([ADA]))),
        ("another", |faults| _ = faults.userinfo.members.set("sub", "")),
        ("another", |faults| _ = faults.userinfo.members.remove("sub")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_and_another_person_end_the_session() {
    // UI-01, UI-05, AT-TP-17
    let introspection: Vec<Refusal> = vec![
        ("token_inactive", |faults| _ = faults.introspection.members.set("active", false)),
        ("token_expired", |faults| _ = faults.introspection.members.set("exp", 1)),
        ("token_client", |faults| _ = faults.introspection.members.set("client_id", "another")),
        ("another", |faults| _ = faults.introspection.members.set("sub", "248289761002")),
    ];
    for source in Source::ALL {
        let faults = if source == Source::Introspection { introspection.clone() } else { refusals() };
        for (number, (reason, fault)) in faults.into_iter().enumerate() {
            let told = format!("{source:?} {number} {reason}");
            let folder = tempfile::tempdir().unwrap();
            let audit = folder.path().join("audit");
            let scene = scene(source, &format!("[log]\naudit = '{}'", audit.display())).await;
            let copy = scene.browser.copied();
            scene.idp.break_with(fault);
            scene.later(EVERY);
            scene.upstream.forget_seen();
            assert_eq!(scene.fetches("/").await.status, 401, "{told}");
            scene.idp.heal();
            for browser in [&scene.browser, &copy] {
                let page = browser.asks(&scene.gateway.url("/")).await;
                assert_eq!(page.status, 302, "{told}");
                assert!(page.location().as_str().starts_with(scene.idp.issuer()), "{told}");
            }
            assert_eq!((questions(&scene, source), scene.upstream.seen().len()), (1, 0), "{told}");
            scene.gateway.stop().await;
            let audited = std::fs::read_to_string(audit).unwrap();
            let reason = match (reason, source) {
                ("another", Source::OpenId) => "userinfo_subject",
                ("another", _) => "subject_changed",
                (reason, _) => reason,
            };
            let line = audited.lines().find(|line| line.contains("session.refresh_failed")).unwrap();
            assert!(line.contains(&format!("\"reason\":\"{reason}\"")) && line.contains(ADA), "{told}: {line}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_the_same_by_sub_and_by_the_claim_that_names_people() {
    // AT-TP-17: either may become another's while the other stays
    for (name, value) in [("sub", json!("248289761002")), ("email", json!("grace@example.com"))] {
        let scene = scene(Source::Userinfo, "[provider.idp.claims]\nsubject = 'email'").await;
        scene.later(EVERY);
        assert_eq!(scene.asks("/").await.status, 200, "the control");
        scene.idp.break_with(|faults| _ = faults.userinfo.members.set(name, value));
        scene.later(EVERY);
        scene.upstream.forget_seen();
        assert_eq!((scene.asks("/").await.status, scene.upstream.seen().len()), (302, 0), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_and_an_answer_that_says_nothing_end_nothing() {
    // RF-04
    let answer = |status, content_type: &str, body: &str| Breakage::Answer {
        status,
        content_type: content_type.to_owned(),
        body: body.to_owned(),
    };
    for breakage in [
        Breakage::Status(500),
        Breakage::Status(503),
        Breakage::Status(429),
        Breakage::Status(404),
        Breakage::Status(302),
        Breakage::Reset,
        Breakage::Hang,
        Breakage::Html,
        Breakage::Truncated,
        answer(200, "application/json", "[]"),
        answer(200, "application/json", "{"),
        answer(200, "text/plain", "{}"),
    ] {
        for source in [Source::Userinfo, Source::Introspection] {
            let told = format!("{source:?} {breakage:?}");
            let scene = scene(source, "[provider.idp]\ntimeout = '200ms'").await;
            scene.idp.break_with(|faults| {
                faults.userinfo.break_with(breakage.clone());
                faults.introspection.break_with(breakage.clone());
            });
            regroup(&scene, &["auditors"]);
            scene.later(EVERY);
            // Asked once, and not by each request; then after a minute.
            for (after, asked) in [(0, 1), (0, 1), (59, 1), (1, 2), (0, 2)] {
                scene.later(after);
                assert_eq!(scene.asks("/").await.status, 200, "{told}");
                assert_eq!((groups(&scene), questions(&scene, source)), ("staff,admins".to_owned(), asked), "{told}");
            }
            scene.idp.heal();
            scene.later(60);
            assert_eq!((scene.asks("/").await.status, groups(&scene)), (200, "auditors".to_owned()), "{told}");
            assert!(scene.idp.seen_at(paths::AUTHORIZE).is_empty(), "{told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limit_is_no_refusal() {
    for (name, value) in [("retry-after", "7"), ("x-ratelimit-remaining", "0")] {
        let scene = scene(Source::Userinfo, "").await;
        scene.idp.break_with(|faults| {
            faults.userinfo.break_with(Breakage::Status(403));
            faults.userinfo.headers.push((name.to_owned(), value.to_owned()));
        });
        scene.later(EVERY);
        assert_eq!((scene.asks("/").await.status, questions(&scene, Source::Userinfo)), (200, 1), "{name}");
        scene.idp.break_with(|faults| faults.userinfo.headers.clear());
        scene.later(60);
        assert_eq!((scene.asks("/").await.status, questions(&scene, Source::Userinfo)), (302, 2), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_requests_wait_for_one_question() {
    for (refused, expected) in [(false, 200), (true, 302)] {
        let scene = scene(Source::Userinfo, "").await;
        let gate = Gate::new();
        regroup(&scene, &["auditors"]);
        if refused {
            scene.idp.revoke_everything();
        }
        scene.idp.break_with(|faults| faults.userinfo.break_with(Breakage::Hold(gate.clone())));
        scene.later(EVERY);
        scene.upstream.forget_seen();
        let url = scene.gateway.url("/");
        let tabs: Vec<Browser> = (0..200).map(|_| scene.browser.copied()).collect();
        let asking = join_all(tabs.iter().map(|tab| tab.asks(&url)));
        let opening = async {
            scene.idp.wait_for(paths::USERINFO, 1).await;
            assert!(scene.upstream.seen().is_empty(), "nobody passes before it is known who they are");
            gate.open();
        };
        let (pages, ()) = tokio::join!(asking, opening);
        assert!(pages.iter().all(|page| page.status == expected), "{refused}");
        assert_eq!(questions(&scene, Source::Userinfo), 1, "{refused}");
        let seen = scene.upstream.seen();
        assert_eq!(seen.len(), if refused { 0 } else { 200 });
        assert!(seen.iter().all(|seen| seen.header("x-forwarded-groups") == Some("auditors")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_cookie_asks_no_question_of_its_own() {
    let scene = scene(Source::Userinfo, "[session]\nidle_timeout = '3h'").await;
    // A program that goes on with the cookie of its first day, beside a browser that takes each new one.
    let program = scene.browser.copied().refusing_cookies();
    for asked in 1..=4 {
        scene.later(EVERY);
        // Whoever comes first, and long after the other has shown a newer cookie.
        let order = if asked % 2 == 0 { [&program, &scene.browser] } else { [&scene.browser, &program] };
        for browser in order {
            for _ in 0..3 {
                assert_eq!(status(&scene, browser).await, 200);
                scene.later(31);
            }
        }
        assert_eq!(questions(&scene, Source::Userinfo), asked);
    }
    scene.idp.revoke_everything();
    scene.later(EVERY);
    assert_eq!((status(&scene, &program).await, status(&scene, &scene.browser).await), (302, 302));
    assert_eq!(questions(&scene, Source::Userinfo), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_session_does_not_fall_idle_while_nobody_can_be_asked() {
    let scene = scene(Source::Userinfo, "[session]\nidle_timeout = '10m'").await;
    scene.idp.break_with(|faults| faults.userinfo.break_with(Breakage::Status(503)));
    for _ in 0..12 {
        scene.later(300);
        assert_eq!(scene.asks("/").await.status, 200);
    }
    scene.later(601);
    assert_eq!(scene.asks("/").await.status, 302, "the control: nobody used it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_interval_is_also_the_time_between_two_tries() {
    let scene = scene(Source::Userinfo, "[provider.idp]\nuserinfo_every = '5s'").await;
    scene.idp.break_with(|faults| faults.userinfo.break_with(Breakage::Status(503)));
    for asked in 1..=20 {
        for _ in 0..5 {
            assert_eq!((scene.asks("/").await.status, questions(&scene, Source::Userinfo)), (200, asked - 1));
            scene.later(1);
        }
        assert_eq!((scene.asks("/").await.status, questions(&scene, Source::Userinfo)), (200, asked));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_without_a_token_to_ask_with_ends_with_the_interval() {
    let keep = "[session]\nkeep = ['refresh', 'id']";
    let scene = scene(Source::OpenId, keep).await;
    scene.later(EVERY - 1);
    assert_eq!(scene.asks("/").await.status, 200);
    scene.later(1);
    scene.upstream.forget_seen();
    assert_eq!((scene.fetches("/").await.status, scene.asks("/").await.status), (401, 302));
    assert_eq!((questions(&scene, Source::OpenId), scene.upstream.seen().len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interval_that_a_reload_brings_or_shortens_counts_for_sessions_of_before() {
    let mut scene = scene(Source::Userinfo, "").await;
    scene.gateway.reload_without("provider.idp.userinfo_every");
    scene.later(2 * EVERY);
    assert_eq!((scene.asks("/").await.status, questions(&scene, Source::Userinfo)), (200, 0));
    scene.gateway.reload_with(&format!("[provider.idp]\nuserinfo_every = '{EVERY}s'"));
    for _ in 0..2 {
        assert_eq!((scene.asks("/").await.status, questions(&scene, Source::Userinfo)), (200, 1));
    }
    scene.gateway.reload_with("[provider.idp]\nuserinfo_every = '60s'");
    scene.later(60);
    assert_eq!((scene.asks("/").await.status, questions(&scene, Source::Userinfo)), (200, 2));
    scene.later(59);
    assert_eq!((scene.asks("/").await.status, questions(&scene, Source::Userinfo)), (200, 2));
}
