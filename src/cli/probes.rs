//! The probes of `vestibule check`: provider and upstreams, all at once, each with a deadline.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _, join_all};
use serde_json::{Value, json};

use super::register::ToRegister;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::gateway::settings::{RouteSettings, RuleSettings, TargetSettings};
use crate::provider::settings::ProviderSettings;
use crate::provider::{Grade, ProbeFinding, ProbeRequest, Provider};
use crate::proxy;
use crate::proxy::settings::UpstreamSettings;

/// One line of the checklist.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Finding {
    /// `provider corp`, `route wiki`.
    pub(super) subject: String,
    /// What was found.
    pub(super) found: ProbeFinding,
}

impl Finding {
    /// A finding of the command itself.
    pub(super) fn new(subject: String, grade: Grade, code: &'static str, message: String) -> Self {
        Self { subject, found: ProbeFinding { grade, code, message } }
    }

    /// How good it is, as the word at the beginning of a line.
    pub(super) fn grade(&self) -> &'static str {
        match self.found.grade {
            Grade::Good => "ok",
            Grade::Warning => "warn",
            Grade::Failed => "fail",
        }
    }

    /// For programs.
    pub(super) fn to_json(&self) -> Value {
        let ProbeFinding { code, message, .. } = &self.found;
        json!({ "subject": self.subject, "verdict": self.grade(), "code": code, "message": message })
    }
}

/// Asks everything that the configuration names.
///
/// # Errors
/// No runtime could be made.
pub(super) fn probe(config: &Config) -> std::io::Result<Vec<Finding>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let providers =
        config.providers.iter().map(|settings| probe_provider(settings.clone(), expected(config, settings)).boxed());
    let routes = config.gateway.routes.iter().filter_map(probe_route);
    let found = runtime.block_on(join_all(providers.chain(routes)));
    // A probe that hangs in the resolver must not keep the command from ending.
    runtime.shutdown_background();
    Ok(found.into_iter().flatten().collect())
}

/// A finding that comes again in the same words is kept once: an endpoint that is away is found so by each URI.
pub(super) fn each_once(found: Vec<Finding>) -> Vec<Finding> {
    let mut seen = HashSet::new();
    found.into_iter().filter(|finding| seen.insert(finding.clone())).collect()
}

/// Which proxy each provider is asked through. Asks nobody.
pub(super) fn outgoing(config: &Config) -> impl Iterator<Item = Finding> {
    config.providers.iter().flat_map(|provider| {
        let subject = format!("provider {}", provider.name);
        provider.outgoing_findings().into_iter().map(move |found| Finding { subject: subject.clone(), found })
    })
}

/// What the configuration expects of this provider.
fn expected(config: &Config, provider: &ProviderSettings) -> ProbeRequest {
    let register = ToRegister::at(config, provider);
    let asks = |rule: &RuleSettings| rule.max_age.is_some() && rule.providers.contains(&provider.name);
    let asking = config.gateway.routes.iter().filter(|route| route.rules().any(asks));
    ProbeRequest {
        redirect_uris: register.redirect_uris,
        post_logout_redirect_uris: register.post_logout_redirect_uris,
        max_age_asked_by: asking.map(|route| format!("route.{}", route.name)).collect(),
    }
}

/// Probes one provider, within the deadline.
async fn probe_provider(settings: ProviderSettings, expected: ProbeRequest) -> Vec<Finding> {
    let subject = format!("provider {}", settings.name);
    // The document, and then one endpoint with its redirects; each call has its own time.
    let deadline = settings.timeout.saturating_mul(10).min(LONGEST);
    let one = |code, message| vec![Finding::new(subject.clone(), Grade::Failed, code, message)];
    let provider = match Provider::new(settings, SystemClock::shared()) {
        Ok(provider) => provider,
        Err(error) => return one("provider_setup", error.to_string()),
    };
    let Ok(found) = tokio::time::timeout(deadline, provider.probe(&expected)).await else {
        return one("timeout", format!("no answer within {}", humantime::format_duration(deadline)));
    };
    found.into_iter().map(|found| Finding { subject: subject.clone(), found }).collect()
}

/// Routes that answer by themselves have nothing to probe.
fn probe_route(route: &RouteSettings) -> Option<BoxFuture<'static, Vec<Finding>>> {
    let TargetSettings::Upstream(settings) = &route.target else { return None };
    Some(probe_upstream(format!("route {}", route.name), (**settings).clone()).boxed())
}

/// Probes the addresses of one upstream, within the deadline.
async fn probe_upstream(subject: String, settings: UpstreamSettings) -> Vec<Finding> {
    let addresses: Vec<String> = settings.addresses.iter().map(|address| address.place().to_string()).collect();
    let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    // A connection, and what is asked on it.
    let deadline = (settings.connect_timeout + ASKED).saturating_mul(count).min(LONGEST);
    let (grade, code, message) = match tokio::time::timeout(deadline, proxy::probe::probe(&settings)).await {
        Ok(Ok(())) => (Grade::Good, "upstream", format!("{} can be reached", addresses.join(", "))),
        Ok(Err(problem)) => (Grade::Failed, "upstream", problem),
        Err(_) => (Grade::Failed, "timeout", format!("no answer within {}", humantime::format_duration(deadline))),
    };
    vec![Finding::new(subject, grade, code, message)]
}

/// How long one probe may take.
const ASKED: Duration = Duration::from_secs(10);
/// How long a provider with its several steps may take.
const LONGEST: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_five_times_is_said_once_of_each_subject() {
        let found = |subject: &str, message: &str| {
            Finding::new(subject.to_owned(), Grade::Failed, "authorization", message.to_owned())
        };
        let away = || found("provider old", "no connection");
        let all =
            vec![away(), found("provider new", "no connection"), away(), found("provider old", "refused"), away()];
        let kept: Vec<_> =
            each_once(all).into_iter().map(|it| format!("{}: {}", it.subject, it.found.message)).collect();
        assert_eq!(kept, ["provider old: no connection", "provider new: no connection", "provider old: refused"]);
    }
}
