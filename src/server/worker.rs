//! One worker: one thread, one current-thread runtime, the connections that were handed to it, and nothing shared.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_local;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::server::activity::Order;
use crate::server::connection::serve;
use crate::server::context::{Pipeline, WorkerContext};
use crate::server::dispatch::{Inbox, WorkerCommand};
use crate::server::permits::Load;
use crate::server::roster::{Roster, WaitLimits};
use crate::server::settings::Limits;
use crate::server::tls::Certificates;
use crate::telemetry::metrics::Metrics;

/// A running worker.
#[derive(Debug)]
pub(super) struct Worker {
    thread: thread::JoinHandle<()>,
    /// Gone once it has been seen.
    ended: Option<oneshot::Receiver<()>>,
}

impl Worker {
    /// Starts worker `number`. `make` is called on the worker's own thread, within its runtime.
    pub(super) fn start<S: Pipeline>(
        number: usize,
        make: impl FnOnce(usize) -> S + Send + 'static,
        tls: Option<Arc<Certificates>>,
        limits: Limits,
        (metrics, notes_capitals): (Arc<Metrics>, Arc<AtomicBool>),
        orders: watch::Receiver<Order>,
    ) -> io::Result<(Self, Inbox)> {
        let (commands, inbox) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel::<()>();
        let load = Arc::<Load>::default();
        let own_load = Arc::clone(&load);
        let thread = thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            let _end = end;
            let runtime = match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
                Ok(runtime) => runtime,
                Err(cause) => return tracing::error!(code = "worker_failed", %cause, "a worker has no runtime"),
            };
            runtime.block_on(async move {
                let roster = Roster::new(WaitLimits::of(&limits));
                let context = Rc::new(WorkerContext::new(make(number), tls, limits.clone(), metrics, notes_capitals));
                work(&context, &roster, WaitLimits::of(&limits), inbox, orders, &own_load).await;
            });
            // What is still running (upgraded connections, mostly) ends with its runtime.
        })?;
        Ok((Self { thread, ended: Some(ended) }, Inbox { commands, load }))
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

async fn work<S: Pipeline>(
    context: &Rc<WorkerContext<S>>,
    roster: &Rc<Roster>,
    limits: WaitLimits,
    mut inbox: mpsc::UnboundedReceiver<WorkerCommand>,
    mut orders: watch::Receiver<Order>,
    load: &Load,
) {
    // It ends with the runtime.
    let resting = Rc::clone(roster);
    drop(spawn_local(async move { resting.resting.park_all().await }));
    let mut tick = interval(limits.tick());
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut finishing = false;
    loop {
        tokio::select! {
            biased;
            changed = orders.changed() => match *orders.borrow_and_update() {
                _ if changed.is_err() => return,
                Order::Serve => {}
                Order::Finish => {
                    finishing = true;
                    roster.finish_all();
                }
                Order::Drop => return,
            },
            Some(command) = inbox.recv() => match command {
                WorkerCommand::Serve(accepted) => {
                    let enrolled = roster.enrol(accepted.permit.peer());
                    drop(spawn_local(serve(Rc::clone(context), accepted, enrolled)));
                }
                WorkerCommand::ListDispensable { of, most, reply } => _ = reply.send(roster.dispensable(Instant::now(), of, most)),
                WorkerCommand::End(numbers) => roster.end(&numbers),
            },
            _ = tick.tick(), if !roster.is_empty() => roster.sweep(Instant::now()),
            () = load.emptied(), if finishing => return,
            else => return,
        }
    }
}
