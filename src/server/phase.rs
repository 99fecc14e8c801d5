//! The phases of a connection, and what leads from one to the next.
//!
//! An HTTP/1.1 connection goes round once for each request:
//!
//! ```text
//!          bytes          request             answered              flushed
//! Fresh ---------> Head ---------> Answering ----------> Answered -----------> Idle --+
//!                  ^ ^ | refuse        ^                    | bytes              |    | asked to park
//!                  | | v               | request            v                    |    v
//!                  | | Refused         +----------------- Ahead                  |  Asked
//!                  | |  | reply                             |                    |    | parks
//!                  | |  v                                   |                    |    v
//!                  | | Replying                             |                    |  Parking
//!                  | +-------------- flushed ---------------+                    |    | parked
//!                  |                                                             |    v
//!                  +------------------------- bytes -----------------------------+- Parked
//! ```
//!
//! [`Phase::after`] is the table. From any phase a shutdown of the stream leads to `Closing`, except while parking or refused, when
//! hyper's shutdown is not passed on; HTTP/2 stays in the phase `Http2`, where the numbers of open streams say the rest.

/// Where a connection stands between two requests.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Phase {
    /// No byte has come yet.
    #[default]
    Fresh,
    /// Bytes came that belong to no request yet.
    Head,
    /// A request is being answered.
    Answering,
    /// The answer is complete, and not all of it on the wire.
    Answered,
    /// The same, and bytes came meanwhile.
    Ahead,
    /// The answer is on the wire, and nothing came since.
    Idle,
    /// Idle, and asked to give back all but the socket.
    Asked,
    /// hyper ends; the socket outlives it.
    Parking,
    /// Nothing but the socket is left.
    Parked,
    /// hyper refused a head; its own answer did not go out.
    Refused,
    /// Our answer to that goes out.
    Replying,
    /// Our side is closed, or about to be.
    Closing,
    /// HTTP/2, of which any number of requests may be open.
    Http2,
}

/// What changes the [`Phase`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Event {
    /// Bytes came.
    Bytes,
    /// A request's head is complete, on HTTP/1.1.
    Request,
    /// A request's head is complete, on HTTP/2.
    Stream,
    /// The last open request has been answered.
    Answered,
    /// All that was written is with the kernel.
    Flushed,
    /// The worker asks an idle connection to park.
    AskToPark,
    /// The connection does so.
    Park,
    /// hyper was not idle after all.
    KeepOn,
    /// hyper is gone.
    Parked,
    /// hyper answers a head that is no request.
    Refuse,
    /// What is written from here on is our answer to that.
    Reply,
    /// The stream is shut down.
    Shutdown,
}

impl Phase {
    /// The table of transitions; what is not in it changes nothing.
    #[inline]
    pub(super) fn after(self, event: Event) -> Self {
        match (self, event) {
            (Self::Fresh | Self::Idle | Self::Asked | Self::Parking | Self::Parked, Event::Bytes) => Self::Head,
            (Self::Answered, Event::Bytes) => Self::Ahead,
            (Self::Http2, Event::Request) | (_, Event::Stream) => Self::Http2,
            (_, Event::Request) => Self::Answering,
            (Self::Answering, Event::Answered) => Self::Answered,
            (Self::Answered, Event::Flushed) => Self::Idle,
            (Self::Ahead, Event::Flushed) => Self::Head,
            (Self::Idle, Event::AskToPark) => Self::Asked,
            (Self::Asked, Event::Park) => Self::Parking,
            (Self::Parking, Event::KeepOn) => Self::Idle,
            (Self::Parking, Event::Parked) => Self::Parked,
            (from, Event::Refuse) if from.is_between_requests() => Self::Refused,
            (Self::Refused, Event::Reply) => Self::Replying,
            (from, Event::Shutdown) if !from.outlives_hyper() => Self::Closing,
            (unchanged, _) => unchanged,
        }
    }

    /// No request is being answered, and every earlier answer is on the wire: what is written now belongs to no request.
    pub(super) fn is_between_requests(self) -> bool {
        matches!(self, Self::Fresh | Self::Head | Self::Idle | Self::Asked | Self::Parking | Self::Parked)
    }

    /// hyper's shutdown of the stream is not that of the socket.
    fn outlives_hyper(self) -> bool {
        matches!(self, Self::Parking | Self::Refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_goes_round_once_for_each_request() {
        use Event::{AskToPark, Bytes, Flushed, KeepOn, Park, Parked, Request, Shutdown};
        let passed = |events: &[Event]| events.iter().fold(Phase::Fresh, |phase, event| phase.after(*event));
        let served = [Bytes, Request, Event::Answered, Flushed];
        assert_eq!(passed(&served), Phase::Idle);
        assert_eq!(passed(&served.repeat(3)), Phase::Idle);
        // What came while the answer went out is the beginning of the next head.
        assert_eq!(passed(&[Bytes, Request, Event::Answered, Bytes, Flushed]), Phase::Head);
        let parked = [&served[..], &[AskToPark, Park, Shutdown, Parked]].concat();
        assert_eq!(passed(&parked), Phase::Parked);
        assert_eq!(passed(&[&parked[..], &served].concat()), Phase::Idle);
        // A byte in time calls parking off, at every step.
        for step in served.len()..parked.len() {
            assert_eq!(passed(&[&parked[..step], &[Bytes]].concat()), Phase::Head, "{step}");
        }
        assert_eq!(passed(&[&served[..], &[AskToPark, Park, KeepOn, Shutdown]].concat()), Phase::Closing);
        // Nothing parks that is not idle.
        for events in [&[AskToPark][..], &[Bytes, AskToPark], &[Bytes, Request, AskToPark]] {
            assert_ne!(passed(events), Phase::Asked, "{events:?}");
        }
    }
}
