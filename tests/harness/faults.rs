//! System calls of the real broker that fail on command: a small shim that is preloaded into it.
//!
//! The shim is `tests/faults/shim.c`; which faults must come to what is left to the suite.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::lattice::Lattice;
use crate::vectors;

/// Faults in the files of a lattice's folder, switched on and off while its broker runs.
pub struct Faults {
    control: PathBuf,
    run: u32,
}

/// Which calls fail, and how.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    /// Letters: w write, s sync, t truncate, o open to write, r rename, u unlink.
    pub calls: &'static str,
    /// Whether the call is done although it tells an error.
    pub done: bool,
    /// The first that fails, counted from 1.
    pub first: u32,
    /// How many fail.
    pub count: u32,
    /// The error's number.
    pub errno: i32,
}

/// No space left on the device.
pub const ENOSPC: i32 = 28;
/// An error of the device.
pub const EIO: i32 = 5;
/// The file system can only be read.
pub const EROFS: i32 = 30;
/// All calls that the shim knows.
pub const EVERY_CALL: &str = "wstoru";

impl Faults {
    /// The broker's environment under which `switch` takes effect, and the switch, which is off.
    pub fn prepare(lattice: &mut Lattice) -> Self {
        let control = control(lattice);
        lattice.broker_sees("LD_PRELOAD", shim());
        lattice.broker_sees("FAULTS_FOLDER", folder(lattice, "lattice"));
        lattice.broker_sees("FAULTS_CONTROL", control.clone());
        Self { control, run: 0 }
    }

    /// Faults in the files of another folder, and the environment of a program that is to meet them.
    pub fn elsewhere(control: PathBuf, folder: &Path) -> (Self, [(&'static str, PathBuf); 3]) {
        std::fs::write(&control, "").expect("written");
        let folder = folder.canonicalize().expect("a folder");
        let variables = [("LD_PRELOAD", shim()), ("FAULTS_FOLDER", folder), ("FAULTS_CONTROL", control.clone())];
        (Self { control, run: 0 }, variables)
    }

    /// The same for the folder of a host.
    pub fn prepare_host(lattice: &Lattice, host: &str) -> (Self, [(&'static str, PathBuf); 3]) {
        Self::elsewhere(lattice.path("faults"), &lattice.path(host))
    }

    /// From now on, these calls fail.
    pub fn on(&mut self, fault: Fault) {
        self.run += 1;
        let Fault { calls, done, first, count, errno } = fault;
        let form = if done { "lie" } else { "refuse" };
        self.control(&format!("{} {calls} {form} {first} {count} {errno}\n", self.run));
    }

    /// From now on, the folder holds no more than so many bytes, as on a disk of that size.
    pub fn full(&mut self, bytes: u64) {
        self.run += 1;
        self.control(&format!("{} wt full {bytes} 0 {ENOSPC}\n", self.run));
    }

    /// From now on, each sync takes so much longer.
    pub fn slow(&mut self, delay_ms: u32) {
        self.run += 1;
        self.control(&format!("{} s slow {delay_ms} 0 0\n", self.run));
    }

    /// No call fails any more.
    pub fn off(&self) {
        self.control("");
    }

    /// How many calls of the kind were met since `on`.
    pub fn met(&self) -> u32 {
        let told = std::fs::read_to_string(self.control.with_extension("met")).unwrap_or_default();
        let mut words = told.split_whitespace().map(|word| word.parse::<u32>().expect("a number"));
        if words.next() == Some(self.run) { words.next().expect("two numbers") } else { 0 }
    }

    // Renamed into place, so that nobody reads half of it.
    fn control(&self, text: &str) {
        let fresh = self.control.with_extension("new");
        std::fs::write(&fresh, text).expect("written");
        std::fs::rename(&fresh, &self.control).expect("renamed");
    }
}

fn control(lattice: &Lattice) -> PathBuf {
    let control = lattice.path("faults");
    std::fs::write(&control, "").expect("written");
    control
}

fn folder(lattice: &Lattice, name: &str) -> PathBuf {
    lattice.path(name).canonicalize().expect("a folder")
}

/// What a power cut would leave of a lattice's folder: of each file what was there when it was last synced.
pub struct Power {
    durable: PathBuf,
}

impl Power {
    /// From its next start on, whatever the broker syncs is kept; what lies there now is taken for synced.
    pub fn prepare(lattice: &mut Lattice) -> Self {
        let durable = lattice.path("durable");
        std::fs::create_dir(&durable).expect("a folder");
        for file in files(&folder(lattice, "lattice")) {
            std::fs::copy(&file, durable.join(file.file_name().expect("a name"))).expect("copied");
        }
        lattice.broker_sees("LD_PRELOAD", shim());
        lattice.broker_sees("FAULTS_FOLDER", folder(lattice, "lattice"));
        lattice.broker_sees("FAULTS_DURABLE", durable.clone());
        Self { durable }
    }

    /// Cuts the power: the broker is gone, and so is whatever it did not sync. How many files are others than before.
    pub fn cut(&self, lattice: &mut Lattice) -> usize {
        lattice.kill_broker();
        let mut others = 0;
        for file in files(&lattice.path("lattice")) {
            let durable = self.durable.join(file.file_name().expect("a name"));
            let kept = std::fs::read(&durable).ok();
            if kept != std::fs::read(&file).ok() {
                others += 1;
                std::fs::remove_file(&file).expect("removed");
            }
        }
        for durable in files(&self.durable) {
            let file = lattice.path("lattice").join(durable.file_name().expect("a name"));
            std::fs::copy(&durable, file).expect("copied");
        }
        others
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let found = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    found.filter(|path| path.is_file()).collect()
}

// Compiled beside the programs that it is preloaded into, by the compiler that they were built with.
fn shim() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build).clone()
}

fn build() -> PathBuf {
    let source = vectors::repository().join("tests/faults/shim.c");
    let own = std::env::current_exe().expect("a test binary has a path");
    let folder = own.parent().expect("it lies in a folder");
    // Renamed into place, because several processes may be at it.
    let (built, fresh) = (folder.join("faults.so"), folder.join(format!("faults.{}.so", std::process::id())));
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let compiled = Command::new(compiler).args(["-shared", "-fPIC", "-O1", "-o"]).arg(&fresh).arg(&source).output();
    let compiled = compiled.expect("a C compiler");
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    std::fs::rename(&fresh, &built).expect("renamed");
    built
}
