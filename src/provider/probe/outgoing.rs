//! Which proxy a provider is asked through, and who says so.

use url::Url;

use super::{Findings, ProbeFinding};
use crate::provider::metadata::Metadata;
use crate::provider::outgoing_proxy::ProxyChoice;
use crate::provider::settings::{ProviderKind, ProviderSettings};

impl ProviderSettings {
    /// The endpoint that is asked first, as far as the settings name it: the discovery document, or the token endpoint.
    pub fn first_endpoint(&self) -> Option<Url> {
        match (&self.discovery_url, &self.kind) {
            (Some(url), _) => Some(url.clone()),
            (None, ProviderKind::Oidc { issuer, overrides }) if !overrides.need_no_discovery(self.jwks.is_some()) => {
                Url::parse(issuer).ok()
            }
            (None, ProviderKind::Oidc { overrides: endpoints, .. } | ProviderKind::OAuth2 { endpoints, .. }) => {
                endpoints.token_endpoint.clone()
            }
        }
    }

    /// Which proxy the provider is asked through; nothing where none is named. Asks nobody.
    pub fn outgoing_findings(&self) -> Vec<ProbeFinding> {
        let mut found = Findings::default();
        if self.outgoing.is_named()
            && let Some(first) = self.first_endpoint()
        {
            let choice = self.outgoing.choice(&first);
            found.good("outgoing_proxy", format!("asked {choice}"));
            let (ProviderKind::Oidc { overrides: written, .. } | ProviderKind::OAuth2 { endpoints: written, .. }) =
                &self.kind;
            self.others(choice, written.asked(), &mut found);
        }
        found.0
    }

    /// Names the endpoints that are asked in another way than the first.
    fn others<'a>(
        &self,
        first: ProxyChoice<'_>,
        endpoints: impl Iterator<Item = (&'static str, &'a Url)>,
        found: &mut Findings,
    ) {
        for (name, url) in endpoints {
            let choice = self.outgoing.choice(url).to_string();
            if choice != first.to_string() {
                found.good("outgoing_proxy", format!("{name} is asked {choice}"));
            }
        }
    }

    /// The same of endpoints that the discovery document named.
    pub(super) fn discovered_findings(&self, metadata: &Metadata, found: &mut Findings) {
        let Some(first) = self.first_endpoint().filter(|_| self.outgoing.is_named()) else { return };
        self.others(self.outgoing.choice(&first), metadata.endpoints.asked(), found);
    }
}
