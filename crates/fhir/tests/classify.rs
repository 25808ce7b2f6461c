//! Kinds and sensitivities, as a table.

use keepwell_fhir::classify::{
    ACT_CODE, CONFIDENTIALITY, SecurityLabel, Sensitivity, classify, kind_of,
};

/// Reads lines of `labels => sensitivity`; a label is `system:code`, the system A, C, - or other.
fn check(table: &str) {
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (labels, expected) = line.split_once("=>").expect("labels => sensitivity");
        let labels: Vec<_> = labels.split_whitespace().map(label).collect();
        let got = classify("Condition", &labels).sensitivity;
        assert_eq!(got, expected.trim().parse().expect("a sensitivity"), "{line}");
    }
}

fn label(text: &str) -> SecurityLabel {
    let (system, code) = text.split_once(':').expect("system:code");
    let system = match system {
        "A" => Some(ACT_CODE),
        "C" => Some(CONFIDENTIALITY),
        "OLD" => Some("urn:oid:2.16.840.1.113883.5.4"),
        "-" => None,
        _ => Some("http://example.org/other"),
    };
    SecurityLabel { system: system.map(str::to_string), code: code.to_string() }
}

#[test]
fn one_label() {
    check(
        "
                      => normal
        C:N           => normal
        C:U           => normal
        C:R           => restricted
        C:V           => restricted
        C:unheard-of  => restricted
        A:PSY         => psychiatry
        A:psy         => psychiatry
        OLD:PSY       => psychiatry
        -:PSY         => psychiatry
        -:V           => restricted
        -:v           => restricted
        -:r           => restricted
        C:r           => restricted
        C:n           => restricted
        -:whatever    => normal
        other:PSY     => normal
        A:ETH         => substance-use
        A:ETHUD       => substance-use
        A:OPIOIDUD    => substance-use
        A:PSYTHPN     => psychotherapy-notes
        A:HIV         => hiv
        A:SEX         => sexual-reproductive
        A:GDIS        => genetics
        A:SDV         => domestic-violence
        A:TBOO        => restricted
        A:            => restricted
        A:PROCESSINLINELABEL => normal
        ",
    );
}

#[test]
fn the_most_restrictive_label_wins_in_any_order() {
    check(
        "
        C:R A:PSY          => psychiatry
        A:PSY C:V          => psychiatry
        A:PSY A:PSYTHPN    => psychotherapy-notes
        A:PSYTHPN A:ETH    => psychotherapy-notes
        A:HIV A:ETH        => substance-use
        A:SEX A:HIV        => hiv
        C:N A:GDIS other:X => genetics
        ",
    );
}

#[test]
fn only_these_need_a_consent_of_their_own() {
    let separate: Vec<_> =
        Sensitivity::ALL.into_iter().filter(|kept| kept.needs_separate_consent()).collect();
    assert_eq!(separate, [Sensitivity::SubstanceUse, Sensitivity::PsychotherapyNotes]);
    // They are the most restrictive ones, so that mixing labels never loses the separate consent.
    assert!(Sensitivity::ALL.is_sorted());
    assert_eq!(separate, Sensitivity::ALL[7..]);
}

#[test]
fn words_read_back() {
    for sensitivity in Sensitivity::ALL {
        assert_eq!(sensitivity.to_string().parse(), Ok(sensitivity));
        let json = serde_json::to_string(&sensitivity).expect("a word is JSON");
        assert_eq!(json.trim_matches('"'), sensitivity.as_str());
    }
    assert!("Psychiatry".parse::<Sensitivity>().is_err());
}

#[test]
fn kinds() {
    for line in "
        Patient identity
        Encounter encounter
        Condition condition
        Observation result
        DiagnosticReport result
        ImagingStudy imaging
        MedicationRequest prescription
        MedicationAdministration medication
        MedicationDispense medication
        MedicationStatement medication
        AllergyIntolerance allergy
        Immunization immunization
        Procedure procedure
        CarePlan plan
        ServiceRequest plan
        DocumentReference document
        Composition document
        Consent legal
        Claim financial
        ExplanationOfBenefit financial
        Coverage financial
        Device device
        Organization other
        Account financial
        VisionPrescription plan
    "
    .lines()
    .map(str::trim)
    .filter(|line| !line.is_empty())
    {
        let (name, kind) = line.split_once(' ').expect("type kind");
        assert_eq!(kind_of(name).map(|kind| kind.as_str()), Some(kind), "{name}");
    }
    for unknown in ["", "patient", "Patient ", "Telepathy"] {
        assert_eq!(kind_of(unknown), None);
    }
}
