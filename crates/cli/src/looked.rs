//! Rows about accesses: who looked, and what was disclosed to whom.
//!
//! Nothing here asks a node: the rows of a million accesses are made as they are written.

use std::{io::Write, path::Path};

use keepwell_client::report::{
    accounting::{self, Disclosure, LeftOut, Scope, Suspension, Totals},
    looks::{By, Look, Looks, Wanted},
};
use keepwell_types::{
    member::{Party, Role},
    record::RecordKind,
    set::CompartmentSet,
};
use serde_json::json;

use crate::{
    commands::explain::origins,
    failure::Failure,
    page::{Column, Page, private_file},
};

/// Who looked, each with its proof [E1, E2].
pub(crate) const LOOKED: [Column; 11] = [
    ("time", "When"),
    ("organisation", "Organisation"),
    ("role", "Role"),
    ("who", "Who"),
    ("purpose", "For"),
    ("what", "What"),
    ("decision", "Decision"),
    ("by", "By"),
    ("position", "Position"),
    ("block", "Block"),
    ("index", "Entry"),
];

/// An accounting of disclosures [P7].
pub(crate) const DISCLOSED: [Column; 9] = [
    ("time", "Date"),
    ("recipient", "Recipient"),
    ("who", "Person or device"),
    ("address", "Address"),
    ("what", "What was disclosed"),
    ("purpose", "Purpose"),
    ("beyond", "Beyond the rule"),
    ("position", "Position"),
    ("proof", "Proof: block/entry"),
];

/// Disclosures to one recipient for one purpose, together.
pub(crate) const SUMMARISED: [Column; 7] = [
    ("first", "First"),
    ("last", "Last"),
    ("count", "How many"),
    ("recipient", "Recipient"),
    ("address", "Address"),
    ("what", "What was disclosed first"),
    ("purpose", "Purpose"),
];

/// The ledger has no addresses.
const NO_ADDRESS: &str = "not on the ledger";

/// The names of compartments, as far as they are known.
pub(crate) type Names<'a> = &'a dyn Fn(CompartmentSet) -> String;

/// Organisation, role, and person or device.
fn reader(looks: &Looks, look: &Look) -> [String; 3] {
    match (looks.reader(look), looks.reader_is(look)) {
        (Party::Member(id), Some(is)) => {
            let roles: Vec<_> = is.roles.iter().map(Role::as_str).collect();
            [is.organisation_name.clone(), roles.join(", "), id.to_string()]
        }
        (Party::Member(id), None) => {
            [String::new(), "not a member of this consortium".into(), id.to_string()]
        }
        (Party::Controller(_), _) if looks.is_by_agent(look) => [
            String::new(),
            "controller until the chart was claimed".into(),
            "the organisation's key agent".into(),
        ],
        (Party::Controller(_), _) => {
            [String::new(), "controller of the chart".into(), "the patient".into()]
        }
        (Party::Proxy(_, proxy), _) => {
            [String::new(), "acts for the patient".into(), format!("proxy {proxy}")]
        }
        (
            other @ (Party::Claimant(_)
            | Party::Administrator(_)
            | Party::Custodian(_)
            | Party::Guardian(_)
            | Party::Successor(_)
            | Party::Validator(_)),
            _,
        ) => [String::new(), String::new(), format!("{other:?}")],
    }
}

/// What was asked for: kinds and compartments, where they are known.
fn wanted(looks: &Looks, look: &Look, names: Names<'_>) -> String {
    let (compartments, kinds) = looks.touched(look);
    match &look.wanted {
        Wanted::Records(positions) => {
            let kinds: Vec<_> = kinds.into_iter().map(RecordKind::as_str).collect();
            format!("{} records: {} ({})", positions.len(), kinds.join(", "), names(compartments))
        }
        Wanted::Compartments(_, until) => {
            format!("all in {} up to position {until}", names(compartments))
        }
    }
}

fn by(looks: &Looks, look: &Look) -> String {
    match looks.by(look) {
        By::Rules(rules) => origins(rules),
        By::Unknown => "not known any more: the reader's roles have changed since".into(),
        By::Refused => String::new(),
    }
}

/// Writes a row for each access.
pub(crate) fn write_looked<W: Write>(
    page: &mut Page<W>,
    looks: &Looks,
    names: Names<'_>,
) -> Result<(), Failure> {
    page.table("Accesses", &LOOKED)?;
    for look in &looks.looks {
        let [organisation, role, who] = reader(looks, look);
        let decision = match &look.refused {
            None => "opened".into(),
            Some(refused) => format!("REFUSED: {refused}"),
        };
        page.row(&[
            look.time.to_string(),
            organisation,
            role,
            who,
            look.purpose.to_string(),
            wanted(looks, look, names),
            decision,
            by(looks, look),
            look.position.to_string(),
            look.location.height.to_string(),
            look.location.index.to_string(),
        ])?;
    }
    Ok(())
}

/// Writes an accounting, and the notes that it ends with. What an agency has had suspended is handed to `missing`.
pub(crate) fn write_accounting<W: Write>(
    page: &mut Page<W>,
    looks: &Looks,
    scope: &Scope<'_>,
    names: Names<'_>,
    summarise: bool,
    mut missing: impl FnMut(&Look),
) -> Result<Vec<String>, Failure> {
    if summarise {
        return write_summaries(page, looks, scope, names);
    }
    page.table("Disclosures", &DISCLOSED)?;
    let mut failed = None;
    let list = |_, disclosure: Disclosure<'_>| {
        if failed.is_none() {
            failed = page.row(&disclosed(looks, &disclosure, names)).err();
        }
    };
    let totals = accounting::account(looks, scope, list, &mut missing);
    failed.map_or_else(|| Ok(notes(&totals)), Err)
}

fn disclosed(looks: &Looks, disclosure: &Disclosure<'_>, names: Names<'_>) -> [String; 9] {
    let look = disclosure.look;
    let [organisation, _, who] = reader(looks, look);
    [
        look.time.to_string(),
        organisation,
        who,
        NO_ADDRESS.into(),
        wanted(looks, look, names),
        look.purpose.to_string(),
        disclosure.beyond.map_or_else(String::new, |it| it.text().to_owned()),
        look.position.to_string(),
        format!("{}/{}", look.location.height, look.location.index),
    ]
}

fn write_summaries<W: Write>(
    page: &mut Page<W>,
    looks: &Looks,
    scope: &Scope<'_>,
    names: Names<'_>,
) -> Result<Vec<String>, Failure> {
    page.table("Disclosures to one recipient for one purpose", &SUMMARISED)?;
    let (summaries, totals) = accounting::summarise(looks, scope);
    for summary in summaries {
        let look = &looks.looks[summary.first];
        let [organisation, _, who] = reader(looks, look);
        page.row(&[
            look.time.to_string(),
            summary.last.to_string(),
            summary.count.to_string(),
            if organisation.is_empty() { who } else { organisation },
            NO_ADDRESS.into(),
            wanted(looks, look, names),
            look.purpose.to_string(),
        ])?;
    }
    Ok(notes(&totals))
}

/// What the law lets a recipient of an accounting know of what is not in it.
fn notes(totals: &Totals) -> Vec<String> {
    let mut notes = vec![format!("{} disclosures are listed.", totals.listed)];
    let count = |(reason, count): (&LeftOut, &usize)| format!("{count} {}", reason.text());
    let left_out: Vec<_> = totals.left_out.iter().map(count).collect();
    if !left_out.is_empty() {
        notes.push(format!("Not listed, since they need not be: {}.", left_out.join("; ")));
    }
    notes.push("Disclosures to a health oversight agency or a law-enforcement official are not listed while the law has them suspended (45 CFR 164.528(a)(2)).".into());
    notes
}

/// Writes, for the file of whoever accounts, what is missing from an accounting and why [P8].
pub(crate) fn write_missing(
    path: &Path,
    looks: &Looks,
    missing: &[&Look],
    suspensions: &[Suspension],
) -> Result<(), Failure> {
    let rows: Vec<_> = missing
        .iter()
        .map(|look| {
            json!({
                "position": look.position,
                "block": look.location.height,
                "entry": look.location.index,
                "time": look.time,
                "reader": looks.reader(look),
                "organisation": looks.reader_is(look).map(|it| it.organisation),
                "purpose": look.purpose,
            })
        })
        .collect();
    let value = json!({ "left_out": rows, "suspensions": suspensions });
    let mut file = private_file(path).map_err(Failure::at(path))?;
    writeln!(file, "{value:#}").map_err(Failure::at(path))
}
