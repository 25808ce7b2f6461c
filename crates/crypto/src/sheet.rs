//! The key sheet: a chart's public compartment keys, checked against a root on the ledger.
//!
//! ```text
//! line digest = digest(line, [canonical line])
//! root        = digest(root, [chart, line digest 0, line digest 1, ...])
//! ```
//!
//! An author who has one line and the digests of all can check it without the other keys, which are
//! 1,216 bytes each.
//!
//! # Invariants
//!
//! * A sheet has one line for each compartment, in order: it shows nothing about which are in use.
//!
//! The *ahead sheet* has keys of epochs to come, so that compartments move on while their controller is away;
//! the ledger has its digest.
//!
//! Not here: what a compartment means. That is sealed (the meaning sheet).

use alloc::vec::Vec;

use keepwell_types::{
    chart::{AheadSheet, KeyLine, KeySheet, KeysAhead},
    encode,
    encoding::List,
    id::{ChartId, Compartment, Digest, Epoch},
    limits::COMPARTMENTS,
    set::CompartmentSet,
};
use thiserror::Error;

use crate::{
    hash::{Hasher, digest},
    keys::ChartSecret,
    seal::SealingPublic,
};

/// Why a sheet or a line of it cannot be used: the fault of whoever served it.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum SheetError {
    /// It is not the sheet that the ledger commits to.
    #[error("the key sheet has root {given} and the ledger has {expected}; fetch it again")]
    Root {
        /// Of what was served.
        given: Digest,
        /// On the ledger.
        expected: Digest,
    },
    /// Not one line for each compartment, in order.
    #[error("the key sheet does not have one line for each compartment, in order")]
    Lines,
    /// The line is not the one whose digest was given for its compartment.
    #[error("the line of compartment {} is not the one that its digest names", .0.index())]
    Line(Compartment),
    /// The key is not an X-Wing public key: the fault of whoever controls the chart.
    #[error("the key of compartment {} is not an X-Wing public key", .0.index())]
    Key(Compartment),
}

/// The sheet of a chart whose compartments are at these epochs.
pub fn sheet(secret: &ChartSecret, chart: ChartId, epochs: &[Epoch; COMPARTMENTS]) -> KeySheet {
    let lines = Compartment::all()
        .zip(epochs)
        .map(|(compartment, &epoch)| {
            let key = secret.epoch_seed(compartment, epoch).sealing().public().to_blob();
            KeyLine { compartment, epoch, key }
        })
        .collect();
    let lines = List::from_vec(lines).expect("there is one line for each compartment");
    KeySheet { chart, lines }
}

/// The sheet of the keys of `compartments` for `count` epochs after these, and what the ledger is told of it.
/// At most [`keepwell_types::limits::EPOCHS_AHEAD_MAX`] epochs of ordinary compartments fit.
pub fn ahead(
    secret: &ChartSecret,
    chart: ChartId,
    epochs: &[Epoch; COMPARTMENTS],
    compartments: CompartmentSet,
    count: u32,
) -> Option<(AheadSheet, KeysAhead)> {
    let mut until = [Epoch(0); COMPARTMENTS];
    let mut lines = Vec::new();
    for compartment in compartments.iter() {
        let place = usize::from(compartment.index());
        let next = epochs[place].0.checked_add(1)?;
        until[place] = Epoch(next.checked_add(count)?);
        for epoch in (next..until[place].0).map(Epoch) {
            let key = secret.epoch_seed(compartment, epoch).sealing().public().to_blob();
            lines.push(KeyLine { compartment, epoch, key });
        }
    }
    let sheet = AheadSheet { chart, lines: List::from_vec(lines).ok()? };
    let keys = KeysAhead { sheet: ahead_digest(&sheet), until };
    Some((sheet, keys))
}

/// The digest of an ahead sheet, which stands on the ledger.
pub fn ahead_digest(sheet: &AheadSheet) -> Digest {
    digest("keepwell/sheet/ahead/v1", &[&encode(sheet)])
}

/// The key of one epoch to come.
pub fn key_ahead(sheet: &AheadSheet, compartment: Compartment, epoch: Epoch) -> Option<&KeyLine> {
    sheet.lines.iter().find(|line| (line.compartment, line.epoch) == (compartment, epoch))
}

/// The digests of the lines, in order.
pub fn line_digests(sheet: &KeySheet) -> Vec<Digest> {
    sheet.lines.iter().map(line_digest).collect()
}

/// The root of a sheet, which stands on the ledger.
pub fn root(sheet: &KeySheet) -> Digest {
    root_of(&sheet.chart, &line_digests(sheet))
}

/// Checks a whole sheet against the root on the ledger.
pub fn verify(sheet: &KeySheet, expected: &Digest) -> Result<(), SheetError> {
    check_root(root(sheet), expected)?;
    if sheet.lines.iter().map(|line| line.compartment).eq(Compartment::all()) {
        Ok(())
    } else {
        Err(SheetError::Lines)
    }
}

/// Checks one line, given the digests of all, against the root on the ledger; returns its key.
pub fn verify_line(
    chart: &ChartId,
    line: &KeyLine,
    digests: &[Digest],
    expected: &Digest,
) -> Result<SealingPublic, SheetError> {
    if digests.len() != COMPARTMENTS {
        return Err(SheetError::Lines);
    }
    check_root(root_of(chart, digests), expected)?;
    if digests[usize::from(line.compartment.index())] != line_digest(line) {
        return Err(SheetError::Line(line.compartment));
    }
    SealingPublic::from_bytes(&line.key).map_err(|_| SheetError::Key(line.compartment))
}

fn check_root(given: Digest, expected: &Digest) -> Result<(), SheetError> {
    if given == *expected { Ok(()) } else { Err(SheetError::Root { given, expected: *expected }) }
}

fn line_digest(line: &KeyLine) -> Digest {
    digest("keepwell/sheet/line/v1", &[&encode(line)])
}

fn root_of(chart: &ChartId, digests: &[Digest]) -> Digest {
    let mut hasher = Hasher::new("keepwell/sheet/root/v1");
    hasher.part(&chart.0);
    for digest in digests {
        hasher.part(&digest.0);
    }
    hasher.finish()
}
