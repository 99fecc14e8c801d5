//! Which claims of a provider the routes look at: sessions keep these, the log says when one that decides does not come, and
//! with `userinfo = "auto"` the endpoint is asked when one is missing.

use crate::gateway::settings::{RouteSettings, RuleSettings};
use crate::identity::{ClaimMapping, ClaimPath};
use crate::policy::settings::AllowSettings;
use crate::provider::settings::ProviderSettings;
use crate::proxy::settings::{Authorization, IdentityValue};

/// Adds to each provider the claims that the rules of routes look at.
pub(super) fn with_needed_claims(
    mut providers: Vec<ProviderSettings>,
    routes: &[RouteSettings],
) -> Vec<ProviderSettings> {
    let rules = || routes.iter().flat_map(RouteSettings::rules);
    for provider in &mut providers {
        // Whoever has no user name then is nobody, whatever the routes look at.
        if provider.claims.user.is_required() {
            add(&mut provider.needed_claims, provider.claims.user.from.clone());
        }
        for rule in rules().filter(|rule| looks_at(rule, &provider.name)) {
            let user = match &rule.identity.authorization {
                Authorization::Basic(credentials) => Some(&credentials.user),
                _ => None,
            };
            let told = rule.identity.headers.iter().map(|(_, value)| value).chain(user);
            let of_headers = told.filter_map(|value| claim_of(value, &provider.claims));
            let deciding = of_allow(&rule.allow, &provider.claims);
            for path in of_headers.chain(deciding.iter().map(|(_, path)| path.clone())) {
                add(&mut provider.needed_claims, path);
            }
            deciding.into_iter().for_each(|claim| add(&mut provider.deciding_claims, claim));
        }
    }
    providers
}

/// Adds what is not among them yet.
fn add<T: PartialEq>(known: &mut Vec<T>, new: T) {
    if !known.contains(&new) {
        known.push(new);
    }
}

/// Whether a rule looks at sessions of a provider.
fn looks_at(rule: &RuleSettings, provider: &str) -> bool {
    rule.access.looks_at_session() && rule.providers.iter().any(|name| name.as_ref() == provider)
}

/// The claim that a header is made of.
fn claim_of(value: &IdentityValue, mapping: &ClaimMapping) -> Option<ClaimPath> {
    match value {
        IdentityValue::User => Some(mapping.user.from.clone()),
        IdentityValue::Subject => Some(mapping.subject.clone()),
        IdentityValue::Email => Some(mapping.email.clone()),
        IdentityValue::Name => Some(mapping.name.clone()),
        IdentityValue::PreferredUsername => ClaimPath::parse("preferred_username").ok(),
        IdentityValue::Groups => Some(mapping.groups.clone()),
        IdentityValue::Claim(path) => Some(path.clone()),
        IdentityValue::AccessToken | IdentityValue::IdToken | IdentityValue::Provider | IdentityValue::Literal(_) => {
            None
        }
    }
}

/// The claims that `allow` decides by, each with its key.
fn of_allow(allow: &AllowSettings, mapping: &ClaimMapping) -> Vec<(&'static str, ClaimPath)> {
    let asked = [
        ("allow.groups", allow.groups.is_some(), &mapping.groups),
        ("allow.emails", allow.emails.is_some(), &mapping.email),
        ("allow.domains", allow.domains.is_some(), &mapping.email),
        ("allow.users", allow.users.is_some(), &mapping.user.from),
        ("allow.subjects", allow.subjects.is_some(), &mapping.subject),
    ];
    let of_identity = asked.into_iter().filter(|(_, is_asked, _)| *is_asked).map(|(key, _, path)| (key, path.clone()));
    of_identity.chain(allow.claims.iter().map(|(path, _)| ("allow.claims", path.clone()))).collect()
}
