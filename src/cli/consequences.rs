//! What `vestibule check` says of keys that do something which nobody would see in the file: what has no line in the access log, and
//! what people meet before they sign in.

use super::probes::Finding;
use crate::config::Config;
use crate::gateway::settings::{RouteSettings, SignInStart};
use crate::provider::Grade;
use crate::telemetry::settings::LogSink;

/// What follows from such keys.
pub(super) fn consequences(config: &Config) -> Vec<Finding> {
    unlogged(config).into_iter().chain(at_the_door(config)).collect()
}

/// What people meet before they sign in, where it is not the provider's page.
fn at_the_door(config: &Config) -> Option<Finding> {
    let message = "people get a page with a button, and status 401, before they are sent to a provider";
    let finding = || Finding::new("pages".to_owned(), Grade::Good, "sign_in_page", message.to_owned());
    (config.gateway.pages.sign_in == SignInStart::Page).then(finding)
}

/// What is left out of the access log; nothing where none is written.
fn unlogged(config: &Config) -> Vec<Finding> {
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
