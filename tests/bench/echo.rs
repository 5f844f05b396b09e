//! The honest limit: a service on the same wire that verifies one signature and makes one for each request, and
//! nothing else. It runs as a process of its own, as the broker does.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use async_nats::Client;
use bytes::Bytes;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use futures::StreamExt;

/// The service, in a process of its own; it ends when it is dropped.
pub(crate) struct Echo {
    child: Child,
}

impl Echo {
    /// Starts one that knows these keys, and answers with so many bytes.
    pub(crate) async fn start(url: &str, keys: &[[u8; 32]], size: usize, client: &Client) -> Self {
        let keys: Vec<_> = keys.iter().map(|key| HEXLOWER.encode(key)).collect();
        let own = std::env::current_exe().expect("a program has a path");
        let arguments = [ROLE, url, &size.to_string(), &keys.join(",")];
        let child = Command::new(own).args(arguments).stdout(Stdio::null()).spawn().expect("it starts");
        // It listens once it answers anything, if only with nothing.
        while client.request(format!("{SUBJECT}.0"), "".into()).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        Self { child }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where the host of that number asks.
    pub(crate) fn subject(host: usize) -> String {
        format!("{SUBJECT}.{host}")
    }

    /// Whether this is the answer to that request.
    pub(crate) fn is_answer(answer: &[u8], request: &[u8]) -> bool {
        let signature = answer.get(..64).and_then(|bytes| Signature::from_slice(bytes).ok());
        signature.is_some_and(|signature| key().verifying_key().verify_strict(token(request), &signature).is_ok())
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // One that has ended already is as good as ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The process's own part: `echo URL SIZE KEYS`.
pub(crate) fn main(arguments: &[String]) {
    let [url, size, keys] = arguments else { panic!("echo URL SIZE KEYS") };
    let size: usize = size.parse().expect("a size");
    let keys: Vec<_> = keys
        .split(',')
        .map(|key| HEXLOWER.decode(key.as_bytes()).ok().and_then(|raw| raw.try_into().ok()).expect("32 bytes"))
        .map(|raw| VerifyingKey::from_bytes(&raw).expect("a key"))
        .collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(serve(url, size, Arc::new(keys)));
}

async fn serve(url: &str, size: usize, keys: Arc<Vec<VerifyingKey>>) {
    let client = async_nats::connect(url).await.expect("the server answers");
    let mut requests = client.subscribe(format!("{SUBJECT}.*")).await.expect("a subscription");
    let signing = Arc::new(key());
    while let Some(request) = requests.next().await {
        let (client, keys, signing) = (client.clone(), Arc::clone(&keys), Arc::clone(&signing));
        tokio::spawn(async move {
            let Some(reply) = request.reply else { return };
            let host = request.subject.rsplit('.').next().and_then(|text| text.parse::<usize>().ok());
            let key = host.and_then(|host| keys.get(host));
            let mut answer = vec![0; size];
            if key.is_some_and(|key| is_signed(key, &request.payload)) {
                answer[..64].copy_from_slice(&signing.sign(token(&request.payload)).to_bytes());
            }
            client.publish(reply, Bytes::from(answer)).await.expect("it is sent");
        });
    }
}

fn is_signed(key: &VerifyingKey, request: &[u8]) -> bool {
    let token = token(request);
    let Some(dot) = token.iter().rposition(|byte| *byte == b'.') else { return false };
    let signature = BASE64URL_NOPAD.decode(&token[dot + 1..]).ok();
    let signature = signature.and_then(|bytes| Signature::from_slice(&bytes).ok());
    signature.is_some_and(|signature| key.verify_strict(&token[..dot], &signature).is_ok())
}

fn token(request: &[u8]) -> &[u8] {
    request.split(|byte| *byte == b'\n').next().unwrap_or_default()
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// The first argument of such a process.
pub(crate) const ROLE: &str = "echo";
const SUBJECT: &str = "echo";
