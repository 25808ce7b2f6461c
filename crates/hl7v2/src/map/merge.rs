//! A40: two sets of identifiers of one patient (MRG under PID).
//!
//! A merge joins two charts, which nobody may do unasked. So it is told, not carried out: who remains, and who was
//! the same person all along.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::cell::RefCell;

use serde_json::Value;

use super::{Reception, datatype::Reader};
use crate::{
    message::{Message, Segment},
    refusal::{Path, Refusal},
};

/// An identifier of a patient, as in FHIR.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Identifier {
    /// Who assigned it; the feed's own namespace where the message does not say.
    pub system: String,
    /// The identifier.
    pub value: String,
}

/// Two sets of identifiers that are of one patient.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Merge {
    /// By which the patient is known from now on (PID-3).
    pub surviving: Vec<Identifier>,
    /// By which nobody should be known any more (MRG-1, and MRG-4 before 2.7).
    pub subsumed: Vec<Identifier>,
    /// Where the MRG stands.
    pub path: Path,
}

/// The merges of an A40, of which each has a PID and an MRG.
pub(super) fn merges(message: &Message, reception: &Reception<'_>) -> Result<Vec<Merge>, Refusal> {
    let reader = Reader {
        namespace: reception.namespace,
        zone: reception.zone,
        malformed: RefCell::default(),
    };
    let mut merges = Vec::new();
    let mut surviving: Option<(Segment<'_>, u32)> = None;
    let mut patients = 0;
    for segment in message.segments() {
        match segment.name() {
            "PID" => {
                patients += 1;
                // A patient without an MRG would be forgotten without a word.
                if surviving.is_some() {
                    return Err(Refusal::NoSegment("MRG"));
                }
                surviving = Some((segment, patients));
            }
            "MRG" => {
                let (pid, number) = surviving.take().ok_or(Refusal::NoSegment("PID"))?;
                let number_of_merge = u32::try_from(merges.len() + 1).unwrap_or(u32::MAX);
                let path = Path::segment("MRG", number_of_merge);
                let merge = Merge {
                    surviving: identifiers(&reader, pid, &[3, 2]),
                    subsumed: identifiers(&reader, segment, &[1, 4]),
                    path,
                };
                if merge.surviving.is_empty() {
                    return Err(Refusal::Missing(Path::segment("PID", number).at(3)));
                }
                if merge.subsumed.is_empty() {
                    return Err(Refusal::Missing(path.at(1)));
                }
                merges.push(merge);
            }
            _ => {}
        }
    }
    if surviving.is_some() { Err(Refusal::NoSegment("MRG")) } else { Ok(merges) }
}

/// Identifiers of the fields; those without an authority have the systems that PID-3 and PID-2 give them.
fn identifiers(reader: &Reader<'_>, segment: Segment<'_>, fields: &[u16]) -> Vec<Identifier> {
    let mut found = Vec::new();
    for (field, place) in fields.iter().zip(["PID-3", "PID-2"]) {
        for identifier in reader.all(segment, *field, |reader, part| reader.identifier(part, place))
        {
            let part =
                |name| identifier.get(name).and_then(Value::as_str).unwrap_or_default().to_string();
            let identifier = Identifier { system: part("system"), value: part("value") };
            if !found.contains(&identifier) {
                found.push(identifier);
            }
        }
    }
    found
}
