//! What can become of a request: values only, which a proxied request, a forward-auth check and an explanation render each in
//! their own way.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::gateway::codes::Problem;
use crate::gateway::principal::Principal;
use crate::policy::{Criterion, DenyReason};
use crate::provider::ProviderError;
use crate::proxy::basic::UserNameFault;
use crate::request::handshake::HandshakeFault;

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It goes to the application, with the identity of this principal if it has one.
    Allow(Option<Principal>),
    /// Somebody has to sign in first.
    Challenge(Challenge),
    /// It goes no further, because of who sent it and from where.
    Deny(Denial),
    /// It goes no further, whoever sent it.
    Refuse(RequestFault),
}

/// Why somebody has to sign in.
#[derive(Clone, Debug)]
pub enum Challenge {
    /// There is no session that will do.
    SignIn(Lack),
    /// There is a session, which its provider would have to renew and cannot at the moment.
    Outage(Arc<ProviderError>),
}

/// What a request lacks that needs a sign-in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lack {
    /// No session came.
    Session,
    /// The one that came was over. Whoever sent it does not learn why: no two bad cookies differ from outside.
    Ended,
    /// Somebody is signed in; the sign-in has to be younger than this.
    Recent(Duration),
}

impl Lack {
    /// What the page says.
    pub(super) fn problem(self) -> Problem {
        match self {
            Self::Session => Problem::SignInNeeded,
            Self::Ended => Problem::SessionEnded,
            Self::Recent(_) => Problem::SignInTooOld,
        }
    }
}

/// Why a principal may not pass.
#[derive(Clone, Debug)]
pub enum Denial {
    /// The rule lets nobody pass.
    Closed,
    /// The person, or the address, does not meet the rule.
    Policy(DenyReason),
    /// The person's name cannot be sent in the credentials that the application gets.
    UserName(UserNameFault),
}

impl Denial {
    /// What the page says.
    pub(super) fn problem(&self) -> Problem {
        match self {
            Self::Closed => Problem::RouteClosed,
            Self::Policy(reason) if reason.criterion() == Some(Criterion::Network) => Problem::NetworkNotAllowed,
            Self::Policy(_) => Problem::NotAllowed,
            Self::UserName(_) => Problem::UserNameUnsendable,
        }
    }

    /// A stable reason for logs and metrics.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Closed => Problem::RouteClosed.reason(),
            Self::Policy(reason) => reason.code(),
            Self::UserName(fault) => fault.code(),
        }
    }

    /// What the person may know beyond the words of the page.
    pub(super) fn details(&self) -> Option<String> {
        match self {
            Self::Closed => None,
            Self::Policy(reason) => Some(reason.to_string()),
            Self::UserName(fault) => Some(fault.to_string()),
        }
    }
}

/// What is wrong with a request itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum RequestFault {
    /// A path that the application could read in another way.
    AmbiguousPath,
    /// A `COPY` or `MOVE` to a place with other rules.
    DestinationElsewhere,
    /// A host that no route names.
    UnknownHost,
    /// Nothing stands at the path.
    NotFound,
    /// Not with this method.
    MethodNotAllowed {
        /// With these, as they stand in `Allow`.
        allow: String,
    },
    /// A WebSocket handshake that another site began.
    WebSocketOrigin,
    /// A WebSocket handshake that is not well-formed.
    Handshake(HandshakeFault),
}

impl RequestFault {
    /// What the page says.
    pub(super) fn problem(&self) -> Problem {
        match self {
            Self::AmbiguousPath => Problem::BadPath,
            Self::DestinationElsewhere => Problem::BadHeader,
            Self::UnknownHost => Problem::UnknownHost,
            Self::NotFound => Problem::NotFound,
            Self::MethodNotAllowed { .. } => Problem::MethodNotAllowed,
            Self::WebSocketOrigin => Problem::WebSocketOrigin,
            Self::Handshake(_) => Problem::UpgradeRefused,
        }
    }

    /// A stable reason for logs, finer than the code's where there is more to say.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::DestinationElsewhere => "destination_elsewhere",
            Self::Handshake(fault) => fault.code(),
            _ => self.problem().reason(),
        }
    }

    /// The status of the answer.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Handshake(fault) => fault.status(),
            _ => self.problem().status(),
        }
    }
}
