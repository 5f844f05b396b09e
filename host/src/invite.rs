//! One line that lets a host in: lattice, NATS URL, root digest and a one-time seed.
//!
//! What is done with it is left to `join`.

use data_encoding::BASE64URL_NOPAD;
use policy::digest::Digest;
use policy::name::Lattice;
use policy::reason::{Reason, Refusal};

use crate::identity::InviteKey;

/// An invitation, as `countersign host invite` prints it.
#[derive(Debug)]
pub struct Invite {
    /// The lattice.
    pub lattice: Lattice,
    /// Where its broker listens.
    pub nats_url: String,
    /// The hash of the lattice's first entry: what the host will pin.
    pub root: Digest,
    pub(crate) key: InviteKey,
}

impl Invite {
    /// Reads the one line.
    ///
    /// # Errors
    /// `invite_unknown` or the reason of the part that is malformed; the seed is never repeated.
    pub fn parse(line: &str) -> Result<Self, Refusal> {
        let malformed = |what: &str| Refusal::new(Reason::InviteUnknown, format!("not an invitation: {what}"));
        let line = line.trim();
        let rest = line.strip_prefix(PREFIX).ok_or_else(|| malformed("it starts with `countersign-invite:v1:`"))?;
        let parts: Vec<&str> = rest.split(':').collect();
        let [lattice, url, root, seed] = parts.as_slice() else {
            return Err(malformed("it has four parts after its version: lattice, URL, root digest, one-time seed"));
        };
        let url = BASE64URL_NOPAD.decode(url.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let nats_url = url.filter(|url| is_url(url)).ok_or_else(|| malformed("its URL cannot be read"))?;
        let key = InviteKey::from_seed(seed).map_err(|_| malformed("its one-time seed cannot be read"))?;
        Ok(Self { lattice: Lattice::parse(lattice)?, nats_url, root: Digest::parse(root)?, key })
    }
}

fn is_url(url: &str) -> bool {
    url.len() <= 1024 && !url.is_empty() && url.bytes().all(|byte| byte.is_ascii_graphic())
}

const PREFIX: &str = "countersign-invite:v1:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_is_one_line_in_one_form() {
        let seed = nkeys::KeyPair::new_server().seed().unwrap();
        let url = BASE64URL_NOPAD.encode(b"nats://127.0.0.1:4222");
        let root = Digest::of(b"inception");
        let line = format!("countersign-invite:v1:default:{url}:{root}:{seed}\n");
        let invite = Invite::parse(&line).unwrap();
        assert_eq!((invite.nats_url.as_str(), invite.root), ("nats://127.0.0.1:4222", root));
        let user = nkeys::KeyPair::new_user().seed().unwrap();
        for bad in [
            line.replace("v1", "v2"),
            line.replace("default", "de.fault"),
            line.replace(&root.to_string(), "00"),
            line.replace(&url, "="),
            line.replace(&seed, &user),
            format!("{}:more", line.trim()),
        ] {
            let refused = Invite::parse(&bad).unwrap_err().to_string();
            assert!(!refused.contains(&seed) && !refused.contains(&user), "{refused}");
        }
    }
}
