//! `[provider.NAME]`, but for how the client proves itself (`client`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::super::diagnostics::{Code, Diagnostic, Place};
use super::super::file::ProviderTable;
use super::super::reading::{Field, Found, listed};
use super::super::units::{Named, OneOrMany, Timespan, WebUrl};
use super::{Notes, claims, client, issuer, opened, positive};
use crate::identity::ClaimMapping;
use crate::provider::RESERVED_PARAMETERS;
use crate::provider::settings::{
    Endpoints, LogoutStyle, OAuth2Identity, ProviderKind, ProviderSettings, ResponseMode, UserinfoUse,
};
use crate::request::host::is_loopback;

/// `https`: whether browsers reach us by https, as far as that is known.
pub(super) fn provider(
    name: &Found<String>,
    table: ProviderTable,
    https: Option<bool>,
    notes: &mut Notes,
) -> Option<ProviderSettings> {
    let at = &name.place;
    let key = |key: &str| format!("provider.{}.{key}", name.value);
    if table.client_id.is_absent() {
        notes.missing(at, &key("client_id"), "write the client identifier that is registered at the provider");
    }
    check_http(name, &table, notes);
    let kind = kind(name, &table, notes);
    let allowed_tenants = issuer::allowed_tenants(name, &table, notes);
    let client_auth = client::client_auth(name, &table, notes);
    let claims = opened(table.claims.clone(), notes).map(|found| claims::mapping(&found.value, &key("claims"), notes));
    let trust_unverified_email = unverified_email(name, &table, notes);
    let oidc = !table.issuer.is_absent();
    let resource = resource(&table.resource, &key("resource"), notes);
    Some(ProviderSettings {
        name: Arc::from(name.value.as_str()),
        title: table.title.value().cloned().unwrap_or_else(|| name.value.clone()),
        scopes: scopes(&table.scopes, oidc),
        // Depends on what else there is: see `redirect`.
        redirect_path: String::new(),
        pkce: table.pkce.or(true),
        authorization_params: parameters(&table.authorization_params, &key("authorization_params"), notes),
        response_mode: response_mode(&table.response_mode, &key("response_mode"), https, notes),
        quirks: table.quirks.value().map(|list| list.0.iter().map(|item| item.value).collect()).unwrap_or_default(),
        prompt: table.prompt.value().cloned(),
        max_age: table.max_age.value().map(|it| it.0),
        acr_values: texts(&table.acr_values),
        resource,
        timeout: positive(&table.timeout, &key("timeout"), TIMEOUT, notes),
        audiences: texts(&table.audiences),
        id_token_algorithms: algorithms(&table.id_token_algorithms, &table, &key("id_token_algorithms"), notes),
        userinfo_algorithms: algorithms(&table.userinfo_algorithms, &table, &key("userinfo_algorithms"), notes),
        jwks_min_interval: table.jwks_min_interval.or(Timespan(JWKS_MIN_INTERVAL)).0,
        default_expires_in: positive(&table.default_expires_in, &key("default_expires_in"), DEFAULT_EXPIRES_IN, notes),
        userinfo: table.userinfo.or(UserinfoUse::Auto),
        userinfo_every: table
            .userinfo_every
            .given()
            .map(|found| positive(&table.userinfo_every, &key("userinfo_every"), found.value.0, notes)),
        logout: table.logout.or(LogoutStyle::Auto),
        clock_leeway: leeway(&table.clock_leeway, &key("clock_leeway"), notes),
        needed_claims: Vec::new(),
        deciding_claims: Vec::new(),
        insecure_http: table.insecure_http.or(false),
        ca_pem: table.ca.into_value().map(|file| file.pem),
        kind: kind?,
        discovery_url: table.discovery_url.into_value().map(|url| url.0),
        allowed_tenants: allowed_tenants?,
        client_id: table.client_id.into_value()?,
        client_auth: client_auth?,
        claims: ClaimMapping { trust_unverified_email, ..claims? },
    })
}

/// OpenID Connect by its issuer, or plain OAuth 2.0 by its endpoints.
fn kind(name: &Found<String>, table: &ProviderTable, notes: &mut Notes) -> Option<ProviderKind> {
    let endpoints = endpoints(table);
    if let Field::Given(found) = &table.issuer {
        let issuer = issuer::issuer(found, notes)?;
        return Some(ProviderKind::Oidc { issuer, overrides: endpoints });
    }
    if !table.issuer.is_absent() {
        return None;
    }
    let (authorization, token) = (table.authorization_endpoint.is_absent(), table.token_endpoint.is_absent());
    if authorization && token {
        let help = "write issuer = \"https://…\" for OpenID Connect, or authorization_endpoint and token_endpoint for plain OAuth 2.0";
        notes.missing(&name.place, &format!("provider.{}.issuer", name.value), help);
        return None;
    }
    for (absent, key) in [(authorization, "authorization_endpoint"), (token, "token_endpoint")] {
        if absent {
            let help = "a provider without issuer is plain OAuth 2.0 and needs both endpoints; with issuer they are discovered";
            notes.missing(&name.place, &format!("provider.{}.{key}", name.value), help);
        }
    }
    check_plain(name, table, notes);
    if authorization || token {
        return None;
    }
    Some(ProviderKind::OAuth2 { endpoints, identity: plain_identity(table) })
}

/// Where a plain OAuth 2.0 provider tells who somebody is: what is configured says it.
fn plain_identity(table: &ProviderTable) -> OAuth2Identity {
    let userinfo = !table.userinfo_endpoint.is_absent();
    let never = table.userinfo.or(UserinfoUse::Auto) == UserinfoUse::Never;
    match (userinfo && !never, !table.introspection_endpoint.is_absent()) {
        (true, _) => OAuth2Identity::Userinfo,
        (false, true) => OAuth2Identity::Introspection,
        (false, false) => OAuth2Identity::Nobody,
    }
}

/// What only means something with an ID token.
fn check_plain(name: &Found<String>, table: &ProviderTable, notes: &mut Notes) {
    let given = [
        ("discovery_url", table.discovery_url.place()),
        ("allowed_tenants", table.allowed_tenants.place()),
        ("jwks_uri", table.jwks_uri.place()),
        ("id_token_algorithms", table.id_token_algorithms.place()),
        ("userinfo_algorithms", table.userinfo_algorithms.place()),
        ("audiences", table.audiences.place()),
        ("acr_values", table.acr_values.place()),
        ("max_age", table.max_age.place()),
    ];
    for (key, place) in given {
        let Some(place) = place else { continue };
        let message = format!("`provider.{}.{key}` is set, but the provider has no `issuer`", name.value);
        let diagnostic = Diagnostic::error(Code::Conflict, place, message)
            .reason("without an issuer there is no ID token that it could be checked against");
        notes.note(diagnostic.help("write issuer = \"https://…\", or remove the key"));
    }
    if let Some(found) = table.userinfo.given()
        && found.value == UserinfoUse::Always
        && table.userinfo_endpoint.is_absent()
    {
        let message = format!("provider.{}.userinfo_endpoint", name.value);
        notes.missing(&found.place, &message, "userinfo = \"always\" needs to know where to ask");
    }
}

fn endpoints(table: &ProviderTable) -> Endpoints {
    let url = |field: &Field<WebUrl>| field.value().map(|url| url.0.clone());
    Endpoints {
        authorization_endpoint: url(&table.authorization_endpoint),
        token_endpoint: url(&table.token_endpoint),
        userinfo_endpoint: url(&table.userinfo_endpoint),
        introspection_endpoint: url(&table.introspection_endpoint),
        revocation_endpoint: url(&table.revocation_endpoint),
        end_session_endpoint: url(&table.end_session_endpoint),
        jwks_uri: url(&table.jwks_uri),
    }
}

/// Clear text is for loopback, unless the operator says `insecure_http`.
fn check_http(name: &Found<String>, table: &ProviderTable, notes: &mut Notes) {
    let issuer = table.issuer.given().and_then(|found| Some((Url::parse(&found.value).ok()?, &found.place)));
    let mut urls: Vec<(&str, Url, &Place)> = issuer.into_iter().map(|(url, place)| ("issuer", url, place)).collect();
    for (key, field) in [
        ("discovery_url", &table.discovery_url),
        ("authorization_endpoint", &table.authorization_endpoint),
        ("token_endpoint", &table.token_endpoint),
        ("userinfo_endpoint", &table.userinfo_endpoint),
        ("introspection_endpoint", &table.introspection_endpoint),
        ("revocation_endpoint", &table.revocation_endpoint),
        ("end_session_endpoint", &table.end_session_endpoint),
        ("jwks_uri", &table.jwks_uri),
    ] {
        urls.extend(field.given().map(|found| (key, found.value.0.clone(), &found.place)));
    }
    let allowed = table.insecure_http.or(false);
    for (key, url, place) in urls {
        if !allowed && url.scheme() == "http" && !url.host().is_some_and(|host| is_loopback(&host)) {
            let message = format!("`provider.{}.{key}` is http, not https", name.value);
            let diagnostic =
                Diagnostic::error(Code::InsecureHttp, place, message).label("clear text away from this machine");
            notes.note(
                diagnostic
                    .reason("whoever is on the way could read tokens and sign in as anybody")
                    .help("write \"https://…\"; in a closed laboratory, set insecure_http = true for this provider"),
            );
        }
    }
    if let Some(Found { value: true, place }) = table.insecure_http.given() {
        let message = format!("`provider.{}.insecure_http` takes endpoints in clear text", name.value);
        let diagnostic = Diagnostic::warning(Code::Weakened, place, message);
        notes.note(
            diagnostic
                .reason("whoever is on the way can read tokens and sign in as anybody")
                .help("use https, and remove the key"),
        );
    }
}

/// UI-06: an address that nobody verified names whoever typed it in, unless the operator says who may type.
fn unverified_email(name: &Found<String>, table: &ProviderTable, notes: &mut Notes) -> bool {
    let Some(Found { value: true, place }) = table.insecure_unverified_email.given() else { return false };
    let message = format!("`provider.{}.insecure_unverified_email` takes addresses that nobody verified", name.value);
    let diagnostic = Diagnostic::warning(Code::Weakened, place, message);
    notes.note(
        diagnostic
            .reason("where people can change their address at the provider, they can take anybody's")
            .help("keep it for a directory in which only administrators write addresses; else remove the key"),
    );
    true
}

/// For OpenID Connect, `openid` is always asked for (OpenID Connect Core 1.0 section 3.1.2.1).
fn scopes(field: &Field<OneOrMany<String>>, oidc: bool) -> Vec<String> {
    let mut scopes: Vec<String> = match field.value() {
        // One string may hold several, as in the parameter itself.
        Some(list) => list.0.iter().flat_map(|item| item.value.split_whitespace().map(str::to_owned)).collect(),
        None if oidc => ["openid", "profile", "email"].map(str::to_owned).to_vec(),
        None => Vec::new(),
    };
    if oidc && !scopes.iter().any(|scope| scope == "openid") {
        scopes.insert(0, "openid".to_owned());
    }
    scopes
}

fn parameters(field: &Field<Named<String>>, key: &str, notes: &mut Notes) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::new();
    for (name, value) in field.value().into_iter().flat_map(Named::given) {
        if RESERVED_PARAMETERS.contains(&name.value.as_str()) {
            let diagnostic =
                Diagnostic::error(Code::Conflict, &name.place, format!("`{key}` cannot set `{}`", name.value));
            notes.note(
                diagnostic
                    .reason("vestibule makes this parameter itself, and checks the answer against it")
                    .help("remove it; scopes, prompt, max_age, acr_values and resource have keys of their own"),
            );
        } else {
            parameters.insert(name.value.clone(), value.value.clone());
        }
    }
    parameters
}

/// A form that another site posts brings no cookie along but one that is `SameSite=None`, which browsers keep over https only
/// (UI-14).
fn response_mode(field: &Field<ResponseMode>, key: &str, https: Option<bool>, notes: &mut Notes) -> ResponseMode {
    let Some(found) = field.given() else { return ResponseMode::Query };
    if found.value == ResponseMode::FormPost && https == Some(false) {
        let message = format!("`{key}` is \"form_post\", but server.public_url is http");
        let diagnostic = Diagnostic::error(Code::Conflict, &found.place, message);
        notes.note(
            diagnostic
                .reason(
                    "the cookie of a sign-in has to be SameSite=None, and browsers keep such cookies over https only",
                )
                .help("write server.public_url = \"https://…\", or remove response_mode"),
        );
    }
    found.value
}

/// RFC 8707 section 2: an absolute URI without a fragment (IS-05).
fn resource(field: &Field<OneOrMany<String>>, key: &str, notes: &mut Notes) -> Vec<Url> {
    let mut resources = Vec::new();
    for item in field.value().into_iter().flat_map(|list| &list.0) {
        match Url::parse(&item.value) {
            Ok(url) if url.fragment().is_none() => resources.push(url),
            _ => notes.error(
                Code::BadUrl,
                &item.place,
                format!("`{key}` is not an absolute URI without a fragment"),
                "write \"https://api.example.com/\"",
            ),
        }
    }
    resources
}

/// ID-07, ID-08: never `none`; HS* only when written here, and with a secret as long as the hash.
fn algorithms(field: &Field<OneOrMany<String>>, table: &ProviderTable, key: &str, notes: &mut Notes) -> Vec<String> {
    let mut algorithms = Vec::new();
    for item in field.value().into_iter().flat_map(|list| &list.0) {
        let name = item.value.as_str();
        if !ALGORITHMS.contains(&name) {
            let message = format!("`{key}` cannot hold \"{}\"", name.escape_default());
            notes.error(Code::UnknownWord, &item.place, message, format!("the algorithms are {}", listed(ALGORITHMS)));
            continue;
        }
        let hash_bytes = name.strip_prefix("HS").and_then(|bits| bits.parse::<usize>().ok()).map(|bits| bits / 8);
        let secret = table.client_secret.value().map_or(0, |secret| secret.0.expose().len());
        if let Some(needed) =
            hash_bytes.filter(|needed| secret < *needed && !matches!(table.client_secret, Field::Wrong))
        {
            let diagnostic = Diagnostic::error(
                Code::WeakSecret,
                &item.place,
                format!("{name} needs a client secret of at least {needed} bytes"),
            );
            notes.note(
                diagnostic
                    .reason("a shorter one can be guessed from any signed token")
                    .help("use RS256 or ES256, or a longer client secret"),
            );
        }
        algorithms.push(name.to_owned());
    }
    algorithms
}

fn leeway(field: &Field<Timespan>, key: &str, notes: &mut Notes) -> Duration {
    let Some(found) = field.given() else { return LEEWAY };
    if found.value.0 > MAX_LEEWAY {
        let diagnostic = Diagnostic::warning(
            Code::Weakened,
            &found.place,
            format!("`{key}` takes ID tokens long after they expired"),
        );
        notes.note(
            diagnostic
                .reason("leeway is for clocks that differ by seconds")
                .help("set the clocks, and write at most \"5m\""),
        );
    }
    found.value.0
}

fn texts(field: &Field<OneOrMany<String>>) -> Vec<String> {
    field.value().map(|list| list.0.iter().map(|item| item.value.clone()).collect()).unwrap_or_default()
}

const ALGORITHMS: [&str; 14] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519", "HS256",
    "HS384", "HS512",
];
const TIMEOUT: Duration = Duration::from_secs(10);
const JWKS_MIN_INTERVAL: Duration = Duration::from_secs(60);
const DEFAULT_EXPIRES_IN: Duration = Duration::from_secs(3600);
const LEEWAY: Duration = Duration::from_secs(60);
const MAX_LEEWAY: Duration = Duration::from_secs(300);
