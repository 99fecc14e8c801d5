//! Which connection, and which address, a request takes.

use super::*;

#[test]
fn connections_are_used_again() {
    run(async {
        let connections = Count::default();
        let count = connections.clone();
        let port = application(async move |_, mut stream: TcpStream| {
            count.add();
            while !head(&mut stream).await.is_empty() {
                stream.write_all(OK.as_bytes()).await.unwrap();
            }
        })
        .await;
        let front = Front::to(port).await;
        for _ in 0..5 {
            assert!(front.get().await.ends_with("ok"));
        }
        assert_eq!(connections.get(), 1);
        assert_eq!(front.idle(), 1);
    });
}

#[test]
fn a_small_answer_costs_no_task_no_timer_and_no_box() {
    run(async {
        let upstream = Upstream::new(settings(vec![tcp(answering(OK).await)])).unwrap();
        let forwarder = Forwarder::new(0, Budget::of(1000));
        let mut request = Request::get("/").header("host", "app").body(Body::Empty).unwrap();
        let response = forwarder.forward(&upstream, &mut request, None, true).await.unwrap();
        // The connection is back before anybody has read the body, and the body is hyper's own.
        assert!(matches!(response.body(), Body::Incoming(_)));
        assert_eq!(forwarder.pools(&upstream).by_address.iter().map(|pool| pool.idle()).sum::<usize>(), 1);
    });
}

#[test]
fn a_connection_comes_back_when_a_long_answer_has_been_read() {
    run(async {
        let connections = Count::default();
        let count = connections.clone();
        let port = application(async move |_, mut stream: TcpStream| {
            count.add();
            while !head(&mut stream).await.is_empty() {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n").await.unwrap();
                stream.write_all(&vec![b'x'; 1_000_000]).await.unwrap();
            }
        })
        .await;
        let front = Front::to(port).await;
        for _ in 0..3 {
            assert!(front.get().await.len() > 1_000_000);
            tokio::task::yield_now().await;
        }
        assert_eq!(connections.get(), 1);
    });
}

#[test]
fn leftover_bytes_end_the_connection_and_are_nobody_s_answer() {
    run(async {
        let port = application(async |nth, mut stream: TcpStream| {
            head(&mut stream).await;
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\no{nth}k");
            let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
            stream.write_all(format!("{answer}{poison}").as_bytes()).await.unwrap();
            rest(&mut stream).await;
        })
        .await;
        let front = Front::to(port).await;
        // PX-32, AT-SM-19
        assert!(front.get().await.ends_with("\r\n\r\no0k"));
        assert!(front.get().await.ends_with("\r\n\r\no1k"), "a new connection, not the poisoned one");
    });
}

#[test]
fn bytes_that_nobody_asked_for_are_nobody_s_answer() {
    run(async {
        let (poison, poisoned) = tokio::sync::oneshot::channel::<()>();
        let poisoned = Cell::new(Some(poisoned));
        let port = application(async move |nth, mut stream: TcpStream| {
            head(&mut stream).await;
            stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\no{nth}k").as_bytes()).await.unwrap();
            if let Some(poisoned) = poisoned.take() {
                poisoned.await.unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison").await.unwrap();
            }
            rest(&mut stream).await;
        })
        .await;
        let front = Front::to(port).await;
        assert!(front.get().await.ends_with("o0k"));
        poison.send(()).unwrap();
        // PX-32
        assert!(front.get().await.ends_with("o1k"));
    });
}

#[test]
fn a_request_that_was_never_sent_goes_out_on_a_new_connection() {
    run(async {
        let requests = Count::default();
        let count = requests.clone();
        let port = application(async move |_, mut stream: TcpStream| {
            // One answer for each connection, then closed without a word: the keep-alive race.
            let request = head(&mut stream).await;
            if request.starts_with("POST") {
                until(&mut stream, "abc").await;
            }
            count.add();
            stream.write_all(OK.as_bytes()).await.unwrap();
        })
        .await;
        let front = Front::to(port).await;
        assert!(front.get().await.ends_with("ok"));
        // PX-33: also a POST, because nothing of it was read or sent.
        let post = "POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
        for _ in 0..3 {
            assert!(front.exchange(post).await.ends_with("ok"));
        }
        assert_eq!(requests.get(), 4);
    });
}

#[test]
fn a_request_that_was_sent_is_never_sent_again() {
    run(async {
        let requests = Count::default();
        let count = requests.clone();
        let port = application(async move |_, mut stream: TcpStream| {
            assert!(!head(&mut stream).await.is_empty());
            stream.write_all(OK.as_bytes()).await.unwrap();
            // The second request on the connection is read, and then the application dies.
            if !head(&mut stream).await.is_empty() {
                count.add();
            }
        })
        .await;
        let front = Front::to(port).await;
        assert!(front.get().await.ends_with("ok"));
        // PX-33
        let request = "POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
        let answer = front.exchange(request).await;
        assert!(answer.contains("x-code: upstream_closed\r\n"), "{answer}");
        assert_eq!(requests.get(), 1);
    });
}

#[test]
fn addresses_take_turns() {
    run(async {
        let first = answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1").await;
        let second = answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2").await;
        let front = Front::of(settings(vec![tcp(first), tcp(second)])).await;
        let mut turns = String::new();
        for _ in 0..4 {
            turns.push_str(front.get().await.rsplit_once("\r\n\r\n").unwrap().1);
        }
        assert_eq!(turns, "1212");
    });
}

#[test]
fn the_next_address_is_tried_when_connecting_failed_and_the_bad_one_put_aside() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dead = listener.local_addr().unwrap().port();
        drop(listener);
        let alive = answering(OK).await;
        let front = Front::of(UpstreamSettings { eject_after: 2, ..settings(vec![tcp(dead), tcp(alive)]) }).await;
        let post = "POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
        for _ in 0..4 {
            assert!(front.exchange(post).await.starts_with("HTTP/1.1 200 OK\r\n"));
        }
        let aside: Vec<_> = front.upstream.aside().into_iter().map(|address| &*address.authority).collect();
        assert_eq!(aside, [format!("127.0.0.1:{dead}")]);
    });
}

#[test]
fn the_next_address_is_not_tried_when_the_first_may_have_seen_the_request() {
    run(async {
        let broken = application(async |_, mut stream: TcpStream| {
            head(&mut stream).await;
        })
        .await;
        let requests = Count::default();
        let count = requests.clone();
        let good = application(async move |_, mut stream: TcpStream| {
            head(&mut stream).await;
            count.add();
            stream.write_all(OK.as_bytes()).await.unwrap();
        })
        .await;
        let front = Front::of(settings(vec![tcp(broken), tcp(good)])).await;
        assert!(front.get().await.contains("x-code: upstream_closed\r\n"));
        assert_eq!(requests.get(), 0);
    });
}

#[test]
fn unused_connections_are_closed_in_time() {
    run(async {
        let (port, told) = left_alone(OK).await;
        let front = Front::of(UpstreamSettings { pool_idle: SHORT, ..settings(vec![tcp(port)]) }).await;
        assert!(front.get().await.ends_with("ok"));
        told.await.unwrap();
        assert_eq!(front.idle(), 0);
    });
}

#[test]
fn a_client_that_leaves_takes_its_request_with_it() {
    run(async {
        let (port, told) = left_alone("").await;
        let mut client = Front::to(port).await.connect().await;
        client.write_all(b"GET / HTTP/1.1\r\nHost: app\r\n\r\n").await.unwrap();
        let nothing = timeout(SHORT, client.read_u8()).await;
        assert!(nothing.is_err());
        drop(client);
        assert_eq!(told.await.unwrap(), "");
    });
}

#[test]
fn what_lies_unused_is_let_go_for_who_waits_and_where_room_is_scarce_nothing_is_kept() {
    // AT-SM-25: connections to applications are file descriptors, too
    run(async {
        let budget = Budget::of(2);
        let forwarder = Forwarder::new(0, Arc::clone(&budget));
        let [one, other] = [
            Upstream::new(settings(vec![tcp(answering(OK).await)])).unwrap(),
            Upstream::new(settings(vec![tcp(answering(OK).await)])).unwrap(),
        ];
        let ask = async |upstream| {
            let mut request = Request::get("/").header("host", "app").body(Body::Empty).unwrap();
            forwarder.forward(upstream, &mut request, None, true).await.unwrap().into_body().collect().await.unwrap();
        };
        let idle = |upstream| forwarder.pools(upstream).by_address.iter().map(|pool| pool.idle()).sum::<usize>();
        ask(&one).await;
        assert_eq!(idle(&one), 1, "one of two");
        let held = budget.slot(true, SHORT).await.unwrap();
        ask(&other).await;
        assert_eq!((idle(&one), idle(&other)), (0, 0));
        drop(held);
    });
}

#[test]
fn without_room_a_request_is_503_and_no_application_is_to_blame() {
    run(async {
        let budget = Budget::of(1);
        let _held = budget.slot(true, SHORT).await.unwrap();
        let forwarder = Forwarder::new(0, budget);
        let upstream =
            Upstream::new(UpstreamSettings { connect_timeout: SHORT, ..settings(vec![tcp(answering(OK).await)]) })
                .unwrap();
        let mut request = Request::get("/").header("host", "app").body(Body::Empty).unwrap();
        let error = forwarder.forward(&upstream, &mut request, None, true).await.err().unwrap();
        assert_eq!(
            (error.status().as_u16(), error.code(), error.is_upstream_fault()),
            (503, "upstream_no_room", false)
        );
    });
}
