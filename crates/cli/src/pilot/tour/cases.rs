//! The step of the tour in which a patient has a record amended.

use keepwell_client::{author::NewRecord, case::Voice, verify::LogMark};
use keepwell_types::{
    case::CaseKind,
    id::{CaseId, Version},
    record::{Amended, RecordKind},
};

use super::{Scene, Tour, fault, meaning, quoted};
use crate::{
    failure::Failure,
    pilot::{organisation_id, person_folder},
    profile::Session,
};

/// What the patient writes.
const REQUEST: &str = "The wound was on the left hand, not the right one.";
/// What the hospital writes after that.
const AMENDED: &[u8] = br#"{"resourceType":"DocumentReference","status":"current","description":"Discharge note, amended: recovering well, wound of the left hand clean, review in two weeks."}"#;

impl Tour<'_> {
    /// The patient asks for an amendment; the hospital accepts, amends, and knows whom it has to tell.
    pub(super) async fn amend(&self, scene: &mut Scene) -> Result<(), Failure> {
        scene.step += 1;
        let step = scene.step;
        self.title(
            step,
            "The patient asks the hospital to amend the note, by right; it has 60 days",
        );
        let officer = Session::open(&person_folder(self.dir, "officer"))?;
        let case = self.ask_to_amend(scene, &officer).await?;
        self.command(&format!(
            "case accept --as {} --chart {} {case}",
            self.person("officer"),
            scene.chart
        ));
        officer.client.accept_case(officer.member()?, scene.chart, case).await?;
        self.add_amendment(scene).await?;
        self.tell(scene, &officer, case).await?;
        self.result("the request was read by the hospital's privacy officer alone and accepted; the amended note stands beside the first one\nthe clinic, which had opened the first one, was told and says so");
        Ok(())
    }

    async fn ask_to_amend(&self, scene: &Scene, officer: &Session) -> Result<CaseId, Failure> {
        let (step, chart, to) = (scene.step, scene.chart, officer.member()?);
        self.command(&format!(
            "case open --as {} --chart {chart} --kind amendment --position {} --to {} --text '{REQUEST}'",
            quoted(&self.wallet_folder(chart)),
            scene.note_name.position,
            to.member()
        ));
        let holder = scene.patient.holder(chart)?;
        let about = (CaseKind::Amendment, Some(scene.note_name));
        let client = &scene.patient.client;
        let (case, _) = client.open_case(&holder, about, REQUEST, &[to.member()]).await?;
        let cases = officer.client.cases(&to.actor(), chart, LogMark::START).await?;
        let listed = cases.iter().find(|it| it.case == case);
        let listed = listed.ok_or_else(|| fault(step, "the hospital does not see the case"))?;
        let words = officer.client.words_of(Voice::Member(to), chart, listed).await?;
        if words.first().map(|(_, text)| text.as_str()) != Some(REQUEST) {
            return Err(fault(step, "the officer does not read what the patient wrote"));
        }
        Ok(case)
    }

    async fn add_amendment(&self, scene: &Scene) -> Result<(), Failure> {
        let (chart, hospital) = (scene.chart, &scene.hospital);
        self.command(&format!(
            "record add --as {} --chart {chart} --compartment normal --amends {} amended-note.json",
            self.person("agent"),
            scene.note_name.position
        ));
        let actor = hospital.actor(chart)?;
        let authoring = hospital.client.authoring(&actor, chart).await?;
        let normal = meaning(hospital, chart, "normal")?;
        let mut new = NewRecord::new(normal, RecordKind::Document);
        let version = Version(scene.note.label.version.0 + 1);
        new.amends = Some(Amended { record: scene.note_name, version });
        let content = (AMENDED, AMENDED.len() as u64);
        hospital.client.add_record(&actor, &authoring, &new, content).await?;
        Ok(())
    }

    /// The clinic had opened the note, and says that it was told.
    async fn tell(&self, scene: &Scene, officer: &Session, case: CaseId) -> Result<(), Failure> {
        let (step, chart, clinician) = (scene.step, scene.chart, scene.clinician.member()?);
        let clinic = organisation_id(self.dir, "clinic")?;
        self.command(&format!(
            "case acknowledge --as {} --chart {chart} {case}",
            self.person("clinician")
        ));
        for told in [false, true] {
            let actor = officer.member()?.actor();
            let entry = officer.client.case(&actor, chart, case, None).await?;
            let recipients = officer.client.earlier_recipients(&actor, chart, &entry).await?;
            let named: Vec<_> = recipients.iter().map(|it| (it.organisation, it.told)).collect();
            if named != [(clinic, told)] {
                return Err(fault(
                    step,
                    &format!("to be told is the clinic, and not {recipients:?}"),
                ));
            }
            if !told {
                scene.clinician.client.acknowledge_case(clinician, chart, case).await?;
            }
        }
        Ok(())
    }
}
