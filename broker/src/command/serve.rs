//! `serve`: the broker of a lattice, or of several side by side. One line each says that it is ready; a signal ends it
//! in order.
//!
//! Every lattice has a folder, a service, a connection and subjects of its own; the process alone is shared (T82).

use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use policy::digest::Digest;
use policy::envelope::Verified;
use policy::query::Query;
use policy::reason::{Reason, Refusal};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::client::{Client, told};
use crate::clock::{Clock, SystemClock};
use crate::command::Globals;
use crate::error::Error;
use crate::output::{self, Format, Report, Usage};
use crate::present::Present;
use crate::service::{Service, Snapshot};
use crate::settings::Settings;
use crate::store::LogReader;
use crate::transport::nats::{self, Views};
use crate::view::{self, Scene};

/// Run the broker of the lattice, or of several, until it is told to stop.
#[derive(Debug, clap::Args)]
#[command(after_help = "Messages go to standard error; RUST_LOG chooses which.\n\n\
    Examples:\n  countersign serve\n  countersign --dir /srv/prod --nats-url nats://127.0.0.1:4222 serve --quiet\n  \
    countersign serve --dirs /srv/prod /srv/stage")]
pub struct Args {
    /// The folders of several lattices, each with a broker of its own in this one process.
    #[arg(long, value_name = "DIR", num_args = 1..)]
    dirs: Vec<PathBuf>,
    /// Say nothing but errors, not even that it is ready.
    #[arg(short, long)]
    quiet: bool,
    /// How many questions one host may ask a second, in the long run.
    #[arg(long, value_name = "N", default_value_t = Settings::default().host_rate)]
    host_rate: u32,
    /// How many questions one host may ask at once.
    #[arg(long, value_name = "N", default_value_t = Settings::default().host_burst)]
    host_burst: u32,
}

impl Args {
    pub(super) fn run(self, globals: &Globals) -> anyhow::Result<Report> {
        // What the server says is told by the transport, once.
        let usual = if self.quiet { "error" } else { "info,async_nats=warn" };
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
        let terminal = std::io::stderr().is_terminal();
        // A second subscriber, in a process that serves twice, is no reason not to serve.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(terminal)
            .try_init();
        if self.dirs.len() > 1 && globals.lock.is_some() {
            return Err(Usage("each lattice has a lock of its own: `--lock` goes with one folder".to_owned()).into());
        }
        let client = Client::of(&match self.dirs.first() {
            None => globals.clone(),
            Some(dir) => Globals { dir: Some(dir.clone()), ..globals.clone() },
        })?;
        let more = self.dirs.iter().skip(1).map(|dir| Globals { dir: Some(dir.clone()), ..globals.clone() });
        let more: Vec<Client> = more.map(|place| Client::of(&place)).collect::<anyhow::Result<_>>()?;
        let clients: Vec<&Client> = std::iter::once(&client).chain(&more).collect();
        refuse_twins(&clients)?;
        let roots: Vec<Digest> = clients.iter().map(|client| client.root()).collect::<anyhow::Result<_>>()?;
        let settings = Settings { host_rate: self.host_rate, host_burst: self.host_burst, ..Settings::default() };
        let say = (!self.quiet).then_some(globals.format);
        client.block_on(async {
            let courts = open(&clients, &roots, &settings).await?;
            serve(courts, say).await
        })?;
        Ok(Report::default())
    }
}

/// One lattice that is served: nothing in it is another's.
struct Court {
    service: Arc<Service>,
    wire: nats::Connection,
    ready: Value,
}

// The name is in each subject, so two of one name would hear what is meant for each other.
fn refuse_twins(clients: &[&Client]) -> anyhow::Result<()> {
    let mut names = BTreeSet::new();
    match clients.iter().find(|client| !names.insert(client.lattice().clone())) {
        None => Ok(()),
        Some(twin) => Err(Usage(format!("two folders are of lattices named `{}`", twin.lattice())).into()),
    }
}

// All of them or none: whoever starts several is told at once which one cannot be.
async fn open(clients: &[&Client], roots: &[Digest], settings: &Settings) -> anyhow::Result<Vec<Court>> {
    let mut services = Vec::new();
    for client in clients {
        let service = Service::open_with(client.need_folder()?, Arc::new(SystemClock::default()), settings.clone());
        services.push(Arc::new(service.await.map_err(told)?));
    }
    let mut courts = Vec::new();
    for ((client, root), service) in clients.iter().zip(roots).zip(&services) {
        let options = client.nats()?;
        // A login is no key of its own lattice, and of none beside it either (T09).
        if let Some(raw) = options.login_raw().map_err(told)? {
            services.iter().try_for_each(|service| service.refuse_login_key(raw))?;
        }
        let wire = nats::connect_broker(&options, service).await.map_err(told)?;
        let url = output::bare_url(&client.nats_url());
        let ready = json!({"ready": true, "lattice": client.lattice(), "root": root, "nats_url": url});
        courts.push(Court { service: Arc::clone(service), wire, ready });
    }
    Ok(courts)
}

// Each is served for itself; a signal, or the end of one, ends them all in order.
async fn serve(courts: Vec<Court>, say: Option<Format>) -> anyhow::Result<()> {
    // Before anybody is told that it is ready: a signal may follow at once.
    let stopped = stopped();
    let (end, ended) = watch::channel(());
    let lines: String = courts.iter().filter_map(|court| Some(ready_line(say?, &court.ready))).collect();
    let (waiting, lines) = (AtomicUsize::new(courts.len()), &lines);
    let ready = || {
        if waiting.fetch_sub(1, Ordering::Relaxed) == 1 {
            // Who waits for the line may be gone; the broker works all the same.
            let _ = output::emit(lines);
        }
    };
    let mut services = Vec::new();
    let mut serving = FuturesUnordered::new();
    for Court { service, wire, .. } in courts {
        services.push(Arc::clone(&service));
        let mut ended = ended.clone();
        // Only its end is told there.
        let stop = async move { drop(ended.changed().await) };
        serving.push(nats::serve(service, wire, Arc::new(Looks), ready, stop));
    }
    let (mut stopped, mut end, mut served) = (std::pin::pin!(stopped), Some(end), Ok(()));
    loop {
        tokio::select! {
            () = &mut stopped, if end.is_some() => drop(end.take()),
            one = serving.next() => match one {
                None => break,
                Some(one) => {
                    end = None;
                    served = served.and(one);
                }
            },
        }
    }
    drop(serving);
    let mut failures = Vec::from_iter(served.err());
    // Each is closed, whatever became of the others.
    for service in services.into_iter().filter_map(Arc::into_inner) {
        let lattice = service.lattice().clone();
        if let Err(error) = service.close().await {
            tracing::error!(%lattice, %error, "the folder was not closed in order");
            failures.push(error);
        }
    }
    failures.into_iter().next().map_or(Ok(()), |first| Err(told(first)))
}

fn ready_line(format: Format, ready: &Value) -> String {
    match format {
        Format::Json => format!("{ready}\n"),
        Format::Text => {
            let member = |name: &str| output::shown(&view::cell(ready, name));
            format!("ready  lattice {}  root {}  nats {}\n", member("lattice"), member("root"), member("nats_url"))
        }
    }
}

// Listens from the moment it is called, not only from when it is waited for.
fn stopped() -> impl Future<Output = ()> + Send {
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async move {
        let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
            // Without signals nothing could end it in order.
            tracing::error!("signals cannot be received");
            return;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
    }
}

// The same looks as the reading commands', on the broker's own state.
struct Looks;

impl Views for Looks {
    fn view<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        log: &'a LogReader,
        present: &'a Present,
        what: &'a str,
        query: &'a Verified<Query>,
    ) -> BoxFuture<'a, Result<Value, Refusal>> {
        async move {
            let now = SystemClock::default().now();
            let Snapshot { state, head, root } = snapshot;
            let room = present.room();
            let scene = Scene { state, head: *head, root: *root, log, now, present: Some(present), room };
            match view::answer_query(scene, what, query).await {
                Ok(view) => Ok(view),
                // Signed like any view, so that nobody else can say no in the broker's name.
                Err(Error::Refused(refusal)) => Ok(json!({"refused": refusal.reason, "detail": refusal.detail})),
                Err(error) => {
                    tracing::warn!(%error, "a query could not be answered");
                    Err(Refusal::new(Reason::AuditUnavailable, "the log could not be read"))
                }
            }
        }
        .boxed()
    }
}
