//! A co-signature: a resident writes a note, the attending answers for it, and the patient's copy proves both.

use std::{fs, path::Path};

use keepwell_client::{
    ClientError,
    author::NewRecord,
    error::LedgerError,
    signoff::{SignOff, signatures_in},
};
use keepwell_types::{
    id::LogPosition,
    member::{Party, Role},
    outcome::Rejection,
    record::RecordKind,
    signoff::{ApprovalRule, Meaning},
};

use super::{Scene, Tour, by_hand, fault, meaning, quoted};
use crate::{
    failure::Failure,
    pilot::{founding, person_folder},
    profile::Session,
};

const RULE: &str = "authorship: author; responsibility: clinician@chart; within 3 days";
const WARD_NOTE: &[u8] = br#"{"resourceType":"DocumentReference","status":"current","docStatus":"preliminary","description":"Ward note: afebrile, drain removed, home tomorrow."}"#;

impl Tour<'_> {
    pub(super) async fn co_sign(&self, scene: &mut Scene) -> Result<(), Failure> {
        scene.step += 1;
        let step = scene.step;
        self.title(step, "A resident writes a note; it is final once the attending answers for it");
        let resident = self.physician(scene, "resident").await?;
        let attending = self.physician(scene, "attending").await?;
        let position = self.write_ward_note(scene, &resident).await?;
        self.sign_too_early(scene, &attending, position).await?;
        for (session, name, meaning) in [
            (&resident, "resident", Meaning::Authorship),
            (&attending, "attending", Meaning::Responsibility),
        ] {
            self.command(&format!(
                "record approve --as {} --chart {} --position {position} --meaning {meaning}",
                self.person(name),
                scene.chart
            ));
            let actor = session.actor(scene.chart)?;
            let asked = sign_off(session, scene, position).await?;
            let seat = session.client.seat_for(&actor, &asked, meaning).await?;
            session.client.approve_record(&actor, &asked, meaning, seat).await?;
        }
        let expected = [
            (Party::Member(resident.member()?.member()), Meaning::Authorship),
            (Party::Member(attending.member()?.member()), Meaning::Responsibility),
        ];
        let signed = sign_off(&scene.patient, scene, position).await?;
        let signatures = signatures_in(&signed.proposal);
        let shown: Vec<_> = signatures.iter().map(|it| (it.signer, it.meaning)).collect();
        if shown != expected || !signed.proposal.is_final() {
            return Err(fault(step, &format!("the note was signed by {shown:?}")));
        }
        self.prove_signatures(scene, &signed).await
    }

    /// A clinician of the hospital, enrolled once.
    async fn physician(&self, scene: &Scene, name: &str) -> Result<Session, Failure> {
        let folder = person_folder(self.dir, name);
        let key = folder.join("member.key");
        if !key.exists() {
            let client = &scene.hospital.client;
            let identity =
                founding::member(client, self.dir, "hospital", [Role::Clinician]).await?;
            founding::profile(self.dir)?.write(&folder)?;
            identity.create(&key, &founding::unlock(self.dir)?, true)?;
        }
        Session::open(&folder)
    }

    async fn write_ward_note(
        &self,
        scene: &Scene,
        resident: &Session,
    ) -> Result<LogPosition, Failure> {
        let path = self.dir.join("ward-note.json");
        fs::write(&path, WARD_NOTE).map_err(Failure::at(&path))?;
        let normal = meaning(&scene.patient, scene.chart, "normal")?;
        self.command(&format!(
            "record add --as {} --chart {} --compartment {} --rule '{RULE}' {}",
            self.person("resident"),
            scene.chart,
            normal.index(),
            quoted(&path)
        ));
        let actor = resident.actor(scene.chart)?;
        let authoring = resident.client.authoring(&actor, scene.chart).await?;
        let rule = RULE
            .parse::<ApprovalRule>()
            .map_err(|_| fault(scene.step, "the rule of the note is no rule"))?;
        let new =
            NewRecord { approval: Some(rule), ..NewRecord::new(normal, RecordKind::Document) };
        let content = (WARD_NOTE, WARD_NOTE.len() as u64);
        let added = resident.client.add_record(&actor, &authoring, &new, content).await?;
        Ok(resident.client.position(&actor, scene.chart, &added.decided).await?)
    }

    /// Nobody answers for what its author has not signed.
    async fn sign_too_early(
        &self,
        scene: &Scene,
        attending: &Session,
        position: LogPosition,
    ) -> Result<(), Failure> {
        let actor = attending.actor(scene.chart)?;
        let asked = sign_off(attending, scene, position).await?;
        let meaning = Meaning::Responsibility;
        let seat = attending.client.seat_for(&actor, &asked, meaning).await?;
        match attending.client.approve_record(&actor, &asked, meaning, seat).await {
            Err(ClientError::Ledger(LedgerError::Rejected {
                rejection: Rejection::StepNotOpen { step: 2, .. },
                ..
            })) => Ok(()),
            other => Err(fault(scene.step, &format!("the attending signed first: {other:?}"))),
        }
    }

    /// The patient's copy is checked against the genesis file alone, and once more with one bit turned over.
    async fn prove_signatures(&self, scene: &Scene, signed: &SignOff) -> Result<(), Failure> {
        let (path, altered) =
            (self.dir.join("ward-note.signatures"), self.dir.join("altered.signatures"));
        let actor = scene.patient.actor(scene.chart)?;
        let mut bytes = scene.patient.client.signatures(&actor, signed).await?.encode();
        fs::write(&path, &bytes).map_err(Failure::at(&path))?;
        let genesis = self.dir.join("genesis.cbor");
        self.command(&format!(
            "verify --genesis {} --signatures {}",
            quoted(&genesis),
            quoted(&path)
        ));
        let verify = |file: &Path| {
            vec![
                "verify".into(),
                "--genesis".into(),
                (&genesis).into(),
                "--signatures".into(),
                file.into(),
            ]
        };
        let said = by_hand(scene.step, verify(&path), true).await?;
        let is_told = |it: &keepwell_client::signoff::Signature| {
            said.contains(&it.time.to_string()) && said.contains(it.meaning.as_str())
        };
        if !signatures_in(&signed.proposal).iter().all(is_told) || !said.contains("is final") {
            return Err(fault(scene.step, &format!("the copy tells {said:?}")));
        }
        self.result(said.trim_end());
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&altered, bytes).map_err(Failure::at(&altered))?;
        by_hand(scene.step, verify(&altered), false).await?;
        Ok(())
    }
}

async fn sign_off(
    session: &Session,
    scene: &Scene,
    position: LogPosition,
) -> Result<SignOff, Failure> {
    let actor = session.actor(scene.chart)?;
    Ok(session.client.sign_off(&actor, scene.chart, position).await?)
}
