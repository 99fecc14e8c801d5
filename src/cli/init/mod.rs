//! `vestibule init`: from the answers to a few questions to a commented configuration, a session key, and a place for the client
//! secret; and what has to be registered at the provider, and where.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use self::answers::Answers;
pub(super) use self::flags::InitArguments;
use self::providers::KnownProvider;
use super::register::ToRegister;
use super::{Exit, complain, files, say, stderr_color};
use crate::config::diagnostics::Severity;
use crate::config::{Config, Sources};
use crate::seal;

mod answers;
mod flags;
mod providers;
mod text;

/// Asks, writes, and prints what comes next.
pub(super) fn init(arguments: &InitArguments) -> Exit {
    made(arguments).err().unwrap_or(Exit::Ok)
}

fn made(arguments: &InitArguments) -> Result<(), Exit> {
    let place = Place { folder: &arguments.dir, folder_mode: if arguments.credentials { 0o755 } else { 0o700 } };
    place.check_empty()?;
    let answers = Answers::gather(arguments)?;
    let text = text::configuration(&answers);
    let config = proven(&answers, &text)?;
    place.write(&text)?;
    say(&told(&answers, &ToRegister::of(&config), &place));
    Ok(())
}

/// The configuration as it will be once the client secret is there. What is wrong with it was wrong in the answers.
fn proven(answers: &Answers, text: &str) -> Result<Config, Exit> {
    // Both secrets have files that are not there yet.
    let flags = vec![
        (format!("provider.{}.client_secret", answers.provider.word), seal::random_token()),
        ("session.keys".to_owned(), seal::new_key_text().expose().clone()),
    ];
    let file = Some(("vestibule.toml, as the answers would have it".to_owned(), text.to_owned()));
    Config::load(&Sources { file, flags, ..Sources::default() }).map_err(|mut report| {
        // What is said of the stand-ins for the secrets is nobody's business.
        report.diagnostics.retain(|it| it.severity == Severity::Error);
        complain(&report.render(stderr_color()));
        Exit::usage("nothing was written: an answer cannot be used")
    })
}

/// The files that are written.
struct Place<'a> {
    folder: &'a Path,
    /// The mode of a folder that is not there yet: a service that gets its secrets from systemd reads the configuration itself, as a user
    /// of its own.
    folder_mode: u32,
}

impl Place<'_> {
    fn path(&self, name: &str) -> PathBuf {
        // Without a leading `./`, as people write it.
        if self.folder == Path::new(".") { PathBuf::from(name) } else { self.folder.join(name) }
    }

    /// What is there stays, but for a configuration that sets nothing, as a package installs it.
    fn check_empty(&self) -> Result<(), Exit> {
        let is_there = |name: &&&str| {
            let path = self.path(name);
            path.symlink_metadata().is_ok() && !(**name == CONFIGURATION && is_unset(&path))
        };
        match [CONFIGURATION, SESSION_KEY, CLIENT_SECRET].iter().find(is_there) {
            Some(name) => Err(Exit::cannot_create(format!(
                "{} is there already and stays as it is: name another folder with --dir, or move it away",
                self.path(name).display()
            ))),
            None => Ok(()),
        }
    }

    /// Writes all of it, or nothing.
    fn write(&self, text: &str) -> Result<(), Exit> {
        let refused = |path: &Path, error: &std::io::Error| {
            let message = format!("{} cannot be made: {error}", path.display());
            match error.kind() {
                std::io::ErrorKind::PermissionDenied => Exit::permission(message),
                _ => Exit::cannot_create(message),
            }
        };
        files::folder(self.folder, self.folder_mode).map_err(|error| refused(self.folder, &error))?;
        let key = zeroize::Zeroizing::new(format!("{}\n", seal::new_key_text().expose()));
        let all = [
            (SESSION_KEY, key.as_bytes(), 0o600),
            (CLIENT_SECRET, b"".as_slice(), 0o600),
            (CONFIGURATION, text.as_bytes(), 0o644),
        ];
        let mut made = Vec::new();
        for (name, bytes, mode) in all {
            let path = self.path(name);
            let is_replaced = name == CONFIGURATION && is_unset(&path);
            let done = if is_replaced { files::replace(&path, bytes) } else { files::create(&path, bytes, mode) };
            if let Err(error) = done {
                made.iter().for_each(|path| drop(std::fs::remove_file(path)));
                return Err(refused(&path, &error));
            }
            made.push(path);
        }
        Ok(())
    }

    /// Whether others may put files of their own into the folder.
    fn is_open(&self) -> bool {
        let permissions = std::fs::metadata(self.folder).map(|metadata| metadata.permissions());
        permissions.is_ok_and(|permissions: Permissions| permissions.mode() & 0o022 != 0)
    }
}

/// Whether a configuration is a file of comments alone.
fn is_unset(path: &Path) -> bool {
    let is_file = path.symlink_metadata().is_ok_and(|metadata| metadata.is_file());
    let is_comment = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    is_file && std::fs::read_to_string(path).is_ok_and(|text| text.lines().all(is_comment))
}

/// What was written, what to register, and what comes next.
fn told(answers: &Answers, register: &ToRegister, place: &Place<'_>) -> String {
    let KnownProvider { title, signed_out, .. } = &answers.provider;
    let [config, key, secret] =
        [CONFIGURATION, SESSION_KEY, CLIENT_SECRET].map(|name| place.path(name).display().to_string());
    let (redirect_uri, after) = (register.redirect_uris.join(" "), register.post_logout_redirect_uris.join(" "));
    let mut text = format!(
        "Written: {config}\n         {key} (mode 0600: the session key)\n         {secret} (mode 0600: empty, for the client secret)\n"
    );
    if place.is_open() {
        text.push_str(&format!(
            "Others may write into {}: `chmod go-w` it, or they can replace these files.\n",
            place.folder.display()
        ));
    }
    text.push_str(&format!("\nRegister at {title}:\n  redirect URI              {redirect_uri}\n"));
    match signed_out {
        None => text.push_str(&format!("  post-logout redirect URI  {after}\n")),
        Some(why) => text.push_str(&format!("  post-logout redirect URI  {why}\n")),
    }
    text.push_str("\nWhere to click (consoles change, so the words may differ):\n");
    for (step, number) in answers.provider.steps.iter().zip(1..) {
        let step = step.replace("{redirect_uri}", &redirect_uri).replace("{signed_out}", &after);
        text.push_str(&format!("  {number}. {step}\n"));
    }
    let (check, run) = if answers.credentials {
        let folder = place.folder.display();
        (
            format!("CREDENTIALS_DIRECTORY={folder} vestibule check -c {config}"),
            "systemctl enable --now vestibule".to_owned(),
        )
    } else {
        let run = format!("vestibule run -c {config}     # as a user who may read all three files");
        (format!("vestibule check -c {config}"), run)
    };
    text.push_str(&format!(
        "\nNext:\n  cat > {secret}            # paste the client secret, Enter, Ctrl-D; until then check reports VB-0014: it is empty\n  \
         {check}\n  {run}\n"
    ));
    text
}

const CONFIGURATION: &str = "vestibule.toml";
const SESSION_KEY: &str = "session_key";
const CLIENT_SECRET: &str = "client_secret";
