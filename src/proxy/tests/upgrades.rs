//! WebSockets, and what is not one.

use super::*;

const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nHost: app\r\nConnection: keep-alive, Upgrade, X-Forwarded-User\r\nUpgrade: websocket\r\nX-Forwarded-User: admin\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, bearer.x\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n";

/// An application that takes the handshake and then says everything back.
async fn echo() -> u16 {
    application(async |_, mut stream: TcpStream| {
        let request = head(&mut stream).await;
        // WS-03, AT-WS-07
        assert_eq!(
            sorted(&request),
            "GET /chat HTTP/1.1\r\nconnection: Upgrade\r\nhost: app\r\nsec-websocket-extensions: permessage-deflate\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: chat, bearer.x\r\nsec-websocket-version: 13\r\nupgrade: websocket\r\nvia: 1.1 here\r\n\r\n"
        );
        stream.write_all(SWITCHED.as_bytes()).await.unwrap();
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await
}

async fn switched(front: &Front, early: &str) -> TcpStream {
    let mut client = front.connect().await;
    client.write_all(format!("{HANDSHAKE}{early}").as_bytes()).await.unwrap();
    let answer = head(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{answer}");
    for field in [
        "upgrade: websocket",
        "connection: Upgrade",
        "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "sec-websocket-protocol: chat",
    ] {
        assert_eq!(answer.matches(&format!("\r\n{field}\r\n")).count(), 1, "{field} in {answer}");
    }
    client
}

#[test]
fn a_websocket_carries_bytes_both_ways_until_one_side_ends() {
    run(async {
        let front = Front::to(echo().await).await;
        // AT-WS-05: what was sent right behind the handshake waits for the 101, and is not lost.
        let mut client = switched(&front, "early ").await;
        client.write_all(b"late").await.unwrap();
        assert_eq!(until(&mut client, "late").await, "early late");
        // WS-06: half-close travels.
        client.shutdown().await.unwrap();
        assert_eq!(rest(&mut client).await, "");
        assert_eq!(front.idle(), 0);
    });
}

#[test]
fn an_answer_other_than_101_is_an_answer() {
    run(async {
        let port = application(async |_, mut stream: TcpStream| {
            head(&mut stream).await;
            let answer = "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nContent-Length: 2\r\n\r\nno";
            stream.write_all(answer.as_bytes()).await.unwrap();
            assert_eq!(rest(&mut stream).await, "", "no bytes are tunnelled before the 101");
        })
        .await;
        let mut client = Front::to(port).await.connect().await;
        client.write_all(format!("{HANDSHAKE}secret").as_bytes()).await.unwrap();
        // WS-03, WS-05
        let answer = until(&mut client, "no").await;
        assert!(answer.starts_with("HTTP/1.1 426 Upgrade Required\r\nsec-websocket-version: 13\r\n"), "{answer}");
    });
}

#[test]
fn only_websocket_is_upgraded_and_only_when_the_request_is_a_handshake() {
    run(async {
        let upgrades = [
            // WS-04, AT-WS-04
            "GET / HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
            "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: TLS/1.0\r\n",
            "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: foo\r\n",
            "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n",
            // WS-10
            "GET / HTTP/1.1\r\nUpgrade: websocket\r\n",
            "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n",
            "POST / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n",
        ];
        for upgrade in upgrades {
            let port = application(async |_, mut stream: TcpStream| {
                let request = head(&mut stream).await;
                for gone in ["upgrade", "connection", "http2-settings"] {
                    assert!(!request.contains(&format!("\r\n{gone}:")), "{request}");
                }
                stream.write_all(OK.as_bytes()).await.unwrap();
            })
            .await;
            let mut client = Front::to(port).await.connect().await;
            client.write_all(format!("{upgrade}Host: app\r\n\r\nxx").as_bytes()).await.unwrap();
            let answer = until(&mut client, "ok").await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{upgrade}: {answer}");
        }
    });
}

#[test]
fn switching_to_something_else_is_502() {
    run(async {
        let port = application(async |_, mut stream: TcpStream| {
            head(&mut stream).await;
            stream
                .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
                .await
                .unwrap();
            rest(&mut stream).await;
        })
        .await;
        let mut client = Front::to(port).await.connect().await;
        client.write_all(HANDSHAKE.as_bytes()).await.unwrap();
        let answer = head(&mut client).await;
        // PX-14
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    });
}

#[test]
fn a_tunnel_ends_when_it_is_silent_when_its_life_is_over_and_when_it_is_told_to() {
    run(async {
        let never: Close = Rc::new(|| Box::pin(std::future::pending()));
        let at_once: Close = Rc::new(|| Box::pin(std::future::ready(())));
        // WS-06, WS-07
        for (life, idle, close) in [(HOUR, SHORT, &never), (SHORT, HOUR, &never), (HOUR, HOUR, &at_once)] {
            let front = Front::with_tunnels(settings(vec![tcp(echo().await)]), life, idle, Rc::clone(close)).await;
            let end = rest(&mut switched(&front, "").await).await;
            // Whoever is told to end before both sides have switched has nobody to send a close frame to.
            assert!(end.is_empty() || (end.starts_with('\u{fffd}') && Rc::ptr_eq(close, &at_once)), "{end:?}");
        }
    });
}
