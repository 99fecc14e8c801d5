//! `keys rotate`: a new key seals, and the old one goes on opening sessions until they are over.
//!
//! Where several instances share keys, no instance may seal with a key that another one cannot open with. So there are two steps:
//! `--stage` makes the key and adds it last, where it only opens; once every instance has it, `--promote` puts it first. Each step
//! writes the configuration file in one piece, and checks it as it will be before it does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::ring::{KeyItem, KeyList};
use crate::cli::sources::ConfigSource;
use crate::cli::{ConfigArguments, Exit, ages, complain, files, say, stderr_color};
use crate::clock::{Clock as _, SystemClock, UnixTime};
use crate::config::diagnostics::Place;
use crate::config::{Config, SecretSource};
use crate::seal;

/// Which step is taken.
#[derive(Args, Clone, Debug)]
pub struct RotateArguments {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArguments,
    /// Make a new key and add it last, where it only opens: the first step where several instances share keys
    #[arg(long, conflicts_with = "promote")]
    pub stage: bool,
    /// Put the last key first, where it seals: the second step, once every instance has the staged key
    #[arg(long)]
    pub promote: bool,
    /// Take keys off the list that have not sealed for this long: "30d"
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub drop_after: Option<Duration>,
}

/// Takes the step, or says why it is not taken: nothing is changed then.
pub(super) fn rotate(arguments: &RotateArguments) -> Exit {
    taken(arguments).err().unwrap_or(Exit::Ok)
}

fn taken(arguments: &RotateArguments) -> Result<(), Exit> {
    let mut ring = Ring::read(arguments)?;
    let made = if arguments.promote { None } else { Some(ring.stage()?) };
    let turned = if arguments.stage { Ok(()) } else { ring.promote(made.is_some()) };
    if let Some(life) = arguments.drop_after {
        ring.drop_after(life);
    }
    // A key that nothing names is of no use to anybody, and would stand in the way of the next try.
    turned.and_then(|()| ring.write()).inspect_err(|_| {
        if let Some(path) = &made {
            let _ = std::fs::remove_file(path);
        }
    })?;
    ring.tell(arguments, made.as_deref());
    Ok(())
}

/// The keys of a configuration, in the order that they will have.
struct Ring {
    source: ConfigSource,
    file: PathBuf,
    lifetime: Duration,
    list: KeyList,
    keys: Vec<RingKey>,
    dropped: Vec<RingKey>,
    now: UnixTime,
}

/// A key, and what the operator knows it by.
#[derive(Clone)]
struct RingKey {
    item: KeyItem,
    name: String,
    /// None where it is not in a file.
    path: Option<PathBuf>,
    made: Option<UnixTime>,
    fingerprint: String,
}

impl Ring {
    fn read(arguments: &RotateArguments) -> Result<Self, Exit> {
        let source = ConfigSource::from(arguments.config.clone());
        let (config, _) = source.load()?;
        let Some(file) = source.path().map(Path::to_owned) else {
            return Err(Exit::bad_input("there is no configuration file in which keys could be rotated"));
        };
        let place = config.places.at("session.keys");
        if let Place::Variable(_) | Place::Flag(_) = place {
            return Err(Exit::bad_input(format!(
                "`session.keys` comes from the {place}, not from {}: rotate the keys where it is set",
                file.display()
            )));
        }
        let text = std::fs::read_to_string(&file).map_err(|error| unwritable(&file, &error))?;
        let list = KeyList::read(&text).map_err(|why| Exit::bad_input(format!("{}: {why}", file.display())))?;
        let keys = list.keys.iter().enumerate().filter_map(|(at, item)| RingKey::of(item, at, &config)).collect();
        let (lifetime, now) = (config.session.lifetime, SystemClock.now());
        Ok(Self { source, file, lifetime, list, keys, dropped: Vec::new(), now })
    }

    /// Makes a key file beside that of the first key, with its mode and owner, and adds the key last.
    fn stage(&mut self) -> Result<PathBuf, Exit> {
        if self.keys.len() > 1 && self.is_last_newer() {
            let name = self.keys.last().map_or("", |last| &last.name);
            return Err(Exit::bad_input(format!(
                "{name} is staged already: `vestibule keys rotate --promote` puts it first"
            )));
        }
        let first = self.keys.first().and_then(|first| Some((first.item.file()?, first.path.as_deref()?)));
        let Some((written, beside)) = first else {
            return Err(Exit::bad_input(
                "the first key is not in a file, so there is no place for a new one: write keys = [{ file = \"…\" }], or change it where it is kept",
            ));
        };
        let (written, beside) = (written.to_owned(), beside.to_owned());
        let day = self.now.rfc3339().chars().take_while(|c| *c != 'T').filter(char::is_ascii_digit).collect::<String>();
        let stem = stem(&written);
        let names =
            std::iter::once(format!("{stem}.{day}")).chain((2..MOST_A_DAY).map(|n| format!("{stem}.{day}-{n}")));
        let key = seal::new_key_text();
        for name in names {
            let path = beside.with_file_name(Path::new(&name).file_name().unwrap_or_default());
            let line = zeroize::Zeroizing::new(format!("{}\n", key.expose()));
            match files::create_like(&beside, &path, line.as_bytes()) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(unwritable(&path, &error)),
                Ok(()) => {
                    let fingerprint =
                        seal::parse_key(key.expose()).map(|key| seal::fingerprint(&key)).unwrap_or_default();
                    let item = KeyItem::of_file(&name);
                    let made = Some(files::modified(&path).unwrap_or(self.now));
                    self.keys.push(RingKey { item, name, path: Some(path.clone()), made, fingerprint });
                    return Ok(path);
                }
            }
        }
        Err(Exit::cannot_create(format!("there are {MOST_A_DAY} keys of today beside {}", beside.display())))
    }

    /// Puts the last key first: one that was just made, or one whose file says that it is newer than the first.
    fn promote(&mut self, is_new: bool) -> Result<(), Exit> {
        if !is_new && !self.is_last_newer() {
            return Err(Exit::bad_input(match self.keys.as_slice() {
                [] | [_] => "there is one key only: `vestibule keys rotate --stage` makes the next one".to_owned(),
                [first, .., last] => format!(
                    "the file of the last key, {}, is not newer than that of the first, {}: no staged key waits, and nothing was changed",
                    last.name, first.name
                ),
            }));
        }
        self.keys.rotate_right(1);
        Ok(())
    }

    /// Whether both are files, and that of the last key is newer.
    fn is_last_newer(&self) -> bool {
        let made = |key: Option<&RingKey>| key.and_then(|key| key.made);
        self.keys.len() > 1
            && made(self.keys.first()).zip(made(self.keys.last())).is_some_and(|(first, last)| last > first)
    }

    /// Takes keys off that have not sealed for `life`. A key sealed until the next newer one was made, or later; one that is the
    /// newest may be staged.
    fn drop_after(&mut self, life: Duration) {
        let all: Vec<UnixTime> = self.keys.iter().filter_map(|key| key.made).collect();
        let retired = |key: &RingKey| key.made.and_then(|made| all.iter().copied().filter(|other| *other > made).min());
        let is_old = |key: &RingKey| retired(key).is_some_and(|at| self.now.since(at) > life);
        let rest = self.keys.split_off(1.min(self.keys.len()));
        let (old, kept): (Vec<_>, Vec<_>) = rest.into_iter().partition(is_old);
        self.keys.extend(kept);
        self.dropped = old;
    }

    /// Writes the configuration, unless it could not be used then.
    fn write(&mut self) -> Result<(), Exit> {
        self.list.keys = self.keys.iter().map(|key| key.item.clone()).collect();
        let text = self.list.text();
        self.source.read_as(&text).map_err(|report| {
            complain(&report.render(stderr_color()));
            Exit::config(format!("{} could not be used with these keys, and was not changed", self.file.display()))
        })?;
        files::replace(&self.file, text.as_bytes()).map_err(|error| unwritable(&self.file, &error))
    }

    /// What was done, until when old sessions open, and what comes next.
    fn tell(&self, arguments: &RotateArguments, made: Option<&Path>) {
        let named = |key: &RingKey| format!("{} ({})", key.name, key.fingerprint);
        let (first, file) = (self.keys.first().map(named).unwrap_or_default(), self.file.display());
        let mut lines = Vec::new();
        if let Some(path) = made {
            lines.push(format!("made {}", path.display()));
        }
        if arguments.stage {
            let staged = self.keys.last().map(named).unwrap_or_default();
            lines.push(format!(
                "{staged} is the last of `session.keys` in {file} and only opens; {first} seals as before"
            ));
            lines.push(format!(
                "next: give file and configuration to every instance and reload each (SIGHUP), then `vestibule keys rotate --promote -c {file}`"
            ));
        } else {
            let until = ages::dated(self.now.plus(self.lifetime), self.now);
            lines.push(format!(
                "{first} is the first of `session.keys` in {file} and seals from the next reload (SIGHUP) on"
            ));
            if let Some(old) = self.keys.get(1) {
                lines.push(format!(
                    "{} only opens: sessions that it sealed until now are over by {until}, after `session.lifetime`; count from the last reload",
                    named(old)
                ));
            }
            if made.is_some() {
                lines.push(
                    "this was both steps at once, for one instance: where several share the keys, --stage and --promote keep each able to open what another one sealed"
                        .to_owned(),
                );
            }
        }
        lines.extend(self.dropped.iter().map(|key| {
            format!("{} is off the list; its file is still there, for you to remove after the reload", named(key))
        }));
        if let Some(life) = arguments.drop_after.filter(|life| *life < self.lifetime) {
            lines.push(format!(
                "--drop-after {} is shorter than `session.lifetime`: people whose session a dropped key sealed sign in again",
                ages::span(life)
            ));
        }
        say(&format!("{}\n", lines.join("\n")));
    }
}

impl RingKey {
    fn of(item: &KeyItem, at: usize, config: &Config) -> Option<Self> {
        let (key, source) = (config.keys.get(at)?, config.key_sources.get(at)?);
        let path = match source {
            SecretSource::File(path) => Some(path.clone()),
            _ => None,
        };
        let name = item.file().map_or_else(|| format!("key {}", at + 1), str::to_owned);
        let made = path.as_deref().and_then(|path| files::modified(path).ok());
        Some(Self { item: item.clone(), name, path, made, fingerprint: seal::fingerprint(key) })
    }
}

/// The name without the day that an earlier rotation gave it.
fn stem(name: &str) -> &str {
    let is_day = |end: &str| {
        let (day, count) = end.split_once('-').unwrap_or((end, "1"));
        day.len() == 8 && [day, count].iter().all(|part| part.bytes().all(|b| b.is_ascii_digit()) && !part.is_empty())
    };
    name.rsplit_once('.').filter(|(_, end)| is_day(end)).map_or(name, |(stem, _)| stem)
}

fn unwritable(path: &Path, error: &std::io::Error) -> Exit {
    let message = format!("{} cannot be written: {error}", path.display());
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => Exit::permission(message),
        _ => Exit::cannot_create(message),
    }
}

const MOST_A_DAY: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_of_an_earlier_rotation_is_replaced() {
        for (name, without) in [
            ("session_key", "session_key"),
            ("/run/a.b/key.20261130", "/run/a.b/key"),
            ("key.20261130-2", "key"),
            ("key.txt", "key.txt"),
            ("key.2026113", "key.2026113"),
        ] {
            assert_eq!(stem(name), without);
        }
    }
}
