//! Traces: which trace a request belongs to, and the spans that are recorded of it. Nothing here knows where spans go.
//!
//! - [`TraceParent`] is the [W3C Trace Context](https://www.w3.org/TR/trace-context/) that comes with a request and leaves with it.
//! - [`Tracer`] decides which requests are recorded, and hands finished spans on without waiting for anybody.
//! - [`scope`] lets work that was handed over, also to another thread, find the span that it belongs to.
//!
//! Without a [`Tracer`] nothing of this runs, and the fields pass through the gateway as they came.

mod context;
mod current;
mod sampler;
mod span;
mod tracer;

pub use self::context::{SpanId, TraceId, TraceParent};
pub use self::current::{current, part, scope};
pub use self::sampler::Sampler;
pub use self::span::{Kind, Span, Value};
pub use self::tracer::{ChildSpan, Handle, Tracer};
