//! `[provider.NAME]`, but for how the client proves itself (`client`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::super::file::ProviderTable;
use super::super::units::WebUrl;
use super::{
    Field, Flaw, Found, Named, OneOrMany, Problems, Timespan, claims, client, each, issuer, kinds, listed,
    login_params, opened, outgoing, positive,
};
use crate::followed::Followed;
use crate::identity::ClaimMapping;
use crate::provider::KeyFile;
use crate::provider::RESERVED_PARAMETERS;
use crate::provider::outgoing_proxy::OutgoingProxies;
use crate::provider::settings::{
    Endpoints, LogoutStyle, LogoutTokenType, OAuth2Identity, ProviderKind, ProviderSettings, ResponseMode, UserinfoUse,
};
use crate::request::host::is_loopback;
use crate::tls_version::MinTlsVersion;

/// `https`: whether browsers reach us by https, as far as that is known; `variables`: the proxies that the environment names.
pub(super) fn provider(
    name: &Found<String>,
    table: &ProviderTable,
    (https, variables): (Option<bool>, &OutgoingProxies),
    problems: &mut Problems,
) -> Option<ProviderSettings> {
    table.client_id.required(kinds::CLIENT_ID_MISSING, (&name.place, &name.key), "client_id", problems);
    check_http(table, problems);
    let kind = kind(name, table, problems);
    let allowed_tenants = issuer::allowed_tenants(name, table, problems);
    let client_auth = client::client_auth(name, table, problems);
    let claims = opened(table.claims.clone(), problems).map(|found| claims::mapping(&found.value, problems));
    // UI-06: an address that nobody verified may be anybody's, unless the operator says who may write addresses.
    let unverified = (kinds::UNVERIFIED_EMAIL, "takes addresses that nobody verified");
    let trust_unverified_email = table.insecure_unverified_email.noted(&true, unverified.0, unverified.1, problems);
    let outgoing = outgoing::proxies(table, variables, problems);
    let oidc = !table.issuer.is_absent();
    Some(ProviderSettings {
        name: Arc::from(name.value.as_str()),
        title: table.title.value().cloned().unwrap_or_else(|| name.value.clone()),
        scopes: scopes(&table.scopes, oidc),
        // Depends on what else there is: see `redirect`.
        redirect_path: String::new(),
        pkce: table.pkce.or(true),
        authorization_params: parameters(&table.authorization_params, problems),
        login_params: login_params::login_params(table, problems),
        response_mode: response_mode(&table.response_mode, https, problems),
        quirks: table.quirks.value().map(|list| list.0.iter().map(|item| item.value).collect()).unwrap_or_default(),
        prompt: table.prompt.value().cloned(),
        max_age: table.max_age.value().map(|it| it.0),
        acr_values: each(&table.acr_values, problems, |item| Ok(item.value.clone())),
        resource: each(&table.resource, problems, resource),
        tls_min_version: table.tls_min_version.or(MinTlsVersion::default()),
        timeout: positive(&table.timeout, TIMEOUT, problems),
        audiences: each(&table.audiences, problems, |item| Ok(item.value.clone())),
        id_token_algorithms: algorithms(&table.id_token_algorithms, table, problems),
        userinfo_algorithms: algorithms(&table.userinfo_algorithms, table, problems),
        jwks: key_file(table, problems),
        jwks_min_interval: table.jwks_min_interval.or(Timespan(JWKS_MIN_INTERVAL)).0,
        default_expires_in: positive(&table.default_expires_in, DEFAULT_EXPIRES_IN, problems),
        userinfo: table.userinfo.or(UserinfoUse::Auto),
        userinfo_every: table.userinfo_every.value().map(|it| positive(&table.userinfo_every, it.0, problems)),
        logout: table.logout.or(LogoutStyle::Auto),
        logout_token_typ: table.logout_token_typ.or(LogoutTokenType::Any),
        clock_leeway: leeway(&table.clock_leeway, problems),
        needed_claims: Vec::new(),
        deciding_claims: Vec::new(),
        insecure_http: table.insecure_http.or(false),
        outgoing,
        roots: table.ca.value().map(|file| file.certificates.clone()).unwrap_or_default(),
        kind: kind?,
        discovery_url: table.discovery_url.value().map(|url| url.0.clone()),
        allowed_tenants: allowed_tenants?,
        client_id: table.client_id.value().cloned()?,
        client_auth: client_auth?,
        claims: ClaimMapping { trust_unverified_email, ..claims? },
    })
}

/// OpenID Connect by its issuer, or plain OAuth 2.0 by its endpoints.
fn kind(name: &Found<String>, table: &ProviderTable, problems: &mut Problems) -> Option<ProviderKind> {
    let endpoints = endpoints(table);
    let table_of = (&name.place, name.key.as_str());
    let (authorization, token) = (&table.authorization_endpoint, &table.token_endpoint);
    match &table.issuer {
        Field::Given(found) => {
            let issuer = issuer::issuer(found, problems)?;
            return Some(ProviderKind::Oidc { issuer, overrides: endpoints });
        }
        Field::Wrong => return None,
        Field::Absent if authorization.is_absent() && token.is_absent() => {
            table.issuer.required(kinds::ISSUER_MISSING, table_of, "issuer", problems);
            return None;
        }
        Field::Absent => {}
    }
    authorization.required(kinds::ENDPOINT_MISSING, table_of, "authorization_endpoint", problems);
    token.required(kinds::ENDPOINT_MISSING, table_of, "token_endpoint", problems);
    check_plain(name, table, problems);
    if authorization.is_absent() || token.is_absent() {
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
        table.discovery_url.mark(),
        table.allowed_tenants.mark(),
        table.jwks.mark(),
        table.jwks_uri.mark(),
        table.id_token_algorithms.mark(),
        table.userinfo_algorithms.mark(),
        table.audiences.mark(),
        table.acr_values.mark(),
        table.max_age.mark(),
    ];
    for found in given.into_iter().flatten() {
        problems.on(kinds::NEEDS_ISSUER, &found, "is set, but the provider has no `issuer`");
    }
    if let Some(Found { value: UserinfoUse::Always, place, .. }) = table.userinfo.given() {
        let (kind, table_of) = (kinds::USERINFO_ENDPOINT_MISSING, (place, name.key.as_str()));
        table.userinfo_endpoint.required(kind, table_of, "userinfo_endpoint", problems);
    }
}

/// The key set in a file, which leaves nothing to be fetched.
fn key_file(table: &ProviderTable, problems: &mut Problems) -> Option<Arc<Followed<KeyFile>>> {
    let found = table.jwks.given()?;
    if let Some(uri) = table.jwks_uri.given() {
        let diagnostic = problems.on(kinds::KEYS_TWO_WAYS, found, "is set, and `jwks_uri` as well");
        diagnostic.label("one").also(&uri.place, "and another");
    }
    if let Some(interval) = table.jwks_min_interval.given() {
        problems.on(kinds::INTERVAL_WITHOUT_FETCH, interval, "has no effect beside `jwks`");
    }
    problems.sound(found, found.value.0.keys(&found.key))
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
fn check_http(table: &ProviderTable, problems: &mut Problems) {
    let issuer = table.issuer.given().and_then(|found| Some(found.with(Url::parse(&found.value).ok()?)));
    let urls = [
        &table.discovery_url,
        &table.authorization_endpoint,
        &table.token_endpoint,
        &table.userinfo_endpoint,
        &table.introspection_endpoint,
        &table.revocation_endpoint,
        &table.end_session_endpoint,
        &table.jwks_uri,
    ];
    let urls = urls.into_iter().filter_map(Field::given).map(|found| found.with(found.value.0.clone()));
    let is_allowed = table.insecure_http.or(false);
    for url in issuer.into_iter().chain(urls).filter(|url| !is_allowed && url.value.scheme() == "http") {
        if !url.value.host().is_some_and(|host| is_loopback(&host)) {
            problems.on(kinds::CLEAR_TEXT, &url, "is http, not https").label("clear text away from this machine");
        }
    }
    table.insecure_http.noted(&true, kinds::CLEAR_TEXT_ALLOWED, "takes endpoints in clear text", problems);
}

/// For OpenID Connect, `openid` is always asked for
/// ([OpenID Connect Core 1.0 section 3.1.2.1](https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest)).
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
            let flaw = Flaw::new(kinds::PARAMETER_RESERVED, format!("cannot set `{}`", name.value));
            problems.flaw(flaw, &name.place, &found.key);
        } else {
            parameters.insert(name.value.clone(), value.value.clone());
        }
    }
    parameters
}

/// A form that another site posts brings no cookie along but one that is `SameSite=None`, which browsers keep over https only
/// (UI-14).
fn response_mode(field: &Field<ResponseMode>, https: Option<bool>, problems: &mut Problems) -> ResponseMode {
    if https == Some(false) {
        let what = "is \"form_post\", but server.public_url is http";
        field.noted(&ResponseMode::FormPost, kinds::FORM_POST_OVER_HTTP, what, problems);
    }
    field.or(ResponseMode::Query)
}

/// An absolute URI without a fragment (IS-05, [RFC 8707 section 2](https://www.rfc-editor.org/rfc/rfc8707#section-2)).
fn resource(found: &Found<String>) -> Result<Url, Flaw> {
    let url = Url::parse(&found.value).ok().filter(|url| url.fragment().is_none());
    url.ok_or_else(|| Flaw::new(kinds::NO_RESOURCE, "is not an absolute URI without a fragment"))
}

/// ID-07, ID-08: never `none`; HS* only when written here, and with a secret as long as the hash.
fn algorithms(field: &Field<OneOrMany<String>>, table: &ProviderTable, problems: &mut Problems) -> Vec<String> {
    let secret = table.client_secret.value().map_or(0, |secret| secret.0.expose().len());
    let known = each(field, problems, |item| {
        let help = || format!("the algorithms are {}", listed(ALGORITHMS));
        let flaw = || Flaw::of(kinds::UNKNOWN_WORD, "cannot hold", &item.value).help(help());
        ALGORITHMS.contains(&item.value.as_str()).then(|| item.clone()).ok_or_else(flaw)
    });
    for item in known.iter().filter(|_| !matches!(table.client_secret, Field::Wrong)) {
        let bits = item.value.strip_prefix("HS").and_then(|bits| bits.parse::<usize>().ok());
        if let Some(needed) = bits.map(|bits| bits / 8).filter(|needed| secret < *needed) {
            let message = format!("{} needs a client secret of at least {needed} bytes", item.value);
            problems.add(kinds::SECRET_SHORT_FOR_HMAC, &item.place, message);
        }
    }
    known.into_iter().map(|item| item.value).collect()
}

/// The tolerated difference of clocks; more than a few minutes is warned about.
fn leeway(field: &Field<Timespan>, problems: &mut Problems) -> Duration {
    if let Some(found) = field.given().filter(|found| found.value.0 > MAX_LEEWAY) {
        problems.on(kinds::LONG_LEEWAY, found, "takes ID tokens long after they expired");
    }
    field.or(Timespan(LEEWAY)).0
}

/// The signature algorithms that are implemented.
const ALGORITHMS: [&str; 14] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519", "HS256",
    "HS384", "HS512",
];
/// For one call to the provider.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Between two fetches of the key set.
const JWKS_MIN_INTERVAL: Duration = Duration::from_secs(60);
/// Of an access token without `expires_in`.
const DEFAULT_EXPIRES_IN: Duration = Duration::from_secs(3600);
/// Between the clocks.
const LEEWAY: Duration = Duration::from_secs(60);
/// More is warned about.
const MAX_LEEWAY: Duration = Duration::from_secs(300);
