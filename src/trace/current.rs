//! The span that work belongs to: it follows the work to where it is done, also to another thread.

use std::future::Future;

use crate::trace::span::Kind;
use crate::trace::tracer::Handle;

tokio::task_local! {
    /// The span, while work is done for it.
    static CURRENT: Handle;
}

/// The span that this is done for.
pub fn current() -> Option<Handle> {
    CURRENT.try_with(Clone::clone).ok()
}

/// Does `work` for a span; as it is where there is none.
pub async fn scope<T>(span: Option<Handle>, work: impl Future<Output = T>) -> T {
    match span {
        Some(span) => CURRENT.scope(span, work).await,
        None => work.await,
    }
}

/// Does `work` as a part of the span that it is done for.
pub async fn part<T>(name: &'static str, work: impl Future<Output = T>, failed: impl FnOnce(&T) -> bool) -> T {
    let Some(part) = current().map(|span| span.child(name, Kind::Internal)) else { return work.await };
    let done = CURRENT.scope(part.handle().clone(), work).await;
    part.end(Vec::new, failed(&done));
    done
}
