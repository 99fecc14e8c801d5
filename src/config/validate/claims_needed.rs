//! Which claims of a provider the routes look at: with `userinfo = "auto"`, the endpoint is asked when one of them is missing.

use crate::gateway::settings::{RouteSettings, RuleSettings};
use crate::identity::{ClaimMapping, ClaimPath};
use crate::policy::settings::{Access, AllowSettings};
use crate::provider::settings::ProviderSettings;
use crate::proxy::settings::IdentityValue;

pub(super) fn with_needed_claims(
    mut providers: Vec<ProviderSettings>,
    routes: &[RouteSettings],
) -> Vec<ProviderSettings> {
    let rules =
        || routes.iter().flat_map(|route| std::iter::once(&route.rule).chain(route.paths.iter().map(|(_, rule)| rule)));
    for provider in &mut providers {
        for rule in rules().filter(|rule| looks_at(rule, &provider.name)) {
            let of_headers = rule.identity.headers.iter().filter_map(|(_, value)| claim_of(value, &provider.claims));
            for path in of_headers.chain(of_allow(&rule.allow, &provider.claims)) {
                if !provider.needed_claims.contains(&path) {
                    provider.needed_claims.push(path);
                }
            }
        }
    }
    providers
}

fn looks_at(rule: &RuleSettings, provider: &str) -> bool {
    !matches!(rule.access, Access::Public | Access::Deny) && rule.providers.iter().any(|name| name.as_ref() == provider)
}

fn claim_of(value: &IdentityValue, mapping: &ClaimMapping) -> Option<ClaimPath> {
    match value {
        IdentityValue::User => Some(mapping.user.clone()),
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

fn of_allow(allow: &AllowSettings, mapping: &ClaimMapping) -> Vec<ClaimPath> {
    let mut paths: Vec<ClaimPath> = allow.claims.iter().map(|(path, _)| path.clone()).collect();
    paths.extend(allow.groups.as_ref().map(|_| mapping.groups.clone()));
    paths.extend(allow.emails.as_ref().or(allow.domains.as_ref()).map(|_| mapping.email.clone()));
    paths.extend(allow.users.as_ref().map(|_| mapping.user.clone()));
    paths
}
