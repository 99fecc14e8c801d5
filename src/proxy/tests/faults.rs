//! Applications that misbehave, and clients that do.

use super::*;

/// In front of an application that answers with `answer` and then keeps its connection open.
async fn keeping_open(answer: impl Into<Vec<u8>>) -> Front {
    let answer = answer.into();
    let port = application(async move |_, mut stream: TcpStream| {
        head(&mut stream).await;
        let _ = stream.write_all(&answer).await;
        rest(&mut stream).await;
    })
    .await;
    Front::to(port).await
}

#[track_caller]
fn assert_refused(answer: &str, status: u16, code: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(answer.contains(&format!("\r\nx-code: {code}\r\n")), "{answer}");
}

#[test]
fn faulty_heads_are_502() {
    run(async {
        // AT-SM-19
        let faults = [
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nabc",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 000 Nothing\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 999 Everything\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX-A: b\r\n c: folded\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX A: b\r\nContent-Length: 0\r\n\r\n",
            "ok, no status line\r\n\r\n",
            "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
            // PX-14: 101 only where it was asked for.
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        ];
        for fault in faults {
            let front = keeping_open(fault).await;
            assert_refused(&front.get().await, 502, "upstream_bad_response");
            assert_eq!(front.idle(), 0, "the connection may not be used again after {fault:?}");
        }
    });
}

#[test]
fn a_head_of_ten_megabytes_is_502() {
    run(async {
        let mut answer = b"HTTP/1.1 200 OK\r\nX-Large: ".to_vec();
        answer.resize(10 << 20, b'x');
        // AT-SM-19
        assert_refused(&keeping_open(answer).await.get().await, 502, "upstream_bad_response");
    });
}

#[test]
fn an_answer_cut_short_is_cut_for_the_browser_too() {
    run(async {
        // PX-31, AT-SM-26
        let port = application(async |_, mut stream: TcpStream| {
            head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n").await.unwrap();
        })
        .await;
        let answer = Front::to(port).await.get().await;
        assert!(answer.ends_with("4\r\npart\r\n"), "the last chunk must not come: {answer}");
        let port = application(async |_, mut stream: TcpStream| {
            head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npart").await.unwrap();
        })
        .await;
        let mut client = Front::to(port).await.connect().await;
        // Without Connection: close, so that it is the fault that closes.
        client.write_all(b"GET / HTTP/1.1\r\nHost: app\r\n\r\n").await.unwrap();
        let answer = rest(&mut client).await;
        assert!(answer.contains("content-length: 9\r\n") && answer.ends_with("part"), "{answer}");
    });
}

#[test]
fn who_cannot_be_reached_is_502() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        // PX-36
        assert_refused(&Front::to(port).await.get().await, 502, "upstream_connect");
    });
}

#[test]
fn who_closes_before_the_answer_is_502() {
    run(async {
        let port = application(async |_, mut stream: TcpStream| {
            head(&mut stream).await;
        })
        .await;
        assert_refused(&Front::to(port).await.get().await, 502, "upstream_closed");
    });
}

#[test]
fn who_never_answers_is_504_and_loses_its_connection() {
    run(async {
        let (port, told) = left_alone("").await;
        let front = Front::of(UpstreamSettings { first_byte_timeout: SHORT, ..settings(vec![tcp(port)]) }).await;
        // PX-36, AT-SM-26
        assert_refused(&front.get().await, 504, "upstream_first_byte_timeout");
        assert_eq!(told.await.unwrap(), "");
        assert_eq!(front.idle(), 0);
    });
}

#[test]
fn endless_informational_answers_are_no_answer() {
    run(async {
        let port = application(async |_, mut stream: TcpStream| {
            head(&mut stream).await;
            while stream.write_all(&b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100)).await.is_ok() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let front = Front::to(port).await;
        // PX-15, AT-SM-19: long before `first_byte`, which is a minute here
        let answer = front.get().await;
        assert_refused(&answer, 502, "upstream_bad_response");
        assert_eq!(front.idle(), 0);
    });
}

#[test]
fn informational_answers_do_not_prolong_the_wait_for_the_final_one() {
    run(async {
        let port = application(async |_, mut stream: TcpStream| {
            head(&mut stream).await;
            while stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\n").await.is_ok() {
                sleep(SHORT / 10).await;
            }
        })
        .await;
        let front = Front::of(UpstreamSettings { first_byte_timeout: SHORT, ..settings(vec![tcp(port)]) }).await;
        // PX-15
        assert_refused(&front.get().await, 504, "upstream_first_byte_timeout");
    });
}

#[test]
fn what_may_come_before_a_head_is_counted_anew_for_each_request_and_never_in_a_body() {
    run(async {
        let port = application(async |_, mut stream: TcpStream| {
            while !head(&mut stream).await.is_empty() {
                let hints = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(4000);
                let answer =
                    format!("{hints}HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{}", "x".repeat(1_000_000));
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        })
        .await;
        let front = Front::to(port).await;
        for _ in 0..4 {
            assert!(front.get().await.ends_with("xxx"));
        }
    });
}

#[test]
fn an_answer_that_falls_silent_is_cut() {
    run(async {
        let port = application(async |_, mut stream: TcpStream| {
            head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n").await.unwrap();
            rest(&mut stream).await;
        })
        .await;
        let front = Front::of(UpstreamSettings { idle_timeout: SHORT, ..settings(vec![tcp(port)]) }).await;
        let answer = front.get().await;
        assert!(answer.ends_with("4\r\npart\r\n"), "{answer}");
    });
}

#[test]
fn a_client_that_falls_silent_is_408() {
    run(async {
        let port = application(async |_, mut stream: TcpStream| {
            rest(&mut stream).await;
        })
        .await;
        let front = Front::of(UpstreamSettings { idle_timeout: SHORT, ..settings(vec![tcp(port)]) }).await;
        let mut client = front.connect().await;
        client.write_all(b"POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 9\r\n\r\npart").await.unwrap();
        assert_refused(&rest(&mut client).await, 408, "request_body_timeout");
    });
}

#[test]
fn the_first_byte_is_awaited_from_the_end_of_the_upload() {
    run(async {
        let port = application(async |_, mut stream: TcpStream| {
            rest(&mut stream).await;
        })
        .await;
        let limits = UpstreamSettings { first_byte_timeout: SHORT, ..settings(vec![tcp(port)]) };
        let front = Front::of(limits).await;
        let mut client = front.connect().await;
        client.write_all(b"POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 9\r\n\r\npart").await.unwrap();
        let early = timeout(SHORT * 4, client.read_u8()).await;
        assert!(early.is_err(), "the upload is still going on");
        client.write_all(b" rest").await.unwrap();
        let answer = until(&mut client, "\r\n\r\n").await;
        assert_refused(&answer, 504, "upstream_first_byte_timeout");
    });
}

#[test]
fn a_body_over_the_limit_is_413() {
    run(async {
        let port = application(async |_, mut stream: TcpStream| {
            rest(&mut stream).await;
        })
        .await;
        let request = "POST / HTTP/1.1\r\nHost: app\r\nX-Limit: 4\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nabcde\r\n0\r\n\r\n";
        assert_refused(&Front::to(port).await.exchange(request).await, 413, "request_body_too_large");
    });
}

#[test]
fn a_client_that_breaks_off_its_upload_breaks_off_the_application_s() {
    run(async {
        let (tell, told) = tokio::sync::oneshot::channel();
        let tell = Cell::new(Some(tell));
        let port = application(async move |_, mut stream: TcpStream| {
            tell.take().unwrap().send(rest(&mut stream).await).unwrap();
        })
        .await;
        let mut client = Front::to(port).await.connect().await;
        client
            .write_all(b"POST / HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n")
            .await
            .unwrap();
        drop(client);
        let received = told.await.unwrap();
        assert!(!received.ends_with("0\r\n\r\n"), "a part must not look like the whole: {received}");
    });
}
