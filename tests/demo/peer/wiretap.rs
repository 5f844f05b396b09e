//! Whoever may subscribe may listen: what crosses the wire is written down, and later said again or altered.
//!
//! Nothing here holds a key of the lattice's; it has only heard.

use std::path::Path;

use anyhow::Context;
use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::SigningKey;
use futures::StreamExt;
use policy::answer::StartAnswer;
use policy::digest::Digest;
use policy::envelope::{Document, Unverified};
use policy::key::{Host, Name};
use policy::question::StartRequest;
use serde_json::Value;

use super::rogue;

/// Writes down the next question and its permission, as `<to>.question` and `<to>.answer`.
pub(crate) fn listen(url: &str, lattice: &str, to: &Path, ready: &Path) -> anyhow::Result<()> {
    rogue::on(url, async |client| {
        let mut heard = client.subscribe(">").await?;
        rogue::stand(&client, ready).await?;
        let mut question: Option<Vec<u8>> = None;
        while let Some(message) = heard.next().await {
            if let Ok(asked) = Unverified::<StartRequest>::parse(&message.payload) {
                question = (asked.says().aud.as_str() == lattice).then(|| message.payload.to_vec());
            }
            let (Some(question), Ok(answer)) = (&question, Unverified::<StartAnswer>::parse(&message.payload)) else {
                continue;
            };
            if answer.says().lattice.as_str() == lattice {
                std::fs::write(to.with_extension("question"), question)?;
                std::fs::write(to.with_extension("answer"), &message.payload)?;
                return Ok(());
            }
        }
        Ok(())
    })
}

/// Answers every question with what was heard before, in one of several ways, until it is stopped.
pub(crate) fn repeat(url: &str, way: &str, heard: &Path, ready: &Path) -> anyhow::Result<()> {
    let heard = std::fs::read(heard.with_extension("answer"))?;
    let answer = Unverified::<StartAnswer>::parse(&heard)?;
    rogue::on(url, async |client| {
        let mut asked = client.subscribe("countersign.v1.default.start.component").await?;
        rogue::stand(&client, ready).await?;
        while let Some(message) = asked.next().await {
            let (Some(reply), Ok(request)) = (message.reply, Unverified::<StartRequest>::parse(&message.payload))
            else {
                continue;
            };
            let token = message.payload.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let question = (request.says(), Digest::of(token));
            let said = match way {
                "replayed" => heard.clone(),
                "altered" => altered(&heard, question)?,
                "unsigned" => unsigned(&altered(&heard, question)?),
                "own-key" => own_key(&answer, question)?,
                _ => anyhow::bail!("replayed | altered | unsigned | own-key"),
            };
            client.publish(reply, said.into()).await?;
            client.flush().await?;
        }
        Ok(())
    })
}

/// Asks what was heard before under a name that is not the asker's, and prints the reason that comes back.
pub(crate) fn ask(url: &str, way: &str, heard: &Path) -> anyhow::Result<()> {
    let heard = std::fs::read(heard.with_extension("question"))?;
    let question = Unverified::<StartRequest>::parse(&heard)?;
    let own = SigningKey::from_bytes(&[6; 32]);
    let mut request = question.says().clone();
    let bytes = match way {
        "stranger" => {
            request.iss = Name::<Host>::from_raw(own.verifying_key().to_bytes());
            seal(&own, &request, question.attachments())
        }
        "forged" => seal(&own, &request, question.attachments()),
        "misdirected" => heard.clone(),
        _ => anyhow::bail!("stranger | forged | misdirected"),
    };
    let inbox = format!("_INBOX_{}.demo", request.iss);
    rogue::on(url, async |client| {
        let mut inbox_replies = client.subscribe(inbox.clone()).await?;
        // An answer that would go to where administrators command is none that the asker wants.
        let reply = if way == "misdirected" { "countersign.v1.default.command".to_owned() } else { inbox };
        client.publish_with_reply("countersign.v1.default.start.component", reply, bytes.into()).await?;
        client.flush().await?;
        if way == "misdirected" {
            return Ok(());
        }
        let next = tokio::time::timeout(std::time::Duration::from_secs(5), inbox_replies.next());
        let reply = next.await?.context("the wire is gone")?;
        let headers = reply.headers.unwrap_or_default();
        let reason = headers.get("Nats-Service-Error").map(ToString::to_string).unwrap_or_default();
        println!("{{\"error\":\"{reason}\"}}");
        Ok(())
    })
}

// As it was signed, but about this question.
fn altered(heard: &[u8], (request, sha256): (&StartRequest, Digest)) -> anyhow::Result<Vec<u8>> {
    let text = std::str::from_utf8(heard)?;
    let (token, attachments) = text.split_once('\n').context("an answer carries its warrant")?;
    let mut segments = token.split('.');
    let mut next = || segments.next().unwrap_or_default();
    let (header, payload, signature) = (next(), next(), next());
    let mut answer: Value = serde_json::from_slice(&BASE64URL_NOPAD.decode(payload.as_bytes())?)?;
    let members = answer.as_object_mut().context("an object")?;
    members.insert("request_sha256".into(), sha256.to_string().into());
    members.insert("jti".into(), request.jti.to_string().into());
    members.insert("index".into(), (request.seen.index + 1).into());
    let payload = BASE64URL_NOPAD.encode(policy::json::write(&answer).as_slice());
    Ok(format!("{header}.{payload}.{signature}\n{attachments}").into_bytes())
}

fn unsigned(altered: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(altered);
    let payload = text.split('.').nth(1).unwrap_or_default();
    let header = BASE64URL_NOPAD.encode(br#"{"alg":"none","typ":"countersign.answer.v1"}"#);
    let attachments = text.split_once('\n').map(|(_, attachments)| attachments).unwrap_or_default();
    format!("{header}.{payload}.\n{attachments}").into_bytes()
}

// The broker's own papers, and a key that stands in none of them.
fn own_key(
    heard: &Unverified<StartAnswer>,
    (request, request_sha256): (&StartRequest, Digest),
) -> anyhow::Result<Vec<u8>> {
    let own = SigningKey::from_bytes(&[4; 32]);
    let mut answer = heard.says().clone();
    answer.iss = Name::from_raw(own.verifying_key().to_bytes());
    (answer.aud, answer.jti, answer.request_sha256) = (request.iss, request.jti, request_sha256);
    (answer.index, answer.epoch) = (request.seen.index + 1, request.seen.epoch);
    Ok(seal(&own, &answer, heard.attachments()))
}

fn seal<T: Document>(key: &SigningKey, document: &T, attachments: &[Vec<u8>]) -> Vec<u8> {
    let attachments: Vec<&[u8]> = attachments.iter().map(Vec::as_slice).collect();
    rogue::seal(key, document, &attachments)
}
