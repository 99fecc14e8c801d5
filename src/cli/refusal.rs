//! Why the gateway cannot be started with a configuration that is sound in itself: as a finding, with key and place.

use super::{Exit, complain, stderr_color};
use crate::app::AppError;
use crate::config::kinds;
use crate::config::{Diagnostic, Places, Report};
use crate::gateway::build::BuildError;
use crate::server::StartError;

/// The finding; none for a fault of ours.
pub(super) fn finding(error: &AppError, places: &Places) -> Option<Diagnostic> {
    let (kind, key, help) = match error {
        AppError::Bind(StartError::Bind { key, index, cause }) => {
            (kinds::CANNOT_LISTEN, format!("{key}[{index}]"), Some(cause.help()))
        }
        AppError::Bind(StartError::Tls(_)) => (kinds::TLS_FILES_UNUSABLE, "server.tls".to_owned(), None),
        AppError::Build(BuildError::Keys(_)) => (kinds::CANNOT_BUILD, "session.keys".to_owned(), None),
        AppError::Build(BuildError::Provider(name, _)) => (kinds::CANNOT_BUILD, format!("provider.{name}"), None),
        AppError::Build(BuildError::Upstream(name, _)) => (kinds::CANNOT_BUILD, format!("route.{name}"), None),
        AppError::Log(error) => (kinds::LOG_CANNOT_BE_OPENED, error.key.to_owned(), None),
        AppError::Export(_) => (kinds::CANNOT_BUILD, "telemetry".to_owned(), None),
        AppError::Panicked => return None,
    };
    let mut diagnostic = Diagnostic::new(kind, places.at(&key), error.to_string());
    if let Some(help) = help {
        diagnostic.help(help);
    }
    Some(diagnostic)
}

/// Prints why, and returns the exit for it.
pub(super) fn refused(error: &AppError, places: &Places) -> Exit {
    let Some(finding) = finding(error, places) else { return Exit::internal(error) };
    complain(&Report::new(vec![finding]).render(stderr_color()));
    match error {
        AppError::Bind(StartError::Bind { .. }) => Exit::CannotCreate,
        AppError::Bind(StartError::Tls(_)) | AppError::Build(_) | AppError::Log(_) | AppError::Export(_) => {
            Exit::Config
        }
        AppError::Panicked => Exit::Internal,
    }
}
