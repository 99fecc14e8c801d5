//! HTTP/2 towards the application: with prior knowledge, and by ALPN over TLS; and what TLS must prove.

use bytes::Bytes;
use http_body_util::{BodyExt as _, StreamBody};
use hyper_util::rt::TokioExecutor;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::body::BodyError;
use crate::secret::{PrivateKey, Secret};

/// Answers with what it was asked for, and with a trailer.
async fn mirror(request: Request<Incoming>) -> Result<Response<Body>, BodyError> {
    let head = format!(
        "{} {} {:?} host={:?} te={:?} connection={:?}",
        request.method(),
        request.uri(),
        request.version(),
        request.headers().get("host"),
        request.headers().get("te"),
        request.headers().get("connection"),
    );
    let body = request.into_body().collect().await?.to_bytes();
    let frames = [
        Ok(http_body::Frame::data(Bytes::from(head))),
        Ok(http_body::Frame::data(body)),
        Ok(http_body::Frame::trailers([(HeaderName::from_static("grpc-status"), "0".parse()?)].into_iter().collect())),
    ];
    Ok(Response::new(Body::stream(StreamBody::new(futures_util::stream::iter(frames)))))
}

async fn serve_http2(stream: impl AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static) {
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let _ = server.serve_connection(TokioIo::new(stream), service_fn(mirror)).await;
}

#[test]
fn prior_knowledge_shares_one_connection() {
    run(async {
        let connections = Count::default();
        let count = connections.clone();
        let port = application(async move |_, stream: TcpStream| {
            count.add();
            serve_http2(stream).await;
        })
        .await;
        let address = UpstreamAddress { protocol: UpstreamProtocol::H2c, ..tcp(port) };
        let front = Front::of(settings(vec![address])).await;
        let post = "POST /a?b HTTP/1.1\r\nHost: app.example\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
        let answers = futures_util::future::join_all((0..20).map(|_| front.exchange(post))).await;
        for answer in answers {
            assert!(
                answer.contains("POST http://app.example/a?b HTTP/2.0 host=None te=None connection=None"),
                "{answer}"
            );
            assert!(answer.contains("abc"), "{answer}");
        }
        assert_eq!(connections.get(), 1);
    });
}

#[test]
fn te_trailers_reaches_http2() {
    run(async {
        let port = application(async |_, stream: TcpStream| serve_http2(stream).await).await;
        let address = UpstreamAddress { protocol: UpstreamProtocol::H2c, ..tcp(port) };
        let front = Front::of(settings(vec![address])).await;
        let request = "GET / HTTP/1.1\r\nHost: app\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n";
        // PX-18
        let answer = front.exchange(request).await;
        assert!(answer.contains("te=Some(\"trailers\") connection=None"), "{answer}");
    });
}

#[test]
fn an_http2_application_that_goes_away_is_connected_to_again() {
    run(async {
        let (leave, left) = (Rc::new(tokio::sync::Notify::new()), Rc::new(tokio::sync::Notify::new()));
        let (leaves, leaving) = (Rc::clone(&leave), Rc::clone(&left));
        let port = application(async move |nth, stream: TcpStream| {
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let mut connection = std::pin::pin!(server.serve_connection(TokioIo::new(stream), service_fn(mirror)));
            if nth == 0 {
                tokio::select! {
                    _ = connection.as_mut() => {}
                    () = leaves.notified() => connection.as_mut().graceful_shutdown(),
                }
            }
            let _ = connection.await;
            leaving.notify_one();
        })
        .await;
        let address = UpstreamAddress { protocol: UpstreamProtocol::H2c, ..tcp(port) };
        let front = Front::of(settings(vec![address])).await;
        assert!(front.get().await.starts_with("HTTP/1.1 200 "));
        leave.notify_one();
        left.notified().await;
        assert!(front.get().await.starts_with("HTTP/1.1 200 "));
    });
}

#[test]
fn http2_has_no_upgrades() {
    run(async {
        let port = application(async |_, stream: TcpStream| serve_http2(stream).await).await;
        let address = UpstreamAddress { protocol: UpstreamProtocol::H2c, ..tcp(port) };
        let mut client = Front::of(settings(vec![address])).await.connect().await;
        let handshake = b"GET / HTTP/1.1\r\nHost: app\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        client.write_all(handshake).await.unwrap();
        assert!(head(&mut client).await.contains("x-code: upstream_upgrade_impossible"));
    });
}

/// An authority, and a TLS server with a certificate of it for `app.internal`.
struct Tls {
    ca: CertifiedIssuer<'static, KeyPair>,
    server: ServerConfig,
}

impl Tls {
    fn new(alpn: &[&[u8]], asks_for_client: bool) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["app.internal".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
        let builder = if asks_for_client {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(ca.der().clone()).unwrap();
            let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut server = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        server.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Self { ca, server }
    }

    /// A client certificate and key of the same authority.
    fn client(&self) -> (Vec<CertificateDer<'static>>, PrivateKey) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["vestibule".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.ca).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        (vec![certificate.der().clone()], Arc::new(Secret::new(key)))
    }

    fn trusting(&self) -> UpstreamTls {
        UpstreamTls {
            roots: Some(vec![self.ca.der().clone()]),
            server_name: Some("app.internal".to_owned()),
            ..UpstreamTls::default()
        }
    }

    /// The application; answers by `answer` over HTTP/1.1, by [`mirror`] over HTTP/2.
    async fn serve(&self, answer: &'static str) -> u16 {
        let acceptor = TlsAcceptor::from(Arc::new(self.server.clone()));
        application(async move |_, stream: TcpStream| {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                serve_http2(stream).await;
            } else {
                head(&mut stream).await;
                stream.write_all(answer.as_bytes()).await.unwrap();
                stream.flush().await.unwrap();
                // Dropped without close_notify.
            }
        })
        .await
    }
}

async fn over_tls(port: u16, tls: UpstreamTls) -> Front {
    let address = UpstreamAddress { protocol: UpstreamProtocol::Tls, ..tcp(port) };
    Front::of(UpstreamSettings { tls, ..settings(vec![address]) }).await
}

#[test]
fn alpn_decides_and_the_configured_authority_and_name_are_trusted() {
    run(async {
        let tls = Tls::new(&[b"h2", b"http/1.1"], false);
        // TL-02
        let front = over_tls(tls.serve(OK).await, tls.trusting()).await;
        let answer = front.get().await;
        assert!(answer.contains("GET https://app/ HTTP/2.0"), "{answer}");
        let tls = Tls::new(&[b"http/1.1"], false);
        assert!(over_tls(tls.serve(OK).await, tls.trusting()).await.get().await.ends_with("\r\n\r\nok"));
    });
}

#[test]
fn strangers_are_not_trusted_unless_anybody_is() {
    run(async {
        let tls = Tls::new(&[b"http/1.1"], false);
        let port = tls.serve(OK).await;
        let other = Tls::new(&[], false);
        // TL-02: another authority, another name.
        for wrong in [other.trusting(), UpstreamTls { server_name: None, ..tls.trusting() }] {
            let answer = over_tls(port, wrong).await.get().await;
            assert!(answer.starts_with("HTTP/1.1 502 ") && answer.contains("x-code: upstream_tls\r\n"), "{answer}");
        }
        let anybody = UpstreamTls { insecure_skip_verify: true, ..UpstreamTls::default() };
        assert!(over_tls(port, anybody).await.get().await.ends_with("ok"));
    });
}

#[test]
fn the_client_certificate_is_shown() {
    run(async {
        let tls = Tls::new(&[b"h2"], true);
        let port = tls.serve(OK).await;
        let known = UpstreamTls { client: Some(tls.client()), ..tls.trusting() };
        assert!(over_tls(port, known).await.get().await.starts_with("HTTP/1.1 200 "));
        assert!(over_tls(port, tls.trusting()).await.get().await.starts_with("HTTP/1.1 502 "));
    });
}

#[test]
fn an_answer_that_ends_without_close_notify_is_cut() {
    run(async {
        let tls = Tls::new(&[b"http/1.1"], false);
        let port = tls.serve("HTTP/1.1 200 OK\r\n\r\npart").await;
        // TL-09, PX-31: delimited by the connection's end, which anybody on the way can fake.
        let answer = over_tls(port, tls.trusting()).await.get().await;
        assert!(answer.ends_with("4\r\npart\r\n"), "the last chunk must not come: {answer}");
    });
}

/// What a probe of one address says.
async fn probed(address: UpstreamAddress, tls: UpstreamTls) -> Result<(), String> {
    probe::probe(&UpstreamSettings { tls, ..settings(vec![address]) }).await
}

#[test]
fn a_probe_names_what_it_cannot_reach_and_what_to_write() {
    run(async {
        let tls = Tls::new(&[b"http/1.1"], false);
        let address = UpstreamAddress { protocol: UpstreamProtocol::Tls, ..tcp(tls.serve(OK).await) };
        assert_eq!(probed(address.clone(), tls.trusting()).await, Ok(()));
        let reason = probed(address.clone(), Tls::new(&[], false).trusting()).await.unwrap_err();
        assert!(reason.contains(&*address.authority) && reason.contains("certificate"), "{reason}");
        assert!(reason.contains("`tls.ca`"), "{reason}");
        let other_name = UpstreamTls { server_name: None, ..tls.trusting() };
        let reason = probed(address.clone(), other_name).await.unwrap_err();
        assert!(reason.contains("`tls.server_name`"), "{reason}");
    });
}

#[test]
fn a_probe_finds_that_a_client_certificate_is_wanted_with_either_version_and_protocol() {
    run(async {
        for alpn in [&[b"http/1.1" as &[u8]], &[b"h2" as &[u8]]] {
            let tls = Tls::new(alpn, true);
            let address = UpstreamAddress { protocol: UpstreamProtocol::Tls, ..tcp(tls.serve(OK).await) };
            let reason = probed(address.clone(), tls.trusting()).await.unwrap_err();
            assert!(reason.contains("client certificate") && reason.contains("`tls.cert`"), "{reason}");
            let known = UpstreamTls { client: Some(tls.client()), ..tls.trusting() };
            assert_eq!(probed(address, known).await, Ok(()));
        }
    });
}

#[test]
fn an_application_that_floods_frames_or_informational_answers_is_cut_off() {
    // AT-SM-19, PX-15: a PING, a SETTINGS frame without content, and `:status: 103` on the request's stream, without end
    let status_103: &[u8] = &[0, 0, 5, 1, 4, 0, 0, 0, 1, 0x08, 3, b'1', b'0', b'3'];
    let floods: [&[u8]; 3] = [b"\0\0\x08\x06\0\0\0\0\x0012345678", b"\0\0\0\x04\0\0\0\0\0", status_103];
    for flood in floods {
        run(async move {
            let port = application(async move |_, mut stream: TcpStream| {
                stream.write_all(b"\0\0\0\x04\0\0\0\0\0").await.unwrap();
                // `:method: GET` and a scheme, as HPACK has them: the request is there.
                let (mut room, mut seen) = ([0; 4096], Vec::new());
                while !seen.windows(2).any(|two| two == [0x82, 0x86]) && !seen.windows(2).any(|two| two == [0x82, 0x87])
                {
                    let count = stream.read(&mut room).await.unwrap();
                    assert!(count > 0);
                    seen.extend_from_slice(&room[..count]);
                }
                let (mut reading, mut writing) = stream.split();
                let send = async { while writing.write_all(&flood.repeat(100)).await.is_ok() {} };
                let take = async { while reading.read(&mut room).await.is_ok_and(|count| count > 0) {} };
                tokio::join!(send, take);
            })
            .await;
            let address = UpstreamAddress { protocol: UpstreamProtocol::H2c, ..tcp(port) };
            let answer = Front::of(settings(vec![address])).await.get().await;
            assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        });
    }
}

#[test]
fn a_probe_tells_tls_from_clear_text_whichever_is_written() {
    run(async {
        let tls = Tls::new(&[b"http/1.1"], false);
        let reason = probed(tcp(tls.serve(OK).await), UpstreamTls::default()).await.unwrap_err();
        assert!(reason.contains("speaks TLS") && reason.contains("https://"), "{reason}");
        let clear = application(async move |_, mut stream: TcpStream| {
            let mut some = [0; 16];
            _ = stream.read(&mut some).await;
            _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
        })
        .await;
        assert_eq!(probed(tcp(clear), UpstreamTls::default()).await, Ok(()), "how it answers is its own affair");
        let written_https = UpstreamAddress { protocol: UpstreamProtocol::Tls, ..tcp(clear) };
        let reason = probed(written_https, tls.trusting()).await.unwrap_err();
        assert!(reason.contains("does not speak TLS") && reason.contains("http://"), "{reason}");
        let silent = application(async move |_, mut stream: TcpStream| {
            let mut some = [0; 1024];
            while stream.read(&mut some).await.is_ok_and(|count| count > 0) {}
        })
        .await;
        assert_eq!(probed(tcp(silent), UpstreamTls::default()).await, Ok(()), "slow is not away");
    });
}
