//! Where sign-ins come back to: the redirect URI of each provider, and those of before a reload.

use std::sync::Arc;

use crate::clock::MonotonicTime;
use crate::gateway::settings::{GatewaySettings, HostPattern};
use crate::provider::settings::ProviderSettings;

/// The paths of all redirect URIs.
#[derive(Clone, Debug, Default)]
pub(super) struct Redirects {
    /// Of the providers, in the order of the configuration.
    paths: Vec<String>,
    /// Those of them that do not lie below our prefix.
    outside: Vec<String>,
    /// Paths that were sent to providers before a reload, and until when an answer may come back to them.
    former: Vec<(String, MonotonicTime)>,
    /// What has to be registered at each provider.
    uris: Vec<(Arc<str>, Vec<String>)>,
}

impl Redirects {
    /// The redirect URIs of a configuration.
    pub(super) fn new(
        settings: &GatewaySettings,
        cookie_domain: Option<&str>,
        providers: &[&ProviderSettings],
    ) -> Self {
        let below = |path: &&String| path.strip_prefix(&settings.prefix).is_some_and(|rest| rest.starts_with('/'));
        let paths: Vec<String> = providers.iter().map(|it| it.redirect_path.clone()).collect();
        let outside = paths.iter().filter(|path| !below(path)).cloned().collect();
        let uris = |it: &&ProviderSettings| (Arc::clone(&it.name), redirect_uris(settings, cookie_domain, it));
        Self { outside, former: Vec::new(), uris: providers.iter().map(uris).collect(), paths }
    }

    /// The same after a reload: the former paths are still taken until the given time.
    pub(super) fn after(mut self, before: &Self, until: MonotonicTime, now: MonotonicTime) -> Self {
        let still = before.former.iter().filter(|(_, until)| *until > now).cloned();
        let moved = before.paths.iter().map(|path| (path.clone(), until));
        self.former = moved.chain(still).filter(|(path, _)| !self.paths.contains(path)).collect();
        self
    }

    /// Whether answers come back to a path that does not lie below our prefix.
    pub(super) fn takes(&self, path: &str, now: impl Fn() -> MonotonicTime) -> bool {
        self.outside.iter().any(|known| known == path)
            || self.former.iter().any(|(known, until)| known == path && now() < *until)
    }

    /// The providers that were there before, and the redirect URIs that have to be registered at them since.
    pub(super) fn moved_since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = (&'a str, Vec<&'a str>)> {
        self.uris.iter().filter_map(|(name, uris)| {
            let (_, known) = before.uris.iter().find(|(known, _)| known == name)?;
            let new: Vec<&str> = uris.iter().filter(|uri| !known.contains(uri)).map(String::as_str).collect();
            (!new.is_empty()).then_some((&**name, new))
        })
    }
}

/// What has to be registered at a provider as redirect URIs. The host of a `*.` route stands as it is written.
pub fn redirect_uris(
    settings: &GatewaySettings,
    cookie_domain: Option<&str>,
    provider: &ProviderSettings,
) -> Vec<String> {
    origins(settings, cookie_domain).iter().map(|origin| format!("{origin}{}", provider.redirect_path)).collect()
}

/// The origins that sign in by themselves.
pub fn origins(settings: &GatewaySettings, cookie_domain: Option<&str>) -> Vec<String> {
    let url = &settings.public_url;
    let mut authorities = vec![url.authority.clone()];
    if cookie_domain.is_none() {
        let port =
            url.authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map(|(_, port)| format!(":{port}"));
        for host in settings.routes.iter().flat_map(|route| &route.hosts) {
            let name = match host {
                HostPattern::Exact(name) => name.clone(),
                HostPattern::Suffix(suffix) => format!("*.{suffix}"),
            };
            let authority = format!("{name}{}", port.as_deref().unwrap_or_default());
            if !authorities.contains(&authority) {
                authorities.push(authority);
            }
        }
    }
    authorities.iter().map(|authority| url.origin_of(authority)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn redirects(uris: &[(&str, &[&str])]) -> Redirects {
        let owned = |uris: &&[&str]| uris.iter().map(|uri| (*uri).to_owned()).collect::<Vec<_>>();
        Redirects {
            uris: uris.iter().map(|(name, uris)| (Arc::from(*name), owned(uris))).collect(),
            ..Redirects::default()
        }
    }

    #[test]
    fn what_has_to_be_registered_anew_is_told_of_providers_that_were_there() {
        let before = redirects(&[("corp", &["https://a/callback", "https://b/callback"]), ("gone", &["https://a/x"])]);
        let after =
            redirects(&[("corp", &["https://a/callback/corp", "https://b/callback"]), ("new", &["https://a/n"])]);
        let moved: Vec<_> = after.moved_since(&before).collect();
        assert_eq!(moved, [("corp", vec!["https://a/callback/corp"])]);
        assert_eq!(before.moved_since(&before).count(), 0);
    }

    #[test]
    fn paths_of_before_are_ours_for_a_time_over_several_reloads() {
        let at = |path: &str| Redirects { paths: vec![path.to_owned()], ..Redirects::default() };
        let now = MonotonicTime::from_millis(1_000_000);
        let later = |secs| now.plus(Duration::from_secs(secs));
        let third = at("/c").after(&at("/b").after(&at("/a"), later(60), now), later(100), later(30));
        let takes = |path, secs| third.takes(path, || later(secs));
        assert!(takes("/a", 59) && !takes("/a", 60) && takes("/b", 99) && !takes("/b", 100));
        // One that comes back is nothing of the past.
        assert!(at("/a").after(&third, later(200), later(30)).former.iter().all(|(path, _)| path != "/a"));
    }
}
