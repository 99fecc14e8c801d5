//! Files that somebody else keeps, taken over as they change: lists of people, key sets.
//!
//! The content is shared: whoever uses it asks for the [current](Followed::current) one each time, so that a change is no reload and
//! costs nobody a session. What cannot be read or understood does not replace what was read before.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::{ArcSwap, Guard};

/// What a followed file holds.
pub trait Content: fmt::Debug + Send + Sync {
    /// How much that is, in a few words: `3 entries`.
    fn summary(&self) -> String;
}

/// A file, and what it held when it could be understood last.
pub struct Followed<T> {
    key: String,
    path: PathBuf,
    limit: u64,
    read: ReadContent<T>,
    content: ArcSwap<T>,
    states: Mutex<States>,
    /// Why the newest content is not the current one.
    trouble: Mutex<Option<String>>,
}

/// Makes the content of a file's bytes, or says in words for the operator why that cannot be done.
pub type ReadContent<T> = Box<dyn Fn(&[u8]) -> Result<T, String> + Send + Sync>;

/// Why a file cannot be followed from the start.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It has more bytes than this.
    #[error("is larger than {} MiB", .0 >> 20)]
    TooLarge(u64),
    /// What it holds is not what it should hold.
    #[error("{0}")]
    Content(String),
}

/// A change of a followed file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FollowedChange {
    /// The key of the configuration that names the file.
    pub key: String,
    /// The file.
    pub path: PathBuf,
    /// How much it holds now, or why what it held before stays in use.
    pub outcome: Result<String, String>,
}

/// A followed file of whatever content.
pub trait Follow: fmt::Debug + Send + Sync {
    /// The key of the configuration that names it.
    fn key(&self) -> &str;

    /// Where it is.
    fn path(&self) -> &Path;

    /// How much is in use, in a few words.
    fn summary(&self) -> String;

    /// Why what is in use is older than the file.
    fn trouble(&self) -> Option<String>;

    /// Looks at the file, and takes a change over; each is reported once. A change counts when the file looks the same at two looks
    /// in a row, because it may be read while it is being written.
    fn look(&self) -> Option<FollowedChange>;
}

/// What the file looked like when it was read last, and at the last look.
#[derive(Debug)]
struct States {
    read: FileState,
    seen: FileState,
    /// It could not be read: what keeps it from that need not show from outside.
    try_again: bool,
}

/// What a file looks like from outside; links are followed, so that a swapped folder link (Kubernetes) shows, too.
type FileState = Option<(SystemTime, (i64, i64), u64, u64, u64)>;

impl<T: Content> Followed<T> {
    /// Reads a file of at most `limit` bytes for the first time. `key`: what names it in the configuration.
    ///
    /// # Errors
    /// [`FollowError`].
    pub fn open(key: String, path: PathBuf, limit: u64, read: ReadContent<T>) -> Result<Self, FollowError> {
        // Looked at before it is read: a change in between shows at the next look.
        let state = state_of(&path);
        let content = read(&bytes_of(&path, limit)?).map_err(FollowError::Content)?;
        let states = Mutex::new(States { read: state, seen: state, try_again: false });
        Ok(Self { key, path, limit, read, content: ArcSwap::from_pointee(content), states, trouble: Mutex::default() })
    }

    /// What it held when it was read last.
    pub fn current(&self) -> Guard<Arc<T>> {
        self.content.load()
    }

    /// Reads it again: whether that changes what is in use, or why it does not.
    fn take(&self, states: &mut States) -> Option<Result<String, String>> {
        let content = bytes_of(&self.path, self.limit)
            .inspect_err(|error| states.try_again = matches!(error, FollowError::Unreadable(_)))
            .and_then(|bytes| (self.read)(&bytes).map_err(FollowError::Content));
        let why = match content {
            Ok(content) => {
                states.try_again = false;
                let summary = content.summary();
                self.content.store(Arc::new(content));
                *locked(&self.trouble) = None;
                return Some(Ok(summary));
            }
            Err(why) => why.to_string(),
        };
        let is_news = locked(&self.trouble).replace(why.clone()).as_ref() != Some(&why);
        is_news.then_some(Err(why))
    }
}

impl<T: Content> Follow for Followed<T> {
    fn key(&self) -> &str {
        &self.key
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn summary(&self) -> String {
        self.current().summary()
    }

    fn trouble(&self) -> Option<String> {
        locked(&self.trouble).clone()
    }

    fn look(&self) -> Option<FollowedChange> {
        let now = state_of(&self.path);
        let mut states = locked(&self.states);
        let is_settled = std::mem::replace(&mut states.seen, now) == now;
        if !is_settled || (now == states.read && !states.try_again) {
            return None;
        }
        states.read = now;
        let outcome = self.take(&mut states)?;
        Some(FollowedChange { key: self.key.clone(), path: self.path.clone(), outcome })
    }
}

impl<T> fmt::Debug for Followed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Followed").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The bytes of a file, up to `limit`.
fn bytes_of(path: &Path, limit: u64) -> Result<Vec<u8>, FollowError> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory).into());
    }
    // A pipe would hold up whoever opens it.
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file").into());
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit { Err(FollowError::TooLarge(limit)) } else { Ok(bytes) }
}

/// What a file looks like now. The time of the last change of the inode shows a `chmod`.
fn state_of(path: &Path) -> FileState {
    let file = fs::metadata(path).ok()?;
    Some((file.modified().ok()?, (file.ctime(), file.ctime_nsec()), file.len(), file.ino(), file.dev()))
}

/// What a mutex holds; a panic elsewhere leaves nothing half done in it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    impl Content for String {
        fn summary(&self) -> String {
            format!("{} bytes", self.len())
        }
    }

    fn followed(path: &Path) -> Result<Followed<String>, FollowError> {
        let read: ReadContent<String> = Box::new(|bytes| match String::from_utf8(bytes.to_vec()) {
            Ok(text) if !text.contains("bad") => Ok(text),
            _ => Err("is bad".to_owned()),
        });
        Followed::open("a.key".to_owned(), path.to_owned(), 16, read)
    }

    /// The outcome at the look that finds the file settled.
    fn settled(file: &Followed<String>) -> Option<Result<String, String>> {
        assert_eq!(file.look(), None, "it may still be being written");
        let change = file.look()?;
        assert_eq!((change.key.as_str(), change.path.as_path()), ("a.key", file.path()));
        assert_eq!(file.look(), None, "once");
        Some(change.outcome)
    }

    #[test]
    fn a_change_is_taken_once_it_has_stayed_for_two_looks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        fs::write(&path, "one").unwrap();
        let file = followed(&path).unwrap();
        assert_eq!((file.look(), file.look()), (None, None));
        fs::write(&path, "three").unwrap();
        assert_eq!(settled(&file), Some(Ok("5 bytes".to_owned())));
        assert_eq!(**file.current(), "three");
        fs::write(&path, "").unwrap();
        assert_eq!(settled(&file), Some(Ok("0 bytes".to_owned())), "an emptied file is a change like others");
    }

    #[test]
    fn what_cannot_be_taken_is_told_once_and_the_old_content_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        fs::write(&path, "one").unwrap();
        let file = followed(&path).unwrap();
        let broken: [(&dyn Fn(), &str); 4] = [
            (&|| fs::write(&path, "bad").unwrap(), "is bad"),
            (&|| fs::write(&path, "x".repeat(17)).unwrap(), "is larger than 0 MiB"),
            (&|| fs::remove_file(&path).unwrap(), "No such file or directory"),
            (&|| fs::create_dir(&path).unwrap(), "is a directory"),
        ];
        for (breaks, why) in broken {
            breaks();
            let told = settled(&file).unwrap().unwrap_err();
            assert!(told.contains(why), "{told}");
            assert_eq!((&**file.current(), file.trouble()), (&"one".to_owned(), Some(told)));
            assert_eq!(file.look(), None, "not told again");
        }
        fs::remove_dir(&path).unwrap();
        fs::write(&path, "two").unwrap();
        assert_eq!(settled(&file), Some(Ok("3 bytes".to_owned())));
        assert_eq!((file.summary(), file.trouble()), ("3 bytes".to_owned(), None));
    }

    #[test]
    fn a_folder_link_that_is_swapped_shows() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (version, text) in [("..a", "old"), ("..b", "new")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("list"), text).unwrap();
        }
        symlink("..a", at("..data")).unwrap();
        symlink("..data/list", at("list")).unwrap();
        let file = followed(&at("list")).unwrap();
        symlink("..b", at("..tmp")).unwrap();
        fs::rename(at("..tmp"), at("..data")).unwrap();
        assert_eq!(settled(&file), Some(Ok("3 bytes".to_owned())));
        assert_eq!(**file.current(), "new");
    }

    #[test]
    fn what_is_wrong_from_the_start_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        assert!(matches!(followed(&path), Err(FollowError::Unreadable(_))));
        fs::write(&path, "bad").unwrap();
        assert!(matches!(followed(&path), Err(FollowError::Content(_))));
        fs::write(&path, "x".repeat(17)).unwrap();
        assert!(matches!(followed(&path), Err(FollowError::TooLarge(16))));
        assert!(matches!(followed(folder.path()), Err(FollowError::Unreadable(_))));
        assert!(matches!(followed(Path::new("/dev/null")), Err(FollowError::Unreadable(_))), "no regular file");
    }
}
