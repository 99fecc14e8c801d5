//! `vestibule init` by the real program, for each provider: what it writes, what it prints, and what it leaves alone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::Program;

const COMMON: [&str; 6] =
    ["--client-id", "wi\"ki", "--public-url", "https://wiki.example.com", "--upstream", "http://127.0.0.1:3000"];

/// Each provider with what it is asked besides.
const PROVIDERS: [(&str, &[&str]); 10] = [
    ("keycloak", &["--issuer", "https://login.example.com/realms/corp"]),
    ("entra", &["--issuer", "https://login.microsoftonline.com/9d9a7c1e-2f6b-4a51-b0f4-6c6f3c1f5a2d/v2.0"]),
    ("okta", &["--issuer", "https://example.okta.com"]),
    ("google", &[]),
    ("auth0", &["--issuer", "https://example.eu.auth0.com/"]),
    ("github", &[]),
    ("gitlab", &[]),
    ("dex", &["--issuer", "https://dex.example.com"]),
    ("oidc", &["--issuer", "https://login.example.com"]),
    (
        "oauth2",
        &[
            "--authorization-endpoint",
            "https://a.example/authorize",
            "--token-endpoint",
            "https://a.example/token",
            "--userinfo-endpoint",
            "https://a.example/me",
        ],
    ),
];

fn init(folder: &TempDir, provider: &str, more: &[&str]) -> (i32, String, String) {
    Program::ended(&[&["init", "--provider", provider], &COMMON as &[&str], more].concat(), folder)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// The codes of errors and of warnings.
fn checked(folder: &TempDir) -> (i32, Vec<String>, Value) {
    let (exit, said, errors) =
        Program::ended(&["check", "--offline", "--format", "json", "-c", "made/vestibule.toml"], folder);
    let report: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}{errors}"));
    let found = report["diagnostics"].as_array().unwrap();
    let codes = found.iter().map(|it| format!("{} {}", it["code"].as_str().unwrap(), it["message"].as_str().unwrap()));
    (exit, codes.collect(), report)
}

#[test]
fn for_each_provider_only_the_client_secret_is_left_to_fill_in() {
    for (provider, more) in PROVIDERS {
        let folder = TempDir::new().unwrap();
        let (exit, said, errors) = init(&folder, provider, &[more, &["--dir", "made"]].concat());
        assert_eq!((exit, errors.as_str()), (0, ""), "{provider}: {said}");
        assert!(said.contains("https://wiki.example.com/_vestibule/callback"), "{provider}: {said}");
        assert!(
            said.contains("post-logout redirect URI") && said.contains("1. ") && said.contains("VB-0014"),
            "{provider}: {said}"
        );
        assert!(!said.contains('{'), "{provider}: {said}");
        let made = folder.path().join("made");
        let modes = ["", "vestibule.toml", "session_key", "client_secret"].map(|name| mode(&made.join(name)));
        assert_eq!(modes, [0o700, 0o644, 0o600, 0o600], "{provider}");

        let (exit, codes, report) = checked(&folder);
        let expected = format!("VB-0014 the secret `provider.{provider}.client_secret` is empty");
        assert_eq!((exit, codes), (78, vec![expected]), "{provider}: {report:#}");
        // As somebody pastes it.
        fs::write(made.join("client_secret"), "rJ8xQ2vKp4LmTz7w\n").unwrap();
        let (exit, codes, report) = checked(&folder);
        assert_eq!((exit, codes.as_slice()), (0, &[] as &[String]), "{provider}: {report:#}");
        let uri = report["redirect_uris"][0].as_str().unwrap();
        assert!(said.contains(uri), "{provider}: {uri} is not in {said}");
        // Neither the file nor what is printed holds the key.
        let text = fs::read_to_string(made.join("vestibule.toml")).unwrap();
        let key = fs::read_to_string(made.join("session_key")).unwrap();
        assert!(!text.contains(key.trim()) && !said.contains(key.trim()));
    }
}

#[test]
fn what_is_there_is_not_overwritten() {
    for name in ["vestibule.toml", "session_key", "client_secret"] {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join(name), "mine").unwrap();
        let (exit, said, errors) = init(&folder, "google", &[]);
        assert!(exit == 73 && said.is_empty() && errors.contains(name), "{exit} {errors}");
        assert_eq!(fs::read_to_string(folder.path().join(name)).unwrap(), "mine");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is made");
    }
}

#[test]
fn a_configuration_that_sets_nothing_is_replaced_as_a_package_installs_it() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("vestibule.toml");
    fs::write(&file, fs::read("deploy/systemd/debian/vestibule.toml").unwrap()).unwrap();
    let (exit, said, errors) = init(&folder, "google", &["--credentials"]);
    assert_eq!(exit, 0, "{errors}");
    assert!(
        said.contains(
            "CREDENTIALS_DIRECTORY=. vestibule check -c vestibule.toml\n  systemctl enable --now vestibule\n"
        ),
        "{said}"
    );
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("client_secret = { credential = \"client_secret\" }"), "{text}");
    assert!(text.contains("keys = [{ credential = \"session_key\" }]"), "{text}");
    let (exit, _, errors) = init(&folder, "google", &[]);
    assert!(exit == 73 && errors.contains("vestibule.toml"), "now it sets something: {exit} {errors}");
    let (exit, _, errors) = init(&folder, "google", &["--credentials", "--dir", "site"]);
    assert_eq!(exit, 0, "{errors}");
    assert_eq!(mode(&folder.path().join("site")) & 0o500, 0o500);
    assert_eq!(mode(&folder.path().join("site/client_secret")), 0o600);
}

#[test]
fn without_a_terminal_every_missing_flag_is_named() {
    let folder = TempDir::new().unwrap();
    let (exit, _, errors) = Program::ended(&["init"], &folder);
    assert_eq!(exit, 64);
    for flag in ["--provider", "--issuer", "--client-id", "--public-url"] {
        assert!(errors.contains(flag), "{flag} is not in {errors}");
    }
    let (exit, _, errors) = init(&folder, "oauth2", &[]);
    assert!(exit == 64 && errors.contains("--token-endpoint") && !errors.contains("--issuer"), "{errors}");
    for (provider, more, told) in [
        ("nonsense", &[] as &[&str], "keycloak"),
        ("oidc", &["--issuer", "login.example.com"], "the issuer cannot be used"),
        ("entra", &["--issuer", "https://login.microsoftonline.com/{tenantid}/v2.0"], "allowed_tenants"),
        ("oidc", &["--issuer", "http://login.example.com"], "http"),
    ] {
        let (exit, said, errors) = init(&folder, provider, more);
        assert!(exit == 64 && said.is_empty() && errors.contains(told), "{provider}: {exit} {errors}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is written");
}
