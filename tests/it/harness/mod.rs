//! What the tests are written with: a browser, a provider, an application that records, a raw client, a gateway.
//!
//! ```ignore
//! let idp = TestIdp::start().await;
//! let upstream = RecordingUpstream::start().await;
//! let gateway = Gateway::in_front_of(&upstream).signing_in_at(&idp).start().await;
//! let browser = gateway.browser();
//! let page = browser.signs_in(&gateway.url("/wiki?x=1"), "Ada").await;
//! assert_eq!(page.status, 200);
//! ```

pub(crate) mod authority;
pub(crate) mod browser;
pub(crate) mod cookie_jar;
pub(crate) mod frames;
pub(crate) mod gateway;
pub(crate) mod idp;
pub(crate) mod outgoing;
pub(crate) mod process_log;
pub(crate) mod program;
pub(crate) mod raw;
pub(crate) mod scene;
pub(crate) mod slow;
pub(crate) mod stage;
pub(crate) mod upstream;

pub(crate) use authority::Authority;
pub(crate) use browser::{Browser, Page};
pub(crate) use frames::Frames;
pub(crate) use gateway::Gateway;
pub(crate) use idp::TestIdp;
pub(crate) use program::Program;
pub(crate) use raw::{Raw, RawAnswer};
pub(crate) use scene::{Scene, has_session, param, with_param};
pub(crate) use slow::SlowUpstream;
pub(crate) use stage::Stage;
pub(crate) use upstream::RecordingUpstream;

use std::sync::Arc;

use vestibule::clock::{ManualClock, UnixTime};

/// A clock that stands at the same moment in every test until the test moves it.
pub(crate) fn clock() -> Arc<ManualClock> {
    ManualClock::starting_at(UnixTime::from_secs(TEST_TIME))
}

/// 2026-01-01T00:00:00Z.
const TEST_TIME: u64 = 1_767_225_600;
