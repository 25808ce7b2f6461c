//! The step of lost keys: guardians bring the chart to a new wallet, which reads what was sealed before.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use keepwell_client::{
    ClientError,
    delegate::Offer,
    error::LedgerError,
    guardian::{GuardianKeys, Named, NamedGroup},
    identity::Wallet,
    open::{Opening, What},
};
use keepwell_types::{
    access::Purpose, guardian::RecoveryGround, id::ChartId, outcome::Rejection, set::CompartmentSet,
};

use super::{NOTE, Scene, Tour, copy_of, fault, meaning, quoted};
use crate::{
    failure::Failure,
    pilot::{founding, person_folder},
    profile::{Identity, Session},
};

/// How often the new wallet asks again while the patient could still veto.
const PAUSE: Duration = Duration::from_millis(500);
/// How often at most: a minute and a half.
const TRIES: usize = 180;
/// The patient's friends.
const FRIENDS: usize = 3;

impl Tour<'_> {
    /// The patient loses the wallet; two of three friends and one of two institutions bring the chart to a
    /// new one.
    pub(super) async fn lose_the_wallet(&self, scene: &mut Scene) -> Result<(), Failure> {
        scene.step += 1;
        self.title(
            scene.step,
            "The patient loses the wallet; 2 of 3 friends and 1 of 2 institutions bring the chart to a new one",
        );
        let friends = (1..=FRIENDS)
            .map(|it| {
                self.wallet_session(scene, &self.folder_of(scene.chart, &format!("friend-{it}")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        self.name_guardians(scene, &friends).await?;
        // The folder is moved away, and a new wallet is made in its place.
        let (folder, away) = (self.wallet_folder(scene.chart), self.folder_of(scene.chart, "lost"));
        fs::rename(&folder, &away).map_err(Failure::at(&folder))?;
        scene.patient = self.wallet_session(scene, &folder)?;
        let lost = Session::open(&away)?;
        let ready = self.vouch(scene, &friends, &lost).await?;
        let refused = self.take_over(scene).await?;
        self.read_as_before(scene).await?;
        let old = lost.actor(scene.chart)?;
        if lost.client.chart(&old, scene.chart).await.is_ok() {
            return Err(fault(scene.step, "the lost wallet still controls the chart"));
        }
        let early = if refused == 0 { "" } else { ", and not before" };
        self.result(&format!(
            "approved by two friends and the hospital's privacy officer; could be vetoed until {ready}{early}\nthe new wallet reads the discharge note, which was sealed before; the lost one opens nothing any more"
        ));
        Ok(())
    }

    fn folder_of(&self, chart: ChartId, name: &str) -> PathBuf {
        person_folder(self.dir, &format!("patient-{}-{name}", &chart.to_string()[..8]))
    }

    /// A wallet in a folder of its own, which is made if it is not there.
    fn wallet_session(&self, scene: &Scene, folder: &Path) -> Result<Session, Failure> {
        let unlock = founding::unlock(self.dir)?;
        founding::profile(self.dir)?.write(folder)?;
        let keys = folder.join("wallet");
        let wallet = if keys.exists() {
            Wallet::open(&keys, &unlock)?
        } else {
            Wallet::create(&keys, &unlock, true)?
        };
        let client = copy_of(&scene.hospital)?;
        Ok(Session { client, identity: Identity::Wallet(wallet.into()) })
    }

    async fn name_guardians(&self, scene: &mut Scene, friends: &[Session]) -> Result<(), Failure> {
        let (chart, chain) = (scene.chart, scene.patient.client.consortium().chain());
        let officer = Session::open(&person_folder(self.dir, "officer"))?.member()?.member();
        let clinician = scene.clinician.member()?.member();
        self.command(&format!(
            "guardian set --as {} --chart {chart} --group 2:one.offer,two.offer,three.offer --group 1:{officer},{clinician}",
            quoted(&self.wallet_folder(chart)),
        ));
        let offers = friends.iter().map(|it| Offer::make(chain, chart, &it.delegate(chart)));
        let groups = [
            NamedGroup {
                approvals_min: 2,
                guardians: offers.map(|it| Named::Offer(it.into())).collect(),
            },
            NamedGroup {
                approvals_min: 1,
                guardians: vec![Named::Member(officer), Named::Member(clinician)],
            },
        ];
        let Identity::Wallet(wallet) = &scene.patient.identity else {
            return Err(fault(scene.step, "not a wallet"));
        };
        scene.patient.client.set_guardians(wallet, chart, (&groups, 2), None).await?;
        scene.patient.remember()
    }

    /// Two friends and the officer vouch; says from when on the chart can be taken over.
    async fn vouch(
        &self,
        scene: &Scene,
        friends: &[Session],
        lost: &Session,
    ) -> Result<String, Failure> {
        let chart = scene.chart;
        let Identity::Wallet(wallet) = &scene.patient.identity else {
            return Err(fault(scene.step, "not a wallet"));
        };
        let chain = lost.client.consortium().chain();
        let offer = Offer::make(chain, chart, wallet.new_holder(chart).secret());
        let officer = Session::open(&person_folder(self.dir, "officer"))?;
        let friend = quoted(&self.folder_of(chart, "friend-1"));
        self.command(&format!("recover start --as {friend} --chart {chart} --offer new.offer"));
        self.command("recover approve ...    # the second friend, and the privacy officer");
        let keys = |it: &Session| GuardianKeys::of_offer(chart, &it.delegate(chart));
        let [first, second, ..] = friends else {
            return Err(fault(scene.step, "there are too few friends"));
        };
        first.client.start_recovery(&keys(first), &offer, RecoveryGround::Lost).await?;
        second.client.approve_recovery(&keys(second), &offer).await?;
        // The patient is told while it can be vetoed.
        let seen = lost.client.recoveries(&lost.actor(chart)?, chart).await?;
        if seen.len() != 1 || seen[0].ready_at.is_some() {
            return Err(fault(scene.step, &format!("two friends alone were to wait: {seen:?}")));
        }
        let keys = GuardianKeys::of_member(officer.member()?);
        officer.client.approve_recovery(&keys, &offer).await?;
        let seen = officer.client.recoveries(keys.actor(), chart).await?;
        let ready = seen.first().and_then(|it| it.ready_at);
        let ready = ready.ok_or_else(|| fault(scene.step, "enough approved, and it waits"))?;
        Ok(ready.to_string())
    }

    /// Takes the chart over once the delay is past; says how often it was too soon.
    async fn take_over(&self, scene: &mut Scene) -> Result<usize, Failure> {
        let (chart, step) = (scene.chart, scene.step);
        let folder = quoted(&self.wallet_folder(chart));
        self.command(&format!("recover finish --as {folder} {chart}"));
        let Identity::Wallet(wallet) = &mut scene.patient.identity else {
            return Err(fault(step, "not a wallet"));
        };
        for refused in 0..TRIES {
            match scene.patient.client.finish_recovery(wallet, chart).await {
                Ok(_) => {
                    scene.patient.remember()?;
                    return Ok(refused);
                }
                Err(ClientError::Ledger(LedgerError::Rejected {
                    rejection: Rejection::RecoveryTooSoon { .. },
                    ..
                })) => tokio::time::sleep(PAUSE).await,
                Err(other) => return Err(other.into()),
            }
        }
        Err(fault(step, "the delay did not pass"))
    }

    /// The new wallet reads what was sealed before the patient had even the first one.
    async fn read_as_before(&self, scene: &Scene) -> Result<(), Failure> {
        let actor = scene.patient.actor(scene.chart)?;
        let normal = meaning(&scene.patient, scene.chart, "normal")?;
        let compartments = CompartmentSet::EMPTY.with(normal);
        let seeds = scene.patient.own_seeds(scene.chart, compartments).await?;
        let what = What::Records(vec![scene.note_name]);
        let opening = Opening {
            actor: &actor,
            chart: scene.chart,
            what: &what,
            purpose: Purpose::PatientRequest,
            seeds: &seeds,
        };
        let opened = scene.patient.client.open(&opening).await?;
        let record = opened.records.first();
        let record = record.ok_or_else(|| fault(scene.step, "the record stayed closed"))?;
        let mut content = Vec::new();
        scene.patient.client.read(&actor, record, &mut content).await?;
        if content == NOTE {
            Ok(())
        } else {
            Err(fault(scene.step, "what was read is not what was written"))
        }
    }
}
