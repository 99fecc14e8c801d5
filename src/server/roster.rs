//! How long connections wait: one sweep per worker instead of timers per request.
//!
//! A timer for every request head would cost more than the rest of the accept path. Here a connection only notes what goes on
//! (activity.rs); the worker looks at all its connections a few times per limit and ends those that stood still, or were slow, for
//! too long. Limits are therefore kept to within a quarter.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::server::activity::{Activity, Order, WaitingFor};
use crate::server::pace::Pace;
use crate::server::parking::Resting;
use crate::server::permits::PeerNetwork;
use crate::server::settings::Limits;

/// All connections of one worker.
#[derive(Debug)]
pub(super) struct Roster {
    limits: RefCell<Limits>,
    tracked: RefCell<HashMap<u64, Tracked>>,
    next: Cell<u64>,
    finishing: Cell<bool>,
    pub(super) resting: Resting,
}

impl Roster {
    /// Nobody yet, to be kept to these limits.
    pub(super) fn new(limits: &Limits) -> Rc<Self> {
        Rc::new(Self {
            limits: RefCell::new(limits.clone()),
            tracked: RefCell::default(),
            next: Cell::new(0),
            finishing: Cell::new(false),
            resting: Resting::default(),
        })
    }

    /// How often to look.
    pub(super) fn tick(&self) -> Duration {
        let limits = self.limits.borrow();
        let shortest = limits.header_time.min(limits.idle_time);
        (shortest / 4).clamp(Duration::from_millis(5), Duration::from_secs(1))
    }

    /// Keeps all connections to other limits from now on.
    pub(super) fn limit(&self, limits: &Limits) {
        self.limits.replace(limits.clone());
    }

    /// Puts a new connection of this listener on the list, for as long as what this returns lives. `peer` is known of those whose
    /// connections are counted.
    pub(super) fn enrol(self: &Rc<Self>, listener: u64, peer: Option<PeerNetwork>) -> Enrolled {
        let activity = Arc::<Activity>::default();
        if self.finishing.get() {
            activity.give(Order::Finish);
        }
        let number = self.next.replace(self.next.get().wrapping_add(1));
        let now = Instant::now();
        let tracked = Tracked {
            listener,
            peer,
            waiting: activity.waiting(),
            activity: Arc::clone(&activity),
            since: now,
            looked: now,
            moved: (0, 0),
            pace: pace(&self.limits.borrow()),
            recent: (Duration::ZERO, 0),
        };
        self.tracked.borrow_mut().insert(number, tracked);
        Enrolled { roster: Rc::clone(self), number, activity }
    }

    /// Whether there is no connection.
    pub(super) fn is_empty(&self) -> bool {
        self.tracked.borrow().is_empty()
    }

    /// Ends what has waited for too long.
    pub(super) fn sweep(&self, now: Instant) {
        let limits = self.limits.borrow();
        for tracked in self.tracked.borrow_mut().values_mut() {
            if !tracked.look(now, &limits) {
                continue;
            }
            let waited = now.saturating_duration_since(tracked.since);
            match tracked.waiting {
                WaitingFor::Head { .. } if waited >= limits.header_time => tracked.activity.give(Order::Drop),
                WaitingFor::Reader if tracked.pace.left().is_zero() => tracked.activity.give(Order::Drop),
                WaitingFor::Request { .. } if waited >= limits.idle_time => match tracked.activity.order() {
                    // GOAWAY first; a connection that is still open at the next tick is closed.
                    Order::Serve => tracked.activity.give(Order::Finish),
                    Order::Finish | Order::Drop => tracked.activity.give(Order::Drop),
                },
                _ => {}
            }
        }
    }

    /// Which connections to end first where others need their places: at most so many, of this peer or of all.
    pub(super) fn dispensable(&self, now: Instant, of: Option<PeerNetwork>, most: usize) -> Vec<(Dispensable, u64)> {
        // What they are doing right now.
        self.sweep(now);
        let tracked = self.tracked.borrow();
        let asked = tracked.iter().filter(|(_, tracked)| of.is_none() || tracked.peer == of);
        let mut found: Vec<_> = asked.filter_map(|(number, it)| Some((it.dispensable(now)?, *number))).collect();
        found.sort_unstable();
        found.truncate(most);
        found
    }

    /// Ends these connections.
    pub(super) fn end(&self, numbers: &[u64]) {
        let tracked = self.tracked.borrow();
        for number in numbers {
            if let Some(tracked) = tracked.get(number) {
                tracked.activity.give(Order::Drop);
            }
        }
    }

    /// The connections of these listeners end what is open and begin nothing.
    pub(super) fn finish(&self, listeners: &[u64]) {
        for tracked in self.tracked.borrow().values().filter(|tracked| listeners.contains(&tracked.listener)) {
            if tracked.activity.order() == Order::Serve {
                tracked.activity.give(Order::Finish);
            }
        }
    }

    /// Every connection, and every later one, ends what is open and begins nothing.
    pub(super) fn finish_all(&self) {
        self.finishing.set(true);
        for tracked in self.tracked.borrow().values() {
            tracked.activity.give(Order::Finish);
        }
    }
}

/// A place on the [`Roster`].
#[derive(Debug)]
pub(super) struct Enrolled {
    pub(super) roster: Rc<Roster>,
    number: u64,
    pub(super) activity: Arc<Activity>,
}

impl Drop for Enrolled {
    fn drop(&mut self) {
        self.roster.tracked.borrow_mut().remove(&self.number);
    }
}

/// How dispensable a connection is; the first in order is the first to go.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Dispensable {
    /// Those that hold their place with a body or a head that does not come on, or with an answer that they do not read, go
    /// before those that only wait for their next request.
    between_requests: bool,
    /// The slowest go first,
    bytes_a_second: u64,
    /// then those that were waited for longest.
    waited: Reverse<Duration>,
}

/// A connection, and what it did when it was last looked at.
#[derive(Debug)]
struct Tracked {
    /// The number of the listener that it came by.
    listener: u64,
    /// Known of those whose connections are counted.
    peer: Option<PeerNetwork>,
    activity: Arc<Activity>,
    waiting: WaitingFor,
    since: Instant,
    looked: Instant,
    moved: (u64, u64),
    pace: Pace,
    /// How long it waited for the same of late, and how many bytes moved in that time.
    recent: (Duration, u64),
}

impl Tracked {
    /// Notes what became of it since the last look; whether it still waits for the same.
    fn look(&mut self, now: Instant, limits: &Limits) -> bool {
        let (waiting, (read, written)) = (self.activity.waiting(), self.activity.moved());
        let step = now.saturating_duration_since(self.looked);
        let (newly_read, newly_written) = (read.wrapping_sub(self.moved.0), written.wrapping_sub(self.moved.1));
        self.looked = now;
        self.moved = (read, written);
        if waiting != self.waiting {
            (self.waiting, self.since) = (waiting, now);
            self.pace = pace(limits);
            self.recent = (Duration::ZERO, 0);
            return false;
        }
        if waiting == WaitingFor::Reader {
            self.pace.waited(step);
            self.pace.moved(newly_written, self.activity.is_leisurely());
        }
        let (time, bytes) = &mut self.recent;
        *time += step;
        *bytes = bytes.saturating_add(newly_read).saturating_add(newly_written);
        if *time > RECENT {
            *time /= 2;
            *bytes /= 2;
        }
        true
    }

    /// None for those that are at work, or were a moment ago; for event streams; and for bodies that are fast enough.
    fn dispensable(&self, now: Instant) -> Option<Dispensable> {
        let waited = now.saturating_duration_since(self.since);
        if waited < MOMENT || self.activity.is_leisurely() || self.activity.order() == Order::Drop {
            return None;
        }
        let (time, bytes) = self.recent;
        let (between_requests, bytes_a_second) = match self.waiting {
            WaitingFor::Us => return None,
            WaitingFor::Head { .. } => (false, 0),
            WaitingFor::Body | WaitingFor::Reader => {
                let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
                (false, bytes.saturating_mul(1000) / millis)
            }
            WaitingFor::Request { .. } => (true, 0),
        };
        let slow = bytes_a_second < FAST_ENOUGH;
        slow.then_some(Dispensable { between_requests, bytes_a_second, waited: Reverse(waited) })
    }
}

/// How slowly a client may read.
fn pace(limits: &Limits) -> Pace {
    Pace::of(limits.body_rate, limits.idle_time)
}

/// A connection that waits for less is not looked at: it may be about to go on.
const MOMENT: Duration = Duration::from_secs(1);
/// What counts as late: a body that was fast long ago is not fast.
const RECENT: Duration = Duration::from_secs(10);
/// Bytes a second that no body is ended at to make room for another connection.
const FAST_ENOUGH: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::phase::Event;

    fn roster() -> Rc<Roster> {
        Roster::new(&Limits { header_time: Duration::from_secs(10), ..Limits::default() })
    }

    fn after(secs: u64) -> Instant {
        Instant::now() + Duration::from_secs(secs)
    }

    #[test]
    fn a_connection_without_a_first_request_is_dropped_however_it_drips() {
        // AT-SM-22
        let roster = roster();
        let place = roster.enrol(0, None);
        place.activity.note(Event::Bytes);
        roster.sweep(after(9));
        assert_eq!(place.activity.order(), Order::Serve);
        roster.sweep(after(11));
        assert_eq!(place.activity.order(), Order::Drop);
    }

    #[test]
    fn an_idle_connection_is_finished_and_then_dropped() {
        // AT-SM-22: idle keep-alive
        let roster = roster();
        let place = roster.enrol(0, None);
        drop(place.activity.begin_request(http::Version::HTTP_11, false));
        roster.sweep(after(1));
        roster.sweep(after(50));
        assert_eq!(place.activity.order(), Order::Serve);
        roster.sweep(after(62));
        assert_eq!(place.activity.order(), Order::Finish);
        roster.sweep(after(67));
        assert_eq!(place.activity.order(), Order::Drop);
    }

    #[test]
    fn a_slow_application_is_not_the_clients_fault() {
        let roster = roster();
        let place = roster.enrol(0, None);
        let open = place.activity.begin_request(http::Version::HTTP_11, false);
        roster.sweep(after(1));
        roster.sweep(after(10_000));
        assert_eq!(place.activity.order(), Order::Serve);
        drop(open);
    }

    #[test]
    fn a_client_that_reads_nothing_is_dropped_and_one_that_reads_slowly_is_not() {
        // AT-SM-23
        let roster = roster();
        let place = roster.enrol(0, None);
        let _open = place.activity.begin_request(http::Version::HTTP_11, false);
        place.activity.note_blocked(true);
        roster.sweep(after(1));
        place.activity.note_written(256 * 30);
        roster.sweep(after(62));
        assert_eq!(place.activity.order(), Order::Serve);
        roster.sweep(after(130));
        assert_eq!(place.activity.order(), Order::Drop);
    }

    #[test]
    fn a_stream_without_window_is_not_taken_for_a_slow_application() {
        // AT-SM-17, PX-47: windows of zero stall answers while the socket takes everything
        let roster = roster();
        let place = roster.enrol(0, None);
        let mut open = place.activity.begin_request(http::Version::HTTP_2, false);
        open.note_piece(true);
        open.note_piece(false);
        roster.sweep(after(1));
        roster.sweep(after(10_000));
        assert_eq!(place.activity.order(), Order::Serve);
        open.note_piece(true);
        roster.sweep(after(10_001));
        roster.sweep(after(10_062));
        assert_eq!(place.activity.order(), Order::Drop);
    }

    #[test]
    fn pings_do_not_keep_an_http2_connection() {
        // AT-SM-17, PX-47
        let roster = roster();
        let place = roster.enrol(0, None);
        drop(place.activity.begin_request(http::Version::HTTP_2, false));
        roster.sweep(after(1));
        place.activity.note(Event::Bytes);
        roster.sweep(after(30));
        assert_eq!(place.activity.order(), Order::Serve);
        roster.sweep(after(62));
        assert_eq!(place.activity.order(), Order::Finish);
    }

    #[test]
    fn late_connections_of_a_draining_worker_finish_too() {
        let roster = roster();
        roster.finish_all();
        assert_eq!(roster.enrol(0, None).activity.order(), Order::Finish);
        assert!(roster.is_empty());
    }

    #[test]
    fn a_reader_of_a_byte_a_second_is_dropped_and_one_of_an_event_stream_is_not() {
        // AT-SM-23
        for leisurely in [false, true] {
            let roster = roster();
            let place = roster.enrol(0, None);
            let mut open = place.activity.begin_request(http::Version::HTTP_11, false);
            if leisurely {
                open.take_time();
            }
            place.activity.note_blocked(true);
            for second in 1..=65 {
                place.activity.note_written(1);
                roster.sweep(after(second));
            }
            assert_eq!(place.activity.order() == Order::Drop, !leisurely);
        }
    }

    /// What connections are doing.
    enum Doing {
        Nothing,
        Head,
        Body(u64),
        Reading(u64),
        EventStream,
        Working,
    }

    /// Connections that do this for so many seconds, and the order in which they would go.
    fn order_of_going(doing: &[Doing], seconds: u64) -> Vec<usize> {
        let roster = roster();
        let places: Vec<_> = doing.iter().map(|_| roster.enrol(0, None)).collect();
        let mut kept = Vec::new();
        for (doing, place) in doing.iter().zip(&places) {
            let has_body = matches!(doing, Doing::Body(_));
            if matches!(doing, Doing::Head) {
                place.activity.note(Event::Bytes);
                continue;
            }
            let mut open = place.activity.begin_request(http::Version::HTTP_11, has_body);
            let mut watch = has_body.then(|| crate::server::activity::BodyWatch::new(&place.activity));
            match doing {
                Doing::Nothing => continue,
                Doing::Body(_) => watch.iter_mut().for_each(|watch| watch.note_awaited(true)),
                Doing::Reading(_) => place.activity.note_blocked(true),
                Doing::EventStream => {
                    open.take_time();
                    place.activity.note_blocked(true);
                }
                Doing::Head | Doing::Working => {}
            }
            kept.push((open, watch, Arc::clone(&place.activity), doing));
        }
        roster.sweep(after(0));
        for second in 1..=seconds {
            for (_, watch, activity, doing) in &kept {
                match (doing, watch) {
                    (Doing::Body(rate), Some(watch)) => watch.note_read(*rate),
                    (Doing::Reading(rate), _) => activity.note_written(usize::try_from(*rate).unwrap()),
                    _ => {}
                }
            }
            roster.sweep(after(second));
        }
        let going = roster.dispensable(after(seconds), None, 100);
        going.into_iter().map(|(_, number)| usize::try_from(number).unwrap()).collect()
    }

    #[test]
    fn the_slowest_go_first_and_never_event_streams_or_who_is_at_work() {
        // AT-SM-22, AT-SM-25
        use Doing::*;
        let all =
            [Nothing, Body(100), Working, Reading(50), EventStream, Head, Body(60_000), Body(1), Reading(100_000)];
        assert_eq!(order_of_going(&all, 5), [5, 7, 3, 1, 0]);
        assert!(order_of_going(&all, 0).is_empty(), "nobody goes who has just come");
    }

    #[test]
    fn what_was_fast_long_ago_is_not_fast() {
        let roster = roster();
        let place = roster.enrol(0, None);
        let _open = place.activity.begin_request(http::Version::HTTP_11, true);
        let mut watch = crate::server::activity::BodyWatch::new(&place.activity);
        watch.note_awaited(true);
        roster.sweep(after(0));
        watch.note_read(10 << 20);
        roster.sweep(after(1));
        assert!(roster.dispensable(after(2), None, 1).is_empty());
        let goes = (3..600).find(|second| {
            roster.sweep(after(*second));
            !roster.dispensable(after(*second), None, 1).is_empty()
        });
        assert!(goes.is_some_and(|second| second < 120), "{goes:?}");
    }

    #[test]
    fn only_connections_of_the_peer_are_named_where_one_is_asked_for() {
        let roster = roster();
        let [mine, other] = ["192.0.2.1", "192.0.2.2"].map(|at| Some(PeerNetwork::of(at.parse().unwrap())));
        let places = [roster.enrol(0, other), roster.enrol(0, mine), roster.enrol(0, None)];
        let found = roster.dispensable(after(5), mine, 9);
        assert_eq!(found.iter().map(|(_, number)| *number).collect::<Vec<_>>(), [1]);
        roster.end(&[1]);
        assert_eq!(places.each_ref().map(|place| place.activity.order() == Order::Drop), [false, true, false]);
    }
}
