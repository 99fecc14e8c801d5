//! Why the gateway cannot be started with a configuration that is sound in itself: as a finding, with key and place.

use super::{Exit, complain, stderr_color};
use crate::app::AppError;
use crate::config::diagnostics::Code;
use crate::config::{Diagnostic, Places, Report};
use crate::gateway::build::BuildError;
use crate::server::StartError;

/// The finding; none for a fault of ours.
pub(super) fn finding(error: &AppError, places: &Places) -> Option<Diagnostic> {
    let (code, key, help) = match error {
        AppError::Bind(StartError::Bind { key, index, cause }) => {
            (Code::CannotListen, format!("{key}[{index}]"), cause.help())
        }
        AppError::Bind(StartError::Tls(_)) => (Code::BadPem, "server.tls".to_owned(), USABLE_FILES.to_owned()),
        AppError::Build(BuildError::Keys(_)) => (Code::CannotBuild, "session.keys".to_owned(), USABLE.to_owned()),
        AppError::Build(BuildError::Provider(name, _)) => {
            (Code::CannotBuild, format!("provider.{name}"), USABLE.to_owned())
        }
        AppError::Build(BuildError::Upstream(name, _)) => {
            (Code::CannotBuild, format!("route.{name}"), USABLE.to_owned())
        }
        AppError::Log(error) => (Code::FileUnwritable, error.key.to_owned(), WRITABLE.to_owned()),
        AppError::Panicked => return None,
    };
    Some(Diagnostic::error(code, places.at(&key), error.to_string()).help(help))
}

/// Prints why, and returns the exit for it.
pub(super) fn refused(error: &AppError, places: &Places) -> Exit {
    let Some(finding) = finding(error, places) else { return Exit::internal(error) };
    complain(&Report::new(vec![finding]).render(stderr_color()));
    match error {
        AppError::Bind(StartError::Bind { .. }) => Exit::CannotCreate,
        AppError::Bind(StartError::Tls(_)) | AppError::Build(_) | AppError::Log(_) => Exit::Config,
        AppError::Panicked => Exit::Internal,
    }
}

const USABLE: &str = "write what the message asks for, or remove the key that it names";
const USABLE_FILES: &str =
    "name PEM files that this user may read: cert with its chain, and key with the key of that certificate";
const WRITABLE: &str = "name a file that this user may write, or \"stderr\"";
