//! The files that a configuration names: looked at from time to time, and read again when they changed.
//!
//! The configuration itself is not read again by that: what stands in it is taken when somebody asks for a reload.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::SystemTime;

use super::{Config, Report, Sources};

/// The files of one configuration, and what they looked like.
#[derive(Debug)]
pub struct Watch {
    sources: Sources,
    files: Vec<PathBuf>,
    /// When they were last read, successfully or not.
    read: Vec<State>,
    /// At the last look.
    seen: Vec<State>,
}

/// What a file looks like from outside; links are followed, so that a swapped directory link (Kubernetes) shows, too.
type State = Option<(SystemTime, u64, u64, u64)>;

impl Watch {
    /// Those of a configuration that was just read from these sources.
    pub fn of(sources: Sources, config: &Config) -> Self {
        let files = config.files.clone();
        let now = states(&files);
        Self { sources, files, read: now.clone(), seen: now }
    }

    /// Looks again: the configuration with what the files hold now, or what is wrong with that, once for each change. A file
    /// counts only when it looks the same at two looks in a row, because it may be read while it is being written.
    pub fn look(&mut self) -> Option<Result<Config, Report>> {
        let now = states(&self.files);
        let is_settled = now == self.seen;
        self.seen.clone_from(&now);
        if now == self.read || !is_settled {
            return None;
        }
        self.read = now;
        Some(Config::load(&self.sources))
    }
}

/// What the files look like now.
fn states(files: &[PathBuf]) -> Vec<State> {
    let state = |path: &PathBuf| {
        let file = fs::metadata(path).ok()?;
        Some((file.modified().ok()?, file.len(), file.ino(), file.dev()))
    };
    files.iter().map(state).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    const KEY: &str = "9b1ZpHnK2mXr0qTt7wYc4uEj8sLd5vAg3fNo6iRkQxM=";
    const OTHER_KEY: &str = "f3a9c1d07be2846519ac3fd82e60b7451d98f0c2a7e34b6d5c8091fe62d7a4b3";

    fn watched(folder: &Path, secret: &str) -> Watch {
        let text = format!(
            "server.public_url = 'http://localhost:1'\nroute.a.upstream = 'static:204'\nsession.keys = [{{ file = 'key' }}]\n\
             [provider.a]\nissuer = 'https://a.example'\nclient_id = 'a'\nclient_secret = {{ file = '{secret}' }}\n"
        );
        let sources =
            Sources { file: Some(("a.toml".to_owned(), text)), base_dir: folder.to_owned(), ..Sources::default() };
        let config = Config::load(&sources).unwrap_or_else(|report| panic!("{report}"));
        Watch::of(sources, &config)
    }

    fn secret(config: &Config) -> &str {
        config.providers[0].client_auth.secret().unwrap().expose()
    }

    #[test]
    fn a_changed_secret_is_read_once_it_has_stayed_for_two_looks() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("key", KEY);
        write("secret", "old");
        let mut watch = watched(folder.path(), "secret");
        assert!(watch.look().is_none() && watch.look().is_none());
        write("secret", "newer");
        assert!(watch.look().is_none(), "it may still be being written");
        write("secret", "newest!");
        assert!(watch.look().is_none(), "and it was");
        assert_eq!(secret(&watch.look().unwrap().unwrap()), "newest!");
        assert!(watch.look().is_none(), "once");
        write("key", OTHER_KEY);
        assert!(watch.look().is_none());
        let config = watch.look().unwrap().unwrap();
        assert_eq!(config.keys, [crate::seal::parse_key(OTHER_KEY).unwrap()]);
    }

    #[test]
    fn what_is_broken_is_told_once_and_taken_when_it_is_whole_again() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("key", KEY);
        write("secret", "old");
        let mut watch = watched(folder.path(), "secret");
        for broken in ["", "two\nlines"] {
            write("secret", broken);
            assert!(watch.look().is_none());
            let report = watch.look().unwrap().unwrap_err();
            assert!(report.render(false).contains("client_secret"), "{report}");
            assert!(watch.look().is_none() && watch.look().is_none(), "not told again");
        }
        fs::remove_file(folder.path().join("secret")).unwrap();
        assert!(watch.look().is_none());
        assert!(watch.look().unwrap().is_err());
        write("secret", "whole");
        assert!(watch.look().is_none());
        assert_eq!(secret(&watch.look().unwrap().unwrap()), "whole");
    }

    #[test]
    fn a_folder_link_that_is_swapped_shows() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (version, text) in [("..a", "old!"), ("..b", "new!")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("secret"), text).unwrap();
        }
        fs::write(at("key"), KEY).unwrap();
        symlink("..a", at("..data")).unwrap();
        symlink("..data/secret", at("secret")).unwrap();
        let mut watch = watched(folder.path(), "secret");
        symlink("..b", at("..tmp")).unwrap();
        fs::rename(at("..tmp"), at("..data")).unwrap();
        assert!(watch.look().is_none());
        assert_eq!(secret(&watch.look().unwrap().unwrap()), "new!");
    }
}
