//! Care teams: members of whatever organisations, whom whoever controls a chart names together.
//!
//! # Invariants
//!
//! * A chart has few teams of few members, so an access reads all of them at once.
//! * A team's id is not used again while grants name it: a grant to a team that is no more reaches nobody,
//!   and reaches whoever is in it once the controller arranges it again.

use keepwell_types::{
    grant::TeamArrange,
    id::{ChartId, TeamId},
    limits::TEAMS_MAX,
    outcome::Rejection,
};

use crate::{
    decide::{Case, Changes, Halt},
    signer::known_member,
    state::{Key, Team, Teams},
    view::View,
};

pub(crate) fn arrange(case: &Case<'_>, it: &TeamArrange) -> Result<Changes, Halt> {
    case.acting_controller(it.chart)?;
    for (place, id) in it.members.iter().enumerate() {
        known_member(case.view, *id)?;
        if it.members[..place].contains(id) {
            return Err(Rejection::MemberTwice(*id).into());
        }
    }
    let teams = arranged(case.view.teams(it.chart)?, it)?;
    let key = Key::Teams(it.chart);
    let none = teams == Teams::default();
    Ok(if none { Changes::NONE.remove(key) } else { Changes::NONE.put(key, teams) })
}

/// The teams of a chart after one of them was arranged.
pub(crate) fn arranged(teams: Option<&Teams>, it: &TeamArrange) -> Result<Teams, Rejection> {
    let mut teams = teams.cloned().unwrap_or_default();
    teams.teams.retain(|team| team.team != it.team);
    if !it.members.is_empty() {
        let max = TEAMS_MAX as u32;
        let team = Team { team: it.team, members: it.members.clone() };
        teams.teams.push(team).map_err(|_| Rejection::TooManyTeams { max })?;
    }
    Ok(teams)
}

/// The team, if the chart has it.
pub(crate) fn known(view: &View, chart: ChartId, id: TeamId) -> Result<&Team, Halt> {
    let teams = view.teams(chart)?.map_or(&[][..], |teams| &teams.teams);
    Ok(teams.iter().find(|team| team.team == id).ok_or(Rejection::UnknownTeam(id))?)
}
