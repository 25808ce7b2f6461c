//! What holds for whatever is granted, asked and approved.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use keepwell_ledger::{
    Lacks, View,
    consent::{Consent, Counting, Decision, Question, Reader},
    state::{Key, Value},
};
use keepwell_types::{access::Purpose, id::Compartment, outcome::Verdict, time::BlockTime};
use proptest::prelude::*;
use support::{START, World, chart_id, check, member_id};

const SUBJECTS: [&str; 8] = [
    "carl",
    "cleo",
    "role:clinic:clinician",
    "role:clinic:nurse",
    "organisation:clinic",
    "everyone",
    "team:t1",
    "group:board",
];
/// How specific each of them is.
const LEVELS: [usize; 8] = [0, 0, 1, 1, 2, 3, 1, 1];
/// The team and the group of [`SUBJECTS`].
const SETTING: &str = "
    t0     rex     open    c1                                         ok
    t0     c1      team    t1 members=carl,ivy                        ok
    t0     clinic  form    board of=clinic purposes=TREAT,HPAYMT      ok
    t0     clinic  assign  carl roles=clinician groups=board          ok
";
/// Records with their compartments and kinds; the last needs separate consent.
const RECORDS: [(&str, u32, &str); 4] =
    [("r0", 0, "result"), ("r1", 1, "result"), ("r2", 1, "document"), ("r3", 12, "document")];
const PURPOSES: [&str; 2] = ["TREAT", "HPAYMT"];
/// Readers with the subjects that name them and the place of their organisation.
const READERS: [(&str, &[usize], usize); 3] =
    [("carl", &[0, 2, 4, 5, 6, 7], 0), ("cleo", &[1, 3, 4, 5], 0), ("ivy", &[5, 6], 1)];
const ORGANISATIONS: [&str; 2] = ["clinic", "insurer"];

/// A grant as the model has it.
#[derive(Clone, Debug)]
struct Rule {
    subject: usize,
    deny: bool,
    separate: bool,
    /// Bits over compartments 0 and 1, or over 12.
    compartments: u8,
    results: bool,
    documents: bool,
    records: Vec<usize>,
    purposes: u8,
    from: u64,
    ends: u64,
    max: Option<u32>,
    used: u32,
    revoked: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Give(Rule),
    Revoke(prop::sample::Index),
    RevokeOrganisation(usize),
    Mark { record: usize, mark: Mark },
    Read { reader: usize, records: Vec<usize>, purpose: usize },
}

/// What happens to a record.
#[derive(Clone, Copy, Debug)]
enum Mark {
    SelfPay(bool),
    Processing(bool),
    /// Approved for the patient, or for the hospital.
    Redact {
        by_patient: bool,
    },
}

/// What stops readers from a record, as the model has it.
#[derive(Clone, Copy, Debug, Default)]
struct Stops {
    self_pay: bool,
    processing: bool,
    approved: [bool; 2],
}

impl Stops {
    fn is_redacted(&self) -> bool {
        self.approved == [true, true]
    }

    fn stop(&self, reader: usize) -> bool {
        self.is_redacted() || self.processing || (self.self_pay && READERS[reader].0 == "ivy")
    }

    /// Takes a mark over, and says as which command.
    fn take(&mut self, mark: Mark, record: &str) -> (String, bool) {
        let may = !self.is_redacted();
        match mark {
            Mark::SelfPay(on) | Mark::Processing(on) => {
                let (flag, name) = match mark {
                    Mark::SelfPay(_) => (&mut self.self_pay, "self_pay"),
                    Mark::Processing(_) | Mark::Redact { .. } => {
                        (&mut self.processing, "processing")
                    }
                };
                *flag = if may { on } else { *flag };
                let verb = if on { "restrict" } else { "lift" };
                (format!("c1 {verb} {record} of={name}"), may)
            }
            Mark::Redact { by_patient } => {
                let may = may && !self.approved[usize::from(by_patient)];
                self.approved[usize::from(by_patient)] = true;
                let who = if by_patient { "c1" } else { "hugh" };
                (format!("{who} redact {record}"), may)
            }
        }
    }
}

fn mark() -> impl Strategy<Value = Mark> {
    prop_oneof![
        3 => any::<bool>().prop_map(Mark::SelfPay),
        3 => any::<bool>().prop_map(Mark::Processing),
        1 => any::<bool>().prop_map(|by_patient| Mark::Redact { by_patient }),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    (
        (0..SUBJECTS.len(), any::<bool>(), prop::bool::weighted(0.2), 1..4_u8),
        (1..4_u8, prop::collection::vec(0..4_usize, 0..2), 1..4_u8),
        (0..20_u64, 1..80_u64, prop::option::weighted(0.3, 1..3_u32)),
    )
        .prop_map(|((subject, deny, separate, compartments), of, time)| {
            let ((kinds, records, purposes), (from, len, max)) = (of, time);
            Rule {
                subject,
                deny,
                separate,
                compartments,
                results: kinds & 1 != 0,
                documents: kinds & 2 != 0,
                records,
                purposes,
                from,
                ends: from + len,
                max,
                used: 0,
                revoked: false,
            }
        })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => rule().prop_map(Step::Give),
        1 => any::<prop::sample::Index>().prop_map(Step::Revoke),
        1 => (0..ORGANISATIONS.len()).prop_map(Step::RevokeOrganisation),
        1 => (0..RECORDS.len(), mark()).prop_map(|(record, mark)| Step::Mark { record, mark }),
        6 => (0..READERS.len(), prop::collection::vec(0..4_usize, 1..3), 0..2_usize)
            .prop_map(|(reader, records, purpose)| Step::Read { reader, records, purpose }),
    ]
}

/// Each reader asks for each record for each purpose.
fn every_read() -> impl Iterator<Item = Step> {
    (0..READERS.len() * RECORDS.len() * PURPOSES.len()).map(|number| Step::Read {
        reader: number / PURPOSES.len() % READERS.len(),
        records: vec![number / PURPOSES.len() / READERS.len()],
        purpose: number % PURPOSES.len(),
    })
}

impl Rule {
    fn line(&self, name: usize) -> String {
        let compartments = match (self.separate, self.compartments) {
            (true, _) => "12",
            (false, 1) => "0",
            (false, 2) => "1",
            (false, _) => "0,1",
        };
        let kinds = match (self.results, self.documents) {
            (true, true) => "result,document",
            (true, false) => "result",
            (false, _) => "document",
        };
        let records: Vec<_> = self.records.iter().map(|it| RECORDS[*it].0).collect();
        let purposes = match self.purposes {
            1 => PURPOSES[0].to_string(),
            2 => PURPOSES[1].to_string(),
            _ => PURPOSES.join(","),
        };
        let mut line = format!(
            "c1 give g{name} to={} compartments={compartments} kinds={kinds} records={} \
             purposes={purposes} from=t{} ends=t{}",
            SUBJECTS[self.subject],
            records.join(","),
            self.from,
            self.ends
        );
        if self.deny {
            line.push_str(" deny");
        }
        if self.separate {
            line.push_str(" separate");
        }
        if let Some(max) = self.max {
            line.push_str(&format!(" max={max}"));
        }
        line
    }

    fn applies(&self, reader: usize, record: usize, purpose: usize, now: u64) -> bool {
        let (_, compartment, kind) = RECORDS[record];
        let in_compartment = match compartment {
            12 => self.separate,
            number => !self.separate && self.compartments & 1 << number != 0,
        };
        READERS[reader].1.contains(&self.subject)
            && !self.revoked
            && in_compartment
            && (if kind == "result" { self.results } else { self.documents })
            && (self.records.is_empty() || self.records.contains(&record))
            && self.purposes & 1 << purpose != 0
            && self.from <= now
            && now < self.ends
            && (self.deny || self.max.is_none_or(|max| self.used < max))
    }

    fn specificity(&self) -> (usize, bool) {
        let level = LEVELS[self.subject];
        // No grant of this model is for all kinds, so only a list of records is more specific.
        (level, self.records.is_empty())
    }
}

/// Which grants decide about a record, by comparing every rule with every other.
fn deciding(rules: &[Rule], lost: usize, applies: impl Fn(&Rule) -> bool) -> Vec<usize> {
    let stands = |it: &usize| *it >= lost || rules[*it].deny;
    let applying: Vec<_> =
        (0..rules.len()).filter(|it| stands(it) && applies(&rules[*it])).collect();
    let beaten = |it: &usize| {
        applying.iter().any(|other| rules[*other].specificity() < rules[*it].specificity())
    };
    applying.iter().copied().filter(|it| !beaten(it)).collect()
}

/// How many histories are tried: few unless `KEEPWELL_HISTORIES` says how many.
fn histories() -> u32 {
    std::env::var("KEEPWELL_HISTORIES").ok().and_then(|it| it.parse().ok()).unwrap_or(96)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: histories(), ..ProptestConfig::default() })]

    /// Accepted if and only if, for each record, the most specific rules that apply allow it and none
    /// of them denies it, and nothing stops the reader from it.
    #[test]
    fn accesses_are_what_all_grants_together_say(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = check(SETTING);
        for (name, compartment, kind) in RECORDS {
            world.run(&format!("t0+{} drey add {name} compartment={compartment} kind={kind} ok",
                world.named.len() + 1));
        }
        let mut rules: Vec<Rule> = Vec::new();
        // Up to which rule each organisation has lost what it had, and what happened to each record.
        let mut cut = [0; ORGANISATIONS.len()];
        let mut stops = [Stops::default(); RECORDS.len()];
        for (step, now) in steps.into_iter().chain(every_read()).zip(1..) {
            match step {
                Step::Give(rule) => {
                    let expected = if rule.ends <= now { "window_passed" } else { "ok" };
                    world.run(&format!("t{now} {} {expected}", rule.line(rules.len())));
                    if expected == "ok" {
                        rules.push(rule);
                    }
                }
                Step::Revoke(index) if !rules.is_empty() => {
                    let at = index.index(rules.len());
                    let expected = if rules[at].revoked { "grant_ended" } else { "ok" };
                    world.run(&format!("t{now} c1 revoke g{at} {expected}"));
                    rules[at].revoked = true;
                }
                Step::Revoke(_) => {}
                Step::RevokeOrganisation(at) => {
                    world.run(&format!("t{now} c1 revoke_all {} ok", ORGANISATIONS[at]));
                    cut[at] = rules.len();
                }
                Step::Mark { record, mark } => {
                    let (command, expected) = stops[record].take(mark, RECORDS[record].0);
                    prop_assert_eq!(is_accepted(&mut world, now, &command), expected, "{}", command);
                }
                Step::Read { reader, records, purpose } => {
                    let lost = cut[READERS[reader].2];
                    let deciding: Vec<_> = records
                        .iter()
                        .map(|it| deciding(&rules, lost, |rule| {
                            rule.applies(reader, *it, purpose, now)
                        }))
                        .collect();
                    let expected = deciding
                        .iter()
                        .all(|it| !it.is_empty() && it.iter().all(|at| !rules[*at].deny))
                        && records.iter().all(|it| !stops[*it].stop(reader));
                    let names: Vec<_> = records.iter().map(|it| RECORDS[*it].0).collect();
                    let accepted = read(&mut world, now, READERS[reader].0, &names, PURPOSES[purpose]);
                    prop_assert_eq!(accepted, expected, "{:?} of {:?}", deciding, rules);
                    take_over_counts(&world, &mut rules, &deciding, accepted)?;
                }
            }
        }
    }

    /// Any order of approvals is accepted, and ends in the same state.
    #[test]
    fn approvals_never_conflict(
        order in Just(vec!["drey", "carl", "cleo", "c1", "hospital"]).prop_shuffle(),
        min in 1..6_u8,
        stop in 1..6_usize,
    ) {
        let mut world = check("t0 rex open c1 ok");
        world.run(&format!("t1 drey add r1 approval={min}:drey,carl,cleo,c1,hospital ok"));
        for party in &order[..stop] {
            world.run(&format!("t{} {party} approve r1 ok", 2 + world.height.0));
        }
        world.run(&format!("t50 c1 give g1 to=ivy ok
            t50 ivy read r1 {}", if stop >= usize::from(min) { "ok" } else { "not_final" }));
        let key = Key::Proposal(chart_id("c1"), world.named["r1"].0.record);
        match world.stored(&key) {
            Some(Value::Proposal(proposal)) => {
                let mut approved: Vec<_> = proposal.approvals.iter().map(|it| it.party).collect();
                let mut expected: Vec<_> =
                    order[..stop].iter().map(|it| support::script::party(it).0).collect();
                approved.sort();
                expected.sort();
                prop_assert_eq!(approved, expected);
                prop_assert_eq!(proposal.is_final(), stop >= usize::from(min));
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }
}

const COMPARTMENTS: [&str; 4] = ["ordinary", "0,1", "0", "1"];
const KINDS: [&str; 4] = ["all", "result,document", "result", "document"];

/// What a grant is about, in the words of scripts, from all to little.
fn object() -> impl Strategy<Value = String> {
    (0..COMPARTMENTS.len(), 0..KINDS.len(), prop::option::weighted(0.2, 1..4_u32)).prop_map(
        |(compartments, kinds, max)| {
            let max = max.map(|max| format!("max={max}")).unwrap_or_default();
            format!("compartments={} kinds={} {max}", COMPARTMENTS[compartments], KINDS[kinds])
        },
    )
}

/// Whether each reader may open each record, and each compartment, for treatment.
fn permissions(world: &World) -> Vec<(&'static str, String, bool)> {
    let Some(Value::Chart(chart)) = world.stored(&Key::Chart(chart_id("c1"))) else { panic!() };
    let time = BlockTime(START.0 + 90_000);
    let (purpose, counting) = (Purpose::Treatment, Counting::Opening);
    let question = Question { chart: chart_id("c1"), purpose, time, counting };
    let mut permissions = Vec::new();
    for (reader, ..) in READERS {
        let id = member_id(reader);
        let Some(Value::Member(member)) = world.stored(&Key::Member(id)) else { panic!() };
        let answers = |view: &View| {
            let asker = Reader::member(id, &member);
            let consent = Consent::of(view, &world.parameters, &chart, asker, question)?;
            let mut answers = Vec::new();
            for (name, ..) in RECORDS {
                let (position, entry) = world.record("c1", name);
                let decision = consent.record(position, &entry)?;
                answers.push((reader, name.into(), matches!(decision, Decision::Allowed(_))));
            }
            for compartment in Compartment::all() {
                let name = format!("compartment {}", compartment.index());
                answers.push((reader, name, consent.compartment(compartment).is_ok()));
            }
            Ok(answers)
        };
        permissions.extend(world.ask(answers, |lacks: &Lacks| Some(*lacks)).unwrap());
    }
    permissions
}

/// Kinds of seats, and how many must sign there.
const SEATS: [(&str, usize); 6] = [
    ("author", 1),
    ("member:$carl", 1),
    ("2clinician@chart", 2),
    ("nurse@chart", 1),
    ("clinician@author", 1),
    ("patient", 1),
];
/// Who signs, with the kinds of [`SEATS`] that they fit.
const SIGNERS: [(&str, &[usize]); 6] = [
    ("drey", &[0, 2, 4]),
    ("nora", &[3]),
    ("both", &[2, 3, 4]),
    ("carl", &[1]),
    ("c1", &[5]),
    ("hospital", &[]),
];

/// A step of a sign-off as the model has it: so many of these kinds of seats.
type ModelStep = (usize, Vec<usize>);

/// Two steps, in which no kind of seat stands twice.
fn model_steps() -> impl Strategy<Value = Vec<ModelStep>> {
    let kinds: Vec<_> = (0..SEATS.len()).collect();
    (Just(kinds).prop_shuffle(), 1..4_usize, 1..4_usize, 1..4_usize).prop_map(
        |(kinds, first, second, min)| {
            let (before, after) = kinds.split_at(first);
            let steps = [before, &after[..second.min(after.len())]];
            steps.map(|kinds| (min.min(kinds.len()), kinds.to_vec())).into()
        },
    )
}

/// A sign-off as the model has it.
struct SignOff {
    steps: Vec<ModelStep>,
    /// The step and the kind of each seat.
    seats: Vec<(usize, usize)>,
    /// Who counts at each seat.
    signed: Vec<Vec<usize>>,
    is_final: bool,
}

impl SignOff {
    fn new(steps: Vec<ModelStep>) -> Self {
        let of_step = |(step, (_, kinds)): (usize, &ModelStep)| {
            kinds.iter().map(|kind| (step, *kind)).collect::<Vec<_>>()
        };
        let seats: Vec<_> = steps.iter().enumerate().flat_map(of_step).collect();
        let signed = vec![Vec::new(); seats.len()];
        Self { steps, seats, signed, is_final: false }
    }

    fn text(&self) -> String {
        let step = |(min, kinds): &ModelStep| {
            let kinds: Vec<_> = kinds.iter().map(|it| SEATS[*it].0).collect();
            format!("review:{min}of({})", kinds.join(","))
        };
        self.steps.iter().map(step).collect::<Vec<_>>().join(";")
    }

    fn is_met(&self, step: usize) -> bool {
        let full = |(at, (of, kind)): (usize, &(usize, usize))| {
            *of == step && self.signed[at].len() >= SEATS[*kind].1
        };
        self.seats.iter().enumerate().filter(|it| full(*it)).count() >= self.steps[step].0
    }

    fn seat_of(&self, who: usize) -> Option<usize> {
        self.signed.iter().position(|by| by.contains(&who))
    }

    fn may_approve(&self, who: usize, seat: usize) -> bool {
        self.seats.get(seat).is_some_and(|(step, kind)| {
            let is_open = (0..*step).all(|it| self.is_met(it));
            SIGNERS[who].1.contains(kind) && self.seat_of(who).is_none() && is_open
        })
    }

    fn may_retract(&self, who: usize) -> bool {
        let Some(own) = self.seat_of(who) else { return false };
        let mut signed = self.seats.iter().zip(&self.signed);
        let is_relied_on =
            signed.any(|((step, _), by)| *step > self.seats[own].0 && !by.is_empty());
        !self.is_final && !is_relied_on
    }

    fn approve(&mut self, who: usize, seat: usize) {
        if self.signed[seat].len() < SEATS[self.seats[seat].1].1 {
            self.signed[seat].push(who);
        }
        self.is_final |= (0..self.steps.len()).all(|step| self.is_met(step));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: histories(), ..ProptestConfig::default() })]

    /// A record is final if and only if different parties, each of whom fits, signed what its rule names, step
    /// after step.
    #[test]
    fn no_record_is_final_without_the_parties_its_rule_names(
        steps in model_steps(),
        acts in prop::collection::vec(
            (0..SIGNERS.len(), 0..7_usize, prop::bool::weighted(0.15)), 1..30,
        ),
    ) {
        let mut model = SignOff::new(steps);
        let mut world = check("
            t0 rex      open  c1                                      ok
            t0 hospital enrol both of=hospital roles=clinician,nurse  ok
            t0 c1       give  g1 to=ivy                               ok
        ");
        world.run(&format!("t1 drey add r1 rule={} ok", model.text()));
        for (now, (who, seat, takes_back)) in (2..).zip(acts) {
            let name = SIGNERS[who].0;
            if takes_back {
                let accepted = is_accepted(&mut world, now, &format!("{name} retract r1"));
                prop_assert_eq!(accepted, model.may_retract(who), "{} of {}", name, model.text());
                model.signed.iter_mut().filter(|_| accepted).for_each(|by| by.retain(|it| *it != who));
            } else {
                let line = format!("{name} approve r1 seat={seat} meaning=review");
                let accepted = is_accepted(&mut world, now, &line);
                let expected = model.may_approve(who, seat);
                prop_assert_eq!(accepted, expected, "{} at {} of {}", name, seat, model.text());
                if accepted {
                    model.approve(who, seat);
                }
            }
        }
        world.run(&format!("t90 ivy read r1 {}", if model.is_final { "ok" } else { "not_final" }));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: histories(), ..ProptestConfig::default() })]

    /// What is forbidden before a permission is limited is forbidden after it.
    #[test]
    fn limiting_a_permission_opens_nothing(
        grants in prop::collection::vec((0..SUBJECTS.len(), any::<bool>(), object()), 1..8),
        limits in prop::collection::vec((any::<prop::sample::Index>(), object()), 1..8),
    ) {
        let mut world = check(SETTING);
        for (name, compartment, kind) in RECORDS {
            world.run(&format!("t0+{} drey add {name} compartment={compartment} kind={kind} ok",
                world.named.len() + 1));
        }
        for ((subject, deny, object), at) in grants.iter().zip(1..) {
            let deny = if *deny { "deny" } else { "" };
            let to = SUBJECTS[*subject];
            world.run(&format!("t{at} c1 give g{at} to={to} {object} {deny} ok"));
        }
        let permitted: Vec<_> = (1..).zip(&grants).filter(|(_, it)| !it.1).map(|it| it.0).collect();
        for ((index, object), now) in limits.iter().zip(20..) {
            if permitted.is_empty() {
                break;
            }
            let before = permissions(&world);
            // A limit that would give more is refused, and changes nothing either.
            let limit = format!("c1 limit g{} {object}", index.get(&permitted));
            is_accepted(&mut world, now, &limit);
            for (before, after) in before.iter().zip(permissions(&world)) {
                prop_assert!(before.2 || !after.2, "{limit} opens {after:?} after {grants:?}");
            }
        }
    }
}

fn read(world: &mut World, now: u64, reader: &str, records: &[&str], purpose: &str) -> bool {
    is_accepted(world, now, &format!("{reader} read {} for={purpose}", records.join(",")))
}

fn is_accepted(world: &mut World, now: u64, command: &str) -> bool {
    let line = support::lines(&format!("t{now} {command} ok")).remove(0);
    world.at(BlockTime(START.0 + now * 1_000));
    let command = keepwell_crypto::command::verify(line.command(world)).unwrap();
    let verdict = world.submit(command).unwrap().verdict;
    world.end();
    verdict == Verdict::Accepted
}

/// Checks that an accepted access counted once, for grants that decided and have a number, only where
/// no other that decided has none; and that a refused one counted nowhere.
fn take_over_counts(
    world: &World,
    rules: &mut [Rule],
    deciding: &[Vec<usize>],
    accepted: bool,
) -> Result<(), TestCaseError> {
    let unlimited = |of: &Vec<usize>, rules: &[Rule]| of.iter().any(|it| rules[*it].max.is_none());
    for at in 0..rules.len() {
        let key = Key::Grant(chart_id("c1"), support::grant_id(&format!("g{at}")));
        let Some(Value::Grant(grant)) = world.stored(&key) else { panic!("g{at} exists") };
        let needed = |of: &Vec<usize>| of.contains(&at) && !unlimited(of, rules);
        let may_count = accepted && rules[at].max.is_some() && deciding.iter().any(needed);
        let must_count = may_count && deciding.iter().any(|of| needed(of) && of.len() == 1);
        let counted = grant.accesses_used - rules[at].used;
        prop_assert!(counted <= u32::from(may_count) && counted >= u32::from(must_count));
        rules[at].used = grant.accesses_used;
    }
    for of in deciding.iter().filter(|of| accepted && !unlimited(of, rules)) {
        let position = world.last.as_ref().unwrap().leaves[0].position;
        let counted = of.iter().filter(|at| {
            let key = Key::Grant(chart_id("c1"), support::grant_id(&format!("g{at}")));
            let Some(Value::Grant(grant)) = world.stored(&key) else { return false };
            grant.counted.contains(&position)
        });
        prop_assert_eq!(counted.count().min(1), 1);
    }
    Ok(())
}

#[test]
fn readers_of_the_model_are_who_the_ledger_has() {
    let world = check("t0 rex open c1 ok");
    for (reader, ..) in READERS {
        assert!(world.stored(&Key::Member(member_id(reader))).is_some());
    }
}
