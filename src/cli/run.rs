//! `vestibule run`: serves until it is stopped; SIGHUP reloads.

use std::cell::RefCell;
use std::io::{self, IsTerminal as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::app::App;
use crate::cli::RunArguments;
use crate::cli::exit::Exit;
use crate::cli::refusal::{finding, refused};
use crate::cli::sources::ConfigSource;
use crate::clock::SystemClock;
use crate::config::diagnostics::Severity;
use crate::config::{Config, Diagnostic, Report, Watch};
use crate::followed::FollowedChange;
use crate::server::systemd;
use crate::telemetry::process::{ProcessLog, init_process_log};

/// Runs the command.
pub(super) fn run(arguments: RunArguments) -> Exit {
    let RunArguments { config: source, watch } = arguments;
    let mut source = ConfigSource::from(source);
    source.is_watched = watch;
    let source = &source;
    let (config, watch) = match source.load() {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let log = match init_process_log(&config.log, SystemClock::shared(), is_journald()) {
        Ok(log) => log,
        Err(error) => return Exit::config(format!("[log]: {error}")),
    };
    for warning in &config.warnings {
        tracing::warn!(code = warning.code(), "{}", warning.message());
    }
    let runtime = match control_runtime() {
        Ok(runtime) => runtime,
        Err(error) => return Exit::internal(format!("the control runtime cannot be started: {error}")),
    };
    let exit = runtime.block_on(serve(source, config, watch, &log));
    // The look-up of a provider's name holds a thread for as long as the resolver likes: the exit does not wait for it.
    runtime.shutdown_background();
    exit
}

/// The runtime for everything that is not forwarding: two threads, so that one slow computation holds up nothing.
pub(super) fn control_runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_name("control").enable_all().build()
}

async fn serve(source: &ConfigSource, config: Config, watch: Watch, log: &ProcessLog) -> Exit {
    let (banner, places) = (banner(source, &config), config.places.clone());
    // Before readiness is reported: a signal without a listener ends the process without a drain.
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return Exit::internal(format!("signals cannot be listened for: {error}")),
    };
    let app = match App::start(config, SystemClock::shared()).await {
        Ok(app) => app,
        Err(error) => {
            log.flush();
            return refused(&error, &places);
        }
    };
    if io::stderr().is_terminal() {
        let _ = writeln!(io::stderr(), "{}", banner(&app));
    }
    tracing::info!(event = "started", traffic = ?app.traffic_addresses(), admin = ?app.admin_addresses(), "serving");
    let mut current = Running { source, app: &app, files: WatchedFiles::on(watch, source), said: RefCell::default() };
    current.ready();
    app.prefetch_providers();
    tokio::select! {
        () = signals.handle(&mut current) => {}
        () = app.stopped() => {}
    }
    app.finish().await;
    Exit::Ok
}

/// The signals that the program answers to.
struct Signals {
    hang_up: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on they are delivered here instead of ending the process.
    fn listen() -> io::Result<Self> {
        // A log that reaches the limit of a file's size (ulimit -f) is an error to the log: without a listener, the signal ends the process.
        drop(signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?);
        Ok(Self {
            hang_up: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Reloads at each SIGHUP and when a file that the configuration names has changed; returns once a stop has been asked for
    /// and the server has stopped. A second signal stops it at once.
    async fn handle(&mut self, current: &mut Running<'_>) {
        let (app, mut asked) = (current.app, false);
        let mut looks = tokio::time::interval(BETWEEN_LOOKS);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = self.hang_up.recv() => current.guarded(Running::reload),
                Some(change) = current.files.changed.recv() => current.guarded(|current| current.take_change(change)),
                _ = self.terminate.recv() => app.stop(),
                _ = self.interrupt.recv() => app.stop(),
                _ = looks.tick() => current.say_how_it_is(),
                () = app.stopped(), if asked => return,
            }
            if app.is_stopping() && !asked {
                asked = true;
                systemd::stopping(app.longest_stop());
                tracing::info!(event = "stopping", "draining; ask again to stop at once");
            }
        }
    }
}

/// What runs, and where its configuration comes from.
struct Running<'a> {
    source: &'a ConfigSource,
    app: &'a App,
    files: WatchedFiles,
    /// The status that the service manager has.
    said: RefCell<String>,
}

impl Running<'_> {
    /// A panic while a new configuration is read must not end the process: the log's hook names its place.
    fn guarded(&self, read: impl FnOnce(&Self)) {
        if catch_unwind(AssertUnwindSafe(|| read(self))).is_err() {
            self.app.reload_refused("panicked");
            tracing::error!(event = "config.rejected", "a fault of ours while the configuration was read");
            self.ready();
        }
    }

    /// Takes the new configuration, or says why not and goes on with the old one.
    fn reload(&self) {
        let read = self.source.read_watched();
        self.take(read.map(|(config, watch)| {
            self.files.watch(watch);
            config
        }));
    }

    /// Takes what was found at a look at the files.
    fn take_change(&self, change: FileChange) {
        match change {
            FileChange::Followed(changes) => self.app.take_followed(&changes),
            FileChange::Configuration(found) => {
                tracing::info!(code = "files_changed", "a file of the configuration has changed: it is read again");
                self.take(*found);
            }
        }
    }

    /// Start or reload is over.
    fn ready(&self) {
        let line = self.app.status();
        systemd::ready(&line);
        self.said.replace(line);
    }

    /// Keeps the service manager's line current.
    fn say_how_it_is(&self) {
        let line = self.app.status();
        if *self.said.borrow() != line {
            systemd::status(&line);
            self.said.replace(line);
        }
    }

    fn take(&self, read: Result<Config, Report>) {
        let app = self.app;
        systemd::reloading();
        match read {
            Err(report) => {
                app.reload_refused(&codes(&report));
                tracing::error!(
                    event = "config.rejected",
                    "the new configuration is not taken, the old one goes on:\n{}",
                    report.render(false)
                );
            }
            Ok(config) => match app.reload(&config) {
                Ok(()) => app.prefetch_providers(),
                Err(error) => {
                    let found = finding(&error, &config.places).map(|found| Report::new(vec![found]).render(false));
                    tracing::error!(
                        event = "config.rejected", %error,
                        "the new configuration is not taken, the old one goes on:\n{}", found.unwrap_or_default()
                    );
                }
            },
        }
        self.ready();
    }
}

/// What was found at a look at the files.
enum FileChange {
    /// Followed files have changed, and what can be taken of them is in use.
    Followed(Vec<FollowedChange>),
    /// The configuration as it is now, because another file has changed.
    Configuration(Box<Result<Config, Report>>),
}

/// The task that watches files: never on the thread that handles signals, because a disk may be slow.
struct WatchedFiles {
    watch: Arc<Mutex<Watch>>,
    changed: mpsc::Receiver<FileChange>,
    _looking: JoinSet<()>,
}

impl WatchedFiles {
    fn on(watch: Watch, source: &ConfigSource) -> Self {
        let watch = Arc::new(Mutex::new(watch));
        let (found, changed) = mpsc::channel(1);
        let mut looking = JoinSet::new();
        looking.spawn(look_again(Arc::clone(&watch), source.clone(), found));
        Self { watch, changed, _looking: looking }
    }

    /// Looks at those of another configuration from now on.
    fn watch(&self, watch: Watch) {
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner) = watch;
    }
}

/// Sends what is read whenever a file has changed: the configuration of before with what its files hold now, or with `--watch` all of
/// it, because the file and those that it names may have changed together.
async fn look_again(watch: Arc<Mutex<Watch>>, source: ConfigSource, found: mpsc::Sender<FileChange>) {
    let mut tick = tokio::time::interval(BETWEEN_LOOKS);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let (watch, source) = (Arc::clone(&watch), source.clone());
        let look = move || {
            let mut watch = watch.lock().unwrap_or_else(PoisonError::into_inner);
            let followed = Some(watch.look_at_followed()).filter(|changes| !changes.is_empty());
            let read = watch.look().then(|| {
                if !source.is_watched {
                    return watch.read_again();
                }
                let read = source.read_watched();
                read.map(|(config, newer)| {
                    *watch = newer;
                    config
                })
            });
            (followed.map(FileChange::Followed), read.map(|read| FileChange::Configuration(Box::new(read))))
        };
        let Ok((followed, read)) = tokio::task::spawn_blocking(look).await else { continue };
        for change in followed.into_iter().chain(read) {
            if found.send(change).await.is_err() {
                return;
            }
        }
    }
}

/// A change is taken at the second look that shows it: within less than ten seconds, also where reading takes some.
const BETWEEN_LOOKS: Duration = Duration::from_secs(2);

/// Which kinds of errors a report holds, for a line that people alert on; the report itself goes to the process log.
fn codes(report: &Report) -> String {
    let errors = report.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
    errors.map(Diagnostic::code).collect::<Vec<_>>().join(" ")
}

/// What a person at a terminal needs to know, in a few lines.
fn banner(source: &ConfigSource, config: &Config) -> impl Fn(&App) -> String + use<> {
    let public = &config.gateway.public_url;
    let origin = public.origin();
    let providers: Vec<String> = config.providers.iter().map(|provider| provider.name.to_string()).collect();
    let callbacks: Vec<String> = config.providers.iter().map(|it| format!("{origin}{}", it.redirect_path)).collect();
    let callbacks = callbacks.join(", ");
    let (file, routes, warnings) = (source.name(), config.gateway.routes.len(), config.warnings.len());
    move |app: &App| {
        format!(
            "vestibule {}\n  configuration  {file}\n  listening      {:?}\n  admin          {:?}\n  public URL     {origin}\n  \
             redirect URI   {callbacks}  (register this at the provider)\n  providers      {}\n  routes         {routes}\n  \
             warnings       {warnings}\n  next           open {origin}/",
            env!("CARGO_PKG_VERSION"),
            app.traffic_addresses(),
            app.admin_addresses(),
            providers.join(", "),
        )
    }
}

/// Whether standard error is the service manager's journal, which has times and priorities of its own: `JOURNAL_STREAM` names the
/// device and the inode of its stream, and what has been led elsewhere since is another (systemd.exec(5)).
fn is_journald() -> bool {
    let named = std::env::var_os("JOURNAL_STREAM");
    let named = named.as_deref().and_then(|text| text.to_str()?.split_once(':'));
    let is_named = |stream: rustix::fs::Stat| named == Some((&*stream.st_dev.to_string(), &*stream.st_ino.to_string()));
    rustix::fs::fstat(io::stderr()).is_ok_and(is_named)
}
