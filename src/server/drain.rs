//! How stopping is asked for: first gently, then at once. Signals become this in `cli`; nothing here listens to any.

use tokio_util::sync::CancellationToken;

/// How the server is asked to stop; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    at_once: CancellationToken,
}

impl Shutdown {
    /// Asks to stop: the first call begins the drain, the second ends it at once (a second SIGTERM means it).
    pub fn ask(&self) {
        if self.drain.is_cancelled() {
            self.at_once.cancel();
        }
        self.drain.cancel();
    }

    /// Ends when a stop of either kind has been asked for.
    pub(super) async fn asked(&self) {
        self.drain.cancelled().await;
    }

    /// Ends when a hard stop has been asked for.
    pub(super) async fn asked_at_once(&self) {
        self.at_once.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn the_second_call_means_at_once() {
        let shutdown = Shutdown::default();
        let signal = shutdown.clone();
        assert!(signal.asked().now_or_never().is_none());
        shutdown.ask();
        assert!(signal.asked().now_or_never().is_some());
        assert!(signal.asked_at_once().now_or_never().is_none());
        shutdown.ask();
        assert!(signal.asked_at_once().now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_dropped_switch_stops_nothing() {
        let shutdown = Shutdown::default();
        let signal = shutdown.clone();
        drop(shutdown);
        assert!(signal.asked().now_or_never().is_none());
    }
}
