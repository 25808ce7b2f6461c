//! v2's tables in FHIR: code systems, and codes that FHIR has its own for.
//!
//! They follow the concept maps of the published v2-to-FHIR guide. Compared line by line were 0001, 0002, 0004, 0038,
//! 0063, 0078, 0085, 0119, 0123, 0127, 0128, 0190, 0200, 0201, 0272, 0278, 0322 and 0485. Where the guide has no
//! target, a code is mapped here if its definition leaves no doubt. Otherwise they differ in
//!
//! ```text
//! 0001  X          other, as it came after the guide
//! 0002  T          stays v2's, instead of NAVU
//! 0038  ER         unknown, not entered-in-error: an order that somebody does not find is none that never was
//! 0063             v2's own codes instead of v3-RoleCode; in IN1-17 turned round, since FHIR asks what the patient is
//!                  to the insured
//! 0119  CA         revoked, not active: who asks to cancel it is who ordered it
//! 0119  HD         on-hold, not active, for the same reason
//! 0119  RQ         revoked, not active: the order that replaces it is another (RO)
//! 0119             before 0038 where it ends or holds an order that was active
//! 0123  R          preliminary, not partial: nobody has verified what is there
//! 0127  AA         environment, not biologic, which are preparations such as vaccines
//! 0128             of a reaction its severity, and criticality only of an allergy without one
//! 0272             v3-Confidentiality before v2's own code
//! ```
//!
//! What a table here does not have is listed as unmapped, and refused where a default would be a claim about the
//! patient (TXA-19, RXA-20, SCH-25 of S14). Codes of 0007, 0009, 0023, 0063 (NK1), 0069, 0074, 0086, 0092, 0099, 0112,
//! 0114, 0131, 0162, 0163, 0165, 0182, 0203, 0217, 0230, 0270, 0276, 0277, 0296, 0335, 0443, 0487, 0488, 0490 and 0493
//! stay v2's own, in their code systems.
//!
//! Not here: maps that a feed has of its own, and codes of newer releases of the tables than 2.8.2.

use alloc::{
    format,
    string::{String, ToString},
};

use keepwell_fhir::draft::percent;
use serde_json::{Value, json};

const TERMINOLOGY: &str = "http://terminology.hl7.org/CodeSystem";
const INTERPRETATION: &str = "http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation";

/// The code system of a v2 table, by its four digits.
pub(super) fn v2(table: &str) -> String {
    format!("{TERMINOLOGY}/v2-{table}")
}

/// A code system of HL7's terminology.
pub(super) fn hl7(name: &str) -> String {
    format!("{TERMINOLOGY}/{name}")
}

/// `{ "coding": [..] }` of one code.
pub(super) fn concept(system: &str, code: &str) -> Value {
    json!({ "coding": [{ "system": system, "code": code }] })
}

/// What stands where FHIR requires a concept and none was sent.
pub(super) fn unknown() -> Value {
    absent("unknown")
}

/// Why there is no value.
pub(super) fn absent(why: &str) -> Value {
    concept(&hl7("data-absent-reason"), why)
}

/// The URI of a coding system by its name in table 0396; one that is not in it is the feed's own.
pub(super) fn system(name: &str, namespace: &str) -> String {
    let upper = name.to_ascii_uppercase();
    let known = match upper.as_str() {
        "LN" | "LOINC" => "http://loinc.org",
        "SCT" | "SNOMED" | "SNOMED-CT" | "SNOMEDCT" => "http://snomed.info/sct",
        "UCUM" => "http://unitsofmeasure.org",
        "NDC" => "http://hl7.org/fhir/sid/ndc",
        "CVX" => "http://hl7.org/fhir/sid/cvx",
        "MVX" => "http://hl7.org/fhir/sid/mvx",
        "RXNORM" => "http://www.nlm.nih.gov/research/umls/rxnorm",
        "C4" | "CPT" | "CPT4" => "http://www.ama-assn.org/go/cpt",
        "I9" | "I9C" | "I9CDX" | "ICD9" => "http://hl7.org/fhir/sid/icd-9-cm",
        "I10C" | "ICD10CM" | "ICD-10-CM" => "http://hl7.org/fhir/sid/icd-10-cm",
        "I10" | "ICD10" | "ICD-10" => "http://hl7.org/fhir/sid/icd-10",
        "DCM" => "http://dicom.nema.org/resources/ontology/DCM",
        "CDCREC" => "urn:oid:2.16.840.1.113883.6.238",
        "NCIT" => "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl",
        "CDCPHINVS" => "urn:oid:2.16.840.1.114222.4.5.274",
        "NIP001" => "urn:oid:2.16.840.1.114222.4.5.320",
        "UNII" => "http://fdasis.nlm.nih.gov",
        "ISO3166_1" => "urn:iso:std:iso:3166",
        _ => "",
    };
    if !known.is_empty() {
        return known.to_string();
    }
    let table = upper.strip_prefix("HL7");
    match table.filter(|digits| digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit())) {
        Some(digits) => v2(digits),
        None => format!("{namespace}/{}", percent(name)),
    }
}

/// Table 0001: administrative sex.
pub(super) fn gender(code: &str) -> Option<&'static str> {
    Some(match code {
        "M" | "m" => "male",
        "F" | "f" => "female",
        "O" | "A" | "N" | "X" => "other",
        "U" => "unknown",
        _ => return None,
    })
}

/// Table 0200: name type. FHIR has no use for an alias (`A`), which hides nobody, a tribal name (`T`), which is for
/// good, and a name of birth (`B`) or adoption (`C`), which may be the legal one no more or not yet.
pub(super) fn name_use(code: &str) -> Option<&'static str> {
    Some(match code {
        "L" | "R" => "official",
        "D" => "usual",
        "M" => "maiden",
        "N" => "nickname",
        "S" | "MSK" => "anonymous",
        "TEMP" | "NAV" => "temp",
        "BAD" | "NOUSE" => "old",
        _ => return None,
    })
}

/// Table 0190: address type, as use.
pub(super) fn address_use(code: &str) -> Option<&'static str> {
    Some(match code {
        "H" | "P" => "home",
        "B" | "O" => "work",
        "C" | "V" => "temp",
        "BA" => "old",
        "BI" => "billing",
        _ => return None,
    })
}

/// Table 0201: telecommunication use.
pub(super) fn telecom_use(code: &str) -> Option<&'static str> {
    Some(match code {
        "PRN" | "ORN" => "home",
        "WPN" | "BPN" => "work",
        "VHN" => "temp",
        "PRS" => "mobile",
        _ => return None,
    })
}

/// Table 0202: telecommunication equipment.
pub(super) fn telecom_system(code: &str) -> Option<&'static str> {
    Some(match code {
        "PH" | "CP" | "SAT" => "phone",
        "FX" => "fax",
        "BP" => "pager",
        "INTERNET" | "Internet" | "X.400" => "email",
        "TDD" | "TTY" | "MD" => "other",
        _ => return None,
    })
}

/// Table 0002: marital status, in the code system that FHIR binds to; `UNK` and `OTH` are of v3-NullFlavor. Unreported
/// (`T`) says nothing.
pub(super) fn marital_status(code: &str) -> Option<&'static str> {
    Some(match code {
        "A" | "E" | "L" => "L",
        "B" => "U",
        "C" => "C",
        "D" => "D",
        "G" | "P" | "R" => "T",
        "I" => "I",
        "M" => "M",
        "N" => "A",
        "O" => "OTH",
        "S" => "S",
        "U" => "UNK",
        "W" => "W",
        _ => return None,
    })
}

/// Table 0004: patient class, as v3-ActCode; obstetrics (`B`) and recurring (`R`) are no classes of it.
pub(super) fn patient_class(code: &str) -> Option<(&'static str, &'static str)> {
    Some(match code {
        "I" => ("IMP", "inpatient encounter"),
        "O" => ("AMB", "ambulatory"),
        "E" => ("EMER", "emergency"),
        "P" => ("PRENC", "pre-admission"),
        _ => return None,
    })
}

/// Table 0078: abnormal flags and interpretations.
pub(super) fn interpretation_system(code: &str) -> String {
    let is_fhir = matches!(
        code,
        "L" | "H"
            | "LL"
            | "HH"
            | "<"
            | ">"
            | "N"
            | "A"
            | "AA"
            | "U"
            | "D"
            | "B"
            | "W"
            | "S"
            | "R"
            | "I"
            | "MS"
            | "VS"
            | "POS"
            | "NEG"
            | "IND"
            | "DET"
            | "ND"
            | "NR"
            | "RR"
            | "WR"
            | "LU"
            | "HU"
            | "IE"
            | "E"
            | "NS"
            | "SDD"
            | "NCL"
            | "CAR"
            | "EX"
            | "EXP"
            | "UNE"
            | "SYN-R"
            | "SYN-S"
    );
    if is_fhir { INTERPRETATION.to_string() } else { v2("0078") }
}

/// Table 0085: observation result status.
pub(super) fn observation_status(code: &str) -> Option<&'static str> {
    Some(match code {
        "C" => "corrected",
        "A" | "B" => "amended",
        "D" | "W" => "entered-in-error",
        "F" | "U" | "V" => "final",
        "I" | "O" => "registered",
        "P" | "R" | "S" => "preliminary",
        "X" | "N" => "cancelled",
        _ => return None,
    })
}

/// Table 0123: result status of a report.
pub(super) fn report_status(code: &str) -> Option<&'static str> {
    Some(match code {
        "O" | "I" | "S" | "N" => "registered",
        "A" => "partial",
        "P" | "R" | "M" => "preliminary",
        "C" => "corrected",
        "F" => "final",
        "X" => "cancelled",
        "Y" | "Z" => "unknown",
        _ => return None,
    })
}

/// Tables 0038 (status) and 0119 (control), as the status of a request; nothing only where nothing was said.
///
/// The status is what the sender knows, the control what it does: of an order that was in process (`IP`), a
/// discontinuation (`DC`) is the newer.
pub(super) fn request_status(order_status: &str, control: &str) -> Option<&'static str> {
    let done = control_status(control);
    match (order_status, done) {
        ("A" | "IP" | "SC" | "HD", Some("revoked")) => return Some("revoked"),
        ("A" | "IP" | "SC" | "HD", Some("on-hold")) => return Some("on-hold"),
        ("A" | "IP" | "SC", _) => return Some("active"),
        ("CA" | "DC" | "RP", _) => return Some("revoked"),
        ("CM", _) => return Some("completed"),
        ("ER", _) => return Some("unknown"),
        ("HD", _) => return Some("on-hold"),
        _ => {}
    }
    let is_told = !(order_status.is_empty() && control.is_empty());
    // Also of results to come (RE) nobody knows whether they are the last, and of a status that changed (SC) to what.
    done.or(is_told.then_some("unknown"))
}

/// Table 0038.
pub(super) fn is_order_status(code: &str) -> bool {
    matches!(code, "A" | "CA" | "CM" | "DC" | "ER" | "HD" | "IP" | "RP" | "SC")
}

fn control_status(control: &str) -> Option<&'static str> {
    Some(match control {
        // RO is the order that replaces another, and active as it.
        "NW" | "OK" | "XO" | "SN" | "RL" | "XX" | "PA" | "CH" | "RO" | "AF" | "PR" | "PY" => {
            "active"
        }
        "CA" | "OC" | "CR" | "DC" | "OD" | "DR" | "RP" | "RU" | "RQ" | "UA" | "DF" => "revoked",
        "HD" | "OH" | "HR" => "on-hold",
        _ => return None,
    })
}

/// Tables 0027 and 0485: priority. Callback (`C`) tells whom to call, before an operation (`P`) and as needed (`PRN`)
/// when, not how urgent it is.
pub(super) fn priority(code: &str) -> Option<&'static str> {
    Some(match code {
        "S" => "stat",
        "A" => "asap",
        "R" => "routine",
        // Timing critical.
        "T" => "urgent",
        _ => return None,
    })
}

/// Units of time in RPT.6, in words of UCUM. `M` is minutes where it is part of a code (`Q90M`), and months to others.
pub(super) fn period_unit(code: &str) -> Option<&'static str> {
    Some(match code {
        "s" | "S" | "sec" => "s",
        "min" => "min",
        "h" | "H" | "hr" => "h",
        "d" | "D" => "d",
        "wk" | "W" => "wk",
        "mo" | "L" => "mo",
        "a" => "a",
        _ => return None,
    })
}

/// Table 0127: allergen type. Miscellaneous ones (`MA`, `MC`) are of no category.
pub(super) fn allergy_category(code: &str) -> Option<&'static str> {
    Some(match code {
        "DA" => "medication",
        "FA" => "food",
        "EA" | "AA" | "PA" | "LA" => "environment",
        _ => return None,
    })
}

/// Table 0063 in IN1-17, which is what the insured is to the patient, as what the patient is to the insured. Of other
/// relatives FHIR has no code the other way round.
pub(super) fn subscriber_relationship(code: &str) -> Option<&'static str> {
    Some(match code {
        "SEL" => "self",
        "SPO" => "spouse",
        "PAR" | "FTH" | "MTH" => "child",
        "CHD" | "NCH" | "SCH" => "parent",
        _ => return None,
    })
}

/// Table 0272: who may see a document, as v3-Confidentiality.
pub(super) fn confidentiality(code: &str) -> Option<&'static str> {
    Some(match code {
        "U" => "N",
        "R" => "R",
        "V" => "V",
        _ => return None,
    })
}

/// Table 0128: severity of a reaction.
pub(super) fn severity(code: &str) -> Option<&'static str> {
    Some(match code {
        "SV" => "severe",
        "MO" => "moderate",
        "MI" => "mild",
        _ => return None,
    })
}

/// Table 0438: clinical status of an allergy, as clinical and verification status.
pub(super) fn allergy_status(code: &str) -> Option<(Option<&'static str>, &'static str)> {
    Some(match code {
        "C" => (Some("active"), "confirmed"),
        "I" => (Some("inactive"), "confirmed"),
        "U" | "P" | "S" | "D" => (Some("active"), "unconfirmed"),
        "E" => (None, "entered-in-error"),
        _ => return None,
    })
}

/// Table 0278: filler status of an appointment.
pub(super) fn appointment_status(code: &str) -> Option<&'static str> {
    Some(match code.to_ascii_uppercase().as_str() {
        "PENDING" => "pending",
        "WAITLIST" => "waitlist",
        "BOOKED" | "OVERBOOK" => "booked",
        "STARTED" => "checked-in",
        "COMPLETE" => "fulfilled",
        "CANCELLED" | "CANCELED" | "DC" | "DISCONTINUED" | "BLOCKED" => "cancelled",
        "DELETED" => "entered-in-error",
        "NOSHOW" | "NO SHOW" | "NO-SHOW" => "noshow",
        _ => return None,
    })
}

/// Table 0271: how far a document is.
pub(super) fn document_status(code: &str) -> Option<&'static str> {
    Some(match code {
        "AU" | "LA" => "final",
        "DI" | "DO" | "IN" | "IP" | "PA" => "preliminary",
        _ => return None,
    })
}

/// Table 0273: whether a document is still the one to use. FHIR has no word for an unavailable one (`UN`), which is not
/// the one to use either.
pub(super) fn document_availability(code: &str) -> Option<&'static str> {
    Some(match code {
        "AV" => "current",
        "OB" | "UN" => "superseded",
        "CA" => "entered-in-error",
        _ => return None,
    })
}
