//! The commands of the program, one file each.

pub(crate) mod certificate;
pub(crate) mod config;
pub(crate) mod gateway;
pub(crate) mod genesis;
pub(crate) mod node;
pub(crate) mod protocol;
pub(crate) mod relock;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod trustee;
pub(crate) mod validator;

pub(crate) mod wallet;

pub(crate) mod member;
pub(crate) mod organisation;

pub(crate) mod case;
pub(crate) mod chart;
pub(crate) mod credential;
pub(crate) mod custody;
pub(crate) mod emergency;
pub(crate) mod grant;
pub(crate) mod guardian;
pub(crate) mod open;
pub(crate) mod proxy;
pub(crate) mod record;
pub(crate) mod recover;

pub(crate) mod link;
pub(crate) mod matching;

pub(crate) mod anchor;
pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod fsck;
pub(crate) mod receipt;
pub(crate) mod report;
pub(crate) mod restore;
pub(crate) mod verify;

use keepwell_client::verify::LogMark;
use keepwell_fhir::classify::Sensitivity;
use keepwell_types::{id::Compartment, set::CompartmentSet};

use crate::{
    failure::Failure,
    profile::{Identity, Session},
};
use keepwell_types::id::ChartId;

/// The compartments that a chart is opened with: their names, and whether they need separate consent.
pub(crate) fn compartment_names() -> Vec<(&'static str, bool)> {
    Sensitivity::ALL.iter().map(|it| (it.as_str(), it.needs_separate_consent())).collect()
}

/// The compartment that a person means: by its name where names are known here, or by its number.
pub(crate) fn compartment(
    session: &Session,
    chart: ChartId,
    word: &str,
) -> Result<Compartment, Failure> {
    if let Some(compartment) = word.parse().ok().and_then(Compartment::new) {
        return Ok(compartment);
    }
    match session.meanings(chart) {
        Some(meanings) => Ok(meanings.compartment(word)?),
        None => Err(Failure::Misused(format!(
            "this profile does not know which compartment is {word:?}; ask the patient or the organisation for its number, and write that"
        ))),
    }
}

/// The compartments that a person means.
pub(crate) fn compartments(
    session: &Session,
    chart: ChartId,
    words: &[String],
) -> Result<CompartmentSet, Failure> {
    words.iter().map(|word| compartment(session, chart, word)).collect()
}

/// Up to where a chart's log was seen before: a node that shows another log is caught.
pub(crate) fn known_log(session: &Session, chart: ChartId) -> Result<LogMark, Failure> {
    Ok(match &session.identity {
        Identity::Wallet(wallet) => wallet.chart(chart)?.log(),
        // A key agent also asks about charts that it does not hold.
        Identity::Agent(agent) => agent.chart(chart).map_or(LogMark::START, |it| it.log()),
        Identity::Member(_) => LogMark::START,
    })
}

/// Remembers up to where a chart's log was seen.
pub(crate) fn remember_log(
    session: &mut Session,
    chart: ChartId,
    mark: LogMark,
) -> Result<(), Failure> {
    match &mut session.identity {
        Identity::Wallet(wallet) => wallet.note_log(chart, mark),
        Identity::Agent(agent) => agent.note_log(chart, mark),
        Identity::Member(_) => {}
    }
    session.remember()
}
