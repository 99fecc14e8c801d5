//! `[provider.NAME]`, but for how the client proves itself (`client`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::super::diagnostics::Place;
use super::super::file::ProviderTable;
use super::super::kinds;
use super::super::problems::Problems;
use super::super::reading::{Field, Found, listed};
use super::super::units::{Named, OneOrMany, Timespan, WebUrl};
use super::{claims, client, issuer, opened, positive};
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
    problems: &mut Problems,
) -> Option<ProviderSettings> {
    if table.client_id.is_absent() {
        problems.missing(kinds::CLIENT_ID_MISSING, &name.place, &format!("{}.client_id", name.key));
    }
    check_http(name, &table, problems);
    let kind = kind(name, &table, problems);
    let allowed_tenants = issuer::allowed_tenants(name, &table, problems);
    let client_auth = client::client_auth(name, &table, problems);
    let claims = opened(table.claims.clone(), problems).map(|found| claims::mapping(&found.value, problems));
    let trust_unverified_email = unverified_email(name, &table, problems);
    let oidc = !table.issuer.is_absent();
    let resource = resource(&table.resource, problems);
    Some(ProviderSettings {
        name: Arc::from(name.value.as_str()),
        title: table.title.value().cloned().unwrap_or_else(|| name.value.clone()),
        scopes: scopes(&table.scopes, oidc),
        // Depends on what else there is: see `redirect`.
        redirect_path: String::new(),
        pkce: table.pkce.or(true),
        authorization_params: parameters(&table.authorization_params, problems),
        response_mode: response_mode(&table.response_mode, https, problems),
        quirks: table.quirks.value().map(|list| list.0.iter().map(|item| item.value).collect()).unwrap_or_default(),
        prompt: table.prompt.value().cloned(),
        max_age: table.max_age.value().map(|it| it.0),
        acr_values: texts(&table.acr_values),
        resource,
        timeout: positive(&table.timeout, TIMEOUT, problems),
        audiences: texts(&table.audiences),
        id_token_algorithms: algorithms(&table.id_token_algorithms, &table, problems),
        userinfo_algorithms: algorithms(&table.userinfo_algorithms, &table, problems),
        jwks_min_interval: table.jwks_min_interval.or(Timespan(JWKS_MIN_INTERVAL)).0,
        default_expires_in: positive(&table.default_expires_in, DEFAULT_EXPIRES_IN, problems),
        userinfo: table.userinfo.or(UserinfoUse::Auto),
        userinfo_every: table
            .userinfo_every
            .given()
            .map(|found| positive(&table.userinfo_every, found.value.0, problems)),
        logout: table.logout.or(LogoutStyle::Auto),
        clock_leeway: leeway(&table.clock_leeway, problems),
        needed_claims: Vec::new(),
        deciding_claims: Vec::new(),
        insecure_http: table.insecure_http.or(false),
        roots: table.ca.into_value().map(|file| file.certificates).unwrap_or_default(),
        kind: kind?,
        discovery_url: table.discovery_url.into_value().map(|url| url.0),
        allowed_tenants: allowed_tenants?,
        client_id: table.client_id.into_value()?,
        client_auth: client_auth?,
        claims: ClaimMapping { trust_unverified_email, ..claims? },
    })
}

/// OpenID Connect by its issuer, or plain OAuth 2.0 by its endpoints.
fn kind(name: &Found<String>, table: &ProviderTable, problems: &mut Problems) -> Option<ProviderKind> {
    let endpoints = endpoints(table);
    if let Field::Given(found) = &table.issuer {
        let issuer = issuer::issuer(found, problems)?;
        return Some(ProviderKind::Oidc { issuer, overrides: endpoints });
    }
    if !table.issuer.is_absent() {
        return None;
    }
    let (authorization, token) = (table.authorization_endpoint.is_absent(), table.token_endpoint.is_absent());
    if authorization && token {
        problems.missing(kinds::ISSUER_MISSING, &name.place, &format!("{}.issuer", name.key));
        return None;
    }
    for (absent, key) in [(authorization, "authorization_endpoint"), (token, "token_endpoint")] {
        if absent {
            problems.missing(kinds::ENDPOINT_MISSING, &name.place, &format!("{}.{key}", name.key));
        }
    }
    check_plain(name, table, problems);
    if authorization || token {
        return None;
    }
    Some(ProviderKind::OAuth2 { endpoints, identity: plain_identity(table) })
}

/// Where the identity comes from at a plain OAuth 2.0 provider: it follows from the endpoints that are configured.
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
fn check_plain(name: &Found<String>, table: &ProviderTable, problems: &mut Problems) {
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
        let message = format!("`{}.{key}` is set, but the provider has no `issuer`", name.key);
        problems.add(kinds::NEEDS_ISSUER, place, message);
    }
    if let Some(found) = table.userinfo.given()
        && found.value == UserinfoUse::Always
        && table.userinfo_endpoint.is_absent()
    {
        let message = format!("{}.userinfo_endpoint", name.key);
        problems.missing(kinds::USERINFO_ENDPOINT_MISSING, &found.place, &message);
    }
}

/// The endpoints that are written.
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
fn check_http(name: &Found<String>, table: &ProviderTable, problems: &mut Problems) {
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
            let message = format!("`{}.{key}` is http, not https", name.key);
            problems.add(kinds::CLEAR_TEXT, place, message).label("clear text away from this machine");
        }
    }
    if let Some(Found { value: true, place, .. }) = table.insecure_http.given() {
        let message = format!("`{}.insecure_http` takes endpoints in clear text", name.key);
        problems.add(kinds::CLEAR_TEXT_ALLOWED, place, message);
    }
}

/// UI-06: an address that nobody verified may be anybody's, unless the operator says who may write addresses.
fn unverified_email(name: &Found<String>, table: &ProviderTable, problems: &mut Problems) -> bool {
    let Some(Found { value: true, place, .. }) = table.insecure_unverified_email.given() else { return false };
    let message = format!("`{}.insecure_unverified_email` takes addresses that nobody verified", name.key);
    problems.add(kinds::UNVERIFIED_EMAIL, place, message);
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

/// Parameters of the authorization request that are not our own.
fn parameters(field: &Field<Named<String>>, problems: &mut Problems) -> BTreeMap<String, String> {
    let mut parameters = BTreeMap::new();
    let Some(found) = field.given() else { return parameters };
    for (name, value) in found.value.given() {
        if RESERVED_PARAMETERS.contains(&name.value.as_str()) {
            problems.add(
                kinds::PARAMETER_RESERVED,
                &name.place,
                format!("`{}` cannot set `{}`", found.key, name.value),
            );
        } else {
            parameters.insert(name.value.clone(), value.value.clone());
        }
    }
    parameters
}

/// A form that another site posts brings no cookie along but one that is `SameSite=None`, which browsers keep over https only
/// (UI-14).
fn response_mode(field: &Field<ResponseMode>, https: Option<bool>, problems: &mut Problems) -> ResponseMode {
    let Some(found) = field.given() else { return ResponseMode::Query };
    if found.value == ResponseMode::FormPost && https == Some(false) {
        problems.on(kinds::FORM_POST_OVER_HTTP, found, "is \"form_post\", but server.public_url is http");
    }
    found.value
}

/// RFC 8707 section 2: an absolute URI without a fragment (IS-05).
fn resource(field: &Field<OneOrMany<String>>, problems: &mut Problems) -> Vec<Url> {
    let mut resources = Vec::new();
    for item in field.value().into_iter().flat_map(|list| &list.0) {
        match Url::parse(&item.value) {
            Ok(url) if url.fragment().is_none() => resources.push(url),
            _ => {
                problems.on(kinds::NO_RESOURCE, item, "is not an absolute URI without a fragment");
            }
        }
    }
    resources
}

/// ID-07, ID-08: never `none`; HS* only when written here, and with a secret as long as the hash.
fn algorithms(field: &Field<OneOrMany<String>>, table: &ProviderTable, problems: &mut Problems) -> Vec<String> {
    let mut algorithms = Vec::new();
    for item in field.value().into_iter().flat_map(|list| &list.0) {
        let name = item.value.as_str();
        if !ALGORITHMS.contains(&name) {
            problems
                .on(kinds::NO_ALGORITHM, item, format!("cannot hold \"{}\"", name.escape_default()))
                .help(format!("the algorithms are {}", listed(ALGORITHMS)));
            continue;
        }
        let hash_bytes = name.strip_prefix("HS").and_then(|bits| bits.parse::<usize>().ok()).map(|bits| bits / 8);
        let secret = table.client_secret.value().map_or(0, |secret| secret.0.expose().len());
        if let Some(needed) =
            hash_bytes.filter(|needed| secret < *needed && !matches!(table.client_secret, Field::Wrong))
        {
            problems.add(
                kinds::SECRET_SHORT_FOR_HMAC,
                &item.place,
                format!("{name} needs a client secret of at least {needed} bytes"),
            );
        }
        algorithms.push(name.to_owned());
    }
    algorithms
}

/// The tolerated difference of clocks; more than a few minutes is warned about.
fn leeway(field: &Field<Timespan>, problems: &mut Problems) -> Duration {
    let Some(found) = field.given() else { return LEEWAY };
    if found.value.0 > MAX_LEEWAY {
        problems.on(kinds::LONG_LEEWAY, found, "takes ID tokens long after they expired");
    }
    found.value.0
}

/// The items of a list of texts.
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
