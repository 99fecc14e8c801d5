//! Exit codes: those of sysexits, in one place.

use std::fmt::Display;
use std::process::ExitCode;

use super::complain;

/// How a command ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// It did what it was asked.
    Ok,
    /// `health`: the gateway does not answer, or is not ready.
    Unhealthy,
    /// The command line makes no sense.
    Usage,
    /// What it was given to read makes no sense, or a step is not due yet.
    BadInput,
    /// Something that it needs cannot be reached.
    Unavailable,
    /// Our own fault.
    Internal,
    /// An address cannot be bound, or a file not made.
    CannotCreate,
    /// This user may not do that.
    Permission,
    /// The configuration cannot be used. A service manager should not start it again.
    Config,
}

impl Exit {
    /// The number that the calling process sees.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Unhealthy => 1,
            Self::Usage => 64,
            Self::BadInput => 65,
            Self::Unavailable => 69,
            Self::Internal => 70,
            Self::CannotCreate => 73,
            Self::Permission => 77,
            Self::Config => 78,
        }
    }
}

impl Exit {
    /// Prints what of the command line makes no sense.
    pub fn usage(message: impl Display) -> Self {
        Self::Usage.because(message)
    }

    /// Prints what is wrong with the input.
    pub fn bad_input(message: impl Display) -> Self {
        Self::BadInput.because(message)
    }

    /// Prints what cannot be reached.
    pub fn unavailable(message: impl Display) -> Self {
        Self::Unavailable.because(message)
    }

    /// Prints a fault of ours.
    pub fn internal(message: impl Display) -> Self {
        Self::Internal.because(message)
    }

    /// Prints which address cannot be bound, or which file cannot be created.
    pub fn cannot_create(message: impl Display) -> Self {
        Self::CannotCreate.because(message)
    }

    /// Prints what this user may not do.
    pub fn permission(message: impl Display) -> Self {
        Self::Permission.because(message)
    }

    /// Prints what of the configuration cannot be used.
    pub fn config(message: impl Display) -> Self {
        Self::Config.because(message)
    }

    /// Says why the gateway is taken for unhealthy.
    pub fn unhealthy(message: impl Display) -> Self {
        Self::Unhealthy.because(message)
    }

    /// Prints why, as an error message.
    fn because(self, message: impl Display) -> Self {
        complain(&format!("error: {message}\n"));
        self
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
