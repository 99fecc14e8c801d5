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
    /// Something that it needs cannot be reached.
    Unavailable,
    /// Our own fault.
    Internal,
    /// An address cannot be bound, or a file not made.
    CannotCreate,
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
            Self::Unavailable => 69,
            Self::Internal => 70,
            Self::CannotCreate => 73,
            Self::Config => 78,
        }
    }
}

impl Exit {
    /// Prints a fault of ours.
    pub fn internal(message: impl Display) -> Self {
        Self::Internal.because(message)
    }

    /// Prints which address cannot be bound, or which file cannot be created.
    pub fn cannot_bind(message: impl Display) -> Self {
        Self::CannotCreate.because(message)
    }

    /// Prints what of the configuration cannot be used.
    pub fn config(message: impl Display) -> Self {
        Self::Config.because(message)
    }

    /// Says why the gateway is taken for unhealthy.
    pub fn unhealthy(message: impl Display) -> Self {
        Self::Unhealthy.because(message)
    }

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
