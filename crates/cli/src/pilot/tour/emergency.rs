//! The tour's emergency: the glass is broken, read through, seen, reviewed, and the key changed behind it.

use std::time::Instant;

use keepwell_client::{
    ClientError,
    author::NewRecord,
    emergency::{EmergencyOpening, OpenedInEmergency},
    error::LedgerError,
    open::{Opening, What},
    verify::LogMark,
};
use keepwell_types::{
    access::{EmergencyReason, Finding, Purpose, RecordName},
    id::{Compartment, LogPosition},
    member::Party,
    outcome::Rejection,
    record::RecordKind,
    set::CompartmentSet,
};

use super::{NOTE, Scene, Tour, fault, meaning, quoted};
use crate::{
    failure::Failure,
    pilot::{
        founding::{CLINIC_OFFICER, PHYSICIAN},
        person_folder,
    },
    profile::Session,
};

const HOUR_MS: u64 = 60 * 60 * 1_000;
/// What the hospital writes after the emergency.
const AFTER: &[u8] =
    br#"{"resourceType":"DocumentReference","status":"current","description":"Seen after the emergency; stable."}"#;

impl Tour<'_> {
    /// Two steps: the emergency itself, and what comes of it.
    pub(super) async fn emergency(&self, scene: &mut Scene) -> Result<(), Failure> {
        let emergency = self.break_the_glass(scene).await?;
        self.clear_up(scene, emergency).await
    }

    /// Broken by one licensed clinician, agreed to by another, opened with the trustees' shares.
    async fn break_the_glass(&self, scene: &mut Scene) -> Result<LogPosition, Failure> {
        scene.step += 1;
        let (step, chart) = (scene.step, scene.chart);
        self.title(
            step,
            "The patient is unresponsive; the clinician, who has no grant, breaks the glass",
        );
        let wallet = quoted(&self.wallet_folder(chart));
        self.command(&format!(
            "emergency prepare --as {wallet} --chart {chart} --compartment normal"
        ));
        let holder = scene.patient.holder(chart)?;
        let normal = CompartmentSet::EMPTY.with(meaning(&scene.patient, chart, "normal")?);
        scene.patient.client.prepare_for_emergencies(&holder, normal).await?;
        scene.patient.remember()?;

        let clinician = self.person("clinician");
        self.command(&format!(
            "emergency break --as {clinician} --chart {chart} --reason unresponsive"
        ));
        let actor = scene.clinician.member()?.actor();
        let client = &scene.clinician.client;
        let until = client.tip().await?.header().time.plus_ms(HOUR_MS);
        let terms = (EmergencyReason::Unresponsive, until);
        let broken = client.break_glass(&actor, chart, None, terms).await?;
        let emergency = broken.emergency;
        match self.open_in_emergency(scene, emergency, normal).await {
            Err(ClientError::Ledger(LedgerError::Rejected {
                rejection: Rejection::OutsideWindow,
                ..
            })) => {}
            Err(other) => {
                return Err(fault(step, &format!("it failed, and not as too early: {other}")));
            }
            Ok(_) => return Err(fault(step, "it opened before another clinician agreed")),
        }

        let person = self.person(PHYSICIAN);
        self.command(&format!("emergency second --as {person} --chart {chart} {emergency}"));
        let physician = Session::open(&person_folder(self.dir, PHYSICIAN))?;
        let second = physician.member()?.actor();
        physician.client.second_emergency(&second, chart, emergency).await?;
        self.command(&format!("emergency open --as {clinician} --chart {chart} {emergency}"));
        let begun = Instant::now();
        let it = self.open_in_emergency(scene, emergency, normal).await?;
        let opened_in = begun.elapsed();
        if !self.has_note(scene, &it).await? {
            return Err(fault(step, "the hospital's note is not among what was read"));
        }
        self.result(&format!(
            "broken at position {emergency}, closed until another licensed clinician agreed\n{} records opened {:.1} s after that, with keys from two trustees of three and shares of the validators; with a grant it took {:.1} s",
            it.opened.records.len(),
            opened_in.as_secs_f64(),
            scene.opened_in.as_secs_f64()
        ));
        Ok(emergency)
    }

    async fn open_in_emergency(
        &self,
        scene: &Scene,
        emergency: LogPosition,
        compartments: CompartmentSet,
    ) -> Result<OpenedInEmergency, ClientError> {
        let actor = scene.clinician.member().expect("the clinician is a member").actor();
        let opening =
            EmergencyOpening { actor: &actor, chart: scene.chart, emergency, compartments };
        scene.clinician.client.open_in_emergency(&opening).await
    }

    async fn has_note(&self, scene: &Scene, it: &OpenedInEmergency) -> Result<bool, Failure> {
        let actor = scene.clinician.member()?.actor();
        for record in &it.opened.records {
            let mut content = Vec::new();
            scene.clinician.client.read(&actor, record, &mut content).await?;
            if content == NOTE {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The patient sees it, a privacy officer reviews it, and what comes is sealed to another key, though the
    /// patient does nothing.
    async fn clear_up(&self, scene: &mut Scene, emergency: LogPosition) -> Result<(), Failure> {
        scene.step += 1;
        let (step, chart) = (scene.step, scene.chart);
        self.title(step, "The patient sees it, it is reviewed, and the key changes by itself");
        self.command(&format!(
            "emergency list --as {} {chart}",
            quoted(&self.wallet_folder(chart))
        ));
        self.check_told(scene, emergency).await?;
        let normal = meaning(&scene.patient, chart, "normal")?;
        let (before, clinician) =
            (self.epoch(scene, normal).await?, scene.clinician.member()?.actor());
        self.command(&format!(
            "emergency close --as {} --chart {chart} {emergency}",
            self.person("clinician")
        ));
        scene.clinician.client.close_emergency(&clinician, chart, emergency).await?;
        self.review(scene, emergency).await?;
        let after = self.epoch(scene, normal).await?;
        if after != before + 1 {
            return Err(fault(step, &format!("the epoch went from {before} to {after}")));
        }
        self.write_after(scene, normal).await?;
        self.result(&format!(
            "the access for BTG stands in the patient's log; the review found an emergency\nwhat is added from now on is sealed to epoch {after}, whose key the patient had published: the clinician has none, and the patient reads it"
        ));
        Ok(())
    }

    async fn epoch(&self, scene: &Scene, compartment: Compartment) -> Result<u32, Failure> {
        let actor = scene.patient.actor(scene.chart)?;
        Ok(scene.patient.client.chart(&actor, scene.chart).await?.epoch(compartment).0)
    }

    /// The log has the emergency, and the access that was opened in it.
    async fn check_told(&self, scene: &mut Scene, emergency: LogPosition) -> Result<(), Failure> {
        let (actor, chart) = (scene.patient.actor(scene.chart)?, scene.chart);
        let reader = scene.clinician.member()?.member();
        let client = &scene.patient.client;
        let all = client.all_emergencies(&actor, chart, LogMark::START).await?;
        let is_listed = all.iter().any(|it| (it.position, it.member) == (emergency, reader));
        let audit = client.audit(&actor, chart, LogMark::START).await?;
        let is_access = audit.accesses.iter().any(|it| {
            (it.reader, it.purpose) == (Party::Member(reader), Purpose::BreakGlass)
                && it.refused.is_none()
        });
        scene.patient.remember()?;
        if is_listed && is_access {
            return Ok(());
        }
        Err(fault(scene.step, &format!("the patient sees {all:?} and {:?}", audit.accesses)))
    }

    /// The clinic's privacy officer finds it among what waits, and reviews it.
    async fn review(&self, scene: &Scene, emergency: LogPosition) -> Result<(), Failure> {
        let person = self.person(CLINIC_OFFICER);
        self.command(&format!("emergency report --as {person}"));
        let officer = Session::open(&person_folder(self.dir, CLINIC_OFFICER))?;
        let (member, client) = (officer.member()?, &officer.client);
        let (actor, organisation) = (member.actor(), member.organisation());
        let (used, _) = client.emergency_use(&actor, organisation).await?;
        let waiting = used.waiting.last().ok_or_else(|| fault(scene.step, "nothing waits"))?;
        let receipt = client.receipt(&actor, waiting.location).await?;
        if receipt.verified().entry().payload().chart() != Some(scene.chart) {
            return Err(fault(scene.step, "what waits is of another chart"));
        }
        self.command(&format!(
            "emergency review --as {person} --chart {} {emergency} --finding justified",
            scene.chart
        ));
        let finding = Finding::Justified;
        client.review_emergency(&actor, scene.chart, emergency, finding).await?;
        let (after, _) = client.emergency_use(&actor, organisation).await?;
        if after.waiting.len() + 1 == used.waiting.len()
            && after.total().unreviewed() + 1 == used.total().unreviewed()
        {
            return Ok(());
        }
        Err(fault(scene.step, "the review is not counted"))
    }

    /// The hospital writes to the next epoch; the patient reads it.
    async fn write_after(&self, scene: &Scene, normal: Compartment) -> Result<(), Failure> {
        let (step, chart) = (scene.step, scene.chart);
        let author = scene.hospital.actor(chart)?;
        let authoring = scene.hospital.client.authoring(&author, chart).await?;
        let new = NewRecord::new(normal, RecordKind::Document);
        let content = (AFTER, AFTER.len() as u64);
        let added = scene.hospital.client.add_record(&author, &authoring, &new, content).await?;
        let position = scene.hospital.client.position(&author, chart, &added.decided).await?;
        let actor = scene.patient.actor(chart)?;
        let seeds = scene.patient.own_seeds(chart, CompartmentSet::EMPTY.with(normal)).await?;
        let what = What::Records(vec![RecordName { position, record: added.record }]);
        let purpose = Purpose::PatientRequest;
        let opening = Opening { actor: &actor, chart, what: &what, purpose, seeds: &seeds };
        let opened = scene.patient.client.open(&opening).await?;
        let record =
            opened.records.first().ok_or_else(|| fault(step, "the record stayed closed"))?;
        let mut content = Vec::new();
        scene.patient.client.read(&actor, record, &mut content).await?;
        if content == AFTER {
            return Ok(());
        }
        Err(fault(step, "what the patient read is not what was written after"))
    }
}
