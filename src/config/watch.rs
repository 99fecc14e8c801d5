//! The files of a configuration: looked at from time to time, and read again when they changed.
//!
//! Those that it names are always watched: secrets and certificates are read again with all of the configuration, lists and key sets by
//! themselves. The configuration's own file only where that is asked for: one that is half edited may be a valid policy.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::{Config, Report, Sources};
use crate::followed::{Follow, FollowedChange};

/// The files of one configuration, and what they looked like.
#[derive(Debug)]
pub struct Watch {
    sources: Sources,
    files: Vec<PathBuf>,
    /// When they were last read, successfully or not.
    read: Vec<State>,
    /// At the last look.
    seen: Vec<State>,
    /// Those that change without a reload.
    followed: Vec<Arc<dyn Follow>>,
}

/// What a file looks like from outside; links are followed, so that a swapped directory link (Kubernetes) shows, too.
type State = Option<(SystemTime, u64, u64, u64)>;

impl Watch {
    /// Those of a configuration that was just read from these sources; `own` is its own file, where that is watched, too.
    pub fn of(sources: Sources, config: &Config, own: Option<PathBuf>) -> Self {
        let files: Vec<_> = config.files.iter().map(|file| file.path.clone()).chain(own).collect();
        let now = states(&files);
        Self { sources, files, read: now.clone(), seen: now, followed: config.followed() }
    }

    /// Looks again: whether something changed, once for each change. A file counts only when it looks the same at two looks in a row,
    /// because it may be read while it is being written.
    pub fn look(&mut self) -> bool {
        let now = states(&self.files);
        let is_settled = now == self.seen;
        self.seen.clone_from(&now);
        let is_news = is_settled && now != self.read;
        if is_news {
            self.read = now;
        }
        is_news
    }

    /// Looks at the followed files, and takes over what has changed of them.
    pub fn look_at_followed(&self) -> Vec<FollowedChange> {
        self.followed.iter().filter_map(|file| file.look()).collect()
    }

    /// The configuration as it was written before, with what the files that it names hold now.
    ///
    /// # Errors
    /// What is wrong with that.
    pub fn read_again(&self) -> Result<Config, Report> {
        Config::load(&self.sources)
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
        Watch::of(sources, &config, None)
    }

    fn secret(config: &Config) -> &str {
        config.providers[0].client_auth.secret().unwrap().expose()
    }

    /// What is read at the look that finds the files settled.
    fn settled(watch: &mut Watch) -> Result<Config, Report> {
        assert!(watch.look());
        watch.read_again()
    }

    #[test]
    fn a_changed_secret_is_read_once_it_has_stayed_for_two_looks() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("key", KEY);
        write("secret", "old");
        let mut watch = watched(folder.path(), "secret");
        assert!(!watch.look() && !watch.look());
        write("secret", "newer");
        assert!(!watch.look(), "it may still be being written");
        write("secret", "newest!");
        assert!(!watch.look(), "and it was");
        assert_eq!(secret(&settled(&mut watch).unwrap()), "newest!");
        assert!(!watch.look(), "once");
        write("key", OTHER_KEY);
        assert!(!watch.look());
        let config = settled(&mut watch).unwrap();
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
            assert!(!watch.look());
            let report = settled(&mut watch).unwrap_err();
            assert!(report.render(false).contains("client_secret"), "{report}");
            assert!(!watch.look() && !watch.look(), "not told again");
        }
        fs::remove_file(folder.path().join("secret")).unwrap();
        assert!(!watch.look());
        assert!(settled(&mut watch).is_err());
        write("secret", "whole");
        assert!(!watch.look());
        assert_eq!(secret(&settled(&mut watch).unwrap()), "whole");
    }

    #[test]
    fn the_configurations_own_file_is_watched_where_that_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("a.toml");
        for (name, text) in [("key", KEY), ("secret", "old"), ("a.toml", "# one")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let Watch { sources, .. } = watched(folder.path(), "secret");
        let config = Config::load(&sources).unwrap();
        let mut both = [Watch::of(sources.clone(), &config, None), Watch::of(sources, &config, Some(own.clone()))];
        fs::write(&own, "# two two").unwrap();
        let looked = [(); 3].map(|()| both.each_mut().map(Watch::look));
        assert_eq!(looked, [[false, false], [false, true], [false, false]]);
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
        assert!(!watch.look());
        assert_eq!(secret(&settled(&mut watch).unwrap()), "new!");
    }
}
