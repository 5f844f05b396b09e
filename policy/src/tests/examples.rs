//! The documents that the world of these tests makes, one of each type, as vectors and as the examples in the docs.
//!
//! `COUNTERSIGN_BLESS=1 cargo test -p countersign-policy examples` writes them anew; otherwise they are compared.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use serde_json::Value;

use super::world::{NOW, Pair, World, at, component_token, contract, contract_token, logging};
use crate::answer::{Receipt, StartAnswer, Verdict, View};
use crate::delegation::Delegation;
use crate::digest::Digest;
use crate::envelope::{Document, Draft, Unverified};
use crate::govern::{Bind, InviteHost, Operation, PutDefault};
use crate::growth::{Grown, Growth, Included, Stand, Tree};
use crate::inventory::{Bound, Closed, HostInventory, Runs};
use crate::issuer::Kind;
use crate::join::{InviteProof, Join, Possession};
use crate::key::{Decision, Host, Invite, Issuer, Root};
use crate::lineage::{Changes, Lineage};
use crate::log::{Checkpoint, Entry, Exhibit, Frontier, NoteKey, Observed, Outline, Place, leaf_hash};
use crate::possession::KeyProof;
use crate::query::Query;
use crate::root::RootChange;
use crate::warrant::{DecisionKeys, Quorum, Warrant};
use crate::wire::{Nonce, PERMIT_TTL_MS};
use crate::withdrawal::{Close, Withdrawal, Withdrawals};

/// One document: its name, the bytes on the wire, and its readable form.
struct Example {
    name: &'static str,
    doc: &'static str,
    wire: Vec<u8>,
    readable: String,
}

fn signed<T: Document>(name: &'static str, document: &T, wire: Vec<u8>) -> Example {
    Example { name, doc: "wire.md", wire, readable: pretty(&crate::json::write(document)) }
}

fn pretty(json: &[u8]) -> String {
    serde_json::to_string_pretty(&serde_json::from_slice::<Value>(json).unwrap()).unwrap()
}

fn entry(name: &'static str, bytes: &[u8]) -> Example {
    Entry::read(bytes).unwrap();
    Example { name, doc: "log-format.md", wire: bytes.to_vec(), readable: pretty(bytes) }
}

fn examples() -> Vec<Example> {
    let mut world = World::with_builtin();
    world.admit_provider("logger").unwrap();
    world.link("logger", "default").unwrap();
    let (root, decision) = (Pair::<Root>::seeded("1"), Pair::<Decision>::seeded("1"));
    let warrant = world.evidence.values().find(|bytes| Unverified::<Warrant>::parse(bytes).is_ok()).unwrap().clone();
    let inception = world.ledger.state().inception().clone();
    let roots = Lineage::of(&inception, world.ledger.root());
    let verified = roots.read(&warrant, None).unwrap();
    let keys = DecisionKeys::of(&verified, at(NOW)).unwrap();

    let asked = world.request();
    let request = world.host.seal(&asked.request, &asked.attachments);
    let ruling = world.ask(&asked).unwrap();
    let head = world.ledger.head();
    let answer = StartAnswer {
        iss: decision.name,
        aud: world.host.name,
        lattice: inception.lattice.clone(),
        warrant_sha256: Digest::of(&warrant),
        request_sha256: ruling.request().sha256(),
        jti: asked.request.jti,
        verdict: Verdict::Permitted,
        reason: None,
        ttl_ms: PERMIT_TTL_MS,
        component: Some(asked.request.runs.clone()),
        provider: None,
        outcomes: ruling.decision().outcomes().to_vec(),
        epoch: head.epoch,
        index: head.size - 1,
        entry_sha256: head.last,
        relaxations: Vec::new(),
        standby: None,
    };
    let answer_wire = decision.seal(&answer, std::slice::from_ref(&warrant));
    Unverified::<StartAnswer>::parse(&answer_wire).unwrap().verify(&keys).unwrap();
    let ruling_row = world.rows.last().unwrap().clone();

    let put = PutDefault { package: logging().package, bind: Bind::Never, uniform: false };
    let mut command = world.command(vec![Operation::PutDefault(put)]);
    command.because = Some("no logging without a link in production".to_owned());
    let command_wire = world.administrator.seal(&command, &[]);
    world.submit(command.clone(), &[]).unwrap();
    let head = world.ledger.head();
    let inception_row = world.rows[0].clone();
    let receipt = Receipt {
        iss: decision.name,
        lattice: inception.lattice.clone(),
        warrant_sha256: Digest::of(&warrant),
        inception_bytes_sha256: Digest::of(&inception_row),
        roots_sha256: None,
        request_sha256: Digest::of(&command_wire),
        reason: None,
        detail: None,
        pending: None,
        epoch: head.epoch,
        index: head.size - 1,
        entry_sha256: head.last,
    };
    let receipt_wire = decision.seal(&receipt, &[warrant.clone(), inception_row.clone()]);
    Unverified::<Receipt>::parse(&receipt_wire).unwrap().verify(&keys).unwrap();
    let (arguments, inception_sha256) = (br#""status""#.to_vec(), Some(world.ledger.state().inception_sha256()));
    let query = Query {
        iss: world.administrator.name,
        aud: inception.lattice.clone(),
        inception_sha256,
        iat: at(NOW),
        jti: Nonce::from_random([8; 16]),
        what: "status".to_owned(),
        arguments_sha256: Digest::of(&arguments),
        statements: Vec::new(),
    };
    let query_wire = world.administrator.seal(&query, &[arguments]);
    let asked_by =
        Unverified::<Query>::parse(&query_wire).unwrap().verify(world.ledger.state().administrators()).unwrap();
    let shown = br#"{"epoch":12,"lattice":"default"}"#.to_vec();
    let view = View {
        iss: decision.name,
        lattice: inception.lattice.clone(),
        warrant_sha256: Digest::of(&warrant),
        inception_bytes_sha256: Digest::of(&inception_row),
        roots_sha256: None,
        request_sha256: asked_by.sha256(),
        view_sha256: Digest::of(&shown),
        epoch: head.epoch,
    };
    let view_wire = decision.seal(&view, &[warrant.clone(), inception_row.clone(), shown]);
    Unverified::<View>::parse(&view_wire).unwrap().verify(&keys).unwrap();

    let (invite, joining) = (Pair::<Invite>::seeded("9"), Pair::<Host>::seeded("9"));
    let operation =
        Operation::InviteHost(InviteHost { invite: invite.name, labels: Default::default(), not_after: at(NOW + 60) });
    world.act(operation).unwrap();
    let refused = world.join(&Pair::<Invite>::seeded("8")).unwrap_err();
    assert_eq!(refused.reason, crate::reason::Reason::InviteUnknown);
    let jti = Nonce::from_random([7; 16]);
    let proof = InviteProof { iss: invite.name, aud: inception.lattice.clone(), host: joining.name, jti };
    let proof_wire = invite.seal(&proof, &[]);
    let join = Join {
        iss: joining.name,
        aud: inception.lattice.clone(),
        iat: at(NOW),
        jti,
        proof_sha256: Digest::of(&proof_wire),
    };
    let join_wire = joining.seal(&join, std::slice::from_ref(&proof_wire));
    Unverified::<Join>::parse(&join_wire).unwrap().verify(&Possession).unwrap();

    let owned = contract(&world.issuer, 1);
    let contract_wire = contract_token(&world.issuer, &owned);
    let (iss, aud) = (world.issuer.name, inception.lattice.clone());
    let proof_of_key = KeyProof { iss, aud, inception_sha256, iat: at(NOW), jti };
    let lent = Delegation {
        iss: world.issuer.name,
        sub: Pair::<Issuer>::seeded("delegate").name,
        aud: inception.lattice.clone(),
        inception_sha256,
        iat: at(NOW),
        exp: at(NOW + 7_776_000),
        scope: ["acme:till".parse().unwrap()].into(),
        kinds: [Kind::Component].into(),
    };
    let inventory = HostInventory {
        iss: world.host.name,
        aud: inception.lattice.clone(),
        iat: at(NOW),
        process: Nonce::from_random([5; 16]),
        sequence: 3,
        page: 0,
        pages: 1,
        seen: asked.request.seen,
        checkpoint: None,
        forked: None,
        builtins_sha256: asked.request.inventory_sha256,
        running: vec![Runs {
            component: "cart".parse().unwrap(),
            sha256: asked.request.runs.sha256,
            issuer: Some(world.issuer.name),
            index: answer.index,
            bindings: vec![Bound {
                package: logging().package,
                link: super::world::unnamed(),
                provider: "native/logging@0.1.0".to_owned().try_into().unwrap(),
                sha256: Digest::of(b"native/logging@0.1.0"),
                index: answer.index,
            }],
            closing: Some(Close::Drain),
        }],
        closed: vec![Closed {
            number: 1,
            component: "cart-eu".parse().unwrap(),
            index: answer.index - 1,
            close: Close::Stop,
            since: answer.index,
            at: at(NOW),
        }],
        at_hand: Some(vec![Digest::of(b"a store")]),
    };
    let inventory_wire = world.host.seal(&inventory, &[]);
    let told = Unverified::<HostInventory>::parse(&inventory_wire).unwrap().verify(world.ledger.state().host_keys());
    let told = told.unwrap();
    let withdrawals = Withdrawals {
        iss: decision.name,
        aud: world.host.name,
        lattice: inception.lattice.clone(),
        warrant_sha256: Digest::of(&warrant),
        request_sha256: told.sha256(),
        epoch: head.epoch,
        withdrawn: vec![Withdrawal {
            component: "cart".parse().unwrap(),
            index: answer.index,
            close: Close::Drain,
            since: head.epoch,
        }],
        noted: 1,
    };
    let withdrawals_wire = decision.seal(&withdrawals, std::slice::from_ref(&warrant));
    Unverified::<Withdrawals>::parse(&withdrawals_wire).unwrap().verify(&keys).unwrap();
    let mut leaves = Frontier::default();
    let hashes: Vec<_> = world.rows.iter().map(|row| leaf_hash(row)).collect();
    hashes.iter().for_each(|hash| leaves.append(*hash));
    let end = hashes.len() as u64;
    let root_of = |start: u64, width: u64| {
        let mut tree = Frontier::default();
        hashes.iter().skip(start as usize).take(width as usize).for_each(|hash| tree.append(*hash));
        tree.root()
    };
    let filled = |outline: Outline| outline.filled(|node| Some(root_of(node.start(), node.width()))).unwrap();
    let growth = Growth {
        iss: world.host.name,
        aud: inception.lattice.clone(),
        iat: at(NOW),
        jti: Nonce::from_random([6; 16]),
        sizes: vec![11],
        index: Some(answer.index),
    };
    let growth_wire = world.host.seal(&growth, &[]);
    let asked_growth = Unverified::<Growth>::parse(&growth_wire).unwrap().verify(world.ledger.state().host_keys());
    let note = checkpoint(&world).wire;
    let signed_end = log_key(&world).0.open(&note).unwrap();
    let grown = Grown {
        iss: decision.name,
        aud: world.host.name,
        lattice: inception.lattice.clone(),
        warrant_sha256: Digest::of(&warrant),
        request_sha256: asked_growth.unwrap().sha256(),
        checkpoint: String::from_utf8(note).unwrap(),
        trees: vec![Tree {
            size: 11,
            root: root_of(0, 11),
            consistency: filled(Outline::consistency(11, end).unwrap()),
        }],
        entry: Some(Included {
            index: answer.index,
            entry_sha256: answer.entry_sha256,
            inclusion: filled(Outline::inclusion(answer.index, end).unwrap()),
        }),
        restored: Vec::new(),
    };
    let grown_wire = decision.seal(&grown, std::slice::from_ref(&warrant));
    let told = Unverified::<Grown>::parse(&grown_wire).unwrap().verify(&keys).unwrap();
    let (index, entry_sha256) = (answer.index, answer.entry_sha256);
    let held = Place { index, entry_sha256, epoch: answer.epoch, root: None, after: None };
    let older = Place { index: 10, entry_sha256: hashes[10], epoch: 10, root: Some(root_of(0, 11)), after: None };
    for place in [held, older] {
        assert_eq!(told.stand(&signed_end, &[], &place), Ok(Stand::Proved));
    }
    let ruling_entry = Entry::read(&ruling_row).unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let exhibit = Exhibit {
        checkpoint: grown.checkpoint.clone(),
        entry: text(&ruling_row),
        evidence: ruling_entry.evidence.iter().map(|sha256| BASE64.encode(&world.evidence[sha256])).collect(),
        format: Exhibit::FORMAT.to_owned(),
        inception: text(&inception_row),
        inclusion: grown.entry.iter().flat_map(|entry| entry.inclusion.clone()).collect(),
        roots: Changes::default(),
        warrant: text(&warrant),
    };
    exhibit.prove(Some(world.ledger.root())).unwrap();
    let exhibit = exhibit.to_bytes();
    let told = Unverified::<HostInventory>::parse(&inventory_wire).unwrap().verify(world.ledger.state().host_keys());
    let told = told.unwrap();
    let report_row = world.ledger.clone().report(&told, Observed::default(), world.now_ms).bytes;
    let claims_wire = component_token(&world.issuer, "cart", None);
    let next = Pair::<Root>::seeded("2");
    let line = world.ledger.state().root_line(world.ledger.root());
    let theirs = RootChange {
        iss: next.name,
        lattice: line.lattice.clone(),
        inception_sha256: line.inception_sha256,
        serial: 1,
        roots: Quorum { threshold: 1, keys: vec![next.key()] },
        iat: at(NOW),
        also: Vec::new(),
    };
    let theirs_wire = next.seal(&theirs, &[]);
    let change = RootChange { iss: root.name, also: vec![Digest::of(&theirs_wire)], ..theirs };
    let change_wire = root.seal(&change, &[theirs_wire]);
    line.follow(&change_wire).unwrap();
    let warrant_document = Warrant::clone(&verified);
    assert_eq!(root.name, warrant_document.iss);
    let row = |index: usize| world.rows[index].clone();
    let governance = world.rows.iter().position(|row| row.windows(12).any(|window| window == b"\"put_link\":{\""));
    let governance = governance.unwrap_or(world.rows.len() - 3);
    let refusal_row = world.rows.last().unwrap().clone();
    vec![
        Example { name: "claims", doc: "wire.md", readable: payload(&claims_wire), wire: claims_wire },
        Example {
            name: "contract",
            doc: "wire.md",
            readable: pretty(&crate::json::write(&owned)),
            wire: contract_wire,
        },
        Example {
            name: "possession",
            doc: "wire.md",
            readable: pretty(&crate::json::write(&proof_of_key)),
            wire: world.issuer.state(proof_of_key.draft()),
        },
        Example {
            name: "delegation",
            doc: "wire.md",
            readable: pretty(&crate::json::write(&lent)),
            wire: world.issuer.state(lent.draft()),
        },
        signed("start", &asked.request, request),
        Example {
            name: "inventory",
            doc: "wire.md",
            readable: pretty(&asked.attachments[1]),
            wire: asked.attachments[1].clone(),
        },
        signed("answer", &answer, answer_wire),
        signed("host-inventory", &inventory, inventory_wire),
        signed("withdrawals", &withdrawals, withdrawals_wire),
        signed("growth", &growth, growth_wire),
        signed("grown", &grown, grown_wire),
        Example { name: "exhibit", doc: "", readable: String::new(), wire: exhibit },
        signed("command", &command, command_wire),
        signed("receipt", &receipt, receipt_wire),
        signed("query", &query, query_wire),
        signed("view", &view, view_wire),
        signed("warrant", &warrant_document, warrant),
        signed("root", &change, change_wire),
        rotation(&warrant_document),
        signed("join", &join, join_wire),
        signed("invite", &proof, proof_wire),
        checkpoint(&world),
        entry("entry-inception", &inception_row),
        entry("entry-governance", &row(governance)),
        entry("entry-refusal", &refusal_row),
        entry("entry-ruling", &ruling_row),
        door(&mut world),
        entry("entry-report", &report_row),
    ]
}

// The next warrant of a lattice with two roots: the second decision key takes the place of the first.
fn rotation(before: &Warrant) -> Example {
    let (root, other) = (Pair::<Root>::seeded("1"), Pair::<Root>::seeded("2"));
    let next = Pair::<Decision>::seeded("2").key();
    let ends = before.decision_keys.iter().map(|key| (*key.name(), at(NOW + 3_600))).collect();
    let decision_keys = before.decision_keys.iter().cloned().chain([next]).collect();
    let mut warrant = Warrant { serial: 2, reset: 1, decision_keys, ends, ..before.clone() };
    let draft = Draft::of(&warrant.alone_by(other.name));
    let signature = data_encoding::BASE64URL_NOPAD.encode(&other.sign(draft.signing_input()));
    warrant.cosigned.insert(other.name, signature);
    signed("warrant-rotation", &warrant, root.seal(&warrant, &[]))
}

fn payload(token: &[u8]) -> String {
    let payload = token.split(|byte| *byte == b'.').nth(1).unwrap();
    pretty(&crate::envelope::decode(payload).unwrap())
}

fn log_key(world: &World) -> (NoteKey, ed25519_dalek::SigningKey) {
    let signing = ed25519_dalek::SigningKey::from_bytes(&[9; 32]);
    (NoteKey::of(world.ledger.state().lattice(), signing.verifying_key().as_bytes()).unwrap(), signing)
}

fn checkpoint(world: &World) -> Example {
    let mut frontier = Frontier::default();
    world.rows.iter().for_each(|row| frontier.append(leaf_hash(row)));
    let (key, signing) = log_key(world);
    let head = world.ledger.head();
    let checkpoint = Checkpoint {
        origin: format!("countersign/{}", world.ledger.state().lattice()),
        size: head.size,
        root: frontier.root(),
        epoch: head.epoch,
        last: head.last,
    };
    let signature = ed25519_dalek::Signer::sign(&signing, checkpoint.text().as_bytes()).to_bytes();
    let note = key.note(&checkpoint.text(), &signature);
    assert_eq!(key.open(note.as_bytes()).unwrap(), checkpoint);
    assert_eq!(NoteKey::parse(&key.to_string()).unwrap(), key);
    for at in 0..note.len() {
        let mut altered = note.clone().into_bytes();
        altered[at] ^= 1;
        assert!(key.open(&altered).is_err(), "byte {at}");
    }
    Example { name: "checkpoint", doc: "log-format.md", readable: note.trim_end().to_owned(), wire: note.into_bytes() }
}

fn door(world: &mut World) -> Example {
    let counts = [(crate::reason::Reason::HostUnknown, 1204), (crate::reason::Reason::SignatureInvalid, 3)];
    let step = world.ledger.count(counts.into_iter().collect(), world.now_ms);
    entry("entry-door", &step.bytes)
}

pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub(super) fn same_or_bless(path: &Path, wanted: &[u8]) {
    if std::env::var_os("COUNTERSIGN_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, wanted).unwrap();
    }
    let found = std::fs::read(path).unwrap_or_default();
    assert!(found == wanted, "`{}` is not what is made now; see the head of examples.rs", path.display());
}

#[test]
fn each_document_is_the_vector_of_its_name() {
    for example in examples() {
        same_or_bless(&root().join("tests/vectors/documents").join(example.name), &example.wire);
    }
}

#[test]
fn the_examples_in_the_docs_are_the_vectors() {
    for doc in ["wire.md", "log-format.md"] {
        let path = root().join("docs").join(doc);
        let mut text = std::fs::read_to_string(&path).unwrap();
        for example in examples().iter().filter(|example| example.doc == doc) {
            let (open, close) = (format!("<!-- example {} -->\n", example.name), "<!-- end -->");
            let start =
                text.find(&open).unwrap_or_else(|| panic!("`{doc}` has no example `{}`", example.name)) + open.len();
            let end = start + text[start..].find(close).unwrap();
            let mut block = String::new();
            let fence = if example.readable.starts_with('{') { "json" } else { "text" };
            write!(block, "```{fence}\n{}\n```\n", example.readable).unwrap();
            text.replace_range(start..end, &block);
        }
        same_or_bless(&path, text.as_bytes());
    }
}
