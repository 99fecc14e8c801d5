//! The probes of `vestibule check`: provider and upstreams, all at once, each with a deadline.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _, join_all};
use serde_json::{Value, json};

use super::register::ToRegister;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::gateway::settings::{RouteSettings, RuleSettings, Target};
use crate::provider::settings::ProviderSettings;
use crate::provider::{ProbeRequest, Provider, Verdict};
use crate::proxy;
use crate::proxy::settings::UpstreamSettings;

/// One line of the checklist.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    /// `provider corp`, `route wiki`.
    pub(super) subject: String,
    pub(super) mark: Mark,
    /// A stable code.
    pub(super) code: &'static str,
    /// One sentence.
    pub(super) message: String,
}

/// How good it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mark {
    Good,
    Warning,
    Failed,
}

impl Mark {
    /// The word at the beginning of a line.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Warning => "warn",
            Self::Failed => "fail",
        }
    }
}

impl Finding {
    /// For programs.
    pub(super) fn to_json(&self) -> Value {
        json!({ "subject": self.subject, "verdict": self.mark.as_str(), "code": self.code, "message": self.message })
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
    Ok(each_once(found.into_iter().flatten().collect()))
}

/// What was found again in the same words, as an endpoint that is away is by each URI that it is asked about, is said once.
fn each_once(found: Vec<Finding>) -> Vec<Finding> {
    let mut told = HashSet::new();
    found.into_iter().filter(|finding| told.insert((finding.subject.clone(), finding.message.clone()))).collect()
}

/// What the configuration expects of this provider.
fn expected(config: &Config, provider: &ProviderSettings) -> ProbeRequest {
    let register = ToRegister::at(config, provider);
    let asks = |rule: &RuleSettings| rule.max_age.is_some() && rule.providers.contains(&provider.name);
    let rules =
        |route: &RouteSettings| std::iter::once(&route.rule).chain(route.paths.iter().map(|(_, rule)| rule)).any(asks);
    let asking = config.gateway.routes.iter().filter(|route| rules(route));
    ProbeRequest {
        redirect_uris: register.redirect_uris,
        post_logout_redirect_uris: register.post_logout_redirect_uris,
        max_age_asked_by: asking.map(|route| format!("route.{}", route.name)).collect(),
    }
}

async fn probe_provider(settings: ProviderSettings, expected: ProbeRequest) -> Vec<Finding> {
    let subject = format!("provider {}", settings.name);
    // The document, and then one endpoint with its redirects; each call has its own time.
    let deadline = settings.timeout.saturating_mul(10).min(LONGEST);
    let one = |mark, code, message| vec![Finding { subject: subject.clone(), mark, code, message }];
    let provider = match Provider::new(settings, SystemClock::shared()) {
        Ok(provider) => provider,
        Err(error) => return one(Mark::Failed, "provider_setup", error.to_string()),
    };
    let Ok(found) = tokio::time::timeout(deadline, provider.probe(&expected)).await else {
        return one(Mark::Failed, "timeout", format!("no answer within {}", humantime::format_duration(deadline)));
    };
    found
        .into_iter()
        .map(|finding| Finding {
            subject: subject.clone(),
            mark: match finding.verdict {
                Verdict::Good => Mark::Good,
                Verdict::Warning => Mark::Warning,
                Verdict::Failed => Mark::Failed,
            },
            code: finding.code,
            message: finding.message,
        })
        .collect()
}

/// Routes that answer by themselves have nothing to probe.
fn probe_route(route: &RouteSettings) -> Option<BoxFuture<'static, Vec<Finding>>> {
    let Target::Upstream(settings) = &route.target else { return None };
    Some(probe_upstream(format!("route {}", route.name), (**settings).clone()).boxed())
}

async fn probe_upstream(subject: String, settings: UpstreamSettings) -> Vec<Finding> {
    let addresses: Vec<String> = settings.addresses.iter().map(|address| address.place().to_string()).collect();
    let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    // A connection, and what is asked on it.
    let deadline = (settings.connect_timeout + ASKED).saturating_mul(count).min(LONGEST);
    let (mark, code, message) = match tokio::time::timeout(deadline, proxy::probe::probe(&settings)).await {
        Ok(Ok(())) => (Mark::Good, "upstream", format!("{} can be reached", addresses.join(", "))),
        Ok(Err(problem)) => (Mark::Failed, "upstream", problem),
        Err(_) => (Mark::Failed, "timeout", format!("no answer within {}", humantime::format_duration(deadline))),
    };
    vec![Finding { subject, mark, code, message }]
}

const ASKED: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_found_five_times_is_said_once_of_each_subject() {
        let found = |subject: &str, message: &str| Finding {
            subject: subject.to_owned(),
            mark: Mark::Failed,
            code: "authorization",
            message: message.to_owned(),
        };
        let away = || found("provider old", "no connection");
        let all =
            vec![away(), found("provider new", "no connection"), away(), found("provider old", "refused"), away()];
        let told: Vec<_> =
            each_once(all).into_iter().map(|finding| format!("{}: {}", finding.subject, finding.message)).collect();
        assert_eq!(told, ["provider old: no connection", "provider new: no connection", "provider old: refused"]);
    }
}
