//! The host that is judged is the host that the application receives, whichever field names it, in whatever spelling.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;

use crate::harness::frames::Fate;
use crate::harness::upstream::Recorded;
use crate::harness::{Frames, Gateway, Raw, RecordingUpstream};

/// A field, lower-case as HTTP/2 wants it.
type Field = (&'static str, String);

/// A request as a client writes it: the authority of its target, its `Host`, its other fields.
#[derive(Debug)]
struct Asked {
    authority: Option<String>,
    host: Option<String>,
    fields: Vec<Field>,
}

/// Two hosts, each with an application of its own, so that the one that is reached says which host was judged.
struct Hosts {
    gateway: Gateway,
    www: Told,
    admin: Told,
}

/// The hosts that an application received, one list a request.
enum Told {
    Http1(RecordingUpstream),
    Http2(SocketAddr, Arc<Mutex<Vec<Vec<String>>>>),
}

impl Told {
    async fn http2() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, told) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<_>>>::default());
        let record = Arc::clone(&told);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let record = Arc::clone(&record);
                let service = service_fn(move |request: Request<Incoming>| {
                    let authority = request.uri().authority().map(|it| (":authority".to_owned(), it.to_string()));
                    let fields = request.headers().iter();
                    let fields = fields.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
                    record.lock().unwrap().push(hosts_in(authority.into_iter().chain(fields)));
                    async { Ok::<_, std::convert::Infallible>(Response::new(String::new())) }
                });
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self::Http2(address, told)
    }

    fn url(&self) -> String {
        match self {
            Self::Http1(upstream) => upstream.url(),
            Self::Http2(address, _) => format!("h2c://{address}"),
        }
    }

    /// What was received since the last call.
    fn taken(&self) -> Vec<Vec<String>> {
        match self {
            Self::Http1(upstream) => {
                let told = upstream.seen().into_iter().map(|seen: Recorded| {
                    assert!(seen.target.starts_with('/'), "{}", seen.head);
                    hosts_in(seen.headers.into_iter())
                });
                let told = told.collect();
                upstream.forget_seen();
                told
            }
            Self::Http2(_, told) => std::mem::take(&mut told.lock().unwrap()),
        }
    }
}

/// Every host that an application could take from these fields, in any spelling.
fn hosts_in(fields: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let mut hosts = Vec::new();
    for (name, value) in fields {
        let name = name.to_ascii_lowercase().replace(['_', '.'], "-");
        if name == "forwarded" {
            let pairs = value.split([',', ';']).filter_map(|pair| pair.trim().strip_prefix("host="));
            hosts.extend(pairs.map(|host| host.trim_matches('"').to_owned()));
        } else if name.contains("host") || name == ":authority" {
            hosts.extend(value.split(',').map(|host| host.trim().to_owned()));
        }
    }
    hosts
}

impl Hosts {
    async fn start(trusted: bool, www: Told, admin: Told) -> Self {
        let toml = format!(
            "[server]\ntrusted_proxies = [{}]\n[route.app]\nhost = 'www.example'\naccess = 'public'\n\
             [route.admin]\nhost = 'admin.example'\nupstream = '{}'\naccess = 'public'",
            if trusted { "'127.0.0.0/8'" } else { "" },
            admin.url(),
        );
        let gateway = Gateway::in_front_of_url(&www.url()).with(&toml).start().await;
        Self { gateway, www, admin }
    }

    /// Sends a request and compares what the applications received with the host that was judged.
    async fn ask(&self, asked: &Asked, over_http2: bool) -> usize {
        if over_http2 {
            self.ask_http2(asked).await;
        } else {
            self.ask_http1(asked).await;
        }
        let mut arrived = 0;
        for (name, told) in [("www.example", self.www.taken()), ("admin.example", self.admin.taken())] {
            for hosts in told {
                arrived += 1;
                let judged = hosts.first().unwrap();
                assert!(judged.split(':').next() == Some(name), "{name} was told {hosts:?} by {asked:?}");
                // Host or `:authority`, X-Forwarded-Host, Forwarded.
                assert!(hosts.len() == 3 && hosts.iter().all(|host| host == judged), "{hosts:?} by {asked:?}");
            }
        }
        arrived
    }

    async fn ask_http1(&self, asked: &Asked) {
        let target = asked.authority.as_ref().map(|authority| format!("http://{authority}")).unwrap_or_default();
        let mut request = format!("GET {target}/x HTTP/1.1\r\n");
        let host = asked.host.iter().map(|host| ("host", host.clone()));
        for (name, value) in host.chain(asked.fields.clone()) {
            request += &format!("{name}: {value}\r\n");
        }
        Raw::once(self.gateway.address, request + "\r\n").await;
    }

    async fn ask_http2(&self, asked: &Asked) {
        let mut fields = vec![(":method", "GET"), (":scheme", "http"), (":path", "/x")];
        fields.extend(asked.authority.iter().map(|it| (":authority", it.as_str())));
        fields.extend(asked.host.iter().map(|it| ("host", it.as_str())));
        fields.extend(asked.fields.iter().map(|(name, value)| (*name, value.as_str())));
        let mut frames = Frames::connect(self.gateway.address).await;
        frames.asks(&fields).await;
        assert_ne!(frames.fate(1).await, Fate::Ended(None));
    }
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % count
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn host(&mut self) -> String {
        let name = self.one_of(&["www.example", "admin.example", "Admin.EXAMPLE", "admin.example.", "WWW.example"]);
        format!("{name}{}", self.one_of(&["", "", ":80", ":8080", ":443"]))
    }

    fn field(&mut self) -> Field {
        let (one, two) = (self.host(), self.host());
        match self.below(12) {
            0 => ("x-forwarded-host", one),
            1 => ("x-forwarded-host", format!("{one}, {two}")),
            2 => ("x_forwarded_host", one),
            3 => ("forwarded", format!("for=203.0.113.9;host=\"{one}\"")),
            4 => ("forwarded", format!("host=\"{one}\", host=\"{two}\";proto=https")),
            5 => ("x-forwarded-for", "203.0.113.9, 127.0.0.1".to_owned()),
            6 => ("x-forwarded-proto", "https".to_owned()),
            7 => ("x-forwarded-server", one),
            8 => ("x-forwarded-port", "8080".to_owned()),
            9 => ("x.forwarded.host", one),
            10 => ("x-forwarded-host", format!("{one}/../,{two}@x")),
            _ => ("forwarded", format!("HOST={}", one.split(':').next().unwrap())),
        }
    }

    fn request(&mut self, over_http2: bool) -> Asked {
        let host = self.host();
        let (authority, host) = match (over_http2, self.below(4)) {
            (true, 0) => (None, Some(host)),
            (true, 1) => (Some(host.clone()), Some(host)),
            (true, 2) => (Some(host.to_ascii_lowercase()), Some(host)),
            (true, _) => (Some(host), None),
            (false, 0) => (Some(host), Some(self.host())),
            (false, _) => (None, Some(host)),
        };
        let mut fields: Vec<Field> = (0..self.below(4)).map(|_| self.field()).collect();
        if !over_http2 && self.below(3) == 0 {
            let nominated = ["host", "close, Host, X-Forwarded-Host", "forwarded", "x-forwarded-host, x-forwarded-for"];
            fields.push(("connection", self.one_of(&nominated).to_owned()));
        }
        Asked { authority, host, fields }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_judged_host_is_the_forwarded_host_whatever_a_request_says() {
    // PX-10, PX-11, PX-43, FW-05
    let mut dice = Dice(7);
    for trusted in [false, true] {
        let http1 = (Told::Http1(RecordingUpstream::start().await), Told::Http1(RecordingUpstream::start().await));
        for (www, admin) in [http1, (Told::http2().await, Told::http2().await)] {
            let hosts = Hosts::start(trusted, www, admin).await;
            for over_http2 in [false, true] {
                let mut arrived = 0;
                for _ in 0..80 {
                    arrived += hosts.ask(&dice.request(over_http2), over_http2).await;
                }
                assert!(arrived > 40, "only {arrived} of 80 requests tell anything");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_host_opens_no_other_host_of_its_application() {
    // One application behind two hosts: whoever is let in as www is never taken for a visitor of admin (AT-PM-17).
    let upstream = RecordingUpstream::start().await;
    let toml = format!(
        "[server]\ntrusted_proxies = ['127.0.0.1/32']\n[route.app]\nhost = 'www.example'\naccess = 'public'\n\
         [route.admin]\nhost = 'admin.example'\nupstream = '{}'\naccess = 'deny'",
        upstream.url()
    );
    let gateway = Gateway::in_front_of(&upstream).with(&toml).start().await;
    for (fields, status) in [
        ("", 403),
        ("X-Forwarded-Host: www.example\r\n", 200),
        ("X-Forwarded-Host: www.example\r\nConnection: host\r\n", 200),
        ("Forwarded: for=203.0.113.9;host=www.example\r\n", 200),
        ("X-Forwarded-Host: admin.example, www.example\r\n", 200),
        ("X-Forwarded-Host: www.example, admin.example\r\n", 403),
        ("X-Forwarded-Host: www.example/\r\n", 403),
    ] {
        upstream.forget_seen();
        let request = format!("GET / HTTP/1.1\r\nHost: admin.example\r\n{fields}\r\n");
        assert_eq!(Raw::once(gateway.address, request).await.status, status, "{fields}");
        assert_eq!(upstream.seen().len(), usize::from(status == 200), "{fields}");
        for seen in upstream.seen() {
            assert_eq!((seen.all("host"), seen.all("x-forwarded-host")), (vec!["www.example"], vec!["www.example"]));
            assert!(!seen.head.contains("admin"), "{}", seen.head);
        }
    }
}
