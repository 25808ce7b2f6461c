//! Grants as Consent and back, and Consents that others write.

use std::collections::BTreeMap;

use keepwell_fhir::{
    classify::Sensitivity,
    facts::{
        consent::{
            CONSENT_BYTES_MAX, Grant, NOTES_MAX, PCF, PROVISIONS_MAX, RULES_MAX, Read, Reading,
            Setting, Unexpressed, WriteError, read, write,
        },
        security_label::Meanings,
    },
};
use keepwell_types::{
    access::{Purpose, RecordName},
    encoding::List,
    grant::{Effect, GrantTerms, Grantee},
    id::{
        Compartment, GrantId, GroupId, Height, Location, LogPosition, MemberId, OrganisationId,
        RecordId, TeamId,
    },
    limits::GRANT_RECORDS_MAX,
    member::Role,
    record::RecordKind,
    set::{CompartmentSet, KindSet, PurposeSet},
    time::{BlockTime, Window},
};
use proptest::prelude::*;
use serde_json::{Value, json};

const NOW: BlockTime = BlockTime(1_790_000_000_000);
/// The first instant that FHIR cannot write.
const AFTER_9999: BlockTime = BlockTime(253_402_300_800_000);
const POLICY: &str = "https://example.org/policy";
const CARL: MemberId = MemberId([0xca; 16]);
const CLINIC: OrganisationId = OrganisationId([0xc1; 16]);

/// Compartments 0 to 8 are the sensitivities in their order; 7, 8, 14 and 15 need separate consent.
fn meanings() -> Meanings {
    let pairs: Vec<_> = Compartment::all().zip(Sensitivity::ALL).collect();
    Meanings::new(&pairs).expect("each stands once")
}

fn set(numbers: &[u8]) -> CompartmentSet {
    numbers.iter().filter_map(|it| Compartment::new(*it)).collect()
}

fn separate() -> CompartmentSet {
    set(&[7, 8, 14, 15])
}

fn ordinary() -> CompartmentSet {
    CompartmentSet::all().without(separate())
}

fn terms() -> GrantTerms {
    GrantTerms {
        effect: Effect::Allow,
        grantee: Grantee::Member(CARL),
        compartments: set(&[0]),
        kinds: KindSet::all(),
        records: List::new(),
        purposes: [Purpose::Treatment].into_iter().collect(),
        window: Window { from: NOW, until: NOW.plus_ms(1_000) },
        accesses_max: None,
        separate_consent: false,
        onward: false,
    }
}

fn grant(terms: &GrantTerms) -> Grant<'_> {
    Grant {
        name: "g",
        id: GrantId([9; 16]),
        terms,
        given_at: NOW,
        location: Location { height: Height(7), index: 2 },
        revoked_at: None,
        accesses_used: 0,
        passed_from: None,
    }
}

fn written(grant: &Grant<'_>) -> Result<(Value, Vec<Unexpressed>), WriteError> {
    let setting = Setting {
        patient: "Patient/ana",
        organisation: CLINIC,
        meanings: &meanings(),
        separate_consent: separate(),
        policy: POLICY,
        now: NOW,
    };
    write(grant, &setting).map(|it| (it.consent, it.unexpressed))
}

fn role_at(organisation: OrganisationId) -> Grantee {
    Grantee::Role { organisation, role: Role::ALL[0] }
}

fn reading(json: &str) -> Result<Read, String> {
    let parties = BTreeMap::from([
        ("Practitioner/carl".to_string(), Grantee::Member(CARL)),
        ("Organization/clinic".to_string(), Grantee::Organisation(CLINIC)),
        ("PractitionerRole/here".to_string(), role_at(CLINIC)),
        ("PractitionerRole/there".to_string(), role_at(OrganisationId([0xc2; 16]))),
    ]);
    let name = RecordName { position: LogPosition(4), record: RecordId([4; 32]) };
    let records = BTreeMap::from([("Observation/o".to_string(), name)]);
    let reading = Reading {
        patient: "Patient/ana",
        meanings: &meanings(),
        separate_consent: separate(),
        policies: &[POLICY],
        now: NOW,
        zone_minutes: 0,
        parties: &parties,
        records: &records,
    };
    read(json.as_bytes(), &reading).map_err(|error| {
        assert!(error.fault.to_string().contains("; "), "what to do next: {error}");
        format!("{} {:?}", error.at, error.fault)
    })
}

fn rules(json: &str) -> (Vec<GrantTerms>, Vec<String>) {
    match reading(json) {
        Ok(Read::Rules { rules, notes, .. }) => {
            (rules, notes.iter().map(ToString::to_string).collect())
        }
        other => panic!("{json}: {other:?}"),
    }
}

/// A Consent of others: PCF with `pcf`, and R4 as it is without.
fn foreign(pcf: bool, provision: &str) -> String {
    let profile = if pcf { format!("{PCF}IHE.PCF.consentAdvanced") } else { String::new() };
    format!(
        r#"{{"resourceType":"Consent","meta":{{"profile":["{profile}"]}},"status":"active",
        "scope":{{"coding":[{{"system":"http://terminology.hl7.org/CodeSystem/consentscope",
        "code":"patient-privacy"}}]}},"patient":{{"reference":"Patient/ana"}},
        "policy":[{{"uri":"{POLICY}"}}],"provision":{provision}}}"#
    )
}

/// Writes out `{{c:HIV}}`, a coding of ActCode, and the like: `n` is confidentiality, `p` a purpose, `t` a type, `x` an
/// action, and `a` an actor.
fn expand(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("{{") {
        let end = rest[at..].find("}}").expect("it ends") + at;
        let (kind, code) = rest[at + 2..end].split_once(':').expect("kind and code");
        let v3 = "http://terminology.hl7.org/CodeSystem/v3-";
        let coding = |system: &str| json!({ "system": system, "code": code });
        let value = match kind {
            "c" => coding(&format!("{v3}ActCode")),
            "n" => coding(&format!("{v3}Confidentiality")),
            "p" => coding(&format!("{v3}ActReason")),
            "t" => coding("http://hl7.org/fhir/resource-types"),
            "x" => json!({ "coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/consentaction", "code": code,
            }]}),
            "a" => json!({
                "role": { "coding": [{
                    "system": format!("{v3}ParticipationType"), "code": "IRCP",
                }]},
                "reference": { "reference": code },
            }),
            other => panic!("{other}"),
        };
        out.push_str(&rest[..at]);
        out.push_str(&value.to_string());
        rest = &rest[end + 2..];
    }
    out + rest
}

/// Reads lines of `provision => element fault`, of PCF or of R4 as it is.
fn refused(pcf: bool, table: &str) {
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (provision, fault) = line.rsplit_once("=>").expect("provision => fault");
        let json = foreign(pcf, &expand(provision.trim()));
        assert_eq!(reading(&json).expect_err(line), fault.trim(), "{line}");
    }
}

#[test]
fn a_provision_that_would_be_widened_is_refused_where_it_says_so() {
    refused(
        true,
        r#"
        {"type":"permit","dataPeriod":{"start":"2024"}}           => Consent.provision.dataPeriod WouldWiden
        {"type":"permit","code":[{"text":"x"}]}                   => Consent.provision.code WouldWiden
        {"type":"permit","securityLabel":[{{c:ETHUD}}]}           => Consent.provision.securityLabel[0] WouldWiden
        {"type":"permit","securityLabel":[{{c:STD}}]}             => Consent.provision.securityLabel[0] WouldWiden
        {"type":"permit","securityLabel":[{{c:BH}}]}              => Consent.provision.securityLabel[0] WouldWiden
        {"type":"permit","securityLabel":[{{n:V}}]}               => Consent.provision.securityLabel[0] WouldWiden
        {"type":"permit","securityLabel":[{{n:L}}]}               => Consent.provision.securityLabel[0] WouldWiden
        {"type":"permit","securityLabel":[{{p:TREAT}}]}           => Consent.provision.securityLabel[0] WouldWiden
        {"type":"permit","securityLabel":[{{n:N}},{{c:ETH}}]}     => Consent.provision.securityLabel SeparateConsent
        {"type":"permit","class":[{{t:Observation}}]}             => Consent.provision.class WouldWiden
        {"type":"permit","class":[{{c:HIV}}]}                     => Consent.provision.class[0] WouldWiden
        {"type":"permit","purpose":[{{p:HMARKT}}]}                => Consent.provision.purpose Empty
        {"type":"permit","action":[{{x:collect}}]}                => Consent.provision.action OtherAction
        {"type":"permit","action":[{{x:use}}]}                    => Consent.provision.action OtherAction
        {"type":"deny","action":[{{x:disclose}}]}                 => Consent.provision.action OtherAction
        {"type":"deny","purpose":[{{p:HMARKT}}]}                  => Consent.provision.purpose[0] WouldWiden
        {"type":"permit","actor":[{{a:Practitioner/eve}}]}        => Consent.provision.actor[0].reference UnknownActor
        {"type":"permit","actor":[{{a:Device/1}}]}                => Consent.provision.actor[0].reference UnknownActor
        {"type":"permit","actor":[]}                              => Consent.provision.actor Malformed
        {"type":"permit","actor":{}}                              => Consent.provision.actor Malformed
        {"type":"permit","actor":[{"reference":{}}]}              => Consent.provision.actor[0].role Malformed
        {"type":"permit","data":[{"meaning":"related","reference":{"reference":"Observation/o"}}]} => Consent.provision.data[0].meaning WouldWiden
        {"type":"permit","data":[{"meaning":"instance","reference":{"reference":"Observation/x"}}]} => Consent.provision.data[0].reference UnknownRecord
        {"type":"permit","purpos":[]}                             => Consent.provision UnknownElement
        {"type":"permit","_period":{}}                            => Consent.provision UnknownElement
        {"type":"permit","modifierExtension":[{"url":"x"}]}       => Consent.provision.modifierExtension[0] UnknownModifier
        {"type":"permit","period":{"end":"2024-02-30"}}           => Consent.provision.period.end Malformed
        {"type":"permit","period":{"end":"1965"}}                 => Consent.provision.period Empty
        {"type":"permit","period":{"end":"2020-02-01"}}           => Consent.provision.period Empty
        {"type":"permit","period":{}}                             => Consent.provision.period Malformed
        {"type":"allow"}                                          => Consent.provision.type Malformed
        {"type":7}                                                => Consent.provision.type Malformed
        {}                                                        => Consent.provision.type NoEffect
        []                                                        => Consent.provision.type NoEffect
        {"type":"permit","provision":[{}]}                        => Consent.provision.provision[0] NoEffect
        {"type":"permit","provision":[{"type":"permit"}]}         => Consent.provision.provision[0] NoException
        {"type":"permit","provision":[{"type":"deny","provision":[]}]} => Consent.provision.provision[0].provision TooNested
        {"type":"permit","actor":[{{a:Practitioner/carl}}],"provision":[{"type":"deny","actor":[{{a:Organization/clinic}}]}]} => Consent.provision.provision[0] ExceptionWouldLose
        "#,
    );
}

/// The fields of a label of R4 restrict together; each alone would let more be read.
#[test]
fn several_labels_of_an_r4_permission_are_refused() {
    refused(
        false,
        r#"
        {"type":"permit","securityLabel":[{{n:R}},{{c:HIV}}]}     => Consent.provision.securityLabel WouldWiden
        {"type":"permit","securityLabel":[{{n:N}},{{n:N}}]}       => Consent.provision.securityLabel WouldWiden
        {"type":"deny","provision":[{"type":"permit","securityLabel":[{{n:N}},{{c:PSY}}]}]} => Consent.provision.provision[0].securityLabel WouldWiden
        "#,
    );
    let (given, _) =
        rules(&foreign(true, &expand(r#"{"type":"permit","securityLabel":[{{n:N}},{{c:PSY}}]}"#)));
    assert_eq!(given[0].compartments, set(&[0, 6]), "they are tags to PCF");
    let denied = expand(r#"{"type":"deny","securityLabel":[{{n:R}},{{c:HIV}}]}"#);
    assert!(rules(&foreign(false, &denied)).0[0].compartments.includes(set(&[0, 5])));
}

#[test]
fn whoever_is_not_in_a_prohibition_is_no_exception_from_it() {
    let (carl, clinic) = ("Practitioner/carl", "Organization/clinic");
    let (here, there) = ("PractitionerRole/here", "PractitionerRole/there");
    for (denied, permitted, is_within) in [
        (&[][..], &[carl, clinic][..], true),
        (&[carl], &[carl], true),
        (&[carl, clinic], &[clinic], true),
        (&[carl, clinic], &[], true),
        (&[clinic], &[here], true),
        (&[clinic], &[there], false),
        (&[here], &[clinic], false),
        (&[carl], &[clinic], false),
        (&[carl], &[carl, clinic], false),
        // Whose member carl is, the Consent does not say.
        (&[clinic], &[carl], false),
    ] {
        let actors = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| format!("{{{{a:{name}}}}}")).collect();
            let list = format!(r#""actor":[{}],"#, names.join(","));
            if names.is_empty() { String::new() } else { list }
        };
        let (denied, permitted) = (actors(denied), actors(permitted));
        let provision = format!(
            r#"{{"type":"deny",{denied}"provision":[{{"type":"permit",{permitted}"securityLabel":[{{{{n:N}}}}]}}]}}"#
        );
        let result = reading(&foreign(true, &expand(&provision)));
        let error = "Consent.provision.provision[0] NoException";
        assert_eq!(
            result.as_ref().err().map(String::as_str),
            (!is_within).then_some(error),
            "{provision}"
        );
    }
}

/// The ledger denies more than this Consent says; what is excepted from it is excepted from what it says alone.
#[test]
fn an_exception_opens_no_more_than_its_prohibition_says() {
    let allowed = |pcf, deny: &str, permit: &str| {
        let provision =
            format!(r#"{{"type":"deny",{deny}"provision":[{{"type":"permit"{permit}}}]}}"#);
        let (given, _) = rules(&foreign(pcf, &expand(&provision)));
        let allowed: Vec<_> = given.into_iter().filter(|it| it.effect == Effect::Allow).collect();
        assert_eq!(allowed.len(), 1, "{provision}");
        (allowed[0].compartments, allowed[0].kinds)
    };
    let purposes = |permit: &str| {
        let provision = format!(
            r#"{{"type":"deny","purpose":[{{{{p:TREAT}}}}],"provision":[{{"type":"permit"{permit}}}]}}"#
        );
        let (given, _) = rules(&foreign(true, &expand(&provision)));
        given.iter().find(|it| it.effect == Effect::Allow).map(|it| it.purposes)
    };
    let only = |purpose: Purpose| Some(PurposeSet::EMPTY.with(purpose));
    assert_eq!(purposes(""), only(Purpose::Treatment));
    assert_eq!(purposes(r#","purpose":[{{p:ETREAT}}]"#), only(Purpose::EmergencyTreatment));
    let hiv = r#""securityLabel":[{{c:HIV}}],"#;
    let mark = r#""securityLabel":[{{n:R}}],"#;
    let to_carl = r#","actor":[{{a:Practitioner/carl}}]"#;
    let allergies = [RecordKind::Allergy].into_iter().collect();
    for (pcf, deny, permit, compartments, kinds) in [
        (true, hiv, "", set(&[5]), KindSet::all()),
        (true, hiv, to_carl, set(&[5]), KindSet::all()),
        (false, hiv, "", set(&[5]), KindSet::all()),
        (false, mark, "", set(&[0]), KindSet::all()),
        (
            true,
            r#""class":[{{t:AllergyIntolerance}},{{t:Observation}}],"#,
            "",
            ordinary(),
            allergies,
        ),
    ] {
        assert_eq!(allowed(pcf, deny, permit), (compartments, kinds), "{pcf} {deny} {permit}");
    }
    refused(
        true,
        r#"
        {"type":"deny","dataPeriod":{"start":"2024"},"provision":[{"type":"permit"}]} => Consent.provision.provision[0] WouldWiden
        {"type":"deny","code":[{"text":"x"}],"provision":[{"type":"permit"}]} => Consent.provision.provision[0] WouldWiden
        {"type":"deny","action":[{{x:use}}],"provision":[{"type":"permit"}]} => Consent.provision.provision[0] WouldWiden
        {"type":"deny","class":[{{t:Observation}}],"provision":[{"type":"permit"}]} => Consent.provision.provision[0] WouldWiden
        {"type":"deny","securityLabel":[{{c:ETHUD}}],"provision":[{"type":"permit"}]} => Consent.provision.provision[0] WouldWiden
        {"type":"deny","securityLabel":[{{c:NEWCODE}}],"provision":[{"type":"permit"}]} => Consent.provision.provision[0] WouldWiden
        {"type":"deny","securityLabel":[{{c:HIV}}],"provision":[{"type":"permit","securityLabel":[{{c:PSY}}]}]} => Consent.provision.provision[0] Empty
        "#,
    );
    refused(
        false,
        r#"
        {"type":"deny","securityLabel":[{{n:R}},{{c:HIV}}],"provision":[{"type":"permit"}]} => Consent.provision.provision[0] WouldWiden
        "#,
    );
}

#[test]
fn a_consent_that_holds_not_or_for_others_is_refused() {
    let good = foreign(true, r#"{"type":"permit"}"#);
    for (from, to, fault) in [
        ("Patient/ana", "Patient/eve", "Consent.patient OtherPatient"),
        ("patient-privacy", "research", "Consent.scope OtherScope"),
        (POLICY, "https://example.org/other", "Consent.policy[0].uri UnknownPolicy"),
        ("\"active\"", "\"draft\"", "Consent.status NotAgreed"),
        ("\"active\"", "\"rejected\"", "Consent.status NotAgreed"),
        ("\"active\"", "\"on\"", "Consent.status Malformed"),
        ("\"status\"", "\"statu\"", "Consent UnknownElement"),
        (
            "\"status\"",
            "\"modifierExtension\":[],\"status\"",
            "Consent.modifierExtension UnknownModifier",
        ),
        (
            "\"status\"",
            "\"implicitRules\":\"x\",\"status\"",
            "Consent.implicitRules UnknownModifier",
        ),
        ("\"status\"", "\"status\":\"active\",\"status\"", "Consent NotJson"),
        (
            "\"status\"",
            "\"verification\":[{\"verified\":false}],\"status\"",
            "Consent.verification[0] NotVerified",
        ),
        ("\"Consent\"", "\"Patient\"", "Consent NotAConsent"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        assert_eq!(reading(&bad).expect_err(to), fault);
    }
    assert!(reading(&"[".repeat(1_000_000)).is_err());
    assert_eq!(
        reading(&" ".repeat(CONSENT_BYTES_MAX + 1)).unwrap_err(),
        format!("Consent TooLarge {{ bytes_max: {CONSENT_BYTES_MAX} }}")
    );
    for end in (0..good.len()).step_by(3) {
        assert!(reading(&good[..end]).is_err());
    }
    for ended in ["inactive", "entered-in-error"] {
        let json = good.replacen("\"active\"", &format!("\"{ended}\""), 1);
        assert_eq!(reading(&json), Ok(Read::Ended { grant: None }));
    }
}

/// What is read, is read whole: a part that FHIR R4 does not have there may restrict it.
#[test]
fn no_part_of_what_is_read_is_passed_over() {
    refused(
        true,
        r#"
        {"type":"permit","period":{"end":"2099","modifierExtension":[]}} => Consent.provision.period.modifierExtension UnknownModifier
        {"type":"permit","period":{"end":"2099","_start":{}}}            => Consent.provision.period UnknownElement
        {"type":"permit","securityLabel":[{"system":"s","code":"c","modifierExtension":[]}]} => Consent.provision.securityLabel[0].modifierExtension UnknownModifier
        {"type":"permit","purpose":[{"system":"s","code":"c","not":1}]}  => Consent.provision.purpose[0] UnknownElement
        {"type":"permit","action":[{"modifierExtension":[],"coding":[]}]} => Consent.provision.action[0].modifierExtension UnknownModifier
        {"type":"permit","actor":[{"role":{"coding":[],"x":1},"reference":{}}]} => Consent.provision.actor[0].role UnknownElement
        {"type":"permit","data":[{"meaning":"instance","reference":{"reference":"Observation/o","x":1}}]} => Consent.provision.data[0].reference UnknownElement
        {"type":"permit","data":[{"meaning":"instance","reference":{"identifier":{"system":"s","value":"v","x":1}}}]} => Consent.provision.data[0].reference.identifier UnknownElement
        "#,
    );
    let good = foreign(true, r#"{"type":"permit"}"#);
    for (from, to, fault) in [
        (
            r#""status""#,
            r#""verification":[{"verified":true,"modifierExtension":[]}],"status""#,
            "Consent.verification[0].modifierExtension UnknownModifier",
        ),
        (
            r#""status""#,
            r#""verification":[{"verified":true,"_verified":{}}],"status""#,
            "Consent.verification[0] UnknownElement",
        ),
        (
            r#""reference":"Patient/ana""#,
            r#""reference":"Patient/ana","_reference":{}"#,
            "Consent.patient UnknownElement",
        ),
        (
            r#""scope":{"#,
            r#""scope":{"modifierExtension":[],"#,
            "Consent.scope.modifierExtension UnknownModifier",
        ),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good);
        assert_eq!(reading(&bad).expect_err(to), fault);
    }
}

/// R4, invariant ppc-1: a Consent names the policy that it is by.
#[test]
fn a_consent_without_any_policy_is_refused() {
    let with = foreign(true, r#"{"type":"permit"}"#);
    let policy = format!(r#""policy":[{{"uri":"{POLICY}"}}],"#);
    let without = with.replacen(&policy, "", 1);
    assert_ne!(with, without);
    assert_eq!(reading(&without), Err("Consent.policy UnknownPolicy".into()));
    let rule = by_rule("OPTIN", "{}").replacen(&policy, "", 1);
    assert!(reading(&rule).is_ok(), "its rule is one of the two that are known");
}

/// The ledger counts for each rule, and a Consent of ours counts once.
#[test]
fn a_count_of_accesses_is_for_one_rule() {
    let terms = GrantTerms { accesses_max: Some(3), ..terms() };
    let text = written(&grant(&terms)).unwrap().0.to_string();
    let actor = text.find(r#""actor":["#).unwrap() + r#""actor":["#.len();
    let mut two = text.clone();
    two.insert_str(actor, &expand("{{a:Organization/clinic}},"));
    assert_eq!(reading(&two).unwrap_err(), "Consent.provision Contradiction");
    let nested =
        text.replacen(r#""type":"permit""#, r#""type":"permit","provision":[{"type":"deny"}]"#, 1);
    assert_eq!(reading(&nested).unwrap_err(), "Consent.provision.provision Contradiction");
}

/// Who reads R4 without PCF takes R for everything up to it, whatever compartment that is in.
#[test]
fn what_r4_would_take_otherwise_is_not_read_without_its_compartments() {
    let places = |effect, compartments: &[u8]| {
        let terms = GrantTerms { effect, compartments: set(compartments), ..terms() };
        let (consent, _) = written(&grant(&terms)).unwrap();
        ["modifierExtension", "extension"]
            .map(|list| consent["provision"][list].to_string().contains("keepwell:compartments"))
    };
    assert_eq!(places(Effect::Allow, &[1]), [true, false]);
    assert_eq!(places(Effect::Allow, &[0, 1]), [true, false]);
    assert_eq!(places(Effect::Allow, &[0]), [false, true]);
    assert_eq!(places(Effect::Deny, &[1]), [false, true]);
    // To R4 several labels restrict together, which of a permission is less and a prohibition must not be.
    assert_eq!(places(Effect::Allow, &[0, 5]), [false, true]);
    assert_eq!(places(Effect::Deny, &[0, 5]), [true, false]);
}

#[test]
fn a_consent_to_all_leaves_out_what_needs_its_own() {
    let (rules, notes) = rules(&foreign(true, r#"{"type":"permit"}"#));
    assert_eq!(rules.len(), 1);
    let rule = &rules[0];
    assert_eq!((rule.grantee, rule.compartments), (Grantee::Everyone, ordinary()));
    assert_eq!((rule.purposes, rule.kinds), (PurposeSet::all(), KindSet::all()));
    assert_eq!(rule.window, Window { from: NOW, until: BlockTime(u64::MAX) });
    assert_eq!(notes.len(), 1, "{notes:?}");
}

/// A Consent of R4 as it is, with this rule of its policy.
fn by_rule(code: &str, provision: &str) -> String {
    let system = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
    let rule = json!({ "coding": [{ "system": system, "code": code }] });
    let rule = format!(r#""policyRule":{rule},"provision""#);
    foreign(false, &expand(provision)).replacen("\"provision\"", &rule, 1)
}

#[test]
fn r4_says_what_holds_by_its_policy_rule() {
    for (code, effect, count) in [("OPTIN", Effect::Allow, 1), ("OPTOUT", Effect::Deny, 2)] {
        let (rules, _) = rules(&by_rule(code, "{}"));
        assert_eq!(rules.len(), count, "separate consent is denied by a rule of its own");
        assert!(rules.iter().all(|it| it.effect == effect));
    }
    assert_eq!(reading(&by_rule("OTHER", "{}")), Err("Consent.policyRule UnknownPolicy".into()));
    for (one, other) in [("OPTIN", "OPTOUT"), ("OPTOUT", "OPTIN")] {
        let second = expand(&format!("\"policyRule\":{{\"coding\":[{{{{c:{other}}}}},"));
        let both = by_rule(one, "{}").replacen("\"policyRule\":{\"coding\":[", &second, 1);
        assert_eq!(reading(&both), Err("Consent.policyRule Contradiction".into()));
    }
}

#[test]
fn a_prohibition_within_that_of_the_policy_leaves_it_whole() {
    for provision in [
        r#"{"type":"deny"}"#,
        r#"{"type":"deny","actor":[{{a:Practitioner/carl}}]}"#,
        r#"{"type":"deny","period":{"end":"2030"},"purpose":[{{p:TREAT}}]}"#,
        r#"{"type":"deny","action":[{{x:use}}],"securityLabel":[{{c:ETH}}]}"#,
    ] {
        let (given, _) = rules(&by_rule("OPTOUT", provision));
        let all = given.iter().fold(CompartmentSet::EMPTY, |all, it| all.or(it.compartments));
        assert_eq!(all, CompartmentSet::all(), "{provision}");
        for rule in given {
            assert_eq!((rule.effect, rule.grantee), (Effect::Deny, Grantee::Everyone));
            assert_eq!((rule.purposes, rule.kinds), (PurposeSet::all(), KindSet::all()));
            assert_eq!(rule.window.until, BlockTime(u64::MAX));
        }
    }
    for (provision, fault) in [
        (
            r#"{"type":"deny","actor":[{{a:Practitioner/carl}}],"provision":[{"type":"permit"}]}"#,
            "Consent.provision.provision[0] NoException",
        ),
        (
            r#"{"type":"deny","actor":[{{a:Practitioner/eve}}]}"#,
            "Consent.provision.actor[0].reference UnknownActor",
        ),
        (r#"{"type":"deny","what":1}"#, "Consent.provision UnknownElement"),
    ] {
        assert_eq!(reading(&by_rule("OPTOUT", provision)), Err(fault.into()), "{provision}");
    }
}

#[test]
fn opting_in_without_a_label_leaves_out_what_needs_its_own() {
    let permit = r#"{"type":"permit","actor":[{{a:Practitioner/carl}}]}"#;
    let (given, notes) = rules(&by_rule("OPTOUT", permit));
    let allowed: Vec<_> = given.iter().filter(|it| it.effect == Effect::Allow).collect();
    assert_eq!(allowed.len(), 1);
    assert_eq!((allowed[0].grantee, allowed[0].compartments), (Grantee::Member(CARL), ordinary()));
    assert!(!allowed[0].separate_consent);
    assert!(notes.iter().any(|it| it.contains("a consent of its own")), "{notes:?}");
}

#[test]
fn an_exception_from_what_needs_its_own_consent_names_its_label() {
    let meanings = meanings();
    let reading = Reading {
        patient: "Patient/ana",
        meanings: &meanings,
        separate_consent: set(&[7, 8, 9, 10, 11, 12, 13, 14, 15]),
        policies: &[POLICY],
        now: NOW,
        zone_minutes: 0,
        parties: &BTreeMap::new(),
        records: &BTreeMap::new(),
    };
    let within = |permit: &str| {
        let provision =
            format!(r#"{{"type":"deny","securityLabel":[{{{{c:ETH}}}}],"provision":[{permit}]}}"#);
        let json = foreign(true, &expand(&provision));
        read(json.as_bytes(), &reading).map_err(|error| format!("{} {:?}", error.at, error.fault))
    };
    assert_eq!(
        within(r#"{"type":"permit"}"#),
        Err("Consent.provision.provision[0].securityLabel SeparateConsent".into())
    );
    assert!(within(r#"{"type":"permit","securityLabel":[{{c:ETH}}]}"#).is_ok());
}

#[test]
fn a_provision_against_the_rule_of_the_policy_is_an_exception() {
    let deny = r#"{"type":"deny","actor":[{{a:Organization/clinic}}]}"#;
    let (given, _) = rules(&by_rule("OPTIN", deny));
    assert_eq!((given[0].effect, given[0].grantee), (Effect::Allow, Grantee::Everyone));
    let denied = given[1..].iter().all(|it| it.effect == Effect::Deny);
    assert!(denied && given[1].grantee == Grantee::Organisation(CLINIC));

    let permit = r#"{"type":"permit","actor":[{{a:Practitioner/carl}}],"securityLabel":[{{n:N}}]}"#;
    let (given, _) = rules(&by_rule("OPTOUT", permit));
    let allowed: Vec<_> = given.iter().filter(|it| it.effect == Effect::Allow).collect();
    assert_eq!(allowed.len(), 1);
    assert_eq!(allowed[0].grantee, Grantee::Member(CARL));
}

/// Examples of R4 write "not to them" as OPTIN with an actor, and "from then to then" as OPTIN with a period.
#[test]
fn conditions_that_say_neither_permit_nor_deny_are_refused() {
    for provision in [
        r#"{"actor":[{{a:Practitioner/carl}}]}"#,
        r#"{"period":{"start":"2030-01-01"}}"#,
        r#"{"data":[{"meaning":"instance","reference":{"reference":"Observation/o"}}]}"#,
        r#"{"securityLabel":[{{n:N}}],"provision":[]}"#,
    ] {
        for rule in ["OPTIN", "OPTOUT"] {
            let error = reading(&by_rule(rule, provision)).unwrap_err();
            assert_eq!(error, "Consent.provision.type NoEffect", "{provision}");
        }
    }
}

#[test]
fn confidentiality_is_a_tag_to_pcf_and_a_mark_to_r4() {
    let compartments = |pcf, effect: &str, label: &str| {
        let provision = format!(r#"{{"type":"{effect}","securityLabel":[{label}]}}"#);
        let (rules, _) = rules(&foreign(pcf, &expand(&provision)));
        rules.iter().fold(CompartmentSet::EMPTY, |all, rule| all.or(rule.compartments))
    };
    let from = |first: u8| set(&(first..16).collect::<Vec<_>>());
    for (pcf, effect, label, expected) in [
        (true, "permit", "{{n:N}}", set(&[0])),
        (true, "permit", "{{n:R}}", set(&[1])),
        // Where R lies, V lies too, and it is above the mark.
        (false, "permit", "{{n:R}}", set(&[0])),
        (false, "permit", "{{n:V}}", set(&[0, 1])),
        (true, "permit", "{{c:PSY}}", set(&[6])),
        (true, "permit", "{{c:ETH}}", set(&[7])),
        (true, "deny", "{{n:R}}", from(1)),
        (false, "deny", "{{n:R}}", from(0)),
        (true, "deny", "{{c:HIV}}", from(5)),
        (true, "deny", "{{c:ETHUD}}", from(7)),
        (true, "deny", "{{c:NEWCODE}}", from(1)),
    ] {
        assert_eq!(compartments(pcf, effect, label), expected, "{pcf} {effect} {label}");
    }
}

#[test]
fn whatever_allows_less_is_noted_where_it_stands() {
    for line in r#"
        pcf {"type":"permit"}                                => Consent.provision SeparateConsentLeftOut
        pcf {"type":"permit","securityLabel":[{{c:HIV}}]}    => Consent.provision.securityLabel[0] LabelIsCompartment(Hiv)
        r4  {"type":"permit","securityLabel":[{{n:R}}]}      => Consent.provision.securityLabel[0] LabelIsCompartment(Normal), Consent.provision.securityLabel[0] RestrictedLeftOut
        pcf {"type":"deny","securityLabel":[{{c:HIV}}]}      => Consent.provision.securityLabel[0] LabelDeniesMore
        pcf {"type":"deny","class":[{{t:Observation}}]}      => Consent.provision.class KindDeniesMore(Result)
        pcf {"type":"deny","class":[{{t:AllergyIntolerance}}]} =>
        pcf {"type":"deny","dataPeriod":{"start":"2024"}}    => Consent.provision.dataPeriod ConditionIgnored
        pcf {"type":"deny","code":[{"text":"x"}]}            => Consent.provision.code ConditionIgnored
        pcf {"type":"deny","purpose":[{{p:TREAT}}]}          => Consent.provision.purpose[0] PurposeDeniesMore
        pcf {"type":"deny","purpose":[{{p:PUBHLTH}}]}        =>
        pcf {"type":"permit","securityLabel":[{{n:N}}],"class":[{{t:AllergyIntolerance}},{{t:Observation}}]} => Consent.provision.securityLabel[0] LabelIsCompartment(Normal), Consent.provision.class KindLeftOut(Result)
        pcf {"type":"permit","securityLabel":[{{n:N}}],"purpose":[{{p:TREAT}},{{p:HMARKT}}]} => Consent.provision.securityLabel[0] LabelIsCompartment(Normal), Consent.provision.purpose[1] PurposeLeftOut
        pcf {"type":"permit","securityLabel":[{{n:N}}],"action":[{{x:access}},{{x:collect}}]} => Consent.provision.action ReadingAlone, Consent.provision.securityLabel[0] LabelIsCompartment(Normal)
        pcf {"type":"permit","securityLabel":[{{n:N}}],"data":[{"meaning":"dependents","reference":{"reference":"Observation/o"}}]} => Consent.provision.securityLabel[0] LabelIsCompartment(Normal), Consent.provision.data[0].meaning DependentsLeftOut
        pcf {"type":"deny","actor":[{{a:Practitioner/carl}}],"provision":[{"type":"permit","securityLabel":[{{n:N}}]}]} => Consent.provision.provision[0].securityLabel[0] LabelIsCompartment(Normal)
        pcf {"type":"deny","securityLabel":[{{c:HIV}}],"provision":[{"type":"permit"}]} => Consent.provision.securityLabel[0] LabelDeniesMore, Consent.provision.provision[0] ExceptionMayLose
        pcf {"type":"deny","actor":[{{a:Practitioner/carl}}],"provision":[{"type":"permit"}]} => Consent.provision.provision[0] SeparateConsentLeftOut, Consent.provision.provision[0] ExceptionMayLose
    "#
    .lines()
    .map(str::trim)
    .filter(|line| !line.is_empty())
    {
        let (provision, expected) = line.rsplit_once("=>").expect("provision => notes");
        let (dialect, provision) = provision.split_once(' ').expect("dialect and provision");
        let json = foreign(dialect == "pcf", &expand(provision.trim()));
        let Ok(Read::Rules { notes, .. }) = reading(&json) else { panic!("{line}") };
        let found: Vec<_> = notes.iter().map(|it| format!("{} {:?}", it.at, it.what)).collect();
        assert_eq!(found.join(", "), expected.trim(), "{line}");
        assert!(notes.iter().all(|it| it.to_string().starts_with(&format!("{}: ", it.at))));
    }
}

#[test]
fn what_is_noted_is_what_is_granted() {
    let one = |provision: &str| rules(&foreign(true, &expand(provision))).0.remove(0);
    let kinds = |kind: RecordKind| KindSet::EMPTY.with(kind);
    let class = r#""class":[{{t:AllergyIntolerance}},{{t:Observation}}]"#;
    assert_eq!(one(&format!(r#"{{"type":"permit",{class}}}"#)).kinds, kinds(RecordKind::Allergy));
    let denied = kinds(RecordKind::Allergy).with(RecordKind::Result);
    assert_eq!(one(&format!(r#"{{"type":"deny",{class}}}"#)).kinds, denied);
    let treatment = [Purpose::Treatment].into_iter().collect();
    let purpose = r#"{"type":"permit","purpose":[{{p:TREAT}},{{p:HMARKT}}]}"#;
    assert_eq!(one(purpose).purposes, treatment);
    let data = r#"{"type":"permit","data":[{"meaning":"dependents","reference":{"reference":"Observation/o"}}]}"#;
    let name = RecordName { position: LogPosition(4), record: RecordId([4; 32]) };
    assert_eq!(one(data).records[..], [name]);
}

#[test]
fn limits_of_a_consent_hold_at_the_limit() {
    let list = |item: &dyn Fn(usize) -> String, count: usize| {
        (0..count).map(item).collect::<Vec<_>>().join(",")
    };
    let actor = |at: usize| format!("{{{{a:Practitioner/{}}}}}", MemberId([at as u8; 16]));
    let permit = |count| format!(r#"{{"type":"permit","actor":[{}]}}"#, list(&actor, count));
    // Separate consent makes two rules of each actor.
    let deny = |count| format!(r#"{{"type":"deny","actor":[{}]}}"#, list(&actor, count));
    let exception = |count| {
        let permit = permit(count);
        format!(r#"{},"provision":[{{"type":"deny"}}]}}"#, &permit[..permit.len() - 1])
    };
    let no_one = |at: usize| format!(r#"{{"type":"deny","actor":[{}]}}"#, actor(at));
    let exceptions =
        |count| format!(r#"{{"type":"permit","provision":[{}]}}"#, list(&no_one, count));
    let label = |_| "{{c:HIV}}".to_string();
    let labels =
        |count| format!(r#"{{"type":"deny","code":[],"securityLabel":[{}]}}"#, list(&label, count));
    let record = |at: usize| {
        let system = "urn:keepwell:record";
        let value = format!("{at}/{}", RecordId([1; 32]));
        json!({ "meaning": "instance", "reference": { "identifier": { "system": system, "value": value } } })
            .to_string()
    };
    let records = |count| format!(r#"{{"type":"permit","data":[{}]}}"#, list(&record, count));
    type Provision<'a> = &'a dyn Fn(usize) -> String;
    for (provision, at_most, max, at) in [
        (&permit as Provision<'_>, RULES_MAX, RULES_MAX, "actor"),
        (&deny, RULES_MAX / 2, RULES_MAX, ""),
        (&exception, RULES_MAX / 2, RULES_MAX, "provision[0]"),
        (&exceptions, PROVISIONS_MAX, PROVISIONS_MAX, "provision"),
        (&labels, NOTES_MAX, NOTES_MAX, "securityLabel"),
        (&records, GRANT_RECORDS_MAX, GRANT_RECORDS_MAX, "data"),
    ] {
        let of = |count| reading(&foreign(true, &expand(&provision(count))));
        let Ok(Read::Rules { rules, notes, .. }) = of(at_most) else { panic!("{:?}", of(at_most)) };
        assert!(rules.len() <= RULES_MAX && notes.len() <= NOTES_MAX);
        let at = ["Consent.provision", at].into_iter().filter(|it| !it.is_empty());
        let at = at.collect::<Vec<_>>().join(".");
        assert_eq!(of(at_most + 1), Err(format!("{at} TooMany {{ max: {max} }}")));
    }
    let good = foreign(true, r#"{"type":"permit"}"#);
    assert!(reading(&(good.clone() + &" ".repeat(CONSENT_BYTES_MAX - good.len()))).is_ok());
}

/// A Consent may have begun before block time did.
#[test]
fn a_permission_from_before_1970_has_begun() {
    let (given, _) = rules(&foreign(true, r#"{"type":"permit","period":{"start":"1965-03-01"}}"#));
    assert_eq!(given[0].window, Window { from: BlockTime(0), until: BlockTime(u64::MAX) });
}

#[test]
fn an_exception_comes_before_what_it_is_from() {
    let json = expand(
        r#"{"type":"permit","actor":[{{a:Organization/clinic}}],"purpose":[{{p:TREAT}}],
            "provision":[{"type":"deny","actor":[{{a:Practitioner/carl}}]}]}"#,
    );
    let (rules, _) = rules(&foreign(true, &json));
    let of_carl: Vec<_> = rules.iter().filter(|it| it.grantee == Grantee::Member(CARL)).collect();
    assert_eq!(of_carl.len(), 1);
    assert_eq!(of_carl[0].effect, Effect::Deny);
    assert_eq!(of_carl[0].compartments, ordinary());
    assert_eq!(of_carl[0].purposes, [Purpose::Treatment].into_iter().collect());
}

#[test]
fn a_prohibition_of_a_purpose_is_one_of_what_it_comprises() {
    let json = foreign(true, &expand(r#"{"type":"deny","purpose":[{{p:TREAT}}]}"#));
    let (rules, notes) = rules(&json);
    assert!(rules[0].purposes.contains(Purpose::BreakGlass));
    assert!(notes.iter().any(|it| it.contains("purposes that it comprises")), "{notes:?}");
}

#[test]
fn what_fhir_cannot_say_is_told_and_must_not_be_skipped() {
    let kinds = KindSet::all().without([RecordKind::Result].into_iter().collect());
    let terms =
        GrantTerms { compartments: set(&[0, 1, 4, 12]), kinds, accesses_max: Some(3), ..terms() };
    let below_treatment: PurposeSet = [
        Purpose::EmergencyTreatment,
        Purpose::BreakGlass,
        Purpose::Coordination,
        Purpose::ClinicalTrial,
    ]
    .into_iter()
    .collect();
    let (consent, unexpressed) = written(&grant(&terms)).unwrap();
    assert_eq!(
        unexpressed,
        [
            Unexpressed::Compartments(set(&[4, 12])),
            Unexpressed::HighWaterMark,
            Unexpressed::Purposes(below_treatment),
            Unexpressed::Kinds(kinds),
            Unexpressed::AccessesMax(3),
        ]
    );
    let said: Vec<_> = unexpressed.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "2 compartments that no security label of PCF names",
            "that R is one compartment, and not everything up to R",
            "that it is not for 4 purposes that HL7 has below those named",
            "that it is for 15 kinds of records only",
            "that it is for 3 accesses at most",
        ]
    );
    let modifiers = consent["provision"]["modifierExtension"].as_array().unwrap();
    assert_eq!(modifiers.len(), 3, "compartments, kinds and count: {modifiers:?}");
    let whole = GrantTerms {
        purposes: below_treatment.with(Purpose::Treatment),
        compartments: set(&[0]),
        ..self::terms()
    };
    assert_eq!(written(&grant(&whole)).unwrap().1, [], "nothing below it is left out");
    let denied = GrantTerms { effect: Effect::Deny, ..terms };
    let (consent, unexpressed) = written(&grant(&denied)).unwrap();
    assert!(!unexpressed.iter().any(|it| matches!(it, Unexpressed::Purposes(_))));
    let modifiers = consent["provision"]["modifierExtension"].as_array().unwrap();
    assert_eq!(modifiers.len(), 1, "compartments: {modifiers:?}");
}

#[test]
fn profiles_and_statuses_follow_from_the_grant() {
    let profile = |terms: &GrantTerms| {
        let (consent, _) = written(&grant(terms)).unwrap();
        consent["meta"]["profile"][0].as_str().unwrap().rsplit('.').next().unwrap().to_string()
    };
    let unnamed = GrantTerms { compartments: set(&[12]), ..terms() };
    assert_eq!(profile(&terms()), "consentAdvanced");
    assert_eq!(profile(&unnamed), "consentBasic");
    let research = [Purpose::Research].into_iter().collect();
    assert_eq!(profile(&GrantTerms { purposes: research, ..unnamed }), "consentIntermediate");

    let terms = GrantTerms { accesses_max: Some(2), ..terms() };
    let over = GrantTerms { window: Window { from: BlockTime(0), until: NOW }, ..terms.clone() };
    for (grant, status) in [
        (grant(&terms), "active"),
        (Grant { revoked_at: Some(NOW), ..grant(&terms) }, "inactive"),
        (Grant { accesses_used: 2, ..grant(&terms) }, "inactive"),
        (grant(&over), "inactive"),
    ] {
        let (consent, _) = written(&grant).unwrap();
        assert_eq!(consent["status"], status);
        let ended = Read::Ended { grant: Some(GrantId([9; 16])) };
        assert_eq!(reading(&consent.to_string()) == Ok(ended), status == "inactive");
    }
}

#[test]
fn terms_that_no_grant_has_are_not_written() {
    for (terms, error) in [
        (GrantTerms { compartments: CompartmentSet::EMPTY, ..terms() }, WriteError::EmptyTerms),
        (GrantTerms { accesses_max: Some(0), ..terms() }, WriteError::EmptyTerms),
        (GrantTerms { compartments: set(&[0, 7]), ..terms() }, WriteError::SeparateConsent),
        (GrantTerms { separate_consent: true, ..terms() }, WriteError::SeparateConsent),
        (
            GrantTerms {
                window: Window { from: BlockTime(u64::MAX - 1), until: BlockTime(u64::MAX) },
                ..terms()
            },
            WriteError::From(BlockTime(u64::MAX - 1)),
        ),
        (
            GrantTerms { window: Window { from: NOW, until: BlockTime(u64::MAX - 1) }, ..terms() },
            WriteError::Until(BlockTime(u64::MAX - 1)),
        ),
        (
            GrantTerms { window: Window { from: NOW, until: AFTER_9999.plus_ms(1) }, ..terms() },
            WriteError::Until(AFTER_9999.plus_ms(1)),
        ),
    ] {
        assert_eq!(written(&grant(&terms)), Err(error));
    }
}

#[test]
fn the_last_end_of_the_calendar_is_written_and_read() {
    for until in [AFTER_9999, BlockTime(u64::MAX)] {
        let terms = GrantTerms { window: Window { from: NOW, until }, ..terms() };
        let (consent, _) = written(&grant(&terms)).unwrap();
        assert_eq!(rules(&consent.to_string()).0, [terms]);
    }
}

#[test]
fn a_consent_of_ours_that_was_changed_is_refused() {
    let (consent, _) = written(&grant(&terms())).unwrap();
    let text = consent.to_string();
    let more = text.replacen("\"valueString\":\"0\"", "\"valueString\":\"0 5\"", 1);
    assert_eq!(reading(&more).unwrap_err(), "Consent.provision Contradiction");
    let without = text.replacen("keepwell:compartments", "keepwell:compartment", 1);
    assert_eq!(reading(&without).unwrap_err(), "Consent.provision Contradiction");
    let nested = text.replacen("\"valueString\":\"0\"", "\"valueString\":\"99\"", 1);
    assert_eq!(reading(&nested).unwrap_err(), "Consent.provision Malformed");
    // Which of two grants is to be revoked, nobody has said.
    let two = |other: &str| {
        let mut consent = consent.clone();
        let own = consent["identifier"][0].clone();
        let mut second = own.clone();
        second["value"] = json!(other);
        consent["identifier"] = json!([own, second]);
        consent["status"] = json!("inactive");
        reading(&consent.to_string())
    };
    let (this, other) = (GrantId([9; 16]), GrantId([8; 16]).to_string());
    assert_eq!(two(&this.to_string()), Ok(Read::Ended { grant: Some(this) }));
    assert_eq!(two(&other).unwrap_err(), "Consent.identifier[1] Contradiction");
}

fn any_grantee() -> impl Strategy<Value = Grantee> {
    prop_oneof![
        any::<[u8; 16]>().prop_map(|id| Grantee::Member(MemberId(id))),
        any::<[u8; 16]>().prop_map(|id| Grantee::Organisation(OrganisationId(id))),
        any::<[u8; 16]>().prop_map(|id| Grantee::Team(TeamId(id))),
        any::<[u8; 16]>().prop_map(|id| Grantee::Group(GroupId(id))),
        (any::<[u8; 16]>(), 0..Role::ALL.len()).prop_map(|(id, role)| Grantee::Role {
            organisation: OrganisationId(id),
            role: Role::ALL[role],
        }),
        Just(Grantee::Everyone),
    ]
}

prop_compose! {
    fn any_terms()(
        is_allowing in any::<bool>(),
        grantee in any_grantee(),
        separate_consent in any::<bool>(),
        compartments in 1_u32..1 << 16,
        kinds in 1_u32..1 << 16,
        all_kinds in any::<bool>(),
        purposes in 1_u32..1 << 13,
        from in 0_u64..4_000_000_000_000,
        len in 1_u64..4_000_000_000_000,
        forever in any::<bool>(),
        accesses_max in proptest::option::of(1_u32..),
        onward in any::<bool>(),
        records in proptest::collection::btree_map(any::<u64>(), any::<[u8; 32]>(), 0..=16),
    ) -> GrantTerms {
        let side = if separate_consent { separate() } else { ordinary() };
        let compartments = CompartmentSet::from_bits(compartments).expect("16 bits").and(side);
        let name = |(position, record)| {
            RecordName { position: LogPosition(position), record: RecordId(record) }
        };
        GrantTerms {
            effect: if is_allowing { Effect::Allow } else { Effect::Deny },
            grantee,
            compartments: if compartments.is_empty() { side } else { compartments },
            kinds: if all_kinds { KindSet::all() } else { KindSet::from_bits(kinds).expect("16 bits") },
            records: List::from_vec(records.into_iter().map(name).collect()).expect("16 at most"),
            purposes: PurposeSet::from_bits(purposes).expect("13 bits"),
            window: Window {
                from: BlockTime(from),
                until: if forever { BlockTime(u64::MAX) } else { BlockTime(from + len) },
            },
            accesses_max,
            separate_consent,
            onward,
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(terms in any_terms()) {
        let grant = grant(&terms);
        let setting = Setting {
            patient: "Patient/ana",
            organisation: CLINIC,
            meanings: &meanings(),
            separate_consent: separate(),
            policy: POLICY,
            // Before all windows end, so that it is in force and its terms are read.
            now: BlockTime(0),
        };
        let consent = write(&grant, &setting).unwrap().consent;
        let (rules, notes) = rules(&consent.to_string());
        prop_assert_eq!(notes, Vec::<String>::new());
        prop_assert_eq!(rules, vec![terms]);
    }

    #[test]
    fn no_provision_panics(text in "[-{}\\[\\]\":,a-z0-9]{0,200}") {
        let _ = reading(&foreign(true, &text));
        let _ = reading(&text);
    }
}
