//! Runs hyper's own tasks on the thread of the worker that their connection belongs to.

use std::future::Future;

use hyper::rt::Executor;
use tokio::task::spawn_local;

/// An executor for [`spawn_local`]: to be used inside a worker's runtime.
#[derive(Clone, Copy, Debug)]
pub struct LocalExecutor;

impl<F> Executor<F> for LocalExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, task: F) {
        drop(spawn_local(task));
    }
}
