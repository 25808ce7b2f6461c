use alloc::{
    format,
    string::{String, ToString as _},
    vec,
    vec::Vec,
};
use core::str::FromStr as _;

use super::{text::RuleTextError, *};
use crate::set::Word as _;

const ID: &str = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a";

fn rule(text: &str) -> ApprovalRule {
    ApprovalRule::from_str(text).unwrap()
}

#[test]
fn what_is_written_is_shown_again() {
    for text in [
        "authorship: author",
        "authorship: author; approval: clinician@chart; within 14 days",
        "review: 2 of (nurse@chart, 2 clinician@author, patient)",
        "approval: any(all(author, patient), licence@chart); within 90 minutes",
        "consent: patient; witness: any(clinician@chart, nurse@chart); within 1 seconds",
        "dispensing: 3 controlled_substance@author",
    ] {
        assert_eq!(rule(text).to_string(), text);
    }
    let named = format!("review: any(member:{ID}, administrator:{ID}, nurse@{ID})");
    assert_eq!(rule(&named).to_string(), named);
    assert_eq!(
        rule(" review :\n any( author,patient ) ;").to_string(),
        "review: any(author, patient)"
    );
}

#[test]
fn what_is_no_rule_is_refused() {
    for (fault, text) in [
        ("nothing", ""),
        ("no meaning", "author"),
        ("a meaning that there is not", "joy: author"),
        ("a party that there is not", "review: everyone"),
        ("a role without a place", "review: nurse"),
        ("an id that is none", "review: member:12"),
        ("no number", "review: of(author)"),
        ("a list that does not end", "review: any(author"),
        ("something after it", "review: any(author)patient"),
        ("no time", "review: author; within 3 weeks"),
        ("a time alone", "within 3 days"),
        ("nobody", "review: any()"),
        ("a number too large", "review: 300 nurse@chart"),
    ] {
        assert!(ApprovalRule::from_str(text).is_err(), "{fault}");
    }
}

#[test]
fn a_rule_that_can_never_be_met_is_refused() {
    let deep = "review: any(any(any(author)))";
    assert!(ApprovalRule::from_str(deep).is_ok());
    for text in [
        "review: 0 nurse@chart",
        "review: 0 of (author, patient)",
        "review: 3 of (author, patient)",
        "review: 2 author",
        "review: all(author, author)",
        "authorship: author; review: author",
        "review: author; within 0 days",
        "review: all(100 nurse@chart, 29 clinician@chart)",
        "review: any(any(any(any(author))))",
    ] {
        assert_eq!(ApprovalRule::from_str(text), Err(RuleTextError::Unmeetable), "{text}");
    }
    assert!(ApprovalRule::from_str("review: all(100 nurse@chart, 28 clinician@chart)").is_ok());
}

/// Bytes can say what no text does: lists that are no tree.
#[test]
fn what_is_not_one_tree_is_refused() {
    let seat = Need::Seat(Seat { who: Approver::Author, min: 1 });
    let patient = Need::Seat(Seat { who: Approver::Patient, min: 1 });
    let of = |min, branches| Need::AtLeast(AtLeast { min, branches });
    for (needs, is_tree) in [
        (vec![], false),
        (vec![seat], true),
        (vec![seat, patient], false),
        (vec![of(1, 2), seat], false),
        (vec![of(1, 1), seat, patient], false),
        (vec![seat, of(1, 1)], false),
        (vec![of(1, 0)], false),
        (vec![of(0, 0), seat], false),
        (vec![of(255, 255), seat], false),
        (vec![of(2, 2), of(1, 1), seat, patient], true),
    ] {
        let needs = List::from_vec(needs).unwrap();
        let steps = List::from_vec(vec![Step { meaning: Meaning::Review, needs }]).unwrap();
        let rule = ApprovalRule { steps, within_ms: None };
        assert_eq!(rule.check(), is_tree, "{rule:?}");
    }
}

#[test]
fn seats_are_numbered_through_all_steps() {
    let rule = rule("authorship: author; review: 2 of (nurse@chart, 2 clinician@chart, patient)");
    let seats: Vec<_> = rule.seats().map(|it| (it.step, it.meaning, it.seat.to_string())).collect();
    assert_eq!(
        seats,
        [
            (0, Meaning::Authorship, String::from("author")),
            (1, Meaning::Review, "nurse@chart".into()),
            (1, Meaning::Review, "2 clinician@chart".into()),
            (1, Meaning::Review, "patient".into()),
        ]
    );
    assert_eq!(rule.seat(2).unwrap().seat.min, 2);
    assert_eq!(rule.seat(4), None);
}

#[test]
fn steps_are_met_in_order() {
    let rule = rule(
        "authorship: author; review: 2 of (nurse@chart, 2 clinician@chart, patient); consent: any(all(member:0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b, licence@chart), administrator:0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c)",
    );
    let met = |taken: [usize; 7]| rule.steps_met(|seat| taken[usize::from(seat)]);
    for (taken, expected) in [
        ([0, 0, 0, 0, 0, 0, 0], 0),
        ([0, 1, 2, 1, 1, 1, 1], 0),
        ([1, 0, 0, 0, 0, 0, 1], 1),
        ([1, 1, 1, 0, 0, 0, 0], 1),
        ([1, 1, 2, 0, 0, 0, 0], 2),
        ([1, 1, 0, 1, 1, 0, 0], 2),
        ([1, 1, 0, 1, 1, 1, 0], 3),
        ([1, 0, 2, 1, 0, 0, 1], 3),
    ] {
        assert_eq!(met(taken), expected, "{taken:?}");
    }
}

#[test]
fn a_rule_is_as_strict_as_another_that_it_repeats() {
    let base = rule("authorship: author; approval: clinician@chart; within 2 days");
    for (text, expected) in [
        ("authorship: author; approval: clinician@chart; within 2 days", true),
        ("authorship: author; approval: clinician@chart; within 1 hours", true),
        ("authorship: author; review: nurse@chart; approval: clinician@chart; within 2 days", true),
        ("authorship: author; approval: clinician@chart", false),
        ("authorship: author; approval: clinician@chart; within 3 days", false),
        ("approval: clinician@chart; authorship: author; within 2 days", false),
        ("approval: clinician@chart; within 2 days", false),
        ("authorship: author; review: clinician@chart; within 2 days", false),
        ("authorship: author; approval: any(clinician@chart, patient); within 2 days", false),
    ] {
        assert_eq!(rule(text).is_as_strict_as(&base), expected, "{text}");
    }
    assert!(base.is_as_strict_as(&rule("authorship: author")));
}

#[test]
fn a_consortium_has_one_rule_for_a_kind() {
    let kinds = |kinds: &[RecordKind]| kinds.iter().copied().collect::<KindSet>();
    let of = |kinds: KindSet, text| KindRule { kinds, rule: rule(text), or_less: false };
    let legal = of(kinds(&[RecordKind::Legal, RecordKind::Plan]), "consent: patient");
    let plan = of(kinds(&[RecordKind::Plan]), "review: author");
    let note = of(kinds(&[RecordKind::Document]), "review: author");
    let nothing = of(KindSet::EMPTY, "review: author");
    let mut unmeetable = note.clone();
    unmeetable.rule.within_ms = Some(0);
    assert_eq!(first_fault(&[legal.clone(), note.clone()]), None);
    assert_eq!(first_fault(&[legal.clone(), plan]), Some(1));
    assert_eq!(first_fault(&[nothing]), Some(0));
    assert_eq!(first_fault(&[legal.clone(), unmeetable]), Some(1));
    assert_eq!(rule_for(&[legal.clone(), note], RecordKind::Plan), Some(&legal));
    assert_eq!(rule_for(&[legal], RecordKind::Result), None);
}

/// A word before `@` is a role or a credential, and never both.
#[test]
fn no_credential_is_called_as_a_role() {
    for kind in CredentialKind::ALL {
        assert!(Role::from_str(kind.as_str()).is_err(), "{kind}");
    }
    assert_eq!(Meaning::COUNT, 8);
}
