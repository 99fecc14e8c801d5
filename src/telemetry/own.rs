//! What the process itself uses, read from `/proc` when metrics are asked for.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use rustix::process::{Resource, getrlimit};

use crate::clock::UnixTime;

/// The `process_*` metrics that Prometheus clients usually have.
#[derive(Debug)]
pub(super) struct OwnUse {
    started: UnixTime,
}

impl OwnUse {
    pub(super) fn since(started: UnixTime) -> Self {
        Self { started }
    }
}

impl Collector for OwnUse {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let mut write = |name: &str, help: &str, metric: &dyn EncodeMetric| {
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        let started = i64::try_from(self.started.secs()).unwrap_or(i64::MAX);
        write("process_start_time_seconds", "When the process started", &ConstGauge::new(started))?;
        if let Some(seconds) = cpu_seconds() {
            write("process_cpu_seconds", "Processor time used", &ConstCounter::new(seconds))?;
        }
        if let Some(bytes) = resident_bytes() {
            write("process_resident_memory_bytes", "Memory in use", &ConstGauge::new(bytes))?;
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            let open = i64::try_from(open.count()).unwrap_or(i64::MAX);
            write("process_open_fds", "Open files and sockets", &ConstGauge::new(open))?;
        }
        if let Some(most) = getrlimit(Resource::Nofile).current {
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            write("process_max_fds", "How many files and sockets may be open", &ConstGauge::new(most))?;
        }
        Ok(())
    }
}

/// User and system time: fields 14 and 15 of proc_pid_stat(5), counted behind the name, which may hold anything.
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some((f64::from(user) + f64::from(system)) / TICKS_PER_SECOND)
}

fn resident_bytes() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.split_ascii_whitespace().next()?.parse().ok()?;
    Some(kib.saturating_mul(1024))
}

/// Linux shows times in this unit to user space on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;
