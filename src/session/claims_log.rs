//! What the log says of a provider's tokens: claims that did not come or name nobody, groups that are no groups, tokens that live too
//! short or bring no refresh token. The names of claims are the operator's business; their values are the person's, and are not
//! logged.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::identity::{ClaimPath, Claims, Identity, IdentityError, sought};
use crate::provider::settings::ProviderSettings;
use crate::session::Session;

/// Knows what was logged already: once for each configuration and provider is enough.
#[derive(Debug, Default)]
pub(super) struct ClaimsLog(Mutex<HashSet<(Arc<str>, String)>>);

impl ClaimsLog {
    /// Somebody signed in with these claims, of which nothing was left out yet, and is this person.
    pub(super) fn signed_in(&self, settings: &ProviderSettings, claims: &Claims, identity: &Identity) {
        if settings.names_people() {
            self.log_missing(settings, claims);
            self.log_unusable(settings, claims, identity);
            log_left_out(settings, claims);
        }
    }

    /// The same after a refresh: what was logged at the sign-in is not logged again.
    pub(super) fn renewed(&self, settings: &ProviderSettings, old: &Claims, new: &Claims) {
        let groups = &settings.claims.groups;
        if settings.names_people() && groups.find(new) != groups.find(old) {
            log_left_out(settings, new);
        }
    }

    /// Nothing renews the sessions of this provider, whose access tokens have this `life`: that matters where it is the shorter one.
    pub(super) fn check_no_refresh_token(&self, settings: &ProviderSettings, life: Duration, lifetime: Duration) {
        if life >= lifetime || !self.is_first(&settings.name, "refresh_token") {
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
            lifetime.as_secs(),
            if asked { "Grant that scope," } else { "Ask for the scope offline_access," },
        );
    }

    /// `refresh_before` is cut down to half of the tokens' life.
    pub(super) fn check_refresh_before(&self, session: &Session, configured: Option<Duration>) {
        let (Some(configured), Some(expires)) = (configured, session.access_expires) else { return };
        let life = expires.since(session.access_issued);
        if configured > life / 2
            && session.tokens.refresh.is_some()
            && self.is_first(&session.provider, "refresh_before")
        {
            tracing::warn!(
                code = "refresh_before_too_long",
                provider = %session.provider,
                life = life.as_secs(),
                refresh_before = configured.as_secs(),
                "the provider's access tokens live too short for [session] refresh_before: they are renewed after half of \
                 their life"
            );
        }
    }

    /// Claims that something reads and that did not come.
    fn log_missing(&self, settings: &ProviderSettings, claims: &Claims) {
        let mapping = &settings.claims;
        let own = [&mapping.subject, &mapping.user.from, &mapping.email, &mapping.name, &mapping.groups];
        let own = own.into_iter().chain(&settings.needed_claims).map(|path| (None, path));
        let wanted = settings.deciding_claims.iter().map(|(rule, path)| (Some(*rule), path)).chain(own);
        for (rule, path) in wanted.filter(|(_, path)| path.find(claims).is_none_or(Value::is_null)) {
            // People differ in what is known of them: where no rule decides by a claim, only one that is there under another spelling
            // is a fault of the set-up.
            let surely = sought::surely_meant(path, claims);
            if (rule.is_none() && surely.is_none()) || !self.is_first(&settings.name, &path.to_string()) {
                continue;
            }
            let decides = rule.map(|rule| format!(", by which {rule} decides,")).unwrap_or_default();
            tracing::warn!(
                code = "claim_missing",
                provider = %settings.name,
                claim = %path,
                rule,
                came = %sought::names(claims),
                "the claim \"{path}\"{decides} did not come with a sign-in{}",
                hint(if rule.is_some() { sought::meant(path, claims) } else { surely })
            );
        }
    }

    /// Claims that came and are nothing that could name somebody: a list of addresses, an object, a text with control characters.
    fn log_unusable(&self, settings: &ProviderSettings, claims: &Claims, identity: &Identity) {
        let mapping = &settings.claims;
        let has_email = identity.email.is_some() || identity.unverified_email.is_some();
        for (path, is_read, should_be) in [
            (&mapping.email, has_email, "one e-mail address"),
            (&mapping.user.from, identity.user.is_some(), "a text or a whole number"),
        ] {
            let came = match path.find(claims) {
                None | Some(Value::Null) => false,
                Some(value) => !value.as_str().is_some_and(|text| text.trim().is_empty()),
            };
            if came && !is_read && self.is_first(&settings.name, &path.to_string()) {
                tracing::warn!(
                    code = "claim_unusable",
                    provider = %settings.name,
                    claim = %path,
                    "the claim \"{path}\" came with a sign-in, but it is not {should_be}, and is left out"
                );
            }
        }
    }

    /// Whether this was not logged before.
    fn is_first(&self, provider: &Arc<str>, what: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((Arc::clone(provider), what.to_owned()))
    }
}

/// The claims of a sign-in name nobody.
pub(super) fn log_nobody(settings: &ProviderSettings, claims: &Claims, error: IdentityError) {
    let (key, claim) = sought_in_vain(settings, error);
    let is_there = claim.find(claims).is_some_and(|value| !value.is_null());
    tracing::warn!(
        code = error.code(),
        provider = %settings.name,
        %claim,
        came = %sought::names(claims),
        "{error}: claims.{key} seeks it in \"{claim}\"{}",
        hint(sought::meant(claim, claims).filter(|_| !is_there))
    );
}

/// The key of the claims table by which nobody was found, and the claim that it names.
pub(super) fn sought_in_vain(settings: &ProviderSettings, error: IdentityError) -> (&'static str, &ClaimPath) {
    let mapping = &settings.claims;
    if error.is_about_the_user_name() { ("user", &mapping.user.from) } else { ("subject", &mapping.subject) }
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

/// What may be meant, as the end of a sentence.
fn hint(meant: Option<String>) -> String {
    meant.map_or_else(String::new, |meant| format!("; did you mean \"{meant}\"?"))
}
