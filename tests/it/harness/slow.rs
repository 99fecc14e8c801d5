//! An application that takes its time: each request for `/slow` waits until the test lets it go.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A running application that does not answer `/slow` before [`SlowUpstream::lets_go`], and everything else at once.
pub(crate) struct SlowUpstream {
    address: SocketAddr,
    arrived: watch::Receiver<usize>,
    gate: CancellationToken,
    _until_dropped: DropGuard,
}

impl SlowUpstream {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (arrive, arrived) = watch::channel(0);
        let (gate, shutdown) = (CancellationToken::new(), CancellationToken::new());
        let (ended, opened) = (shutdown.clone(), gate.clone());
        tokio::spawn(async move {
            while let Some(Ok((stream, _))) = ended.run_until_cancelled(listener.accept()).await {
                tokio::spawn(serve(stream, arrive.clone(), opened.clone()));
            }
        });
        Self { address, arrived, gate, _until_dropped: shutdown.drop_guard() }
    }

    /// Its URL, for `upstream = "…"`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until so many requests for `/slow` have come.
    pub(crate) async fn wait_for(&self, count: usize) {
        let mut arrived = self.arrived.clone();
        let all = timeout(LONGEST_WAIT, arrived.wait_for(|arrived| *arrived >= count)).await;
        drop(all.unwrap_or_else(|_| panic!("fewer than {count} requests for /slow")).unwrap());
    }

    /// Answers `/slow`, now and later.
    pub(crate) fn lets_go(&self) {
        self.gate.cancel();
    }
}

/// Serves one connection; `None` when it has ended.
async fn serve(mut stream: TcpStream, arrive: watch::Sender<usize>, opened: CancellationToken) -> Option<()> {
    let mut head = Vec::new();
    loop {
        while !head.ends_with(b"\r\n\r\n") {
            (stream.read_buf(&mut head).await.ok()? > 0).then_some(())?;
        }
        let is_slow = head.starts_with(b"GET /slow");
        if is_slow {
            arrive.send_modify(|count| *count += 1);
            opened.cancelled().await;
        }
        let body = if is_slow { "slow!" } else { "" };
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.ok()?;
        head.clear();
    }
}

/// Long enough that it never ends a sound test.
const LONGEST_WAIT: Duration = Duration::from_secs(15);
