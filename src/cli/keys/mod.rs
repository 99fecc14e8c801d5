//! `vestibule keys`: session keys.

use clap::Subcommand;

use self::list::ListArguments;
use self::rotate::RotateArguments;
use super::{Exit, say};
use crate::seal;

mod list;
mod ring;
mod rotate;

/// What to do about keys.
#[derive(Clone, Debug, Subcommand)]
pub enum KeysCommand {
    /// Print a new session key
    New,
    /// Show which keys there are, how old each is, and which of them seals
    List(ListArguments),
    /// Put a new key in the place of the one that seals; the old one goes on opening sessions
    Rotate(RotateArguments),
}

/// `keys new` prints one key and nothing else, so that it can go straight into a file.
pub(super) fn keys(command: KeysCommand) -> Exit {
    match command {
        KeysCommand::New => {
            say(&format!("{}\n", seal::new_key_text().expose()));
            Exit::Ok
        }
        KeysCommand::List(arguments) => list::list(&arguments),
        KeysCommand::Rotate(arguments) => rotate::rotate(&arguments),
    }
}
