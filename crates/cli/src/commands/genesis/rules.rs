//! What a consortium chooses, as its founders write it.
//!
//! ```toml
//! own_organisation = "opt_in"              # whether treatment at home needs the patient's grant; or "opt_out"
//! custodians_min = 2
//! commands_per_minute_max = 6000           # of one organisation
//! notice = 1                               # the redisclosure notice that readers sign
//! licensed = ["prescription"]              # kinds that only licensed members author
//! recovery_delay_hours = 72
//! matching_points_per_day = 5000           # 0: organisations do not match persons
//! epoch_blocks = 4096                      # validators change between two epochs, of so many blocks each
//!
//! [emergency]
//! delay_minutes = 5
//! open_minutes_max = 240
//! review_hours = 72
//!
//! [[sign_off]]
//! kinds = ["legal"]
//! rule = "consent: patient; witness: any(clinician@chart, nurse@chart)"
//! ```
//!
//! What is left out is as here, but for `licensed` and `sign_off`, of which there are none.

use keepwell_types::{
    encoding::List,
    genesis::{EmergencyRule, MatchingRule, OwnOrganisation, Parameters, RecoveryRule},
    limits::{EPOCH_BLOCKS_MIN, EPOCH_BLOCKS_USUAL},
    record::RecordKind,
    signoff::KindRule,
};
use serde::Deserialize;

use crate::failure::Failure;

const MINUTE_MS: u64 = 60 * 1_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Rules {
    own_organisation: OwnOrganisation,
    custodians_min: Option<u8>,
    commands_per_minute_max: u32,
    notice: u8,
    licensed: Vec<RecordKind>,
    recovery_delay_hours: u64,
    matching_points_per_day: u32,
    epoch_blocks: u32,
    emergency: Emergency,
    sign_off: Vec<SignOff>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            own_organisation: OwnOrganisation::OptIn,
            custodians_min: None,
            commands_per_minute_max: 6_000,
            notice: 1,
            licensed: Vec::new(),
            recovery_delay_hours: RecoveryRule::USUAL.delay_ms / HOUR_MS,
            matching_points_per_day: MatchingRule::USUAL.points_max,
            epoch_blocks: EPOCH_BLOCKS_USUAL,
            emergency: Emergency::default(),
            sign_off: Vec::new(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Emergency {
    delay_minutes: u64,
    open_minutes_max: u64,
    review_hours: u64,
}

impl Default for Emergency {
    fn default() -> Self {
        let EmergencyRule { delay_ms, open_ms_max, review_ms } = EmergencyRule::USUAL;
        Self {
            delay_minutes: delay_ms / MINUTE_MS,
            open_minutes_max: open_ms_max / MINUTE_MS,
            review_hours: review_ms / HOUR_MS,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignOff {
    kinds: Vec<RecordKind>,
    rule: String,
    #[serde(default)]
    or_less: bool,
}

/// Reads rules for so many founders; none are the usual ones.
pub(super) fn read(text: &str, founders: usize) -> Result<Parameters, Failure> {
    let rules: Rules = toml::from_str(text)
        .map_err(|error| Failure::Misused(format!("the rules have a mistake: {error}")))?;
    let rule = |it: &SignOff| {
        let rule = it.rule.parse().map_err(|error| {
            Failure::Misused(format!("the sign-off rule {:?}: {error}", it.rule))
        })?;
        Ok(KindRule { kinds: it.kinds.iter().copied().collect(), rule, or_less: it.or_less })
    };
    let sign_off: Vec<_> = rules.sign_off.iter().map(rule).collect::<Result<_, Failure>>()?;
    let sign_off = List::from_vec(sign_off)
        .map_err(|error| Failure::Misused(format!("the sign-off rules: {error}")))?;
    let matching =
        MatchingRule { points_max: rules.matching_points_per_day, ..MatchingRule::USUAL };
    if rules.epoch_blocks < EPOCH_BLOCKS_MIN {
        return Err(Failure::Misused(format!(
            "the rules have a mistake: epoch_blocks is {}, and at least {EPOCH_BLOCKS_MIN}",
            rules.epoch_blocks
        )));
    }
    let Emergency { delay_minutes, open_minutes_max, review_hours } = rules.emergency;
    Ok(Parameters {
        own_organisation: rules.own_organisation,
        custodians_min: rules.custodians_min.unwrap_or(if founders > 1 { 2 } else { 1 }),
        commands_per_minute_max: rules.commands_per_minute_max,
        notice: rules.notice,
        licensed: rules.licensed.into_iter().collect(),
        emergency: EmergencyRule {
            delay_ms: delay_minutes.saturating_mul(MINUTE_MS),
            open_ms_max: open_minutes_max.saturating_mul(MINUTE_MS),
            review_ms: review_hours.saturating_mul(HOUR_MS),
        },
        recovery: Some(RecoveryRule {
            delay_ms: rules.recovery_delay_hours.saturating_mul(HOUR_MS),
        }),
        sign_off: (!sign_off.is_empty()).then_some(sign_off),
        matching: (matching.points_max > 0).then_some(matching),
        epoch_blocks: (rules.epoch_blocks != EPOCH_BLOCKS_USUAL).then_some(rules.epoch_blocks),
    })
}

#[cfg(test)]
mod tests {
    use keepwell_types::set::KindSet;

    use super::*;

    #[test]
    fn what_is_left_out_is_usual() {
        let usual = read("", 4).unwrap();
        assert_eq!(usual.own_organisation, OwnOrganisation::OptIn);
        assert_eq!((usual.custodians_min, read("", 1).unwrap().custodians_min), (2, 1));
        assert_eq!(usual.emergency, EmergencyRule::USUAL);
        assert_eq!(usual.recovery(), RecoveryRule::USUAL);
        assert_eq!(usual.matching, Some(MatchingRule::USUAL));
        assert_eq!((usual.licensed, usual.sign_off), (KindSet::EMPTY, None));
    }

    #[test]
    fn rules_are_read_as_they_are_shown() {
        let shown = include_str!("rules.rs");
        let toml: Vec<_> = shown
            .lines()
            .skip_while(|line| !line.ends_with("```toml"))
            .skip(1)
            .take_while(|line| !line.ends_with("```"))
            .map(|line| line.trim_start_matches("//!"))
            .collect();
        let rules = read(&toml.join("\n"), 4).unwrap();
        let usual = read("", 4).unwrap();
        assert!(rules.licensed.contains(RecordKind::Prescription));
        assert_eq!(rules.sign_off.as_ref().map(|rules| rules.len()), Some(1));
        assert_eq!(Parameters { licensed: KindSet::EMPTY, sign_off: None, ..rules }, usual);
    }

    #[test]
    fn a_mistake_is_named() {
        for (text, word) in [
            ("custodian_min = 2", "custodian_min"),
            ("own_organisation = 'maybe'", "maybe"),
            ("[[sign_off]]\nkinds = ['legal']\nrule = 'patient;;'", "patient;;"),
            ("licensed = ['poem']", "poem"),
            ("epoch_blocks = 7", "at least 8"),
        ] {
            let error = read(text, 4).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        assert_eq!(read("matching_points_per_day = 0", 4).unwrap().matching, None);
        assert_eq!(read("epoch_blocks = 64", 4).unwrap().epoch_blocks(), 64);
    }
}
