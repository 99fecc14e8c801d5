//! Where logs go: one of a few words, or a file that can be opened.

use std::path::Path;

use super::diagnostics::{Code, Diagnostic};
use super::reading::{FromNode, Reading};
use super::tree::Node;
use crate::nearest::nearest;
use crate::telemetry::can_append;
use crate::telemetry::settings::LogSink;

/// `log.access`, `log.audit`.
#[derive(Clone, Debug)]
pub(super) struct SinkKey(pub(super) LogSink);

impl FromNode for SinkKey {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        let text = String::from_node(node, reading)?;
        let sink = match text.as_str() {
            "off" => LogSink::Off,
            "stdout" => LogSink::Stdout,
            "stderr" => LogSink::Stderr,
            name if !name.contains('/') && is_like_a_word(name) => {
                refuse_word(name, node, reading);
                return None;
            }
            path => {
                let path = reading.resolve(path);
                if !is_writable(&path, node, reading) {
                    return None;
                }
                LogSink::File(path)
            }
        };
        Some(Self(sink))
    }
}

/// Whether a name is more likely meant as a word than as the name of a file.
fn is_like_a_word(name: &str) -> bool {
    let folded = name.to_ascii_lowercase();
    ELSEWHERE.contains(&folded.as_str()) || (!name.contains('.') && nearest(name, WORDS).is_some())
}

fn refuse_word(name: &str, node: &Node, reading: &mut Reading<'_>) {
    let shown = name.escape_default();
    let message = format!("`{}` cannot be \"{shown}\"", reading.key());
    let meant = nearest(name, WORDS).map(|word| format!("did you mean \"{word}\"? ")).unwrap_or_default();
    reading.report(Diagnostic::error(Code::UnknownWord, &node.place, message).help(format!(
        "{meant}Write \"off\", \"stdout\", \"stderr\" or the path of a file; for a file of this name, \"./{shown}\""
    )));
}

fn is_writable(path: &Path, node: &Node, reading: &mut Reading<'_>) -> bool {
    let Err(cause) = can_append(path) else { return true };
    let message = format!("`{}` names a file that cannot be written", reading.key());
    reading.report(
        Diagnostic::error(Code::FileUnwritable, &node.place, message)
            .label(super::units::why_unwritable(&cause))
            .help(format!("{} and its folder must be writable by the user that runs vestibule", path.display())),
    );
    false
}

const WORDS: [&str; 3] = ["off", "stdout", "stderr"];
/// What other programs call such places.
const ELSEWHERE: [&str; 12] =
    ["-", "console", "false", "journal", "journald", "no", "none", "null", "on", "syslog", "true", "yes"];

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
