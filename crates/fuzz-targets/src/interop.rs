//! Targets of what other systems send: FHIR R4, HL7 v2 and C-CDA, and where their inputs begin.
//!
//! None of it carries a proof, so each target holds its decoder to what its module promises instead: what a
//! query finds has keys that it asks for, what is rewritten can be undone, a frame is the same however it was cut.
//!
//! Not here: `bundle`, which is beside the decoders of the ledger's own forms in [`crate::targets`].

use std::collections::BTreeMap;

use keepwell_ccda::{document::Document, map as ccda};
use keepwell_fhir::{
    classify::Sensitivity,
    export::{self, Asked, Level as Whose},
    facts::{
        consent::{
            CONSENT_BYTES_MAX, Grant, NOTES_MAX, RULES_MAX, Read, Reading, Setting, read, write,
        },
        security_label::Meanings,
    },
    header::{EntityTag, Prefer, TagList, http_date, instant, last_modified, parse_instant},
    interaction::{self, Id, Interaction, Method, ResourceType},
    outcome::{OUTCOME_BYTES_MAX, Outcome},
    parameters::Parameters,
    patch::Patch,
    search::{
        Entry, Handling, KEY_BYTES_MAX, Key, Options, Pool, Query, form, keys,
        shape::{Shape, shape},
    },
    splice::{Edited, with_id, with_meta},
    transaction::{
        self, Body, Limits, Submission,
        links::{Links, Resolved, Sent, conditions},
    },
};
use keepwell_hl7v2::{
    acknowledge::{self, Level, acknowledge},
    charset::CharacterSet,
    limits::UNMAPPED_MAX,
    map::{Mapped, Reception, map},
    message::{Envelope, Message},
    mllp::{self, Decoder, Event},
};
use keepwell_types::{
    access::Purpose,
    encoding::List,
    grant::{Effect, GrantTerms, Grantee},
    id::{Compartment, GrantId, Height, Location, MemberId, OrganisationId},
    set::{CompartmentSet, KindSet},
    time::{BlockTime, Window},
};
use serde_json::Value;

const BASE: &str = "https://keepwell.example/fhir";
const PATIENT: &str = "Patient/ana";
const POLICY: &str = "https://keepwell.example/policy";
const NOW_MS: u64 = 1_790_000_000_000;
const BYTES_MAX: usize = 16 * 1024 * 1024;
const FRAME_BYTES_MAX: usize = 4_096;

/// The first line is a search, `Type?query`; the rest is a resource.
pub fn fhir_search(bytes: &[u8]) -> bool {
    let Some((search, json)) = two_parts(bytes) else { return false };
    let (kind, query) = search.split_once('?').unwrap_or((search, ""));
    let Ok(pairs) = form::decode(query) else { return false };
    let options = Options { base: BASE, now_ms: NOW_MS, handling: Handling::Lenient };
    let query = match Query::parse(kind, &pairs, options) {
        Ok(query) => query,
        Err(errors) => {
            assert!(!errors.is_empty(), "a refusal says why");
            return false;
        }
    };
    let canonical = form::decode(&query.canonical()).expect("a canonical query is a form");
    let strict = Options { handling: Handling::Strict, ..options };
    let again = Query::parse(kind, &canonical, strict).expect("a canonical query is a query");
    assert_eq!(again.canonical(), query.canonical(), "a canonical query is its own");
    // Only what has each key once is stored, and so searched.
    if Body::parse(json.as_bytes(), BYTES_MAX).is_err() {
        return false;
    }
    let Ok(resource) = serde_json::from_str::<Value>(json) else { return false };
    let entry = Entry::new(&resource, "a", "2026-01-01T00:00:00Z");
    let held = keys(&entry, BASE);
    let is_short = |key: &Key| !matches!(key, Key::Text(text) if text.len() > KEY_BYTES_MAX);
    assert!(held.iter().all(|(_, key)| is_short(key)), "a key is short");
    if query.matches(&entry) {
        for (parameter, probes) in query.probes() {
            let mut own = held.iter().filter(|(name, _)| *name == parameter);
            let is_hit = own.any(|(_, key)| probes.iter().any(|probe| probe.hits(key)));
            assert!(is_hit, "what matches by {parameter} has a key that is asked for");
        }
    }
    let pool = Pool::new(vec![entry]);
    let mut places = query.select(&pool);
    query.sort(&pool, &mut places, |at| at);
    let _ = query.include(&pool, &places);
    for wanted in [&query.shape, &Shape::Summary, &Shape::Text, &Shape::Data] {
        if let Ok(Some(part)) = shape(json, wanted) {
            assert!(serde_json::from_str::<Value>(&part).is_ok(), "a part of a resource is JSON");
        }
    }
    true
}

/// The bytes are a batch or transaction, which is carried out as far as that needs no records.
pub fn fhir_transaction(bytes: &[u8]) -> bool {
    let limits = Limits { bytes_max: BYTES_MAX, entries_max: 500, base: Some(BASE) };
    let submission = match transaction::parse(bytes, &limits) {
        Ok(submission) => submission,
        Err(error) => {
            refused(error.into());
            return false;
        }
    };
    let mut order = submission.order();
    let (entries, sent) = match submission {
        Submission::Batch(entries) => (entries.into_iter().flatten().collect(), Sent::default()),
        Submission::Transaction(it) => {
            let sent = Sent::of(&it.entries);
            (it.entries, sent)
        }
    };
    order.sort_unstable();
    let places: Vec<_> = entries.iter().map(|entry| entry.index).collect();
    assert_eq!(order, places, "each entry is carried out once");
    let id: Id = "7".parse().expect("it is an id");
    let mut links = Links::default();
    for entry in &entries {
        if let (Some(full_url), Some(body)) = (&entry.full_url, entry.action.body()) {
            let resource_type = body.resource_type;
            links.name(full_url, Resolved { resource_type, id: id.clone(), version: Some(1) });
        }
    }
    for entry in &entries {
        let Some(body) = entry.action.body() else { continue };
        if let Ok(found) = conditions(body.json, Some(BASE)) {
            for (reference, condition) in found {
                let _ = sent.matching(&condition).count();
                links.resolve(&reference, condition.resource_type, id.clone());
            }
        }
        match links.rewrite(body.json, entry.full_url.as_deref()) {
            Ok(edited) => can_be_undone(&edited, body.json),
            Err(error) => refused(error.into()),
        }
        for edited in [with_id(body.json, &id), with_meta(body.json, 1, &instant(NOW_MS))] {
            edited.iter().for_each(|edited| can_be_undone(edited, body.json));
        }
    }
    true
}

fn can_be_undone(edited: &Edited, source: &str) {
    assert_eq!(edited.undo(), source, "what is edited can be undone");
    assert!(
        Body::parse(edited.json.as_bytes(), usize::MAX).is_ok(),
        "what is edited is a resource"
    );
}

/// The first line is a JSON Patch; the rest is a resource.
pub fn fhir_patch(bytes: &[u8]) -> bool {
    let Some((patch, json)) = two_parts(bytes) else { return false };
    let patch = match Patch::parse(patch.as_bytes()) {
        Ok(patch) => patch,
        Err(error) => {
            refused(error.into());
            return false;
        }
    };
    match patch.apply(json) {
        Ok(patched) => {
            let identity = |json: &str| {
                let body = Body::parse(json.as_bytes(), usize::MAX).ok()?;
                Some((body.resource_type, body.id))
            };
            assert_eq!(identity(&patched), identity(json), "a patch changes no identity");
            true
        }
        Err(error) => {
            refused(error.into());
            false
        }
    }
}

/// The first line is the query of an export; the rest is a resource, or its Parameters.
pub fn fhir_export(bytes: &[u8]) -> bool {
    let Some((query, json)) = two_parts(bytes) else { return false };
    let sent = Parameters::read(json.as_bytes()).ok().flatten();
    for (_, resource) in sent.iter().flat_map(|it| &it.resources) {
        assert!(json.contains(resource), "a resource stays the bytes that were sent");
    }
    let Ok(mut pairs) = form::decode(query) else { return false };
    pairs.extend(export::pairs_in(json.as_bytes()).unwrap_or_default());
    let read = |handling| {
        let (level, is_post) = (Whose::Patients, true);
        let options = export::Options { base: BASE, now_ms: NOW_MS, handling, level, is_post };
        Asked::parse(&pairs, options)
    };
    let (strict, lenient) = (read(Handling::Strict), read(Handling::Lenient));
    if let Ok(strict) = &strict {
        assert_eq!(
            Some(strict),
            lenient.as_ref().ok(),
            "handling changes nothing of what is served"
        );
        assert!(strict.ignored.is_empty(), "and nothing is left out of it");
    }
    let asked = match lenient {
        Ok(asked) => asked,
        Err(outcome) => {
            refused(outcome);
            return false;
        }
    };
    if let Ok(resource) = serde_json::from_str::<Value>(json) {
        let entry = Entry::new(&resource, "a", "2026-05-04T09:00:00.000Z");
        let is_met = asked.is_met_by(&entry);
        let of = entry.resource_type().parse().ok();
        assert!(is_met || of.is_some_and(|of| asked.narrows(of)), "nothing else leaves it out");
    }
    true
}

/// The bytes are the value of a header that FHIR gives a meaning to, or the first line of a request.
pub fn fhir_header(bytes: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(bytes) else { return false };
    let tags = TagList::parse("If-Match", text);
    if let Ok(tags) = &tags {
        for version in tags.versions() {
            let tag = EntityTag::of_version(version).to_string();
            assert!(tags.matches(Some(version)), "a version that is named matches");
            assert_eq!(EntityTag::of_version(version).version(), Some(version), "{tag}");
        }
    }
    let date = http_date(text, NOW_MS);
    if let Some(ms) = date {
        assert_eq!(
            http_date(&last_modified(ms), NOW_MS),
            Some(ms),
            "a date is written as it was read"
        );
    }
    let time = parse_instant("ifModifiedSince", text);
    if let Ok(ms) = time {
        assert_eq!(
            parse_instant("x", &instant(ms)),
            Ok(ms),
            "an instant is written as it was read"
        );
    }
    let request = request(text);
    if let Err(error) = &request {
        refused(error.clone().into());
    }
    let patient: ResourceType = "Patient".parse().expect("R4 has it");
    let condition = interaction::Query::if_none_exist(patient, text);
    assert!(condition.as_ref().is_ok_and(|it| it.is_condition()) || condition.is_err());
    let known = Prefer::parse(text).is_ok_and(|it| it != Prefer::default());
    tags.is_ok() || date.is_some() || time.is_ok() || request.is_ok() || condition.is_ok() || known
}

/// `GET Patient/1?_summary=text`.
fn request(text: &str) -> Result<Interaction, interaction::InteractionError> {
    let (method, url) = text.split_once(' ').unwrap_or((text, ""));
    let (path, query) = url.split_once('?').map_or((url, None), |(path, it)| (path, Some(it)));
    Interaction::parse(method.parse::<Method>()?, path, query)
}

/// What a client is told is a resource of its own, and short.
fn refused(outcome: Outcome) {
    let json = outcome.to_json();
    assert!((400..600).contains(&outcome.status().code()), "a refusal is no success: {json}");
    assert!(json.len() <= OUTCOME_BYTES_MAX, "an outcome is short");
}

/// The bytes are a Consent.
pub fn fhir_consent(bytes: &[u8]) -> bool {
    let reading = Reading {
        patient: PATIENT,
        meanings: &meanings(),
        separate_consent: separate(),
        policies: &[POLICY],
        now: BlockTime(NOW_MS),
        zone_minutes: 0,
        parties: &BTreeMap::new(),
        records: &BTreeMap::new(),
    };
    match read(bytes, &reading) {
        Ok(Read::Rules { rules, notes, .. }) => {
            assert!(bytes.len() <= CONSENT_BYTES_MAX, "a Consent is short");
            assert!(rules.len() <= RULES_MAX && notes.len() <= NOTES_MAX, "lists are bounded");
            assert!(rules.iter().all(|it| it.window.from < it.window.until), "a grant has a time");
            true
        }
        Ok(Read::Ended { .. }) => true,
        Err(error) => {
            assert!(
                !error.at.is_empty() && !error.fault.to_string().is_empty(),
                "a refusal says why"
            );
            false
        }
    }
}

/// The bytes are a message; what it is in FHIR is a transaction that `keepwell_fhir` takes.
pub fn hl7v2_message(bytes: &[u8]) -> bool {
    let message = match Message::parse(bytes, CharacterSet::Utf8) {
        Ok(message) => message,
        Err(refused) => {
            let outcome = acknowledge::Outcome::of(&refused.refusal);
            refused.envelope.iter().for_each(|envelope| is_answered(bytes, envelope, &outcome));
            return false;
        }
    };
    assert_eq!(message.bytes(), bytes, "a message stays as it came");
    let reception = Reception {
        namespace: "https://hospital.example/feed",
        received_ms: NOW_MS,
        zone: None,
        digest: [0; 32],
        name: &|number| u128::from(number).to_be_bytes(),
    };
    let mapped = map(&message, &reception);
    let outcome = match &mapped {
        Ok(_) => acknowledge::Outcome::Accepted,
        Err(refusal) => acknowledge::Outcome::of(refusal),
    };
    is_answered(bytes, message.envelope(), &outcome);
    if let Ok(Mapped::Record(record)) = &mapped {
        assert!(record.unmapped.len() <= UNMAPPED_MAX, "lists are bounded");
        let bundle = record.bundle.to_string();
        let limits = Limits { bytes_max: usize::MAX, entries_max: usize::MAX, base: None };
        let submission = transaction::parse(bundle.as_bytes(), &limits);
        assert!(matches!(submission, Ok(Submission::Transaction(_))), "{:?}", submission.err());
    }
    mapped.is_ok()
}

/// The bytes are a C-CDA document; what it is in FHIR is a transaction that `keepwell_fhir` takes.
pub fn ccda_document(bytes: &[u8]) -> bool {
    let Ok(document) = Document::read(bytes) else { return false };
    let (born, written) = (document.birth_date(), document.written_at());
    let whose = document.patient_identifiers();
    let mut is_mapped = false;
    for is_newest in [true, false] {
        let reception = ccda::Reception {
            received_ms: NOW_MS,
            digest: [0; 32],
            name: &|number| u128::from(number).to_be_bytes(),
            is_newest,
            known_by: 0,
        };
        let Ok(record) = ccda::map(&document, &reception) else { continue };
        assert!(whose.as_ref().is_ok_and(|it| !it.is_empty()), "what is mapped is of somebody");
        let bundle = record.bundle.to_string();
        let limits = Limits { bytes_max: usize::MAX, entries_max: usize::MAX, base: None };
        let submission = transaction::parse(bundle.as_bytes(), &limits);
        let Ok(Submission::Transaction(sent)) = submission else {
            panic!("it is no transaction: {:?}", submission.err())
        };
        let original = sent.entries.iter().find(|it| it.index == record.original);
        assert!(original.is_some(), "the document itself is kept");
        is_mapped = true;
    }
    for date in born.iter().chain(&written) {
        assert!(!ccda::is_later(date, date), "nothing is later than itself");
    }
    is_mapped
}

/// An answer can be framed, if its message could.
fn is_answered(message: &[u8], envelope: &Envelope, outcome: &acknowledge::Outcome) {
    let is_framed = mllp::encode(message).is_some();
    for level in [Level::Accept, Level::Application] {
        if let Some(answer) = acknowledge(envelope, level, outcome, "1", NOW_MS) {
            assert!(
                !is_framed || mllp::encode(&answer).is_some(),
                "an answer holds a byte of its frame"
            );
        }
    }
}

/// The first byte says into how long pieces the network cuts the rest, which are the bytes of a connection.
pub fn mllp(bytes: &[u8]) -> bool {
    let Some((piece_bytes, bytes)) = bytes.split_first() else { return false };
    let whole = events([bytes].into_iter());
    let cut = events(bytes.chunks(usize::from(*piece_bytes).max(1)));
    assert_eq!(whole, cut, "frames are the same wherever the network cut them");
    let frames = whole.iter().filter_map(|event| match event {
        Event::Frame(frame) => Some(frame),
        Event::Fault(_) => None,
    });
    let mut count = 0;
    for frame in frames {
        assert!(frame.len() <= FRAME_BYTES_MAX, "a frame is no longer than it may be");
        let again = mllp::encode(frame).map(|it| events([it.as_slice()].into_iter()));
        assert!(
            again.is_none_or(|it| it == [Event::Frame(frame.clone())]),
            "a frame is read again"
        );
        count += 1;
    }
    count > 0
}

fn events<'b>(pieces: impl Iterator<Item = &'b [u8]>) -> Vec<Event> {
    let mut decoder = Decoder::new(FRAME_BYTES_MAX);
    let mut events = Vec::new();
    for mut piece in pieces {
        while let Some(event) = decoder.next(&mut piece) {
            events.push(event);
        }
    }
    events.extend(std::iter::from_fn(|| decoder.quiet()));
    events
}

/// What stands before the first line feed, and what behind it.
fn two_parts(bytes: &[u8]) -> Option<(&str, &str)> {
    str::from_utf8(bytes).ok()?.split_once('\n')
}

fn meanings() -> Meanings {
    let pairs: Vec<_> = Compartment::all().zip(Sensitivity::ALL).collect();
    Meanings::new(&pairs).expect("each stands once")
}

fn separate() -> CompartmentSet {
    [7, 8, 14, 15].into_iter().filter_map(Compartment::new).collect()
}

/// Where the inputs of each target begin.
pub(crate) fn seeds() -> [(&'static str, Vec<Vec<u8>>); 9] {
    [
        ("ccda_document", documents()),
        ("fhir_consent", consents()),
        ("fhir_export", lines(EXPORTS)),
        ("fhir_header", lines(HEADERS)),
        ("fhir_patch", lines(PATCHES)),
        ("fhir_search", lines(SEARCHES)),
        ("fhir_transaction", transactions()),
        ("hl7v2_message", messages()),
        ("mllp", frames()),
    ]
}

fn lines(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|it| it.as_bytes().to_vec()).collect()
}

const SEARCHES: &[&str] = &[
    "Patient?family:exact=M%C3%BCller&identifier=urn:mrn|7&birthdate=ge1980&_sort=-birthdate&_summary=true
{\"resourceType\":\"Patient\",\"name\":[{\"family\":\"M\u{fc}ller\",\"given\":[\"Ana\"]}],\"birthDate\":\"1980-02-29\",\"identifier\":[{\"system\":\"urn:mrn\",\"value\":\"7\",\"type\":{\"coding\":[{\"system\":\"urn:t\",\"code\":\"MR\"}]}}]}",
    "Observation?code-value-quantity=bp$gt5.4&subject=Patient/1&date=2026-05&status:not=final&_include=*
{\"resourceType\":\"Observation\",\"status\":\"amended\",\"code\":{\"coding\":[{\"code\":\"bp\"}],\"text\":\"BP\"},\"subject\":{\"reference\":\"Patient/1/_history/2\"},\"effectivePeriod\":{\"start\":\"2026-05-01\",\"end\":\"2026-05-02T08:00:00+02:00\"},\"valueQuantity\":{\"value\":5.50,\"code\":\"mg\"}}",
    "QuestionnaireResponse?questionnaire=http://s.example/q&subject:Patient.name=a&_has:Provenance:target:agent=1
{\"resourceType\":\"QuestionnaireResponse\",\"questionnaire\":\"http://s.example/q|1\",\"subject\":{\"reference\":\"urn:uuid:AB\"}}",
];

const EXPORTS: &[&str] = &[
    "_type=Patient,Observation&_since=2026-01-01T00:00:00Z&_typeFilter=Observation%3Fstatus%3Dfinal,Observation%3Fcode%3Da%252Cb&_elements=id,Patient.name
{\"resourceType\":\"Observation\",\"status\":\"final\",\"code\":{\"coding\":[{\"code\":\"a\"}]}}",
    "_outputFormat=application/fhir+ndjson&_until=2026-01-01T00:00:00.5%2B01:00&includeAssociatedData=a
{\"resourceType\":\"Parameters\",\"parameter\":[{\"name\":\"patient\",\"valueReference\":{\"reference\":\"Patient/1\"}},{\"name\":\"_type\",\"valueString\":\"Nothing\"}]}",
];

const PATCHES: &[&str] = &[
    "[{\"op\":\"test\",\"path\":\"/active\",\"value\":true},{\"op\":\"replace\",\"path\":\"/active\",\"value\":false},{\"op\":\"add\",\"path\":\"/name/-\",\"value\":{\"family\":\"B\"}}]
{\"resourceType\":\"Patient\",\"id\":\"a\",\"active\":true,\"name\":[{\"family\":\"A\"}],\"multipleBirthInteger\":2}",
    "[{\"op\":\"copy\",\"from\":\"/a~1b\",\"path\":\"/c\"},{\"op\":\"move\",\"from\":\"/c/0\",\"path\":\"/d\"},{\"op\":\"remove\",\"path\":\"/a~1b\"}]
{\"resourceType\":\"Basic\",\"a/b\":[1.50,1e400]}",
];

const HEADERS: &[&str] = &[
    "W/\"3\", \"4\"",
    "*",
    "return=representation; a=\"b, c\", handling=strict, respond-async",
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Sunday, 06-Nov-94 08:49:37 GMT",
    "Sun Nov  6 08:49:37 1994",
    "2015-02-07T13:28:17.239+02:00",
    "Patient?identifier=urn:mrn%7C7",
    "GET Patient/1/_history/2?_summary=text",
    "POST Patient/1/Condition/_search?code=a",
];

fn transactions() -> Vec<Vec<u8>> {
    let patch = "W3sib3AiOiJyZW1vdmUiLCJwYXRoIjoiL2FjdGl2ZSJ9XQ==";
    let transaction = format!(
        r##"{{"resourceType":"Bundle","type":"transaction","entry":[
{{"fullUrl":"urn:uuid:A","resource":{{"resourceType":"Patient","identifier":[{{"system":"urn:mrn","value":"7"}}]}},"request":{{"method":"POST","url":"Patient","ifNoneExist":"identifier=urn:mrn|7"}}}},
{{"fullUrl":"https://s.example/Observation/1","resource":{{"resourceType":"Observation","id":"1","text":{{"div":"<a href=\"urn:uuid:a\">\u0061</a>"}},"subject":{{"reference":"urn:uuid:a"}},"encounter":{{"reference":"Encounter?identifier=urn:v|1"}},"derivedFrom":[{{"reference":"Observation/1/_history/1"}},{{"reference":"#c"}}]}},"request":{{"method":"PUT","url":"Observation/1","ifMatch":"W/\"3\""}}}},
{{"resource":{{"resourceType":"Binary","contentType":"application/json-patch+json","data":"{patch}"}},"request":{{"method":"PATCH","url":"{BASE}/Patient/2"}}}},
{{"request":{{"method":"DELETE","url":"Condition?identifier=a|b"}}}},
{{"request":{{"method":"GET","url":"Patient/3?_summary=text","ifNoneMatch":"W/\"1\""}}}}]}}"##
    );
    let batch = transaction.replace("\"transaction\"", "\"batch\"");
    let generated = keepwell_fhir::synthetic::Synthetic::new(2).patient(0, NOW_MS);
    let entries = generated["entry"].as_array().into_iter().flatten().take(4).map(|entry| {
        let (url, resource) = (&entry["fullUrl"], &entry["resource"]);
        let of = &resource["resourceType"];
        format!(
            r#"{{"fullUrl":{url},"resource":{resource},"request":{{"method":"POST","url":{of}}}}}"#
        )
    });
    let entries = entries.collect::<Vec<_>>().join(",");
    let whole = format!(r#"{{"resourceType":"Bundle","type":"transaction","entry":[{entries}]}}"#);
    [transaction, batch, whole].map(String::into_bytes).to_vec()
}

fn consents() -> Vec<Vec<u8>> {
    let terms = GrantTerms {
        effect: Effect::Allow,
        grantee: Grantee::Member(MemberId([4; 16])),
        compartments: CompartmentSet::all().without(separate()),
        kinds: KindSet::all(),
        records: List::new(),
        purposes: [Purpose::Treatment].into_iter().collect(),
        window: Window { from: BlockTime(NOW_MS), until: BlockTime(NOW_MS + 86_400_000) },
        accesses_max: None,
        separate_consent: false,
        onward: false,
    };
    let limited = GrantTerms {
        grantee: Grantee::Organisation(OrganisationId([3; 16])),
        compartments: Compartment::all().take(2).collect(),
        ..terms.clone()
    };
    let forbidden = GrantTerms { effect: Effect::Deny, ..limited.clone() };
    [(terms, None), (limited.clone(), None), (limited, Some(NOW_MS)), (forbidden, None)]
        .map(|(terms, revoked_ms)| consent(&terms, revoked_ms).to_string().into_bytes())
        .to_vec()
}

fn consent(terms: &GrantTerms, revoked_ms: Option<u64>) -> Value {
    let grant = Grant {
        name: "g",
        id: GrantId([5; 16]),
        terms,
        given_at: BlockTime(NOW_MS),
        location: Location { height: Height(7), index: 2 },
        revoked_at: revoked_ms.map(BlockTime),
        accesses_used: 0,
        passed_from: None,
    };
    let setting = Setting {
        patient: PATIENT,
        organisation: OrganisationId([3; 16]),
        meanings: &meanings(),
        separate_consent: separate(),
        policy: POLICY,
        now: BlockTime(NOW_MS),
    };
    write(&grant, &setting).expect("the terms can be written").consent
}

fn messages() -> Vec<Vec<u8>> {
    let person = "PID|1||7^^^HOSP&1.2.3&ISO^MR||M\u{fc}ller^Ana^Maria||19800229|F|||1 Main St^^Town^ST^02139\r";
    let of = |event: &str, segments: &str| {
        let head = format!(
            "MSH|^~\\&|A|B|C|D|20260430120000+0100||{event}|1|P|2.5|||AL|AL||UNICODE UTF-8\r"
        );
        format!("{head}{segments}").into_bytes()
    };
    vec![
        of(
            "ADT^A01^ADT_A01",
            &format!(
                "EVN|A01|20260430\r{person}PV1|1|I|W^1^2||||1^Doe^Jo|||||||||||V1\rAL1|1|DA|1^Nuts^L|SV\r"
            ),
        ),
        of("ADT^A40", &format!("EVN|A40|20260430\r{person}MRG|8^^^HOSP&1.2.3&ISO^MR\r")),
        of(
            "ORU^R01",
            &format!(
                "{person}OBR|1|P1|F1|24331-1^Lipids^LN|||202604300800\rOBX|1|NM|8480-6^Systolic^LN||<120|mm[Hg]|90-140|N|||F|||20260430\rNTE|1||a\\.br\\b\r"
            ),
        ),
    ]
}

fn documents() -> Vec<Vec<u8>> {
    let of = |sections: &str| {
        format!(
            r#"<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<templateId root="2.16.840.1.113883.10.20.22.1.1"/><id root="1.2.3.4" extension="d"/>
<code code="34133-9" codeSystem="2.16.840.1.113883.6.1"/><effectiveTime value="20200102030405-0500"/>
<confidentialityCode code="R" codeSystem="2.16.840.1.113883.5.25"/>
<recordTarget><patientRole><id root="1.2.3.5" extension="7"/><telecom value="tel:1" use="HP"/>
<patient><name><given>Ana</given><family>M&#xfc;ller</family></name>
<administrativeGenderCode code="F" codeSystem="2.16.840.1.113883.5.1"/><birthTime value="19800229"/></patient>
</patientRole></recordTarget><component><structuredBody>{sections}</structuredBody></component></ClinicalDocument>"#
        )
        .into_bytes()
    };
    let results = r#"<component><section><templateId root="2.16.840.1.113883.10.20.22.2.3.1"/><code code="30954-2"
codeSystem="2.16.840.1.113883.6.1"/><text><table><tr><td ID="r">Sodium</td></tr></table></text><entry>
<organizer classCode="BATTERY" moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.22.4.1"/><id root="1.2.3.6"/>
<code code="24321-2" codeSystem="2.16.840.1.113883.6.1"/><statusCode code="completed"/><component>
<observation classCode="OBS" moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.22.4.2"/><id nullFlavor="UNK"/>
<code code="2951-2" codeSystem="2.16.840.1.113883.6.1"><originalText><reference value="r"/></originalText></code>
<statusCode code="completed"/><effectiveTime value="2020"/><value xsi:type="PQ" value="1.40" unit="mmol/L"/>
</observation></component></organizer></entry></section></component>"#;
    vec![of(""), of(results)]
}

/// Two messages after each other, one after garbage, and one that was cut; each cut in its own way.
fn frames() -> Vec<Vec<u8>> {
    let message = messages().remove(0);
    let frame = mllp::encode(&message).expect("it holds no byte of a frame");
    let whole = [&[0][..], &frame, &frame].concat();
    let garbage = [&[3][..], b"HTTP/1.1", &frame].concat();
    let cut = [&[1][..], &frame[..20], &frame, &[0x0b, 0x1c]].concat();
    vec![whole, garbage, cut]
}
