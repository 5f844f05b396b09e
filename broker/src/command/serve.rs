//! `serve`: the broker. One line says that it is ready; a signal ends it in order.

use std::io::IsTerminal;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use policy::reason::{Reason, Refusal};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::client::{Client, told};
use crate::clock::{Clock, SystemClock};
use crate::command::Globals;
use crate::error::Error;
use crate::output::{self, Format, Report};
use crate::present::Present;
use crate::service::{Service, Snapshot};
use crate::settings::Settings;
use crate::store::LogReader;
use crate::transport::nats::{self, Views};
use crate::view::{self, Scene};

/// Run the broker of the lattice until it is told to stop.
#[derive(Debug, clap::Args)]
#[command(after_help = "Messages go to standard error; RUST_LOG chooses which.\n\n\
    Examples:\n  countersign serve\n  countersign --dir /srv/prod --nats-url nats://127.0.0.1:4222 serve --quiet")]
pub struct Args {
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
        let usual = if self.quiet { "error" } else { "info" };
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
        let terminal = std::io::stderr().is_terminal();
        // A second subscriber, in a process that serves twice, is no reason not to serve.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .with_ansi(terminal)
            .try_init();
        let client = Client::of(globals)?;
        let root = client.root()?;
        let folder = client.need_folder()?;
        let ready = json!({
            "ready": true, "lattice": client.lattice(), "root": root, "nats_url": output::bare_url(&client.nats_url()),
        });
        client.block_on(async {
            let settings = Settings { host_rate: self.host_rate, host_burst: self.host_burst, ..Settings::default() };
            let service = Service::open_with(folder, Arc::new(SystemClock::default()), settings);
            let service = service.await.map_err(told)?;
            let wire = nats::connect_broker(&client.nats()?, &service).await.map_err(told)?;
            let service = Arc::new(service);
            let (flushed, format, quiet) = (wire.clone(), globals.format, self.quiet);
            // Before anybody is told that it is ready: a signal may follow at once.
            let stopped = stopped();
            let stop = async move {
                // Every subject is subscribed by now; the server knows it once this is flushed.
                if let Err(error) = flushed.flush().await {
                    tracing::error!(%error, "the NATS server does not listen");
                }
                if !quiet {
                    output::emit(&ready_line(format, &ready));
                }
                stopped.await;
            };
            let served = nats::serve(Arc::clone(&service), wire, Arc::new(Looks), stop).await;
            if let Some(service) = Arc::into_inner(service) {
                service.close().await.map_err(told)?;
            }
            served.map_err(told)?;
            Ok(Report::default())
        })
    }
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
        arguments: &'a [u8],
    ) -> BoxFuture<'a, Result<Value, Refusal>> {
        async move {
            let now = SystemClock::default().now();
            let scene = Scene { state: &snapshot.state, head: snapshot.head, log, now, present: Some(present) };
            match view::answer_query(scene, what, arguments).await {
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
