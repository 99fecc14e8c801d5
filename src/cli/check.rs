//! `vestibule check`: everything that is wrong, before it is deployed. Binds nothing, so that it works beside a running instance.

use serde_json::json;

use super::annotations::{github, sarif};
use super::consequences::consequences;
use super::credentials::credentials;
use super::probes::{Finding, each_once, outgoing, probe};
use super::refusal::finding;
use super::register::ToRegister;
use super::sources::ConfigSource;
use super::{CheckArguments, CheckFormat, Exit, complain, say, stderr_color};
use crate::app::rehearse;
use crate::clock::SystemClock;
use crate::config::{Config, Diagnostic, Report};
use crate::followed::Follow;
use crate::gateway::settings::{RouteSettings, TargetSettings};
use crate::provider::Grade;
use crate::proxy::settings::UpstreamAddress;

/// Loads the configuration, probes what it names unless `--offline` is given, and prints the findings.
pub(super) fn check(arguments: &CheckArguments) -> Exit {
    let source = ConfigSource::from(arguments.config.clone());
    let config = match source.read() {
        Ok(config) => config,
        Err(report) => {
            write_out(arguments.format, &report, &[], None, Exit::Config);
            return Exit::Config;
        }
    };
    match rehearsed(&config) {
        Ok(None) => {}
        Ok(Some(found)) => {
            let report = Report::new(config.warnings.iter().cloned().chain([found]).collect());
            write_out(arguments.format, &report, &[], None, Exit::Config);
            return Exit::Config;
        }
        Err(error) => return Exit::internal(format!("the parts cannot be made: {error}")),
    }
    let mut findings = vec![summary(&config, &source.name())];
    findings.extend(config.gateway.routes.iter().flat_map(mapped));
    findings.extend(config.gateway.routes.iter().flat_map(credentials));
    findings.extend(consequences(&config));
    findings.extend(outgoing(&config));
    findings.extend(config.followed().iter().map(|file| followed(&**file)));
    if !arguments.offline {
        match probe(&config) {
            Ok(found) => findings = each_once(findings.into_iter().chain(found).collect()),
            Err(error) => return Exit::internal(format!("probes cannot be started: {error}")),
        }
    }
    let exit = verdict(arguments.deny_warnings, &config.warnings, &findings);
    let report = Report::new(config.warnings.clone());
    write_out(arguments.format, &report, &findings, Some(&ToRegister::of(&config)), exit);
    exit
}

/// What `run` would refuse that the configuration itself does not show.
fn rehearsed(config: &Config) -> std::io::Result<Option<Diagnostic>> {
    // The parts are made on a runtime, and ask nobody.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _within = runtime.enter();
    match rehearse(config, SystemClock::shared()) {
        Ok(()) => Ok(None),
        Err(error) => finding(&error, &config.places).map(Some).ok_or_else(|| std::io::Error::other(error)),
    }
}

/// A failed probe is 69. Warnings count only where they are denied: those of the configuration as 78, those of probes as 69.
fn verdict(deny_warnings: bool, warnings: &[Diagnostic], findings: &[Finding]) -> Exit {
    let has = |grade| findings.iter().any(|finding| finding.found.grade == grade);
    if deny_warnings && !warnings.is_empty() {
        Exit::Config
    } else if has(Grade::Failed) || (deny_warnings && has(Grade::Warning)) {
        Exit::Unavailable
    } else {
        Exit::Ok
    }
}

/// The first line of the checklist: what the configuration holds.
fn summary(config: &Config, name: &str) -> Finding {
    let (providers, routes) = (config.providers.len(), config.gateway.routes.len());
    let message = format!("{providers} provider{}, {routes} route{}", plural(providers), plural(routes));
    Finding::new(format!("configuration {name}"), Grade::Good, "configuration", message)
}

/// A file that somebody else keeps: how much it holds, so that the wrong one shows.
fn followed(file: &dyn Follow) -> Finding {
    let message = format!("{} holds {}; followed while the gateway runs", file.path().display(), file.summary());
    Finding::new(file.key().to_owned(), Grade::Good, "followed_file", message)
}

/// What applications get in place of the paths of a route, where that is something else: each address that gets another path.
fn mapped(route: &RouteSettings) -> Vec<Finding> {
    let TargetSettings::Upstream(upstream) = &route.target else { return Vec::new() };
    let answers = if upstream.rewrites_answers { "" } else { "; answers are left as they are" };
    let told = |address: &UpstreamAddress| {
        let below = format!("{}/x", route.path.trim_end_matches('/'));
        let arrives = address.mapping.to_application(&below)?;
        let message = format!("{below} arrives as {arrives} at {}{answers}", address.place());
        Some(Finding::new(format!("route {}", route.name), Grade::Good, "path_mapping", message))
    };
    upstream.addresses.iter().filter(|address| !address.mapping.is_identity()).filter_map(told).collect()
}

/// The ending of a noun after its number.
fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// Prints everything in the form that was asked for.
fn write_out(format: CheckFormat, report: &Report, findings: &[Finding], register: Option<&ToRegister>, exit: Exit) {
    match format {
        CheckFormat::Github => say(&github(report, findings)),
        CheckFormat::Sarif => say(&format!("{:#}\n", sarif(report, findings))),
        CheckFormat::Json => {
            let findings: Vec<_> = findings.iter().map(Finding::to_json).collect();
            let answer = json!({
                "ok": exit == Exit::Ok,
                "exit": exit.code(),
                "diagnostics": report.to_json(),
                "probes": findings,
                "redirect_uris": register.map_or(&[][..], |register| &register.redirect_uris),
                "post_logout_redirect_uris": register.map_or(&[][..], |register| &register.post_logout_redirect_uris),
                "backchannel_logout_uri": register.and_then(|register| register.backchannel_logout_uri.as_ref()),
                "frontchannel_logout_uri": register.and_then(|register| register.frontchannel_logout_uri.as_ref()),
            });
            say(&format!("{answer:#}\n"));
        }
        CheckFormat::Human => {
            if !report.diagnostics.is_empty() {
                complain(&report.render(stderr_color()));
            }
            for finding in findings {
                say(&format!("{:<5}{}: {}\n", finding.grade(), finding.subject, finding.found.message));
            }
            if let Some(register) = register {
                for uri in &register.redirect_uris {
                    say(&format!("{:<5}redirect URI to register at the provider: {uri}\n", ""));
                }
                for uri in &register.post_logout_redirect_uris {
                    say(&format!("{:<5}and for signing out there, the post-logout redirect URI: {uri}\n", ""));
                }
                if let Some(uri) = &register.backchannel_logout_uri {
                    say(&format!("{:<5}and for signing out here from there, the back-channel logout URI: {uri}\n", ""));
                }
            }
            if exit == Exit::Config && report.errors() == 0 {
                complain("error: there are warnings, and --deny-warnings counts them as errors\n");
            }
        }
    }
}
