//! `vestibule token inspect` and `vestibule session inspect`: what a token or a session cookie says, and whether it would be believed.
//!
//! Both are credentials, so they are read from standard input only: command lines are seen by every user of the machine, and kept
//! by shells.

use clap::Subcommand;

use self::session::SessionArguments;
use self::token::TokenArguments;
use super::Exit;

mod pasted;
mod session;
mod token;
mod words;

/// What to do about a token.
#[derive(Clone, Debug, Subcommand)]
pub enum TokenCommand {
    /// Decode a token from standard input, and verify its signature with the key set of a configured provider
    Inspect(TokenArguments),
}

/// What to do about a session.
#[derive(Clone, Debug, Subcommand)]
pub enum SessionCommand {
    /// Open a session cookie from standard input with the configured keys, and tell why it would or would not be accepted
    Inspect(SessionArguments),
}

/// Inspects a token.
pub(super) fn token(command: &TokenCommand) -> Exit {
    let TokenCommand::Inspect(arguments) = command;
    token::inspect(arguments)
}

/// Inspects a session.
pub(super) fn session(command: &SessionCommand) -> Exit {
    let SessionCommand::Inspect(arguments) = command;
    session::inspect(arguments)
}
