//! The mode of a file, as `chmod` takes it: octal digits in quotes.

use super::diagnostics::{Code, Diagnostic};
use super::reading::{FromNode, Reading};
use super::tree::{Node, Value};

/// `"0660"`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct FileMode(pub(super) u32);

impl FromNode for FileMode {
    fn from_node(node: &Node, reading: &mut Reading<'_>) -> Option<Self> {
        // Without quotes nobody could tell whether 660 is meant as octal.
        let (Value::String(text) | Value::Untyped(text)) = &node.value else {
            reading.wrong_type(node, "a mode in quotes, such as \"0660\"");
            return None;
        };
        let mode = parse(text);
        if mode.is_none() {
            let message = format!("`{}` cannot be \"{}\"", reading.key(), text.escape_default());
            reading.report(
                Diagnostic::error(Code::BadValue, &node.place, message)
                    .label("not the mode of a socket")
                    .help("write three octal digits after a 0, as for chmod: \"0600\", \"0660\" (owner and group) or \"0666\" (everybody)"),
            );
        }
        mode
    }
}

/// Three digits, with or without the zero before them; the owner has to be able to connect.
fn parse(text: &str) -> Option<FileMode> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let fits = matches!(digits.len(), 3 | 4) && digits.bytes().all(|b| matches!(b, b'0'..=b'7'));
    let mode = u32::from_str_radix(digits, 8).ok().filter(|_| fits)?;
    (mode <= 0o777 && mode & 0o600 == 0o600).then_some(FileMode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_three_octal_digits_that_let_the_owner_in() {
        for (text, mode) in [("0660", 0o660), ("660", 0o660), ("0600", 0o600), ("0o666", 0o666), ("0777", 0o777)] {
            assert_eq!(parse(text), Some(FileMode(mode)), "{text}");
        }
        for bad in
            ["", "66", "0668", "1660", "4755", "0060", "0400", "rw-rw----", "0x660", " 660", "+660", "-660", "00660"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
