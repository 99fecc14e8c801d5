//! What a reload changes besides routes and providers: listeners, TLS, limits, logs; and what it does with what is wrong.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::harness::gateway::key;
use crate::harness::program::HOST;
use crate::harness::{Authority, Gateway, Program, Raw, RecordingUpstream, SlowUpstream};
use crate::program::config;

/// A gateway with one public route.
async fn gateway(upstream: &str) -> Gateway {
    Gateway::in_front_of_url(upstream).at_https(HOST).with("route.app.access = 'public'").start().await
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
}

async fn status(address: SocketAddr) -> u16 {
    let mut raw = Raw::connect(address).await;
    raw.send(request("/")).await;
    raw.answer("GET").await.status
}

/// Waits until nobody listens there any more.
async fn refuses(address: SocketAddr) {
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_moves_and_what_is_under_way_at_the_old_one_ends() {
    let upstream = SlowUpstream::start().await;
    let mut gateway = gateway(&upstream.url()).await;
    let old = gateway.address;
    let (mut busy, mut idle) = (Raw::connect(old).await, Raw::connect(old).await);
    idle.send(request("/")).await;
    assert_eq!(idle.answer("GET").await.status, 200);
    busy.send(request("/slow")).await;
    upstream.wait_for(1).await;

    gateway.reload_with("server.listen = ['localhost:0']");
    let new = gateway.addresses()[0];
    assert_ne!(new.port(), old.port());
    assert_eq!(status(new).await, 200);
    refuses(old).await;
    assert!(idle.is_closed().await, "nothing was under way there");
    upstream.lets_go();
    assert_eq!(busy.answer("GET").await.status, 200);
    assert!(busy.is_closed().await);

    // And back, while the new one goes on.
    gateway.reload_with(&format!("server.listen = ['localhost:0', '{old}']"));
    assert_eq!(gateway.addresses(), [new, old]);
    assert_eq!((status(new).await, status(old).await), (200, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_widens_on_its_own_port() {
    let mut gateway = gateway("static:204").await;
    let port = gateway.address.port();
    for listen in [format!("0.0.0.0:{port}"), format!("127.0.0.1:{port}"), format!("[::]:{port}")] {
        // From port 0, which the system chose, to its number: the socket that has it goes.
        gateway.reload_with(&format!("server.listen = '{listen}'"));
        assert_eq!(gateway.addresses()[0].port(), port);
        // A handshake that is half done when the old socket closes is reset by the kernel; the next one is not.
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {}
        assert_eq!(status(SocketAddr::from(([127, 0, 0, 1], port))).await, 204, "{listen}");
        let other = TcpListener::bind(("127.0.0.1", port));
        assert!(other.is_err(), "nobody else can have it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_listener_moves_too() {
    let mut gateway = gateway("static:204").await;
    let old = gateway.admin;
    gateway.reload_with("admin.listen = ['localhost:0']");
    let new = gateway.admin_addresses()[0];
    let ready = Raw::once(new, "GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(ready.status, 200);
    refuses(old).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_whose_listener_cannot_be_had_changes_nothing_at_all() {
    // AT-CL-12
    let mut gateway = gateway("static:204").await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let toml = format!(
        "server.listen = ['127.0.0.1:0', 'localhost:0', '{}']\nroute.app.upstream = 'static:202'\n",
        taken.local_addr().unwrap()
    );
    let refused = gateway.tries_reload(&toml).unwrap_err();
    assert!(refused.contains("server.listen") && refused.to_lowercase().contains("in use"), "{refused}");
    assert_eq!(gateway.addresses(), [gateway.address]);
    assert_eq!(status(gateway.address).await, 204, "the route is the old one, too");
    assert!(gateway.admin_text("/metrics").await.contains("\nvestibule_config_last_reload_successful 0\n"));
    gateway.reload_with("route.app.upstream = 'static:202'");
    assert_eq!(status(gateway.address).await, 202);
    assert!(gateway.admin_text("/metrics").await.contains("\nvestibule_config_last_reload_successful 1\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_gives_new_connections_other_limits() {
    let mut gateway = gateway("static:204").await;
    let large = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nx: {}\r\n\r\n", "y".repeat(10_000));
    let mut before = gateway.raw().await;
    before.send(&large).await;
    assert_eq!(before.answer("GET").await.status, 204);
    gateway.reload_with("server.limits.header_bytes = '8KiB'");
    // The workers hear of it one after the other.
    while Raw::once(gateway.address, &large).await.status != 431 {}
    before.send(&large).await;
    assert_eq!(before.answer("GET").await.status, 204, "it goes on as it began");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_turns_tls_on_and_plain_connections_end() {
    // TL-07
    let authority = Authority::new();
    let upstream = RecordingUpstream::start().await;
    let mut gateway = gateway(&upstream.url()).await;
    let mut plain = gateway.raw().await;
    plain.send(request("/")).await;
    assert_eq!(plain.answer("GET").await.status, 200);
    let pair = authority.certifies("wiki", &[HOST]);
    gateway.reload_with(&format!("[server.tls]\ncert = '{}'\nkey = '{}'", pair.cert.display(), pair.key.display()));
    assert!(plain.is_closed().await);
    let mut encrypted = Raw::over(authority.connect(gateway.address, HOST, &["http/1.1"]).await.unwrap());
    encrypted.send(request("/")).await;
    assert_eq!(encrypted.answer("GET").await.status, 200);
    gateway.reload_without("server.tls");
    assert!(encrypted.is_closed().await);
    assert_eq!(status(gateway.address).await, 200);
}

/// One public route, and a key in a file.
fn with_key_file(upstream: &str) -> String {
    config(upstream).replace(&format!("'{}'", key(1)), "{ file = 'session_key' }")
}

/// A folder as the kubelet mounts it: files are links into a folder that is replaced whole.
struct Mounted(TempDir);

impl Mounted {
    fn of(config: &str, session_key: &str) -> Self {
        let mounted = Self(TempDir::new().unwrap());
        for name in ["vestibule.toml", "session_key"] {
            symlink(Path::new("..data").join(name), mounted.0.path().join(name)).unwrap();
        }
        mounted.swap("..2026_1", config, session_key);
        mounted
    }

    fn swap(&self, version: &str, config: &str, session_key: &str) {
        swap(self.0.path(), version, config, session_key);
    }
}

fn swap(folder: &Path, version: &str, config: &str, session_key: &str) {
    fs::create_dir(folder.join(version)).unwrap();
    fs::write(folder.join(version).join("vestibule.toml"), config).unwrap();
    fs::write(folder.join(version).join("session_key"), session_key).unwrap();
    symlink(version, folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_kubelet_swaps_is_taken_whole_and_what_is_bad_is_shown_and_kept_out() {
    // AT-CL-12
    let mounted = Mounted::of(&with_key_file("static:204"), &key(1));
    let program = Program::running_in(mounted.0, &["--watch"]).await;
    assert_eq!(program.status("/").await, 204);
    let began = Instant::now();
    swap(program.folder.path(), "..2026_2", &with_key_file("static:202"), &key(2));
    let told = program.wrote("\"config.reloaded\",\"differences\"").await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(told.contains("\"differences\":\"route.app.upstream, session.keys\""), "{told}");
    assert_eq!(program.status("/").await, 202);

    // Half of a file, which is no configuration; and nobody asked for it to be read.
    let half = with_key_file("static:201").split_once("[route").unwrap().0.to_owned();
    swap(program.folder.path(), "..2026_3", &half, &key(2));
    program.wrote("the new configuration is not taken").await;
    assert_eq!(program.status("/").await, 202, "the old one goes on");
    assert_eq!(program.admin_text("/readyz").await, "ok\n");
    let verbose = program.admin_text("/readyz?verbose").await;
    assert!(verbose.contains("[!]configuration degraded: reload refused: VB-0"), "{verbose}");
    assert!(program.admin_text("/metrics").await.contains("\nvestibule_config_last_reload_successful 0\n"));

    swap(program.folder.path(), "..2026_4", &with_key_file("static:203"), &key(2));
    while program.status("/").await != 203 {
        tokio::task::yield_now().await;
    }
    while !program.admin_text("/readyz?verbose").await.contains("[+]configuration ok\n") {}
}

#[tokio::test(flavor = "multi_thread")]
async fn without_watch_a_secret_is_taken_by_itself_and_the_file_is_not() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("vestibule.toml"), with_key_file("static:204")).unwrap();
    fs::write(folder.path().join("session_key"), key(1)).unwrap();
    let program = Program::running_in(folder, &[]).await;
    program.configure(&with_key_file("static:202"));
    fs::write(program.path("session_key"), key(2)).unwrap();
    let began = Instant::now();
    let told = program.wrote("\"config.reloaded\",\"differences\"").await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(told.contains("\"differences\":\"session.keys\""), "{told}");
    assert_eq!(program.status("/").await, 204, "somebody may be editing it");
    program.signals("HUP");
    while program.status("/").await != 202 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_renewed_is_shown_and_one_that_is_broken_is_not() {
    // AT-CL-12, TL-07
    let authority = Authority::new();
    let pair = authority.certifies("wiki", &[HOST]);
    let (cert, key) = (pair.cert.display(), pair.key.display());
    let tls = format!("[server.tls]\ncert = '{cert}'\nkey = '{key}'\n");
    let program = Program::running(&format!("{}{tls}", config("static:204"))).await;
    let address = program.address().await;
    let shown = async || {
        let stream = authority.connect(address, HOST, &["http/1.1"]).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let first = shown().await;
    fs::write(&pair.cert, "half a certifi").unwrap();
    let told = program.wrote("the new configuration is not taken").await;
    assert!(told.contains("server.tls.cert"), "{told}");
    assert_eq!(shown().await, first);
    authority.certifies("wiki", &[HOST]);
    program.wrote("\"config.reloaded\",\"differences\"").await;
    while shown().await == first {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_form_level_and_places_of_the_logs() {
    let program = Program::running(&config("static:204")).await;
    let log = "[log]\nformat = 'human'\nlevel = 'info,vestibule=debug'\naccess = 'access.log'\naudit = 'audit.log'\n";
    program.configure(&format!("{}{log}", config("static:204")));
    program.signals("HUP");
    // This line is written in the new form.
    let told = program.wrote("the new configuration is in force").await;
    assert!(!told.starts_with('{') || told.contains("log.level"), "{told}");
    assert_eq!(program.status("/").await, 204);
    let written = |name: &str| fs::read_to_string(program.path(name)).unwrap_or_default();
    while !written("access.log").contains("204") || !written("audit.log").contains("config.reloaded") {
        tokio::task::yield_now().await;
    }
    program.signals("TERM");
    while !program.errors().iter().any(|line| line.contains("draining") && !line.starts_with('{')) {
        tokio::task::yield_now().await;
    }
}
