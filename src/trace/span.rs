//! A finished span.

use std::borrow::Cow;

use crate::trace::context::{SpanId, TraceId};

/// A finished span, on its way out of the program.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Its trace.
    pub trace: TraceId,
    /// Its own name in the trace.
    pub id: SpanId,
    /// The span that it is part of.
    pub parent: Option<SpanId>,
    /// What others said of the trace.
    pub state: Option<Box<str>>,
    /// Its part in a call.
    pub kind: Kind,
    /// What was done.
    pub name: Cow<'static, str>,
    /// When it began, in nanoseconds since 1970.
    pub start: u64,
    /// When it ended.
    pub end: u64,
    /// What is known of it. Never a code, a state, a token, a cookie or a query.
    pub attributes: Vec<(&'static str, Value)>,
    /// It did not succeed.
    pub failed: bool,
}

/// The part of a span in a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Work of our own.
    Internal,
    /// A request that was answered.
    Server,
    /// A request that was sent.
    Client,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A text.
    Text(Cow<'static, str>),
    /// A number.
    Number(i64),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}
