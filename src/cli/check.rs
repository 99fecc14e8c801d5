//! `vestibule check`: everything that is wrong, before it is deployed. Binds nothing, so that it works beside a running instance.

use serde_json::json;

use super::probes::{Finding, Mark, probe};
use super::sources::ConfigSource;
use super::{CheckArguments, Exit, Format, complain, say, stderr_color};
use crate::config::{Config, Diagnostic, Report};
use crate::gateway::settings::HostPattern;
use crate::provider::settings::LogoutStyle;

/// Loads the configuration, probes what it names unless told not to, and says what it found.
pub(super) fn check(arguments: &CheckArguments) -> Exit {
    let source = ConfigSource::from(arguments.config.clone());
    let config = match source.read() {
        Ok(config) => config,
        Err(report) => {
            told(arguments.format, &report, &[], None, Exit::Config);
            return Exit::Config;
        }
    };
    let mut findings = vec![summary(&config, &source.name())];
    if !arguments.offline {
        match probe(&config) {
            Ok(found) => findings.extend(found),
            Err(error) => return Exit::internal(format!("probes can not be started: {error}")),
        }
    }
    let exit = verdict(arguments.deny_warnings, &config.warnings, &findings);
    let report = Report::new(config.warnings.clone());
    told(arguments.format, &report, &findings, Some(&ToRegister::of(&config)), exit);
    exit
}

/// A failed probe is 69. Warnings count only where they are denied: those of the configuration as 78, those of probes as 69.
fn verdict(deny_warnings: bool, warnings: &[Diagnostic], findings: &[Finding]) -> Exit {
    let has = |mark| findings.iter().any(|finding| finding.mark == mark);
    if deny_warnings && !warnings.is_empty() {
        Exit::Config
    } else if has(Mark::Failed) || (deny_warnings && has(Mark::Warning)) {
        Exit::Unavailable
    } else {
        Exit::Ok
    }
}

fn summary(config: &Config, name: &str) -> Finding {
    let (providers, routes) = (config.providers.len(), config.gateway.routes.len());
    let message = format!("{providers} provider{}, {routes} route{}", plural(providers), plural(routes));
    Finding { subject: format!("configuration {name}"), mark: Mark::Good, code: "configuration", message }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// What has to be registered at the providers.
struct ToRegister {
    redirect_uris: Vec<String>,
    post_logout_redirect_uris: Vec<String>,
}

impl ToRegister {
    /// One address for each host that signs in by itself, and for each provider where there are several.
    fn of(config: &Config) -> Self {
        let scheme = if config.gateway.public_url.https { "https" } else { "http" };
        let own = |authority: &String, end: &str| format!("{scheme}://{authority}{}/{end}", config.gateway.prefix);
        let callbacks: Vec<String> = match config.providers.as_slice() {
            [_] => vec!["callback".to_owned()],
            several => several.iter().map(|provider| format!("callback/{}", provider.name)).collect(),
        };
        let authorities = authorities(config);
        let signs_out_there = config.providers.iter().any(|provider| provider.logout == LogoutStyle::Auto);
        Self {
            redirect_uris: authorities.iter().flat_map(|at| callbacks.iter().map(move |end| own(at, end))).collect(),
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

fn told(format: Format, report: &Report, findings: &[Finding], register: Option<&ToRegister>, exit: Exit) {
    match format {
        Format::Json => {
            let findings: Vec<_> = findings.iter().map(Finding::to_json).collect();
            let answer = json!({
                "ok": exit == Exit::Ok,
                "exit": exit.code(),
                "diagnostics": report.to_json(),
                "probes": findings,
                "redirect_uris": register.map_or(&[][..], |register| &register.redirect_uris),
                "post_logout_redirect_uris": register.map_or(&[][..], |register| &register.post_logout_redirect_uris),
            });
            say(&format!("{answer:#}\n"));
        }
        Format::Human => {
            if !report.diagnostics.is_empty() {
                complain(&report.render(stderr_color()));
            }
            for finding in findings {
                say(&format!("{:<5}{}: {}\n", finding.mark.as_str(), finding.subject, finding.message));
            }
            if let Some(register) = register {
                for uri in &register.redirect_uris {
                    say(&format!("{:<5}redirect URI to register at the provider: {uri}\n", ""));
                }
                for uri in &register.post_logout_redirect_uris {
                    say(&format!("{:<5}and for signing out there, the post-logout redirect URI: {uri}\n", ""));
                }
            }
            if exit == Exit::Config && report.errors() == 0 {
                complain("error: there are warnings, and --deny-warnings counts them as errors\n");
            }
        }
    }
}
