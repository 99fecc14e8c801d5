//! What lies below an error of the HTTP client.

use std::error::Error as StdError;
use std::io;

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
