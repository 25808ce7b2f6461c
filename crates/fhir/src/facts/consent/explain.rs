//! A grant in plain words, for the patient whose it is.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use keepwell_types::{
    access::Purpose,
    grant::{Effect, GrantTerms, Grantee},
    set::{KindSet, PurposeSet},
    time::BlockTime,
};

use crate::facts::security_label::Meanings;

/// What a grant says, a sentence for each term.
pub fn in_words(terms: &GrantTerms, meanings: &Meanings) -> Vec<String> {
    let may = match terms.effect {
        Effect::Allow => "may",
        Effect::Deny => "may not",
    };
    let mut lines = Vec::from([format!("{} {may} read your records.", who(terms.grantee))]);
    lines.push(format!("Parts of the chart: {}.", parts(terms, meanings)));
    if terms.kinds != KindSet::all() {
        let kinds = terms.kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>();
        lines.push(format!("Only these kinds of records: {}.", kinds.join(", ")));
    }
    if !terms.records.is_empty() {
        lines.push(format!("Only {} records that are named one by one.", terms.records.len()));
    }
    if terms.purposes != PurposeSet::all() {
        let purposes = terms.purposes.iter().map(purpose).collect::<Vec<_>>();
        lines.push(format!("Only for: {}.", purposes.join(", ")));
    }
    lines.push(match terms.window.until {
        BlockTime(u64::MAX) => format!("From {} on.", terms.window.from),
        until => format!("From {} until {until}.", terms.window.from),
    });
    if let Some(max) = terms.accesses_max {
        lines.push(format!("At most {max} times."));
    }
    if terms.onward {
        lines.push("Whoever has it may pass it on to one other person.".to_string());
    }
    lines
}

fn who(grantee: Grantee) -> String {
    match grantee {
        Grantee::Member(member) => format!("Member {member}"),
        Grantee::Role { organisation, role } => {
            format!("Everyone who is {} at organisation {organisation}", role.as_str())
        }
        Grantee::Organisation(organisation) => format!("Everyone at organisation {organisation}"),
        Grantee::Everyone => "Everyone in the consortium".to_string(),
        Grantee::Team(team) => format!("Your care team {team}"),
        Grantee::Group(group) => format!("The group {group}"),
    }
}

fn parts(terms: &GrantTerms, meanings: &Meanings) -> String {
    let named = terms.compartments.iter().filter_map(|it| meanings.of(it));
    let mut names: Vec<_> = named.map(|meaning| meaning.as_str().to_string()).collect();
    let unnamed = terms.compartments.len() as usize - names.len();
    if unnamed > 0 {
        names.push(format!("{unnamed} without a name"));
    }
    names.join(", ")
}

const fn purpose(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Treatment => "treatment",
        Purpose::EmergencyTreatment => "emergency treatment",
        Purpose::BreakGlass => "emergencies in which nobody can ask you",
        Purpose::Coordination => "coordination of care",
        Purpose::Payment => "payment",
        Purpose::Operations => "running the organisation",
        Purpose::Research => "research",
        Purpose::ClinicalTrial => "a clinical trial",
        Purpose::PublicHealth => "public health",
        Purpose::PatientRequest => "what you ask for yourself",
        Purpose::FamilyRequest => "what your family asks for",
        Purpose::Legal => "legal matters",
        Purpose::Administration => "running the computers",
    }
}
