//! What TLS takes from files: authorities, and the client's own certificate; and what a failed connection asks for.
//!
//! The files are looked at here so that a wrong one is told plainly. The connection itself reads them each time it is
//! made, so that renewed ones count without a restart.

use std::error::Error as StdError;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use async_nats::rustls::crypto::ring;
use async_nats::rustls::pki_types::pem::PemObject;
use async_nats::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use async_nats::rustls::sign::CertifiedKey;
use async_nats::rustls::{self, CertificateError};
use async_nats::{ConnectError, ConnectErrorKind, ConnectOptions};

use crate::error::Error;
use crate::identity::refuse_open;

/// A client's certificate, and the key it was made for.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// The certificate, and those between it and its authority.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// How much of TLS a connection was to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// None of it.
    Plain,
    /// The server shows a certificate.
    Encrypted,
    /// Both sides show one.
    Certified,
}

/// Demands TLS with these files, of a provider that is named and never guessed.
///
/// # Errors
/// [`Error::File`] for a file that cannot be used, `key_in_use` for a private key that others may read.
pub(super) fn secure(
    connect: ConnectOptions,
    authorities: Option<&Path>,
    certificate: Option<&ClientCertificate>,
) -> Result<ConnectOptions, Error> {
    // One that was installed before serves as well.
    let _ = ring::default_provider().install_default();
    let mut connect = connect.require_tls(true);
    if let Some(authorities) = authorities {
        certificates(authorities)?;
        connect = connect.add_root_certificates(authorities.to_owned());
    }
    if let Some(ClientCertificate { chain, key }) = certificate {
        let loaded = CertifiedKey::from_der(certificates(chain)?, private_key(key)?, &ring::default_provider());
        let other = |_| unusable(key, &format!("is not the private key of the certificate in `{}`", chain.display()));
        loaded.map_err(other)?;
        connect = connect.add_client_certificate(chain.clone(), key.clone());
    }
    Ok(connect)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bytes = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.ok().filter(|found| !found.is_empty());
    found.ok_or_else(|| unusable(path, "holds no certificates in PEM form (`-----BEGIN CERTIFICATE-----`)"))
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    refuse_open(path)?;
    let bytes = read(path)?;
    PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|_| unusable(path, "holds no private key in PEM form (`-----BEGIN PRIVATE KEY-----`)"))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::file("read", path, source))
}

fn unusable(path: &Path, what: &str) -> Error {
    Error::file("use", path, io::Error::new(ErrorKind::InvalidData, format!("it {what}")))
}

/// A connection that was not made, with what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{advice}")]
pub(super) struct Advised {
    advice: String,
    #[source]
    source: ConnectError,
}

impl Advised {
    /// What to do, where the failure tells: `login` is the public key that tried to log in.
    pub(super) fn new(source: ConnectError, login: Option<String>, way: Way) -> Self {
        let told = match source.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => Some(refused_login(login)),
            _ => refused_certificate(&source, way).map(str::to_owned),
        };
        Self { advice: told.unwrap_or_else(|| "no server could be reached".to_owned()), source }
    }
}

fn refused_login(login: Option<String>) -> String {
    match login {
        Some(key) => format!(
            "the server does not let `{key}` in; have it entered there, or name another login with `--nkey` or `--creds`"
        ),
        None => "the server asks for a login; name one with `--nkey` or `--creds`".to_owned(),
    }
}

fn refused_certificate(error: &ConnectError, way: Way) -> Option<&'static str> {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    let cause = causes.filter_map(|cause| cause.downcast_ref::<io::Error>()).next()?;
    let tls = cause.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            Some("no authority known here vouches for the server; if you know it, name its authority with `--tls-ca`")
        }
        Some(rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => Some("the server's certificate is for another name; write one of its names after `tls://`"),
        Some(rustls::Error::InvalidCertificate(_)) => Some("the server's certificate does not count; have it renewed"),
        Some(rustls::Error::AlertReceived(_)) => Some(turned_away(way)),
        // Who shuts the door at once may have sent an alert that the reset overtook.
        None if way != Way::Plain && matches!(cause.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
            Some(turned_away(way))
        }
        _ => None,
    }
}

const fn turned_away(way: Way) -> &'static str {
    match way {
        Way::Certified => {
            "the server does not take this client certificate; name one that its authority signed with `--tls-cert`"
        }
        Way::Encrypted | Way::Plain => {
            "the server turned this client away; if it asks for a certificate, name yours with `--tls-cert` and `--tls-key`"
        }
    }
}
