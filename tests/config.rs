//! Configurations from outside: every file in `valid` loads without a word, every file in `invalid` gets exactly the report that
//! stands beside it. `VESTIBULE_UPDATE_EXPECTED=1 cargo test --test config` writes the reports anew, to be read before they are kept.
//!
//! Lines `# env: NAME=value` and `# flag: key=value` at the top of a file say what else is given.

#![expect(clippy::unwrap_used, reason = "tests say what they expect by failing")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use vestibule::clock::SystemClock;
use vestibule::codes;
use vestibule::config::diagnostics::DiagnosticCode;
use vestibule::config::{Config, Diagnostic, Report, Sources};
use vestibule::policy::names::NameList;

#[test]
fn valid_files_load_without_a_word() {
    for path in files("tests/config/valid") {
        match load(&path) {
            Ok(config) => assert!(config.warnings.is_empty(), "{}: {:?}", path.display(), config.warnings),
            Err(report) => panic!("{}:\n{report}", path.display()),
        }
    }
}

#[test]
fn invalid_files_get_the_report_beside_them() {
    let update = std::env::var_os("VESTIBULE_UPDATE_EXPECTED").is_some();
    let files = files("tests/config/invalid");
    assert!(files.len() >= 30, "only {} invalid files", files.len());
    let mut wrong = Vec::new();
    for path in files {
        let Err(report) = load(&path) else { panic!("{} is taken", path.display()) };
        let (text, expected) = (report.render(false), path.with_extension("stderr"));
        if update {
            fs::write(&expected, &text).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != text {
            wrong.push(format!("{}:\n{text}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{} reports differ from what is expected:\n\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn every_error_has_a_place_and_a_help_line() {
    for path in files("tests/config/invalid") {
        let Err(report) = load(&path) else { continue };
        for diagnostic in &report.diagnostics {
            assert!(diagnostic.help.is_some(), "{}: {diagnostic}", path.display());
            let json = diagnostic.to_json();
            let place = &json["place"];
            assert!(place["file"].is_string() || place["variable"].is_string() || place["flag"].is_string(), "{json}");
        }
    }
}

#[test]
fn reports_show_no_secret() {
    // AT-CL-08
    for path in files("tests/config/invalid") {
        let Err(report) = load(&path) else { continue };
        let shown = format!("{report} {:?} {}", report, report.to_json());
        for secret in ["hunter2", CLIENT_SECRET, SESSION_KEY] {
            assert!(!shown.contains(secret), "{} shows {secret}", path.display());
        }
    }
}

#[test]
fn every_code_that_a_file_can_cause_is_caused_by_one() {
    let mut text = String::new();
    for path in files("tests/config/invalid") {
        text.push_str(&load(&path).map_or_else(|report| report.render(false), |_| String::new()));
    }
    // Warnings do not make a file invalid; they are shown below.
    let only_warnings = [
        DiagnosticCode::HalfWrittenVariable,
        DiagnosticCode::Weakened,
        DiagnosticCode::Unreachable,
        DiagnosticCode::ReadableSecret,
        DiagnosticCode::NoTrustedProxies,
    ];
    // What shows only when the parts are made: see tests/it/starting.rs.
    let later = [DiagnosticCode::CannotListen, DiagnosticCode::CannotBuild];
    let excused: Vec<&str> = only_warnings.iter().chain(&later).map(|code| code.as_str()).collect();
    let of_configuration = codes::all().map(|(number, _)| number).filter(|number| *number < "VB-1000");
    let missing: Vec<&str> = of_configuration.filter(|code| !excused.contains(code) && !text.contains(code)).collect();
    assert!(missing.is_empty(), "no file in tests/config/invalid causes {missing:?}");
}

#[test]
fn every_word_and_key_that_a_message_offers_is_taken() {
    let with = |key: &str, value: &str| {
        let mut sources = sources("a.toml", SMALLEST.to_owned());
        sources.flags.push((key.to_owned(), value.to_owned()));
        Config::load(&sources).map_or_else(|report| report.diagnostics, |config| config.warnings)
    };
    let offered = |key: &str| -> Vec<String> {
        let found = with(key, "zzzzzzzz");
        let help = found.iter().find(|it| it.message.contains("zzz")).and_then(|it| it.help.clone()).unwrap();
        help.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let refused = |found: &[Diagnostic], codes: &[DiagnosticCode], key: &str| {
        found.iter().any(|it| codes.contains(&it.code) && it.message.contains(key))
    };
    let (bad_words, bad_keys) = (
        [DiagnosticCode::Unsupported, DiagnosticCode::UnknownWord],
        [DiagnosticCode::Unsupported, DiagnosticCode::UnknownKey],
    );
    let mut wrong = Vec::new();
    for key in [
        "log.format",
        "pages.sign_in",
        "provider.corp.client_auth",
        "provider.corp.claims.groups_shape",
        "provider.corp.id_token_algorithms",
        "provider.corp.logout",
        "provider.corp.quirks",
        "provider.corp.response_mode",
        "provider.corp.userinfo",
        "provider.corp.userinfo_algorithms",
        "route.wiki.access",
        "route.wiki.identity",
        "route.wiki.identity.authorization",
        "provider.corp.tls_min_version",
        "route.wiki.tls.min_version",
        "server.tls.client_auth",
        "server.tls.min_version",
        "session.cookie.same_site",
        "session.keep",
        "session.store",
    ] {
        let words = offered(key);
        assert!(!words.is_empty(), "{key}");
        wrong.extend(
            words
                .iter()
                .filter(|word| refused(&with(key, word), &bad_words, key))
                .map(|word| format!("{key} = {word}")),
        );
    }
    for table in ["", "server.", "server.limits.", "session.", "provider.corp.", "route.wiki.", "log."] {
        let keys = offered(&format!("{table}zzzzzzzz"));
        assert!(keys.len() > 3, "{table}: {keys:?}");
        let key = |key: &String| format!("{table}{key}");
        wrong.extend(keys.iter().map(key).filter(|key| refused(&with(key, "x"), &bad_keys, key)));
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn every_algorithm_that_is_taken_is_implemented() {
    for name in [
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519", "HS256",
        "HS384", "HS512",
    ] {
        let mut sources = sources("a.toml", SMALLEST.to_owned());
        sources.env.retain(|(name, _)| name != "CLIENT_SECRET");
        sources.env.push((
            "CLIENT_SECRET".into(),
            "a-client-secret-that-is-long-enough-for-every-hash-that-there-is-here".into(),
        ));
        sources.flags.push(("provider.corp.id_token_algorithms".into(), name.into()));
        let config = Config::load(&sources).unwrap_or_else(|report| panic!("{report}"));
        let made = vestibule::provider::Provider::new(config.providers[0].clone(), SystemClock::shared());
        assert!(made.is_ok(), "{name}: {:?}", made.err());
    }
}

#[test]
fn what_weakens_security_is_warned_about() {
    // CK-02
    for (change, code) in [
        ("public_url = \"http://wiki.example.com\"", DiagnosticCode::Weakened),
        ("public_url = \"https://wiki.example.com\"\ntrusted_proxies = [\"0.0.0.0/0\"]", DiagnosticCode::Weakened),
        (
            "public_url = \"https://wiki.example.com\"\n[route.x]\npath = \"/x\"\nupstream = \"static:200\"\ninsecure_keep_headers = [\"X-Userinfo\"]",
            DiagnosticCode::Weakened,
        ),
        (
            "public_url = \"https://wiki.example.com\"\nprefix = \"/sub\"\n[route.sub]\npath = \"/sub/x\"\nupstream = \"http://127.0.0.1:1\"",
            DiagnosticCode::Unreachable,
        ),
        (
            "public_url = \"https://wiki.example.com\"\n[route.x]\npath = \"/x\"\nupstream = \"static:200\"\nresponse_headers.set.Cache-Control = \"max-age=60\"",
            DiagnosticCode::Weakened,
        ),
        (
            "public_url = \"https://wiki.example.com\"\n[route.x]\npath = \"/x\"\nupstream = \"static:200\"\nresponse_headers.add.CDN-Cache-Control = \"public\"",
            DiagnosticCode::Weakened,
        ),
        ("public_url = \"http://127.0.0.1\"\nhsts = \"365d\"", DiagnosticCode::Unreachable),
    ] {
        let text = SMALLEST.replace("public_url = \"https://wiki.example.com\"", change);
        let config = Config::load(&sources("a.toml", text)).unwrap();
        assert_eq!(told(&config).first(), Some(&code), "{change}");
    }
}

#[test]
fn an_interval_that_no_session_lives_to_see_is_warned_about() {
    for (every, codes) in [("12h", vec![DiagnosticCode::Unreachable]), ("11h", vec![])] {
        let mut sources = sources("a.toml", SMALLEST.to_owned());
        sources.flags.push(("server.trusted_proxies".into(), "10.0.0.1".into()));
        sources.flags.push(("provider.corp.userinfo_every".into(), every.into()));
        let config = Config::load(&sources).unwrap_or_else(|report| panic!("{report}"));
        assert_eq!(told(&config), codes, "{every}");
    }
}

#[test]
fn a_proxy_in_front_that_is_not_named_is_warned_about() {
    let codes = |server: &str| {
        let text = SMALLEST.replace("public_url = \"https://wiki.example.com\"", server);
        let config = Config::load(&sources("a.toml", text)).unwrap_or_else(|report| panic!("{report}"));
        config.warnings.iter().map(|it| it.code).collect::<Vec<_>>()
    };
    let https = "public_url = \"https://wiki.example.com\"";
    assert_eq!(codes(https), [DiagnosticCode::NoTrustedProxies]);
    assert_eq!(codes(&format!("{https}\ntrusted_proxies = []")), [DiagnosticCode::NoTrustedProxies]);
    assert_eq!(codes(&format!("{https}\nlisten = \"unix:/run/a.sock\"")), [DiagnosticCode::NoTrustedProxies]);
    assert_eq!(codes(&format!("{https}\ntrusted_proxies = \"unix\"")), []);
    assert_eq!(codes(&format!("{https}\ntrusted_proxies = \"10.0.0.1\"")), []);
    assert_eq!(codes("public_url = \"http://localhost:4180\""), []);
}

#[test]
fn a_secret_is_cleaned_alike_wherever_it_is_kept_and_check_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    let bare = "s3cr3t-of-the-client";
    for (raw, code) in [
        (bare.to_owned(), None),
        (format!("{bare}\r\n"), None),
        (format!("\u{feff}{bare}\n"), Some(DiagnosticCode::UncleanSecret)),
        (format!("{bare} \n"), Some(DiagnosticCode::UncleanSecret)),
        (format!("{bare}\n\n"), Some(DiagnosticCode::UncleanSecret)),
        (format!("{bare}\0\n"), Some(DiagnosticCode::UncleanSecret)),
    ] {
        private_file(&file, &raw);
        let toml_text = serde_json::to_string(&raw).unwrap();
        for place in [
            format!("{{ file = '{}' }}", file.display()),
            "{ env = 'RAW' }".to_owned(),
            "{ credential = 'secret' }".to_owned(),
            toml_text,
        ] {
            let mut sources = sources("a.toml", SMALLEST.replace("{ env = \"CLIENT_SECRET\" }", &place));
            sources.env.push(("RAW".into(), raw.clone()));
            sources.env.push(("CREDENTIALS_DIRECTORY".into(), folder.path().display().to_string()));
            let config = Config::load(&sources).unwrap_or_else(|report| panic!("{raw:?} {place}: {report}"));
            let secret = config.providers[0].client_auth.secret().unwrap();
            assert_eq!(secret.expose(), bare, "{raw:?} {place}");
            let codes: Vec<DiagnosticCode> =
                told(&config).into_iter().filter(|code| *code != DiagnosticCode::LiteralSecret).collect();
            assert_eq!(codes, Vec::from_iter(code), "{raw:?} {place}");
        }
    }
    // A variable of ours alike, and a session key too.
    let mut sources = sources("a.toml", SMALLEST.to_owned());
    sources.env.push(("VESTIBULE__PROVIDER__CORP__CLIENT_SECRET".into(), format!(" {bare}")));
    sources.env.retain(|(name, _)| name != "SESSION_KEY");
    sources.env.push(("SESSION_KEY".into(), format!("\u{feff}{SESSION_KEY}\0\n")));
    let config = Config::load(&sources).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(told(&config), [DiagnosticCode::UncleanSecret; 2]);
    assert!(config.warnings.iter().any(|it| it.message.contains("session.keys")));
}

#[test]
fn key_and_secret_files_that_others_may_read_are_warned_about() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["wiki.example.com".to_owned()]).unwrap();
    let write = |name: &str, text: &str| private_file(&folder.path().join(name), text);
    write("cert.pem", &made.cert.pem());
    let key = made.signing_key.serialize_pem();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let text = SMALLEST
        .replace("{ env = \"CLIENT_SECRET\" }", &format!("{{ file = '{}' }}", at("client")))
        .replace("{ env = \"SESSION_KEY\" }", "{ credential = 'session' }")
        .replace("http://127.0.0.1:3000", "https://127.0.0.1:3000")
        .replace(
            "[provider.corp]",
            &format!("tls = {{ cert = '{0}', key = '{1}' }}\n[provider.corp]", at("cert.pem"), at("server.key")),
        );
    let text = format!("{text}tls = {{ cert = '{0}', key = '{1}' }}\n", at("cert.pem"), at("route.key"));
    let second = format!(
        "[provider.two]\nissuer = 'https://b'\nclient_id = 'b'\nclient_auth = 'private_key_jwt'\nclient_key = {{ file = '{}' }}\n",
        at("jwt.key")
    );
    let text = format!("{text}{second}");
    let files = [
        ("client", CLIENT_SECRET),
        ("session", SESSION_KEY),
        ("server.key", &key),
        ("route.key", &key),
        ("jwt.key", &key),
    ];
    let paths: Vec<PathBuf> = files.iter().map(|(name, content)| write(name, content)).collect();
    let open = || {
        let mut sources = sources("a.toml", text.clone());
        sources.env.push(("CREDENTIALS_DIRECTORY".into(), folder.path().display().to_string()));
        let config = Config::load(&sources).unwrap_or_else(|report| panic!("{report}"));
        config
            .warnings
            .iter()
            .filter(|it| it.code == DiagnosticCode::ReadableSecret)
            .map(|it| it.message.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(open(), Vec::<String>::new(), "0600");
    for (path, key) in paths.iter().zip([
        "provider.corp.client_secret",
        "session.keys",
        "server.tls.key",
        "route.wiki.tls.key",
        "provider.two.client_key",
    ]) {
        for (mode, warned) in
            [(0o644, true), (0o666, true), (0o602, true), (0o640, false), (0o400, false), (0o600, false)]
        {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            let told = open();
            assert_eq!(told.len(), usize::from(warned), "{mode:o}: {told:?}");
            assert!(told.iter().all(|message| message.contains(key)), "{told:?}");
        }
    }
}

#[test]
fn every_secret_on_the_command_line_is_warned_about_where_it_stands() {
    let session_key = format!("[\"{SESSION_KEY}\"]");
    for (flag, value, warned) in [
        ("provider.corp.client_secret", "visible-in-ps", true),
        ("session.keys", SESSION_KEY, true),
        ("session.keys", &session_key, true),
        ("provider.corp", "{ issuer = 'https://a', client_id = 'b', client_secret = 'visible-in-ps' }", true),
        ("provider.corp.client_secret", "{ env = 'CLIENT_SECRET' }", false),
        ("provider.corp.title", "x", false),
    ] {
        let load = |name: &str, env: bool| {
            let mut sources = sources("a.toml", SMALLEST.to_owned());
            if env {
                sources.env.push((format!("VESTIBULE__{}", name.to_uppercase().replace('.', "__")), value.to_owned()));
            } else {
                sources.flags.push((name.to_owned(), value.to_owned()));
            }
            let config = Config::load(&sources).unwrap_or_else(|report| panic!("{flag}: {report}"));
            config.warnings.into_iter().filter(|it| it.code == DiagnosticCode::LiteralSecret).collect::<Vec<_>>()
        };
        let told = load(flag, false);
        assert_eq!(told.len(), usize::from(warned), "{flag}: {told:?}");
        for warning in &told {
            let shown = warning.render(false);
            assert!(shown.contains("command line") && shown.contains("flag --set"), "{shown}");
            assert!(!shown.contains("visible-in-ps") && !shown.contains(SESSION_KEY), "{shown}");
        }
        // The environment is a place where secrets may stand.
        assert!(load(flag, true).is_empty(), "{flag}");
    }
}

#[test]
fn what_other_gateways_and_languages_write_is_told_what_it_is_here() {
    let help = |table: &str, key: &str| {
        let mut sources = sources("a.toml", SMALLEST.to_owned());
        sources.flags.push((format!("{table}{key}"), "x".to_owned()));
        let report = Config::load(&sources).unwrap_err();
        let found = report
            .diagnostics
            .iter()
            .find(|it| it.code == DiagnosticCode::UnknownKey && it.message.contains(&key.to_lowercase()));
        found.and_then(|it| it.help.clone()).unwrap_or_else(|| panic!("{key}: {report}"))
    };
    for (table, key, ours) in [
        ("provider.corp.", "redirect_url", "`provider.corp.redirect_path`"),
        ("provider.corp.", "redirect-url", "`provider.corp.redirect_path`"),
        ("session.", "cookie_secret", "`session.keys`"),
        ("session.", "cookie-secret", "`session.keys`"),
        ("", "cookie_secret", "`session.keys`"),
        ("route.wiki.", "allowed_groups", "`route.wiki.allow.groups`"),
        ("server.", "OIDCCryptoPassphrase", "`session.keys`"),
        ("provider.corp.", "oidc_issuer_url", "`provider.corp.issuer`"),
        ("server.", "publicUrl", "`public_url`"),
        ("provider.corp.", "clientSecret", "`client_secret`"),
        ("session.", "liftime", "`lifetime`"),
        ("", "public_url", "`[server]`"),
    ] {
        assert!(help(table, key).contains(ours), "{table}{key}: {}", help(table, key));
    }
}

#[test]
fn an_address_that_nobody_verified_counts_only_with_a_warning() {
    // UI-06
    let key = "client_id = \"wiki\"\ninsecure_unverified_email = ";
    let load = |value| {
        Config::load(&sources("a.toml", SMALLEST.replace("client_id = \"wiki\"", &format!("{key}{value}")))).unwrap()
    };
    let (on, off) = (load("true"), load("false"));
    assert_eq!(told(&on), [DiagnosticCode::Weakened]);
    assert!(on.providers[0].claims.trust_unverified_email);
    assert!(told(&off).is_empty() && !off.providers[0].claims.trust_unverified_email);
}

#[test]
fn a_second_provider_that_moves_the_redirect_uri_of_the_first_is_warned_about() {
    // IS-03
    let second = "[provider.lab]\nissuer = \"https://lab.example.com\"\nclient_id = \"wiki\"\nclient_auth = \"none\"\n";
    let load = |more: &str, of_first: &str| {
        let first = format!("client_id = \"wiki\"\n{of_first}");
        let text = format!("{}\n{more}", SMALLEST.replacen("client_id = \"wiki\"", &first, 1));
        let config = Config::load(&sources("a.toml", text)).unwrap();
        let codes = told(&config);
        (config.providers.into_iter().map(|it| it.redirect_path).collect::<Vec<_>>(), codes)
    };
    let path = "redirect_path = \"/_vestibule/callback\"\n";
    assert_eq!(load("", ""), (vec!["/_vestibule/callback".to_owned()], vec![]));
    let (paths, codes) = load(second, "");
    assert_eq!((paths[0].as_str(), codes), ("/_vestibule/callback/corp", vec![DiagnosticCode::RedirectPath]));
    let (paths, codes) = load(second, path);
    assert_eq!(paths, ["/_vestibule/callback", "/_vestibule/callback/lab"]);
    assert!(codes.is_empty(), "{codes:?}");
    let (_, codes) = load(&format!("{second}redirect_path = \"/x\"\n"), "");
    assert!(codes.is_empty(), "{codes:?}");
}

#[test]
fn the_environment_wins_over_the_file_and_flags_win_over_both() {
    let mut sources = sources("a.toml", SMALLEST.to_owned());
    sources.env.push(("VESTIBULE__SERVER__PREFIX".into(), "/env".into()));
    assert_eq!(Config::load(&sources).unwrap().gateway.prefix, "/env");
    sources.flags.push(("server.prefix".into(), "/flag".into()));
    assert_eq!(Config::load(&sources).unwrap().gateway.prefix, "/flag");
}

#[test]
fn a_part_of_a_route_never_asks_less_by_accident() {
    let text = format!(
        "{SMALLEST}allow.domains = [\"example.com\"]\npaths = {{ \"/admin/\" = {{ allow.groups = [\"admins\"] }} }}\n"
    );
    let config = Config::load(&sources("a.toml", text)).unwrap();
    let (path, rule) = &config.gateway.routes[0].paths[0];
    assert_eq!(path, "/admin");
    assert_eq!(rule.allow.groups, Some(NameList::Written(vec!["admins".to_owned()])));
    assert_eq!(rule.allow.domains, Some(NameList::Written(vec!["example.com".to_owned()])));
}

#[test]
fn a_part_of_a_route_that_asks_for_more_does_not_take_over_networks_that_need_no_sign_in() {
    let parts = [
        ("identity = \"none\"", true),
        ("access = \"login\"", false),
        ("access = \"api\"", false),
        ("allow.groups = [\"admins\"]", false),
        ("allow.networks = [\"10.2.3.0/24\"]", false),
        ("providers = [\"corp\"]", false),
        ("max_age = \"15m\"", false),
        ("allow.groups = [\"admins\"], no_login_from = [\"10.2.0.0/16\"]", true),
    ];
    for (part, holds) in parts {
        let text = format!("{SMALLEST}no_login_from = [\"10.2.0.0/16\"]\npaths = {{ \"/admin/\" = {{ {part} }} }}\n")
            .replace("[server]", "[server]\ntrusted_proxies = [\"10.0.0.7\"]");
        let config = Config::load(&sources("a.toml", text)).unwrap_or_else(|report| panic!("{part}: {report}"));
        let route = &config.gateway.routes[0];
        assert_eq!(route.rule.no_login_from.len(), 1);
        assert_eq!(!route.paths[0].1.no_login_from.is_empty(), holds, "{part}");
        let written = 1 + usize::from(part.contains("no_login_from"));
        assert_eq!(told(&config), vec![DiagnosticCode::Weakened; written], "{part}");
    }
}

#[test]
fn networks_that_need_no_sign_in_need_to_know_who_comes() {
    let (https, http) = ("public_url = \"https://wiki.example.com\"", "public_url = \"http://localhost:4180\"");
    let made = rcgen::generate_simple_self_signed(["wiki.example.com".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let cert = private_file(&folder.path().join("cert.pem"), &made.cert.pem());
    let key = private_file(&folder.path().join("key.pem"), &made.signing_key.serialize_pem());
    let tls = format!("tls = {{ cert = '{}', key = '{}' }}", cert.display(), key.display());
    let (unix, both) = ("listen = \"unix:/run/a.sock\"", "listen = [\"0.0.0.0:443\", \"unix:/run/a.sock\"]");
    for (server, taken) in [
        (format!("{http}\n"), true),
        (https.to_owned(), false),
        (format!("{https}\ntrusted_proxies = []"), false),
        (format!("{https}\ntrusted_proxies = [\"192.0.2.7\"]"), true),
        (format!("{https}\n{unix}"), false),
        (format!("{https}\n{unix}\ntrusted_proxies = [\"unix\"]"), true),
        (format!("{http}\n{unix}"), false),
        (format!("{https}\n{tls}"), true),
        (format!("{https}\n{tls}\n{both}"), false),
        (format!("{https}\n{tls}\n{both}\ntrusted_proxies = [\"unix\"]"), true),
    ] {
        let text = format!("{SMALLEST}no_login_from = [\"10.2.0.0/16\"]\n").replace(https, &server);
        match Config::load(&sources("a.toml", text)) {
            Ok(_) => assert!(taken, "{server}"),
            Err(report) => {
                let codes: Vec<_> = report.diagnostics.iter().map(|it| it.code).collect();
                assert!(!taken && codes.contains(&DiagnosticCode::NoTrustedProxies), "{server}: {report}");
            }
        }
    }
}

#[test]
fn cookie_names_follow_from_scheme_and_domain() {
    // CK-01, CK-02
    let name = |text: String| Config::load(&sources("a.toml", text)).unwrap().session.cookie.name;
    assert_eq!(name(SMALLEST.to_owned()), "__Host-vestibule");
    assert_eq!(name(SMALLEST.replace("[session]", "[session]\ncookie.domain = \"example.com\"")), "__Secure-vestibule");
    assert_eq!(name(SMALLEST.replace("https://wiki.example.com", "http://localhost:4180")), "vestibule");
}

#[test]
fn the_example_loads_and_is_the_smallest_file_with_comments() {
    let text = with_secrets_at_hand(&fs::read_to_string("config.example.toml").unwrap());
    let example = Config::load(&sources("config.example.toml", text)).unwrap_or_else(|report| panic!("{report}"));
    let smallest = Config::load(&sources("a.toml", SMALLEST.to_owned())).unwrap();
    assert!(told(&example).is_empty());
    let shown =
        |config: &Config| format!("{:?}{:?}{:?}{:?}", config.server, config.session, config.providers, config.log);
    assert_eq!(shown(&example), shown(&smallest));
}

#[test]
fn every_key_of_the_example_shows_its_default_or_says_what_it_is() {
    // What shows another value may need a file that is not here, or a key beside it.
    let excused = [
        DiagnosticCode::FileUnreadable,
        DiagnosticCode::SecretUnreadable,
        DiagnosticCode::MissingKey,
        DiagnosticCode::Conflict,
        DiagnosticCode::NoTrustedProxies,
        DiagnosticCode::Weakened,
    ];
    let example = with_secrets_at_hand(&fs::read_to_string("config.example.toml").unwrap());
    let load = |text: &str| Config::load(&sources("config.example.toml", text.to_owned()));
    let silent = shown(&load(&example).unwrap());
    let (mut defaults, mut wrong) = (0, Vec::new());
    for (at, line) in commented_keys(&example) {
        let says_another = says_another_default(&example, at);
        match load(&example_with(&example, at)) {
            Ok(_) if says_another => {}
            Ok(config) if shown(&config) == silent => defaults += 1,
            Ok(_) => wrong.push(format!("{line} is not the default")),
            Err(report) if report.diagnostics.iter().all(|it| excused.contains(&it.code)) => {}
            Err(report) => wrong.push(format!("{line} is refused:\n{report}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(defaults > 40, "only {defaults} defaults were compared");
}

#[test]
fn every_configuration_in_the_documentation_loads() {
    let mut pages = vec![PathBuf::from("README.md")];
    pages.extend(below(Path::new("deploy")).into_iter().filter(|path| path.extension().is_some_and(|it| it == "md")));
    let mut loaded = 0;
    for page in pages {
        let name = page.display().to_string();
        let text = fs::read_to_string(&page).unwrap();
        let blocks = text.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
        for block in blocks {
            // A block that shows one table stands among the others of the smallest file.
            let others = SMALLEST.split("\n\n").filter(|table| {
                let name = table.trim_start().split(['.', ']']).next().unwrap_or_default();
                !block.contains(name)
            });
            let whole: Vec<_> = std::iter::once(with_secrets_at_hand(block)).chain(others.map(str::to_owned)).collect();
            let config = Config::load(&sources(&name, whole.join("\n"))).unwrap_or_else(|report| panic!("{report}"));
            assert!(told(&config).is_empty(), "{name}: {:?}", config.warnings);
            loaded += 1;
        }
    }
    assert!(loaded >= 11, "only {loaded} blocks were found");
}

/// The files of a folder and of those in it.
fn below(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

#[test]
fn check_says_what_the_access_log_leaves_out() {
    let folder = tempfile::tempdir().unwrap();
    let said = |toml: &str| {
        let file = private_file(&folder.path().join("vestibule.toml"), &format!("{SMALLEST}{toml}"));
        let output = vestibule(&["check", "--offline", "-c", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    for (toml, told) in [
        ("access_log = false", "route wiki: requests have no lines in the access log, whatever the answer"),
        (
            "paths = { '/healthz' = { access_log = false }, '/x' = {} }",
            "route wiki: requests below /healthz have no lines in the access log, whatever the answer",
        ),
        (
            "access_log = false\npaths = { '/admin' = { access_log = true } }",
            "route wiki: requests have no lines, except those below /admin, in the access log, whatever the answer",
        ),
    ] {
        let said =
            said(&format!("{toml}\n[log]\naccess = 'stderr'\naccess_exclude_agents = ['kube-probe/*', 'ELB *']"));
        assert!(said.contains(told), "{said}");
        let agents = "access log: clients that call themselves kube-probe/* or ELB * have no lines in it, except for answers from 400 on and requests with a session";
        assert!(said.contains(agents), "{said}");
    }
    assert!(!said("[log]\naccess = 'stderr'").contains("access log"));
}

#[test]
fn commands_end_with_the_exit_codes_that_they_promise() {
    let invalid = "tests/config/invalid/empty.toml";
    for (arguments, exit) in [
        (&["check", "--offline", "-c", "tests/config/valid/smallest.toml"] as &[&str], 0),
        (&["check", "--offline", "-c", invalid], 78),
        (&["check", "--offline", "-c", invalid, "--format", "json"], 78),
        (&["check", "--offline", "-c", "no-such-file.toml"], 78),
        (&["run", "-c", invalid], 78),
        (&["check", "-c", "tests/config/valid/smallest.toml", "--set", "provider.corp.issuer=http://127.0.0.1:9"], 69),
        (
            &[
                "check",
                "--offline",
                "-c",
                "tests/config/valid/smallest.toml",
                "--set",
                "server.trusted_proxies=0.0.0.0/0",
            ],
            0,
        ),
        (
            &[
                "check",
                "--offline",
                "--deny-warnings",
                "-c",
                "tests/config/valid/smallest.toml",
                "--set",
                "server.trusted_proxies=0.0.0.0/0",
            ],
            78,
        ),
        (&["check", "--frobnicate"], 64),
        (&["explain", "VB0002"], 0),
        (&["explain", "VB-0002"], 0),
        (&["explain", "VB-1002"], 0),
        (&["explain", "nonsense"], 64),
        (&["keys", "new"], 0),
        (&["generate", "schema"], 0),
    ] {
        let output = vestibule(arguments);
        assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn keys_new_prints_a_key_that_is_taken() {
    let key = String::from_utf8(vestibule(&["keys", "new"]).stdout).unwrap();
    let mut sources = sources("a.toml", SMALLEST.replace("SESSION_KEY", "NEW_KEY"));
    sources.env.push(("NEW_KEY".into(), key));
    assert!(Config::load(&sources).is_ok());
}

#[test]
fn the_schema_takes_what_is_taken_and_refuses_misspelt_keys_and_wrong_types() {
    let printed = vestibule(&["generate", "schema"]).stdout;
    let schema: Value = serde_json::from_slice(&printed).unwrap();
    assert_eq!(schema, vestibule::config::schema());
    let flaws = |text: &str| {
        let mut flaws = Vec::new();
        check_schema(&schema, &schema, &toml::from_str(text).unwrap(), "", &mut flaws);
        flaws
    };
    let mut valid = files("tests/config/valid");
    valid.push(PathBuf::from("config.example.toml"));
    for path in valid {
        assert_eq!(flaws(&fs::read_to_string(&path).unwrap()), Vec::<String>::new(), "{}", path.display());
    }
    let example = fs::read_to_string("config.example.toml").unwrap();
    for (at, line) in commented_keys(&example) {
        assert_eq!(flaws(&example_with(&example, at)), Vec::<String>::new(), "{line}");
    }
    for (wrong, at) in [
        ("server.lisen = 'a:1'", "server.lisen"),
        ("server.workers = '4'", "server.workers"),
        ("server.listen = [1]", "server.listen"),
        ("session.lifetime = 3600", "session.lifetime"),
        ("session.keys = [{ vault = 'x' }]", "session.keys"),
        ("route.a.access = 'log-in'", "route.a.access"),
        ("route.a.identity = { sett = 'x' }", "route.a.identity"),
        ("route.a.paths.'/b'.allow.group = ['x']", "route.a.paths./b.allow.group"),
        ("route.a.allow.groups = { env = 'X' }", "route.a.allow.groups"),
        ("provider = 'corp'", "provider"),
    ] {
        assert_eq!(flaws(wrong), [at], "{wrong}");
    }
}

/// Where a value is not what a schema says; as much of JSON Schema as ours uses.
fn check_schema(root: &Value, schema: &Value, value: &Value, at: &str, flaws: &mut Vec<String>) {
    let is_of = |schema: &Value| {
        let mut flaws = Vec::new();
        check_schema(root, schema, value, at, &mut flaws);
        flaws.is_empty()
    };
    let is_type = |name: &Value| match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        other => unreachable!("{other}"),
    };
    let mut fits = true;
    for (word, rule) in schema.as_object().into_iter().flatten() {
        fits &= match word.as_str() {
            "$ref" => {
                check_schema(
                    root,
                    root.pointer(rule.as_str().unwrap().trim_start_matches('#')).unwrap(),
                    value,
                    at,
                    flaws,
                );
                true
            }
            "type" => rule.as_array().map_or_else(|| is_type(rule), |types| types.iter().any(is_type)),
            "anyOf" => rule.as_array().unwrap().iter().any(is_of),
            "oneOf" => rule.as_array().unwrap().iter().filter(|it| is_of(it)).count() == 1,
            "const" => rule == value,
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value.as_i64().is_none_or(|number| number >= rule.as_i64().unwrap()),
            "maximum" => value.as_i64().is_none_or(|number| number <= rule.as_i64().unwrap()),
            "minProperties" => value.as_object().is_none_or(|it| it.len() as u64 >= rule.as_u64().unwrap()),
            "maxProperties" => value.as_object().is_none_or(|it| it.len() as u64 <= rule.as_u64().unwrap()),
            "propertyNames" => value.as_object().into_iter().flatten().all(|(key, _)| rule["const"] == *key),
            "items" => {
                value.as_array().into_iter().flatten().for_each(|item| check_schema(root, rule, item, at, flaws));
                true
            }
            "properties" | "patternProperties" | "additionalProperties" => true,
            "$schema" | "$defs" | "title" | "description" | "examples" | "format" | "pattern" | "default" => true,
            other => unreachable!("this test does not know {other}"),
        };
    }
    if !fits {
        flaws.push(at.to_owned());
    }
    for (key, value) in value.as_object().into_iter().flatten() {
        let place = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
        // The only pattern is a list of words.
        let patterns = schema.get("patternProperties").and_then(Value::as_object).into_iter().flatten();
        let by_pattern =
            patterns.filter(|(words, _)| words.trim_matches(['^', '(', ')', '$']).split('|').any(|word| word == key));
        let rule = schema["properties"].get(key).or_else(|| by_pattern.map(|(_, rule)| rule).next());
        match rule.or_else(|| schema.get("additionalProperties")) {
            Some(Value::Bool(false)) => flaws.push(place),
            Some(rule) => check_schema(root, rule, value, &place, flaws),
            None => {}
        }
    }
}

#[test]
fn check_answers_programs_in_json() {
    let output =
        vestibule(&["check", "--offline", "--format", "json", "-c", "tests/config/invalid/unknown_key_near.toml"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["ok"], false);
    assert_eq!(answer["diagnostics"][0]["code"], "VB-0002");
    assert_eq!(answer["diagnostics"][0]["place"]["line"], 2);
}

#[test]
fn check_shows_what_applications_get_in_place_of_a_path() {
    let output = vestibule(&["check", "--offline", "-c", "tests/config/valid/path_mapping.toml"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let told: Vec<&str> = text.lines().filter(|line| line.contains(" arrives as ")).collect();
    assert_eq!(
        told,
        [
            "ok   route exact: /exact/x arrives as /x at 127.0.0.1:3000",
            "ok   route deeper: /deep/er/x arrives as /one/er/x at 127.0.0.1:3001",
            "ok   route deeper: /deep/er/x arrives as /two/er/x at 127.0.0.1:3001",
            "ok   route deeper: /deep/er/x arrives as /er/x at 127.0.0.1:3002",
            "ok   route based: /based/x arrives as /base/based/x at app.internal; answers are left as they are",
            "ok   route socket: /socket/x arrives as /x at unix:/run/app.sock",
        ]
    );
}

#[test]
fn check_shows_whose_basic_credentials_applications_get() {
    let folder = tempfile::tempdir().unwrap();
    let secret = private_file(&folder.path().join("key"), "9b1ZpHnK2mXr0qTt7wYc4uEj8sLd5vAg3fNo6iRkQxM=");
    let basic = |user: &str| {
        format!(
            "identity = {{ authorization = {{ basic = {{ user = \"{user}\", password = {{ file = \"key\" }} }} }} }}"
        )
    };
    let (svc, claim, email) = (basic("svc"), basic("claim:/org/login"), basic("email"));
    let text = format!(
        "[server]\npublic_url = \"http://localhost:4180\"\n[session]\nkeys = [{{ file = \"key\" }}]\n\
         [provider.corp]\nissuer = \"https://login.example.com\"\nclient_id = \"wiki\"\nclient_auth = \"none\"\n\
         [route.wiki]\nupstream = \"http://127.0.0.1:3000\"\n{svc}\n[route.wiki.paths]\n\
         \"/a\" = {{ {claim} }}\n\"/b\" = {{ access = \"optional\" }}\n\"/c\" = {{ access = \"public\", {email} }}\n"
    );
    let file = secret.with_file_name("vestibule.toml");
    fs::write(&file, text).unwrap();
    let output = vestibule(&["check", "--offline", "-c", file.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    let told: Vec<&str> = text.lines().filter(|line| line.contains("Basic credentials")).collect();
    assert_eq!(
        told,
        [
            "ok   route wiki: the application gets the Basic credentials of the user \"svc\" with everybody who is signed in",
            "ok   route wiki: the application gets each person's claim /org/login as the user of Basic credentials, with one password \
             for all; nobody passes whose name cannot be sent",
        ],
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A file that its owner alone may read.
fn private_file(path: &Path, text: &str) -> PathBuf {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    path.to_owned()
}

/// The warnings, but for the one that the smallest file always gets: only its operator knows which proxy serves https for it.
fn told(config: &Config) -> Vec<DiagnosticCode> {
    config.warnings.iter().map(|it| it.code).filter(|code| *code != DiagnosticCode::NoTrustedProxies).collect()
}

/// The secrets of examples are in files that are not here.
fn with_secrets_at_hand(text: &str) -> String {
    text.replace("{ file = \"/run/secrets/session_key\" }", "{ env = \"SESSION_KEY\" }")
        .replace("{ file = \"/run/secrets/new_session_key\" }", "{ env = \"OLD_SESSION_KEY\" }")
        .replace("{ file = \"/run/secrets/client_secret\" }", "{ env = \"CLIENT_SECRET\" }")
        .replace("{ file = \"client_secret\" }", "{ env = \"CLIENT_SECRET\" }")
        .replace("{ file = \"session_key\" }", "{ env = \"SESSION_KEY\" }")
}

/// The numbers of the lines that are a key behind a `#`, and the lines.
fn commented_keys(text: &str) -> Vec<(usize, &str)> {
    let is_key = |line: &&str| {
        let name = line.strip_prefix('#').and_then(|line| line.split_once(" = ")).map(|(name, _)| name);
        name.is_some_and(|name| {
            name.starts_with(['"', '_']) || name.bytes().all(|b| b.is_ascii_lowercase() || b"_2".contains(&b))
        })
    };
    text.lines().enumerate().filter(|(_, line)| is_key(line)).collect()
}

/// Whether the words above a key say what its default is, so that the line itself shows another value.
fn says_another_default(text: &str, at: usize) -> bool {
    let above: Vec<&str> = text.lines().take(at).collect();
    let words = above.iter().rev().skip_while(|line| line.starts_with('#') && !line.starts_with("# "));
    words.take_while(|line| line.starts_with("# ")).any(|line| line.contains("Default:") || line.contains("No default"))
}

/// The example with one key as it would be written, and the head of its table where that is commented out.
fn example_with(text: &str, at: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let head = lines.iter().take(at).rposition(|line| line.starts_with("#[") || line.starts_with('[')).unwrap();
    let bare = |(number, line): (usize, &&str)| {
        let wanted = number == at || number == head;
        line.strip_prefix('#').filter(|_| wanted).unwrap_or(line).to_owned()
    };
    lines.iter().enumerate().map(bare).collect::<Vec<_>>().join("\n")
}

fn shown(config: &Config) -> String {
    let Config { server, gateway, session, providers, log, .. } = config;
    format!("{server:#?}{gateway:#?}{session:#?}{providers:#?}{log:#?}")
}

fn vestibule(arguments: &[&str]) -> std::process::Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_vestibule"));
    command.args(arguments).env("CLIENT_SECRET", CLIENT_SECRET).env("SESSION_KEY", SESSION_KEY).output().unwrap()
}

fn load(path: &Path) -> Result<Config, Report> {
    let text = fs::read_to_string(path).unwrap();
    let given = |what: &str| -> Vec<(String, String)> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(what));
        lines.map(|line| line.split_once('=').unwrap()).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
    };
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let (env, flags) = (given("# env: "), given("# flag: "));
    let mut sources = sources(&name, text.clone());
    // The proxy that serves https for all of these files.
    if text.contains("public_url = \"https") && !text.contains("trusted_proxies") {
        sources.env.push(("VESTIBULE__SERVER__TRUSTED_PROXIES".into(), "10.0.0.0/8".into()));
    }
    sources.env.extend(env);
    sources.flags = flags;
    Config::load(&sources)
}

fn sources(name: &str, text: String) -> Sources {
    let env = [("CLIENT_SECRET", CLIENT_SECRET), ("SESSION_KEY", SESSION_KEY), ("OLD_SESSION_KEY", OLD_SESSION_KEY)];
    Sources {
        file: Some((name.to_owned(), text)),
        env: env.map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec(),
        flags: Vec::new(),
        base_dir: PathBuf::from("tests/config/invalid"),
        ..Sources::default()
    }
}

fn files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    assert!(!files.is_empty(), "{folder} is empty");
    files
}

const CLIENT_SECRET: &str = "s3cr3t-of-the-client";
const SESSION_KEY: &str = "9b1ZpHnK2mXr0qTt7wYc4uEj8sLd5vAg3fNo6iRkQxM=";
const OLD_SESSION_KEY: &str = "f3a9c1d07be2846519ac3fd82e60b7451d98f0c2a7e34b6d5c8091fe62d7a4b3";
const SMALLEST: &str = r#"
[server]
public_url = "https://wiki.example.com"

[provider.corp]
issuer = "https://login.example.com/realms/corp"
client_id = "wiki"
client_secret = { env = "CLIENT_SECRET" }

[session]
keys = [{ env = "SESSION_KEY" }]

[route.wiki]
upstream = "http://127.0.0.1:3000"
"#;
