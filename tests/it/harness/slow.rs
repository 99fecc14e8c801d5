//! An application that takes its time: each request waits until the test lets it go.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A running application that answers nothing before [`SlowUpstream::lets_go`].
pub(crate) struct SlowUpstream {
    /// Where it listens.
    pub(crate) address: SocketAddr,
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
            while let Some(Ok((mut stream, _))) = ended.run_until_cancelled(listener.accept()).await {
                let (arrive, opened) = (arrive.clone(), opened.clone());
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    arrive.send_modify(|count| *count += 1);
                    opened.cancelled().await;
                    let _ = stream
                        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nslow!")
                        .await;
                });
            }
        });
        Self { address, arrived, gate, _until_dropped: shutdown.drop_guard() }
    }

    /// Its URL, for `upstream = "…"`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until so many requests are waiting there.
    pub(crate) async fn wait_for(&self, count: usize) {
        self.arrived.clone().wait_for(|arrived| *arrived >= count).await.unwrap();
    }

    /// Answers everything, now and later.
    pub(crate) fn lets_go(&self) {
        self.gate.cancel();
    }
}
