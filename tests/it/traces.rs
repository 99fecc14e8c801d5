//! Traces and metrics by OTLP, and W3C Trace Context: what leaves the program is decoded with the standard's own definitions.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tempfile::TempDir;

use crate::harness::Scene;
use crate::harness::browser::Ask;
use crate::harness::upstream::RecordingUpstream;
use crate::operation::json_lines;

const FROM: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_is_a_trace_of_the_request_the_decision_the_provider_and_the_application() {
    let receiver = receiver().await;
    let Scene { idp, upstream, gateway, .. } = Scene::built(|gateway| gateway.with(&exported_to(&receiver))).await;
    let browser = gateway.browser().sending("traceparent", FROM).sending("tracestate", "vendor=1");
    let page = browser.signs_in(&gateway.url("/page?secret=query"), "Grace").await;
    gateway.stop().await;

    let (spans, bytes) = spans_at(&receiver);
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE && span.trace_state == "vendor=1"), "{spans:#?}");
    let named = |name: &str| -> Vec<&Span> { spans.iter().filter(|span| span.name == name).collect() };
    let by_id = |id: &[u8]| spans.iter().find(|span| span.span_id == id);
    // The provider was asked within the callback.
    let token = named("idp.token")[0];
    let callback = by_id(&token.parent_span_id).unwrap();
    assert_eq!((callback.name.as_str(), text(callback, "url.path")), ("GET", "/_vestibule/callback".to_owned()));
    assert_eq!((token.kind, text(token, "vestibule.provider")), (3, "idp".to_owned()));
    let told = idp.token_requests("authorization_code").pop().unwrap();
    assert!(format!("{told:?}").contains(&format!("00-{TRACE}-{}-01", hex(&token.span_id))), "{told:?}");
    // The application was called within the request that was let in.
    let call = named("upstream")[0];
    let request = by_id(&call.parent_span_id).unwrap();
    assert_eq!(
        (request.name.as_str(), request.kind, hex(&request.parent_span_id).as_str()),
        ("GET app", 2, &FROM[36..52])
    );
    let seen = upstream.last_request();
    assert_eq!(seen.header("traceparent").unwrap(), format!("00-{TRACE}-{}-01", hex(&call.span_id)));
    assert_eq!(seen.header("tracestate"), Some("vendor=1"));
    let decision = named("auth.decide").into_iter().find(|span| span.parent_span_id == request.span_id).unwrap();
    assert_eq!(text(decision, "vestibule.decision"), "allow");
    assert_eq!((text(request, "http.route"), number(request, "http.response.status_code")), ("app".to_owned(), 200));
    assert!(
        request.start_time_unix_nano <= call.start_time_unix_nano
            && call.end_time_unix_nano <= request.end_time_unix_nano
    );
    // Neither code nor state nor a query, nor who it is in clear.
    let callback = page.hop("callback").url.clone();
    for (_, secret) in callback.query_pairs() {
        assert!(!contains(&bytes, &secret), "{secret} is in a trace");
    }
    for secret in ["secret=query", "248289761002", "Grace", "id_token", "Bearer"] {
        assert!(!contains(&bytes, secret), "{secret} is in a trace");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewal_is_a_part_of_the_decision_that_needed_it() {
    let receiver = receiver().await;
    let Scene { idp: _idp, upstream: _upstream, gateway, .. } =
        Scene::built(|gateway| gateway.with(&exported_to(&receiver))).await;
    let browser = gateway.browser();
    browser.signs_in(&gateway.url("/"), "Grace").await;
    gateway.clock.advance(std::time::Duration::from_secs(58));
    browser.asks(&gateway.url("/")).await;
    gateway.stop().await;
    let (spans, _) = spans_at(&receiver);
    let named = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let refresh = named("auth.refresh")[0];
    let decision = named("auth.decide").into_iter().find(|span| span.span_id == refresh.parent_span_id);
    assert!(decision.is_some(), "{spans:#?}");
    let token = named("idp.token").into_iter().find(|span| span.parent_span_id == refresh.span_id);
    assert!(token.is_some(), "{spans:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_trace_begins_one_and_the_access_log_names_it() {
    let (receiver, folder) = (receiver().await, TempDir::new().unwrap());
    let access = folder.path().join("access");
    let log = format!("{}\n[log]\naccess = '{}'", exported_to(&receiver), access.display());
    let Scene { idp: _idp, upstream: _upstream, gateway, .. } = Scene::built(|gateway| gateway.with(&log)).await;
    let browser = gateway.browser();
    browser.does(Ask::navigation(&gateway.url("/page")).with("traceparent", "00-0-0-0").without_following()).await;
    gateway.stop().await;
    let (spans, _) = spans_at(&receiver);
    let request = spans.iter().find(|span| span.kind == 2).unwrap();
    assert!(request.parent_span_id.is_empty());
    assert_eq!(json_lines(&access)[0]["trace_id"], hex(&request.trace_id));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_receiver_a_trace_goes_on_and_the_access_log_names_it() {
    // FW-09
    let folder = TempDir::new().unwrap();
    let access = folder.path().join("access");
    let log = format!("[log]\naccess = '{}'\n[route.app.paths]\n'/open' = {{ access = 'public' }}", access.display());
    let Scene { idp: _idp, upstream, gateway, .. } = Scene::built(|gateway| gateway.with(&log)).await;
    for sent in [FROM, "nonsense"] {
        let ask = Ask::navigation(&gateway.url("/open")).with("traceparent", sent).with("tracestate", "a=1, b=2");
        gateway.browser().does(ask).await;
        let (seen, is_valid) = (upstream.last_request(), sent == FROM);
        assert_eq!(seen.header("traceparent").unwrap().contains(TRACE), is_valid);
        assert_eq!(seen.header("tracestate"), is_valid.then_some("a=1, b=2"));
    }
    gateway.stop().await;
    let lines = json_lines(&access);
    let mut traces: Vec<_> = lines.iter().map(|line| line["trace_id"].as_str()).collect();
    traces.sort_unstable();
    assert_eq!(traces, [None, Some(TRACE)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_those_that_prometheus_gets() {
    let receiver = receiver().await;
    let Scene { idp: _idp, upstream: _upstream, gateway, .. } =
        Scene::built(|gateway| gateway.with(&exported_to(&receiver))).await;
    gateway.browser().signs_in(&gateway.url("/page"), "Grace").await;
    let scraped = gateway.admin_text("/metrics").await;
    gateway.stop().await;
    let seen = receiver.seen();
    let last = seen.iter().rfind(|request| request.target == "/v1/metrics").unwrap();
    let message = ExportMetricsServiceRequest::decode(&*last.body).unwrap();
    let [resource] = &message.resource_metrics[..] else { panic!("{message:?}") };
    let about = &resource.resource.as_ref().unwrap().attributes;
    assert_eq!((value(about, "service.name"), value(about, "env")), ("gate".to_owned(), "a b".to_owned()));
    let metrics = &resource.scope_metrics[0].metrics;
    let find = |name: &str| metrics.iter().find(|metric| metric.name == name).unwrap().data.as_ref().unwrap();
    let Data::Sum(logins) = find("vestibule_logins_completed_total") else { panic!("no sum") };
    assert!(logins.is_monotonic && logins.aggregation_temporality == 2);
    let good = logins.data_points.iter().find(|point| value(&point.attributes, "outcome") == "success").unwrap();
    assert!(format!("{:?}", good.value).contains("1.0"), "{good:?}");
    let Data::Histogram(served) = find("http_server_request_duration_seconds") else { panic!("no histogram") };
    let point = &served.data_points[0];
    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
    assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
    for line in scraped.lines().filter(|line| line.starts_with("# TYPE ")) {
        let name = line.split(' ').nth(2).unwrap();
        assert!(metrics.iter().any(|metric| metric.name.starts_with(name)), "{name} is not exported");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_away_holds_nothing_and_its_losses_are_counted() {
    let receiver = receiver().await;
    receiver.answers("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    let Scene { idp: _idp, upstream: _upstream, gateway, .. } =
        Scene::built(|gateway| gateway.with(&exported_to(&receiver))).await;
    gateway.browser().opens(&gateway.url("/page")).await;
    receiver.wait_for(1).await;
    for _ in 0..10_000 {
        let metrics = gateway.admin_text("/metrics").await;
        let lost = "vestibule_telemetry_lost_total{signal=\"traces\"} ";
        if metrics.lines().any(|line| line.strip_prefix(lost).is_some_and(|count| count != "0")) {
            gateway.stop().await;
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("nothing is counted");
}

async fn receiver() -> RecordingUpstream {
    let receiver = RecordingUpstream::start().await;
    receiver.answers("HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n");
    receiver
}

fn exported_to(receiver: &RecordingUpstream) -> String {
    format!(
        "[telemetry]\nendpoint = '{}'\nspan_delay = '1ms'\nservice_name = 'gate'\nresource_attributes = 'env=a%20b'\n\
         headers = 'authorization=Bearer%20key'",
        receiver.url()
    )
}

/// Every span that arrived, and the bytes that it arrived in.
fn spans_at(receiver: &RecordingUpstream) -> (Vec<Span>, Vec<u8>) {
    let seen = receiver.seen();
    let mut requests = seen.iter().filter(|request| request.target == "/v1/traces").peekable();
    let first = requests.peek().unwrap();
    assert_eq!(first.header("content-type"), Some("application/x-protobuf"));
    assert_eq!(first.header("authorization"), Some("Bearer key"));
    let (mut spans, mut bytes) = (Vec::new(), Vec::new());
    for request in requests {
        let message = ExportTraceServiceRequest::decode(&*request.body).unwrap();
        for resource in message.resource_spans {
            assert_eq!(value(&resource.resource.unwrap().attributes, "service.name"), "gate");
            spans.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
        bytes.extend_from_slice(&request.body);
    }
    (spans, bytes)
}

fn value(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|attribute| attribute.value.as_ref()?.value.clone()) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{key} is {other:?} in {attributes:?}"),
    }
}

fn text(span: &Span, key: &str) -> String {
    value(&span.attributes, key)
}

fn number(span: &Span, key: &str) -> i64 {
    text(span, key).parse().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
