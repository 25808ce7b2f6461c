//! `keepwell verify`: check a receipt offline, against the genesis file only.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use keepwell_client::{Consortium, anchor::digest_of, record::ErasureCertificate};
use keepwell_merkle::{
    anchor::DocumentReceipt,
    receipt::{Receipt, VerifiedReceipt},
};
use keepwell_types::{genesis::Genesis, outcome::Verdict};
use serde_json::json;

use crate::{commands::record::signoff, failure::Failure, output::Output, runtime::block_on};

/// Check a receipt offline: needs the genesis file and trusts no node
#[derive(Args)]
#[command(after_help = "Examples:
  keepwell verify --genesis genesis.cbor record.receipt
  keepwell verify --genesis genesis.cbor --document a.pdf a.pdf.receipt
  keepwell verify --genesis genesis.cbor --signatures note.signatures
  keepwell verify --genesis genesis.cbor --erasure erased.certificate")]
pub(crate) struct Verify {
    /// The consortium's genesis file
    #[arg(long, value_name = "FILE")]
    genesis: PathBuf,
    /// The document, for the receipt of an anchored document
    #[arg(long, value_name = "FILE")]
    document: Option<PathBuf>,
    /// The certificate of a record's erasure, in the place of a receipt
    #[arg(long, value_name = "FILE", conflicts_with_all = ["document", "receipt"])]
    erasure: Option<PathBuf>,
    /// The signatures of a record, in the place of a receipt
    #[arg(long, value_name = "FILE", conflicts_with_all = ["document", "erasure", "receipt"])]
    signatures: Option<PathBuf>,
    /// The receipt
    #[arg(required_unless_present_any = ["erasure", "signatures"])]
    receipt: Option<PathBuf>,
}

impl Verify {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        if let Some(certificate) = &self.erasure {
            return verify_erasure(&self.genesis, certificate, output);
        }
        if let Some(signatures) = &self.signatures {
            return signoff::verify(&self.genesis, signatures, output);
        }
        let receipt = self.receipt.ok_or_else(|| Failure::Misused("name the receipt".into()))?;
        let genesis = fs::read(&self.genesis).map_err(Failure::at(&self.genesis))?;
        let genesis = Genesis::decode(&genesis).map_err(|error| {
            Failure::Misused(format!(
                "{} is no genesis file: {error}; get the consortium's own file",
                self.genesis.display()
            ))
        })?;
        let bytes = fs::read(&receipt).map_err(Failure::at(&receipt))?;
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

fn verify_erasure(genesis: &Path, path: &Path, output: &Output) -> Result<(), Failure> {
    let bytes = fs::read(genesis).map_err(Failure::at(genesis))?;
    let consortium = Consortium::read(&bytes)?;
    let bytes = fs::read(path).map_err(Failure::at(path))?;
    let unusable = |why: String| Failure::Misused(format!("{}: {why}", path.display()));
    let certificate =
        ErasureCertificate::decode(&bytes).map_err(|error| unusable(error.to_string()))?;
    let verified = certificate.verify(&consortium).map_err(|fault| unusable(fault.to_string()))?;
    let redaction = verified.state.redaction.filter(|redaction| redaction.bound.is_some());
    let (Some(redaction), header) = (redaction, verified.header.header()) else {
        return Err(unusable("the record is not redacted; this certifies no erasure".into()));
    };
    let bound = redaction.bound.expect("only a redaction that binds passed the filter");
    let outstanding: Vec<_> = redaction.outstanding.iter().map(ToString::to_string).collect();
    let said = if outstanding.is_empty() {
        "every custodian has signed that it destroyed it".to_owned()
    } else {
        format!(
            "not yet destroyed, or not said so, by: {}; they have until {}",
            outstanding.join(", "),
            bound.erase_until
        )
    };
    output.result(
        &format!(
            "verified: record {} was redacted at {}; as of block {} at {}, {said}",
            certificate.record, bound.at, header.height, header.time
        ),
        &json!({
            "verified": true,
            "record": certificate.record,
            "redacted_at": bound.at,
            "outstanding": outstanding,
            "height": header.height,
        }),
    );
    Ok(())
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
