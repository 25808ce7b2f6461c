//! The guided tour: the life of a record, each step done for real and checked.

mod cases;
mod emergency;
mod explain;
mod keys;
mod redaction;
mod request;
mod signoff;

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use commonware_runtime::tokio::Context;
use keepwell_client::{
    ClientError,
    audit::Access,
    author::{AddedRecord, NewRecord},
    chart::ClaimLetter,
    error::{CustodyProblem, LedgerError, SealedObject},
    grant::{GivenGrant, Recipient},
    identity::{Seeds, Wallet},
    open::{Opened, Opening, What},
    verify::LogMark,
};
use keepwell_crypto::keys::ClaimCode;
use keepwell_types::{
    access::{Purpose, RecordName, Target},
    encoding::List,
    grant::{Effect, GrantTerms, Grantee},
    id::{ChartId, Compartment, Location, MemberId},
    member::{Party, Role},
    outcome::{Rejection, Verdict},
    record::RecordKind,
    set::{CompartmentSet, KindSet, PurposeSet, RoleSet},
    time::{BlockTime, Window},
};

use super::{Consortium, Loaded, founding, organisation_folder, organisation_id, person_folder};
use crate::{
    commands::audit,
    failure::Failure,
    output::Output,
    profile::{Identity, Session},
};

/// The organisation of the clinician.
const CLINIC: &str = "Meridian Telehealth";
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
    /// Every access since the patient claimed the chart.
    asked: Vec<Asked>,
    /// How long the clinician's opening with a grant took.
    opened_in: Duration,
}

/// What the clinician asked for, as the ledger decided it.
struct Asked {
    compartment: Compartment,
    at: Location,
    time: BlockTime,
    refused: Option<Rejection>,
}

impl Asked {
    /// Whether `access` tells the patient just this.
    fn is(&self, access: &Access, reader: MemberId) -> bool {
        let asked_for = CompartmentSet::EMPTY.with(self.compartment);
        let covers = matches!(&access.target, Target::Compartments { compartments, .. } if *compartments == asked_for);
        covers
            && (access.reader, access.purpose) == (Party::Member(reader), Purpose::Treatment)
            && (access.location, access.time, &access.refused)
                == (self.at, self.time, &self.refused)
    }
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
        self.ask_for_psychiatry(&mut scene, &given).await?;
        self.who_looked(&mut scene).await?;
        self.why(&scene, &given).await?;
        self.revoke(&mut scene, &given, &seeds).await?;
        self.ask_and_answer(&mut scene).await?;
        self.co_sign(&mut scene).await?;
        self.amend(&mut scene).await?;
        self.redact(&mut scene).await?;
        self.verify_offline(&mut scene, consortium).await?;
        self.flip_a_byte(&mut scene).await?;
        self.lose_the_wallet(&mut scene).await?;
        self.emergency(&mut scene).await?;
        self.stop_a_validator(&mut scene, consortium).await
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
        quoted(&person_folder(self.dir, name))
    }

    /// 1: the hospital writes while the patient has not even a wallet.
    async fn write_while_away(&self, loaded: &Loaded) -> Result<Scene, Failure> {
        let patient = loaded
            .patients
            .iter()
            .find(|it| it.letter.is_some())
            .ok_or_else(|| fault(1, "no patient is left whose chart is not claimed; load more (--patients, --bundles), or name a new --dir"))?;
        let (chart, name) = (patient.chart, patient.name.clone());
        let hospital = Session::open(&person_folder(self.dir, "agent"))?;
        let clinician = Session::open(&person_folder(self.dir, "clinician"))?;
        self.title(1, &format!("The hospital writes a record of {name}, whose wallet is offline"));
        let path = self.dir.join("discharge-note.json");
        fs::write(&path, NOTE).map_err(Failure::at(&path))?;
        self.command(&format!(
            "record add --as {} --chart {chart} --compartment normal {}",
            self.person("agent"),
            quoted(&path)
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
        Ok(Scene {
            step: 1,
            chart,
            name,
            hospital,
            clinician,
            patient,
            note,
            note_name,
            asked: Vec::new(),
            opened_in: Duration::ZERO,
        })
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
        let wallet = quoted(&self.wallet_folder(scene.chart));
        self.command(&format!(
            "chart claim --as {wallet} --letter {} --code '{code}'",
            quoted(letter_path)
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
            quoted(&self.wallet_folder(scene.chart)),
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
            onward: false,
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
        let begun = Instant::now();
        let opened = self.open(scene, normal, &seeds).await?;
        scene.opened_in = begun.elapsed();
        // Legal matter waits for its signatures, and nobody from elsewhere reads it before.
        let waits = |kind| kind == RecordKind::Legal;
        if let Some(withheld) = opened.withheld.iter().find(|it| !waits(it.facts.kind)) {
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
        let outcome = opened.decided.outcome();
        scene.asked.push(Asked {
            compartment: normal,
            at: outcome.location,
            time: outcome.time,
            refused: None,
        });
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

    /// 5: what was not granted is refused, and the refusal is kept.
    async fn ask_for_psychiatry(
        &self,
        scene: &mut Scene,
        given: &GivenGrant,
    ) -> Result<(), Failure> {
        scene.step = 5;
        self.title(5, "The clinician asks for psychiatry, which nobody granted");
        let psychiatry = meaning(&scene.patient, scene.chart, "psychiatry")?;
        let (chart, grant) = (scene.chart.to_string(), given.grant.to_string());
        let (person, compartment) = (person_folder(self.dir, "clinician"), psychiatry.index());
        self.command(&format!(
            "open --as {} --chart {chart} --grant {grant} --compartment {compartment} --purpose TREAT",
            quoted(&person)
        ));
        let compartment = compartment.to_string();
        let open = ["open", "--chart", &chart, "--grant", &grant, "--compartment", &compartment];
        let mut arguments = Vec::from(open.map(OsString::from));
        arguments.extend(["--purpose".into(), "TREAT".into(), "--as".into(), person.into()]);
        let said = by_hand(5, arguments, false).await?;
        let actor = scene.patient.actor(scene.chart)?;
        let seen = scene.patient.client.audit(&actor, scene.chart, LogMark::START).await?;
        let access = seen.accesses.last().ok_or_else(|| fault(5, "the log has no access"))?;
        // What the receipt proves, and not only the log.
        let decided = scene.patient.client.receipt(&actor, access.location).await?;
        let outcome = decided.outcome();
        let asked = Asked {
            compartment: psychiatry,
            at: outcome.location,
            time: outcome.time,
            refused: Some(Rejection::NotGranted),
        };
        let refusal = LedgerError::Rejected { rejection: Rejection::NotGranted, at: asked.at };
        if outcome.verdict != Verdict::Rejected(Rejection::NotGranted)
            || !asked.is(access, scene.clinician.member()?.member())
            || !said.contains(&refusal.to_string())
        {
            return Err(fault(
                5,
                &format!("the log has {access:?}, and the clinician saw {said:?}"),
            ));
        }
        scene.asked.push(asked);
        self.result(said.trim_end());
        Ok(())
    }

    /// 6: the patient sees who, organisation, purpose, when, which.
    async fn who_looked(&self, scene: &mut Scene) -> Result<(), Failure> {
        scene.step = 6;
        self.title(6, "The patient asks who looked");
        self.command(&format!(
            "audit --as {} {}",
            quoted(&self.wallet_folder(scene.chart)),
            scene.chart
        ));
        let actor = scene.patient.actor(scene.chart)?;
        let seen = scene.patient.client.audit(&actor, scene.chart, LogMark::START).await?;
        let claimed = seen.claimed.ok_or_else(|| fault(6, "the log has no claim"))?;
        let accesses: Vec<_> = seen.accesses.iter().filter(|it| it.position > claimed).collect();
        let reader = scene.clinician.member()?.member();
        let are_told = accesses.len() == scene.asked.len()
            && scene.asked.iter().zip(&accesses).all(|(asked, access)| asked.is(access, reader));
        let clinic = organisation_id(self.dir, "clinic")?;
        let is_named = seen.readers.get(&reader).and_then(Option::as_ref).is_some_and(|facts| {
            (facts.organisation, facts.organisation_name.as_str()) == (clinic, CLINIC)
                && facts.roles == RoleSet::EMPTY.with(Role::Clinician)
        });
        if !are_told || !is_named {
            return Err(fault(
                6,
                &format!("of two accesses it tells {accesses:?} by {:?}", seen.readers),
            ));
        }
        if self.output.is_text() {
            audit::show(&mut scene.patient, scene.chart, self.output).await?;
        }
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
            quoted(&self.wallet_folder(scene.chart)),
            scene.chart,
            given.grant
        ));
        let holder = scene.patient.holder(scene.chart)?;
        let decided = scene.patient.client.revoke_grant(&holder, given.grant).await?;
        let compartments = given.notice.terms.compartments;
        scene.patient.client.rotate_compartments(&holder, compartments).await?;
        scene.patient.remember()?;
        let normal = meaning(&scene.patient, scene.chart, "normal")?;
        let revoked = decided.outcome().location;
        let refused = match self.open(scene, normal, seeds).await {
            Err(ClientError::Ledger(LedgerError::Rejected {
                rejection: Rejection::NotGranted,
                at,
            })) => at,
            Err(other) => return Err(fault(7, &format!("it failed, and not as revoked: {other}"))),
            Ok(_) => return Err(fault(7, "it was opened, and must have been refused")),
        };
        if refused <= revoked {
            return Err(fault(7, &format!("revoked at {revoked:?}, refused at {refused:?}")));
        }
        self.result(&format!(
            "revoked in block {}; what is added from now on is sealed to a new key\nthe next open: refused in block {}: {}",
            revoked.height,
            refused.height,
            Rejection::NotGranted
        ));
        Ok(())
    }

    /// A receipt holds with every node stopped.
    async fn verify_offline(
        &self,
        scene: &mut Scene,
        consortium: &mut Consortium,
    ) -> Result<(), Failure> {
        scene.step += 1;
        self.title(scene.step, "A receipt of the record is verified with every node stopped");
        let receipt = self.dir.join("discharge-note.receipt");
        let bytes = scene.note.decided.receipt().encode();
        fs::write(&receipt, &bytes).map_err(Failure::at(&receipt))?;
        consortium.stop().await;
        let genesis = self.dir.join("genesis.cbor");
        self.command(&format!("verify --genesis {} {}", quoted(&genesis), quoted(&receipt)));
        let verify = |receipt: &Path| {
            vec!["verify".into(), "--genesis".into(), (&genesis).into(), receipt.into()]
        };
        self.result(by_hand(scene.step, verify(&receipt), true).await?.trim_end());
        let mut altered = bytes;
        let middle = altered.len() / 2;
        altered[middle] ^= 1;
        let path = self.dir.join("altered.receipt");
        fs::write(&path, altered).map_err(Failure::at(&path))?;
        self.command(&format!(
            "verify --genesis {} {}    # one bit turned over",
            quoted(&genesis),
            quoted(&path)
        ));
        self.result(by_hand(scene.step, verify(&path), false).await?.trim_end());
        consortium.start_all(self.context, self.dir).await?;
        Ok(())
    }

    /// Damage at a custodian is found and named, and another custodian stands in.
    async fn flip_a_byte(&self, scene: &mut Scene) -> Result<(), Failure> {
        scene.step += 1;
        self.title(
            scene.step,
            "One byte of the ciphertext at the hospital is flipped; the patient reads the record",
        );
        let damaged = SealedObject::Record(scene.note_name.record);
        let path = organisation_folder(self.dir, "hospital").join(format!(
            "node/custody/records/{}/{}-{}.body",
            scene.chart, scene.note_name.record, scene.note.label.version
        ));
        let mut body = fs::read(&path).map_err(Failure::at(&path))?;
        let last = body.len() - 1;
        body[last] ^= 1;
        fs::write(&path, &body).map_err(Failure::at(&path))?;
        self.command(&format!(
            "record get --as {} --chart {} --position {} --to note.json",
            quoted(&self.wallet_folder(scene.chart)),
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
        let record =
            opened.records.first().ok_or_else(|| fault(scene.step, "the record stayed closed"))?;
        let mut content = Vec::new();
        let report = scene.patient.client.read(&actor, record, &mut content).await?;
        if content != NOTE {
            return Err(fault(scene.step, "what was read is not what was written"));
        }
        let hospital = organisation_id(self.dir, "hospital")?;
        let named: Vec<_> = opened.custodians.iter().chain(&report.faults).collect();
        let [named] = named[..] else {
            return Err(fault(scene.step, &format!("one fault was to be named, not {named:?}")));
        };
        if (named.custodian, named.object) != (hospital, damaged)
            || !matches!(named.problem, CustodyProblem::Chunk { .. })
        {
            return Err(fault(scene.step, &format!("{named}: that is not what was damaged")));
        }
        self.result(&format!("{named}\nread all the same, from the other custodian"));
        body[last] ^= 1;
        fs::write(&path, body).map_err(Failure::at(&path))?;
        Ok(())
    }

    /// The last two: one validator stops at once; the others go on; it comes back and catches up.
    async fn stop_a_validator(
        &self,
        scene: &mut Scene,
        consortium: &mut Consortium,
    ) -> Result<(), Failure> {
        scene.step += 1;
        self.title(
            scene.step,
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
        scene.step += 1;
        let step = scene.step;
        self.title(step, "It comes back and catches up");
        let place = consortium.place("insurer");
        place.start(self.context, self.dir).await?;
        let node = place.node.as_ref().ok_or_else(|| fault(step, "it did not start"))?;
        let started = Instant::now();
        while node.core.tip().height() < at.height {
            if started.elapsed() > CATCH_UP {
                return Err(fault(
                    step,
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

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let path = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-".contains(c);
    if path.chars().all(is_plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
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

/// Runs this very program in a process of its own, as a person would by hand. Returns what it said, if it
/// ended as it must.
async fn by_hand(step: usize, arguments: Vec<OsString>, succeeds: bool) -> Result<String, Failure> {
    let program = std::env::current_exe().map_err(Failure::at("this program"))?;
    let mut command = Command::new(&program);
    command.args(arguments);
    let done = tokio::task::spawn_blocking(move || command.output())
        .await
        .map_err(|error| fault(step, &error.to_string()))?
        .map_err(Failure::at(program))?;
    let text = if succeeds { done.stdout } else { done.stderr };
    let text = String::from_utf8_lossy(&text).into_owned();
    if done.status.success() == succeeds {
        Ok(text)
    } else {
        Err(fault(step, &format!("the command said {text:?}")))
    }
}
