//! Names, parsed once and then trusted: lattices, ids, link names, packages, versions, tracks and scopes.
//!
//! ASCII only, bounded, never normalised: a name that would need it is refused (T40, T41). Copies share the text.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use crate::reason::{Reason, Refusal};

macro_rules! text_name {
    ($(#[$doc:meta])* $name:ident, $check:expr, $grammar:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Reads the name.
            ///
            /// # Errors
            /// `name_malformed` when it breaks the grammar.
            pub fn parse(text: &str) -> Result<Self, Refusal> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.into())) } else { Err(malformed(text, $grammar)) }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Refusal;
            fn try_from(text: String) -> Result<Self, Refusal> {
                Self::parse(&text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Refusal;
            fn from_str(text: &str) -> Result<Self, Refusal> {
                Self::parse(text)
            }
        }
    };
}

text_name!(
    /// A lattice: one subject token, so that it can stand in a NATS subject.
    Lattice,
    |text| is_token(text, |byte| byte.is_ascii_alphanumeric()),
    "a lattice is 1 to 64 of `A-Z a-z 0-9 _ -`, starting with a letter or digit"
);
text_name!(
    /// The id under which a component or provider runs.
    ComponentId,
    |text| is_token(text, is_lower_or_digit),
    "an id is 1 to 64 of `a-z 0-9 _ -`, starting with a letter or digit"
);
text_name!(
    /// The name of a link; `default` unless the component chooses another.
    LinkName,
    |text| is_token(text, is_lower_or_digit),
    "a link name is 1 to 64 of `a-z 0-9 _ -`, starting with a letter or digit"
);
text_name!(
    /// Whose key an administrator's is.
    PersonName,
    |text| is_token(text, is_lower_or_digit),
    "a name of an administrator is 1 to 64 of `a-z 0-9 _ -`, starting with a letter or digit"
);
text_name!(
    /// The name of a relaxation: one weakening with an end.
    RelaxationId,
    |text| is_token(text, is_lower_or_digit),
    "a relaxation's id is 1 to 64 of `a-z 0-9 _ -`, starting with a letter or digit"
);
text_name!(
    /// A WIT package, `namespace:name`: the unit of trust and of binding.
    Package,
    |text| text.len() <= 128 && text.split_once(':').is_some_and(|(ns, name)| is_kebab(ns) && is_kebab(name)),
    "a package is `namespace:name` in lower-case kebab, at most 128 characters"
);
text_name!(
    /// An interface of a package, by its bare name.
    InterfaceName,
    |text| text.len() <= 64 && is_kebab(text),
    "an interface is lower-case kebab, at most 64 characters"
);
text_name!(
    /// An old contract id: a package, or one of the known three-part ids.
    LegacyId,
    |text| Package::parse(text).is_ok() || matches!(text, "wasmcloud:builtin:logging" | "wasmcloud:builtin:numbergen"),
    "a contract id is `namespace:name` in lower-case kebab, at most 128 characters"
);
text_name!(
    /// A native builtin, `native/<name>@<version>`: as honest as the host that carries it.
    NativeName,
    is_native,
    "a native builtin is `native/<name>@<version>`"
);

impl LinkName {
    /// The name that bytes ask for when they name none.
    pub fn unnamed() -> Self {
        Self("default".into())
    }

    // Sorts before every name: where a range over names starts.
    pub(crate) fn first() -> Self {
        Self("".into())
    }
}

/// A semantic version of a WIT package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Version {
    numbers: (u64, u64, u64),
    pre: Option<String>,
}

impl Version {
    /// Reads `major.minor.patch` with an optional pre-release; build metadata is refused.
    ///
    /// # Errors
    /// `name_malformed` when it is not such a version in its one spelling.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let wrong = || malformed(text, "a version is `major.minor.patch`, with an optional `-pre.release`");
        let (core, pre) = text.split_once('-').map_or((text, None), |(core, pre)| (core, Some(pre)));
        let mut parts = core.split('.').map(number);
        let (Some(Some(major)), Some(Some(minor)), Some(Some(patch)), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong());
        };
        if text.len() > 64 || !pre.is_none_or(is_pre_release) {
            return Err(wrong());
        }
        Ok(Self { numbers: (major, minor, patch), pre: pre.map(str::to_owned) })
    }

    /// The track this version belongs to (architecture, section 2).
    pub fn track(&self) -> Track {
        let (major, minor, patch) = self.numbers;
        let text = match (&self.pre, major, minor) {
            (None, 0, 0) => format!("0.0.{patch}"),
            (None, 0, _) => format!("0.{minor}"),
            (None, ..) => major.to_string(),
            (Some(_), ..) => self.to_string(),
        };
        Track(text.into())
    }

    /// Whether an export of this version answers an import of `wanted`: one track, and not older.
    pub fn answers(&self, wanted: &Self) -> bool {
        self.track() == wanted.track() && self.numbers >= wanted.numbers
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor, patch) = self.numbers;
        write!(f, "{major}.{minor}.{patch}")?;
        self.pre.as_ref().map_or(Ok(()), |pre| write!(f, "-{pre}"))
    }
}

impl TryFrom<String> for Version {
    type Error = Refusal;
    fn try_from(text: String) -> Result<Self, Refusal> {
        Self::parse(&text)
    }
}

text_name!(
    /// A line of compatible versions: `1`, `0.2`, or one exact pre-release.
    Track,
    is_track,
    "a track is `1`, `0.2`, `0.0.3` or an exact pre-release such as `0.1.0-draft`"
);

/// One interface of one package as a component spells it: `wasi:logging/logging@0.1.0-draft`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceRef {
    /// The package.
    pub package: Package,
    /// The interface.
    pub interface: InterfaceName,
    /// The version, where the package has one.
    pub version: Option<Version>,
}

impl InterfaceRef {
    /// Reads `ns:pkg/interface` with an optional `@version`.
    ///
    /// # Errors
    /// `name_malformed` when it breaks the grammar.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let (name, version) = text.split_once('@').map_or((text, None), |(name, version)| (name, Some(version)));
        let Some((package, interface)) = name.split_once('/') else {
            return Err(malformed(text, "an interface is `namespace:package/interface@version`"));
        };
        Ok(Self {
            package: Package::parse(package)?,
            interface: InterfaceName::parse(interface)?,
            version: version.map(Version::parse).transpose()?,
        })
    }
}

impl fmt::Display for InterfaceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.package, self.interface)?;
        self.version.as_ref().map_or(Ok(()), |version| write!(f, "@{version}"))
    }
}

/// What an issuer may speak for: everything, a namespace, or one package. Case-sensitive, whole segments (T13).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub enum Scope {
    /// `*`.
    Everything,
    /// `ns:*`.
    Namespace(String),
    /// `ns:pkg`, or a known old contract id.
    One(LegacyId),
}

impl Scope {
    /// Reads a scope.
    ///
    /// # Errors
    /// `name_malformed` when it is none of the three forms.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text == "*" {
            return Ok(Self::Everything);
        }
        match text.strip_suffix(":*") {
            Some(ns) if ns.len() <= 64 && is_kebab(ns) => Ok(Self::Namespace(ns.to_owned())),
            Some(_) => Err(malformed(text, "a scope is `*`, `namespace:*` or `namespace:package`")),
            None => LegacyId::parse(text).map(Self::One),
        }
    }

    /// Whether the scope covers a package or an old contract id.
    pub fn covers(&self, id: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Namespace(ns) => id.split_once(':').is_some_and(|(first, _)| first == ns),
            Self::One(one) => one.as_str() == id,
        }
    }

    /// Whether it covers nothing that the other does not.
    pub fn within(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Everything) => true,
            (Self::Everything, _) => false,
            (Self::Namespace(own), Self::Namespace(ns)) => own == ns,
            (Self::Namespace(_), Self::One(_)) => false,
            (Self::One(own), _) => other.covers(own.as_str()),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("*"),
            Self::Namespace(ns) => write!(f, "{ns}:*"),
            Self::One(one) => write!(f, "{one}"),
        }
    }
}

impl TryFrom<String> for Scope {
    type Error = Refusal;
    fn try_from(text: String) -> Result<Self, Refusal> {
        Self::parse(&text)
    }
}

impl std::str::FromStr for Scope {
    type Err = Refusal;
    fn from_str(text: &str) -> Result<Self, Refusal> {
        Self::parse(text)
    }
}

fn malformed(text: &str, grammar: &str) -> Refusal {
    let shown: String = text.chars().take(80).flat_map(char::escape_default).collect();
    Refusal::new(Reason::NameMalformed, format!("`{shown}` is refused: {grammar}"))
}

fn is_token(text: &str, first: fn(u8) -> bool) -> bool {
    let lower_only = first(b'a') && !first(b'A');
    let inner = |byte: u8| {
        byte.is_ascii_digit()
            || byte == b'_'
            || byte == b'-'
            || byte.is_ascii_lowercase()
            || (!lower_only && byte.is_ascii_uppercase())
    };
    text.len() <= 64 && text.bytes().next().is_some_and(first) && text.bytes().all(inner)
}

fn is_lower_or_digit(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

// WIT: words of lower-case letters and digits, each starting with a letter, joined by single dashes.
fn is_kebab(text: &str) -> bool {
    text.split('-')
        .all(|word| word.starts_with(|first: char| first.is_ascii_lowercase()) && word.bytes().all(is_lower_or_digit))
}

fn is_native(text: &str) -> bool {
    let parts = text.strip_prefix("native/").and_then(|rest| rest.split_once('@'));
    parts.is_some_and(|(name, version)| text.len() <= 128 && is_kebab(name) && Version::parse(version).is_ok())
}

fn is_track(text: &str) -> bool {
    let padded = match text.bytes().filter(|byte| *byte == b'.').count() {
        _ if text.contains('-') => text.to_owned(),
        0 => format!("{text}.0.0"),
        1 => format!("{text}.0"),
        _ => text.to_owned(),
    };
    // A track is named by its own shortest spelling only: `0` and `1.2` are none.
    Version::parse(&padded).is_ok_and(|version| version.track().as_str() == text)
}

fn is_pre_release(text: &str) -> bool {
    text.split('.').all(|part| {
        let plain = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        plain && (part.bytes().any(|byte| !byte.is_ascii_digit()) || number(part).is_some())
    })
}

fn number(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0');
    let digits = !text.is_empty() && text.len() <= 15 && text.bytes().all(|byte| byte.is_ascii_digit());
    if canonical && digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t40_confusables_are_refused() {
        assert!(Package::parse("wasmcloud:keyvalue").is_ok());
        let lookalikes = [
            "wasmcloud:keyv\u{430}lue",
            "wasmcloud:keyvalue\u{200b}",
            "\u{202e}wasmcloud:keyvalue",
            "wasmcloud:keyvalue ",
            "wasmcloud:keyvalue\0",
            "Wasmcloud:keyvalue",
            "wasmcloud:\u{ff4b}eyvalue",
            "wasmcloud:",
            ":keyvalue",
            "wasmcloud",
            "wasmcloud:key--value",
            "wasmcloud:-key",
            "wasmcloud:1key",
            "wasmcloud:key_value",
            "wasmcloud:*",
            "a:b:c",
            "wasmcloud:key\u{301}",
        ];
        for bad in lookalikes {
            assert_eq!(Package::parse(bad).unwrap_err().reason, Reason::NameMalformed, "{bad:?}");
            assert!(Scope::parse(bad).is_err() || bad == "wasmcloud:*", "{bad:?}");
        }
        assert!(Package::parse(&format!("a:{}", "b".repeat(126))).is_ok());
        assert!(Package::parse(&format!("a:{}", "b".repeat(127))).is_err());
    }

    #[test]
    fn t41_ids_are_one_subject_token() {
        for bad in ["", "a.b", "*", ">", "a b", "a\r\n", "$SYS", "_INBOX", "-a", "a/b", &"a".repeat(65)] {
            assert!(Lattice::parse(bad).is_err(), "{bad:?}");
            assert!(ComponentId::parse(bad).is_err(), "{bad:?}");
            assert!(LinkName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Lattice::parse("Prod_1").is_ok());
        assert!(ComponentId::parse("Cart").is_err());
        assert!(ComponentId::parse(&"a".repeat(64)).is_ok());
    }

    #[test]
    fn t13_scope_is_whole_segments() {
        let one = Scope::parse("wasmcloud:keyvalue").unwrap();
        let ns = Scope::parse("wasmcloud:*").unwrap();
        assert!(one.covers("wasmcloud:keyvalue") && ns.covers("wasmcloud:keyvalue") && Scope::Everything.covers("a:b"));
        for other in ["wasmcloud:keyvalue-evil", "wasmcloud:key", "Wasmcloud:keyvalue", "wasmcloud2:keyvalue"] {
            assert!(!one.covers(other), "{other}");
        }
        assert!(!ns.covers("wasmcloud-evil:keyvalue") && !ns.covers("wasm:cloud"));
        for bad in ["", "**", "*:keyvalue", "wasmcloud:key*", "wasmcloud", "a:*:*"] {
            assert!(Scope::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pre_release_equals_only_itself() {
        let version = |text| Version::parse(text).unwrap();
        assert!(version("0.2.3").answers(&version("0.2.0")));
        assert!(!version("0.2.0").answers(&version("0.2.3")));
        assert!(!version("0.3.0").answers(&version("0.2.3")));
        assert!(version("1.10.0").answers(&version("1.9.0")));
        assert!(version("0.1.0-draft").answers(&version("0.1.0-draft")));
        assert!(!version("0.1.0").answers(&version("0.1.0-draft")));
        assert!(!version("0.1.0-draft2").answers(&version("0.1.0-draft")));
        assert!(!version("0.0.4").answers(&version("0.0.3")));
        for bad in ["1", "1.2", "01.2.3", "1.2.3.4", "1.2.3-", "1.2.3+build", "v1.2.3", "1.2.3-a..b", "1.2.3-01"] {
            assert!(Version::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tracks_have_one_spelling() {
        for good in ["1", "0.2", "0.0.3", "0.1.0-draft"] {
            assert!(Track::parse(good).is_ok(), "{good}");
        }
        for bad in ["0", "1.2", "1.2.3", "0.2.0", "0.0", "draft", "0.1-draft", ""] {
            assert!(Track::parse(bad).is_err(), "{bad}");
        }
    }
}
