//! Panics are caught here: one that occurs while a request is answered costs that request and nothing else (AT-CL-15).
//!
//! The message of a panic may hold any data, so it is dropped: the process log's hook names the
//! place in the source, and the request's own line names the request.

use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::FutureExt as _;

/// A panic occurred; its message is dropped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Panicked;

/// What `work` comes to, or that it panicked. State that it shared must stay fit for use: everything that requests share is
/// behind atomics or locks that survive a panic. No async function, which would hold the work twice: as captured and as awaited.
pub(super) fn caught<T>(work: impl Future<Output = T>) -> impl Future<Output = Result<T, Panicked>> {
    AssertUnwindSafe(work).catch_unwind().map(|outcome| outcome.map_err(|_| Panicked))
}

/// The same for work that never waits.
pub(super) fn caught_now<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Panicked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_before_and_after_a_wait_is_caught_and_says_nothing() {
        // AT-CL-15
        assert_eq!(caught(async { 1 }).await, Ok(1));
        assert_eq!(caught(async { panic!("hunter2") }).await, Err::<(), _>(Panicked));
        let later = async {
            tokio::task::yield_now().await;
            let nothing: [u8; 0] = [];
            nothing[usize::from(std::hint::black_box(3u8))]
        };
        assert_eq!(caught(later).await, Err(Panicked));
        assert_eq!(caught_now(|| panic!("hunter2")), Err::<(), _>(Panicked));
    }
}
