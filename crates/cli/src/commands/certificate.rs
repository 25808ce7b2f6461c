//! `keepwell certificate`: what a node or a trustee shows to clients.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use keepwell_client::tls::key_of;
use keepwell_node::tls::{ends_soon, make, read_certificate};
use serde_json::json;

use crate::{failure::Failure, output::Output};

/// Make a certificate for a node or a trustee, or look at one
///
/// Clients know a node by the key of its certificate, which stands in the node's address behind
/// `#sha256=`. A certificate of an authority does as well, and needs no key there.
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell certificate new --dir ./tls node.example.org 192.0.2.1
  keepwell certificate show ./tls/certificate.pem")]
pub(crate) struct Certificate {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make a key, and a certificate that it signs itself
    New {
        /// The folder for the two files; what is in it already is not written over
        #[arg(long)]
        dir: PathBuf,
        /// Names and addresses by which it is reached
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Say which key a certificate has, and when it ends
    Show {
        /// The certificate
        file: PathBuf,
    },
}

impl Certificate {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        let (file, made) = match self.what {
            What::New { dir, names } => {
                let files = make(&dir, &names)?;
                let made = format!(
                    "For node.toml:\n  [tls]\n  certificate = {:?}\n  key = {:?}\n",
                    files.certificate, files.key
                );
                (files.certificate, made)
            }
            What::Show { file } => (file, String::new()),
        };
        let (certificate, ends) = read_certificate(&file)?;
        let key = key_of(&certificate)?;
        let hurry =
            if ends_soon(ends) { ": renew it, with the same key if clients name it" } else { "" };
        output.result(
            &format!("{made}For addresses: #sha256={key}\nIt ends at {ends}{hurry}"),
            &json!({ "file": file, "sha256": key, "ends": ends }),
        );
        Ok(())
    }
}
