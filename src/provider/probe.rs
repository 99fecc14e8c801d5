//! `vestibule check`: what the provider can do, compared with what the configuration assumes.

use std::time::Duration;

use crate::clock::UnixTime;
use crate::provider::Provider;
use crate::provider::error::{Endpoint, ProviderError};
use crate::provider::metadata::{Metadata, MetadataSource};
use crate::provider::settings::LogoutStyle;
use crate::provider::transport::Reply;

/// One thing that was found out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProbeFinding {
    /// How good it is.
    pub verdict: Verdict,
    /// A stable code.
    pub code: &'static str,
    /// One sentence for people.
    pub message: String,
}

/// How good a finding is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Works, but somebody should look at it.
    Warning,
    /// Nobody will be able to sign in.
    Failed,
}

impl Provider {
    /// Asks the provider what can be asked without signing in. Never fails: what fails is a finding.
    pub async fn probe(&self) -> Vec<ProbeFinding> {
        let mut found = Findings(Vec::new());
        match &self.metadata {
            MetadataSource::Fixed(metadata) => self.probe_plain(metadata, &mut found).await,
            MetadataSource::Discovered(discovery) => match discovery.fetch(&self.transport).await {
                Ok((metadata, reply)) => {
                    found.good("discovery", format!("discovery document of {} read", metadata.issuer));
                    self.probe_clock(&reply, &mut found);
                    self.probe_keys(&metadata, &mut found).await;
                    self.compare(&metadata, &mut found);
                }
                Err(error) => found.failed(error.code(), format!("{}: {error}", self.issuer())),
            },
        }
        found.0
    }

    /// A plain OAuth 2.0 server has nothing to read, so any answer of its token endpoint will do.
    async fn probe_plain(&self, metadata: &Metadata, found: &mut Findings) {
        match self.transport.get(Endpoint::Token, &metadata.token_endpoint, "application/json", None).await {
            Ok(reply) => {
                found.good("token_endpoint", format!("token endpoint answers ({})", reply.status.as_u16()));
                self.probe_clock(&reply, found);
            }
            Err(ProviderError::ServerError { status, .. }) => {
                found.warning("token_endpoint", format!("token endpoint answers {} to a GET", status.as_u16()));
            }
            Err(error) => found.failed(error.code(), format!("{}: {error}", metadata.token_endpoint)),
        }
    }

    async fn probe_keys(&self, metadata: &Metadata, found: &mut Findings) {
        let Some(url) = &metadata.jwks_uri else { return };
        match self.keys.current(&self.transport, url).await {
            Ok(set) => found.good("key_set", format!("key set has {} usable signature key(s)", set.keys.len())),
            Err(error) => found.failed(error.code(), format!("{url}: {error}")),
        }
    }

    fn probe_clock(&self, reply: &Reply, found: &mut Findings) {
        let Some(theirs) = reply.date() else { return };
        let ours = self.clock.now();
        let offset = distance(ours, theirs);
        let direction = if theirs > ours { "ahead" } else { "behind" };
        let text = format!("the provider's clock is {} s {direction}", offset.as_secs());
        // A `Date` has whole seconds and travelled for a while.
        if offset > self.settings.clock_leeway {
            found.failed(
                "clock_offset",
                format!(
                    "{text}: more than the leeway of {} s, ID tokens will be refused",
                    self.settings.clock_leeway.as_secs()
                ),
            );
        } else if offset > Duration::from_secs(5) {
            found.warning("clock_offset", text);
        } else {
            found.good("clock_offset", text);
        }
    }

    fn compare(&self, metadata: &Metadata, found: &mut Findings) {
        // DI-09
        let default = ["client_secret_basic".to_owned()];
        let methods = metadata.token_auth_methods.as_deref().unwrap_or(&default);
        let own = self.proof.method_name();
        if methods.iter().any(|m| m == own) {
            found.good("client_auth", format!("client authentication {own} is supported"));
        } else {
            found.warning(
                "client_auth",
                format!("client_auth is {own}, but the provider lists only {}", methods.join(", ")),
            );
        }
        match &metadata.challenge_methods {
            Some(methods) if methods.iter().any(|m| m == "S256") && !self.settings.pkce => {
                found.warning("pkce", "the provider supports PKCE S256, but pkce is switched off".to_owned());
            }
            Some(methods) if methods.iter().any(|m| m == "S256") => found.good("pkce", "PKCE S256: used".to_owned()),
            // PK-06
            Some(_) if self.settings.pkce => {
                found.warning(
                    "pkce",
                    "the provider lists PKCE methods without S256; S256 is sent all the same".to_owned(),
                );
            }
            _ => {}
        }
        if let Some(known) = &metadata.scopes {
            for scope in self.settings.scopes.iter().filter(|s| !known.contains(s)) {
                found.warning("scope", format!("scope {scope} is not in scopes_supported"));
            }
        }
        if self.settings.logout == LogoutStyle::Auto && metadata.end_session_endpoint.is_none() {
            found.warning("logout", "no end_session_endpoint: sign-out will end only our own session".to_owned());
        }
        if let Some(known) = &metadata.claims
            && self.settings.claims.groups == crate::identity::ClaimMapping::default().groups
            && !known.iter().any(|c| c == "groups")
        {
            found.warning("claims", "groups is not in claims_supported: allow.groups may never match".to_owned());
        }
        if self.algorithms.is_empty() && metadata.id_token_algorithms.is_empty() {
            found.failed(
                "id_token_alg",
                "the provider lists no ID token algorithm that is implemented and safe".to_owned(),
            );
        }
    }
}

struct Findings(Vec<ProbeFinding>);

impl Findings {
    fn good(&mut self, code: &'static str, message: String) {
        self.0.push(ProbeFinding { verdict: Verdict::Good, code, message });
    }

    fn warning(&mut self, code: &'static str, message: String) {
        self.0.push(ProbeFinding { verdict: Verdict::Warning, code, message });
    }

    fn failed(&mut self, code: &'static str, message: String) {
        self.0.push(ProbeFinding { verdict: Verdict::Failed, code, message });
    }
}

fn distance(a: UnixTime, b: UnixTime) -> Duration {
    a.since(b).max(b.since(a))
}
