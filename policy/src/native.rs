//! The native builtins that a countersign host carries, by name: what each serves.
//!
//! Their code is in `host`; this table is what `provider admit native/…` reads, and what a host offers.

use crate::artifact::Import;
use crate::digest::Digest;
use crate::name::{InterfaceName, NativeName, Package, Version};
use crate::provider::Subject;
use crate::question::Offer;
use crate::reason::Refusal;

/// One native builtin.
#[derive(Debug, Clone, Copy)]
pub struct Native {
    /// Its name.
    pub name: &'static str,
    /// The package that it serves.
    pub package: &'static str,
    /// The version of it.
    pub version: &'static str,
    /// The interfaces of it.
    pub interfaces: &'static [&'static str],
    /// Whether `init` publishes a contract for it: what any component needs, and what reaches nothing.
    pub base: bool,
}

/// Every native builtin.
pub const NATIVES: &[Native] = &[
    Native {
        name: "native/io@0.1.0",
        package: "wasi:io",
        version: "0.2.12",
        interfaces: &["error", "poll", "streams"],
        base: true,
    },
    Native {
        name: "native/clocks@0.1.0",
        package: "wasi:clocks",
        version: "0.2.12",
        interfaces: &["monotonic-clock", "wall-clock"],
        base: true,
    },
    Native {
        name: "native/random@0.1.0",
        package: "wasi:random",
        version: "0.2.12",
        interfaces: &["insecure", "insecure-seed", "random"],
        base: true,
    },
    Native {
        name: "native/cli@0.1.0",
        package: "wasi:cli",
        version: "0.2.12",
        interfaces: &[
            "environment",
            "exit",
            "stderr",
            "stdin",
            "stdout",
            "terminal-input",
            "terminal-output",
            "terminal-stderr",
            "terminal-stdin",
            "terminal-stdout",
        ],
        base: true,
    },
    Native {
        name: "native/filesystem@0.1.0",
        package: "wasi:filesystem",
        version: "0.2.12",
        interfaces: &["preopens", "types"],
        base: true,
    },
    Native {
        name: "native/logging@0.1.0",
        package: "wasi:logging",
        version: "0.1.0-draft",
        interfaces: &["logging"],
        base: false,
    },
    Native {
        name: "native/keyvalue@0.1.0",
        package: "wasi:keyvalue",
        version: "0.2.0-draft",
        interfaces: &["store"],
        base: false,
    },
];

impl Native {
    /// The builtin of that name.
    pub fn find(name: &str) -> Option<&'static Self> {
        NATIVES.iter().find(|native| native.name == name)
    }

    /// Its subject.
    ///
    /// # Errors
    /// None for the table above; a test holds it to that.
    pub fn subject(&self) -> Result<Subject, Refusal> {
        NativeName::parse(self.name).map(Subject::Native)
    }

    /// The digest of its name, which stands where others have that of their bytes.
    pub fn sha256(&self) -> Digest {
        Digest::of(self.name.as_bytes())
    }

    /// What it serves.
    ///
    /// # Errors
    /// As [`Native::subject`].
    pub fn serves(&self) -> Result<Import, Refusal> {
        let interfaces = self.interfaces.iter().map(|name| InterfaceName::parse(name)).collect::<Result<_, _>>()?;
        Ok(Import { package: Package::parse(self.package)?, version: Some(Version::parse(self.version)?), interfaces })
    }

    /// What a host that carries it offers.
    ///
    /// # Errors
    /// As [`Native::subject`].
    pub fn offer(&self) -> Result<Offer, Refusal> {
        Ok(Offer { subject: self.subject()?, sha256: self.sha256() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_the_table_parses() {
        for native in NATIVES {
            native.subject().unwrap();
            let serves = native.serves().unwrap();
            assert!(serves.interfaces.is_sorted());
        }
    }
}
