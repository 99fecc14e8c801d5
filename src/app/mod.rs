//! The composition root: builds the parts from a [`Config`], runs them, and replaces them on reload.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Cache};
use http::Request;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::body::Body;
use crate::clock::SharedClock;
use crate::config::Config;
use crate::control::Control;
use crate::followed::FollowedChange;
use crate::gateway::Gateway;
use crate::gateway::build::{BuildError, GatewayParts};
use crate::proxy::Forwarder;
use crate::request::Downstream;
use crate::seal::{self, KeyRing, SealedHere};
use crate::server::{self, AdminState, Bound, PreparedServer, ServerHandle, Shutdown, StartError};
use crate::session::registry::Registry;
use crate::telemetry::audit::{AuditEvent, AuditFields};
use crate::telemetry::otlp::Export;
use crate::telemetry::otlp::settings::ExportSettings;
use crate::telemetry::settings::{LogSettings, LogSink};
use crate::telemetry::{LogOpenError, Telemetry, process};
use crate::trust::TrustError;

mod status;

use status::{Shown, Status};

/// A running gateway.
#[derive(Debug)]
pub struct App {
    gateway: Arc<ArcSwap<Gateway>>,
    shared: AcrossReloads,
    server: Arc<ServerHandle>,
    status: Arc<Status>,
    shutdown: Shutdown,
    stopped: watch::Receiver<bool>,
    /// What traces and metrics are exported with, and what ends that.
    export: (ExportSettings, CancellationToken),
}

/// What outlives a reload.
#[derive(Debug)]
struct AcrossReloads {
    clock: SharedClock,
    control: Control,
    registry: Arc<Registry>,
    sealed_here: Arc<SealedHere>,
    /// The metrics outlive a reload, and of the logs those that do not move.
    telemetry: ArcSwap<Telemetry>,
}

/// Why the gateway did not start, or did not take a new configuration.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// A listener could not be opened, or its certificates not be read.
    #[error(transparent)]
    Bind(#[from] StartError),
    /// A part cannot be made from the configuration.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A fault of ours.
    #[error("a fault of ours while the configuration was taken: please report it with the place in the log")]
    Panicked,
    /// A log file cannot be opened.
    #[error(transparent)]
    Log(#[from] LogOpenError),
    /// Traces and metrics cannot be exported.
    #[error(transparent)]
    Export(#[from] TrustError),
}

impl App {
    /// Binds the listeners and serves. Nothing is asked of any provider before somebody signs in, or
    /// [`prefetch_providers`](Self::prefetch_providers) is called.
    ///
    /// # Errors
    /// [`AppError`]; nothing is left running then.
    ///
    /// # Panics
    /// Outside of a tokio runtime: the one that this is called on becomes the control runtime.
    pub async fn start(config: Config, clock: SharedClock) -> Result<Self, AppError> {
        let telemetry = Telemetry::new(&config.log, &clock)?;
        let export = (config.telemetry.clone(), CancellationToken::new());
        let exporter = Export::new(&export.0, &telemetry.metrics, &clock, seal::random, export.1.clone())?;
        let telemetry = telemetry.traced_by(exporter.as_ref().and_then(Export::tracer));
        let shared = AcrossReloads::new(clock, telemetry);
        let bound = server::bind(&config.server, &shared.clock)?;
        let telemetry = shared.telemetry.load_full();
        let gateway = Arc::new(ArcSwap::new(shared.gateway(&config, &telemetry, None)?));
        let shutdown = Shutdown::default();
        let server = bound.handle();
        let status = Arc::new(Status::of(&config));
        let shown = Shown {
            gateway: Arc::clone(&gateway),
            status: Arc::clone(&status),
            server: Arc::clone(&server),
            clock: Arc::clone(&shared.clock),
        };
        let state = shown.admin_state(&telemetry.metrics);
        let stopped = serve(bound, &gateway, state, shutdown.clone(), &shared.control);
        telemetry.metrics.config_loaded(true, shared.clock.now());
        status.show(&config, &server, &telemetry.metrics);
        if let Some(exporter) = exporter {
            shared.control.detach(exporter.run());
        }
        Ok(Self { gateway, shared, server, status, shutdown, stopped, export })
    }

    /// The addresses of the traffic listeners, with the real ports in place of port 0; without Unix sockets.
    pub fn traffic_addresses(&self) -> Vec<SocketAddr> {
        self.server.traffic_addresses()
    }

    /// The addresses of the admin listeners.
    pub fn admin_addresses(&self) -> Vec<SocketAddr> {
        self.server.admin_addresses()
    }

    /// Takes a new configuration, or nothing of it: what can fail is done before anything changes. Listeners that are new are open by
    /// then, and those that are gone drain. Only the number of workers stays as it was at the start, which is warned about.
    ///
    /// # Errors
    /// The old configuration goes on serving then.
    pub fn reload(&self, config: &Config) -> Result<(), AppError> {
        let before = self.gateway.load_full();
        // A fault of ours in a new configuration must not end the old one: the process log's hook names its place.
        let build = || {
            let telemetry = self.shared.telemetry.load().with_settings(&config.log)?;
            let gateway = self.shared.gateway(config, &telemetry, Some(Arc::clone(&before)))?;
            Ok((gateway, telemetry, self.server.prepare(&config.server)?))
        };
        let built = catch_unwind(AssertUnwindSafe(build)).unwrap_or(Err(AppError::Panicked));
        let (gateway, telemetry, server) = built.inspect_err(|error| self.reload_refused(&error.to_string()))?;
        gateway.warn_of_moved_redirects(&before);
        self.gateway.store(Arc::clone(&gateway));
        gateway.takes_over();
        self.shared.log_with(telemetry);
        // The new configuration is in force by now, whatever becomes of the rest.
        if catch_unwind(AssertUnwindSafe(|| self.take_along(config, server))).is_err() {
            tracing::error!(code = "reload_panicked", "a fault of ours after the new configuration was taken");
        }
        let metrics = &self.shared.telemetry.load().metrics;
        let (differences, another_seals) = self.status.becomes(config, metrics);
        let differences = differences.to_string();
        self.status.show(config, &self.server, metrics);
        tracing::info!(event = "config.reloaded", differences, "the new configuration is in force");
        self.shared.record_reload(AuditEvent::ConfigReloaded, Some(&differences));
        if another_seals {
            let now = self.shared.clock.now();
            self.shared.telemetry.load().audit(now, AuditEvent::KeyRotated, &AuditFields::default());
        }
        Ok(())
    }

    /// Followed files have changed, and what could be taken of them is in use by now: recorded, and what was opened before is judged
    /// again. What could not be taken changes nothing.
    pub fn take_followed(&self, changes: &[FollowedChange]) {
        for FollowedChange { key, path, outcome } in changes {
            let (file, event) = (path.display(), "config.followed");
            match outcome {
                Ok(holds) => tracing::info!(event, key, %file, holds, "a followed file has changed: it is in force"),
                Err(why) => tracing::error!(
                    code = "followed_file_refused", key, %file, reason = why,
                    "a followed file cannot be taken: what it held before stays in force"
                ),
            }
            let event = if outcome.is_ok() { AuditEvent::ConfigReloaded } else { AuditEvent::ConfigRejected };
            self.shared.audit_config(event, Some(key));
        }
        if changes.iter().any(|change| change.outcome.is_ok()) {
            self.gateway.load().policy_has_changed();
        }
    }

    /// The rest of a reload: the listening side and the logs.
    fn take_along(&self, config: &Config, server: PreparedServer) {
        if config.telemetry != self.export.0 {
            tracing::warn!(
                code = "restart_needed",
                table = "telemetry",
                "a change in this table is taken at the next start"
            );
        }
        if let Some(key) = self.server.needs_restart(&config.server) {
            tracing::warn!(
                code = "restart_needed",
                key,
                "worker threads are made once: the new number is taken at the next start"
            );
        }
        self.server.take(server);
        if let Err(error) = process::reconfigure(&config.log) {
            tracing::error!(code = "log_not_changed", %error, "the process log goes on as before");
        }
        self.shared.telemetry.load().reopen();
    }

    /// A new configuration could not be read: recorded in metrics and audit log. `why` must hold no secret.
    pub fn reload_refused(&self, why: &str) {
        self.status.refuses(why);
        self.shared.record_reload(AuditEvent::ConfigRejected, Some(why));
    }

    /// How the gateway is, in one line.
    pub fn status(&self) -> String {
        if self.is_stopping() {
            return "draining".to_owned();
        }
        self.status.line(&self.gateway.load(), self.shared.clock.now())
    }

    /// The longest time that a stop takes.
    pub fn longest_stop(&self) -> Duration {
        self.server.longest_stop()
    }

    /// Asks for the stop: not ready at once, then the configured delay, then what is in flight ends within the grace. Asked
    /// again, it stops at once.
    pub fn stop(&self) {
        self.shared.control.stop();
        self.shutdown.ask();
    }

    /// Whether a stop was asked for.
    pub fn is_stopping(&self) -> bool {
        self.shared.control.is_stopping()
    }

    /// Reads what the first sign-in will need of the providers, in the background.
    pub fn prefetch_providers(&self) {
        self.gateway.load().prefetch_providers();
    }

    /// Waits until the listeners and workers have stopped.
    pub async fn stopped(&self) {
        let _ = self.stopped.clone().wait_for(|stopped| *stopped).await;
    }

    /// Waits for everything: workers, provider calls under way, log lines not yet written.
    pub async fn finish(&self) {
        self.stopped().await;
        self.export.1.cancel();
        self.shared.control.finish().await;
        self.shared.telemetry.load().flush();
    }

    /// Stops and waits for the end.
    pub async fn shutdown(&self) {
        self.stop();
        self.finish().await;
    }
}

/// Makes every part as [`App::start`] does, and drops it again: what `check` finds out beyond the configuration itself. No socket
/// is bound, no log opened, no provider called.
///
/// # Errors
/// What the start would fail for.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn rehearse(config: &Config, clock: SharedClock) -> Result<(), AppError> {
    server::look(&config.server, &clock)?;
    let silent = LogSettings { access: LogSink::Off, audit: LogSink::Off, ..config.log.clone() };
    let telemetry = Telemetry::new(&silent, &clock)?;
    let shared = AcrossReloads::new(clock, telemetry);
    shared.gateway(config, &shared.telemetry.load(), None)?;
    Ok(())
}

impl AcrossReloads {
    fn new(clock: SharedClock, telemetry: Arc<Telemetry>) -> Self {
        let sealed_here = SealedHere::new(Arc::clone(&clock));
        let registry = Registry::new(&clock, &telemetry.metrics);
        Self { clock, control: Control::current(), registry, sealed_here, telemetry: ArcSwap::new(telemetry) }
    }

    /// Logs with these settings from now on. The old logs end with the last request that uses them, and here: the end waits for
    /// a slow sink, which no worker must do.
    fn log_with(&self, telemetry: Arc<Telemetry>) {
        let old = self.telemetry.swap(telemetry);
        if Arc::ptr_eq(&old, &self.telemetry.load()) {
            return;
        }
        self.control.background(async move {
            while Arc::strong_count(&old) > 1 {
                tokio::time::sleep(OLD_LOGS_LOOK).await;
            }
            _ = tokio::task::spawn_blocking(move || drop(old)).await;
        });
    }

    fn record_reload(&self, event: AuditEvent, detail: Option<&str>) {
        self.telemetry.load().metrics.config_loaded(event == AuditEvent::ConfigReloaded, self.clock.now());
        self.audit_config(event, detail);
    }

    fn audit_config(&self, event: AuditEvent, detail: Option<&str>) {
        self.telemetry.load().audit(self.clock.now(), event, &AuditFields { detail, ..AuditFields::default() });
    }

    fn gateway(
        &self,
        config: &Config,
        telemetry: &Arc<Telemetry>,
        before: Option<Arc<Gateway>>,
    ) -> Result<Arc<Gateway>, BuildError> {
        Gateway::build(GatewayParts {
            settings: config.gateway.clone(),
            session: config.session.clone(),
            keys: KeyRing::new(config.keys.clone())
                .map_err(BuildError::Keys)?
                .within(Arc::clone(&self.sealed_here), config.session.clock_leeway),
            providers: config.providers.clone(),
            registry: Arc::clone(&self.registry),
            before,
            clock: Arc::clone(&self.clock),
            control: self.control.clone(),
            telemetry: Arc::clone(telemetry),
        })
    }
}

/// A worker's reference to the current gateway. Requests count their use of it on the worker alone: a count that all workers
/// share would be a cache line that they all write to.
struct CurrentGateway {
    latest: RefCell<Cache<Arc<ArcSwap<Gateway>>, Arc<Gateway>>>,
    held: RefCell<Rc<Held>>,
}

struct Held(Arc<Gateway>);

impl CurrentGateway {
    fn new(gateway: &Arc<ArcSwap<Gateway>>) -> Self {
        let held = Rc::new(Held(gateway.load_full()));
        Self { latest: RefCell::new(Cache::new(Arc::clone(gateway))), held: RefCell::new(held) }
    }

    fn get(&self) -> Rc<Held> {
        let (mut latest, mut held) = (self.latest.borrow_mut(), self.held.borrow_mut());
        let latest = latest.load();
        if !Arc::ptr_eq(latest, &held.0) {
            *held = Rc::new(Held(Arc::clone(latest)));
        }
        Rc::clone(&held)
    }
}

/// Serves on the control runtime, and signals when it has stopped. Every worker has its own forwarder, and looks the current
/// gateway up at each request.
fn serve(
    bound: Bound,
    gateway: &Arc<ArcSwap<Gateway>>,
    admin: AdminState,
    shutdown: Shutdown,
    control: &Control,
) -> watch::Receiver<bool> {
    let gateway = Arc::clone(gateway);
    let budget = bound.budget();
    let make = move |worker: usize| {
        let forwarder = Forwarder::new(worker, Arc::clone(&budget));
        let current = Rc::new(CurrentGateway::new(&gateway));
        move |mut request: Request<Body>, downstream: Rc<Downstream>| {
            let (held, forwarder) = (current.get(), Rc::clone(&forwarder));
            async move { held.0.handle(&forwarder, &mut request, &downstream).await }
        }
    };
    let (ended, stopped) = watch::channel(false);
    control.detach(async move {
        if let Err(error) = bound.serve(make, admin, shutdown).await {
            tracing::error!(%error, "the server ended");
        }
        ended.send_replace(true);
    });
    stopped
}

/// How often it is looked whether old logs are still used.
const OLD_LOGS_LOOK: Duration = Duration::from_secs(5);
