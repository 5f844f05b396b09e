//! System calls of the real broker that fail on command: a small shim that is preloaded into it.
//!
//! The shim is `tests/faults/shim.c`; which faults must come to what is left to the suite.

use std::path::PathBuf;
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
        let control = lattice.path("faults");
        std::fs::write(&control, "").expect("written");
        let folder = lattice.path("lattice").canonicalize().expect("a folder");
        lattice.broker_sees("LD_PRELOAD", shim());
        lattice.broker_sees("FAULTS_FOLDER", folder);
        lattice.broker_sees("FAULTS_CONTROL", control.clone());
        Self { control, run: 0 }
    }

    /// Faults in the files of another folder, and the environment of a program that is to meet them.
    pub fn elsewhere(control: PathBuf, folder: &std::path::Path) -> (Self, [(&'static str, PathBuf); 3]) {
        std::fs::write(&control, "").expect("written");
        let folder = folder.canonicalize().expect("a folder");
        let variables = [("LD_PRELOAD", shim()), ("FAULTS_FOLDER", folder), ("FAULTS_CONTROL", control.clone())];
        (Self { control, run: 0 }, variables)
    }

    /// From now on, these calls fail.
    pub fn on(&mut self, fault: Fault) {
        self.run += 1;
        let Fault { calls, done, first, count, errno } = fault;
        let form = if done { "lie" } else { "refuse" };
        self.control(&format!("{} {calls} {form} {first} {count} {errno}\n", self.run));
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
