//! What the browser receives.

use super::*;

/// What the browser gets when the application says `answer` and closes.
async fn passed_on(request: &str, answer: &'static str) -> String {
    let port = application(async move |_, mut stream: TcpStream| {
        head(&mut stream).await;
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    Front::to(port).await.exchange(request).await
}

const GET: &str = "GET / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n";

#[test]
fn hop_by_hop_fields_and_our_cookies_stay_behind() {
    run(async {
        let answer = "HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nConnection: keep-alive, X-Hop, Set-Cookie, Cache-Control\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nUpgrade: h2c\r\nProxy-Authenticate: Basic\r\nCache-Control: no-store\r\nSet-Cookie: a=1\r\nSet-Cookie: __Host-vestibule=evil; Path=/\r\nSet-Cookie: b=2, c\r\nETag: \"x\"\r\nContent-Encoding: br\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nVia: 1.1 inner\r\n\r\nok";
        // PX-01, PX-03, PX-04, PX-19, PX-34, PX-38, AT-SM-29, CK-19
        assert_eq!(
            sorted(&passed_on(GET, answer).await),
            "HTTP/1.1 200 Fine\r\ncache-control: no-store\r\nconnection: close\r\ncontent-encoding: br\r\ncontent-length: 2\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\netag: \"x\"\r\nset-cookie: a=1\r\nset-cookie: b=2, c\r\nvia: 1.1 inner\r\nvia: 1.1 here\r\n\r\nok"
        );
    });
}

#[test]
fn answers_without_a_body_have_none_and_keep_their_length() {
    run(async {
        // PX-16
        let head = "HEAD / HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n";
        let answer = passed_on(head, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n").await;
        assert!(answer.contains("\r\ncontent-length: 10\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
        let answer = passed_on(head, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        assert!(!answer.contains("content-length") && answer.ends_with("\r\n\r\n"), "{answer}");
        let answer = passed_on(GET, "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 10\r\n\r\n").await;
        assert!(
            answer.starts_with("HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\n") && answer.ends_with("\r\n\r\n"),
            "{answer}"
        );
        let answer = passed_on(GET, "HTTP/1.1 204 No Content\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 204 No Content\r\n") && !answer.contains("chunked"), "{answer}");
        // PX-36
        assert!(answer.contains("\r\ndate: "), "{answer}");
    });
}

#[test]
fn partial_and_conditional_answers_pass_unchanged() {
    run(async {
        // PX-35
        let answer = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\nRetry-After: 7\r\n\r\nok";
        let passed = passed_on(GET, answer).await;
        assert!(
            passed.starts_with("HTTP/1.1 206 Partial Content\r\ncontent-range: bytes 0-1/9\r\ncontent-length: 2\r\n"),
            "{passed}"
        );
        // PX-37
        assert!(passed.contains("\r\nretry-after: 7\r\n"), "{passed}");
    });
}

#[test]
fn a_final_answer_follows_any_number_of_informational_ones() {
    run(async {
        // PX-14, PX-15: they end here, see the module's documentation.
        let answer = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let passed = passed_on(GET, answer).await;
        assert!(passed.starts_with("HTTP/1.1 200 OK\r\n") && passed.ends_with("\r\n\r\nok"), "{passed}");
    });
}

#[test]
fn trailers_pass_but_those_that_would_change_the_head() {
    run(async {
        let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Set-Cookie\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a=1\r\n\r\n";
        let request = "GET / HTTP/1.1\r\nHost: app\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n";
        // PX-17
        let passed = passed_on(request, answer).await;
        assert!(passed.contains("\r\ntrailer: x-sum\r\n"), "{passed}");
        assert!(passed.ends_with("\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n"), "{passed}");
    });
}

#[test]
fn events_pass_one_by_one() {
    run(async {
        let (next, wait) = tokio::sync::oneshot::channel();
        let wait = Cell::new(Some(wait));
        let port = application(async move |_, mut stream: TcpStream| {
            head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n").await.unwrap();
            wait.take().unwrap().await.unwrap();
            stream.write_all(b"data: 2\n\n").await.unwrap();
        })
        .await;
        let mut client = Front::to(port).await.connect().await;
        client.write_all(GET.as_bytes()).await.unwrap();
        // WS-09: the second event is sent only when the first has arrived.
        until(&mut client, "data: 1\n\n").await;
        next.send(()).unwrap();
        assert!(until(&mut client, "data: 2\n\n").await.ends_with("data: 2\n\n"));
    });
}

#[test]
fn an_http_1_0_answer_becomes_ours() {
    run(async {
        let passed = passed_on(GET, "HTTP/1.0 200 OK\r\n\r\nto the end").await;
        assert!(passed.starts_with("HTTP/1.1 200 OK\r\n") && passed.contains("to the end"), "{passed}");
    });
}

#[test]
fn a_slow_reader_slows_the_application_down() {
    run(async {
        let (tell, told) = tokio::sync::oneshot::channel();
        let tell = Cell::new(Some(tell));
        let port = application(async move |_, mut stream: TcpStream| {
            head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n").await.unwrap();
            let block = vec![b'x'; 1 << 20];
            let mut written = 0;
            while timeout(SHORT * 4, stream.write_all(&block)).await.is_ok_and(|wrote| wrote.is_ok()) {
                written += 1;
            }
            tell.take().unwrap().send(written).unwrap();
        })
        .await;
        let mut client = Front::to(port).await.connect().await;
        client.write_all(GET.as_bytes()).await.unwrap();
        head(&mut client).await;
        // Nothing more is read: the sockets' buffers fill, and then the application must wait.
        let written = told.await.unwrap();
        assert!(written < 64, "{written} MiB of 1024 were taken from the application for a client that reads nothing");
    });
}

/// An answer with this many header fields, `Content-Length` among them.
fn with_fields(count: usize) -> &'static str {
    let fields: String =
        (2..=count)
            .map(|n| {
                if n % 2 == 0 {
                    format!("Link: </s{n}.css>; rel=preload\r\n")
                } else {
                    format!("Set-Cookie: c{n}=v\r\n")
                }
            })
            .collect();
    Box::leak(format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{fields}\r\nok").into_boxed_str())
}

#[test]
fn an_answer_may_have_256_header_fields_and_one_with_more_is_refused_by_that_number() {
    run(async {
        for count in [100, 101, 140, 255, 256] {
            let answer = passed_on(GET, with_fields(count)).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{count}: {answer}");
            assert_eq!(answer.matches("\r\nlink: ").count() + answer.matches("\r\nset-cookie: ").count(), count - 1);
        }
        for count in [257, 1000] {
            let answer = passed_on(GET, with_fields(count)).await;
            assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("256 fields"), "{count}: {answer}");
        }
    });
}
