//! The followed files of a process: two keys that name one file share what it holds, and a reload goes on with what a file that it
//! names again held last. What is wrong with a file is an error only where it is new.

use std::collections::HashMap;
use std::hash::Hash;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::Config;
use super::files::{looked_for, why_unreadable};
use super::kinds::{self, DiagnosticKind};
use super::problems::Flaw;
use crate::followed::{Content, Follow, FollowError, Followed, ReadContent};
use crate::policy::names::{Matching, NameList, NameSet};
use crate::provider::KeyFile;

/// The files that are followed for a configuration, as long as something uses what they hold.
#[derive(Clone, Debug, Default)]
pub struct FollowedFiles {
    names: Known<(PathBuf, Matching), NameSet>,
    keys: Known<PathBuf, KeyFile>,
}

/// Files of one kind of content, by what tells how they are read.
type Known<K, T> = Arc<Mutex<HashMap<K, Weak<Followed<T>>>>>;

/// A followed file, and whether it was just read for the first time.
pub(super) struct Opened<T> {
    /// The file.
    pub(super) file: Arc<Followed<T>>,
    /// Whether nothing used it before.
    pub(super) is_new: bool,
}

/// A file that a configuration names, not read yet.
#[derive(Clone, Debug)]
pub(super) struct NamedFile {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Those that are known.
    pub(super) known: FollowedFiles,
}

impl NamedFile {
    /// Follows it as a list of names. How they are compared tells how they are read as well.
    pub(super) fn names(
        &self,
        key: &str,
        matching: Matching,
        read: ReadContent<NameSet>,
    ) -> Result<Opened<NameSet>, Flaw> {
        let wanted = (self.path.clone(), matching);
        opened(&self.known.names, wanted, || Followed::open(key.to_owned(), self.path.clone(), LARGEST_LIST, read))
            .map_err(|error| flaw(&error, &self.path, kinds::LIST_UNUSABLE))
    }
}

impl NamedFile {
    /// Follows it as the key set of a provider.
    pub(super) fn keys(&self, key: &str) -> Result<Arc<Followed<KeyFile>>, Flaw> {
        let open = || Followed::open(key.to_owned(), self.path.clone(), LARGEST_KEY_SET, Box::new(KeyFile::read));
        let opened = opened(&self.known.keys, self.path.clone(), open);
        opened.map(|it| it.file).map_err(|error| flaw(&error, &self.path, kinds::KEY_FILE_UNUSABLE))
    }
}

impl Config {
    /// The followed files of this configuration, each once.
    pub fn followed(&self) -> Vec<Arc<dyn Follow>> {
        let mut files: Vec<Arc<dyn Follow>> = Vec::new();
        for rule in self.gateway.routes.iter().flat_map(|route| route.rules()) {
            let allow = &rule.allow;
            for list in [&allow.groups, &allow.emails, &allow.domains, &allow.users, &allow.subjects] {
                if let Some(NameList::Followed(file)) = list {
                    add(&mut files, Arc::clone(file) as Arc<dyn Follow>);
                }
            }
        }
        for file in self.providers.iter().filter_map(|provider| provider.jwks.as_ref()) {
            add(&mut files, Arc::clone(file) as Arc<dyn Follow>);
        }
        files
    }
}

/// Adds a file that is not among them yet.
fn add(files: &mut Vec<Arc<dyn Follow>>, file: Arc<dyn Follow>) {
    if !files.iter().any(|known| std::ptr::addr_eq(Arc::as_ptr(known), Arc::as_ptr(&file))) {
        files.push(file);
    }
}

/// The known file, or the one that is read now.
fn opened<K: Eq + Hash, T: Content>(
    known: &Known<K, T>,
    key: K,
    open: impl FnOnce() -> Result<Followed<T>, FollowError>,
) -> Result<Opened<T>, FollowError> {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(file) = known.get(&key).and_then(Weak::upgrade) {
        return Ok(Opened { file, is_new: false });
    }
    let file = Arc::new(open()?);
    known.retain(|_, file| file.strong_count() > 0);
    known.insert(key, Arc::downgrade(&file));
    Ok(Opened { file, is_new: true })
}

/// Why a file cannot be followed from the start.
fn flaw(error: &FollowError, path: &Path, unusable: DiagnosticKind) -> Flaw {
    match error {
        FollowError::Unreadable(error) => Flaw::new(kinds::FILE_UNREADABLE, "names a file that cannot be read")
            .label(why_unreadable(error))
            .help(looked_for(path)),
        FollowError::TooLarge(_) => Flaw::new(unusable, format!("names {}, which {error}", path.display())),
        FollowError::Content(why) => Flaw::new(unusable, format!("names {}: {why}", path.display())),
    }
}

/// Bytes of a list: a hundred thousand addresses take about three million.
const LARGEST_LIST: u64 = 32 << 20;
/// Bytes of a key set, as of one that is fetched.
const LARGEST_KEY_SET: u64 = 1 << 20;
