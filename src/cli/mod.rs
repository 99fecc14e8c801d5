//! The commands: one file each. This one says which there are and what they take.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};

mod ages;
mod annotations;
mod bugreport;
mod check;
mod consequences;
mod credentials;
mod demo;
mod doctor;
#[cfg(test)]
mod documentation_tests;
mod exit;
mod explain;
mod files;
mod fmt;
mod generate;
mod health;
mod init;
mod inspect;
mod keys;
mod layout;
mod probes;
mod refusal;
mod register;
mod run;
mod show;
mod sources;

pub use self::exit::Exit;

/// Reads the command line, runs the command, and returns how it ended.
pub fn main() -> ExitCode {
    let exit = match CommandLine::read(std::env::args_os()) {
        Err(exit) => exit,
        Ok(CommandLine { command }) => match command {
            Command::Run(arguments) => run::run(arguments),
            Command::Demo(arguments) => demo::demo(arguments.port),
            Command::Check(arguments) => check::check(&arguments),
            Command::Explain(arguments) => explain::explain(&arguments.pasted),
            Command::Show(arguments) => show::show(&arguments),
            Command::Fmt(arguments) => fmt::fmt(&arguments),
            Command::Generate(what) => generate::generate(what),
            Command::Health(arguments) => health::health(&arguments),
            Command::Keys(command) => keys::keys(command),
            Command::Bugreport(arguments) => bugreport::bugreport(&arguments),
            Command::Init(arguments) => init::init(&arguments),
            Command::Doctor(arguments) => doctor::doctor(&arguments),
            Command::Token(command) => inspect::token(&command),
            Command::Session(command) => inspect::session(&command),
        },
    };
    exit.into()
}

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "vestibule", version, about, subcommand_required = true, arg_required_else_help = true)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve
    Run(RunArguments),
    /// See the whole thing work: gateway, a toy provider and a sample application on loopback, in one process
    Demo(DemoArguments),
    /// Tell everything that is wrong with a configuration, and probe the provider and the upstreams
    Check(CheckArguments),
    /// Tell what a code means that a message or a page showed
    Explain(ExplainArguments),
    /// Show the configuration: what is set or, with the defaults, what holds
    Show(show::ShowArguments),
    /// Lay out a configuration file, without changing what it means
    Fmt(fmt::FmtArguments),
    /// Print what other programs read
    #[command(subcommand)]
    Generate(generate::GenerateCommand),
    /// Ask the gateway that runs here whether it lives: exit 0 or 1, for images without a shell
    Health(HealthArguments),
    /// Make, show and rotate session keys
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Write a commented configuration and a session key, and tell what to register at the provider and where
    Init(Box<init::InitArguments>),
    /// Look at a running deployment from outside: the sign-in, cookies, https, header buffers, and ways around
    Doctor(Box<doctor::DoctorArguments>),
    /// Gather what somebody who helps asks for first: version, limits, the configuration without its secrets, findings, metrics
    Bugreport(bugreport::BugreportArguments),
    /// Tell what a token says, and whether its provider signed it
    #[command(subcommand)]
    Token(inspect::TokenCommand),
    /// Tell what a session cookie holds, and whether it would be accepted
    #[command(subcommand)]
    Session(inspect::SessionCommand),
}

/// Where the configuration comes from.
#[derive(Args, Clone, Debug, Default)]
pub struct ConfigArguments {
    /// The configuration file. Default: vestibule.toml in this folder, then /etc/vestibule/vestibule.toml; no file is needed when the environment says enough
    #[arg(short, long, value_name = "FILE", env = "VESTIBULE_CONFIG")]
    pub config: Option<std::path::PathBuf>,
    /// Set one key, over the file and the environment: --set server.listen=0.0.0.0:8080
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = sources::parse_setting)]
    pub set: Vec<(String, String)>,
}

/// How the gateway is started.
#[derive(Args, Clone, Debug, Default)]
pub struct RunArguments {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// Take a changed configuration file by itself, as at SIGHUP: for files that are replaced whole, such as a ConfigMap. The files that it names are always watched
    #[arg(long)]
    pub watch: bool,
}

/// How the demo is started.
#[derive(Args, Clone, Debug, Default)]
pub struct DemoArguments {
    /// The port of the gateway; when it is taken, or 0, a free one is found
    #[arg(long, default_value_t = 4180)]
    pub port: u16,
}

/// How a configuration is checked.
#[derive(Args, Clone, Debug)]
pub struct CheckArguments {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// Touch nothing outside of this machine
    #[arg(long, visible_alias = "no-probe")]
    pub offline: bool,
    /// Count warnings as errors
    #[arg(long)]
    pub deny_warnings: bool,
    /// How findings are written
    #[arg(long, value_enum, default_value_t = CheckFormat::Human)]
    pub format: CheckFormat,
}

/// How findings are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum CheckFormat {
    /// For people.
    Human,
    /// One JSON object.
    Json,
    /// Commands of a GitHub workflow, which shows them beside the lines.
    Github,
    /// A SARIF 2.1.0 log, for code scanning.
    Sarif,
}

/// How a list is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Format {
    /// For people.
    Human,
    /// One JSON object.
    Json,
}

/// Which gateway is asked, and what.
#[derive(Args, Clone, Debug)]
pub struct HealthArguments {
    /// The configuration of the gateway: `admin.listen` says where it is.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// Ask whether it takes traffic, and print each check
    #[arg(long)]
    pub ready: bool,
}

/// What is to be explained.
#[derive(Args, Clone, Debug)]
pub struct ExplainArguments {
    /// A code such as VB-0002, a reason such as state_expired, or the line in which it stands: of a message, a page or a log
    #[arg(required = true, value_name = "CODE")]
    pub pasted: Vec<String>,
}

impl CommandLine {
    /// Reads the command line. Help, the version and usage errors are printed.
    ///
    /// # Errors
    /// Help and version were asked for and are printed, or the command line makes no sense.
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Exit> {
        Self::try_parse_from(arguments).map_err(|error| {
            // A closed terminal is not an error.
            let _ = error.print();
            match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Ok,
                _ => Exit::Usage,
            }
        })
    }
}

/// Writes to standard output; a closed reader is not an error.
pub(crate) fn say(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Writes to standard error, and waits for its reader for a bounded time: an error message must not block the exit.
pub(crate) fn complain(text: &str) {
    let (text, (written, done)) = (text.to_owned(), std::sync::mpsc::channel());
    let writing = std::thread::Builder::new().spawn(move || {
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
        let _ = written.send(());
    });
    if writing.is_ok() {
        let _ = done.recv_timeout(LONGEST_COMPLAINT);
    }
}

const LONGEST_COMPLAINT: Duration = Duration::from_secs(10);

/// Whether standard error shows colours: on a terminal, unless `NO_COLOR` is set.
pub(crate) fn stderr_color() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn read(arguments: &[&str]) -> Result<CommandLine, Exit> {
        CommandLine::read(std::iter::once("vestibule").chain(arguments.iter().copied()).map(OsString::from))
    }

    #[test]
    fn the_definition_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn nonsense_is_a_usage_error_and_help_is_not() {
        assert_eq!(read(&["chekc"]).unwrap_err(), Exit::Usage);
        assert_eq!(read(&["check", "--format", "yaml"]).unwrap_err(), Exit::Usage);
        assert_eq!(read(&["run", "--set", "nonsense"]).unwrap_err(), Exit::Usage);
        assert_eq!(read(&[]).unwrap_err(), Exit::Usage);
        assert_eq!(read(&["--help"]).unwrap_err(), Exit::Ok);
        assert_eq!(read(&["--version"]).unwrap_err(), Exit::Ok);
    }

    #[test]
    fn settings_are_split_at_the_first_equals_sign() {
        let Ok(CommandLine { command: Command::Run(arguments) }) = read(&["run", "--set", "log.level=vestibule=debug"])
        else {
            panic!("not read");
        };
        assert_eq!(arguments.config.set, [("log.level".to_owned(), "vestibule=debug".to_owned())]);
    }
}
