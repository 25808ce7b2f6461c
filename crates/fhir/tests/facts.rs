//! Accesses, signatures, requests and cases as others read them.

use keepwell_fhir::facts::{
    audit_event::{self, Access, Emergency, Event, Write},
    provenance::{self, Authored, Origin, Redacted, SIGNATURE_TYPE, Signed},
    security_label::Meanings,
    task::{self, Case, CaseStatus, Request, RequestStatus, TASK_BYTES_MAX, TaskError},
};
use keepwell_types::{
    access::{EmergencyReason, Purpose, RecordName, Target},
    case::{CaseKind, DenialGround},
    encoding::List,
    grant::{Effect, GrantTerms, Grantee, RefusalReason, RequestReason},
    id::{
        CaseId, ChartId, Compartment, GrantId, Height, Location, LogPosition, MemberId,
        OrganisationId, ProxyId, RecordId, RequestId, Version,
    },
    member::{Party, Role},
    outcome::Rejection,
    record::RedactionGround,
    set::{CompartmentSet, KindSet, PurposeSet},
    signoff::Meaning,
    time::{BlockTime, Window},
};
use serde_json::Value;

const NOW: BlockTime = BlockTime(1_795_238_400_000);
const CARL: MemberId = MemberId([0xca; 16]);
const CLINIC: OrganisationId = OrganisationId([0xc1; 16]);
const RECORD: RecordName = RecordName { position: LogPosition(4), record: RecordId([4; 32]) };

fn event() -> Event<'static> {
    Event {
        id: "a1",
        location: Location { height: Height(7), index: 2 },
        time: NOW,
        patient: "Patient/ana",
        who: Party::Member(CARL),
        organisation: Some(CLINIC),
        roles: [Role::Clinician].into_iter().collect(),
        client: "Device/wallet",
        server: "Device/node",
    }
}

fn records(count: u8) -> Target {
    let names = (0..count).map(|id| RecordName { record: RecordId([id; 32]), ..RECORD });
    Target::Records(List::from_vec(names.collect()).expect("within the limit"))
}

fn compartments() -> Target {
    let compartments = CompartmentSet::EMPTY.with(Compartment::new(3).expect("it exists"));
    Target::Compartments { compartments, until: LogPosition(9) }
}

fn code<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} {value}"))
}

/// What holds for every event, whatever its kind.
fn check_event(audit: &Value) {
    assert_eq!(code(audit, "/recorded"), "2026-11-21T05:20:00.000Z");
    assert_eq!(code(audit, "/entity/0/what/reference"), "Patient/ana");
    assert_eq!(code(audit, "/entity/1/what/identifier/value"), "7/2");
    assert_eq!(code(audit, "/source/observer/reference"), "Device/node");
    let agents = audit["agent"].as_array().expect("agents");
    assert!(agents.len() >= 2);
    let requestors = agents.iter().filter(|it| it["requestor"] == true).count();
    assert_eq!(requestors, 1, "{audit}");
    assert!(!audit.to_string().contains("address"), "{audit}");
    assert!(!audit.to_string().contains("null"), "{audit}");
}

#[test]
fn accesses_follow_balp() {
    let mine = Rejection::NotGranted;
    let other = Rejection::Redacted(RecordId([4; 32]));
    for (target, refused, kind, outcome, profile) in [
        (records(1), None, "read", "0", Some("IHE.BasicAudit.PatientRead")),
        (records(2), None, "search", "0", Some("IHE.BasicAudit.PatientQuery")),
        (compartments(), None, "search", "0", Some("IHE.BasicAudit.PatientQuery")),
        (records(1), Some(&mine), "AuthZ-Consent", "8", None),
        (compartments(), Some(&other), "AuthZ-Consent", "8", None),
    ] {
        let access = Access { purpose: Purpose::Treatment, target: &target, refused };
        let audit = audit_event::access(&event(), &access);
        check_event(&audit);
        assert_eq!(code(&audit, "/subtype/0/code"), kind);
        assert_eq!(code(&audit, "/outcome"), outcome);
        assert_eq!(code(&audit, "/purposeOfEvent/0/coding/0/code"), "TREAT");
        let claimed = audit.pointer("/meta/profile/0").and_then(Value::as_str);
        assert_eq!(claimed.and_then(|it| it.rsplit('/').next()), profile);
        if let Some(rejection) = refused {
            let said = code(&audit, "/outcomeDesc");
            assert!(said.starts_with(&audit_event::code_of(rejection)), "{said}");
        }
    }
    assert_eq!(audit_event::code_of(&mine), "not_granted");
    assert_eq!(audit_event::code_of(&other), "redacted");
}

#[test]
fn a_query_says_what_was_asked_for_in_base_64_too() {
    let target = compartments();
    let access = Access { purpose: Purpose::BreakGlass, target: &target, refused: None };
    let audit = audit_event::access(&event(), &access);
    assert_eq!(code(&audit, "/purposeOfEvent/0/coding/0/code"), "BTG");
    assert_eq!(code(&audit, "/entity/2/description"), "compartments=3&before=9");
    assert_eq!(code(&audit, "/entity/2/query"), "Y29tcGFydG1lbnRzPTMmYmVmb3JlPTk=");
}

#[test]
fn the_same_end_sends_in_a_read_and_receives_in_a_query() {
    let parts = |target: &Target| {
        let access = Access { purpose: Purpose::Treatment, target, refused: None };
        let audit = audit_event::access(&event(), &access);
        assert_eq!(code(&audit, "/agent/0/who/reference"), "Device/wallet");
        code(&audit, "/agent/0/type/coding/0/code").to_string()
    };
    assert_eq!(parts(&records(1)), "110152");
    assert_eq!(parts(&records(2)), "110153");
}

#[test]
fn emergencies_disclosures_and_writes_are_events_too() {
    let set = CompartmentSet::all();
    let reason = EmergencyReason::Danger;
    for (audit, subtype, action) in [
        (audit_event::emergency(&event(), Emergency::Started, reason, set), "110127", "E"),
        (audit_event::emergency(&event(), Emergency::Stopped, reason, set), "110138", "E"),
        (
            audit_event::disclosure(&event(), Purpose::Legal, "Organization/x", &[RECORD, RECORD]),
            "disclose",
            "R",
        ),
        (audit_event::write(&event(), Purpose::Treatment, Write::Create, RECORD), "create", "C"),
        (audit_event::write(&event(), Purpose::Treatment, Write::Update, RECORD), "update", "U"),
        (audit_event::write(&event(), Purpose::Treatment, Write::Delete, RECORD), "delete", "D"),
    ] {
        check_event(&audit);
        assert_eq!(code(&audit, "/subtype/0/code"), subtype);
        assert_eq!(code(&audit, "/action"), action);
    }
    let broken = audit_event::emergency(&event(), Emergency::Started, reason, set);
    assert_eq!(code(&broken, "/purposeOfEvent/0/coding/0/code"), "BTG");
    assert_eq!(code(&broken, "/entity/2/detail/0/valueString"), "danger");
}

#[test]
fn every_party_is_somebody_in_an_event() {
    let chart = ChartId([0; 32]);
    let target = records(1);
    for who in [
        Party::Member(CARL),
        Party::Controller(chart),
        Party::Claimant(chart),
        Party::Administrator(CLINIC),
        Party::Custodian(CLINIC),
        Party::Proxy(chart, ProxyId([1; 16])),
        Party::Guardian(chart),
        Party::Successor(chart),
        Party::Validator(CLINIC),
    ] {
        let access = Access { purpose: Purpose::PatientRequest, target: &target, refused: None };
        let event = Event { who, organisation: None, ..event() };
        check_event(&audit_event::access(&event, &access));
    }
}

fn origin() -> Origin<'static> {
    Origin {
        id: "p1",
        location: Location { height: Height(7), index: 2 },
        time: NOW,
        patient: "Patient/ana",
        target: "Observation/o",
        version: Version(2),
        record: RECORD,
    }
}

#[test]
fn versions_name_what_they_come_from() {
    let author = Party::Member(CARL);
    let first =
        Authored { author, organisation: Some(CLINIC), amends: None, imported_from: Some("ADT") };
    let first = provenance::authored(&origin(), &first);
    assert_eq!(code(&first, "/activity/coding/0/code"), "originate");
    assert_eq!(code(&first, "/entity/0/what/display"), "ADT");
    assert_eq!(code(&first, "/entity/1/what/identifier/value"), "7/2");
    assert_eq!(code(&first, "/target/0/reference"), "Observation/o/_history/2");

    let second =
        Authored { author, organisation: None, amends: Some(Version(1)), imported_from: None };
    let second = provenance::authored(&origin(), &second);
    assert_eq!(code(&second, "/activity/coding/0/code"), "amend");
    assert_eq!(code(&second, "/entity/0/role"), "revision");
    assert_eq!(code(&second, "/entity/0/what/reference"), "Observation/o/_history/1");
}

#[test]
fn signatures_say_what_they_mean() {
    for meaning in Meaning::ALL.iter().copied() {
        let proof = Some(("application/octet-stream", &b"foobar"[..]));
        let signed = Signed { signer: Party::Member(CARL), organisation: None, meaning, proof };
        let signed = provenance::signed(&origin(), &signed);
        let types = signed.pointer("/signature/0/type").and_then(Value::as_array).expect("types");
        let own = types.last().expect("our own word is always there");
        assert_eq!(own["code"], meaning.as_str());
        let has_astm = types.iter().any(|it| it["system"] == SIGNATURE_TYPE);
        assert_eq!(has_astm, provenance::astm_code(meaning).is_some());
        assert_eq!(code(&signed, "/signature/0/data"), "Zm9vYmFy");
        assert_eq!(code(&signed, "/signature/0/when"), "2026-11-21T05:20:00.000Z");
    }
}

#[test]
fn a_redaction_destroys_and_says_why_and_who() {
    let redacted = Redacted {
        ground: RedactionGround::Order,
        approvals: &[Party::Controller(ChartId([0; 32])), Party::Member(CARL)],
        erased_by: &[CLINIC],
    };
    let redacted = provenance::redacted(&origin(), &redacted);
    assert_eq!(code(&redacted, "/activity/coding/0/code"), "destroy");
    assert_eq!(code(&redacted, "/target/0/reference"), "Observation/o", "no version is left");
    assert_eq!(code(&redacted, "/reason/0/coding/0/code"), "order");
    assert_eq!(code(&redacted, "/agent/0/who/reference"), "Patient/ana");
    assert_eq!(code(&redacted, "/agent/2/type/coding/0/code"), "custodian");
}

fn terms() -> GrantTerms {
    GrantTerms {
        effect: Effect::Allow,
        grantee: Grantee::Member(CARL),
        compartments: CompartmentSet::all(),
        kinds: KindSet::all(),
        records: List::new(),
        purposes: PurposeSet::all(),
        window: Window { from: NOW, until: NOW.plus_ms(1_000) },
        accesses_max: None,
        separate_consent: false,
        onward: false,
    }
}

fn request_task(status: RequestStatus) -> Value {
    task::request(&Request {
        name: "r",
        id: RequestId([1; 16]),
        patient: "Patient/ana",
        member: CARL,
        organisation: CLINIC,
        terms: &terms(),
        meanings: &Meanings::default(),
        reason: RequestReason::Referral,
        at: NOW,
        until: NOW.plus_ms(1_000),
        status,
        consent: Some("Consent/g"),
    })
}

fn case_task(status: CaseStatus) -> Value {
    task::case(&Case {
        name: "c",
        id: CaseId([1; 16]),
        patient: "Patient/ana",
        organisation: CLINIC,
        kind: CaseKind::Amendment,
        record: Some(RECORD),
        opened_at: NOW,
        due: NOW.plus_ms(1_000),
        status,
    })
}

#[test]
fn statuses_of_requests_go_both_ways() {
    let refused = RefusalReason::ALL.iter().copied().map(RequestStatus::Refused);
    let others = [
        RequestStatus::Waits,
        RequestStatus::Given(GrantId([3; 16])),
        RequestStatus::Withdrawn,
        RequestStatus::Lapsed,
    ];
    for status in refused.chain(others) {
        let task = request_task(status);
        assert_eq!(task::request_status(task.to_string().as_bytes()), Ok(status), "{task}");
        assert_eq!(code(&task, "/restriction/period/end"), "2026-11-21T05:20:00.999Z");
    }
}

#[test]
fn statuses_of_cases_go_both_ways() {
    let denied = DenialGround::ALL.iter().copied().map(CaseStatus::Denied);
    let others = [CaseStatus::Waits, CaseStatus::Extended, CaseStatus::Late, CaseStatus::Accepted];
    for status in denied.chain(others) {
        let task = case_task(status);
        assert_eq!(task::case_status(task.to_string().as_bytes()), Ok(status), "{task}");
    }
}

#[test]
fn tasks_that_say_nothing_are_refused() {
    let of_request = TaskError::Status(
        "draft, requested, received, ready, completed, rejected, cancelled, failed",
    );
    let of_case = TaskError::Status("requested, received, in-progress, completed, rejected");
    let output = TaskError::Detail("Task.output with one Consent");
    let reason = TaskError::Detail("Task.statusReason");
    let grant = GrantId([3; 16]);
    for (more, fault) in [
        ("", of_request),
        (r#","status":7"#, of_request),
        (r#","status":"on-hold""#, of_request),
        (r#","status":"rejected""#, reason),
        (r#","status":"rejected","statusReason":{"coding":[{"code":"x"}]}"#, reason),
        (r#","status":"completed""#, output),
        (
            r#","status":"completed","output":[{"valueReference":{"reference":"Consent/g"}}]"#,
            output,
        ),
        (r#","status":"requested","status":"cancelled""#, TaskError::NotATask),
        (r#","status":"failed","x":{"a":1,"a":2}"#, TaskError::NotATask),
    ] {
        let task = format!(r#"{{"resourceType":"Task"{more}}}"#);
        assert_eq!(task::request_status(task.as_bytes()), Err(fault), "{task}");
        assert!(fault.to_string().contains("; "), "what to do next: {fault}");
    }
    let given = request_task(RequestStatus::Given(grant))["output"][0].to_string();
    let unknown = given.replace(&grant.to_string(), "zz");
    for outputs in [format!("{given},{given}"), unknown] {
        let task =
            format!(r#"{{"resourceType":"Task","status":"completed","output":[{outputs}]}}"#);
        assert_eq!(task::request_status(task.as_bytes()), Err(output), "{task}");
    }
    for (more, fault) in [
        (r#","status":"failed""#, of_case),
        (r#","status":"in-progress""#, TaskError::Detail("Task.businessStatus")),
        (r#","status":"rejected""#, reason),
    ] {
        let task = format!(r#"{{"resourceType":"Task"{more}}}"#);
        assert_eq!(task::case_status(task.as_bytes()), Err(fault), "{task}");
    }
    let deep = format!("{}{}", "[".repeat(99_999), "]".repeat(99_999));
    for other in ["", "null", "{", r#"{"resourceType":"Basic","status":"failed"}"#, &deep] {
        assert_eq!(task::request_status(other.as_bytes()), Err(TaskError::NotATask));
        assert_eq!(task::case_status(other.as_bytes()), Err(TaskError::NotATask));
    }
}

#[test]
fn a_task_is_read_up_to_its_limit() {
    let of_len = |len: usize| {
        let task = r#"{"resourceType":"Task","status":"failed"}"#;
        let task = task.to_owned() + &" ".repeat(len - task.len());
        task::request_status(task.as_bytes())
    };
    assert_eq!(of_len(TASK_BYTES_MAX), Ok(RequestStatus::Lapsed));
    assert_eq!(of_len(TASK_BYTES_MAX + 1), Err(TaskError::TooLarge));
}
