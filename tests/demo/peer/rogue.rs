//! A rogue on NATS: it subscribes where the broker does, outside its queue group, and says yes before anybody else.
//!
//! Its answers are well formed, about the very question, and signed; only the keys are its own.

use std::path::Path;

use ed25519_dalek::{Signer, SigningKey};
use futures::StreamExt;
use policy::answer::{StartAnswer, Verdict};
use policy::decide::{Grant, Outcome};
use policy::digest::Digest;
use policy::envelope::{Document, Draft, Unverified};
use policy::key::{Decision, Name, Root};
use policy::name::{ComponentId, LinkName};
use policy::provider::Subject;
use policy::question::{StartRequest, What};
use policy::resolve::By;
use policy::time::{Timestamp, Validity};
use policy::warrant::Warrant;

/// Answers every start on the subject with a forged yes, until it is stopped.
pub(crate) fn answer_first(url: &str, subject: &str, ready: &Path) -> anyhow::Result<()> {
    on(url, async |client| {
        let mut asked = client.subscribe(subject.to_owned()).await?;
        stand(&client, ready).await?;
        while let Some(message) = asked.next().await {
            let (Some(reply), Ok(request)) = (message.reply, Unverified::<StartRequest>::parse(&message.payload))
            else {
                continue;
            };
            let token = message.payload.split(|byte| *byte == b'\n').next().unwrap_or_default();
            client.publish(reply, yes(request.says(), Digest::of(token))?.into()).await?;
            client.flush().await?;
            println!("rogue: said yes to `{}` before the broker could answer", request.says().runs.id);
        }
        Ok(())
    })
}

/// Connects as anybody may, and does its work.
pub(crate) fn on(url: &str, work: impl AsyncFnOnce(async_nats::Client) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { work(async_nats::connect(url).await?).await })
}

/// Says that it is ready, once its subscriptions stand.
pub(crate) async fn stand(client: &async_nats::Client, ready: &Path) -> anyhow::Result<()> {
    // A round trip on this connection: the subscription stands before anybody is told.
    client.publish(format!("rogue.{}", std::process::id()), "".into()).await?;
    client.flush().await?;
    std::fs::write(ready, "ready")?;
    Ok(())
}

fn yes(request: &StartRequest, request_sha256: Digest) -> anyhow::Result<Vec<u8>> {
    let (root, decision) = (SigningKey::from_bytes(&[3; 32]), SigningKey::from_bytes(&[4; 32]));
    let decision_name = Name::<Decision>::from_raw(decision.verifying_key().to_bytes());
    let now = Timestamp::from_seconds(request.iat.seconds())?;
    let warrant = Warrant {
        iss: Name::<Root>::from_raw(root.verifying_key().to_bytes()),
        lattice: request.aud.clone(),
        inception_sha256: request.seen.entry_sha256,
        reset: 0,
        serial: 1_000_000,
        decision_keys: vec![decision_name.usable()?],
        ends: Default::default(),
        log_key: "countersign/rogue".into(),
        validity: Validity { iat: now, nbf: None, exp: Some(now.plus(86_400)) },
        cosigned: Default::default(),
    };
    let warrant = seal(&root, &warrant, &[]);
    let (component, provider) = match request.what {
        What::StartComponent => (Some(request.runs.clone()), None),
        What::StartProvider => (None, Some(request.runs.clone())),
    };
    let answer = StartAnswer {
        iss: decision_name,
        aud: request.iss,
        lattice: request.aud.clone(),
        warrant_sha256: Digest::of(&warrant),
        request_sha256,
        jti: request.jti,
        verdict: Verdict::Permitted,
        reason: None,
        ttl_ms: 5000,
        component,
        provider,
        outcomes: request.imports.iter().map(granted).collect::<anyhow::Result<_>>()?,
        epoch: request.seen.epoch + 1,
        index: request.seen.index + 1,
        entry_sha256: request.seen.entry_sha256,
        relaxations: Vec::new(),
        standby: None,
    };
    Ok(seal(&decision, &answer, &[&warrant]))
}

fn granted(import: &policy::artifact::Import) -> anyhow::Result<Outcome> {
    let id: ComponentId = "rogue".parse()?;
    let subject = Subject::parse("native/logging@0.1.0")?;
    let sha256 = Digest::of(b"native/logging@0.1.0");
    let grant = Grant { by: By::Builtin, id, provider: subject, sha256, revision: None, config_sha256: None };
    let (package, version) = (import.package.clone(), import.version.clone());
    Ok(Outcome { package, version, link: LinkName::unnamed(), grant: Ok(grant) })
}

/// Signs a document of ours with a key that nobody asked for.
pub(crate) fn seal<T: Document>(key: &SigningKey, document: &T, attachments: &[&[u8]]) -> Vec<u8> {
    let draft = Draft::of(document);
    let signature = key.sign(draft.signing_input()).to_bytes();
    draft.seal_with(&signature, attachments.iter().copied())
}
