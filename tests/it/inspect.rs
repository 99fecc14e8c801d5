//! `token inspect` and `session inspect` by the real program: what they tell, what they keep back, and what they refuse.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use vestibule::clock::{ManualClock, SystemClock};

use crate::harness::gateway::key;
use crate::harness::idp::IdpSettings;
use crate::harness::program::clock_of_today;
use crate::harness::{Program, Scene, TestIdp};
use crate::program::config;

/// Ada, signed in today; the application gets her ID token.
async fn scene() -> Scene {
    let idp = TestIdp::sharing(IdpSettings::default(), clock_of_today()).await;
    let toml = "[route.app.identity.headers]\nX-Id-Token = 'id_token'\n";
    Scene::signed_in_at(idp, |gateway| gateway.with(toml)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_over_says_since_when() {
    let then = ManualClock::starting_at(SystemClock::shared().now().minus(Duration::from_secs(2 * 3600)));
    let idp = TestIdp::sharing(IdpSettings::default(), then).await;
    let scene = Scene::signed_in_at(idp, |gateway| gateway).await;
    let (exit, said, _) = fed(&scene.cookie(), &["session", "inspect"], &folder(&scene));
    for part in ["sealed_expired", "over unless used", "(1 h ago)", "no\n"] {
        assert!(exit == 0 && said.contains(part), "{part} is not in {said}");
    }
}

/// The configuration of its gateway, as a file.
fn folder(scene: &Scene) -> TempDir {
    let folder = TempDir::new().unwrap();
    let text = config(&scene.upstream.url())
        .replace("http://127.0.0.1:9", scene.idp.issuer())
        .replace("https://wiki.example.com", scene.gateway.origin());
    fs::write(folder.path().join("vestibule.toml"), text).unwrap();
    folder
}

async fn id_token(scene: &Scene) -> String {
    scene.asks("/").await;
    scene.upstream.last_request().header("x-id-token").unwrap().to_owned()
}

fn fed(input: &str, arguments: &[&str], folder: &TempDir) -> (i32, String, String) {
    tokio::task::block_in_place(|| Program::fed(input, arguments, folder))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_decoded_verified_and_told_without_its_person() {
    let scene = scene().await;
    let (folder, token) = (folder(&scene), id_token(&scene).await);
    let inspect = ["token", "inspect", "-c", "vestibule.toml"];
    let (exit, said, errors) = fed(&format!("Authorization: Bearer {token}\n"), &inspect, &folder);
    assert_eq!((exit, errors.as_str()), (0, ""), "{said}");
    for part in [
        "signed (JWS)",
        "alg ",
        "(expires in ",
        "(issued ",
        "verified",
        "yes, ES256",
        "as configured",
        "names this client",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    let signature = token.rsplit('.').next().unwrap();
    for secret in ["ada@", "Ada", signature] {
        assert!(!said.contains(secret), "{secret} is in {said}");
    }
    let (_, shown, _) = fed(&token, &[&inspect as &[&str], &["--show-claims"]].concat(), &folder);
    assert!(shown.contains("Ada") && !shown.contains(signature), "{shown}");
    let (_, json, _) = fed(&token, &[&inspect as &[&str], &["--format", "json"]].concat(), &folder);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["signature"]["verified"], &json["header"]["alg"]), (&Value::from(true), &Value::from("ES256")));
    assert!(json["claims"]["exp"].is_number() && json["claims"]["sub"].as_str().unwrap().contains("redacted"));

    // Nobody is asked offline, nor where no configuration is named.
    scene.forget_seen();
    let (exit, said, _) = fed(&token, &[&inspect as &[&str], &["--offline"]].concat(), &folder);
    assert!(exit == 0 && said.contains("no: --offline"), "{said}");
    let (exit, said, _) = fed(&token, &["token", "inspect"], &folder);
    assert!(exit == 0 && said.contains("name the configuration"), "{said}");
    scene.assert_nobody_was_asked("offline");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_of_somebody_else_is_said_and_an_outage_is_no_verdict() {
    let scene = scene().await;
    let (folder, token) = (folder(&scene), id_token(&scene).await);
    let inspect = ["token", "inspect", "-c", "vestibule.toml"];
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let changed = format!("{signed}.{}{}", if signature.starts_with('A') { "B" } else { "A" }, &signature[1..]);
    let (exit, said, _) = fed(&changed, &inspect, &folder);
    assert!(exit == 65 && said.contains("NO: "), "{exit} {said}");
    scene.idp.rotate_key();
    scene.idp.withdraw_old_keys();
    let (exit, said, _) = fed(&token, &inspect, &folder);
    assert!(exit == 65 && said.contains("not in the provider's key set"), "{exit} {said}");
    let away = ["token", "inspect", "--set", "provider.idp.issuer=http://127.0.0.1:9"];
    let (exit, said, errors) = fed(&token, &away, &folder);
    assert!(exit == 69 && said.contains("cannot be read") && errors.contains("127.0.0.1:9"), "{exit} {said} {errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_token_is_refused_and_no_credential_is_taken_from_the_command_line() {
    let folder = TempDir::new().unwrap();
    for (input, exit, told) in
        [("", 65, "nothing on standard input"), ("a b", 65, "not one token"), ("a.b.c", 65, "copied whole")]
    {
        let (code, said, errors) = fed(input, &["token", "inspect"], &folder);
        assert!(code == exit && said.is_empty() && errors.contains(told), "{input}: {code} {said} {errors}");
    }
    let (exit, said, _) = fed("gho_16C7e42F292c6912E7710c838347Ae178B4a", &["token", "inspect"], &folder);
    assert!(exit == 0 && said.contains("opaque") && !said.contains("gho_"), "{said}");
    let (exit, said, _) = fed("eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..a.b.c", &["token", "inspect"], &folder);
    assert!(exit == 0 && said.contains("encrypted (JWE)") && said.contains("A256GCM"), "{said}");
    for command in ["token", "session"] {
        let (exit, _, errors) = fed("", &[command, "inspect", "aaaa.bbbb"], &folder);
        assert!(exit == 64 && errors.contains("standard input only") && !errors.contains("aaaa"), "{exit} {errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_opened_and_told_without_its_tokens() {
    let scene = scene().await;
    let (folder, cookie, token) = (folder(&scene), scene.cookie(), id_token(&scene).await);
    let inspect = ["session", "inspect"];
    for input in [cookie.clone(), format!("Cookie: other=1; vestibule={cookie}\n"), format!("vestibule={cookie}")] {
        let (exit, said, errors) = fed(&input, &inspect, &folder);
        assert_eq!((exit, errors.as_str()), (0, ""), "{said}");
        for part in [
            "provider",
            "idp",
            "generation",
            "signed in",
            "number 1 of session.keys",
            "refresh token",
            "there, ",
            "yes, unless",
        ] {
            assert!(said.contains(part), "{part} is not in {said}");
        }
        for secret in [token.as_str(), &cookie, "ada@", "248289761001", &key(1)] {
            assert!(!said.contains(secret), "{secret} is in {said}");
        }
    }
    // The provider's name stands for another issuer now.
    let (exit, json, _) = fed(
        &cookie,
        &["session", "inspect", "--format", "json", "--set", "provider.idp.issuer=http://127.0.0.1:9"],
        &folder,
    );
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((exit, &json["accepted"]["would_be"]), (0, &Value::from(false)));
    assert!(json["accepted"]["because"].as_str().unwrap().contains("session_of_another_provider"));
    for (setting, told) in [
        (format!("session.keys={}", key(2)), "none of `session.keys`"),
        ("server.public_url=https://shop.example.com".to_owned(), "session cookie"),
        ("provider.idp.client_id=other".to_owned(), "another host, provider or client_id"),
    ] {
        let input = format!("vestibule={cookie}");
        let (exit, said, errors) = fed(&input, &["session", "inspect", "--set", &setting], &folder);
        assert!(exit == 65 && said.is_empty() && errors.contains(told), "{setting}: {exit} {errors}");
    }
    let (exit, _, errors) = fed("hello", &inspect, &folder);
    assert!(exit == 65 && errors.contains("not in the form of a sealed one"), "{errors}");
}
