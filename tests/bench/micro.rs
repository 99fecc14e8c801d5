//! `bench-micro NAME COUNT`: does one thing COUNT times. `tests/bench/micro` counts the instructions of that.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a measurement that cannot be made says so by failing"
)]

mod indoors;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use http::header::COOKIE;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};

use indoors::{Indoors, NOW, configuration, cookie, sealer, session, site};
use vestibule::gateway::routes::{Route, RouteTarget, Routes, Rule};
use vestibule::identity::{ClaimMapping, Identity};
use vestibule::policy::Policy;
use vestibule::policy::names::NameList;
use vestibule::policy::settings::{Access, AllowSettings};
use vestibule::proxy::headers::response_headers::ResponseHeaders;
use vestibule::proxy::headers::{HeaderRules, RequestContext, inject};
use vestibule::proxy::identity_headers::IdentityHeaderSets;
use vestibule::proxy::settings::{Authorization, IdentityHeaderSettings};
use vestibule::request::cookies::OwnCookies;
use vestibule::request::path::{CanonicalPath, folded};
use vestibule::server::settings::Limits;
use vestibule::session::settings::TokenKinds;
use vestibule::telemetry::metrics::Metrics;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (name, count) = (arguments.next().unwrap_or_default(), arguments.next().and_then(|n| n.parse().ok()));
    let mut once = case(&name);
    for _ in 0..count.unwrap_or(1_u32) {
        once();
    }
}

fn case(name: &str) -> Box<dyn FnMut()> {
    match name.split_once('-').unwrap_or((name, "")) {
        ("hyper", _) => requests(Indoors::hyper()),
        ("warm", _) => requests(Indoors::gateway("static:204")),
        ("cold", _) => cold(),
        ("open", _) => open(),
        ("seal", _) => seal(),
        ("cookies", count) => cookies(number(count)),
        ("routes", count) => routes(number(count)),
        ("path", kind) => path(kind),
        ("policy", count) => policy(number(count)),
        ("headers", count) => headers(number(count), true),
        ("copy", count) => headers(number(count), false),
        _ => panic!("no case {name}"),
    }
}

fn number(text: &str) -> usize {
    text.parse().unwrap()
}

fn requests(indoors: Indoors) -> Box<dyn FnMut()> {
    let mut indoors = indoors.warm("204");
    Box::new(move || {
        black_box(indoors.exchange());
    })
}

/// Each request is somebody's first. They are all made beforehand, however few are sent.
fn cold() -> Box<dyn FnMut()> {
    let (indoors, people) = Indoors::crowd(1200);
    let (mut indoors, mut next) = (indoors.warm("204"), 0);
    Box::new(move || {
        indoors.send(&people[next]);
        black_box(indoors.exchange());
        next += 1;
    })
}

fn open() -> Box<dyn FnMut()> {
    let config = configuration("static:204");
    let (sealer, session) = (sealer(&config), session(10));
    let sealed = sealer.seal(site(), &session, session.ends(&config.session), NOW);
    let wanted = TokenKinds { refresh: true, ..TokenKinds::default() };
    Box::new(move || {
        black_box(sealer.open(site(), black_box(sealed.as_str()), wanted, NOW).unwrap());
    })
}

fn seal() -> Box<dyn FnMut()> {
    let config = configuration("static:204");
    let (sealer, session) = (sealer(&config), session(10));
    let expires = session.ends(&config.session);
    Box::new(move || {
        black_box(sealer.seal(site(), black_box(&session), expires, NOW));
    })
}

/// So many cookies of the application around the session.
fn cookies(count: usize) -> Box<dyn FnMut()> {
    let config = configuration("static:204");
    let own = OwnCookies::new(&config.session.cookie.name, &["corp".into()]);
    let others: String = (0..count).map(|n| format!("; cookie-{n}=value-of-{n}")).collect();
    let value = cookie(&config, &session(10)) + &others;
    let headers = HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(&value).unwrap())]);
    Box::new(move || {
        black_box(own.scan(black_box(&headers)));
    })
}

fn routes(count: usize) -> Box<dyn FnMut()> {
    let routes = apps(count);
    let path = format!("/apps/app-{}/some/page", count / 2);
    Box::new(move || {
        black_box(routes.find(black_box("wiki.example.com"), black_box(&path), &Method::GET).is_ok());
    })
}

/// A target read and judged by three routes; every path is 61 bytes long.
fn path(kind: &str) -> Box<dyn FnMut()> {
    let routes = apps(3);
    let target: PathAndQuery = match kind {
        "plain" => format!("/files{}", "/folder".repeat(7) + "/x.html"),
        "slash" => format!("/files%2Fa{}", "/folder".repeat(7) + "/x"),
        "worst" => format!("/;/%3b/%2f/%5c/\\/../%2e/%3f//{}", "/x".repeat(16)),
        _ => panic!("no path {kind}"),
    }
    .parse()
    .unwrap();
    Box::new(move || {
        let path = CanonicalPath::new(black_box(&target)).unwrap();
        let is_found = |reading: &str| routes.find("wiki.example.com", reading, &Method::GET).is_ok();
        black_box(path.holds_for_every_reading(|reading| !is_found(&folded(reading))));
    })
}

fn apps(count: usize) -> Routes {
    let metrics = Metrics::new(NOW);
    let mut routes = Routes::default();
    for id in 0..count {
        let route = Route {
            mappings: Vec::new(),
            number: 0,
            name: format!("route-{id}").into(),
            target: RouteTarget::Static(StatusCode::NO_CONTENT),
            websocket_origins: Vec::new(),
            kept_headers: Vec::new(),
            response_headers: ResponseHeaders::default(),
            body_limits: Limits::default().body(),
            metrics: metrics.route("all"),
            upstream_metrics: metrics.upstream("all"),
        };
        let rule = Rule {
            id,
            path: format!("/apps/app-{id}"),
            access: Access::Login,
            policy: Policy::default(),
            header_set: IdentityHeaderSets::default().add(&IdentityHeaderSettings::default()),
            authorization: Authorization::default(),
            providers: Vec::new(),
            max_age: None,
            access_log: true,
            no_login_from: Box::default(),
        };
        routes.add(&[], None, false, &Arc::new(route), &Arc::new(rule));
    }
    routes
}

/// Somebody in so many groups, of which the last is one of ten that may pass.
fn policy(groups: usize) -> Box<dyn FnMut()> {
    let claims = session(groups).claims;
    let identity = Identity::from_claims("corp".into(), "issuer".into(), claims, &ClaimMapping::default()).unwrap();
    let wanted = (0..10).map(|n| format!("group-{}", groups - 1 + n)).collect();
    let policy = Policy::new(AllowSettings { groups: Some(NameList::Written(wanted)), ..AllowSettings::default() });
    let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
    Box::new(move || {
        black_box(policy.decide(black_box(&identity), client));
    })
}

/// The rewriting of a request with so many fields; `copy` alone, because the request has to be copied for it.
fn headers(count: usize, rewrite: bool) -> Box<dyn FnMut()> {
    let rules = HeaderRules::new("vestibule", &[], vestibule::seal::random::<24>);
    let fields = ["host", "user-agent", "accept", "accept-language", "accept-encoding", "referer", "sec-fetch-mode"];
    let more = (0..count.saturating_sub(fields.len())).map(|n| format!("x-field-{n}"));
    let names = fields.into_iter().map(str::to_owned).chain(more).take(count);
    let value = HeaderValue::from_static("something of a usual length");
    let headers: HeaderMap =
        names.map(|name| (HeaderName::from_bytes(name.as_bytes()).unwrap(), value.clone())).collect();
    let told = ["x-forwarded-user", "x-forwarded-email", "x-forwarded-groups"]
        .map(|name| (HeaderName::from_static(name), value.clone()));
    Box::new(move || {
        let mut request = Request::new(());
        *request.headers_mut() = headers.clone();
        if rewrite {
            let _ = rules.request(&mut request, RequestContext::default());
            inject(request.headers_mut(), &told);
        }
        black_box(request);
    })
}
