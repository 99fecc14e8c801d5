//! HTTP/1.1 on a connection, until that ends or is parked.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::body::BodyError;
use crate::request::Downstream;
use crate::server::activity::Order;
use crate::server::answer::answering;
use crate::server::context::WorkerContext;
use crate::server::phase::{Event, Phase};
use crate::server::refused;
use crate::server::roster::Enrolled;
use crate::server::stream::ObservedStream;

/// HTTP/1.1 until the connection ends, or is parked: then the stream comes back.
pub(super) async fn serve(
    context: &WorkerContext,
    stream: ObservedStream,
    downstream: &Rc<Downstream>,
    enrolled: &Enrolled,
) -> Result<Option<ObservedStream>, BodyError> {
    let activity = &enrolled.activity;
    let service = answering(context, downstream, activity);
    let mut connection = context.http1().serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut finishing = false;
    let outcome = poll_fn(|cx| {
        activity.wake_by(cx);
        let order = activity.order();
        if order == Order::Drop {
            return Poll::Ready(Ok(()));
        }
        // Only hyper knows for certain that it is idle. If it is, a graceful shutdown ends it at once, and the stream stays open; if
        // not, this was the last request of the connection: no harm, but it does not happen.
        let parks = order == Order::Serve && !finishing && activity.parks();
        if parks || (order == Order::Finish && !finishing) {
            finishing = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        let outcome = Pin::new(&mut connection).poll(cx);
        if outcome.is_pending() {
            if parks {
                activity.note(Event::KeepOn);
            } else if !finishing {
                enrolled.roster.resting.note(activity);
            }
        }
        outcome
    })
    .await;
    if let Some(status) = activity.refused() {
        let Some(parts) = connection.into_parts() else { return Ok(None) };
        let stream = parts.io.into_inner();
        // Boxed, because it is rare, to keep the future small.
        let reply = Box::pin(timeout(context.limits.header_time, refused::answer(context, stream, downstream, status)));
        return reply.await?.map(|()| None);
    }
    outcome?;
    let parts = if activity.note(Event::Parked) == Phase::Parked { connection.into_parts() } else { None };
    Ok(parts.map(|parts| {
        let mut stream = parts.io.into_inner();
        // The beginning of a request that came together with the one before. An empty buffer would keep its memory.
        stream.again = if parts.read_buf.is_empty() { Bytes::new() } else { parts.read_buf };
        stream
    }))
}
