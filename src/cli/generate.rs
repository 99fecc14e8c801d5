//! `vestibule generate`: what other programs read.

use super::{Exit, GenerateCommand, say};
use crate::config;
use crate::telemetry::audit_schema;

/// `generate schema` prints the JSON Schema of the configuration, `generate audit-schema` that of a line of the audit log.
pub(super) fn generate(what: GenerateCommand) -> Exit {
    match what {
        GenerateCommand::Schema => say(&format!("{:#}\n", config::schema())),
        GenerateCommand::AuditSchema => say(&format!("{:#}\n", audit_schema())),
    }
    Exit::Ok
}
