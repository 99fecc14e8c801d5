//! Where a command's configuration comes from: the file, the environment, the flags.

use std::path::{Path, PathBuf};

use super::{ConfigArguments, Exit, complain, stderr_color};
use crate::config::diagnostics::Place;
use crate::config::kinds::{self, DiagnosticKind};
use crate::config::{Config, Diagnostic, FollowedFiles, Report, Sources, Watch};
use crate::server::settings::ListenAddress;

/// The file and flags of the command line. Reading it again, for a reload, reads the file and everything it names again.
#[derive(Clone, Debug)]
pub(super) struct ConfigSource {
    /// The file, where there is one.
    path: Option<PathBuf>,
    /// What `--set` said, in order.
    flags: Vec<(String, String)>,
    /// The file itself is watched, too.
    pub(super) is_watched: bool,
    /// The files that are followed since an earlier reading.
    followed: FollowedFiles,
}

impl From<ConfigArguments> for ConfigSource {
    fn from(arguments: ConfigArguments) -> Self {
        let found = || DEFAULT_FILES.iter().map(PathBuf::from).find(|path| path.is_file());
        Self {
            path: arguments.config.or_else(found),
            flags: arguments.set,
            is_watched: false,
            followed: FollowedFiles::default(),
        }
    }
}

impl ConfigSource {
    /// The file's name, or what stands for it.
    pub(super) fn name(&self) -> String {
        self.path.as_ref().map_or_else(|| "the environment".to_owned(), |path| path.display().to_string())
    }

    /// The file, if there is one.
    pub(super) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The configuration as it would be with this text in its file.
    ///
    /// # Errors
    /// Everything that would be wrong with it.
    pub(super) fn read_as(&self, text: &str) -> Result<Config, Report> {
        Config::load(&self.sources(Some((self.name(), text.to_owned()))))
    }

    /// The configuration as it is now.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(super) fn read(&self) -> Result<Config, Report> {
        self.read_watched().map(|(config, _)| config)
    }

    /// The same, and the watch on the files that it names.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(super) fn read_watched(&self) -> Result<(Config, Watch), Report> {
        let sources = self.gather()?;
        let is_empty = sources.file.is_none() && sources.flags.is_empty();
        if is_empty && !sources.env.iter().any(|(name, _)| name.starts_with("VESTIBULE__")) {
            return Err(Report::new(vec![no_file(kinds::NO_CONFIGURATION_GIVEN)]));
        }
        match Config::load(&sources) {
            Ok(config) => {
                let own = self.path.clone().filter(|_| self.is_watched);
                let watch = Watch::of(sources, &config, own);
                Ok((config, watch))
            }
            Err(mut report) => {
                if sources.file.is_none() {
                    report.diagnostics.push(no_file(kinds::NO_CONFIGURATION_BESIDES));
                }
                Err(report)
            }
        }
    }

    /// What is read, as it was written.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn gather(&self) -> Result<Sources, Report> {
        Ok(self.sources(self.file()?))
    }

    /// The name and the text of the file, where there is one.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn file(&self) -> Result<Option<(String, String)>, Report> {
        self.path.as_ref().map(|path| read_file(path)).transpose()
    }

    /// The same for a command that needs it: the problems are printed.
    ///
    /// # Errors
    /// The exit of a configuration that cannot be used.
    pub(super) fn load(&self) -> Result<(Config, Watch), Exit> {
        self.read_watched().map_err(|report| {
            complain(&report.render(stderr_color()));
            Exit::Config
        })
    }

    /// Where the admin listener of the gateway that runs with these sources is, as far as they can be read.
    pub(super) fn admin_addresses(&self) -> Vec<ListenAddress> {
        Config::admin_addresses(&self.sources(self.path.as_ref().and_then(|path| read_file(path).ok())))
    }

    /// The file with the environment and the flags.
    fn sources(&self, file: Option<(String, String)>) -> Sources {
        // A name that is not Unicode is none of ours; a value that is not shows replacement characters.
        let env = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
            .collect();
        let base_dir = self.path.as_deref().and_then(Path::parent).map(Path::to_path_buf).unwrap_or_default();
        Sources { file, env, flags: self.flags.clone(), base_dir, followed: self.followed.clone() }
    }
}

/// That there is none, and where it was looked for.
fn no_file(kind: DiagnosticKind) -> Diagnostic {
    let absolute =
        |path: &&str| std::path::absolute(path).map_or_else(|_| (*path).to_owned(), |at| at.display().to_string());
    let looked: Vec<String> = DEFAULT_FILES.iter().map(absolute).collect();
    let mut diagnostic = Diagnostic::new(kind, &Place::Nowhere, "there is no configuration file");
    diagnostic.help(format!(
        "looked for {}; name another one with --config FILE or in the variable VESTIBULE_CONFIG",
        looked.join(" and ")
    ));
    diagnostic
}

/// The name and the text of the file.
fn read_file(path: &Path) -> Result<(String, String), Report> {
    let name = path.display().to_string();
    match std::fs::read_to_string(path) {
        Ok(text) => Ok((name, text)),
        Err(error) => {
            let message = format!("the configuration file {name} cannot be read: {error}");
            Err(Report::new(vec![Diagnostic::new(kinds::CONFIGURATION_UNREADABLE, &Place::Nowhere, message)]))
        }
    }
}

/// `KEY=VALUE`, for clap.
pub(super) fn parse_setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && key.split('.').all(|part| !part.is_empty()) => {
            Ok((key.to_owned(), value.to_owned()))
        }
        _ => Err("write KEY=VALUE, as in server.listen=0.0.0.0:8080".to_owned()),
    }
}

/// Where a configuration is looked for that is not named.
const DEFAULT_FILES: [&str; 2] = ["vestibule.toml", "/etc/vestibule/vestibule.toml"];
