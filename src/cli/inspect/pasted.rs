//! What is inspected, from standard input.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Read as _};

use crate::cli::{Exit, complain};
use crate::secret::Secret;

/// What stands on standard input, without the blanks around it.
pub(super) fn pasted(what: &str, refused: &[OsString]) -> Result<Secret<String>, Exit> {
    if !refused.is_empty() {
        return Err(Exit::usage(format!(
            "{what} is read from standard input only: command lines are seen by every user of the machine and kept by shells"
        )));
    }
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        complain(&format!("paste {what}, then press Ctrl-D on a line of its own\n"));
    }
    let mut text = String::new();
    let read = stdin.lock().take(LONGEST_INPUT).read_to_string(&mut text);
    let text = Secret::new(text);
    match read {
        Err(error) => Err(Exit::bad_input(format!("standard input cannot be read: {error}"))),
        Ok(_) if text.expose().trim().is_empty() => {
            Err(Exit::bad_input(format!("there is nothing on standard input; {what} is expected")))
        }
        Ok(_) => Ok(Secret::new(text.expose().trim().to_owned())),
    }
}

/// More than any header that a server takes.
const LONGEST_INPUT: u64 = 1024 * 1024;
