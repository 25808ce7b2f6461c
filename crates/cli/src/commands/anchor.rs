//! `keepwell anchor`: one entry for a folder of documents.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::{failure::Failure, output::Output, profile::As, runtime::block_on};

/// Put one entry on the ledger for a whole folder, and write a receipt for each document
#[derive(Args)]
#[command(after_help = "Example:
  keepwell anchor --as pilot/people/agent ./reports --receipts ./receipts
  keepwell verify --genesis pilot/genesis.cbor --document ./reports/a.pdf ./receipts/a.pdf.receipt")]
pub(crate) struct Anchor {
    #[command(flatten)]
    who: As,
    /// The folder of documents
    folder: PathBuf,
    /// Folder for the receipts, which is created if it is missing
    #[arg(long, value_name = "DIR")]
    receipts: PathBuf,
}

impl Anchor {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        std::fs::read_dir(&self.folder).map_err(Failure::at(&self.folder))?;
        let session = self.who.session()?;
        let actor = session.member()?.actor();
        block_on(async {
            let (anchored, files) = session
                .client
                .anchor_folder(&actor, &self.folder, |path, place, of| {
                    output.say(&format!("{}/{of}  {}", place + 1, path.display()));
                })
                .await?;
            for (file, receipt) in files.iter().zip(anchored.receipts()) {
                let path = receipt_path(&self.receipts, &self.folder, file);
                if let Some(parent) = path.parent() {
                    std::fs::create_dir_all(parent).map_err(Failure::at(parent))?;
                }
                std::fs::write(&path, receipt.encode()).map_err(Failure::at(path))?;
            }
            let at = anchored.decided().outcome().location;
            output.result(
                &format!("{} documents are anchored in block {}; their receipts are in {}", files.len(), at.height, self.receipts.display()),
                &json!({ "documents": files.len(), "height": at.height, "receipts": self.receipts }),
            );
            Ok(())
        })
    }
}

/// Where the receipt of a document goes: the same path below another folder, with `.receipt` added.
fn receipt_path(receipts: &Path, folder: &Path, file: &Path) -> PathBuf {
    let mut path = receipts.join(file.strip_prefix(folder).unwrap_or(file)).into_os_string();
    path.push(".receipt");
    path.into()
}
