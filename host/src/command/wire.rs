//! Options of every command about the way to NATS: who logs in, whom TLS believes, what it shows.
//!
//! What is done with them is left to `transport`.

use std::path::PathBuf;

use host::error::Error;
use host::login::LoginFile;
use host::transport::nats::{ClientCertificate, NatsOptions};

/// The way to NATS.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Wire {
    /// A NATS credentials file.
    #[arg(long, global = true, env = "COUNTERSIGN_CREDS", hide_env_values = true, value_name = "FILE")]
    pub(crate) creds: Option<PathBuf>,
    /// A file with the seed of a NATS user; never the host's own key.
    #[arg(long, global = true, env = "COUNTERSIGN_NKEY", hide_env_values = true, value_name = "FILE")]
    pub(crate) nkey: Option<PathBuf>,
    /// The certificate authority of the NATS server, in place of the machine's.
    #[arg(long, global = true, env = "COUNTERSIGN_TLS_CA", hide_env_values = true, value_name = "FILE")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// A certificate to show to the NATS server; with `--tls-key`.
    #[arg(long, global = true, env = "COUNTERSIGN_TLS_CERT", hide_env_values = true, value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of that certificate.
    #[arg(long, global = true, env = "COUNTERSIGN_TLS_KEY", hide_env_values = true, value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
}

impl Wire {
    /// What they mean, for the servers of that URL.
    ///
    /// # Errors
    /// [`Error::Usage`] for two logins, or for half a client certificate.
    pub(crate) fn options(&self, url: &str) -> Result<NatsOptions, Error> {
        let login = match (self.nkey.clone(), self.creds.clone()) {
            (Some(_), Some(_)) => return Err(usage("`--nkey` and `--creds` are two logins; name one of them")),
            (Some(nkey), None) => Some(LoginFile::Nkey(nkey)),
            (None, creds) => creds.map(LoginFile::Creds),
        };
        let certificate = match (self.tls_cert.clone(), self.tls_key.clone()) {
            (Some(chain), Some(key)) => Some(ClientCertificate { chain, key }),
            (None, None) => None,
            (Some(_), None) => return Err(usage("`--tls-cert` needs the key of its certificate: `--tls-key FILE`")),
            (None, Some(_)) => return Err(usage("`--tls-key` needs the certificate of its key: `--tls-cert FILE`")),
        };
        Ok(NatsOptions { url: url.to_owned(), login, tls_ca: self.tls_ca.clone(), certificate })
    }
}

fn usage(message: &str) -> Error {
    Error::Usage(message.to_owned())
}
