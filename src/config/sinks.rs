//! Where logs go: one of a few words, or a file that can be opened.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::files::why_unwritable;
use super::kinds;
use super::problems::Flaw;
use super::reading::{refused, with};
use crate::nearest::nearest;
use crate::telemetry::can_append;
use crate::telemetry::settings::{LogSink, NoSyslogAddress, SyslogAddress};

/// `log.access`, `log.audit`.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(inline, extend("examples" = ["off", "stdout", "stderr", "access.log", "syslog:udp://logs.example.com:514", "syslog:/dev/log", "journald"]))]
pub(super) struct SinkKey(#[schemars(with = "String")] pub(super) LogSink);

impl<'de> Deserialize<'de> for SinkKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(match text.as_str() {
            "off" => LogSink::Off,
            "stdout" => LogSink::Stdout,
            "stderr" => LogSink::Stderr,
            "journald" => LogSink::Journald,
            text if text.starts_with(SYSLOG) => LogSink::Syslog(syslog(text)?),
            name if !name.contains('/') && is_like_a_word(name) => return Err(no_word(name)),
            path => {
                let path = with(|reading| reading.resolve(path));
                if let Err(cause) = can_append(&path) {
                    let help =
                        format!("{} and its folder must be writable by the user that runs vestibule", path.display());
                    let flaw = Flaw::new(kinds::LOG_UNWRITABLE, "names a file that cannot be written");
                    return Err(refused(flaw.label(why_unwritable(&cause)).help(help)));
                }
                LogSink::File(path)
            }
        }))
    }
}

/// The address of a syslog daemon.
fn syslog<E: serde::de::Error>(text: &str) -> Result<SyslogAddress, E> {
    text.get(SYSLOG.len()..).unwrap_or_default().parse().map_err(|cause: NoSyslogAddress| {
        let help =
            "write \"syslog:/dev/log\", \"syslog:udp://logs.example.com:514\" or \"syslog:tcp://logs.example.com:601\"";
        refused(Flaw::new(kinds::UNKNOWN_WORD, "names no syslog daemon").label(cause.to_string()).help(help))
    })
}

/// Whether a name is more likely meant as a word than as the name of a file.
fn is_like_a_word(name: &str) -> bool {
    let folded = name.to_ascii_lowercase();
    ELSEWHERE.contains(&folded.as_str()) || (!name.contains('.') && nearest(name, WORDS).is_some())
}

/// Refuses what was probably meant as a word.
fn no_word<E: serde::de::Error>(name: &str) -> E {
    let shown = name.escape_default();
    let meant = nearest(name, WORDS).map(|word| format!("did you mean \"{word}\"? ")).unwrap_or_default();
    let help = format!(
        "{meant}Write \"off\", \"stdout\", \"stderr\", \"journald\", \"syslog:ADDRESS\" or the path of a file; for a file of this name, \"./{shown}\""
    );
    refused(Flaw::of(kinds::UNKNOWN_WORD, "cannot be", name).help(help))
}

/// How the address of a syslog server begins.
const SYSLOG: &str = "syslog:";
/// The words that are no file.
const WORDS: [&str; 4] = ["off", "stdout", "stderr", "journald"];
/// What other programs call such places.
const ELSEWHERE: [&str; 12] =
    ["-", "console", "false", "journal", "journalctl", "no", "none", "null", "on", "syslog", "true", "yes"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_a_file_unless_it_is_nearly_a_word() {
        for file in ["access.log", "access", "requests", "off.log", "vestibule-audit", "stderr.txt"] {
            assert!(!is_like_a_word(file), "{file}");
        }
        for word in ["stdot", "STDERR", "sterr", "none", "-", "Syslog", "journald"] {
            assert!(is_like_a_word(word), "{word}");
        }
    }
}
