//! The others in the demo's story: wasmCloud's published tools, which sign, and the imposters, who try.
//!
//! Nothing of the product depends on it; it plays what a stranger could do with the published crates and a keyboard.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use nkeys::KeyPair;

#[path = "peer/imposters.rs"]
mod imposters;
#[path = "peer/rogue.rs"]
mod rogue;
#[path = "peer/tamper.rs"]
mod tamper;
#[path = "peer/wiretap.rs"]
mod wiretap;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["sign", from, to, issuer, name] => sign(Path::new(from), Path::new(to), Path::new(issuer), name),
        ["graft", claims_of, onto, to] => graft(Path::new(claims_of), Path::new(onto), Path::new(to)),
        ["imposters", from, issuer, folder] => imposters::write(Path::new(from), Path::new(issuer), Path::new(folder)),
        ["rogue", url, subject, ready] => rogue::answer_first(url, subject, Path::new(ready)),
        ["tamper", log, from, to] => tamper::change(Path::new(log), from, to),
        ["spinner", to, issuer] => written(SPINNER, to, issuer, "spin"),
        ["clerk", to, issuer, linger_ms] => written(&harness::guests::asker(linger_ms.parse()?), to, issuer, "clerk"),
        ["store", to, issuer, name, number] => written(&harness::guests::store(number.parse()?), to, issuer, name),
        ["listen", url, lattice, to, ready] => wiretap::listen(url, lattice, Path::new(to), Path::new(ready)),
        ["repeat", url, way, heard, ready] => wiretap::repeat(url, way, Path::new(heard), Path::new(ready)),
        ["ask", url, way, heard] => wiretap::ask(url, way, Path::new(heard)),
        _ => bail!(
            "sign | graft | spinner | clerk | store | imposters | rogue | tamper | listen | repeat | ask: this plays the others of `make demo`"
        ),
    }
}

/// Signs a component with wasmCloud's own `wascap`, as any developer of the field would.
fn sign(from: &Path, to: &Path, issuer: &Path, name: &str) -> anyhow::Result<()> {
    let unsigned = std::fs::read(from).with_context(|| format!("reading {}", from.display()))?;
    let account = load(issuer)?;
    let subject = subject_of(name)?;
    let signed = wascap::wasm::sign_buffer_with_claims(
        name.to_owned(),
        unsigned,
        &subject,
        &account,
        Some(365),
        None,
        vec!["demo".to_owned()],
        false,
        Some(1),
        Some("0.1.0".to_owned()),
        None,
    )?;
    std::fs::write(to, signed)?;
    println!("{}", subject.public_key());
    Ok(())
}

/// A component from its text, signed as it should be.
fn written(text: &str, to: &str, issuer: &str, name: &str) -> anyhow::Result<()> {
    let to = Path::new(to);
    let unsigned = to.with_extension("unsigned");
    std::fs::write(&unsigned, wat::parse_str(text)?)?;
    sign(&unsigned, to, Path::new(issuer), name)
}

/// Puts the genuine claims of one component around the bytes of another.
fn graft(claims_of: &Path, onto: &Path, to: &Path) -> anyhow::Result<()> {
    let genuine = policy::artifact::component::read(&std::fs::read(claims_of)?)?;
    let token = genuine.token().context("the first file carries no claims")?;
    let grafted = policy::artifact::component::attach(&std::fs::read(onto)?, std::str::from_utf8(token)?)?;
    std::fs::write(to, grafted)?;
    Ok(())
}

fn load(seed_file: &Path) -> anyhow::Result<KeyPair> {
    let seed = std::fs::read_to_string(seed_file).with_context(|| format!("reading {}", seed_file.display()))?;
    Ok(KeyPair::from_seed(seed.trim())?)
}

/// The subject key of a demo component: the same for the same name, so that two builds are one subject.
fn subject_of(name: &str) -> anyhow::Result<KeyPair> {
    let seed = policy::digest::Digest::of(format!("countersign demo subject {name}").as_bytes());
    Ok(KeyPair::new_from_raw(nkeys::KeyPairType::Module, *seed.as_bytes())?)
}

fn output(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.wasm"))
}

// It never ends.
const SPINNER: &str = "(component (core module $m (func (export \"spin\") (loop $l (br $l))))
    (core instance $c (instantiate $m)) (func (export \"spin\") (canon lift (core func $c \"spin\"))))";
