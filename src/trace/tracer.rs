//! Begins traces, and hands finished spans on through a bounded queue: no request waits for whoever takes them.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, HeaderValue};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::mpsc;

use crate::trace::context::{SpanId, TRACESTATE, TraceId, TraceParent, state_of};
use crate::trace::sampler::Sampler;
use crate::trace::span::{Kind, Span, Value};

/// Begins traces. Shared by all threads.
pub struct Tracer {
    /// Which traces are recorded.
    sampler: Sampler,
    /// Where new names come from.
    random: fn() -> [u8; 24],
    /// Where finished spans go.
    finished: mpsc::Sender<Span>,
    /// Counts those without room.
    lost: Counter,
}

/// A span of a request that is not over: cheap to clone, and to be handed to whoever works for the request.
#[derive(Clone, Debug)]
pub struct Handle {
    /// What it shares with the request's other spans.
    request: Arc<Traced>,
    /// Its own name.
    span: SpanId,
}

/// What all spans of a request share.
#[derive(Debug)]
struct Traced {
    /// What began it.
    tracer: Arc<Tracer>,
    /// The trace.
    trace: TraceId,
    /// The span that the request was sent from.
    parent: Option<SpanId>,
    /// Whether anything is recorded.
    sampled: bool,
    /// `tracestate`.
    state: Option<HeaderValue>,
    /// When the request came, by both clocks.
    start: u64,
    /// The same moment by the clock that measures.
    started: Instant,
}

/// A part of the work for a request, under way.
#[derive(Debug)]
pub struct ChildSpan {
    /// The span itself.
    handle: Handle,
    /// What it is a part of.
    parent: SpanId,
    /// What is done.
    name: &'static str,
    /// Its part in a call.
    kind: Kind,
    /// When it began.
    started: Instant,
}

impl Tracer {
    /// A tracer, and where its finished spans come out: up to `room` of them wait, what is more is dropped and counted as lost.
    pub fn new(
        sampler: Sampler,
        room: usize,
        random: fn() -> [u8; 24],
        lost: Counter,
    ) -> (Arc<Self>, mpsc::Receiver<Span>) {
        let (finished, spans) = mpsc::channel(room.max(1));
        (Arc::new(Self { sampler, random, finished, lost }), spans)
    }

    /// Begins the span of a request that came now, `start` nanoseconds after the epoch: in the trace that it says it belongs to, or in
    /// a new one.
    pub fn begin(self: &Arc<Self>, headers: &HeaderMap, start: u64, started: Instant) -> Handle {
        let parent = TraceParent::of(headers);
        let drawn = self.draw();
        let (trace, span) = (parent.unwrap_or(drawn).trace, drawn.span);
        let request = Traced {
            tracer: Arc::clone(self),
            trace,
            parent: parent.map(|parent| parent.span),
            sampled: self.sampler.samples(parent, trace),
            state: parent.and_then(|_| state_of(headers)),
            start,
            started,
        };
        Handle { request: Arc::new(request), span }
    }

    /// A trace and a span that nobody had before.
    fn draw(&self) -> TraceParent {
        TraceParent::drawn((self.random)())
    }
}

impl Handle {
    /// The trace.
    pub fn trace(&self) -> TraceId {
        self.request.trace
    }

    /// Whether anything is recorded of it.
    pub fn is_recorded(&self) -> bool {
        self.request.sampled
    }

    /// Begins a part of this span.
    pub fn child(&self, name: &'static str, kind: Kind) -> ChildSpan {
        let handle = Self { request: Arc::clone(&self.request), span: self.request.tracer.draw().span };
        ChildSpan { handle, parent: self.span, name, kind, started: Instant::now() }
    }

    /// Says in the fields of a request where it is sent from, in the place of what they said before.
    pub fn inject(&self, headers: &mut HeaderMap) {
        let Traced { trace, sampled, state, .. } = &*self.request;
        TraceParent { trace: *trace, span: self.span, sampled: *sampled }.write(headers);
        match state {
            Some(state) => _ = headers.insert(TRACESTATE, state.clone()),
            None => _ = headers.remove(TRACESTATE),
        }
    }

    /// The request of this span was answered.
    pub fn end(&self, name: String, attributes: impl FnOnce() -> Vec<(&'static str, Value)>, failed: bool) {
        let Traced { parent, started, .. } = &*self.request;
        self.finish(*parent, Kind::Server, Cow::Owned(name), *started, attributes, failed);
    }

    /// Hands the span on, where the trace is recorded.
    fn finish(
        &self,
        parent: Option<SpanId>,
        kind: Kind,
        name: Cow<'static, str>,
        started: Instant,
        attributes: impl FnOnce() -> Vec<(&'static str, Value)>,
        failed: bool,
    ) {
        let request = &*self.request;
        if !request.sampled {
            return;
        }
        let after = |moment: Instant| {
            let nanos = moment.saturating_duration_since(request.started).as_nanos();
            request.start.saturating_add(u64::try_from(nanos).unwrap_or(u64::MAX))
        };
        let state = request.state.as_ref().and_then(|state| state.to_str().ok()).map(Into::into);
        let span = Span {
            trace: request.trace,
            id: self.span,
            parent,
            state,
            kind,
            name,
            start: after(started),
            end: after(Instant::now()),
            attributes: attributes(),
            failed,
        };
        if request.tracer.finished.try_send(span).is_err() {
            request.tracer.lost.inc();
        }
    }
}

impl ChildSpan {
    /// The span, for what it is made of.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// It is over.
    pub fn end(self, attributes: impl FnOnce() -> Vec<(&'static str, Value)>, failed: bool) {
        self.handle.finish(Some(self.parent), self.kind, Cow::Borrowed(self.name), self.started, attributes, failed);
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracer").field("sampler", &self.sampler).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn fields(all: &[(&'static str, &'static str)]) -> HeaderMap {
        all.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    fn sent_on(handle: &Handle) -> (String, Option<String>) {
        let mut headers = fields(&[("traceparent", "old"), ("tracestate", "old")]);
        handle.inject(&mut headers);
        let text = |name| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        (text("traceparent").unwrap(), text("tracestate"))
    }

    #[test]
    fn a_trace_is_continued_where_there_is_one_and_else_begun() {
        let (tracer, mut spans) = Tracer::new(Sampler::default(), 8, || [7; 24], Counter::default());
        let now = Instant::now();
        let handle = tracer.begin(&fields(&[("traceparent", FROM), ("tracestate", "a=1")]), 1000, now);
        let child = handle.child("upstream", Kind::Client);
        let wanted = "00-0af7651916cd43dd8448eb211c80319c-0707070707070707-01";
        assert_eq!(sent_on(child.handle()), (wanted.to_owned(), Some("a=1".to_owned())));
        child.end(|| vec![("http.response.status_code", 200.into())], false);
        handle.end("GET app".to_owned(), Vec::new, true);
        let (child, server) = (spans.try_recv().unwrap(), spans.try_recv().unwrap());
        assert_eq!((child.parent, child.kind), (Some(server.id), Kind::Client));
        assert_eq!(format!("{:?}", server.parent.unwrap()), "b7ad6b7169203331");
        assert_eq!((server.start, &*server.name, server.failed), (1000, "GET app", true));
        assert!(child.start >= server.start && child.end <= server.end);
        // What cannot be read begins a new trace, and what others said of the old one is not passed on.
        let handle = tracer.begin(&fields(&[("traceparent", "00-x"), ("tracestate", "a=1")]), 1000, now);
        assert_eq!(handle.trace().bytes(), [7; 16]);
        assert_eq!(sent_on(&handle).1, None);
    }

    #[test]
    fn what_is_not_sampled_is_passed_on_and_not_recorded() {
        let (tracer, mut spans) =
            Tracer::new(Sampler::named("always_off", None).unwrap(), 8, || [0; 24], Counter::default());
        let handle = tracer.begin(&HeaderMap::new(), 0, Instant::now());
        let wanted = format!("00-{}-{}-00", "01".repeat(16), "01".repeat(8));
        assert_eq!(sent_on(&handle).0, wanted);
        handle.end("GET".to_owned(), || panic!("nothing is asked for"), false);
        assert!(spans.try_recv().is_err() && !handle.is_recorded());
    }

    #[test]
    fn spans_without_room_are_counted() {
        let lost = Counter::default();
        let (tracer, _spans) = Tracer::new(Sampler::default(), 2, || [1; 24], lost.clone());
        let handle = tracer.begin(&HeaderMap::new(), 0, Instant::now());
        for _ in 0..5 {
            handle.child("auth.decide", Kind::Internal).end(Vec::new, false);
        }
        assert_eq!(lost.get(), 3);
    }
}
