//! What lies below an error of the HTTP client.

use std::error::Error as StdError;
use std::io;

/// An error with all its causes, each once.
pub(super) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}

/// Whether an error of this kind is among the causes.
pub(super) fn has<E: StdError + 'static>(error: &(dyn StdError + 'static), is_meant: impl Fn(&E) -> bool) -> bool {
    let mut next = Some(error);
    while let Some(cause) = next {
        // `io::Error` skips what it wraps when it is asked for its source.
        let wrapped = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let wrapped = wrapped.map(|wrapped| wrapped as &(dyn StdError + 'static));
        if cause.downcast_ref().or_else(|| wrapped?.downcast_ref()).is_some_and(&is_meant) {
            return true;
        }
        next = wrapped.or_else(|| cause.source());
    }
    false
}
