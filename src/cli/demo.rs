//! `vestibule demo`: a provider, an application and the gateway between them, in one process on loopback.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::app::{App, AppError};
use crate::cli::exit::Exit;
use crate::cli::run::control_runtime;
use crate::clock::{SharedClock, SystemClock};
use crate::config::{Config, Report, Sources};
use crate::demo::{BANNER, Client, DemoError, start_idp, start_upstream};
use crate::seal;
use crate::telemetry::process::init_process_log;
use crate::telemetry::settings::{AccessFormat, AuditFormat, LogFormat, LogSettings, LogSink};

/// Runs the command; `port` 0 takes a free one, and so does one that is taken.
pub(super) fn demo(port: u16) -> Exit {
    let log = LogSettings {
        format: LogFormat::Human,
        level: "warn,vestibule=info".to_owned(),
        access: LogSink::Off,
        access_format: AccessFormat::Human,
        access_exclude_agents: Vec::new(),
        audit: LogSink::Off,
        audit_format: AuditFormat::Json,
    };
    if let Err(error) = init_process_log(&log, SystemClock::shared(), false) {
        return Exit::internal(error);
    }
    let runtime = match control_runtime() {
        Ok(runtime) => runtime,
        Err(error) => return Exit::internal(format!("the control runtime cannot be started: {error}")),
    };
    match runtime.block_on(serve(port)) {
        Ok(()) => Exit::Ok,
        Err(DemoFailure::Listen(error)) => Exit::cannot_create(error.to_string()),
        Err(DemoFailure::App(AppError::Bind(error))) => Exit::cannot_create(error.to_string()),
        Err(error) => Exit::internal(error.to_string()),
    }
}

/// Why the demo cannot start.
#[derive(Debug, thiserror::Error)]
enum DemoFailure {
    #[error("no port on loopback is free: {0}")]
    Listen(#[from] io::Error),
    #[error(transparent)]
    Demo(#[from] DemoError),
    #[error("the demo's own configuration: {}", .0.render(false))]
    Config(Box<Report>),
    #[error(transparent)]
    App(#[from] AppError),
}

/// Starts the three parts, and serves until a signal ends it.
async fn serve(port: u16) -> Result<(), DemoFailure> {
    // Before the first line that a script could wait for.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let shutdown = CancellationToken::new();
    let clock = SystemClock::shared();
    let (provider, application) = (loopback(0).await?, loopback(0).await?);
    let gateway = free_port(port).await?;
    let secret = seal::random_token();
    let client = Client {
        id: "demo".to_owned(),
        secret: secret.clone(),
        redirect_uri: format!("http://{gateway}/_vestibule/callback"),
        post_logout_redirect_uri: format!("http://{gateway}/_vestibule/signed-out"),
    };
    let issuer = start_idp(provider, client, ACCESS_LIFE, Arc::clone(&clock), shutdown.clone())?;
    let upstream = application.local_addr()?;
    start_upstream(application, shutdown.clone())?;
    let app = start_gateway(gateway, &issuer, upstream, &secret, clock).await?;
    app.prefetch_providers();
    // Standard output carries the URL alone on its line: for people, and for scripts that open it.
    let _ = writeln!(
        io::stderr(),
        "{BANNER}\n\n  provider     {issuer}\n  application  http://{upstream}/ (nobody signed in: what it is like without the gateway)\n\n\
         Be Ada, who is an admin, or Grace, who is not. Access tokens live {} seconds. Ctrl-C ends it.\n",
        ACCESS_LIFE.as_secs(),
    );
    let _ = writeln!(io::stdout(), "Open http://{gateway}/");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    app.shutdown().await;
    shutdown.cancel();
    Ok(())
}

/// Starts the gateway between provider and application.
async fn start_gateway(
    gateway: SocketAddr,
    issuer: &str,
    upstream: SocketAddr,
    secret: &str,
    clock: SharedClock,
) -> Result<App, DemoFailure> {
    let text = CONFIG
        .replace("GATEWAY", &gateway.to_string())
        .replace("ISSUER", issuer)
        .replace("UPSTREAM", &upstream.to_string());
    let env = vec![
        ("DEMO_CLIENT_SECRET".to_owned(), secret.to_owned()),
        ("DEMO_SESSION_KEY".to_owned(), seal::new_key_text().expose().clone()),
    ];
    let sources = Sources { file: Some(("demo.toml".to_owned(), text)), env, ..Sources::default() };
    let config = Config::load(&sources).map_err(|report| DemoFailure::Config(Box::new(report)))?;
    Ok(App::start(config, clock).await?)
}

/// Listens on a port of loopback.
async fn loopback(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await
}

/// The public URL has to be known before the gateway binds, so a free port is found first and bound again at once.
async fn free_port(wished: u16) -> io::Result<SocketAddr> {
    match loopback(wished).await {
        Ok(free) => free.local_addr(),
        Err(error) if wished != 0 && error.kind() == io::ErrorKind::AddrInUse => loopback(0).await?.local_addr(),
        Err(error) => Err(error),
    }
}

/// So short that a refresh can be watched.
const ACCESS_LIFE: Duration = Duration::from_secs(60);

/// The configuration of the gateway; the words in capitals are replaced.
const CONFIG: &str = include_str!("demo.toml");
