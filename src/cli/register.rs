//! What has to be registered at the providers: the addresses that people come back to after signing in and after signing out.

use crate::config::Config;
use crate::gateway::settings::HostPattern;
use crate::provider::settings::{LogoutStyle, ProviderSettings};

/// What has to be registered at the providers. The host of a `*.` route stands as it is written.
#[derive(Debug, Default)]
pub(super) struct ToRegister {
    pub(super) redirect_uris: Vec<String>,
    pub(super) post_logout_redirect_uris: Vec<String>,
}

impl ToRegister {
    /// At all providers together.
    pub(super) fn of(config: &Config) -> Self {
        let mut all = Self::default();
        for here in config.providers.iter().map(|provider| Self::at(config, provider)) {
            all.redirect_uris.extend(here.redirect_uris);
            let new = |uri: &String| !all.post_logout_redirect_uris.contains(uri);
            let sign_outs: Vec<_> = here.post_logout_redirect_uris.into_iter().filter(new).collect();
            all.post_logout_redirect_uris.extend(sign_outs);
        }
        all
    }

    /// At one provider: one address for each host that signs in by itself.
    pub(super) fn at(config: &Config, provider: &ProviderSettings) -> Self {
        let scheme = if config.gateway.public_url.https { "https" } else { "http" };
        let own = |authority: &String, end: &str| format!("{scheme}://{authority}{}/{end}", config.gateway.prefix);
        let callback = match config.providers.as_slice() {
            [_] => "callback".to_owned(),
            _ => format!("callback/{}", provider.name),
        };
        let authorities = authorities(config);
        let signs_out_there = provider.logout == LogoutStyle::Auto;
        Self {
            redirect_uris: authorities.iter().map(|at| own(at, &callback)).collect(),
            post_logout_redirect_uris: authorities
                .iter()
                .filter(|_| signs_out_there)
                .map(|at| own(at, "signed-out"))
                .collect(),
        }
    }
}

/// The hosts that sign in by themselves, as they stand in URLs.
fn authorities(config: &Config) -> Vec<String> {
    let url = &config.gateway.public_url;
    let mut authorities = vec![url.authority.clone()];
    if config.session.cookie.domain.is_none() {
        let port =
            url.authority.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map(|(_, port)| format!(":{port}"));
        for host in config.gateway.routes.iter().flat_map(|route| &route.hosts) {
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
    authorities
}
