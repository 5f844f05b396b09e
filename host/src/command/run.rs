//! `countersign-host run FILE`: starts a component, says who answers each of its imports, and calls it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use host::clock::SystemClock;
use host::component::{check, read_once};
use host::error::Error;
use host::folder::Folder;
use host::identity::HostKey;
use host::limits::Limits;
use host::memory::Memory;
use host::running::{Answers, Running};
use host::start::{Host, Parts};
use host::transport::nats::{Nats, NatsOptions, without_password};
use host::transport::{Down, Transport};
use policy::name::ComponentId;
use policy::reason::Reason;
use policy::resolve::By;
use serde_json::{Value, json};

use crate::command::wire::Wire;
use crate::output::{Output, Place, print, table};

/// Starts a component.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  countersign-host run cart.wasm\n  \
    countersign-host run cart.wasm --id cart --invoke 'add(\"milk\", 2)'\n  \
    countersign-host -o json run cart.wasm --artifacts ./providers --timeout 10\n\n\
    Refused? `countersign explain FILE --id ID` on an administrator's machine tells each rule, and a fix.")]
pub(crate) struct Run {
    /// The component: a signed `.wasm` file.
    file: PathBuf,
    /// The id it runs under; the file's name without its ending, if not given.
    #[arg(long)]
    id: Option<String>,
    /// A call of an exported function, in WAVE: `add("milk", 2)` or `demo:shop/cart@0.1.0#add("milk", 2)`.
    #[arg(long, value_name = "CALL")]
    invoke: Option<String>,
    /// A folder of signed components that this host offers as builtins.
    #[arg(long, value_name = "DIR")]
    builtins: Option<PathBuf>,
    /// A folder where linked providers are found by the digest that was permitted.
    #[arg(long, value_name = "DIR")]
    artifacts: Option<PathBuf>,
    /// How long to wait for the broker's answer, in seconds.
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,
    /// How long one call may take, in seconds.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    call_timeout: u64,
    /// How often a component may call the host within one call.
    #[arg(long, default_value_t = 100_000, value_name = "CALLS", value_parser = clap::value_parser!(u64).range(1..))]
    host_calls: u64,
    /// How much memory one instance may take, in MiB.
    #[arg(long, default_value_t = 64, value_name = "MIB", value_parser = clap::value_parser!(u16).range(1..=4096))]
    memory: u16,
}

impl Run {
    pub(crate) async fn run(self, output: Output, place: &Place, wire: &Wire) -> Result<(), Error> {
        let id = self.id()?;
        let bytes = read_once(&self.file)?;
        let memory = Memory::load(&place.host_dir)?;
        let url = place.nats_url.clone().unwrap_or_else(|| memory.record().nats_url);
        place.learn(memory.record().lattice.as_str(), &url);
        // What is wrong with the bytes themselves is told without a broker.
        check(&bytes)?;
        let host = self.host(memory, &wire.options(&url)?, place).await?;
        let started = host.start(&bytes, &id).await;
        place.ignored(host.ignored());
        // The broker hears at once why nothing more is bound here.
        if started.as_ref().is_err_and(|error| error.reason() == Some(Reason::LogFork)) {
            host.leave().await;
        }
        let mut running = started?;
        let result = match &self.invoke {
            Some(call) => Some(running.invoke(call).await),
            None => None,
        };
        // Also when the call failed: nothing runs here any more.
        host.leave().await;
        let result = result.transpose()?;
        place.warn(output);
        print(output, &text(&running, result.as_deref()), &document(&running, result.as_deref(), place))
    }

    async fn host(&self, memory: Memory, options: &NatsOptions, place: &Place) -> Result<Host, Error> {
        let key = HostKey::load(&place.host_dir)?;
        let timeout = Duration::from_secs(self.timeout);
        // Without a wire nothing starts but what a standby permit is held for.
        let transport: Arc<dyn Transport> = match Nats::connect(options, key.name(), timeout).await {
            Ok(nats) => Arc::new(nats),
            Err(why @ Error::Wire { .. }) => Arc::new(Down::new(without_password(&options.url), &why)),
            Err(error) => return Err(error),
        };
        let limits = Limits {
            memory_bytes: usize::from(self.memory) << 20,
            call: Duration::from_secs(self.call_timeout),
            host_calls: self.host_calls,
            ..Limits::default()
        };
        Host::new(Parts {
            key,
            memory: Arc::new(memory),
            transport,
            clock: Arc::new(SystemClock),
            builtins: self.builtins.as_ref().map(Folder::of_builtins).transpose()?,
            artifacts: self.artifacts.as_ref().map(Folder::of_artifacts),
            timeout,
            limits,
            sink: Arc::new(line),
        })
        .await
    }

    fn id(&self) -> Result<ComponentId, Error> {
        let stem = |path: &Path| path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let told = self.id.clone().or_else(|| stem(&self.file)).unwrap_or_default();
        ComponentId::parse(&told).map_err(|refusal| Error::Usage(format!("{}; name one with `--id`", refusal.detail)))
    }
}

// A line of a component. When nobody reads standard error any more, the component need not stop for it.
fn line(line: &str) {
    let _unread = writeln!(std::io::stderr(), "{line}");
}

fn text(running: &Running, result: Option<&str>) -> String {
    let decided = running.decided();
    let mut text =
        format!("started `{}` ({}), by entry {} of the log\n", running.id(), running.subject(), decided.index);
    for relaxed in &running.leave().relaxed {
        let about = relaxed.package.as_ref().map(|package| format!(" for {package}")).unwrap_or_default();
        text += &format!("relaxed: {}{about} would refuse, `{}` lets it pass\n", relaxed.would_refuse, relaxed.id);
    }
    if let Some(standby) = &running.leave().standby {
        text +=
            &format!("no broker answered: started by a standby permit of `{}`, until {}\n", standby.id, standby.until);
    }
    let answers = running.answers();
    if answers.is_empty() {
        text += "it imports nothing that must be answered\n";
    } else {
        let rows = answers.iter().map(row);
        text += &table(["import", "link", "by", "answered by", "provider", "sha256", "entry"], rows);
    }
    text + result.unwrap_or_default()
}

fn row(answers: &Answers) -> [String; 7] {
    let digest = answers.sha256.to_string();
    [
        answers.import.clone(),
        answers.link.to_string(),
        by(answers.by).to_owned(),
        answers.id.to_string(),
        answers.provider.to_string(),
        digest.get(..12).unwrap_or_default().to_owned(),
        answers.index.to_string(),
    ]
}

fn document(running: &Running, result: Option<&str>, place: &Place) -> Value {
    let decided = running.decided();
    let imports: Vec<_> = running.answers().iter().map(import).collect();
    let mut document = json!({
        "success": true,
        "id": running.id(),
        "subject": running.subject(),
        "sha256": running.sha256(),
        "index": decided.index,
        "entry_sha256": decided.entry_sha256,
        "epoch": decided.epoch,
        "imports": imports,
        "relaxations": running.leave().relaxed,
        "warnings": place.warnings(),
    });
    if let (Some(standby), Some(members)) = (&running.leave().standby, document.as_object_mut()) {
        members.insert("standby".to_owned(), json!(standby));
    }
    if let (Some(result), Some(members)) = (result, document.as_object_mut()) {
        members.insert("result".to_owned(), result.into());
    }
    document
}

fn import(answers: &Answers) -> Value {
    json!({
        "import": answers.import,
        "link": answers.link,
        "by": by(answers.by),
        "id": answers.id,
        "provider": answers.provider,
        "sha256": answers.sha256,
        "index": answers.index,
    })
}

const fn by(by: By) -> &'static str {
    match by {
        By::Link => "link",
        By::Builtin => "builtin",
    }
}
