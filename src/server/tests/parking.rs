//! Connections that wait without hyper. Looks and sweeps are made by hand over a pipe, so that no test waits for a time.

use std::rc::Rc;

use rustls::pki_types::ServerName;
use tokio::io::{DuplexStream, duplex};
use tokio::task::{LocalSet, spawn_local, yield_now};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::serving::Tls;
use super::*;
use crate::server::activity::Activity;
use crate::server::connection::speak;
use crate::server::context::WorkerContext;
use crate::server::permits::{ConnectionPermit, PeerPermit};
use crate::server::phase::Phase;
use crate::server::roster::Roster;
use crate::server::tls::Certificates;

/// One connection, as its worker and as its client see it.
struct Connected<T> {
    client: Raw<T>,
    roster: Rc<Roster>,
    activity: Arc<Activity>,
    served: JoinHandle<Result<(), BodyError>>,
    app: App,
}

impl Connected<DuplexStream> {
    fn new() -> Self {
        let (client, stream) = duplex(64 * 1024);
        Self::over(client, stream)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Connected<T> {
    fn over(client: T, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let limits = Limits::default();
        let app = App::new(limits.clone());
        let own = app.clone();
        let metrics = Metrics::new(UnixTime::default());
        let context = Rc::new(WorkerContext::new(
            move |request, at| own.clone().answer(0, request, at),
            None,
            limits.clone(),
            metrics,
            Arc::default(),
        ));
        let roster = Roster::new(&limits);
        let enrolled = roster.enrol(0, None);
        let activity = Arc::clone(&enrolled.activity);
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let permit = ConnectionPermit::new(&TaskTracker::new(), permit, PeerPermit::uncapped());
        let downstream = Downstream::new(Peer::Unix, None, None);
        let stream = Box::new(stream);
        let served = spawn_local(async move { speak(&context, stream, downstream, &enrolled, permit).await });
        Self { client: Raw(client), roster, activity, served, app }
    }

    /// Two looks of the worker; whether the connection is parked after them.
    async fn looked_at(&self) -> bool {
        for _ in 0..2 {
            settled().await;
            self.roster.resting.look();
        }
        settled().await;
        self.is_parked()
    }

    fn is_parked(&self) -> bool {
        self.activity.phase() == Phase::Parked
    }

    async fn parked() -> Connected<DuplexStream> {
        let mut connected = Connected::new();
        assert_eq!(connected.client.get("/").await.body, "hello");
        assert!(!connected.is_parked());
        assert!(connected.looked_at().await);
        connected
    }
}

/// All tasks have done what they can.
async fn settled() {
    for _ in 0..50 {
        yield_now().await;
    }
}

async fn locally<F: Future>(test: F) -> F::Output {
    LocalSet::new().run_until(test).await
}

fn after(secs: u64) -> Instant {
    Instant::now() + Duration::from_secs(secs)
}

type Plain = Connected<DuplexStream>;

#[tokio::test]
async fn a_parked_connection_serves_its_next_request_and_is_parked_again() {
    locally(async {
        let mut connected = Plain::parked().await;
        for _ in 0..3 {
            assert_eq!(connected.client.get("/peer").await.body, "unix false - HTTP/1.1");
            assert!(!connected.is_parked());
            assert!(connected.looked_at().await);
        }
        assert!(!connected.served.is_finished());
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_is_used_between_looks_is_not_parked() {
    locally(async {
        let mut connected = Plain::new();
        for _ in 0..5 {
            assert_eq!(connected.client.get("/").await.body, "hello");
            settled().await;
            connected.roster.resting.look();
            settled().await;
            assert!(!connected.is_parked());
        }
        // A slow application is no rest either.
        connected.client.send("GET /hang HTTP/1.1\r\nHost: a\r\n\r\n").await;
        connected.app.reached_hang().await;
        assert!(!connected.looked_at().await);
        connected.app.release.notify_one();
        assert_eq!(connected.client.answer().await.body, "released");
        assert!(connected.looked_at().await);
    })
    .await;
}

#[tokio::test]
async fn a_half_sent_head_is_not_parked() {
    locally(async {
        let mut connected = Plain::parked().await;
        connected.client.send("GET /peer HTT").await;
        assert!(!connected.looked_at().await);
        connected.client.send("P/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(connected.client.answer().await.body, "unix false - HTTP/1.1");
    })
    .await;
}

#[tokio::test]
async fn what_came_together_with_the_last_request_is_not_lost() {
    locally(async {
        let mut connected = Plain::parked().await;
        let two_and_a_half = "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /peer HTTP/1.1\r\nHost: a\r\n\r\nGET /wor";
        connected.client.send(two_and_a_half).await;
        assert_eq!(connected.client.answer().await.body, "hello");
        assert_eq!(connected.client.answer().await.body, "unix false - HTTP/1.1");
        assert!(!connected.looked_at().await);
        assert!(!connected.looked_at().await);
        connected.client.send("ker HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(connected.client.answer().await.body, "0");
        assert!(connected.looked_at().await);
    })
    .await;
}

#[tokio::test]
async fn a_parked_connection_is_closed_by_the_idle_limit() {
    // AT-SM-22
    locally(async {
        let mut connected = Plain::parked().await;
        connected.roster.sweep(after(0));
        connected.roster.sweep(after(50));
        assert_eq!(connected.client.get("/").await.body, "hello");
        assert!(connected.looked_at().await);
        connected.roster.sweep(after(70));
        connected.roster.sweep(after(120));
        settled().await;
        assert!(!connected.served.is_finished());
        connected.roster.sweep(after(140));
        assert_eq!(connected.client.rest().await, "");
        connected.served.await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_head_that_drips_into_a_parked_connection_has_the_time_of_a_head() {
    // AT-SM-22: slowloris
    locally(async {
        let mut connected = Plain::parked().await;
        connected.client.send("GET / HT").await;
        settled().await;
        connected.roster.sweep(after(0));
        connected.roster.sweep(after(16));
        assert_eq!(connected.client.rest().await, "");
    })
    .await;
}

#[tokio::test]
async fn parked_connections_are_closed_when_the_worker_finishes() {
    locally(async {
        let mut connected = Plain::parked().await;
        connected.roster.finish_all();
        assert_eq!(connected.client.rest().await, "");
        connected.served.await.unwrap().unwrap();
        // Also one that never said anything.
        let mut connected = Plain::new();
        settled().await;
        connected.roster.finish_all();
        assert_eq!(connected.client.rest().await, "");
    })
    .await;
}

#[tokio::test]
async fn a_parked_connection_ends_with_its_client() {
    locally(async {
        let connected = Plain::parked().await;
        drop(connected.client);
        soon(connected.served).await.unwrap().unwrap();
        assert!(connected.roster.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_ends_with_its_answer_is_not_held() {
    locally(async {
        let mut connected = Plain::parked().await;
        connected.client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert!(connected.client.rest().await.ends_with("hello"));
        soon(connected.served).await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_body_that_may_still_come_is_never_taken_for_a_request() {
    // AT-SM-04: the answer is there before the body.
    locally(async {
        let mut connected = Plain::new();
        connected.client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\n").await;
        assert_eq!(connected.client.answer().await.body, "hello");
        assert!(!connected.looked_at().await);
        _ = connected.client.0.write_all(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n     ").await;
        settled().await;
        assert_eq!(connected.app.requests.load(Ordering::SeqCst), 1);
    })
    .await;
}

#[tokio::test]
async fn a_connection_whose_last_body_was_read_is_parked() {
    locally(async {
        let mut connected = Plain::new();
        let chunked = "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        for rest in ["Content-Length: 3\r\n\r\nabc", chunked] {
            connected.client.send(&format!("POST /echo HTTP/1.1\r\nHost: a\r\n{rest}")).await;
            assert_eq!(connected.client.answer().await.body, "abc");
            assert!(connected.looked_at().await, "{rest}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_asked_for_an_upgrade_in_vain_is_kept() {
    locally(async {
        let mut connected = Plain::new();
        for _ in 0..2 {
            connected.client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n").await;
            assert_eq!(connected.client.answer().await.body, "hello");
            assert!(!connected.looked_at().await);
            assert_eq!(connected.client.get("/").await.body, "hello");
            assert!(!connected.looked_at().await);
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_was_parked_can_be_upgraded() {
    locally(async {
        let mut connected = Plain::parked().await;
        let upgrade = "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nmarco";
        connected.client.send(upgrade).await;
        assert_eq!(connected.client.answer().await.status, 101);
        let mut echoed = [0; 5];
        connected.client.0.read_exact(&mut echoed).await.unwrap();
        assert_eq!(&echoed, b"marco");
    })
    .await;
}

#[tokio::test]
async fn http2_is_recognised_however_its_beginning_is_cut() {
    locally(async {
        let mut connected = Plain::new();
        for piece in ["PRI * HT", "TP/2.0\r\n\r\nS", "M\r\n\r\n"] {
            connected.client.send(piece).await;
            settled().await;
        }
        // Empty settings of ours, and then theirs come: a frame of type 4.
        connected.client.0.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        let mut head = [0; 9];
        connected.client.0.read_exact(&mut head).await.unwrap();
        assert_eq!(head[3], 4);
        // Something that only begins like it is HTTP/1.
        let mut other = Plain::new();
        other.client.send("PRI * HT").await;
        settled().await;
        other.client.send("TP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(other.client.answer().await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn an_encrypted_connection_is_parked_with_its_session() {
    let tls = Tls::new(b"http/1.1");
    let certificates = Certificates::load(&tls.settings, &SystemClock::shared()).unwrap();
    locally(async {
        let (client, stream) = duplex(64 * 1024);
        let name = ServerName::try_from("a.example").unwrap();
        let (client, stream) =
            tokio::join!(tls.connector.connect(name, client), certificates.acceptor().accept(stream));
        let mut connected = Connected::over(client.unwrap(), stream.unwrap());
        for _ in 0..2 {
            assert_eq!(connected.client.get("/").await.body, "hello");
            assert!(connected.looked_at().await);
        }
        // More than one read takes out of one record, which is all decrypted at once.
        let long = format!("GET /peer HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n", "x".repeat(10_000));
        connected.client.send(&long).await;
        connected.client.0.flush().await.unwrap();
        assert_eq!(connected.client.answer().await.body, "unix false - HTTP/1.1");
        assert!(connected.looked_at().await);
        // The end is told in a message of its own, without which the client would report a cut.
        connected.roster.finish_all();
        let mut rest = Vec::new();
        connected.client.0.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty());
    })
    .await;
}
