//! `vestibule fmt`: lays a configuration file out anew. What it means stays the same.

use std::path::PathBuf;

use clap::Args;

use super::layout::laid_out;
use super::sources::ConfigSource;
use super::{ConfigArguments, Exit, complain, files, say, stderr_color};
use crate::config::Report;

/// Which file is laid out.
#[derive(Args, Clone, Debug)]
pub struct FmtArguments {
    /// The file. Default: as for `run`
    #[arg(value_name = "FILE", env = "VESTIBULE_CONFIG")]
    pub file: Option<PathBuf>,
    /// Change nothing, and end 65 where something would be changed
    #[arg(long)]
    pub check: bool,
}

/// Writes the file anew, unless it is laid out already.
pub(super) fn fmt(arguments: &FmtArguments) -> Exit {
    let source = ConfigSource::from(ConfigArguments { config: arguments.file.clone(), ..ConfigArguments::default() });
    let (name, text) = match source.file() {
        Ok(Some(file)) => file,
        Ok(None) => return Exit::config("there is no configuration file: name one, as in `vestibule fmt FILE`"),
        Err(report) => return refused(&report),
    };
    if let Err(report) = crate::config::check_syntax(&name, &text) {
        return refused(&report);
    }
    let new = laid_out(&text);
    if new == text {
        return Exit::Ok;
    }
    if arguments.check {
        return Exit::bad_input(format!("{name} is laid out otherwise; `vestibule fmt {name}` writes it anew"));
    }
    match files::replace(name.as_ref(), new.as_bytes()) {
        Ok(()) => {
            say(&format!("{name}\n"));
            Exit::Ok
        }
        Err(error) => Exit::cannot_create(format!("{name} cannot be written: {error}")),
    }
}

/// What is no TOML cannot be laid out.
fn refused(report: &Report) -> Exit {
    complain(&report.render(stderr_color()));
    Exit::BadInput
}
