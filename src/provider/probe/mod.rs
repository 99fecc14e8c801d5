//! `vestibule check`: whether people can sign in and out at the provider, as far as that shows without a person.
//!
//! 1. Every request is one that the gateway itself would make: the browser's authorization request with `prompt=none`, the
//!    browser's sign-out without an ID token, the code exchange with a made-up code.
//! 2. Nothing is left behind: no session is begun here or there, and no code is redeemed.
//! 3. What the provider does counts more than what its metadata says: lists such as `claims_supported` need not be complete
//!    ([OpenID Connect Discovery section 3](https://openid.net/specs/openid-connect-discovery-1_0.html#rfc.section.3)).

mod authorization;
mod compare;
mod endpoints;
mod outgoing;
mod visit;

use std::time::Duration;

use futures_util::future::join_all;
use url::Url;

use crate::followed::Follow as _;
use crate::provider::Provider;
use crate::provider::metadata::{Metadata, MetadataSource};
use crate::provider::reply::Reply;
use crate::provider::words::Words;

/// What the configuration expects of a provider.
#[derive(Clone, Debug, Default)]
pub struct ProbeRequest {
    /// The redirect URIs that have to be registered there.
    pub redirect_uris: Vec<String>,
    /// The post-logout redirect URIs that have to be registered there.
    pub post_logout_redirect_uris: Vec<String>,
    /// Who asks for a `max_age` besides the provider's own setting: `route.wiki`.
    pub max_age_asked_by: Vec<String>,
}

/// One thing that was found out.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ProbeFinding {
    /// How good it is.
    pub grade: Grade,
    /// A stable code.
    pub code: &'static str,
    /// One sentence for people.
    pub message: String,
}

/// How good a finding is.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Grade {
    /// As it should be.
    Good,
    /// Works, but somebody should look at it.
    Warning,
    /// Nobody will be able to sign in, or to sign out.
    Failed,
}

impl Provider {
    /// Tries what can be tried without a person. A failure is a finding.
    pub async fn probe(&self, request: &ProbeRequest) -> Vec<ProbeFinding> {
        let mut found = Findings::default();
        match &self.metadata {
            MetadataSource::Fixed(metadata) => _ = self.probe_endpoints(metadata, request, &mut found).await,
            MetadataSource::Discovered(discovery) => match discovery.fetch(&self.transport).await {
                Ok((metadata, reply)) => {
                    found.good("discovery", format!("discovery document of {} read", metadata.issuer.text()));
                    self.settings.discovered_findings(&metadata, &mut found);
                    self.probe_clock(&reply, &mut found);
                    let are_judged = self.probe_endpoints(&metadata, request, &mut found).await;
                    self.compare(&metadata, request, are_judged, &mut found);
                }
                Err(error) => found.failed(error.code(), format!("{}: {error}", self.issuer())),
            },
        }
        found.0
    }

    /// All endpoints at once: each of them may take its time. Gives whether the token endpoint judged the client's credentials.
    async fn probe_endpoints(&self, metadata: &Metadata, request: &ProbeRequest, found: &mut Findings) -> bool {
        let authorizations = request.redirect_uris.iter().filter_map(|uri| known_address(uri)).take(MOST_URIS);
        let sign_outs = request.post_logout_redirect_uris.iter().filter_map(|uri| known_address(uri)).take(MOST_URIS);
        let redirect_uri = request.redirect_uris.first().map(String::as_str).unwrap_or_default();
        let (keys, authorizations, (token, are_judged), sign_outs) = futures_util::join!(
            self.probe_keys(metadata),
            join_all(authorizations.map(|(uri, at)| self.probe_authorization(metadata, uri, at))),
            self.probe_token(metadata, redirect_uri),
            join_all(sign_outs.map(|(uri, at)| self.probe_end_session(metadata, uri, at))),
        );
        let all = [keys].into_iter().chain(authorizations).chain([token]).chain(sign_outs);
        found.0.extend(all.flat_map(|findings| findings.0));
        are_judged
    }

    /// Reads the key set.
    async fn probe_keys(&self, metadata: &Metadata) -> Findings {
        let mut found = Findings::default();
        if let Some(file) = &self.settings.jwks {
            found.good("key_set", format!("{} has {}: no key set is fetched", file.path().display(), file.summary()));
        } else if let Some(url) = &metadata.endpoints.jwks_uri {
            match self.keys.current(&self.transport, url).await {
                Ok(set) => found.good("key_set", format!("key set has {} usable signature key(s)", set.keys.len())),
                Err(error) => found.failed(error.code(), format!("{url}: {error}")),
            }
        }
        found
    }

    /// Compares the clocks.
    fn probe_clock(&self, reply: &Reply, found: &mut Findings) {
        let Some(theirs) = reply.date() else { return };
        let ours = self.clock.now();
        let offset = ours.since(theirs).max(theirs.since(ours));
        let direction = if theirs > ours { "ahead" } else { "behind" };
        let text = format!("the provider's clock is {} s {direction}", offset.as_secs());
        // A `Date` has whole seconds and travelled for a while.
        let leeway = self.settings.clock_leeway;
        if offset > leeway {
            let more = format!("more than the leeway of {} s, ID tokens will be refused", leeway.as_secs());
            found.failed("clock_offset", format!("{text}: {more}"));
        } else if offset > Duration::from_secs(5) {
            found.warning("clock_offset", text);
        } else {
            found.good("clock_offset", text);
        }
    }
}

/// What was found out so far.
#[derive(Debug, Default)]
struct Findings(Vec<ProbeFinding>);

impl Findings {
    /// Something is as it should be.
    fn good(&mut self, code: &'static str, message: impl Into<String>) {
        self.0.push(ProbeFinding { grade: Grade::Good, code, message: message.into() });
    }

    /// Somebody should look at something.
    fn warning(&mut self, code: &'static str, message: impl Into<String>) {
        self.0.push(ProbeFinding { grade: Grade::Warning, code, message: message.into() });
    }

    /// Something keeps people from signing in or out.
    fn failed(&mut self, code: &'static str, message: impl Into<String>) {
        self.0.push(ProbeFinding { grade: Grade::Failed, code, message: message.into() });
    }
}

/// The parameters that the provider sent, by name.
#[derive(Debug)]
struct ResponseParameters(Vec<(String, String)>);

impl ResponseParameters {
    /// A parameter, the first of its name.
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The error code; empty where there is none.
    fn error(&self) -> &str {
        self.get("error").unwrap_or_default()
    }

    /// The error and its description.
    fn words(&self) -> Words {
        Words::new(self.error(), self.get("error_description"))
    }
}

/// An address of ours as text and as URL; those of a wildcard host stand for no certain address.
fn known_address(uri: &str) -> Option<(&str, Url)> {
    let url = Url::parse(uri).ok()?;
    url.host_str().is_some_and(|host| !host.contains('*')).then_some((uri, url))
}

/// How many addresses of each kind are asked about.
const MOST_URIS: usize = 8;
