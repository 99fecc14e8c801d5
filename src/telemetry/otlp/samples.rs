//! Metrics as messages, read off the text that Prometheus gets: one registry, one set of names.

use std::collections::BTreeMap;

use crate::telemetry::otlp::proto::{
    Any, CUMULATIVE, Data, ExportMetrics, Gauge, Histogram, HistogramPoint, KeyValue, Metric, NumberPoint,
    ResourceMetrics, ScopeMetrics, Sum, key_value, resource, scope,
};

/// From when until when what is counted was counted, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval {
    pub(super) start: u64,
    pub(super) end: u64,
}

/// The message of everything in the OpenMetrics text.
pub(super) fn message(text: &str, interval: Interval, resource_attributes: &[(String, String)]) -> ExportMetrics {
    let mut families: Vec<Family<'_>> = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
            family(&mut families, name).into_iter().for_each(|family| family.help = help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            family(&mut families, name).into_iter().for_each(|family| family.kind = kind);
        } else if let (Some(family), Some(sample)) = (families.last_mut(), Sample::read(line)) {
            family.samples.push(sample);
        }
    }
    let metrics = families.into_iter().filter_map(|family| family.metric(interval)).collect();
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics }];
    let resource = Some(resource(resource_attributes));
    ExportMetrics { resource_metrics: vec![ResourceMetrics { resource, scope_metrics }] }
}

/// The family of this name: what is said of one stands together.
fn family<'a, 'b>(families: &'b mut Vec<Family<'a>>, name: &'a str) -> Option<&'b mut Family<'a>> {
    if families.last().is_none_or(|family| family.name != name) {
        families.push(Family { name, ..Family::default() });
    }
    families.last_mut()
}

#[derive(Debug, Default)]
struct Family<'a> {
    name: &'a str,
    help: &'a str,
    kind: &'a str,
    samples: Vec<Sample<'a>>,
}

/// `name{label="value",…} value`.
#[derive(Debug)]
struct Sample<'a> {
    name: &'a str,
    labels: Vec<(&'a str, String)>,
    value: f64,
}

impl<'a> Sample<'a> {
    /// Reads a line that is one.
    fn read(line: &'a str) -> Option<Self> {
        let line = line.split_once(" # ").map_or(line, |(sample, _)| sample);
        let end = line.find(['{', ' ']).filter(|_| !line.starts_with('#'))?;
        let (name, mut rest) = line.split_at(end);
        let mut labels = Vec::new();
        if let Some(inner) = rest.strip_prefix('{') {
            rest = inner;
            while let Some((label, value)) = rest.trim_start_matches(',').split_once("=\"") {
                let (value, after) = quoted(value)?;
                labels.push((label, value));
                rest = after;
                if rest.starts_with('}') {
                    break;
                }
            }
            rest = rest.strip_prefix('}')?;
        }
        let value = rest.trim_start().split(' ').next()?.parse().ok()?;
        Some(Self { name, labels, value })
    }

    /// Its labels but the bound of a bucket.
    fn attributes(&self) -> Vec<KeyValue> {
        let labels = self.labels.iter().filter(|(label, _)| *label != "le");
        labels.map(|(label, value)| key_value(label, Any::Text(value.clone()))).collect()
    }

    /// As a point.
    fn number(&self, Interval { start, end }: Interval) -> NumberPoint {
        let (attributes, as_double) = (self.attributes(), Some(self.value));
        NumberPoint { attributes, start_time_unix_nano: start, time_unix_nano: end, as_double }
    }
}

/// The text up to the quote that ends it, without escapes, and what stands behind that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            _ => value.push(char),
        }
    }
    None
}

impl Family<'_> {
    /// As a metric; none where it has no samples.
    fn metric(self, interval: Interval) -> Option<Metric> {
        let numbers = || self.samples.iter().map(|sample| sample.number(interval)).collect::<Vec<_>>();
        let data = match self.kind {
            "counter" => {
                Data::Sum(Sum { data_points: numbers(), aggregation_temporality: CUMULATIVE, is_monotonic: true })
            }
            "histogram" => Data::Histogram(Histogram {
                data_points: histograms(&self.samples, interval),
                aggregation_temporality: CUMULATIVE,
            }),
            _ => Data::Gauge(Gauge { data_points: numbers() }),
        };
        let name = self.samples.first()?.name;
        // A counter is known by the name of its samples, as whoever scrapes it knows it.
        let name = if self.kind == "histogram" { self.name } else { name };
        Some(Metric { name: name.to_owned(), description: self.help.to_owned(), data: Some(data) })
    }
}

/// One point for each set of labels: buckets of the text count everything below their bound, those of a message what is between two.
fn histograms(samples: &[Sample<'_>], Interval { start, end }: Interval) -> Vec<HistogramPoint> {
    let mut points: BTreeMap<Vec<(&str, &str)>, HistogramPoint> = BTreeMap::new();
    for sample in samples {
        let labels = sample.labels.iter().filter(|(label, _)| *label != "le");
        let labels = labels.map(|(label, value)| (*label, value.as_str())).collect();
        let point = points.entry(labels).or_insert_with(|| HistogramPoint {
            attributes: sample.attributes(),
            start_time_unix_nano: start,
            time_unix_nano: end,
            ..HistogramPoint::default()
        });
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "counts are whole and not negative"
        )]
        let count = sample.value as u64;
        if sample.name.ends_with("_sum") {
            point.sum = Some(sample.value);
        } else if sample.name.ends_with("_count") {
            point.count = count;
        } else if let Some((_, bound)) = sample.labels.iter().find(|(label, _)| *label == "le") {
            let below: u64 = point.bucket_counts.iter().sum();
            point.bucket_counts.push(count.saturating_sub(below));
            point.explicit_bounds.extend(bound.parse::<f64>().ok().filter(|bound| bound.is_finite()));
        }
    }
    points.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_becomes_a_metric_of_its_kind() {
        let text = "# HELP a_seconds How long.\n# TYPE a_seconds histogram\n\
            a_seconds_sum{route=\"x\"} 1.5\na_seconds_count{route=\"x\"} 3\n\
            a_seconds_bucket{le=\"0.5\",route=\"x\"} 1\na_seconds_bucket{le=\"1.0\",route=\"x\"} 3\na_seconds_bucket{le=\"+Inf\",route=\"x\"} 3\n\
            # HELP b Count.\n# TYPE b counter\nb_total{reason=\"a\\\"b,\"} 7 # {trace_id=\"1\"} 1\nb_total{reason=\"c\"} 0\n\
            # HELP c Level.\n# TYPE c gauge\nc -2\n# HELP d What.\n# TYPE d info\nd_info{version=\"1\"} 1\n# EOF\n";
        let interval = Interval { start: 1, end: 2 };
        let message = message(text, interval, &[("service.name".to_owned(), "v".to_owned())]);
        let metrics = &message.resource_metrics[0].scope_metrics[0].metrics;
        let find = |name: &str| metrics.iter().find(|metric| metric.name == name).unwrap();
        assert_eq!(metrics.len(), 4);
        let Some(Data::Histogram(histogram)) = &find("a_seconds").data else { panic!("no histogram") };
        let point = &histogram.data_points[0];
        assert_eq!((point.count, point.sum), (3, Some(1.5)));
        assert_eq!((&point.bucket_counts[..], &point.explicit_bounds[..]), (&[1, 2, 0][..], &[0.5, 1.0][..]));
        assert_eq!(point.attributes, [key_value("route", Any::Text("x".to_owned()))]);
        let Some(Data::Sum(sum)) = &find("b_total").data else { panic!("no sum") };
        assert!(sum.is_monotonic && sum.aggregation_temporality == CUMULATIVE);
        assert_eq!((sum.data_points[0].as_double, sum.data_points[1].as_double), (Some(7.0), Some(0.0)));
        assert_eq!(sum.data_points[0].attributes, [key_value("reason", Any::Text("a\"b,".to_owned()))]);
        let Some(Data::Gauge(gauge)) = &find("c").data else { panic!("no gauge") };
        assert_eq!(gauge.data_points[0].as_double, Some(-2.0));
        assert_eq!(find("d_info").description, "What.");
    }

    #[test]
    fn everything_that_prometheus_gets_is_in_the_message() {
        let metrics = crate::telemetry::metrics::Metrics::new(crate::clock::UnixTime::default());
        metrics.login_started("corp");
        let text = metrics.render();
        let message = message(&text, Interval { start: 1, end: 2 }, &[]);
        let sent = &message.resource_metrics[0].scope_metrics[0].metrics;
        let points: usize = sent
            .iter()
            .map(|metric| match metric.data.as_ref().unwrap() {
                Data::Gauge(gauge) => gauge.data_points.len(),
                Data::Sum(sum) => sum.data_points.len(),
                Data::Histogram(histogram) => histogram.data_points.iter().map(|it| it.bucket_counts.len() + 2).sum(),
            })
            .sum();
        assert_eq!(points, text.lines().filter(|line| !line.starts_with('#')).count());
    }
}
