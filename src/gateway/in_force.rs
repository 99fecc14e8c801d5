//! Which gateway is in force, for what outlives the request that opened it.

use std::sync::{Arc, Weak};

use tokio::sync::watch;

/// The gateway in force, shared by all that one after the other are. Whoever listens hears of a new one, and of a change of policy.
#[derive(Debug)]
pub(super) struct InForce<T>(Arc<watch::Sender<Weak<T>>>);

impl<T> Default for InForce<T> {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Weak::new())))
    }
}

impl<T> Clone for InForce<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> InForce<T> {
    /// From now on it is this one.
    pub(super) fn becomes(&self, gateway: &Arc<T>) {
        self.0.send_replace(Arc::downgrade(gateway));
    }

    /// What it decides has changed.
    pub(super) fn decides_otherwise(&self) {
        self.0.send_modify(|_| ());
    }

    /// Hears of each change from now on.
    pub(super) fn listen(&self) -> Listener<T> {
        Listener(self.0.subscribe())
    }
}

/// Hears of changes.
#[derive(Debug)]
pub(super) struct Listener<T>(watch::Receiver<Weak<T>>);

impl<T> Listener<T> {
    /// The gateway in force; none where the program ends. What has changed until now is known by this.
    pub(super) fn current(&mut self) -> Option<Arc<T>> {
        self.0.borrow_and_update().upgrade()
    }

    /// Waits for the next change; `false` where none comes any more.
    pub(super) async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}
