//! A provider's key set in a file: nothing is fetched, what changes is taken, and what should not be in the file is refused.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use vestibule::config::{Config, Sources};

use crate::harness::idp::{Breakage, paths};
use crate::harness::{Scene, TestIdp};

/// Writes the key set beside the old one, and then in its place.
fn writes(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

/// A gateway whose provider's key set cannot be reached, with the keys in a file.
async fn scene() -> (Scene, TempDir) {
    let (idp, folder) = (TestIdp::start().await, TempDir::new().unwrap());
    let path = folder.path().join("keys.json");
    writes(&path, &idp.key_set().to_string());
    idp.break_with(|faults| faults.key_set.break_with(Breakage::Reset));
    let toml = format!("provider.idp.jwks = {{ file = '{}' }}", path.display());
    (Scene::built_at(idp, |gateway| gateway.with(&toml)).await, folder)
}

#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_with_keys_from_a_file_and_no_key_set_is_fetched() {
    let (scene, folder) = scene().await;
    let path = folder.path().join("keys.json");
    scene.signs_in().await;
    scene.upstream.forget_seen();

    // A key that is not in the file yet is no reason to ask for it either.
    scene.idp.rotate_key();
    scene.refuses_while("id_token_key_unknown", |_| {}).await;
    writes(&path, &scene.idp.key_set().to_string());
    assert_eq!(scene.gateway.looks_at_followed()[0].outcome, Ok("2 keys".to_owned()));
    scene.signs_in().await;
    scene.upstream.forget_seen();

    for wrong in ["{\"keys\":[]}", "{}", "not a key set"] {
        writes(&path, wrong);
        let changes = scene.gateway.looks_at_followed();
        assert!(changes[0].outcome.is_err(), "{changes:?}");
        scene.signs_in().await;
        scene.upstream.forget_seen();
    }
    let metrics = scene.gateway.admin_text("/metrics").await;
    assert!(metrics.contains("\nvestibule_followed_file_current{name=\"provider.idp.jwks\"} 0\n"), "{metrics}");
    assert_eq!(scene.idp.seen_at(paths::KEY_SET).len(), 0);
}

/// What a configuration with this key set, and with more keys of its provider, is told.
fn told(keys: &str, provider: &str) -> String {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("keys"), keys).unwrap();
    let key = crate::harness::gateway::key(1);
    let text = format!(
        "server.public_url = 'http://localhost:1'\nroute.a.upstream = 'static:204'\nsession.keys = '{key}'\n\
         [provider.a]\nclient_id = 'a'\nclient_secret = 'of-the-client'\njwks = {{ file = 'keys' }}\n{provider}\n"
    );
    let file = Some(("a.toml".to_owned(), text));
    let sources = Sources { file, base_dir: folder.path().to_owned(), ..Sources::default() };
    match Config::load(&sources) {
        Ok(config) => config.warnings.iter().map(|warning| format!("{warning}\n")).collect(),
        Err(report) => report.render(false),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_key_file_is_an_error_with_its_reason() {
    let idp = TestIdp::start().await;
    let set = idp.key_set();
    let with = |name: &str, value: Value| {
        let mut set = set.clone();
        set["keys"][0][name] = value;
        set.to_string()
    };
    let pair = rcgen::KeyPair::generate().unwrap();
    let oidc = "issuer = 'https://a.example'";
    let plain = "authorization_endpoint = 'https://a.example/a'\ntoken_endpoint = 'https://a.example/t'";
    for (keys, provider, wanted) in [
        (with("d", json!("AQAB")), oidc, &["VB-0056", "keys[0] is a private key"][..]),
        (with("use", json!("enc")), oidc, &["VB-0056", "it holds no key that signatures can be verified with"]),
        (
            json!({ "keys": [{ "kty": "oct", "k": "AQAB" }] }).to_string(),
            oidc,
            &["VB-0056", "keys[0] is a shared secret"],
        ),
        (json!([]).to_string(), oidc, &["VB-0056", "neither a JSON object nor PEM"]),
        (json!({ "kty": "EC" }).to_string(), oidc, &["VB-0056", "there is no list `keys`"]),
        (pair.serialize_pem(), oidc, &["VB-0056", "block 1 is a private key"]),
        (pair.public_key_pem() + &pair.serialize_pem(), oidc, &["VB-0056", "block 2 is a private key"]),
        (set.to_string(), plain, &["VB-0018", "`provider.a.jwks` is set, but the provider has no `issuer`"]),
        (
            set.to_string(),
            "issuer = 'https://a.example'\njwks_uri = 'https://a.example/k'",
            &["VB-0018", "and `jwks_uri` as well"],
        ),
        (set.to_string(), "issuer = 'https://a.example'\njwks_min_interval = '5s'", &["has no effect beside `jwks`"]),
    ] {
        let said = told(&keys, provider);
        assert!(wanted.iter().all(|part| said.contains(part)), "{wanted:?} is not in\n{said}");
    }
    let certificate = rcgen::CertificateParams::new(vec!["a.example".to_owned()]).unwrap().self_signed(&pair).unwrap();
    for good in [set.to_string(), pair.public_key_pem(), certificate.pem() + &pair.public_key_pem()] {
        let said = told(&good, oidc);
        assert!(!said.contains("jwks"), "{said}");
    }
}
