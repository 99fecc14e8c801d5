//! HTTP/2 on a connection, until that ends.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use hyper_util::rt::TokioIo;

use crate::body::BodyError;
use crate::flood::{Counted, FrameReport};
use crate::request::Downstream;
use crate::server::activity::Order;
use crate::server::answer::answering;
use crate::server::context::WorkerContext;
use crate::server::roster::Enrolled;
use crate::server::stream::ObservedStream;

/// Serves streams until the connection ends.
pub(super) async fn serve(
    context: &WorkerContext,
    stream: ObservedStream,
    downstream: &Rc<Downstream>,
    enrolled: &Enrolled,
) -> Result<(), BodyError> {
    let activity = &enrolled.activity;
    let service = answering(context, downstream, activity);
    let stream = Counted::accepted(stream, |report| match report {
        FrameReport::Flood(frames) => context.flooded(downstream.peer.address(), frames),
        FrameReport::Content(bytes) => activity.note_written(bytes),
    });
    let mut connection = pin!(context.http2().serve_connection(TokioIo::new(stream), service));
    let mut finishing = false;
    poll_fn(|cx| {
        activity.wake_by(cx);
        match activity.order() {
            Order::Finish if !finishing => {
                finishing = true;
                connection.as_mut().graceful_shutdown();
            }
            Order::Serve | Order::Finish => {}
            Order::Drop => return Poll::Ready(Ok(())),
        }
        connection.as_mut().poll(cx).map_err(Into::into)
    })
    .await
}
