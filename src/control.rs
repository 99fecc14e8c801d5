//! The control runtime: whatever is not forwarding runs there, so that a slow provider can never stall a worker.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::trace::{current, scope};

/// A handle to the control runtime. Workers hand work over and wait for its answer; work that was handed over goes on when
/// the worker (or the browser behind it) stops waiting, so that a token that was renewed is never lost. It belongs to the span in
/// which it was handed over.
#[derive(Clone, Debug)]
pub struct Control {
    runtime: Handle,
    tasks: TaskTracker,
    finishing: CancellationToken,
    stopping: Arc<AtomicBool>,
}

impl Control {
    /// The runtime that this is called on.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn current() -> Self {
        Self {
            runtime: Handle::current(),
            tasks: TaskTracker::new(),
            finishing: CancellationToken::new(),
            stopping: Arc::default(),
        }
    }

    /// Runs `work` on the control runtime and waits for it. Work that was begun ends even if the caller goes away.
    ///
    /// # Errors
    /// [`Lost`] when the work panicked or the runtime is shutting down.
    pub async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<T, Lost> {
        self.tasks.spawn_on(scope(current(), work), &self.runtime).await.map_err(|_| Lost)
    }

    /// Runs `work` on the control runtime; nobody waits for it but [`finish`](Self::finish).
    pub fn detach(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(scope(current(), work), &self.runtime);
    }

    /// Runs `work` on the control runtime, at the longest until the program ends: it is broken off then.
    pub fn background(&self, work: impl Future<Output = ()> + Send + 'static) {
        let finishing = self.finishing.clone();
        self.detach(async move {
            let _ = finishing.run_until_cancelled(work).await;
        });
    }

    /// The program was asked to stop: from now on it drains.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether it was.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Waits for everything that was handed over: at the end of the program.
    pub async fn finish(&self) {
        self.finishing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Work on the control runtime came to no end: it panicked, or the program is stopping.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the work was broken off on the control runtime")]
pub struct Lost;
