//! Options of every command about the way to NATS: who logs in, whom TLS believes, what it shows.
//!
//! What is done with them is left to `transport`.

use std::path::PathBuf;

use crate::output::Usage;
use crate::transport::nats::{ClientCertificate, LoginFile, NatsOptions};

/// The way to NATS.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Everywhere")]
pub struct Wire {
    /// A NATS credentials file.
    #[arg(long, global = true, env = "COUNTERSIGN_CREDS", hide_env_values = true, value_name = "FILE")]
    pub creds: Option<PathBuf>,
    /// A file with the seed of a NATS user.
    #[arg(long, global = true, env = "COUNTERSIGN_NKEY", hide_env_values = true, value_name = "FILE")]
    pub nkey: Option<PathBuf>,
    /// The certificate authority of the NATS server, in place of the machine's.
    #[arg(long, global = true, env = "COUNTERSIGN_TLS_CA", hide_env_values = true, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// A certificate to show to the NATS server; with `--tls-key`.
    #[arg(long, global = true, env = "COUNTERSIGN_TLS_CERT", hide_env_values = true, value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,
    /// The private key of that certificate.
    #[arg(long, global = true, env = "COUNTERSIGN_TLS_KEY", hide_env_values = true, value_name = "FILE")]
    pub tls_key: Option<PathBuf>,
}

impl Wire {
    /// What they mean, for the servers of that URL.
    ///
    /// # Errors
    /// [`Usage`] for two logins, or for half a client certificate.
    pub fn options(self, url: String) -> Result<NatsOptions, Usage> {
        let login = match (self.nkey, self.creds) {
            (Some(_), Some(_)) => return Err(usage("`--nkey` and `--creds` are two logins; name one of them")),
            (Some(nkey), None) => Some(LoginFile::Nkey(nkey)),
            (None, creds) => creds.map(LoginFile::Creds),
        };
        let certificate = match (self.tls_cert, self.tls_key) {
            (Some(chain), Some(key)) => Some(ClientCertificate { chain, key }),
            (None, None) => None,
            (Some(_), None) => return Err(usage("`--tls-cert` needs the key of its certificate: `--tls-key FILE`")),
            (None, Some(_)) => return Err(usage("`--tls-key` needs the certificate of its key: `--tls-cert FILE`")),
        };
        Ok(NatsOptions { url, login, tls_ca: self.tls_ca, certificate, inbox: None })
    }
}

fn usage(message: &str) -> Usage {
    Usage(message.to_owned())
}
