//! `vestibule generate`: what other programs read.

use std::path::PathBuf;

use clap::{CommandFactory as _, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::sources::ConfigSource;
use super::{CommandLine, ConfigArguments, Exit, complain, say, stderr_color};
use crate::config::diagnostics::{DiagnosticCode, Severity};
use crate::config::{self, Config, Diagnostic, Report, Setting, settings};
use crate::telemetry::audit_schema;

mod kubernetes;
mod manual;
mod reference;
mod systemd;

/// What to print.
#[derive(Clone, Debug, Subcommand)]
pub enum GenerateCommand {
    /// The JSON Schema of the configuration, for editors
    Schema,
    /// The JSON Schema of a line of the audit log
    AuditSchema,
    /// What the shell completes after a tab
    Completions {
        /// The shell
        shell: CompletedShell,
    },
    /// The man pages: vestibule(1), one for each command, and vestibule.toml(5)
    Man {
        /// The folder that they are written to
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// A drop-in for vestibule.service that fits this configuration
    Systemd(ConfigArguments),
    /// The objects of a gateway with this configuration, for kubectl
    K8s(ConfigArguments),
    /// Values for the Helm chart with this configuration
    HelmValues(ConfigArguments),
    /// A dashboard for Grafana
    Dashboard,
    /// Alerts for Prometheus
    Alerts,
    /// The reference of keys and commands, as in deploy/REFERENCE.md
    #[command(hide = true)]
    Reference,
}

/// The shells that completions are made for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum CompletedShell {
    /// For /usr/share/bash-completion/completions/vestibule.
    Bash,
    /// For /usr/share/zsh/vendor-completions/_vestibule.
    Zsh,
    /// For /usr/share/fish/vendor_completions.d/vestibule.fish.
    Fish,
}

/// Prints what was asked for.
pub(super) fn generate(what: GenerateCommand) -> Exit {
    match what {
        GenerateCommand::Schema => say(&format!("{:#}\n", config::schema())),
        GenerateCommand::AuditSchema => say(&format!("{:#}\n", audit_schema())),
        GenerateCommand::Completions { shell } => say(&completions(shell)),
        GenerateCommand::Man { folder } => return manual::write(&folder),
        GenerateCommand::Systemd(arguments) => return of_configuration(arguments, systemd::drop_in),
        GenerateCommand::K8s(arguments) => return of_configuration(arguments, kubernetes::manifests),
        GenerateCommand::HelmValues(arguments) => return of_configuration(arguments, kubernetes::helm_values),
        GenerateCommand::Dashboard => say(DASHBOARD),
        GenerateCommand::Alerts => say(ALERTS),
        GenerateCommand::Reference => say(&reference::reference()),
    }
    Exit::Ok
}

/// What a shell completes.
fn completions(shell: CompletedShell) -> String {
    let shell = match shell {
        CompletedShell::Bash => Shell::Bash,
        CompletedShell::Zsh => Shell::Zsh,
        CompletedShell::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::command(), "vestibule", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The user's configuration.
struct Written {
    /// Every value, with the defaults.
    settings: Vec<Setting>,
    /// The file as it is shown in messages.
    name: String,
    /// The text of the file; empty where the environment says all.
    text: String,
}

impl Written {
    /// What holds for a key.
    fn setting(&self, path: &[&str]) -> Option<&Setting> {
        self.settings.iter().find(|setting| setting.path == path)
    }

    /// Whether somebody wrote a key.
    fn is_set(&self, path: &[&str]) -> bool {
        self.setting(path).is_some_and(|setting| setting.origin.is_some())
    }

    /// The texts of a key, which may hold one or a list.
    fn texts(&self, path: &[&str]) -> Vec<String> {
        self.setting(path).map(|setting| kubernetes::texts(&setting.value)).unwrap_or_default()
    }

    /// A number.
    fn number(&self, path: &[&str]) -> Option<i64> {
        self.setting(path)?.value.as_integer()
    }

    /// A duration in whole seconds.
    fn seconds(&self, path: &[&str], default: u64) -> u64 {
        let text =
            self.setting(path).filter(|setting| setting.origin.is_some()).and_then(|setting| setting.value.as_str());
        text.and_then(|text| humantime::parse_duration(text).ok()).map_or(default, |span| span.as_secs())
    }
}

/// Prints what is made of the user's own configuration. Its secrets and files may be on another machine.
fn of_configuration(arguments: ConfigArguments, make: fn(&Written) -> Result<String, String>) -> Exit {
    let source = ConfigSource::from(arguments);
    let report = |report: &Report| {
        complain(&report.render(stderr_color()));
        Exit::Config
    };
    let sources = match source.gather() {
        Ok(sources) => sources,
        Err(unreadable) => return report(&unreadable),
    };
    let config = match Config::load(&sources) {
        Ok(config) => Some(config),
        Err(found) if found.diagnostics.iter().all(is_of_this_machine) => None,
        Err(found) => return report(&found),
    };
    let settings = match settings(&sources, config.as_ref()) {
        Ok(settings) => settings,
        Err(found) => return report(&found),
    };
    let text = sources.file.map(|(_, text)| text).unwrap_or_default();
    match make(&Written { settings, name: source.name(), text }) {
        Ok(made) => {
            say(&made);
            Exit::Ok
        }
        Err(cause) => Exit::config(cause),
    }
}

/// Whether a finding says nothing about the machine that the configuration is for.
fn is_of_this_machine(diagnostic: &Diagnostic) -> bool {
    use DiagnosticCode::{FileUnreadable, FileUnwritable, SecretUnreadable};
    diagnostic.severity == Severity::Warning
        || matches!(diagnostic.code, FileUnreadable | FileUnwritable | SecretUnreadable)
}

/// The dashboard, as deploy/grafana has it.
const DASHBOARD: &str = include_str!("../../../deploy/grafana/vestibule.json");
/// The alerts, as deploy/prometheus has them.
const ALERTS: &str = include_str!("../../../deploy/prometheus/rules.yaml");
