//! Which traces are recorded, by the names of
//! [`OTEL_TRACES_SAMPLER`](https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#general-sdk-configuration).

use crate::trace::context::{TraceId, TraceParent};

/// Decides whether a trace is recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// What whoever sent the request decided holds.
    pub follows_parent: bool,
    /// The share of the other traces, from 0 to 1.
    pub ratio: f64,
}

impl Default for Sampler {
    fn default() -> Self {
        Self { follows_parent: true, ratio: 1.0 }
    }
}

impl Sampler {
    /// Reads a name and its argument; none where either is none of the standard's.
    pub fn named(name: &str, argument: Option<&str>) -> Option<Self> {
        let (follows_parent, root) = match name.strip_prefix("parentbased_") {
            Some(root) => (true, root),
            None => (false, name),
        };
        let ratio = match root {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => argument.map_or(Ok(1.0), str::parse).ok().filter(|it| (0.0..=1.0).contains(it))?,
            _ => return None,
        };
        Some(Self { follows_parent, ratio })
    }

    /// Whether this trace is recorded.
    pub(super) fn samples(&self, parent: Option<TraceParent>, trace: TraceId) -> bool {
        match parent {
            Some(parent) if self.follows_parent => parent.sampled,
            _ => self.is_within_ratio(trace),
        }
    }

    /// By the trace's last 7 bytes, which are random: every program that samples so comes to the same.
    fn is_within_ratio(&self, trace: TraceId) -> bool {
        let random = trace.0.iter().skip(9).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        // A double keeps 53 bits.
        ((random >> 3) as f64) < self.ratio * (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standards_names_are_known_and_no_others() {
        let sampler = |follows_parent, ratio| Some(Sampler { follows_parent, ratio });
        assert_eq!(Sampler::named("parentbased_always_on", None), Some(Sampler::default()));
        assert_eq!(Sampler::named("always_off", None), sampler(false, 0.0));
        assert_eq!(Sampler::named("parentbased_traceidratio", Some("0.25")), sampler(true, 0.25));
        assert_eq!(Sampler::named("traceidratio", None), sampler(false, 1.0));
        for (name, argument) in
            [("jaeger_remote", None), ("", None), ("traceidratio", Some("2")), ("traceidratio", Some("x"))]
        {
            assert_eq!(Sampler::named(name, argument), None, "{name}");
        }
    }

    #[test]
    fn a_ratio_takes_its_share_and_the_parent_decides_where_it_may() {
        let id = |byte| TraceId([byte; 16]);
        let half = Sampler { follows_parent: true, ratio: 0.5 };
        assert!(half.samples(None, id(0x7f)) && !half.samples(None, id(0x80)));
        let parent = |sampled| Some(TraceParent { trace: id(0xff), span: crate::trace::SpanId([1; 8]), sampled });
        assert!(half.samples(parent(true), id(0xff)) && !half.samples(parent(false), id(1)));
        let alone = Sampler { follows_parent: false, ratio: 0.5 };
        assert!(!alone.samples(parent(true), id(0xff)) && alone.samples(parent(false), id(1)));
        assert!(Sampler { follows_parent: false, ratio: 1.0 }.samples(None, id(0xff)));
        assert!(!Sampler { follows_parent: false, ratio: 0.0 }.samples(None, id(0)));
    }
}
