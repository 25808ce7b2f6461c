//! The guided tour: the life of a record, each step done for real and checked.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use commonware_runtime::tokio::Context;
use keepwell_client::{
    ClientError,
    author::{AddedRecord, NewRecord},
    chart::ClaimLetter,
    error::LedgerError,
    grant::{GivenGrant, Recipient},
    identity::{Seeds, Wallet},
    open::{Opened, Opening, What},
    verify::LogMark,
};
use keepwell_crypto::keys::ClaimCode;
use keepwell_types::{
    access::{Purpose, RecordName},
    encoding::List,
    grant::{Effect, GrantTerms, Grantee},
    id::{ChartId, Compartment},
    record::RecordKind,
    set::{CompartmentSet, KindSet, PurposeSet},
    time::Window,
};

use super::{Consortium, Loaded, founding, organisation_folder, person_folder};
use crate::{
    commands::audit,
    failure::Failure,
    output::Output,
    profile::{Identity, Session},
};

const THIRTY_DAYS_MS: u64 = 30 * 24 * 60 * 60 * 1_000;
/// How long a validator may take to come back and catch up.
const CATCH_UP: Duration = Duration::from_secs(60);
/// What the hospital writes while the patient is away.
const NOTE: &[u8] = br#"{"resourceType":"DocumentReference","status":"current","description":"Discharge note: recovering well, wound clean, review in two weeks."}"#;

/// What the tour works with.
pub(super) struct Tour<'a> {
    pub(super) dir: &'a Path,
    pub(super) context: &'a Context,
    pub(super) output: &'a Output,
}

/// What the steps hand on.
struct Scene {
    step: usize,
    chart: ChartId,
    name: String,
    hospital: Session,
    clinician: Session,
    patient: Session,
    note: AddedRecord,
    note_name: RecordName,
}

impl Tour<'_> {
    pub(super) async fn run(
        &self,
        consortium: &mut Consortium,
        loaded: &mut Loaded,
    ) -> Result<(), Failure> {
        let mut scene = self.write_while_away(loaded).await?;
        self.claim(&mut scene, loaded).await?;
        let given = self.grant(&mut scene).await?;
        let seeds = self.open_normal(&mut scene, &given).await?;
        self.ask_for_psychiatry(&mut scene, &seeds).await?;
        self.who_looked(&mut scene).await?;
        self.revoke(&mut scene, &given, &seeds).await?;
        self.verify_offline(&mut scene, consortium).await?;
        self.flip_a_byte(&mut scene).await?;
        self.stop_a_validator(&mut scene, consortium).await?;
        self.output.say("\nThe tour is complete: every step did what it says.");
        Ok(())
    }

    fn title(&self, scene_step: usize, title: &str) {
        self.output.say(&format!("{scene_step:>2}  {title}"));
    }

    fn command(&self, line: &str) {
        self.output.say(&format!("    $ keepwell {line}"));
    }

    fn result(&self, text: &str) {
        for line in text.lines() {
            self.output.say(&format!("    {line}"));
        }
        self.output.say("");
    }

    fn person(&self, name: &str) -> String {
        person_folder(self.dir, name).display().to_string()
    }

    /// 1: the hospital writes while the patient has not even a wallet.
    async fn write_while_away(&self, loaded: &Loaded) -> Result<Scene, Failure> {
        let patient = loaded
            .patients
            .iter()
            .find(|it| it.letter.is_some())
            .ok_or_else(|| fault(1, "no patient is left whose chart is not claimed"))?;
        let (chart, name) = (patient.chart, patient.name.clone());
        let hospital = Session::open(&person_folder(self.dir, "agent"))?;
        let clinician = Session::open(&person_folder(self.dir, "clinician"))?;
        self.title(1, &format!("The hospital writes a record of {name}, whose wallet is offline"));
        let path = self.dir.join("discharge-note.json");
        fs::write(&path, NOTE).map_err(Failure::at(&path))?;
        self.command(&format!(
            "record add --as {} --chart {chart} --compartment normal {}",
            self.person("agent"),
            path.display()
        ));
        let actor = hospital.actor(chart)?;
        let normal = meaning(&hospital, chart, "normal")?;
        let authoring = hospital.client.authoring(&actor, chart).await?;
        let new = NewRecord::new(normal, RecordKind::Document);
        let note =
            hospital.client.add_record(&actor, &authoring, &new, (NOTE, NOTE.len() as u64)).await?;
        let position = hospital.client.position(&actor, chart, &note.decided).await?;
        let at = note.decided.outcome().location;
        self.result(&format!(
            "record {} at position {position}, final in block {}, at two custodians; no node can read it",
            note.record, at.height
        ));
        let patient = Session { client: copy_of(&hospital)?, identity: self.new_wallet(chart)? };
        let note_name = RecordName { position, record: note.record };
        Ok(Scene { step: 1, chart, name, hospital, clinician, patient, note, note_name })
    }

    fn wallet_folder(&self, chart: ChartId) -> PathBuf {
        person_folder(self.dir, &format!("patient-{}", &chart.to_string()[..8]))
    }

    fn new_wallet(&self, chart: ChartId) -> Result<Identity, Failure> {
        let folder = self.wallet_folder(chart);
        let unlock = founding::unlock(self.dir)?;
        founding::profile(self.dir)?.write(&folder)?;
        let wallet = folder.join("wallet");
        let wallet = if wallet.exists() {
            Wallet::open(&wallet, &unlock)?
        } else {
            Wallet::create(&wallet, &unlock, true)?
        };
        Ok(Identity::Wallet(wallet.into()))
    }

    /// 2: the patient takes control with the letter and the code.
    async fn claim(&self, scene: &mut Scene, loaded: &mut Loaded) -> Result<(), Failure> {
        scene.step = 2;
        self.title(
            2,
            &format!("{} makes a wallet and claims the chart: every key changes", scene.name),
        );
        let known = loaded
            .patients
            .iter_mut()
            .find(|it| it.chart == scene.chart)
            .ok_or_else(|| fault(2, "the patient is gone"))?;
        let (Some(letter_path), Some(code)) = (&known.letter, &known.code) else {
            return Err(fault(2, "the chart is claimed already"));
        };
        let wallet = self.wallet_folder(scene.chart).display().to_string();
        self.command(&format!(
            "chart claim --as {wallet} --letter {} --code '{code}'",
            letter_path.display()
        ));
        let letter =
            ClaimLetter::decode(&fs::read(letter_path).map_err(Failure::at(letter_path))?)?;
        let code = ClaimCode::parse(code).map_err(|error| fault(2, &error.to_string()))?;
        let Identity::Wallet(keys) = &mut scene.patient.identity else {
            return Err(fault(2, "not a wallet"));
        };
        scene.patient.client.claim_chart(keys, &letter, &code).await?;
        scene.patient.remember()?;
        known.letter = None;
        known.code = None;
        loaded.write(self.dir)?;
        let actor = scene.patient.actor(scene.chart)?;
        let entry = scene.patient.client.chart(&actor, scene.chart).await?;
        if !entry.claimed || entry.epochs.iter().any(|epoch| epoch.0 != 1) {
            return Err(fault(2, "the chart is not claimed, or its epochs did not advance"));
        }
        self.result("the chart is the patient's; the hospital's key agent can read nothing new");
        Ok(())
    }

    /// 3: a grant of normal records, for treatment, for 30 days.
    async fn grant(&self, scene: &mut Scene) -> Result<GivenGrant, Failure> {
        scene.step = 3;
        self.title(3, "The patient grants the telehealth clinician normal records, for treatment, for 30 days");
        let member = scene.clinician.member()?;
        self.command(&format!(
            "grant give --as {} --chart {} --to {} --key {}/member.pub --compartment normal --purpose TREAT --days 30",
            self.wallet_folder(scene.chart).display(),
            scene.chart,
            member.member(),
            self.person("clinician"),
        ));
        let holder = scene.patient.holder(scene.chart)?;
        let normal = meaning(&scene.patient, scene.chart, "normal")?;
        let now = scene.patient.client.tip().await?.header().time;
        let terms = GrantTerms {
            effect: Effect::Allow,
            grantee: Grantee::Member(member.member()),
            compartments: CompartmentSet::EMPTY.with(normal),
            kinds: KindSet::all(),
            records: List::new(),
            purposes: PurposeSet::EMPTY.with(Purpose::Treatment),
            window: Window { from: now, until: now.plus_ms(THIRTY_DAYS_MS) },
            accesses_max: None,
            separate_consent: false,
        };
        let to = Recipient { member: member.member(), key: member.sealing_public() };
        let meanings = scene.patient.meanings(scene.chart).cloned().unwrap_or_default();
        let given = scene.patient.client.give_grant(&holder, terms, Some(&to), &meanings).await?;
        scene.patient.remember()?;
        let at = given.decided.outcome().location;
        self.result(&format!("grant {} is in force from block {}", given.grant, at.height));
        Ok(given)
    }

    /// 4: one access, many records, plaintext.
    async fn open_normal(&self, scene: &mut Scene, given: &GivenGrant) -> Result<Seeds, Failure> {
        scene.step = 4;
        self.title(4, "The clinician opens the chart in one access and reads it");
        let normal = meaning(&scene.patient, scene.chart, "normal")?;
        self.command(&format!(
            "open --as {} --chart {} --grant {} --compartment {} --purpose TREAT",
            self.person("clinician"),
            scene.chart,
            given.grant,
            normal.index()
        ));
        let member = scene.clinician.member()?;
        let (actor, key) = (member.actor(), member.sealing());
        let terms = Some(&given.notice.terms);
        let at = (scene.chart, given.grant);
        let (_, seeds) = scene.clinician.client.accept_grant(&actor, &key, at, terms).await?;
        let opened = self.open(scene, normal, &seeds).await?;
        if let Some(withheld) = opened.withheld.first() {
            return Err(fault(4, &format!("a record stayed closed: {}", withheld.error)));
        }
        let mut shown = Vec::new();
        let mut found = false;
        for record in &opened.records {
            let mut content = Vec::new();
            scene.clinician.client.read(&actor, record, &mut content).await?;
            found |= content == NOTE;
            shown.push(keepwell_fhir::summary::one_line(&content));
        }
        if !found {
            return Err(fault(4, "the hospital's note is not among what was read"));
        }
        let more = shown.len().saturating_sub(4);
        let lines = shown.iter().rev().take(4).map(|it| format!("  {it}")).collect::<Vec<_>>();
        self.result(&format!(
            "{}\n  ... and {more} more\n{} records opened with shares of the validators, by the access at position {}",
            lines.join("\n"),
            opened.records.len(),
            opened.position
        ));
        Ok(seeds)
    }

    async fn open(
        &self,
        scene: &Scene,
        compartment: Compartment,
        seeds: &Seeds,
    ) -> Result<Opened, ClientError> {
        let actor = scene.clinician.member().expect("the clinician is a member").actor();
        let what = What::Compartments(CompartmentSet::EMPTY.with(compartment), None);
        let opening = Opening {
            actor: &actor,
            chart: scene.chart,
            what: &what,
            purpose: Purpose::Treatment,
            seeds,
        };
        scene.clinician.client.open(&opening).await
    }

    /// Expects that opening a compartment is refused by the ledger.
    async fn refused(
        &self,
        scene: &Scene,
        compartment: Compartment,
        seeds: &Seeds,
    ) -> Result<String, Failure> {
        match self.open(scene, compartment, seeds).await {
            Err(ClientError::Ledger(LedgerError::Rejected { rejection, at })) => {
                Ok(format!("refused in block {}: {rejection}", at.height))
            }
            Err(other) => {
                Err(fault(scene.step, &format!("it failed, and not by a refusal: {other}")))
            }
            Ok(_) => Err(fault(scene.step, "it was opened, and must have been refused")),
        }
    }

    /// 5: what was not granted is refused, and the refusal is kept.
    async fn ask_for_psychiatry(&self, scene: &mut Scene, seeds: &Seeds) -> Result<(), Failure> {
        scene.step = 5;
        self.title(5, "The clinician asks for psychiatry, which nobody granted");
        let psychiatry = meaning(&scene.patient, scene.chart, "psychiatry")?;
        self.command(&format!(
            "open --as {} --chart {} --compartment {} --purpose TREAT",
            self.person("clinician"),
            scene.chart,
            psychiatry.index()
        ));
        let refusal = self.refused(scene, psychiatry, seeds).await?;
        self.result(&refusal);
        Ok(())
    }

    /// 6: the patient sees who, organisation, purpose, when, which.
    async fn who_looked(&self, scene: &mut Scene) -> Result<(), Failure> {
        scene.step = 6;
        self.title(6, "The patient asks who looked");
        self.command(&format!(
            "audit --as {} {}",
            self.wallet_folder(scene.chart).display(),
            scene.chart
        ));
        let actor = scene.patient.actor(scene.chart)?;
        let seen = scene.patient.client.audit(&actor, scene.chart, LogMark::START).await?;
        let refused = seen.accesses.iter().filter(|it| it.refused.is_some()).count();
        if seen.accesses.len() < 2 || refused != 1 {
            return Err(fault(6, &format!("{} accesses, {refused} refused", seen.accesses.len())));
        }
        audit::show(&mut scene.patient, scene.chart, self.output).await?;
        self.output.say("");
        Ok(())
    }

    /// 7: revoked means refused, whatever keys the reader still holds.
    async fn revoke(
        &self,
        scene: &mut Scene,
        given: &GivenGrant,
        seeds: &Seeds,
    ) -> Result<(), Failure> {
        scene.step = 7;
        self.title(
            7,
            "The patient revokes; the clinician still holds the compartment's key and tries again",
        );
        self.command(&format!(
            "grant revoke --as {} --chart {} {}",
            self.wallet_folder(scene.chart).display(),
            scene.chart,
            given.grant
        ));
        let holder = scene.patient.holder(scene.chart)?;
        let decided = scene.patient.client.revoke_grant(&holder, given.grant).await?;
        scene.patient.remember()?;
        let normal = meaning(&scene.patient, scene.chart, "normal")?;
        let refusal = self.refused(scene, normal, seeds).await?;
        let at = decided.outcome().location;
        self.result(&format!("revoked in block {}\nthe next open: {refusal}", at.height));
        Ok(())
    }

    /// 8: a receipt holds with every node stopped.
    async fn verify_offline(
        &self,
        scene: &mut Scene,
        consortium: &mut Consortium,
    ) -> Result<(), Failure> {
        scene.step = 8;
        self.title(8, "A receipt of the record is verified with every node stopped");
        let receipt = self.dir.join("discharge-note.receipt");
        let bytes = scene.note.decided.receipt().encode();
        fs::write(&receipt, &bytes).map_err(Failure::at(&receipt))?;
        consortium.stop().await;
        let genesis = self.dir.join("genesis.cbor");
        self.command(&format!("verify --genesis {} {}", genesis.display(), receipt.display()));
        let text = verify(&genesis, &receipt, true)?;
        self.result(text.trim_end());
        let mut altered = bytes;
        let middle = altered.len() / 2;
        altered[middle] ^= 1;
        let path = self.dir.join("altered.receipt");
        fs::write(&path, altered).map_err(Failure::at(&path))?;
        self.command(&format!(
            "verify --genesis {} {}    # one bit turned over",
            genesis.display(),
            path.display()
        ));
        self.result(verify(&genesis, &path, false)?.trim_end());
        consortium.start_all(self.context, self.dir).await?;
        Ok(())
    }

    /// 9: damage at a custodian is found and named, and another custodian stands in.
    async fn flip_a_byte(&self, scene: &mut Scene) -> Result<(), Failure> {
        scene.step = 9;
        self.title(
            9,
            "One byte of the ciphertext at the hospital is flipped; the patient reads the record",
        );
        let record = scene.note_name.record;
        let path = organisation_folder(self.dir, "hospital").join(format!(
            "node/custody/records/{}/{record}-{}.body",
            scene.chart, scene.note.label.version
        ));
        let mut body = fs::read(&path).map_err(Failure::at(&path))?;
        let last = body.len() - 1;
        body[last] ^= 1;
        fs::write(&path, &body).map_err(Failure::at(&path))?;
        self.command(&format!(
            "record get --as {} --chart {} --position {} --to note.json",
            self.wallet_folder(scene.chart).display(),
            scene.chart,
            scene.note_name.position
        ));
        let actor = scene.patient.actor(scene.chart)?;
        let normal = meaning(&scene.patient, scene.chart, "normal")?;
        let seeds =
            scene.patient.own_seeds(scene.chart, CompartmentSet::EMPTY.with(normal)).await?;
        let what = What::Records(vec![scene.note_name]);
        let opening = Opening {
            actor: &actor,
            chart: scene.chart,
            what: &what,
            purpose: Purpose::PatientRequest,
            seeds: &seeds,
        };
        let opened = scene.patient.client.open(&opening).await?;
        let record = opened.records.first().ok_or_else(|| fault(9, "the record stayed closed"))?;
        let mut content = Vec::new();
        let report = scene.patient.client.read(&actor, record, &mut content).await?;
        let named: Vec<_> =
            opened.custodians.iter().chain(&report.faults).map(ToString::to_string).collect();
        if content != NOTE || named.is_empty() {
            return Err(fault(9, "the damage was not named, or the content is wrong"));
        }
        self.result(&format!("{}\nread all the same, from the other custodian", named.join("\n")));
        body[last] ^= 1;
        fs::write(&path, body).map_err(Failure::at(&path))?;
        Ok(())
    }

    /// 10 and 11: one validator stops at once; the others go on; it comes back and catches up.
    async fn stop_a_validator(
        &self,
        scene: &mut Scene,
        consortium: &mut Consortium,
    ) -> Result<(), Failure> {
        scene.step = 10;
        self.title(
            10,
            "The insurer's validator is stopped at once, as by a crash; the consortium goes on",
        );
        let place = consortium.place("insurer");
        if let Some(node) = place.node.take() {
            node.abort().await;
        }
        let actor = scene.hospital.actor(scene.chart)?;
        let authoring = scene.hospital.client.authoring(&actor, scene.chart).await?;
        let normal = meaning(&scene.hospital, scene.chart, "normal")?;
        let new = NewRecord::new(normal, RecordKind::Document);
        let started = Instant::now();
        let added = scene
            .hospital
            .client
            .add_record(&actor, &authoring, &new, (NOTE, NOTE.len() as u64))
            .await?;
        let at = added.decided.outcome().location;
        self.result(&format!(
            "another record is final in block {}, {:.1} s later, with three validators of four",
            at.height,
            started.elapsed().as_secs_f64()
        ));
        scene.step = 11;
        self.title(11, "It comes back and catches up");
        let place = consortium.place("insurer");
        place.start(self.context, self.dir).await?;
        let node = place.node.as_ref().ok_or_else(|| fault(11, "it did not start"))?;
        let started = Instant::now();
        while node.core.tip().height() < at.height {
            if started.elapsed() > CATCH_UP {
                return Err(fault(
                    11,
                    &format!("it is at block {} after a minute", node.core.tip().height()),
                ));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.result(&format!(
            "it has block {} after {:.1} s",
            node.core.tip().height(),
            started.elapsed().as_secs_f64()
        ));
        Ok(())
    }
}

fn fault(step: usize, reason: &str) -> Failure {
    Failure::Tour { step, reason: reason.to_owned() }
}

fn meaning(session: &Session, chart: ChartId, name: &str) -> Result<Compartment, Failure> {
    let meanings = session.meanings(chart).ok_or_else(|| {
        Failure::Misused("this profile does not know what the compartments are for".into())
    })?;
    Ok(meanings.compartment(name)?)
}

/// A client of its own, with the same nodes.
fn copy_of(session: &Session) -> Result<keepwell_client::Client, Failure> {
    let genesis = session.client.consortium().genesis().clone();
    let consortium = std::sync::Arc::new(keepwell_client::Consortium::new(genesis)?);
    Ok(keepwell_client::Client::new(
        consortium,
        session.client.nodes().endpoints().to_vec(),
        session.client.seen(),
    )?)
}

/// Runs this very program's `verify` in a process of its own.
fn verify(genesis: &Path, receipt: &Path, holds: bool) -> Result<String, Failure> {
    let program = std::env::current_exe().map_err(Failure::at("this program"))?;
    let done = Command::new(&program)
        .arg("verify")
        .arg("--genesis")
        .arg(genesis)
        .arg(receipt)
        .output()
        .map_err(Failure::at(program))?;
    let text = if holds { done.stdout } else { done.stderr };
    let text = String::from_utf8_lossy(&text).into_owned();
    if done.status.success() == holds {
        Ok(text)
    } else {
        Err(fault(8, &format!("verify said {text:?}")))
    }
}
