//! `vestibule keys`: session keys.

use super::{Exit, KeysCommand, say};
use crate::seal;

/// `keys new` prints one key and nothing else, so that it can go straight into a file.
pub(super) fn keys(command: KeysCommand) -> Exit {
    match command {
        KeysCommand::New => say(&format!("{}\n", seal::new_key_text().expose())),
    }
    Exit::Ok
}
