//! Files that a configuration names: read, and looked at for who else may read them.

use std::fs::Metadata;
use std::io::{Error, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::diagnostics::Place;
use super::kinds;
use super::problems::Flaw;
use super::reading::{Reading, Refused, refused, with};

/// Reads the file whose path is being read.
pub(super) fn read_file(path: &str) -> Result<(PathBuf, Vec<u8>), Refused> {
    let path = with(|reading| reading.resolve(path));
    match with(|reading| reading.read(&path)) {
        Ok(bytes) => Ok((path, bytes)),
        Err(error) => {
            let flaw = Flaw::new(kinds::FILE_UNREADABLE, "names a file that cannot be read");
            Err(refused(flaw.label(why_unreadable(&error)).help(looked_for(&path))))
        }
    }
}

/// Where a file was looked for.
pub(super) fn looked_for(path: &Path) -> String {
    format!("looked for {}; it must be readable by the user that runs vestibule", path.display())
}

/// The reason in words that are the same on every system.
pub(super) fn why_unreadable(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => "there is no such file",
        ErrorKind::PermissionDenied => "this user may not read it",
        ErrorKind::IsADirectory => "this is a folder",
        _ => "reading it fails",
    }
}

/// The same of a file that is to be written.
pub(super) fn why_unwritable(error: &Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such folder".to_owned(),
        ErrorKind::NotADirectory => "its folder is a file".to_owned(),
        ErrorKind::PermissionDenied => "this user may not write there".to_owned(),
        ErrorKind::IsADirectory => "this is a folder".to_owned(),
        _ => error.to_string(),
    }
}

/// Warns of a file with a secret that everybody on the machine may read.
pub(super) fn warn_of_readers(path: &Path, place: &Place, reading: &mut Reading) {
    let Some(mode) = open_to_others(path) else { return };
    let message = format!("`{}` names a file that others may read", reading.key());
    let help = format!(
        "`chmod 600 {}`, for the user that runs vestibule; Kubernetes: defaultMode: 0440 and fsGroup",
        path.display()
    );
    let diagnostic = reading.problems.add(kinds::READABLE_BY_OTHERS, place, message);
    diagnostic.label(format!("its mode is {mode:04o}")).help(help);
}

/// The permissions of a file that everybody on the machine may read or write.
fn open_to_others(path: &Path) -> Option<u32> {
    let file = std::fs::metadata(path).ok().filter(Metadata::is_file)?;
    Some(file.permissions().mode() & 0o7777).filter(|mode| mode & 0o006 != 0)
}
