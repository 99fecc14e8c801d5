//! `vestibule generate`: what other programs read.

use super::{Exit, GenerateCommand, say};
use crate::config;

/// `generate schema` prints the JSON Schema of the configuration.
pub(super) fn generate(what: GenerateCommand) -> Exit {
    match what {
        GenerateCommand::Schema => say(&format!("{:#}\n", config::schema())),
    }
    Exit::Ok
}
