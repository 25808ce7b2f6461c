//! `keepwell trustee`: the keys and the service of one trustee.

use std::{fs, net::SocketAddr, path::PathBuf, sync::Arc};

use clap::{Args, Subcommand};
use keepwell_client::{Consortium, identity::TrusteeIdentity};
use keepwell_node::{config::TlsConfig, tls::Certificate};
use keepwell_types::id::OrganisationId;
use serde_json::json;
use tokio::{net::TcpListener, sync::watch};

use crate::{
    commands::node::address,
    failure::Failure,
    lock::Lock,
    output::Output,
    runtime::{asked_to_stop, block_on},
    trustee::Service,
};

/// Hold shares of what patients leave to emergencies, and give them for those that the ledger allows
///
/// A trustee has no validator, and is no node: whoever asks it for its shares brings proofs, which it checks
/// against the genesis file. It keeps what it answered in DIR/answered.jsonl.
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell trustee new --dir ./trustee --name 'Patients Advocate'
  keepwell trustee run --dir ./trustee --genesis genesis.cbor --listen 127.0.0.1:7460
  keepwell certificate new --dir ./tls advocate.example.org
  keepwell trustee run --dir ./trustee --genesis genesis.cbor --listen 192.0.2.9:7460 \\
      --certificate ./tls/certificate.pem --certificate-key ./tls/key.pem")]
pub(crate) struct Trustee {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Make a trustee's keys, and print what the genesis file has of it
    New {
        /// The folder
        #[arg(long)]
        dir: PathBuf,
        /// Its public name
        #[arg(long)]
        name: String,
        /// Its organisation, if that is one of the consortium's; it must have no validator
        #[arg(long)]
        organisation: Option<OrganisationId>,
        #[command(flatten)]
        lock: Lock,
    },
    /// Answer until it is told to stop
    Run {
        /// The folder
        #[arg(long)]
        dir: PathBuf,
        /// The consortium's genesis file
        #[arg(long, value_name = "FILE")]
        genesis: PathBuf,
        /// Where it listens; port 0 takes any free one
        #[arg(long, default_value = "127.0.0.1:7460")]
        listen: SocketAddr,
        /// The certificate that it shows; beyond this computer it needs one
        #[arg(long, value_name = "FILE", requires = "certificate_key")]
        certificate: Option<PathBuf>,
        /// The certificate's private key
        #[arg(long, value_name = "FILE", requires = "certificate")]
        certificate_key: Option<PathBuf>,
        #[command(flatten)]
        lock: Lock,
    },
}

impl Trustee {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        match self.what {
            What::New { dir, name, organisation, lock } => {
                let identity = TrusteeIdentity::generate();
                let public = identity.public(&name, organisation)?;
                fs::create_dir_all(&dir).map_err(Failure::at(&dir))?;
                let unlock = lock.make()?;
                identity.create(&dir.join("trustee.key"), &unlock, &name, false)?;
                let bytes = keepwell_types::encode(&public);
                let path = dir.join("trustee.pub");
                fs::write(&path, bytes).map_err(Failure::at(&path))?;
                output.result(
                    &format!(
                        "The keys are in {}. For the genesis file, hand out {}.",
                        dir.display(),
                        path.display()
                    ),
                    &json!(public),
                );
                Ok(())
            }
            What::Run { dir, genesis, listen, certificate, certificate_key, lock } => {
                let files = certificate.zip(certificate_key);
                let files = files.map(|(certificate, key)| TlsConfig { certificate, key });
                check_listen(listen, files.is_some())?;
                let certificate = files.as_ref().map(Certificate::open).transpose()?;
                let unlock = lock.open()?;
                let bytes = fs::read(&genesis).map_err(Failure::at(&genesis))?;
                let service = Service::open(Arc::new(Consortium::read(&bytes)?), &dir, &unlock)?;
                block_on(serve(service, listen, certificate, output))
            }
        }
    }
}

fn check_listen(listen: SocketAddr, has_certificate: bool) -> Result<(), Failure> {
    if has_certificate || listen.ip().is_loopback() {
        return Ok(());
    }
    Err(Failure::Misused(format!(
        "others reach {listen}, and there is no certificate: who opens what would travel in the open; make one with `keepwell certificate new` and name it with --certificate, or listen on loopback"
    )))
}

async fn serve(
    service: Service,
    listen: SocketAddr,
    certificate: Option<Arc<Certificate>>,
    output: &Output,
) -> Result<(), Failure> {
    let at = || Failure::at(listen.to_string());
    let listener = TcpListener::bind(listen).await.map_err(at())?;
    let url = address(listener.local_addr().map_err(at())?, certificate.as_deref())?;
    let trustee = service.index();
    output.result(&format!("trustee {trustee}: {url}"), &json!({ "trustee": trustee, "url": url }));
    let (stop, stopping) = watch::channel(false);
    let served = tokio::spawn(service.serve(listener, certificate, stopping));
    asked_to_stop().await;
    let _ = stop.send(true);
    served.await.map_err(|error| Failure::Misused(format!("the service ended: {error}")))
}
