//! The step of the tour in which a record is redacted, its custodians erase it, and a certificate proves that.

use std::{
    fs,
    time::{Duration, Instant},
};

use keepwell_client::{
    author::NewRecord,
    challenge::Challenged,
    open::{Opening, RecordFacts, What},
    record::ErasureCertificate,
    verify::LogMark,
};
use keepwell_types::{
    access::{Purpose, RecordName},
    record::{RecordKind, RedactionGround},
    set::CompartmentSet,
};
use tokio::time::sleep;

use super::{Scene, Tour, by_hand, fault, meaning, quoted};
use crate::{failure::Failure, pilot::person_folder, profile::Session};

/// What was filed in the wrong chart.
const STRAY: &[u8] = br#"{"resourceType":"DocumentReference","status":"current","description":"Radiology report of another patient, filed here in error."}"#;
/// How long custodians may take to erase, and to say so.
const ERASURE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);

impl Tour<'_> {
    /// A record that belongs to somebody else goes: hospital and patient agree, custodians erase and sign.
    pub(super) async fn redact(&self, scene: &mut Scene) -> Result<(), Failure> {
        scene.step += 1;
        self.title(
            scene.step,
            "A report of somebody else was filed here; the hospital and the patient have it redacted",
        );
        let stray = self.file_in_error(scene).await?;
        self.approve(scene, stray.name).await?;
        let certificate = self.wait_for_erasure(scene, &stray).await?;
        self.check_gone(scene, &stray).await?;
        let path = self.dir.join("erased.certificate");
        fs::write(&path, certificate.encode()).map_err(Failure::at(&path))?;
        let genesis = self.dir.join("genesis.cbor");
        self.command(&format!("verify --genesis {} --erasure {}", quoted(&genesis), quoted(&path)));
        let verify = ["verify", "--genesis"].map(Into::into).into_iter();
        let verify = verify.chain([genesis.into(), "--erasure".into(), path.into()]).collect();
        self.result(by_hand(scene.step, verify, true).await?.trim_end());
        Ok(())
    }

    async fn file_in_error(&self, scene: &Scene) -> Result<RecordFacts, Failure> {
        let (chart, hospital) = (scene.chart, &scene.hospital);
        let actor = hospital.actor(chart)?;
        let authoring = hospital.client.authoring(&actor, chart).await?;
        let new = NewRecord::new(meaning(hospital, chart, "normal")?, RecordKind::Document);
        let content = (STRAY, STRAY.len() as u64);
        let added = hospital.client.add_record(&actor, &authoring, &new, content).await?;
        let patient = scene.patient.actor(chart)?;
        let records = scene.patient.client.records(&patient, chart, LogMark::START).await?;
        let found = records.into_iter().find(|it| it.name.record == added.record);
        found.ok_or_else(|| fault(scene.step, "the report is not in the chart's log"))
    }

    async fn approve(&self, scene: &Scene, stray: RecordName) -> Result<(), Failure> {
        let officer = Session::open(&person_folder(self.dir, "officer"))?;
        let parties = [
            (&officer, self.person("officer")),
            (&scene.patient, quoted(&self.wallet_folder(scene.chart))),
        ];
        for (session, folder) in parties {
            self.command(&format!(
                "record redact --as {folder} --chart {} --position {} --ground error",
                scene.chart, stray.position
            ));
            let actor = session.actor(scene.chart)?;
            let ground = RedactionGround::Error;
            session.client.redact_record(&actor, scene.chart, stray, ground).await?;
        }
        Ok(())
    }

    async fn wait_for_erasure(
        &self,
        scene: &Scene,
        stray: &RecordFacts,
    ) -> Result<ErasureCertificate, Failure> {
        let (client, actor) = (&scene.patient.client, scene.patient.actor(scene.chart)?);
        let begun = Instant::now();
        loop {
            let record = stray.name.record;
            let (state, certificate) = client.record_state(&actor, scene.chart, record).await?;
            let redaction = state.redaction.as_ref().filter(|it| it.bound.is_some());
            let redaction = redaction.ok_or_else(|| fault(scene.step, "nothing was redacted"))?;
            if redaction.outstanding.is_empty() {
                return Ok(certificate);
            }
            if begun.elapsed() > ERASURE {
                return Err(fault(scene.step, "a custodian has not said that it erased"));
            }
            sleep(PAUSE).await;
        }
    }

    /// Nobody opens it, and no custodian shows it.
    async fn check_gone(&self, scene: &Scene, stray: &RecordFacts) -> Result<(), Failure> {
        let (client, actor) = (&scene.patient.client, scene.patient.actor(scene.chart)?);
        let wanted = CompartmentSet::EMPTY.with(stray.compartment);
        let seeds = scene.patient.own_seeds(scene.chart, wanted).await?;
        let what = What::Records(vec![stray.name]);
        let opening = Opening {
            actor: &actor,
            chart: scene.chart,
            what: &what,
            purpose: Purpose::PatientRequest,
            seeds: &seeds,
        };
        if client.open(&opening).await.is_ok_and(|opened| !opened.records.is_empty()) {
            return Err(fault(scene.step, "a redacted record was opened"));
        }
        for &custodian in &stray.custodians {
            match client.challenge(&actor, scene.chart, stray, custodian).await? {
                Challenged::HasNot(_) => {}
                other @ (Challenged::Has(_) | Challenged::Wrong(_) | Challenged::Silent(_)) => {
                    let reason = format!("custodian {custodian} should have erased: {other:?}");
                    return Err(fault(scene.step, &reason));
                }
            }
        }
        Ok(())
    }
}
