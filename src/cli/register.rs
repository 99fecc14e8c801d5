//! What has to be registered at the providers: the addresses that people come back to after signing in and after signing out.

use crate::config::Config;
use crate::gateway::redirects::{origins, redirect_uris};
use crate::provider::settings::{LogoutStyle, ProviderKind, ProviderSettings};

/// What has to be registered at the providers. The host of a `*.` route stands as it is written.
#[derive(Debug, Default)]
pub(super) struct ToRegister {
    /// After signing in.
    pub(super) redirect_uris: Vec<String>,
    /// After signing out.
    pub(super) post_logout_redirect_uris: Vec<String>,
    /// Where an OpenID provider posts logout tokens, for all hosts.
    pub(super) backchannel_logout_uri: Option<String>,
    /// What it loads in frames of its own sign-out page, for all hosts.
    pub(super) frontchannel_logout_uri: Option<String>,
}

impl ToRegister {
    /// At all providers together.
    pub(super) fn of(config: &Config) -> Self {
        let mut all = Self::default();
        for here in config.providers.iter().map(|provider| Self::at(config, provider)) {
            all.redirect_uris.extend(here.redirect_uris);
            all.backchannel_logout_uri = all.backchannel_logout_uri.or(here.backchannel_logout_uri);
            all.frontchannel_logout_uri = all.frontchannel_logout_uri.or(here.frontchannel_logout_uri);
            let new = |uri: &String| !all.post_logout_redirect_uris.contains(uri);
            let sign_outs: Vec<_> = here.post_logout_redirect_uris.into_iter().filter(new).collect();
            all.post_logout_redirect_uris.extend(sign_outs);
        }
        all
    }

    /// At one provider: one address for each host that signs in by itself.
    pub(super) fn at(config: &Config, provider: &ProviderSettings) -> Self {
        let domain = config.session.cookie.domain.as_deref();
        let signed_out = |origin: &String| format!("{origin}{}/signed-out", config.gateway.prefix);
        let origins = origins(&config.gateway, domain);
        let is_openid = matches!(provider.kind, ProviderKind::Oidc { .. });
        let for_all_hosts = |endpoint: &str| {
            is_openid.then(|| format!("{}{}/{endpoint}", config.gateway.public_url.origin(), config.gateway.prefix))
        };
        Self {
            redirect_uris: redirect_uris(&config.gateway, domain, provider),
            post_logout_redirect_uris: origins
                .iter()
                .filter(|_| provider.logout == LogoutStyle::Auto)
                .map(signed_out)
                .collect(),
            backchannel_logout_uri: for_all_hosts("backchannel-logout"),
            frontchannel_logout_uri: for_all_hosts("frontchannel-logout"),
        }
    }
}
