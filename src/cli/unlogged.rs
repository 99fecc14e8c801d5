//! What `vestibule check` says of requests that have no line in the access log.

use super::probes::Finding;
use crate::config::Config;
use crate::gateway::settings::RouteSettings;
use crate::provider::Grade;
use crate::telemetry::settings::LogSink;

/// What is left out of the access log; nothing where none is written.
pub(super) fn unlogged(config: &Config) -> Vec<Finding> {
    if config.log.access == LogSink::Off {
        return Vec::new();
    }
    let finding = |subject: String, message: String| Finding::new(subject, Grade::Good, "access_log", message);
    let of_route = |route: &RouteSettings| {
        Some(finding(
            format!("route {}", route.name),
            format!("{} in the access log, whatever the answer", parts(route)?),
        ))
    };
    let agents: Vec<String> = config.log.access_exclude_agents.iter().map(ToString::to_string).collect();
    let of_agents = (!agents.is_empty()).then(|| {
        let message = format!(
            "clients that call themselves {} have no lines in it, except for answers from 400 on and requests with a session",
            agents.join(" or ")
        );
        finding("access log".to_owned(), message)
    });
    config.gateway.routes.iter().filter_map(of_route).chain(of_agents).collect()
}

/// Which requests of a route have no lines, if any.
fn parts(route: &RouteSettings) -> Option<String> {
    let paths = |logged: bool| {
        let paths =
            route.paths.iter().filter(move |(_, rule)| rule.access_log == logged).map(|(path, _)| path.as_str());
        paths.collect::<Vec<_>>().join(", ")
    };
    match (route.rule.access_log, paths(true), paths(false)) {
        (true, _, unlogged) if unlogged.is_empty() => None,
        (true, _, unlogged) => Some(format!("requests below {unlogged} have no lines")),
        (false, logged, _) if logged.is_empty() => Some("requests have no lines".to_owned()),
        (false, logged, _) => Some(format!("requests have no lines, except those below {logged},")),
    }
}
