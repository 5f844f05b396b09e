//! A small lattice with the seeded keys of the law's own tests, so that hostile documents can be genuinely signed.
//!
//! What is recorded here must read back and be judged again to the same bytes: a log that cannot be read is a broker
//! that cannot start.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use ed25519_dalek::{Signer, SigningKey};
use policy::command::Command;
use policy::digest::Digest;
use policy::envelope::{Document, Draft, Unverified, Verified};
use policy::examine;
use policy::join::{InviteProof, Join, Possession};
use policy::key::{Administrator, Decision, Invite, Issuer, Key, Name, Role, Root};
use policy::lineage::Lineage;
use policy::log::{Entry, Evidences, Ledger, NoteKey, Rejudge, Step};
use policy::name::Lattice;
use policy::reason::Reason;
use policy::time::{Timestamp, Validity};
use policy::warrant::{Inception, Quorum, Warrant};
use policy::wire::Nonce;

/// When everything here happens, in seconds.
pub(super) const NOW: u64 = 1_795_350_000;

/// The seeded key of a role.
pub(super) fn secret<R: Role>() -> SigningKey {
    SigningKey::from_bytes(Digest::of(format!("{}1", R::WORD).as_bytes()).as_bytes())
}

/// Its name.
pub(super) fn name<R: Role>() -> Name<R> {
    Name::from_raw(secret::<R>().verifying_key().to_bytes())
}

fn key<R: Role>() -> Key<R> {
    name().usable().expect("a seeded key is usable")
}

/// The log's key.
pub(super) fn log_key() -> (SigningKey, NoteKey) {
    let secret = SigningKey::from_bytes(&[9; 32]);
    let key = NoteKey::of(&lattice(), &secret.verifying_key().to_bytes()).expect("a seeded key is usable");
    (secret, key)
}

/// The document as it travels, signed by the seeded key of its role.
pub(super) fn seal<T: Document>(document: &T, attachments: &[Vec<u8>]) -> Vec<u8> {
    let draft = Draft::of(document);
    let signature = secret::<T::Signer>().sign(draft.signing_input()).to_bytes();
    draft.seal_with(&signature, attachments.iter().map(Vec::as_slice))
}

/// A draft signed by the seeded issuer.
pub(super) fn issue(draft: Draft) -> Vec<u8> {
    let signature = secret::<Issuer>().sign(draft.signing_input()).to_bytes();
    draft.seal(&signature).into_bytes()
}

pub(super) fn lattice() -> Lattice {
    Lattice::parse("default").expect("a lattice")
}

pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds).expect("a time")
}

/// The lattice, and the warrant in force.
pub(super) struct Court {
    pub(super) ledger: Ledger,
    pub(super) warrant: Verified<Warrant>,
}

/// The lattice that every input meets: one host, one issuer, a component, a contract, a builtin, and its default.
pub(super) fn court() -> &'static Court {
    static COURT: OnceLock<Court> = OnceLock::new();
    COURT.get_or_init(Court::found)
}

impl Court {
    fn found() -> Self {
        let inception = Inception {
            lattice: lattice(),
            roots: Quorum { threshold: 1, keys: vec![key::<Root>()] },
            administrators: Quorum { threshold: 1, keys: vec![key::<Administrator>()] },
            log_key: log_key().1.to_string(),
        };
        let (mut ledger, first) = Ledger::incept(inception.clone(), NOW * 1000).expect("a sound inception");
        let warrant = Warrant {
            iss: name(),
            lattice: lattice(),
            inception_sha256: first.hash,
            reset: 0,
            serial: 1,
            decision_keys: vec![key::<Decision>()],
            ends: Default::default(),
            log_key: log_key().1.to_string(),
            validity: Validity { iat: at(NOW), nbf: None, exp: Some(at(NOW + 86_400)) },
            cosigned: Default::default(),
        };
        let roots = Lineage::of(&inception, first.hash);
        let warrant = verified(&seal(&warrant, &[])).verify(roots.today()).expect("our own warrant");
        ledger.install(&warrant, NOW * 1000).outcome.expect("a first warrant");
        let mut court = Self { ledger, warrant };
        for (number, line) in COMMANDS.iter().enumerate() {
            court.command(number, line);
        }
        court.join();
        court
    }

    // The operations of a line, and the statements that they speak of.
    fn command(&mut self, number: usize, operations: &str) {
        let claims = issue_text(WASCAP_HEADER, CLAIMS);
        let contract = issue_text(CONTRACT_HEADER, CONTRACT);
        let text = operations
            .replace("$ISSUER", &name::<Issuer>().to_string())
            .replace("$INVITE", &name::<Invite>().to_string())
            .replace("$CLAIMS", &Digest::of(&claims).to_string())
            .replace("$CONTRACT", &Digest::of(&contract).to_string());
        let command = Command {
            iss: name(),
            aud: lattice(),
            inception_sha256: None,
            iat: at(NOW),
            not_after: at(NOW + 600),
            jti: Nonce::from_random([u8::try_from(number).expect("few") + 1; 16]),
            basis: self.ledger.head().epoch,
            planned: None,
            because: None,
            operations: policy::json::read(text.as_bytes()).expect("our own operations"),
            statements: vec![Digest::of(&claims), Digest::of(&contract)],
        };
        let sealed = verified::<Command>(&seal(&command, &[claims, contract]));
        let command = sealed.verify(self.ledger.state().administrators()).expect("our own command");
        self.ledger.govern(&examine::command(command), NOW * 1000).outcome.expect("a sound command");
    }

    fn join(&mut self) {
        let jti = Nonce::from_random([99; 16]);
        let proof = seal(&InviteProof { iss: name(), aud: lattice(), host: name(), jti }, &[]);
        let join = Join { iss: name(), aud: lattice(), iat: at(NOW), jti, proof_sha256: Digest::of(&proof) };
        let join = verified::<Join>(&seal(&join, &[proof])).verify(&Possession).expect("our own join");
        let joined = self.ledger.enrol(&examine::join(join).expect("our own proof"), NOW * 1000);
        joined.outcome.expect("a first join");
    }
}

/// A document that must be well-formed.
pub(super) fn verified<T: Document>(bytes: &[u8]) -> Unverified<T> {
    Unverified::parse(bytes).expect("what was sealed is well-formed")
}

/// A document around a stranger's text, which is well-formed unless its letters look like a seed.
pub(super) fn sealed<T: Document>(bytes: &[u8]) -> Option<Unverified<T>> {
    match Unverified::parse(bytes) {
        Err(refusal) if refusal.reason == Reason::SecretInInput => None,
        parsed => Some(parsed.expect("what was sealed is well-formed")),
    }
}

/// Holds a step to the promise of the log: its bytes read, follow, and are judged again to themselves.
pub(super) fn recorded<T>(before: &Ledger, step: Step<T>) {
    let entry = Entry::read(&step.bytes).expect("what was recorded reads back");
    assert_eq!(entry.to_bytes(), step.bytes);
    let kept = Kept(step.evidence.into_iter().collect());
    let mut again = before.clone();
    again.replay(&step.bytes, Rejudge::Yes(&kept)).expect("what was recorded is judged again to the same bytes");
    before.clone().replay(&step.bytes, Rejudge::No).expect("what was recorded follows");
    let mut skimmed = before.clone();
    skimmed.skim(&step.bytes, step.hash).expect("what was recorded follows, read or not");
    assert_eq!(skimmed.head(), again.head());
}

struct Kept(BTreeMap<Digest, Vec<u8>>);

impl Evidences for Kept {
    fn find(&self, sha256: Digest) -> Option<Vec<u8>> {
        self.0.get(&sha256).cloned()
    }
}

/// A payload under a header, signed by the seeded issuer.
pub(super) fn issue_text(header: &str, payload: &str) -> Vec<u8> {
    let payload = payload.replace("$ISSUER", &name::<Issuer>().to_string());
    issue_bytes(header, payload.as_bytes())
}

/// As [`issue_text`], of any bytes.
pub(super) fn issue_bytes(header: &str, payload: &[u8]) -> Vec<u8> {
    let encode = |bytes: &[u8]| data_encoding::BASE64URL_NOPAD.encode(bytes);
    let input = format!("{}.{}", encode(header.as_bytes()), encode(payload));
    let signature = secret::<Issuer>().sign(input.as_bytes()).to_bytes();
    format!("{input}.{}", encode(&signature)).into_bytes()
}

pub(super) const WASCAP_HEADER: &str = r#"{"typ":"jwt","alg":"Ed25519"}"#;
pub(super) const CONTRACT_HEADER: &str = r#"{"alg":"EdDSA","typ":"countersign.contract.v1"}"#;
pub(super) const POSSESSION_HEADER: &str = r#"{"alg":"EdDSA","typ":"countersign.possession.v1"}"#;
pub(super) const DELEGATION_HEADER: &str = r#"{"alg":"EdDSA","typ":"countersign.delegation.v1"}"#;

const CLAIMS: &str = r#"{"iat":1795349900,"iss":"$ISSUER","jti":"j","sub":"MCUWTQ3SWSL6WMWIBS3YUDWZ62FBPVAZTFT3J7YMUUS5JUWUP7GVGLSI","wascap":{"hash":"E638B060463CD806BFE218770627CA5BBE209DFF964C099D78972B7202CE0D02","prov":false,"rev":1,"tags":[]},"wascap_revision":3}"#;
const CONTRACT: &str = r#"{"config":"none","defaultable":true,"iat":1795349900,"interfaces":["logging"],"iss":"$ISSUER","legacy_ids":["wasmcloud:builtin:logging"],"providers":{"issuers":["$ISSUER"],"subjects":["native/logging@0.1.0"]},"revision":1,"sub":"wasi:logging","tracks":["0.1.0-draft"]}"#;

// One command each, because an operation is judged on the state before its command.
const COMMANDS: &[&str] = &[
    r#"[{"add_issuer":{"key":"$ISSUER","kinds":["component","provider","contract"],"scope":["*"]}}]"#,
    r#"[{"publish_contract":{"package":"wasi:logging","sha256":"$CONTRACT"}}]"#,
    r#"[{"put_default":{"bind":"builtin","package":"wasi:logging"}}]"#,
    r#"[{"admit_provider":{"id":"logging","serves":[{"interfaces":["logging"],"package":"wasi:logging","version":"0.1.0-draft"}],"sha256":"8d0659e58e7f6e76ac7829644e4c03a8b70962e5867aab0d419eff9757645c26","source":"native","subject":"native/logging@0.1.0"}}]"#,
    r#"[{"admit_component":{"claims_sha256":"$CLAIMS","exports":[],"id":"cart","imports":[],"sha256":"e638b060463cd806bfe218770627ca5bbe209dff964c099d78972b7202ce0d02"}}]"#,
    r#"[{"invite_host":{"invite":"$INVITE","labels":{"zone":"a"},"not_after":1795353600}}]"#,
];
