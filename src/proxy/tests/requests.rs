//! What the application receives.

use super::*;

/// Sends one request and gives back what the application read of it, the body up to `end`.
async fn received(settings: impl FnOnce(u16) -> UpstreamSettings, request: &str, end: &'static str) -> String {
    let (tell, told) = tokio::sync::oneshot::channel();
    let tell = Cell::new(Some(tell));
    let port = application(async move |_, mut stream: TcpStream| {
        let request = until(&mut stream, end).await;
        stream.write_all(OK.as_bytes()).await.unwrap();
        tell.take().unwrap().send(request).unwrap();
        rest(&mut stream).await;
    })
    .await;
    let front = Front::of(settings(port)).await;
    let answer = front.exchange(request).await;
    assert!(answer.contains(" 200 OK\r\n"), "{answer}");
    told.await.unwrap()
}

fn plain(port: u16) -> UpstreamSettings {
    settings(vec![tcp(port)])
}

#[test]
fn target_and_end_to_end_fields_arrive_byte_for_byte() {
    run(async {
        let request = "GET /a%2Fb/%c3%a9/;x?q=%41&&r=a+b HTTP/1.1\r\nHost: app.example\r\nX-Own: 1\r\nAccept: a\r\nX-Own: 2\r\nRange: bytes=0-1\r\nIf-None-Match: \"x\"\r\nAuthorization: Basic eA==\r\nConnection: close\r\n\r\n";
        let received = received(plain, request, "\r\n\r\n").await;
        // PX-19, PX-35, PX-04
        assert_eq!(
            received,
            "GET /a%2Fb/%c3%a9/;x?q=%41&&r=a+b HTTP/1.1\r\nhost: app.example\r\nx-own: 1\r\nx-own: 2\r\naccept: a\r\nrange: bytes=0-1\r\nif-none-match: \"x\"\r\nauthorization: Basic eA==\r\nvia: 1.1 here\r\n\r\n"
        );
    });
}

#[test]
fn a_base_path_is_put_before_the_path_and_host_is_as_set() {
    run(async {
        let request = "GET /x?y HTTP/1.1\r\nHost: app.example\r\nX-Forwarded-Host: evil\r\nConnection: close\r\n\r\n";
        let rewritten = |host: HostHeader| {
            move |port| {
                let address = UpstreamAddress { mapping: PathMapping::new("", "/base"), ..tcp(port) };
                UpstreamSettings { host, ..settings(vec![address]) }
            }
        };
        // PX-11
        let text = received(rewritten(HostHeader::Preserve), request, "\r\n\r\n").await;
        assert_eq!(text, "GET /base/x?y HTTP/1.1\r\nhost: app.example\r\nvia: 1.1 here\r\n\r\n");
        let text = received(rewritten(HostHeader::Fixed("fixed.example".to_owned())), request, "\r\n\r\n").await;
        assert!(text.starts_with("GET /base/x?y HTTP/1.1\r\nhost: fixed.example\r\n"), "{text}");
        let text = received(rewritten(HostHeader::Upstream), request, "\r\n\r\n").await;
        assert!(text.contains("\r\nhost: 127.0.0.1:"), "{text}");
    });
}

#[test]
fn the_authority_of_the_target_is_never_sent() {
    run(async {
        // Whoever judged the request has written `Host` (PX-10, PX-11).
        let request = "GET http://other.example/x HTTP/1.1\r\nHost: judged.example\r\nConnection: close\r\n\r\n";
        let text = received(plain, request, "\r\n\r\n").await;
        assert_eq!(text, "GET /x HTTP/1.1\r\nhost: judged.example\r\nvia: 1.1 here\r\n\r\n");
    });
}

#[test]
fn an_http_1_0_request_becomes_ours() {
    run(async {
        let text = received(plain, "GET / HTTP/1.0\r\nHost: app\r\n\r\n", "\r\n\r\n").await;
        assert_eq!(text, "GET / HTTP/1.1\r\nhost: app\r\nvia: 1.0 here\r\n\r\n");
    });
}

#[test]
fn unknown_methods_pass() {
    run(async {
        // PX-39
        let text = received(plain, "BREW /pot HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n", "\r\n\r\n").await;
        assert!(text.starts_with("BREW /pot HTTP/1.1\r\n"), "{text}");
    });
}

#[test]
fn a_chunked_upload_stays_chunked_and_keeps_only_announced_harmless_trailers() {
    run(async {
        let request = "POST / HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nTrailer: X-Sum, X-Forwarded-User, Content-Length, X_Team\r\nConnection: close, TE\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\nX-Forwarded-User: admin\r\nX_Team: admin\r\nX-Other: 2\r\nContent-Length: 5\r\n\r\n";
        let text = received(plain, request, "\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n").await;
        // PX-17, PX-18, AT-HS-07
        assert_eq!(
            sorted(&text),
            "POST / HTTP/1.1\r\nconnection: TE\r\nhost: app\r\nte: trailers\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\nvia: 1.1 here\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 1\r\n\r\n"
        );
    });
}

#[test]
fn a_get_with_a_body_keeps_it() {
    run(async {
        // AT-SM-05: hyper alone would send the head without the body.
        let request = "GET / HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        let text = received(plain, request, "3\r\nabc\r\n0\r\n\r\n").await;
        assert!(text.contains("transfer-encoding: chunked\r\n"), "{text}");
        let request = "DELETE / HTTP/1.1\r\nHost: app\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
        let text = received(plain, request, "\r\n\r\nabc").await;
        assert!(text.contains("content-length: 3\r\n"), "{text}");
    });
}

#[test]
fn an_upload_streams() {
    run(async {
        let port = application(async |_, mut stream: TcpStream| {
            until(&mut stream, "5\r\nfirst\r\n").await;
            // Only now does the client send the rest: it waits for this.
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nseen\r\n").await.unwrap();
            until(&mut stream, "0\r\n\r\n").await;
            stream.write_all(b"0\r\n\r\n").await.unwrap();
            rest(&mut stream).await;
        })
        .await;
        let mut client = Front::to(port).await.connect().await;
        let head = b"POST / HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
        client.write_all(head).await.unwrap();
        until(&mut client, "4\r\nseen\r\n").await;
        client.write_all(b"4\r\nlast\r\n0\r\n\r\n").await.unwrap();
        assert_eq!(until(&mut client, "0\r\n\r\n").await, "0\r\n\r\n");
    });
}

#[test]
fn expect_100_waits_for_the_application() {
    run(async {
        let port = application(async |_, mut stream: TcpStream| {
            let request = head(&mut stream).await;
            assert!(request.contains("\r\nexpect: 100-continue\r\n"), "{request}");
            let nothing_yet = timeout(SHORT, stream.read_u8()).await;
            assert!(nothing_yet.is_err(), "the body was sent before it was asked for");
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
            until(&mut stream, "abc").await;
            stream.write_all(OK.as_bytes()).await.unwrap();
            rest(&mut stream).await;
        })
        .await;
        let mut client = Front::to(port).await.connect().await;
        let request =
            b"PUT / HTTP/1.1\r\nHost: app\r\nContent-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n";
        client.write_all(request).await.unwrap();
        // PX-13: the client is asked for the body only when the application has asked.
        assert_eq!(head(&mut client).await, "HTTP/1.1 100 Continue\r\n\r\n");
        client.write_all(b"abc").await.unwrap();
        assert!(rest(&mut client).await.starts_with("HTTP/1.1 200 OK\r\n"));
    });
}

#[test]
fn a_refused_expectation_never_asks_the_client_for_the_body() {
    run(async {
        let port = application(async |_, mut stream: TcpStream| {
            head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            assert_eq!(rest(&mut stream).await, "", "no body");
        })
        .await;
        let request =
            "PUT / HTTP/1.1\r\nHost: app\r\nContent-Length: 3\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n";
        // PX-13
        assert!(Front::to(port).await.exchange(request).await.starts_with("HTTP/1.1 403 Forbidden\r\n"));
    });
}

#[test]
fn an_unknown_expectation_is_417() {
    run(async {
        let front = Front::to(answering(OK).await).await;
        // PX-13
        let answer =
            front.exchange("GET / HTTP/1.1\r\nHost: app\r\nExpect: miracles\r\nConnection: close\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 417 "), "{answer}");
    });
}

#[test]
fn a_unix_socket_is_an_address_like_any_other() {
    run(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.sock");
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        tokio::task::spawn_local(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            head(&mut stream).await;
            stream.write_all(OK.as_bytes()).await.unwrap();
            rest(&mut stream).await;
        });
        let address = UpstreamAddress { transport: UpstreamTransport::Unix(path), ..tcp(1) };
        assert!(Front::of(settings(vec![address])).await.get().await.ends_with("\r\n\r\nok"));
    });
}
