//! Small documents of our own, and what they are in FHIR.

use keepwell_ccda::{
    document::Document,
    map::{Reception, Record, Why, is_later, map},
    refusal::Refusal,
};
use serde_json::Value;

const NAMES: &dyn Fn(u32) -> [u8; 16] = &|number| {
    let mut name = [0; 16];
    name[12..].copy_from_slice(&number.to_be_bytes());
    name
};

fn reception() -> Reception<'static> {
    Reception { received_ms: 0, digest: [7; 32], name: NAMES, is_newest: true, known_by: 0 }
}

/// A document with a header of `header` and one section of `kind` (a template) with `entries`.
fn document(header: &str, kind: &str, entries: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<ClinicalDocument xmlns="urn:hl7-org:v3" xmlns:sdtc="urn:hl7-org:sdtc"
    xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <templateId root="2.16.840.1.113883.10.20.22.1.1" extension="2015-08-01"/>
  <id root="1.2.3.4" extension="doc-1"/>
  <code code="34133-9" codeSystem="2.16.840.1.113883.6.1" displayName="Summarization"/>
  <title>Summary</title>
  <effectiveTime value="20200102030405-0500"/>
  {header}
  <recordTarget><patientRole>
    <id root="1.2.3.5" extension="P1"/>
    <addr use="HP"><streetAddressLine>1 Road</streetAddressLine><city>Town</city></addr>
    <patient><name use="L"><given>Ada</given><family>Byron</family></name>
      <administrativeGenderCode code="F" codeSystem="2.16.840.1.113883.5.1"/>
      <birthTime value="19700301"/></patient>
  </patientRole></recordTarget>
  <component><structuredBody><component><section>
    <templateId root="2.16.840.1.113883.10.20.22.2.{kind}"/>
    <text><list><item ID="said">As <b>written</b> <script>alert(1)</script>there</item></list></text>
    {entries}
  </section></component></structuredBody></component>
</ClinicalDocument>"#
    )
}

fn record(xml: &str) -> Record {
    let document = Document::read(xml.as_bytes()).expect(xml);
    map(&document, &reception()).expect("it is mapped")
}

fn resources<'r>(record: &'r Record, of: &str) -> Vec<&'r Value> {
    let entries = record.bundle["entry"].as_array().expect("it has entries");
    let all = entries.iter().map(|it| &it["resource"]);
    all.filter(|it| it["resourceType"] == of).collect()
}

/// Statements of a section of `kind`, one a line, and for each what comes of it: `Type /pointer=value ..`, or the reason
/// why nothing does.
fn check(kind: &str, table: &[(&str, &str)]) {
    for (statement, expected) in table {
        let record = record(&document("", kind, &format!("<entry>{statement}</entry>")));
        let (first, facts) = expected.split_once(' ').unwrap_or((expected, ""));
        if facts.is_empty() {
            let whys: Vec<_> = record.sections[0].left.iter().map(|(_, why)| *why).collect();
            let found = format!("{whys:?}");
            assert_eq!(found, format!("[{first}]"), "{statement}");
            let made = record.bundle["entry"].as_array().expect("entries").len();
            assert_eq!(made, 4, "a patient, the original twice, and its Provenance: {statement}");
            continue;
        }
        let found = resources(&record, first);
        assert_eq!(found.len(), 1, "{statement}: {record:#?}");
        for fact in facts.split("; ") {
            let (pointer, value) = fact.split_once('=').expect("pointer=value");
            let there = found[0].pointer(pointer.trim());
            let there = there.map(|it| it.as_str().map_or_else(|| it.to_string(), str::to_owned));
            let value = if value == "-" { None } else { Some(value.to_owned()) };
            assert_eq!(there, value, "{pointer} of {statement}: {:#}", found[0]);
        }
    }
}

fn allergy(act: &str, observation: &str) -> String {
    format!(
        r#"<act classCode="ACT" moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.22.4.30"/>{act}
        <entryRelationship typeCode="SUBJ">{observation}</entryRelationship></act>"#
    )
}

fn allergen(attributes: &str, kind: &str, allergen: &str, more: &str) -> String {
    allergy(
        r#"<statusCode code="active"/>"#,
        &format!(
            r#"<observation classCode="OBS" moodCode="EVN" {attributes}>
            <templateId root="2.16.840.1.113883.10.20.22.4.7"/><id root="1.2.3.6" extension="a"/>
            <effectiveTime><low value="200805"/></effectiveTime>
            <value xsi:type="CD" code="{kind}" codeSystem="2.16.840.1.113883.6.96"/>
            <participant typeCode="CSM"><participantRole><playingEntity>{allergen}</playingEntity>
            </participantRole></participant>{more}</observation>"#
        ),
    )
}

const PENICILLIN: &str = r##"<code code="70618" codeSystem="2.16.840.1.113883.6.88" displayName="Penicillin"><originalText><reference value="#said"/></originalText><translation code="x" codeSystem="1.2.9"/></code>"##;

#[test]
fn allergies_keep_their_sense() {
    let reaction = |attributes: &str| {
        format!(
            r#"<entryRelationship typeCode="MFST" inversionInd="true"><observation {attributes}>
            <templateId root="2.16.840.1.113883.10.20.22.4.9"/>
            <value xsi:type="CD" code="247472004" codeSystem="2.16.840.1.113883.6.96"/>
            <entryRelationship><observation><templateId root="2.16.840.1.113883.10.20.22.4.8"/>
            <value xsi:type="CD" code="24484000" codeSystem="2.16.840.1.113883.6.96"/>
            </observation></entryRelationship></observation></entryRelationship>"#
        )
    };
    let null = r#"<code nullFlavor="NA"/>"#;
    check(
        "6.1",
        &[
            (
                &allergen("", "416098002", PENICILLIN, &reaction("")),
                "AllergyIntolerance /code/coding/0/code=70618; /code/coding/0/system=http://www.nlm.nih.gov/research/umls/rxnorm; /code/coding/1/system=urn:oid:1.2.9; /code/text=As written alert(1) there; /clinicalStatus/coding/0/code=active; /verificationStatus/coding/0/code=confirmed; /type=allergy; /category/0=medication; /onsetDateTime=2008-05; /reaction/0/manifestation/0/coding/0/code=247472004; /reaction/0/severity=severe",
            ),
            (
                &allergen("", "416098002", PENICILLIN, &reaction("negationInd=\"true\"")),
                "AllergyIntolerance /verificationStatus/coding/0/code=confirmed; /reaction=-",
            ),
            (
                &allergen("negationInd=\"true\"", "416098002", PENICILLIN, &reaction("")),
                "AllergyIntolerance /verificationStatus/coding/0/code=refuted; /clinicalStatus/coding/0/code=inactive; /reaction=-",
            ),
            (
                &allergen("negationInd=\"true\"", "419199007", null, ""),
                "AllergyIntolerance /code/coding/0/code=716186003; /verificationStatus/coding/0/code=confirmed; /category=-",
            ),
            (
                &allergen("negationInd=\"true\"", "416098002", null, ""),
                "AllergyIntolerance /code/coding/0/code=409137002",
            ),
            (&allergen("negationInd=\"true\"", "716186003", null, ""), "Negated"),
            (
                &allergen("", "716186003", null, ""),
                "AllergyIntolerance /code/coding/0/code=716186003",
            ),
            (&allergen("", "419199007", null, ""), "NoCode"),
            (&allergen("nullFlavor=\"NI\"", "419199007", PENICILLIN, ""), "Absent"),
            (
                &allergen("", "419199007", PENICILLIN, "<subject><relatedSubject/></subject>"),
                "OtherSubject",
            ),
            (
                &allergen("", "419199007", PENICILLIN, "")
                    .replace("<statusCode code=\"active\"/>", "<statusCode code=\"nullified\"/>"),
                "AllergyIntolerance /verificationStatus/coding/0/code=entered-in-error; /clinicalStatus=-",
            ),
            (
                &allergen("", "419199007", PENICILLIN, "").replace(
                    "<observation classCode=\"OBS\" moodCode=\"EVN\"",
                    "<observation moodCode=\"INT\"",
                ),
                "Mood",
            ),
        ],
    );
}

#[test]
fn problems_keep_their_sense() {
    let problem = |attributes: &str, concern: &str, time: &str, value: &str| {
        format!(
            r#"<act moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.22.4.3"/>
            <statusCode code="{concern}"/><entryRelationship typeCode="SUBJ">
            <observation moodCode="EVN" {attributes}>
            <templateId root="2.16.840.1.113883.10.20.22.4.4"/><id root="1.2.3.6" extension="p"/>
            <statusCode code="completed"/><effectiveTime>{time}</effectiveTime>{value}</observation>
            </entryRelationship></act>"#
        )
    };
    let asthma = r#"<value xsi:type="CD" code="195967001" codeSystem="2.16.840.1.113883.6.96" displayName="Asthma"/>"#;
    let any = r#"<value xsi:type="CD" code="55607006" codeSystem="2.16.840.1.113883.6.96"/>"#;
    let low = "<low value=\"20100203\"/>";
    let absent = r#"<value xsi:type="CD" code="195967001" codeSystem="2.16.840.1.113883.6.96"><qualifier><name code="408729009"/><value code="410516002"/></qualifier></value>"#;
    let status = |code: &str| {
        format!(
            r#"{asthma}<entryRelationship><observation><templateId root="2.16.840.1.113883.10.20.22.4.6"/>
            <value xsi:type="CD" code="{code}"/></observation></entryRelationship>"#
        )
    };
    let ended = "<low value=\"2010\"/><high value=\"20120101\"/>";
    let no = "negationInd=\"true\"";
    check(
        "5.1",
        &[
            (
                &problem("", "active", low, asthma),
                "Condition /clinicalStatus/coding/0/code=active; /verificationStatus/coding/0/code=confirmed; /onsetDateTime=2010-02-03; /category/0/coding/0/code=problem-list-item; /code/text=Asthma",
            ),
            (
                &problem("", "completed", low, asthma),
                "Condition /clinicalStatus/coding/0/code=inactive",
            ),
            (
                &problem("", "active", ended, asthma),
                "Condition /clinicalStatus/coding/0/code=resolved; /abatementDateTime=2012-01-01; /onsetDateTime=2010",
            ),
            (
                &problem("", "active", ended, &status("55561003")),
                "Condition /clinicalStatus/coding/0/code=active; /abatementDateTime=-",
            ),
            (
                &problem("", "active", "<high nullFlavor=\"UNK\"/>", asthma),
                "Condition /clinicalStatus/coding/0/code=resolved; /_abatementDateTime/extension/0/valueCode=unknown",
            ),
            (
                &problem("", "active", low, &status("413322009")),
                "Condition /clinicalStatus/coding/0/code=resolved",
            ),
            (
                &problem(no, "active", low, asthma),
                "Condition /verificationStatus/coding/0/code=refuted; /clinicalStatus/coding/0/code=inactive",
            ),
            (
                &problem("negationInd=\"1\"", "active", low, asthma),
                "Condition /verificationStatus/coding/0/code=refuted",
            ),
            (
                &problem("negationInd=\"yes\"", "active", low, asthma),
                "Condition /verificationStatus/coding/0/code=refuted",
            ),
            (
                &problem(no, "active", low, any),
                "Condition /code/coding/0/code=160245001; /verificationStatus/coding/0/code=confirmed",
            ),
            (
                &problem("", "nullified", low, asthma),
                "Condition /verificationStatus/coding/0/code=entered-in-error; /clinicalStatus=-",
            ),
            (
                &problem("", "active", "<low value=\"00000000\"/>", asthma),
                "Condition /onsetDateTime=-",
            ),
            (&problem("", "active", low, absent), "NoCode"),
            (&problem("", "active", low, "<value xsi:type=\"CD\" nullFlavor=\"UNK\"/>"), "NoCode"),
            (&problem("", "active", low, ""), "NoCode"),
            (
                &problem(no, "active", low, asthma)
                    .replace("<act moodCode=\"EVN\"", "<act negationInd=\"true\""),
                "Negated",
            ),
        ],
    );
}

fn medication(attributes: &str, inside: &str) -> String {
    format!(
        r#"<substanceAdministration {attributes}><templateId root="2.16.840.1.113883.10.20.22.4.16"/>
        <id root="1.2.3.6" extension="m"/><statusCode code="active"/>{inside}<consumable>
        <manufacturedProduct><manufacturedMaterial><code code="314076" codeSystem="2.16.840.1.113883.6.88"/>
        </manufacturedMaterial></manufacturedProduct></consumable></substanceAdministration>"#
    )
}

#[test]
fn medications_are_taken_or_meant_or_not() {
    let times = r#"<effectiveTime xsi:type="IVL_TS"><low value="20200101"/></effectiveTime><effectiveTime xsi:type="PIVL_TS" operator="A"><period value="6" unit="h"/></effectiveTime><routeCode code="C38288" codeSystem="2.16.840.1.113883.3.26.1.1"/><doseQuantity value="1.50" unit="mg"/>"#;
    let two = r#"<effectiveTime xsi:type="PIVL_TS"><period value="6" unit="h"/></effectiveTime><effectiveTime xsi:type="EIVL_TS"><event code="HS"/></effectiveTime>"#;
    let event = r#"<effectiveTime xsi:type="EIVL_TS"><event code="ACM"/><offset><low value="1" unit="h"/></offset></effectiveTime>"#;
    let range = r#"<effectiveTime xsi:type="PIVL_TS"><period xsi:type="IVL_PQ"><low value="4" unit="h"/><high value="6" unit="h"/></period></effectiveTime><precondition/><doseQuantity><low value="1"/><high value="2"/></doseQuantity><maxDoseQuantity><numerator value="6" unit="mg"/><denominator value="1" unit="d"/></maxDoseQuantity>"#;
    let negative =
        r#"<effectiveTime xsi:type="PIVL_TS"><period value="-6" unit="h"/></effectiveTime>"#;
    let huge = r#"<doseQuantity value="99999999999999999999999999999999999999999999999999999999999999999"/>"#;
    check(
        "1.1",
        &[
            (
                &medication("moodCode=\"EVN\"", times),
                "MedicationStatement /status=active; /effectivePeriod/start=2020-01-01; /dosage/0/timing/repeat/frequency=1; /dosage/0/timing/repeat/period=6; /dosage/0/timing/repeat/periodUnit=h; /dosage/0/route/coding/0/code=C38288; /dosage/0/doseAndRate/0/doseQuantity/value=1.50; /dosage/0/doseAndRate/0/doseQuantity/system=http://unitsofmeasure.org",
            ),
            (
                &medication("moodCode=\"EVN\" negationInd=\"true\"", times),
                "MedicationStatement /status=not-taken",
            ),
            (
                &medication("moodCode=\"INT\"", times),
                "MedicationRequest /status=active; /intent=plan; /doNotPerform=-; /dosageInstruction/0/timing/repeat/boundsPeriod/start=2020-01-01",
            ),
            (
                &medication("moodCode=\"INT\" negationInd=\"true\"", times),
                "MedicationRequest /doNotPerform=true",
            ),
            (&medication("moodCode=\"EVN\"", two), "MedicationStatement /dosage=-"),
            (
                &medication("moodCode=\"INT\"", event),
                "MedicationRequest /dosageInstruction/0/timing/repeat/when/0=ACM; /dosageInstruction/0/timing/repeat/offset=60",
            ),
            (
                &medication("moodCode=\"INT\"", range),
                "MedicationRequest /dosageInstruction/0/timing/repeat/period=4; /dosageInstruction/0/timing/repeat/periodMax=6; /dosageInstruction/0/asNeededBoolean=true; /dosageInstruction/0/doseAndRate/0/doseRange/high/value=2; /dosageInstruction/0/maxDosePerPeriod/denominator/code=d",
            ),
            (&medication("moodCode=\"INT\"", negative), "MedicationRequest /dosageInstruction=-"),
            (&medication("moodCode=\"EVN\"", huge), "MedicationStatement /dosage=-"),
            (&medication("moodCode=\"PRMS\"", ""), "Mood"),
            (
                &medication("moodCode=\"EVN\"", "").replace("code=\"314076\"", "nullFlavor=\"NI\""),
                "NoCode",
            ),
            (
                &medication("moodCode=\"EVN\" negationInd=\"true\"", "")
                    .replace("code=\"314076\"", "nullFlavor=\"NI\""),
                "MedicationStatement /status=unknown; /medicationCodeableConcept/coding/0/code=787481004",
            ),
        ],
    );
}

#[test]
fn immunizations_and_procedures_are_done_or_not() {
    let immunization = |attributes: &str, status: &str| {
        medication(attributes, "<effectiveTime value=\"202001021530-0500\"/>")
            .replace("4.16\"", "4.52\"")
            .replace("active", status)
    };
    check(
        "2.1",
        &[
            (
                &immunization("moodCode=\"EVN\"", "completed"),
                "Immunization /status=completed; /occurrenceDateTime=2020-01-02T15:30:00-05:00",
            ),
            (
                &immunization("moodCode=\"EVN\" negationInd=\"true\"", "completed"),
                "Immunization /status=not-done",
            ),
            (&immunization("moodCode=\"EVN\"", "active"), "Status"),
            (&immunization("moodCode=\"INT\"", "completed"), "Mood"),
        ],
    );
    let procedure = |attributes: &str, status: &str| {
        format!(
            r#"<procedure {attributes}><templateId root="2.16.840.1.113883.10.20.22.4.14"/>
            <code code="73761001" codeSystem="2.16.840.1.113883.6.96"/><statusCode code="{status}"/>
            <effectiveTime><low value="2012"/><high value="2013"/></effectiveTime></procedure>"#
        )
    };
    check(
        "7.1",
        &[
            (
                &procedure("moodCode=\"EVN\"", "completed"),
                "Procedure /status=completed; /performedPeriod/start=2012",
            ),
            (
                &procedure("moodCode=\"EVN\" negationInd=\"true\"", "completed"),
                "Procedure /status=not-done",
            ),
            (&procedure("moodCode=\"EVN\"", "aborted"), "Procedure /status=stopped"),
            (&procedure("moodCode=\"INT\"", "active"), "Mood"),
            (&procedure("moodCode=\"EVN\"", "whatever"), "Status"),
            (
                &procedure("moodCode=\"INT\"", "active").replace("4.14", "4.41"),
                "ServiceRequest /intent=plan; /status=active; /doNotPerform=-",
            ),
            (&procedure("moodCode=\"EVN\"", "completed").replace("4.14", "4.41"), "Mood"),
            (
                &procedure("moodCode=\"RQO\" negationInd=\"true\"", "active")
                    .replace("4.14", "4.41"),
                "ServiceRequest /intent=order; /doNotPerform=true",
            ),
        ],
    );
}

#[test]
fn results_have_their_values() {
    let result = |attributes: &str, inside: &str| {
        format!(
            r#"<observation classCode="OBS" {attributes}><templateId root="2.16.840.1.113883.10.20.22.4.2"/>
            <id root="1.2.3.6" extension="r"/><code code="2345-7" codeSystem="2.16.840.1.113883.6.1"/>
            <statusCode code="completed"/><effectiveTime value="20200102"/>{inside}</observation>"#
        )
    };
    let of = |inside: &str| result("moodCode=\"EVN\"", inside);
    check(
        "3.1",
        &[
            (
                &of(
                    r#"<value xsi:type="PQ" value="+07.50" unit="mg/dL"/><interpretationCode code="H" codeSystem="2.16.840.1.113883.5.83"/><referenceRange><observationRange><value xsi:type="IVL_PQ"><low value="4" unit="mg/dL"/><high value="6" unit="mg/dL"/></value></observationRange></referenceRange>"#,
                ),
                "Observation /status=final; /valueQuantity/value=7.50; /valueQuantity/code=mg/dL; /interpretation/0/coding/0/code=H; /interpretation/0/coding/0/system=http://terminology.hl7.org/CodeSystem/v3-ObservationInterpretation; /referenceRange/0/low/value=4; /category/0/coding/0/code=laboratory",
            ),
            (
                &of(
                    r#"<value xsi:type="IVL_PQ"><high value="5" unit="g" inclusive="false"/></value>"#,
                ),
                "Observation /valueQuantity/comparator=<; /valueQuantity/value=5",
            ),
            (
                &of(
                    r#"<value xsi:type="IVL_PQ"><low value="5" unit="g"/><high value="6" unit="g"/></value>"#,
                ),
                "Observation /valueRange/high/value=6",
            ),
            (
                &of(
                    r#"<value xsi:type="v3:RTO_PQ_PQ"><numerator value="1"/><denominator value="128"/></value>"#,
                ),
                "Observation /valueRatio/denominator/value=128",
            ),
            (
                &of(r#"<value xsi:type="ST">&lt;b&gt;5&lt;/b&gt;</value>"#),
                "Observation /valueString=<b>5</b>",
            ),
            (
                &of(r#"<value xsi:type="CO" code="LA1" codeSystem="2.16.840.1.113883.6.1"/>"#),
                "Observation /valueCodeableConcept/coding/0/code=LA1",
            ),
            (&of(r#"<value xsi:type="INT" value="3"/>"#), "Observation /valueInteger=3"),
            (&of(r#"<value xsi:type="INT" value="99999999999"/>"#), "Form"),
            (&of(r#"<value xsi:type="PQ" value="1e400"/>"#), "Form"),
            (
                &of(r#"<value xsi:type="PQ" nullFlavor="NAV"/>"#),
                "Observation /dataAbsentReason/coding/0/code=temp-unknown",
            ),
            (&of(r#"<value xsi:type="GLIST_TS"/>"#), "Form"),
            (&of(r#"<value xsi:type="INT" value="3"/><value xsi:type="INT" value="4"/>"#), "Form"),
            (
                &result(
                    "moodCode=\"EVN\" negationInd=\"true\"",
                    "<value xsi:type=\"INT\" value=\"3\"/>",
                ),
                "Negated",
            ),
            (&result("moodCode=\"GOL\"", "<value xsi:type=\"INT\" value=\"3\"/>"), "Mood"),
            (&of("").replace("completed", "nullified"), "Observation /status=entered-in-error"),
            (&of("").replace("completed", "normal"), "Status"),
            (&of("").replace("code=\"2345-7\"", "nullFlavor=\"UNK\""), "NoCode"),
            (&of("").replace("4.2\"", "4.999\""), "NoPlace"),
            (&of("").replace("<code code=", "<code><!-- x --></code><code code="), "NoCode"),
        ],
    );
}

#[test]
fn panels_have_their_members() {
    let vital = |code: &str| {
        format!(
            r#"<component><observation classCode="OBS" moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.22.4.27"/>
            <code code="{code}" codeSystem="2.16.840.1.113883.6.1"/><statusCode code="completed"/>
            <value xsi:type="PQ" value="120" unit="mm[Hg]"/></observation></component>"#
        )
    };
    let organizer = format!(
        r#"<entry><organizer classCode="CLUSTER" moodCode="EVN"><templateId root="2.16.840.1.113883.10.20.22.4.26"/>
        <code code="46680005" codeSystem="2.16.840.1.113883.6.96"/><statusCode code="completed"/>
        <effectiveTime value="20200102"/>{}{}</organizer></entry>"#,
        vital("8480-6"),
        vital("8462-4")
    );
    let record = record(&document("", "4.1", &organizer));
    let all = resources(&record, "Observation");
    assert_eq!(all.len(), 3);
    assert_eq!(all[0]["effectiveDateTime"], "2020-01-02");
    let panel = all[2];
    assert_eq!(panel["code"]["coding"][0]["code"], "85353-1");
    assert_eq!(panel["code"]["coding"][1]["code"], "46680005");
    let urls: Vec<_> =
        record.bundle["entry"].as_array().unwrap().iter().map(|it| &it["fullUrl"]).collect();
    assert_eq!(&panel["hasMember"][0]["reference"], urls[1]);
    assert!(record.sections[0].left.is_empty(), "{:?}", record.sections);
}

#[test]
fn restricted_documents_and_sections_are_labelled() {
    let entry = format!("<entry>{}</entry>", medication("moodCode=\"EVN\"", ""));
    let labels =
        |record: &Record, of: &str| resources(record, of)[0]["meta"]["security"].to_string();
    for code in ["N", "U"] {
        let header = format!("<confidentialityCode code=\"{code}\"/>");
        let record = record(&document(&header, "1.1", &entry));
        assert_eq!(labels(&record, "MedicationStatement"), "null");
        assert_eq!(labels(&record, "Binary"), "null");
    }
    let header = "<confidentialityCode code=\"R\" codeSystem=\"2.16.840.1.113883.5.25\"/>";
    let of_header = record(&document(header, "1.1", &entry));
    let restricted =
        r#"[{"system":"http://terminology.hl7.org/CodeSystem/v3-Confidentiality","code":"R"}]"#;
    for of in ["MedicationStatement", "Binary", "DocumentReference", "Provenance"] {
        assert_eq!(labels(&of_header, of), restricted, "{of}");
    }
    assert_eq!(labels(&of_header, "Patient"), "null");
    let of_section =
        record(&document("", "1.1", &format!("<confidentialityCode code=\"R\"/>{entry}")));
    for of in ["MedicationStatement", "Binary", "DocumentReference"] {
        assert_eq!(labels(&of_section, of), restricted, "{of}");
    }
    let annotation = r#"<entryRelationship><observation><code code="SECCATOBS" codeSystem="2.16.840.1.113883.5.4"/><value xsi:type="CD" code="ETH" codeSystem="2.16.840.1.113883.5.4"/></observation></entryRelationship>"#;
    let entry = format!("<entry>{}</entry>", medication("moodCode=\"EVN\"", annotation));
    let annotated = record(&document("", "1.1", &entry));
    assert!(labels(&annotated, "MedicationStatement").contains("\"ETH\""));
    assert!(labels(&annotated, "Binary").contains("\"ETH\""));
}

#[test]
fn a_document_is_known_by_its_id_and_version() {
    let header = r#"<setId root="1.2.3.4" extension="set"/><versionNumber value="2"/>"#;
    let record = record(&document(header, "1.1", ""));
    let original = resources(&record, "DocumentReference")[0];
    assert_eq!(original["masterIdentifier"]["value"], "doc-1");
    assert_eq!(original["relatesTo"][0]["code"], "replaces");
    assert_eq!(original["date"], "2020-01-02T03:04:05-05:00");
    assert_eq!(original["type"]["coding"][0]["code"], "34133-9");
    assert_eq!(record.bundle["entry"][record.original]["resource"], *original);
    let condition = record.bundle["entry"][record.original]["request"]["ifNoneExist"].to_string();
    assert!(condition.contains("keepwell%3Accda%3Adocument"), "{condition}");
    let patient = &record.bundle["entry"][0];
    assert_eq!(patient["resource"]["birthDate"], "1970-03-01");
    assert_eq!(patient["request"]["ifNoneExist"], "identifier=urn%3Aoid%3A1.2.3.5%7CP1");
}

#[test]
fn documents_without_an_identity_are_refused() {
    let whole = document("", "1.1", "");
    let refused = |xml: &str| {
        let document = Document::read(xml.as_bytes()).expect("it is CDA");
        map(&document, &reception()).err()
    };
    assert_eq!(refused(&whole), None);
    for (from, to, refusal) in [
        ("<id root=\"1.2.3.4\" extension=\"doc-1\"/>", "", Refusal::NoId),
        ("root=\"1.2.3.4\" extension", "root=\"a.b\" extension", Refusal::NoId),
        ("<id root=\"1.2.3.5\" extension=\"P1\"/>", "", Refusal::NotThePatients),
        ("root=\"1.2.3.5\"", "root=\"2.16.840.1.113883.4.1\"", Refusal::NotThePatients),
        ("extension=\"P1\"", "extension=\"000\"", Refusal::NotThePatients),
        ("extension=\"P1\"", "extension=\"Unknown\"", Refusal::NotThePatients),
        ("extension=\"P1\"", &format!("extension=\"{}\"", "1".repeat(600)), Refusal::TooLong),
    ] {
        assert_eq!(refused(&whole.replacen(from, to, 1)), Some(refusal), "{from} {to}");
    }
}

#[test]
fn the_same_document_is_the_same_bundle() {
    let entry = format!("<entry>{}</entry>", medication("moodCode=\"EVN\"", ""));
    let xml = document("", "1.1", &entry.repeat(3));
    assert_eq!(record(&xml), record(&xml));
    let all = record(&xml);
    let values: std::collections::BTreeSet<_> = resources(&all, "MedicationStatement")
        .iter()
        .map(|it| it["identifier"][1]["value"].to_string())
        .collect();
    assert_eq!(values.len(), 3, "what is said thrice is three");
}

#[test]
fn too_many_entries_are_told() {
    let entry = format!("<entry>{}</entry>", medication("moodCode=\"EVN\"", ""));
    let record = record(&document("", "1.1", &entry.repeat(1_100)));
    assert_eq!(record.bundle["entry"].as_array().unwrap().len(), 1_004);
    let section = &record.sections[0];
    assert_eq!((section.entries, section.left.len(), section.left_more), (1_100, 64, 36));
    assert_eq!(section.left[0], (1_001, Why::TooMany));
}

#[test]
fn times_are_compared_over_zones() {
    for (one, other, later) in [
        ("2020-01-02", "2020-01-01", true),
        ("2020-01-01", "2020-01-01", false),
        ("2020-01-01T23:00:00-05:00", "2020-01-02T01:00:00Z", true),
        ("2020-01-02T01:00:00Z", "2020-01-01T23:00:00-05:00", false),
        ("2020-02", "2020", true),
        ("x", "2020", false),
    ] {
        assert_eq!(is_later(one, other), later, "{one} {other}");
    }
}
