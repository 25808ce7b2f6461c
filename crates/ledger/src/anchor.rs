//! Anchors: one entry for any number of documents.
//!
//! The entry is all there is: whoever holds a document shows its path to the root in it. So nothing of
//! the state changes.

use keepwell_types::{anchor::AnchorAdd, limits::ANCHOR_DOCUMENTS_MAX, outcome::Rejection};

use crate::decide::{Case, Changes, Halt};

pub(crate) fn add(case: &Case<'_>, it: &AnchorAdd) -> Result<Changes, Halt> {
    case.acting_member()?;
    if it.documents == 0 || it.documents > ANCHOR_DOCUMENTS_MAX {
        return Err(Rejection::AnchorSize { documents: it.documents }.into());
    }
    Ok(Changes::NONE)
}
