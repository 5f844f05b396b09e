//! A whole lattice of real processes: a nats-server, a broker, enrolled hosts, each with its own folder and port.
//!
//! Everything is stopped and removed when it is dropped.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{self, program};
use crate::vectors;

/// A nats-server on a port of its own.
pub struct Nats {
    child: Child,
    scheme: &'static str,
    port: u16,
    folder: TempDir,
    variables: BTreeMap<&'static str, PathBuf>,
}

impl Nats {
    /// Starts one on a free port.
    pub fn start() -> Self {
        let folder = TempDir::new().expect("a folder");
        std::fs::write(folder.path().join(CONFIG), "debug: false\n").expect("written");
        let child = Self::spawn(folder.path(), -1);
        let ports = wait_for("the server's ports", || {
            let mut files = std::fs::read_dir(folder.path()).ok()?.flatten();
            let file = files.find(|file| file.path().extension().is_some_and(|extension| extension == "ports"))?;
            serde_json::from_slice::<Value>(&std::fs::read(file.path()).ok()?).ok()
        });
        let url = ports["nats"][0].as_str().expect("a URL");
        let port = url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        Self { child, scheme: "nats", port, folder, variables: BTreeMap::new() }
    }

    /// Starts it again on the same port with this configuration; one with a `tls` block speaks TLS.
    pub fn configure(&mut self, config: &str) {
        std::fs::write(self.folder.path().join(CONFIG), config).expect("written");
        self.scheme = if config.contains("tls {") { "tls" } else { "nats" };
        self.restart();
    }

    /// Names a file to every program that is started from now on, by a variable of its environment.
    pub fn present(&mut self, variable: &'static str, file: &Path) {
        self.variables.insert(variable, file.to_owned());
    }

    /// Names it no longer.
    pub fn withhold(&mut self, variable: &str) {
        self.variables.remove(variable);
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// Stops it as a crash would, and starts it again on the same port.
    pub fn restart(&mut self) {
        self.stop();
        self.child = Self::spawn(self.folder.path(), i32::from(self.port));
        wait_for("the server again", || std::net::TcpStream::connect(self.address()).ok());
    }

    /// Stops it as a crash would.
    pub fn stop(&mut self) {
        kill(&mut self.child);
    }

    fn spawn(folder: &Path, port: i32) -> Child {
        let fetched = vectors::repository().join(".tools/nats/bin/nats-server");
        let installed = if fetched.is_file() { fetched.into_os_string() } else { "nats-server".into() };
        let server = std::env::var_os("NATS_SERVER").unwrap_or(installed);
        Command::new(&server)
            .args(["--addr", "127.0.0.1", "--port", &port.to_string(), "--ports_file_dir"])
            .arg(folder)
            .arg("--config")
            .arg(folder.join(CONFIG))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}: `make nats` fetches one", server.to_string_lossy()))
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A lattice: its folder, its server, and its broker if one runs.
pub struct Lattice {
    /// The server.
    pub nats: Nats,
    broker: Option<Child>,
    // What the broker alone is started with.
    environment: BTreeMap<&'static str, OsString>,
    descriptors: Option<u32>,
    arguments: Vec<String>,
    room: TempDir,
}

impl Lattice {
    /// A lattice that was just made, with its broker.
    pub fn start() -> Self {
        let mut lattice = Self::quiet();
        lattice.serve();
        lattice
    }

    /// A lattice that was just made, without a broker.
    pub fn quiet() -> Self {
        Self::quiet_with(&[])
    }

    /// The same, made with these options of `init`.
    pub fn quiet_with(options: &[&str]) -> Self {
        let room = TempDir::new().expect("a folder");
        let lattice = Self {
            nats: Nats::start(),
            broker: None,
            environment: BTreeMap::new(),
            descriptors: None,
            arguments: Vec::new(),
            room,
        };
        lattice.accepted(&[&["init"], options].concat());
        lattice
    }

    /// As `start`, with an issuer `acme`, a host, and `cart` whose logging and keyvalue are answered by builtins.
    pub fn with_cart() -> Self {
        let mut lattice = Self::quiet();
        lattice.furnish();
        lattice.serve();
        lattice.join("host");
        lattice
    }

    /// Makes an issuer `acme`, and admits `cart` with builtins for its logging and keyvalue.
    pub fn furnish(&self) {
        let acme = self.issuer("acme");
        self.accepted(&[
            "issuer",
            "add",
            &acme,
            "--scope",
            "demo:*",
            "--scope",
            "wasi:*",
            "--kind",
            "component",
            "--kind",
            "provider",
            "--kind",
            "contract",
        ]);
        let cart = self.signed("cart", "cart", "acme");
        self.accepted(&["component", "admit", path(&cart), "--id", "cart"]);
        for name in ["logging", "keyvalue"] {
            self.publish(&format!("wasi:{name}"), name, &acme);
            self.accepted(&["provider", "admit", &format!("native/{name}@0.1.0")]);
            self.accepted(&["default", "put", &format!("wasi:{name}"), "--bind", "builtin"]);
        }
    }

    /// Makes an issuer's key and returns its public half.
    pub fn issuer(&self, name: &str) -> String {
        let file = self.path(&format!("{name}.nk"));
        let made = self.accepted(&["keys", "gen", "issuer", "--out", path(&file)]);
        vectors::text(&made, "public").to_owned()
    }

    /// Drafts, signs and publishes the contract of a package.
    pub fn publish(&self, package: &str, name: &str, issuer: &str) {
        let (draft, token) = (self.path(&format!("{name}.json")), self.path(&format!("{name}.jwt")));
        let output = self
            .command("countersign", &["contract", "draft", package, "--issuer", issuer, "--provider-issuer", issuer]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::write(&draft, output.stdout).expect("a draft");
        let key = self.path("acme.nk");
        self.accepted(&["contract", "sign", path(&draft), "--issuer-key", path(&key), "--out", path(&token)]);
        self.accepted(&["contract", "publish", path(&token)]);
    }

    /// Signs a guest under a name with the issuer of that name, and returns the file.
    pub fn signed(&self, guest: &str, name: &str, issuer: &str) -> PathBuf {
        let signed = self.path(&format!("{name}-{issuer}.wasm"));
        let bytes = vectors::guest(guest);
        std::fs::write(&signed, crate::sign::component(&bytes, name, &self.path(&format!("{issuer}.nk"))))
            .expect("written");
        signed
    }

    /// Enrols a host in a folder of that name.
    pub fn join(&self, host: &str) {
        let invite = vectors::text(&self.accepted(&["host", "invite"]), "invite").to_owned();
        let file = self.path(&format!("{host}.invite"));
        std::fs::write(&file, invite).expect("written");
        let joined = self.host(host, &["join", path(&file)]);
        assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stderr));
    }

    /// Runs `countersign-host` as the host of that folder.
    pub fn host(&self, host: &str, arguments: &[&str]) -> Output {
        let folder = self.path(host);
        let arguments = [&["--host-dir", path(&folder)], arguments].concat();
        self.command("countersign-host", &arguments)
    }

    /// The same, where the program sees these variables too.
    pub fn host_seeing(&self, host: &str, arguments: &[&str], variables: &[(&'static str, PathBuf)]) -> Output {
        let folder = self.path(host);
        let mut command = self.prepared("countersign-host", &[&["--host-dir", path(&folder)], arguments].concat());
        command.envs(variables.iter().map(|(name, value)| (name, value))).output().expect("it starts")
    }

    /// Runs `countersign -o json`: its exit code and the object it printed.
    pub fn json(&self, arguments: &[&str]) -> (i32, Value) {
        let arguments = [&["-o", "json"], arguments].concat();
        let output = self.command("countersign", &arguments);
        let printed = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
        let object = serde_json::from_slice(printed).unwrap_or_else(|error| {
            panic!("no JSON from {arguments:?}: {error}: {}", String::from_utf8_lossy(printed))
        });
        (output.status.code().unwrap_or(-1), object)
    }

    /// As `json`, for what must be done.
    pub fn accepted(&self, arguments: &[&str]) -> Value {
        let (code, object) = self.json(arguments);
        assert_eq!(code, 0, "{arguments:?}: {object}");
        object
    }

    /// Runs lines as an operator types them, where the programs are found by name, up to the first that fails.
    pub fn shell(&self, lines: &str, variables: &[(&str, &str)]) -> Output {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-eu", "-c", lines]).current_dir(self.room.path()).env_clear();
        let found = format!("{}:/usr/bin:/bin", path(&program::folder()));
        shell.env("PATH", found).env("COUNTERSIGN_DIR", self.path("lattice")).envs(variables.iter().copied());
        shell.env("HOME", "/nonexistent").env("COUNTERSIGN_NATS_URL", self.nats.url()).output().expect("a shell")
    }

    /// Starts the broker and waits until it is ready.
    pub fn serve(&mut self) {
        self.serve_over(&self.nats.url());
    }

    /// Starts the broker over another way to the server, and waits until it is ready.
    pub fn serve_over(&mut self, url: &str) {
        let mut child = self.prepared_broker(url).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let ready = lines.by_ref().map_while(Result::ok).any(|line| line.contains("ready"));
        assert!(ready, "the broker ended before it was ready");
        // Nobody reads on; what it prints later must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        self.broker = Some(child);
    }

    /// Starts the broker and waits until it is ready or has ended; whether it is ready.
    pub fn try_serve(&mut self) -> bool {
        let mut child = self
            .prepared_broker(&self.nats.url())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let ready = lines.by_ref().map_while(Result::ok).any(|line| line.contains("ready"));
        std::thread::spawn(move || lines.for_each(drop));
        self.broker = Some(child);
        if !ready {
            self.kill_broker();
        }
        ready
    }

    /// Copies the broker's folder, as it is now, into another of that name.
    pub fn copy_folder(&self, name: &str) {
        copied(&self.path("lattice"), &self.path(name));
    }

    /// Starts another broker on a folder of that name, over that URL, and waits until it is ready.
    pub fn serve_from(&self, name: &str, url: &str) -> Served {
        let mut broker = self.prepared("countersign", &["--nats-url", url, "serve"]);
        let broker = broker.env("COUNTERSIGN_DIR", self.path(name)).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = broker.spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        assert!(
            lines.by_ref().map_while(Result::ok).any(|line| line.contains("ready")),
            "it ended before it was ready"
        );
        std::thread::spawn(move || lines.for_each(drop));
        Served(child)
    }

    /// From its next start on, the broker has this variable.
    pub fn broker_sees(&mut self, variable: &'static str, value: impl Into<OsString>) {
        self.environment.insert(variable, value.into());
    }

    /// What the broker alone sees, for one that is started by hand.
    pub fn environment(&self) -> impl Iterator<Item = (&'static str, &OsString)> {
        self.environment.iter().map(|(name, value)| (*name, value))
    }

    /// From its next start on, `serve` is given these too.
    pub fn broker_is_told(&mut self, arguments: &[&str]) {
        self.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    }

    /// From its next start on, the broker may have so many files and sockets open.
    pub fn broker_may_open(&mut self, descriptors: u32) {
        self.descriptors = Some(descriptors);
    }

    /// SIGKILL.
    pub fn kill_broker(&mut self) {
        if let Some(mut broker) = self.broker.take() {
            kill(&mut broker);
        }
    }

    /// SIGTERM, and waits for the end.
    pub fn stop_broker(&mut self) {
        if let Some(mut broker) = self.broker.take() {
            let pid = broker.id().to_string();
            assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
            assert!(broker.wait().expect("it ends").success(), "a clean end is exit code 0");
        }
    }

    /// The process id of the broker, if one runs.
    pub fn broker_pid(&self) -> Option<u32> {
        self.broker.as_ref().map(Child::id)
    }

    /// A file in this lattice's room.
    pub fn path(&self, name: &str) -> PathBuf {
        self.room.path().join(name)
    }

    /// The log.
    pub fn log(&self) -> PathBuf {
        self.path("lattice/log.db")
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Output {
        self.prepared(program, arguments).output().expect("it starts")
    }

    fn prepared_broker(&self, url: &str) -> Command {
        let mut broker = self.prepared("countersign", &["--nats-url", url, "serve"]);
        broker.args(&self.arguments).envs(&self.environment);
        let Some(descriptors) = self.descriptors else {
            return broker;
        };
        // The shell sets the limit and becomes the broker.
        let mut limited = Command::new("/bin/sh");
        limited.args(["-c", "ulimit -n \"$0\" && exec \"$@\"", &descriptors.to_string()]);
        limited.arg(broker.get_program()).args(broker.get_args()).current_dir(self.room.path()).env_clear();
        limited.envs(broker.get_envs().filter_map(|(name, value)| Some((name, value?))));
        limited
    }

    fn prepared(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = program(name);
        command.env("COUNTERSIGN_DIR", self.path("lattice")).env("COUNTERSIGN_NATS_URL", self.nats.url());
        command.envs(&self.nats.variables).current_dir(self.room.path()).args(arguments);
        command
    }
}

/// Another broker; it is killed when it is dropped.
pub struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        kill(&mut self.0);
    }
}

impl Drop for Lattice {
    fn drop(&mut self) {
        self.kill_broker();
    }
}

/// Waits until something is there; a minute is more than anything here needs.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: it never came");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A path as an argument.
pub fn path(path: &Path) -> &str {
    path.to_str().expect("a path of our own making")
}

fn copied(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("a folder");
    let mode = std::fs::metadata(from).expect("its mode").permissions();
    std::fs::set_permissions(to, mode).expect("the same mode");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let (file, copy) = (entry.path(), to.join(entry.file_name()));
        if file.is_dir() {
            copied(&file, &copy);
        } else {
            std::fs::copy(&file, &copy).expect("copied");
        }
    }
}

fn kill(child: &mut Child) {
    // A process that has ended already is as good as killed.
    let _ = child.kill();
    let _ = child.wait();
}

const CONFIG: &str = "nats.conf";
