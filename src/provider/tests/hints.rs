//! What a link may add to an authorization request: never what the flow sets, and nothing that asks for less.

use std::collections::HashMap;

use super::*;
use crate::provider::{AuthorizationRequest, Hints};

/// The hints that these settings take of a link.
fn hints(link: &[(&str, &str)], change: impl FnOnce(&mut ProviderSettings)) -> Hints {
    let link: HashMap<&str, &str> = link.iter().copied().collect();
    provider(change).hints(|name| link.get(name).copied())
}

fn provider(change: impl FnOnce(&mut ProviderSettings)) -> Provider {
    let kind = ProviderKind::Oidc { issuer: "https://idp.example".to_owned(), overrides: Endpoints::default() };
    let fixture = Fixture::new(kind, |settings| {
        let listed = ["login_hint", "kc_idp_hint", "prompt", "max_age", "acr_values"];
        settings.login_params = listed.map(str::to_owned).into();
        change(settings);
    });
    fixture.provider
}

/// The value that a link's parameter is handed on with.
fn handed_on(name: &str, value: &str, change: impl FnOnce(&mut ProviderSettings)) -> Option<String> {
    hints(&[(name, value)], change).pairs().find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
}

#[test]
fn only_what_is_listed_and_can_be_read_is_handed_on() {
    // UI-11, AT-LF-22
    let longest = "ü".repeat(256);
    for value in ["ann", "Änn & Co", "a=b&prompt=none#x", "+1 555", "%00", longest.as_str()] {
        assert_eq!(handed_on("login_hint", value, |_| ()).as_deref(), Some(value));
    }
    for value in ["", "a\nb", "a\0", "a\u{85}b", "a\u{fffd}b", &format!("{longest}x")] {
        assert_eq!(handed_on("login_hint", value, |_| ()), None, "{value:?}");
    }
    for name in ["ui_locales", "state", "Login_hint", "LOGIN_HINT", ""] {
        assert!(hints(&[(name, "x")], |_| ()).is_empty(), "{name}");
    }
    assert!(hints(&[("login_hint", "ann")], |s| s.login_params.clear()).is_empty());
}

#[test]
fn a_link_never_asks_for_a_silent_sign_in_or_takes_a_required_one_back() {
    // UI-12
    for value in ["login", "select_account", "login consent", "create"] {
        assert_eq!(handed_on("prompt", value, |_| ()).as_deref(), Some(value));
    }
    for value in
        ["none", "None", "NONE", "login none", "none login", "login  consent", " login", "login\u{a0}none", "a,b"]
    {
        assert_eq!(handed_on("prompt", value, |_| ()), None, "{value:?}");
    }
    let by_key = |s: &mut ProviderSettings| s.prompt = Some("login".to_owned());
    let by_parameter =
        |s: &mut ProviderSettings| drop(s.authorization_params.insert("prompt".to_owned(), "login consent".to_owned()));
    for (value, goes) in
        [("select_account", false), ("consent", false), ("login", true), ("login select_account", true)]
    {
        assert_eq!(handed_on("prompt", value, by_key).is_some(), goes, "{value}");
        assert_eq!(handed_on("prompt", value, by_parameter).is_some(), goes, "{value}");
    }
    let silent = |s: &mut ProviderSettings| s.prompt = Some("none".to_owned());
    assert_eq!(handed_on("prompt", "select_account", silent).as_deref(), Some("select_account"));
}

#[test]
fn ages_are_digits_and_contexts_are_among_the_configured_ones() {
    // ID-15, ID-16
    for (value, seconds) in [("0", "0"), ("300", "300"), ("0060", "60")] {
        let hints = hints(&[("max_age", value)], |_| ());
        assert_eq!(hints.pairs().next(), Some(("max_age", seconds)));
        assert_eq!(hints.max_age(), Some(Duration::from_secs(seconds.parse().unwrap())));
    }
    for value in ["-1", "+1", "1.5", "1e3", " 1", "1 ", "0x10", "9999999999999999999999", "٣"] {
        assert_eq!(handed_on("max_age", value, |_| ()), None, "{value:?}");
    }
    let by_key = |s: &mut ProviderSettings| s.acr_values = vec!["gold".to_owned(), "silver".to_owned()];
    let by_parameter = |s: &mut ProviderSettings| {
        drop(s.authorization_params.insert("acr_values".to_owned(), "gold silver".to_owned()));
    };
    for (value, kept) in [
        ("gold", Some("gold")),
        ("silver bronze", Some("silver")),
        ("bronze", None),
        ("GOLD", None),
        ("gold,silver", None),
        (" ", None),
    ] {
        assert_eq!(handed_on("acr_values", value, by_key).as_deref(), kept, "{value}");
        assert_eq!(handed_on("acr_values", value, by_parameter).as_deref(), kept, "{value}");
    }
    let any = hints(&[("acr_values", "gold  bronze")], |_| ());
    assert_eq!(any.acr_values(), ["gold", "bronze"]);
    let all = hints(&[("login_hint", "ann"), ("acr_values", "gold"), ("prompt", "login"), ("max_age", "1")], |_| ());
    assert_eq!(all.to_be_checked().pairs().collect::<Vec<_>>(), [("max_age", "1"), ("acr_values", "gold")]);
}

#[test]
fn whatever_a_link_says_each_parameter_is_sent_once_and_those_of_the_flow_are_ours() {
    // OA-01, UI-11, AT-LF-22
    let link = [
        ("login_hint", "ann&state=evil&login_hint=x#y"),
        ("kc_idp_hint", "a b+c%26"),
        ("max_age", "99999"),
        ("acr_values", "gold"),
        ("prompt", "consent"),
    ];
    let change = |s: &mut ProviderSettings| {
        s.max_age = Some(Duration::from_secs(900));
        s.acr_values = vec!["gold".to_owned(), "silver".to_owned()];
        s.prompt = Some("select_account".to_owned());
        let written = [("login_hint", "kiosk"), ("kc_idp_hint", "corp"), ("ui_locales", "de")];
        s.authorization_params = written.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    };
    let (provider, hints) = (provider(change), hints(&link, change));
    let verifier = Secret::from("v");
    let extra: Vec<_> = hints.pairs().collect();
    let request = AuthorizationRequest {
        redirect_uri: REDIRECT,
        state: "s1",
        nonce: "n1",
        verifier: &verifier,
        max_age: hints.max_age(),
        extra: &extra,
        bare: false,
    };
    let endpoint = Url::parse("https://idp.example/authorize?login_hint=fixed&kc_idp_hint=fixed").unwrap();
    let url = Url::parse(&provider.build_url(&endpoint, &request)).unwrap();
    let sent: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let all = |name: &str| sent.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect();
    for (name, value) in [
        ("login_hint", "ann&state=evil&login_hint=x#y"),
        ("kc_idp_hint", "a b+c%26"),
        ("max_age", "900"),
        ("acr_values", "gold"),
        ("prompt", "consent"),
        ("ui_locales", "de"),
        ("state", "s1"),
        ("nonce", "n1"),
        ("redirect_uri", REDIRECT),
    ] {
        let values: Vec<&str> = all(name);
        assert_eq!(values, [value], "{name}: {url}");
    }
    assert_eq!(url.fragment(), None);
}
