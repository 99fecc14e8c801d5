//! How stopping is asked for: first gently, then at once. Signals become this in `cli`; nothing here listens to any.

use tokio::sync::watch;

/// The side that asks the server to stop.
#[derive(Debug)]
pub struct Shutdown(watch::Sender<Stop>);

impl Shutdown {
    /// A switch and the signal that follows it. When the switch is dropped unused, the server runs on.
    pub fn new() -> (Self, ShutdownSignal) {
        let (sender, receiver) = watch::channel(Stop::NotAsked);
        (Self(sender), ShutdownSignal(receiver))
    }

    /// Asks to stop: the first call begins the drain, the second ends it at once (a second SIGTERM means it).
    pub fn ask(&self) {
        self.0.send_modify(|stop| {
            *stop = if *stop == Stop::NotAsked { Stop::Drain } else { Stop::AtOnce };
        });
    }
}

/// The side that waits to be asked; clones see the same switch.
#[derive(Clone, Debug)]
pub struct ShutdownSignal(watch::Receiver<Stop>);

impl ShutdownSignal {
    /// Ends when a stop of either kind has been asked for.
    pub async fn asked(&mut self) {
        self.reached(Stop::Drain).await;
    }

    /// Ends when a hard stop has been asked for.
    pub async fn asked_at_once(&mut self) {
        self.reached(Stop::AtOnce).await;
    }

    async fn reached(&mut self, wanted: Stop) {
        if self.0.wait_for(|stop| *stop >= wanted).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Stop {
    NotAsked,
    Drain,
    AtOnce,
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn the_second_call_means_at_once() {
        let (shutdown, mut signal) = Shutdown::new();
        assert!(signal.asked().now_or_never().is_none());
        shutdown.ask();
        assert!(signal.asked().now_or_never().is_some());
        assert!(signal.asked_at_once().now_or_never().is_none());
        shutdown.ask();
        assert!(signal.asked_at_once().now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_dropped_switch_stops_nothing() {
        let (shutdown, mut signal) = Shutdown::new();
        drop(shutdown);
        assert!(signal.asked().now_or_never().is_none());
    }
}
