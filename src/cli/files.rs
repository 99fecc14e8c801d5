//! Files that commands write: whole or not at all, never over one that should stay, with the mode and owner that they ought to have.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::clock::UnixTime;
use crate::hex;
use crate::seal;

/// Makes a file that is not there yet, with this mode whatever the umask is.
///
/// # Errors
/// It is there, or cannot be made.
pub(super) fn create(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let written = Written::new(path, bytes, mode)?;
    written.becomes_new(path)
}

/// The same, with mode and owner of a file that is there.
///
/// # Errors
/// It is there, or cannot be made.
pub(super) fn create_like(model: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let written = Written::like(model, path, bytes)?;
    written.becomes_new(path)
}

/// Writes a file anew: whoever opens it gets the old text or the new one, and never a part. A link stays a link.
///
/// # Errors
/// It cannot be written; the old text is still there.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let written = Written::like(&path, &path, bytes)?;
    fs::rename(&written.temporary, &path)?;
    written.keep_name();
    Ok(())
}

/// Makes a folder with this mode, and those above it that are not there.
///
/// # Errors
/// It cannot be made.
pub(super) fn folder(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)
}

/// When a file was last written.
///
/// # Errors
/// It cannot be looked at.
pub(super) fn modified(path: &Path) -> io::Result<UnixTime> {
    let metadata = fs::metadata(path)?;
    // Before 1970 is as old as 1970.
    let millis = metadata.mtime().saturating_mul(1000).saturating_add(metadata.mtime_nsec() / 1_000_000);
    Ok(UnixTime::from_millis(u64::try_from(millis).unwrap_or_default()))
}

/// A file that was written beside its place, and is removed again unless it gets there.
struct Written {
    temporary: PathBuf,
    folder: PathBuf,
}

impl Written {
    fn new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<Self> {
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        // Nobody can put a file or a link there beforehand.
        let temporary = format!(".{}.{}", name.to_string_lossy(), hex::encode(&seal::random::<8>()));
        let written = Self { temporary: folder.join(temporary), folder: folder.to_owned() };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&written.temporary)?;
        file.write_all(bytes)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        Ok(written)
    }

    fn like(model: &Path, path: &Path, bytes: &[u8]) -> io::Result<Self> {
        let model = fs::metadata(model)?;
        let written = Self::new(path, bytes, model.mode() & 0o7777)?;
        let file = File::open(&written.temporary)?;
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (model.uid(), model.gid()) {
            fchown(&file, Some(model.uid()), Some(model.gid()))?;
            // A change of the owner takes special bits away.
            file.set_permissions(Permissions::from_mode(model.mode() & 0o7777))?;
        }
        Ok(written)
    }

    /// Gives it the name, unless there is a file of it.
    fn becomes_new(&self, path: &Path) -> io::Result<()> {
        match renameat_with(CWD, &self.temporary, CWD, path, RenameFlags::NOREPLACE) {
            // A file system that has no such renaming, as over a network.
            Err(Errno::INVAL | Errno::NOSYS) => fs::hard_link(&self.temporary, path)?,
            renamed => renamed?,
        }
        self.keep_name();
        Ok(())
    }

    /// Has the new name on the disk, too. Where that fails, the file is there all the same, and nothing can be taken back.
    fn keep_name(&self) {
        let _ = File::open(&self.folder).and_then(|folder| folder.sync_all());
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        // It is not there any more where it was renamed.
        let _ = fs::remove_file(&self.temporary);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn names(folder: &TempDir) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_made_once_and_never_over_another() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("key");
        create(&path, b"one", 0o600).unwrap();
        assert_eq!(create(&path, b"two", 0o600).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"one".to_vec(), 0o600));
        symlink("elsewhere", folder.path().join("link")).unwrap();
        assert!(create(&folder.path().join("link"), b"two", 0o600).is_err(), "not through a link that leads nowhere");
        assert_eq!(names(&folder), ["key", "link"], "nothing is left of what failed");
    }

    #[test]
    fn a_file_that_is_written_anew_keeps_its_mode_and_its_link() {
        let folder = TempDir::new().unwrap();
        let (path, link) = (folder.path().join("a.toml"), folder.path().join("b.toml"));
        create(&path, b"one", 0o640).unwrap();
        symlink("a.toml", &link).unwrap();
        replace(&link, b"two").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"two".to_vec(), 0o640));
        create_like(&path, &folder.path().join("c.toml"), b"three").unwrap();
        assert_eq!(mode(&folder.path().join("c.toml")), 0o640);
        assert_eq!(names(&folder), ["a.toml", "b.toml", "c.toml"]);
    }
}
