//! `keepwell verify`: check a receipt offline, against the genesis file only.

use std::{fs, path::PathBuf};

use clap::Args;
use keepwell_client::anchor::digest_of;
use keepwell_merkle::{
    anchor::DocumentReceipt,
    receipt::{Receipt, VerifiedReceipt},
};
use keepwell_types::{genesis::Genesis, outcome::Verdict};
use serde_json::json;

use crate::{failure::Failure, output::Output, runtime::block_on};

/// Check a receipt offline: needs the genesis file and trusts no node
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell verify --genesis genesis.cbor record.receipt
  keepwell verify --genesis genesis.cbor --document a.pdf a.pdf.receipt")]
pub(crate) struct Verify {
    /// The consortium's genesis file
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// The document, for the receipt of an anchored document
    #[arg(long, value_name = "FILE")]
    document: Option<PathBuf>,
    /// The receipt
    receipt: PathBuf,
}

impl Verify {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        let genesis = fs::read(&self.genesis).map_err(Failure::at(&self.genesis))?;
        let genesis = Genesis::decode(&genesis).map_err(|error| {
            Failure::Misused(format!(
                "{} is no genesis file: {error}; get the consortium's own file",
                self.genesis.display()
            ))
        })?;
        let bytes = fs::read(&self.receipt).map_err(Failure::at(&self.receipt))?;
        let Some(document) = self.document else {
            let verified = Receipt::decode(&bytes)?.verify(&genesis)?;
            report(&verified, &genesis, bytes.len(), output);
            return Ok(());
        };
        let digest = block_on(async {
            let file = tokio::fs::File::open(&document).await.map_err(Failure::at(&document))?;
            Ok(digest_of(file).await?)
        })?;
        let verified = DocumentReceipt::decode(&bytes)?.verify(&genesis, &digest)?;
        let outcome = verified.receipt().outcome();
        output.result(
            &format!(
                "verified: {} was anchored in block {} at {}, in the consortium {:?}",
                document.display(),
                outcome.location.height,
                outcome.time,
                genesis.name.as_str()
            ),
            &json!({ "verified": true, "height": outcome.location.height, "time": outcome.time }),
        );
        Ok(())
    }
}

fn report(verified: &VerifiedReceipt, genesis: &Genesis, bytes: usize, output: &Output) {
    let outcome = verified.outcome();
    let verdict = match &outcome.verdict {
        Verdict::Accepted => "accepted".to_owned(),
        Verdict::Rejected(rejection) => format!("refused: {rejection}"),
    };
    let demonstration =
        if genesis.demonstration { " (a demonstration: its keys protect nothing)" } else { "" };
    output.result(
        &format!(
            "verified: {} was {verdict}, in block {} at {}\nby the validators of the consortium {:?}{demonstration}; {bytes} bytes, checked offline",
            verified.entry().payload().name(), outcome.location.height, outcome.time, genesis.name.as_str(),
        ),
        &json!({
            "verified": true,
            "command": verified.entry().payload().name(),
            "outcome": outcome,
            "bytes": bytes,
        }),
    );
}
