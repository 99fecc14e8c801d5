//! One worker: one thread, one current-thread runtime, the connections that were handed to it, and nothing shared.

use std::io;
use std::rc::Rc;
use std::thread;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_local;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};
use tokio_util::task::TaskTracker;

use crate::server::activity::Order;
use crate::server::connection::serve;
use crate::server::context::WorkerContext;
use crate::server::dispatch::{Inbox, WorkerCommand};
use crate::server::roster::Roster;

/// A running worker.
#[derive(Debug)]
pub(super) struct Worker {
    thread: thread::JoinHandle<()>,
    /// Gone once it has been seen.
    ended: Option<oneshot::Receiver<()>>,
}

impl Worker {
    /// Starts worker `number`. `context` is called on the worker's own thread, within its runtime.
    pub(super) fn start(
        number: usize,
        context: impl FnOnce() -> WorkerContext + Send + 'static,
        orders: watch::Receiver<Order>,
    ) -> io::Result<(Self, Inbox)> {
        let (commands, inbox) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel::<()>();
        let connections = TaskTracker::new();
        let own = connections.clone();
        let thread = thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            let _end = end;
            match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
                // What is still running (upgraded connections, mostly) ends with its runtime.
                Ok(runtime) => runtime.block_on(async move { work(context(), inbox, orders, &own).await }),
                Err(cause) => tracing::error!(code = "worker_failed", %cause, "a worker has no runtime"),
            }
        })?;
        Ok((Self { thread, ended: Some(ended) }, Inbox { commands, connections }))
    }

    /// Ends when the worker has ended.
    pub(super) async fn ended(&mut self) {
        if let Some(ended) = &mut self.ended {
            // The sender is only ever dropped, by the thread's end.
            _ = ended.await;
            self.ended = None;
        }
    }

    /// Waits for the thread; true if it ended without a panic.
    pub(super) fn join(self) -> bool {
        self.thread.join().is_ok()
    }
}

/// Does what is ordered and commanded until the worker ends.
async fn work(
    context: WorkerContext,
    mut inbox: mpsc::UnboundedReceiver<WorkerCommand>,
    mut orders: watch::Receiver<Order>,
    connections: &TaskTracker,
) {
    let (roster, mut context) = (Roster::new(&context.limits), Rc::new(context));
    // It ends with the runtime.
    let resting = Rc::clone(&roster);
    drop(spawn_local(async move { resting.resting.park_all().await }));
    let mut tick = ticking(&roster);
    loop {
        tokio::select! {
            biased;
            changed = orders.changed() => match *orders.borrow_and_update() {
                _ if changed.is_err() => return,
                Order::Serve => {}
                Order::Finish => {
                    connections.close();
                    roster.finish_all();
                }
                Order::Drop => return,
            },
            Some(command) = inbox.recv() => match command {
                WorkerCommand::Serve(accepted) => {
                    let enrolled = roster.enrol(accepted.listener, accepted.permit.peer());
                    drop(spawn_local(serve(Rc::clone(&context), accepted, enrolled)));
                }
                WorkerCommand::ListDispensable { of, most, reply } => _ = reply.send(roster.dispensable(Instant::now(), of, most)),
                WorkerCommand::End(numbers) => roster.end(&numbers),
                WorkerCommand::Finish(listeners) => roster.finish(&listeners),
                WorkerCommand::Adopt(tls, limits) => {
                    roster.limit(&limits);
                    tick = ticking(&roster);
                    context = Rc::new(context.with(tls, *limits));
                }
            },
            _ = tick.tick(), if !roster.is_empty() => roster.sweep(Instant::now()),
            // Not before they are closed to new ones.
            () = connections.wait() => return,
        }
    }
}

/// When connections are looked at.
fn ticking(roster: &Roster) -> Interval {
    let mut tick = interval(roster.tick());
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}
