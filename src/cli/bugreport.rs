//! `vestibule bugreport`: everything that somebody who helps asks for first, in one text without a secret, to be read before it is
//! handed on.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use rustix::process::{Resource, getrlimit};

use super::health::ask;
use super::probes::{Finding, each_once, outgoing, probe};
use super::show::origin;
use super::sources::ConfigSource;
use super::{ConfigArguments, Exit, complain, files, say};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, Setting, dotted, settings};
use crate::provider::Provider;

/// What the report is about, and where it goes.
#[derive(Args, Clone, Debug)]
pub struct BugreportArguments {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// Write it into this file, which must not be there yet. Default: standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Ask nobody outside of this machine
    #[arg(long)]
    pub offline: bool,
}

/// Writes the report. What is wrong stands in it, and does not fail the command.
pub(super) fn bugreport(arguments: &BugreportArguments) -> Exit {
    let text = match report(arguments) {
        Ok(text) => text,
        Err(error) => return Exit::internal(format!("providers and applications cannot be asked: {error}")),
    };
    let Some(path) = &arguments.output else {
        say(&text);
        return Exit::Ok;
    };
    match files::create(path, text.as_bytes(), 0o600) {
        Ok(()) => {
            complain(&format!("{} is written: read it before you hand it on\n", path.display()));
            Exit::Ok
        }
        Err(error) => Exit::cannot_create(format!("{} cannot be made: {error}", path.display())),
    }
}

fn report(arguments: &BugreportArguments) -> std::io::Result<String> {
    let source = ConfigSource::from(arguments.config.clone());
    let mut text = String::new();
    let mut part = |name: &str, contents: &str| {
        let contents = contents.trim_end();
        let _ = writeln!(text, "== {name} ==\n{}\n", if contents.is_empty() { "nothing" } else { contents });
    };
    part("vestibule", &version());
    part("system", &system());
    part(&format!("configuration: {}, what was written; the rest has its default", source.name()), &written(&source));
    let read = source.read();
    let diagnostics = match &read {
        Ok(config) => config.warnings.iter().map(|it| it.render(false)).collect::<Vec<_>>().join("\n\n"),
        Err(report) => report.render(false),
    };
    part("check: diagnostics", &diagnostics);
    if let Ok(config) = &read {
        if arguments.offline {
            part("check: probes", "not asked: --offline");
        } else {
            part("check: probes", &probed(config)?);
            part("providers", &providers(config)?);
        }
    }
    for path in ["/readyz?verbose", "/metrics"] {
        part(&format!("admin listener: {path}"), &admin(&source, path));
    }
    Ok(text)
}

fn version() -> String {
    let build = if cfg!(debug_assertions) { "with debug assertions" } else { "optimised" };
    let target = [std::env::consts::ARCH, std::env::consts::OS].join(" ");
    let libc = if cfg!(target_env = "musl") { "musl" } else { "the system's C library" };
    format!(
        "version {}\nbuild {build}, {target}, {libc}\nwritten {}",
        env!("CARGO_PKG_VERSION"),
        SystemClock.now().rfc3339()
    )
}

/// The machine, as far as it matters for a proxy.
fn system() -> String {
    let first = |path: &str| std::fs::read_to_string(path).ok().and_then(|text| text.lines().next().map(str::to_owned));
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name =
        release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME=")).unwrap_or("unknown").trim_matches('"');
    let limit = |resource| {
        let limit = getrlimit(resource);
        let shown = |bound: Option<u64>| bound.map_or_else(|| "unlimited".to_owned(), |bound| bound.to_string());
        format!("{} (hard {})", shown(limit.current), shown(limit.maximum))
    };
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "system {name}\nkernel {}\nprocessors {processors}\nmemory limit of the cgroup {}\nopen files {}\nprocesses {}\nlocked memory {}",
        first("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".to_owned()),
        first("/sys/fs/cgroup/memory.max").unwrap_or_else(|| "unknown".to_owned()),
        limit(Resource::Nofile),
        limit(Resource::Nproc),
        limit(Resource::Memlock),
    )
}

fn written(source: &ConfigSource) -> String {
    let line = |it: &Setting| format!("{} = {}    # {}\n", dotted(&it.path), it.value.to_string().trim(), origin(it));
    match source.gather().and_then(|sources| settings(&sources, None)) {
        // What holds by default is the same for everybody.
        Ok(found) => found.iter().filter(|setting| setting.origin.is_some()).map(line).collect(),
        Err(report) => report.render(false),
    }
}

fn probed(config: &Config) -> std::io::Result<String> {
    let line = |it: &Finding| format!("{:<5}{}: {}\n", it.grade(), it.subject, it.found.message);
    let found = outgoing(config).chain(probe(config)?).collect();
    Ok(each_once(found).iter().map(line).collect())
}

fn providers(config: &Config) -> std::io::Result<String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let mut text = String::new();
    for settings in &config.providers {
        let _ = writeln!(text, "{}:", settings.name);
        let summary = match Provider::new(settings.clone(), SystemClock::shared()) {
            Ok(provider) => runtime.block_on(provider.summary()).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let lines = summary.unwrap_or_else(|error| vec![("error", error)]);
        text.extend(lines.iter().map(|(name, value)| format!("  {name} {value}\n")));
    }
    runtime.shutdown_background();
    Ok(text)
}

/// What the gateway that runs here says, if one does.
fn admin(source: &ConfigSource, path: &str) -> String {
    let mut causes = Vec::new();
    for address in source.admin_addresses() {
        match ask(&address, path) {
            Ok(answer) => return answer.split_once("\r\n\r\n").map_or(&*answer, |(_, body)| body).to_owned(),
            Err(cause) => causes.push(format!("{address} does not answer: {cause}")),
        }
    }
    causes.join("\n")
}
