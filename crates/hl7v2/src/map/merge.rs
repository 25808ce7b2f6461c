//! A40: two sets of identifiers of one patient (MRG under PID).
//!
//! A merge joins two charts, which nobody may do unasked. So it is told, not carried out: who remains, and who was
//! the same person all along.
//!
//! What [`super::map`] makes of a patient is found again by identifiers that begin with the patient's. Who joins two
//! charts therefore gives what is in the subsumed one those of the surviving too: a correction under the new number
//! would else stand beside what it corrects.
//!
//! Not here: whatever else the message says of them (names, addresses, visits), and its attachment: it is neither
//! mapped nor listed, and the caller keeps [`Message::bytes`]. Numbers that may be of several people are left out.

use alloc::{
    collections::BTreeSet,
    string::{String, ToString},
    vec::Vec,
};

use serde_json::Value;

use super::{
    Reception,
    datatype::Reader,
    person::{day, is_past, is_shared},
};
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
    /// By which nobody should be known any more (MRG-1, and MRG-4 before 2.7): none of `surviving`.
    pub subsumed: Vec<Identifier>,
    /// Where the MRG stands.
    pub path: Path,
}

/// The merges of an A40, of which each has a PID and an MRG.
pub(super) fn merges(message: &Message, reception: &Reception<'_>) -> Result<Vec<Merge>, Refusal> {
    let reader = Reader::new(message, reception);
    let today = day(message, reception);
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
                let at = Path::segment("PID", number).at(3);
                let surviving = identifiers(&reader, pid, &[3, 2], Some(&today), at)?;
                let mut subsumed = identifiers(&reader, segment, &[1, 4], None, path.at(1))?;
                // Senders list what both had, such as a national number, which the patient keeps.
                let kept: BTreeSet<&Identifier> = surviving.iter().collect();
                subsumed.retain(|identifier| !kept.contains(identifier));
                if subsumed.is_empty() {
                    return Err(Refusal::SamePatient(path.at(1)));
                }
                merges.push(Merge { surviving, subsumed, path });
            }
            _ => {}
        }
    }
    if surviving.is_some() { Err(Refusal::NoSegment("MRG")) } else { Ok(merges) }
}

/// Identifiers of the fields; those without an authority have the systems that PID-3 and PID-2 give them. Only those
/// that are one patient's own, and valid `today`: two patients who share an account are not one.
fn identifiers(
    reader: &Reader<'_>,
    segment: Segment<'_>,
    fields: &[u16],
    today: Option<&String>,
    path: Path,
) -> Result<Vec<Identifier>, Refusal> {
    let mut found = Vec::new();
    // Thousands of them, each compared with each, would take seconds.
    let mut known = BTreeSet::new();
    let mut is_sent = false;
    for (field, place) in fields.iter().zip(["PID-3", "PID-2"]) {
        for identifier in reader.all(segment, *field, |reader, part| reader.identifier(part, place))
        {
            is_sent = true;
            if is_shared(&identifier) || today.is_some_and(|today| is_past(&identifier, today)) {
                continue;
            }
            let part =
                |name| identifier.get(name).and_then(Value::as_str).unwrap_or_default().to_string();
            let identifier = Identifier { system: part("system"), value: part("value") };
            if known.insert(identifier.clone()) {
                found.push(identifier);
            }
        }
    }
    match (found.is_empty(), is_sent) {
        (false, _) => Ok(found),
        (true, true) => Err(Refusal::NotThePatients(path)),
        (true, false) => Err(Refusal::Missing(path)),
    }
}
