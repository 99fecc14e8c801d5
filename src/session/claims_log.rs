//! What the log says of what a sign-in brought: that there was no refresh token, and of the claims: those that were sought and did not come, and what in the groups is no group.
//! The names of claims are the operator's business; their values are the person's, and are not logged.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::identity::{ClaimPath, Claims, Identity, IdentityError, sought};
use crate::provider::settings::ProviderSettings;
use crate::session::sessions::Sessions;

/// The claims of which it was said that they did not come, by provider: once for each configuration is enough.
#[derive(Debug, Default)]
pub(super) struct ClaimsSaid(Mutex<HashSet<(Arc<str>, String)>>);

impl ClaimsSaid {
    fn is_news(&self, provider: &Arc<str>, path: &ClaimPath) -> bool {
        self.is_first(provider, &path.to_string())
    }

    fn is_first(&self, provider: &Arc<str>, what: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((Arc::clone(provider), what.to_owned()))
    }
}

impl Sessions {
    /// Somebody signed in with these claims, of which nothing was left out yet, and is this person.
    pub(super) fn log_claims(&self, provider: usize, claims: &Claims, identity: &Identity) {
        let Some(settings) = self.people_of(provider) else { return };
        self.log_missing(settings, claims);
        self.log_unusable(settings, claims, identity);
        log_left_out(settings, claims);
    }

    /// The same after a refresh: what was said at the sign-in is not said again.
    pub(super) fn log_refreshed_claims(&self, provider: usize, old: &Claims, new: &Claims) {
        let Some(settings) = self.people_of(provider) else { return };
        let groups = &settings.claims.groups;
        if groups.find(new) != groups.find(old) {
            log_left_out(settings, new);
        }
    }

    /// The claims of a sign-in name nobody.
    pub(super) fn log_nobody(&self, provider: usize, claims: &Claims, error: IdentityError) {
        let Some(settings) = self.people_of(provider) else { return };
        let subject = &settings.claims.subject;
        tracing::warn!(
            code = error.code(),
            provider = %settings.name,
            claim = %subject,
            came = %sought::names(claims),
            "{error}: claims.subject seeks it in \"{subject}\"{}",
            hint(sought::meant(subject, claims))
        );
    }

    /// Nothing renews the sessions of this provider: said once for each configuration.
    pub(super) fn log_no_refresh_token(&self, provider: usize, life: Duration) {
        let Some(settings) = self.provider(provider).map(|provider| provider.settings()) else { return };
        if !self.claims_said.is_first(&settings.name, "refresh_token") {
            return;
        }
        let asked = settings.scopes.iter().any(|scope| scope == "offline_access");
        tracing::warn!(
            code = "no_refresh_token",
            provider = %settings.name,
            access_token_life = life.as_secs(),
            "no refresh token came with a sign-in{}: sessions end with their access token, after {} s instead of {} s \
             ([session] lifetime). {} switch refresh tokens on for this client, or make its access tokens live longer",
            if asked { ", although offline_access was asked for" } else { "" },
            life.as_secs(),
            self.settings.lifetime.as_secs(),
            if asked { "Grant that scope," } else { "Ask for the scope offline_access," },
        );
    }

    fn log_missing(&self, settings: &ProviderSettings, claims: &Claims) {
        let is_missing = |path: &ClaimPath| path.find(claims).is_none_or(Value::is_null);
        for (rule, path) in settings.deciding_claims.iter().filter(|(_, path)| is_missing(path)) {
            if self.claims_said.is_news(&settings.name, path) {
                tracing::warn!(
                    code = "claim_missing",
                    provider = %settings.name,
                    claim = %path,
                    rule,
                    came = %sought::names(claims),
                    "the claim \"{path}\", by which {rule} decides, did not come with a sign-in{}",
                    hint(sought::meant(path, claims))
                );
            }
        }
        let mapping = &settings.claims;
        let own = [&mapping.subject, &mapping.user, &mapping.email, &mapping.name, &mapping.groups];
        for path in own.into_iter().chain(&settings.needed_claims).filter(|path| is_missing(path)) {
            // People differ in what is known of them. Only a claim that is there under another spelling is a fault of the set-up.
            if let Some(meant) = sought::surely_meant(path, claims)
                && self.claims_said.is_news(&settings.name, path)
            {
                tracing::warn!(
                    code = "claim_missing",
                    provider = %settings.name,
                    claim = %path,
                    came = %sought::names(claims),
                    "the claim \"{path}\" did not come with a sign-in{}",
                    hint(Some(meant))
                );
            }
        }
    }

    /// Claims that came and are nothing that could name somebody: a list of addresses, an object, a text with control characters.
    fn log_unusable(&self, settings: &ProviderSettings, claims: &Claims, identity: &Identity) {
        let mapping = &settings.claims;
        let has_email = identity.email.is_some() || identity.unverified_email.is_some();
        for (path, is_read, should_be) in [
            (&mapping.email, has_email, "one e-mail address"),
            (&mapping.user, identity.user.is_some(), "a text or a whole number"),
        ] {
            let came = match path.find(claims) {
                None | Some(Value::Null) => false,
                Some(value) => !value.as_str().is_some_and(|text| text.trim().is_empty()),
            };
            if came && !is_read && self.claims_said.is_news(&settings.name, path) {
                tracing::warn!(
                    code = "claim_unusable",
                    provider = %settings.name,
                    claim = %path,
                    "the claim \"{path}\" came with a sign-in, but it is not {should_be}, and is left out"
                );
            }
        }
    }

    fn people_of(&self, provider: usize) -> Option<&ProviderSettings> {
        self.provider(provider).map(|provider| provider.settings()).filter(|settings| settings.names_people())
    }
}

/// What is left out decides about access as much as what is not: each sign-in says it, for it is about this person.
fn log_left_out(settings: &ProviderSettings, claims: &Claims) {
    let mapping = &settings.claims;
    let Some(claim) = mapping.groups.find(claims) else { return };
    let mut counts = BTreeMap::<String, usize>::new();
    for left_out in mapping.group_shape.left_out(claim) {
        *counts.entry(left_out.to_string()).or_default() += 1;
    }
    if counts.is_empty() {
        return;
    }
    let what: Vec<String> = counts.iter().map(|(what, count)| format!("{count} times {what}")).collect();
    tracing::warn!(
        code = "groups_left_out",
        provider = %settings.name,
        claim = %mapping.groups,
        left_out = counts.values().sum::<usize>(),
        "the groups claim holds what is no group, and it is left out: {}",
        what.join("; ")
    );
}

fn hint(meant: Option<String>) -> String {
    meant.map_or_else(String::new, |meant| format!("; did you mean \"{meant}\"?"))
}
