//! Basic credentials towards applications that know nothing else: whose they are, and who gets none.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::frames::{Fate, get};
use crate::harness::idp::{IdpSettings, Person};
use crate::harness::{Frames, Scene};

/// One user for everybody, each under their own name, and the kinds of routes on which nobody need be signed in.
const ROUTES: &str = r#"
[route.app.identity]
authorization = { basic = { user = "svc", password = "wörld:2" } }
[route.app.paths]
"/mine" = { identity = { authorization = { basic = { user = "claim:preferred_username", password = "pw" } } } }
"/mail" = { identity = { set = "none", authorization = { basic = { user = "email", password = "pw" } } } }
"/literal" = { identity = { authorization = { basic = { user = "text:email", password = "pw" } } } }
"/optional" = { access = "optional" }
"/optional/mine" = { access = "optional", identity = { authorization = { basic = { user = "claim:preferred_username", password = "pw" } } } }
"/public" = { access = "public" }
"/here" = { no_login_from = ["127.0.0.0/8"] }
"/here/mine" = { no_login_from = ["127.0.0.0/8"], identity = { authorization = { basic = { user = "claim:preferred_username", password = "pw" } } } }
"/kept" = { identity = "default" }
"#;

/// What a browser that knows a password of the application sends.
const OWN: &str = "Authorization: Basic YWRtaW46aHVudGVyMg==\r\n";

fn named(name: Option<Value>) -> Person {
    let mut person = Person::new("1", "Ada Lovelace", "ada", &["staff"]);
    person.claims.remove("preferred_username");
    if let Some(name) = name {
        person.claims.insert("preferred_username".to_owned(), name);
    }
    person
}

async fn scene(name: Option<Value>, toml: &str) -> (Scene, String) {
    let settings = IdpSettings { people: vec![named(name)], ..IdpSettings::default() };
    let scene = Scene::set_up(settings, &format!("{ROUTES}{toml}")).await;
    let session = scene.session_of("Ada").await;
    (scene, session)
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_gets_the_credentials_of_its_route_and_never_the_browsers_own() {
    // FW-01, AT-HS-10
    let (scene, session) = scene(Some(json!("ada")), "").await;
    let (svc, mine) = (basic("svc", "wörld:2"), basic("ada", "pw"));
    for (path, session, sent) in [
        ("/", &*session, Some(&*svc)),
        ("/mine", &session, Some(&*mine)),
        ("/mail", &session, Some(&*basic("ada@example.com", "pw"))),
        ("/literal", &session, Some(&*basic("email", "pw"))),
        ("/optional", &session, Some(&svc)),
        ("/optional", "", None),
        ("/optional/mine", "", None),
        ("/public", &session, None),
        ("/public", "", None),
        ("/here", &session, Some(&svc)),
        ("/here", "", None),
        ("/here/mine", "", None),
        ("/kept", &session, Some(OWN.trim_end().strip_prefix("Authorization: ").unwrap())),
    ] {
        for own in ["", OWN, "Authorization: Bearer x\r\nAuthorization: Basic eDp5\r\n"] {
            if path == "/kept" && own != OWN {
                continue;
            }
            scene.upstream.forget_seen();
            assert_eq!(scene.sends("GET", path, &format!("{own}{session}")).await.status, 200, "{path} {own}");
            let seen = scene.upstream.only_request();
            assert_eq!(seen.all("authorization"), Vec::from_iter(sent), "{path} {own}: {}", seen.head);
        }
    }
    assert_eq!(scene.sends("GET", "/", OWN).await.status, 401);
    assert!(scene.idp.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_cannot_be_sent_is_denied_wherever_it_would_be() {
    // AT-HS-11
    let folder = tempfile::tempdir().unwrap();
    for (at, (name, reason)) in [
        (json!("al:ice"), "user_name_colon"),
        (json!("alice:"), "user_name_colon"),
        (json!("al\r\nX-Evil: ice"), "user_name_colon"),
        (json!("al\nice"), "user_name_unprintable"),
        (json!("al\u{0}ice"), "user_name_unprintable"),
        (json!(" alice"), "user_name_unprintable"),
        (json!(["alice", "bob"]), "user_name_no_text"),
        (json!({ "a": 1 }), "user_name_no_text"),
        (json!("x".repeat(9000)), "user_name_too_long"),
    ]
    .into_iter()
    .enumerate()
    {
        let log = folder.path().join(format!("{at}.log"));
        let toml = format!("[log]\naudit = '{}'", log.display());
        // A name that fits into no session would be another matter.
        let (scene, session) = scene(Some(name.clone()), &toml).await;
        for path in ["/mine", "/optional/mine", "/here/mine"] {
            for (own, kind) in [("", "text/html"), (OWN, "application/json")] {
                let fields = format!("Accept: {kind}\r\nSec-Fetch-Mode: navigate\r\n{own}{session}");
                let answer = scene.sends("GET", path, &fields).await;
                assert_eq!(answer.status, 403, "{path} {name}");
                assert!(answer.text().contains(reason) || answer.text().contains("VB-4035"), "{}", answer.text());
                scene.assert_nobody_was_asked(path);
            }
        }
        // The other credentials have nothing to do with that name.
        assert_eq!(scene.sends("GET", "/", &session).await.status, 200);
        assert_eq!(scene.upstream.only_request().all("authorization"), [basic("svc", "wörld:2")]);
        scene.gateway.stop().await;
        let log = fs::read_to_string(log).unwrap();
        let denied: Vec<&str> = log.lines().filter(|line| line.contains("access.denied")).collect();
        assert!(denied.len() == 6 && denied.iter().all(|line| line.contains(reason)), "{reason}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_without_a_name_gets_no_credentials_and_text_of_any_language_is_utf_8() {
    // UI-07, AT-HS-10
    for (name, user) in [
        (None, None),
        (Some(json!("")), None),
        (Some(json!(null)), None),
        (Some(json!("Jürgen Ω")), Some("Jürgen Ω")),
        (Some(json!("CORP\\ada")), Some("CORP\\ada")),
        (Some(json!(4711)), Some("4711")),
    ] {
        let (scene, session) = scene(name.clone(), "").await;
        assert_eq!(scene.sends("GET", "/mine", &format!("{OWN}{session}")).await.status, 200, "{name:?}");
        let expected: Vec<String> = user.iter().map(|user| basic(user, "pw")).collect();
        assert_eq!(scene.upstream.only_request().all("authorization"), expected, "{name:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http2_and_for_websockets_it_is_the_same() {
    let (scene, session) = scene(Some(json!("ada")), "").await;
    let host = scene.gateway.authority().to_owned();
    let cookie = session.trim_end().strip_prefix("Cookie: ").unwrap();
    let mut fields = get(&host, "/mine").to_vec();
    fields.extend([("cookie", cookie), ("authorization", "Basic eDp5")]);
    let mut frames = Frames::connect(scene.gateway.address).await;
    frames.asks(&fields).await;
    assert_eq!(frames.fate(1).await, Fate::Answered(200));
    assert_eq!(scene.upstream.only_request().all("authorization"), [basic("ada", "pw")]);
    scene.upstream.forget_seen();
    scene.upstream.answers("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    let handshake = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    assert_eq!(scene.sends("GET", "/mine", &format!("{handshake}{OWN}{session}")).await.status, 101);
    assert_eq!(scene.upstream.only_request().all("authorization"), [basic("ada", "pw")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_password_counts_after_a_reload_for_those_who_are_signed_in() {
    let (mut scene, session) = scene(Some(json!("ada")), "").await;
    assert_eq!(scene.sends("GET", "/", &session).await.status, 200);
    scene.gateway.reload_with("[route.app.identity]\nauthorization = { basic = { user = 'svc', password = 'new' } }");
    scene.upstream.forget_seen();
    assert_eq!(scene.sends("GET", "/", &session).await.status, 200);
    assert_eq!(scene.upstream.only_request().all("authorization"), [basic("svc", "new")]);
    assert!(scene.idp.seen().is_empty());
}
