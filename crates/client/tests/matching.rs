//! Two organisations find a person whom both know, link the charts, reverse the link, and file what was
//! written meanwhile where it belongs: against four real nodes in one process.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(missing_docs)]

#[path = "../../node/tests/common/mod.rs"]
mod common;
mod support;

use std::path::Path;

use common::consortium::{self, Consortium as Nodes, Person, error_of, now};
use keepwell_client::{
    Client, ClientError,
    author::NewRecord,
    chart::Arrangement,
    client::Draft,
    error::{LedgerError, UsageError},
    identity::{MemberIdentity, OrganisationAgent, Wallet},
    link::{KeptLinks, PatientsWord, Refiled},
    matching::{ProgrammeOf, RuledToken, TokenBook},
};
use keepwell_crypto::{
    matching::{BlindedPoint, Input, Programme, blind},
    seal::SealingKey,
};
use keepwell_ledger::state::LinkStatus;
use keepwell_node::random::rng;
use keepwell_types::{
    access::Purpose,
    command::Payload,
    encoding::{List, Text},
    id::{ChartId, LinkId, Location},
    limits::MATCH_POINTS_MAX,
    link::LinkReversal,
    matching::{MatchEvaluate, MatchRule},
    member::{OrganisationStanding, Role},
    outcome::Rejection,
    record::RecordKind,
    wire::MatchRequest,
};
use reqwest::Method;
use support::{client, enrol, unlock};

const NAMES: [(&str, bool); 1] = [("normal", false)];

#[test]
fn a_person_is_matched_linked_and_unlinked() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_path_buf();
    consortium::run(&path.clone(), |context| async move {
        let nodes = Nodes::start(context, &path).await;
        let client = client(&nodes);
        let hospital = enrol(&client, &nodes, 0, &[Role::KeyAgent, Role::Registrar]).await;
        let desk = enrol(&client, &nodes, 1, &[Role::Registrar, Role::Gateway]).await;
        let officer = enrol(&client, &nodes, 0, &[Role::PrivacyOfficer]).await;
        let world = World { nodes: &nodes, client: &client, path: &path, officer, desk };
        world.story(hospital).await;
        world.refusals().await;
        nodes.stop().await;
    });
}

struct World<'a> {
    nodes: &'a Nodes,
    client: &'a Client,
    path: &'a Path,
    officer: MemberIdentity,
    desk: MemberIdentity,
}

fn keys(ssn: &str, name: &str) -> Vec<(MatchRule, String)> {
    vec![
        (MatchRule::Identifier, format!("urn:ssn|{ssn}")),
        (MatchRule::NameBirthAndPostal, format!("{name}|1980-02-29|02139")),
    ]
}

impl World<'_> {
    fn programme(&self, name: &str) -> ProgrammeOf {
        ProgrammeOf {
            chain: self.nodes.chain,
            name: Text::from_string(name.into()).unwrap(),
            purpose: Purpose::Treatment,
        }
    }

    /// The book of a member with these patients.
    async fn book(
        &self,
        identity: &MemberIdentity,
        programme: &str,
        patients: &[(ChartId, Vec<(MatchRule, String)>)],
    ) -> TokenBook {
        let programme = self.programme(programme);
        let mut book = TokenBook::new(programme.clone());
        for (chart, keys) in patients {
            let evaluated =
                self.client.evaluate(&identity.actor(), &programme, keys).await.unwrap();
            assert!(evaluated.validators.is_empty(), "{:?}", evaluated.validators);
            let tokens = keys.iter().zip(&evaluated.tokens);
            let tokens = tokens.map(|((rule, _), token)| RuledToken { rule: *rule, token: *token });
            book.put(*chart, tokens.collect()).unwrap();
        }
        book
    }

    async fn open_chart(&self, agent: &mut OrganisationAgent, at: usize) -> ChartId {
        let arrangement = Arrangement {
            custodians: vec![self.nodes.organisations[at]],
            contributors: vec![self.nodes.organisations[1 - at]],
        };
        let until = now().plus_ms(3_600_000);
        let opened = self.client.open_chart_for_patient(agent, &NAMES, &arrangement, until).await;
        opened.unwrap().chart
    }

    async fn story(&self, hospital: MemberIdentity) {
        let (client, desk) = (self.client, &self.desk);
        let key_agent = enrol(client, self.nodes, 1, &[Role::KeyAgent, Role::Registrar]).await;
        let folder = self.path.join("agent");
        let mut agent =
            OrganisationAgent::create(&folder, hospital.clone(), &unlock(), true).unwrap();
        let folder = self.path.join("clinic agent");
        let mut clinic = OrganisationAgent::create(&folder, key_agent, &unlock(), true).unwrap();
        let chart = self.open_chart(&mut agent, 0).await;
        let stranger = self.open_chart(&mut agent, 0).await;
        let at_clinic = self.open_chart(&mut clinic, 1).await;

        // Both have their patients evaluated; equal keys give equal tokens.
        let patients = [(chart, keys("123", "brown|ana")), (stranger, keys("999", "green|bo"))];
        let mut ours = self.book(&hospital, "regional", &patients).await;
        let theirs = self.book(desk, "regional", &[(at_clinic, keys("123", "brown|anna"))]).await;
        let quota = client.match_quota(&desk.actor(), hospital.organisation()).await.unwrap();
        assert_eq!(quota.used, 4);

        let letter = client.share_tokens(&hospital, &mut ours, desk.member()).await.unwrap();
        let (writer, sheet) = client.shown_tokens(desk, &letter).await.unwrap();
        assert_eq!(writer.member, hospital.member());
        assert!(client.shown_tokens(&self.officer, &letter).await.is_err());
        let candidates = theirs.compare(&sheet).unwrap();
        assert_eq!(candidates.len(), 1);
        assert_eq!(candidates[0].chart, at_clinic);
        assert_eq!(candidates[0].rules.iter().collect::<Vec<_>>(), [&MatchRule::Identifier]);
        let subject = candidates[0].subject;
        let other = self.book(desk, "research", &[(at_clinic, keys("123", "brown|ana"))]).await;
        assert!(matches!(other.compare(&sheet), Err(UsageError::OtherProgramme { .. })));
        // Nor do tokens that say they are of the other programme agree.
        let mut lying = TokenBook::new(self.programme("regional"));
        lying.put(at_clinic, other.lines[0].tokens.to_vec()).unwrap();
        assert!(lying.compare(&sheet).unwrap().is_empty());

        // A link: the clinic proposes, the hospital confirms, its privacy officer finds it in order.
        let mut clinic_links = KeptLinks::open(&self.path.join("clinic.book"), desk).unwrap();
        let mut links = KeptLinks::open(&self.path.join("hospital.book"), &hospital).unwrap();
        let with = hospital.organisation();
        let until = now().plus_ms(3_600_000);
        let (link, _) =
            client.propose_link(desk, &mut clinic_links, (at_clinic, with), until).await.unwrap();
        let line = clinic_links.book.line(link).unwrap().clone();
        let letter =
            client.write_link(desk, &line, Some(subject), hospital.member()).await.unwrap();
        let (writer, about, _) = client.read_link(&hospital, &letter).await.unwrap();
        assert_eq!(about.side.chart, at_clinic);
        assert_eq!(ours.chart_of(about.subject.unwrap(), writer.member), Some(chart));

        // A letter that says another chart than the ledger commits to is refused.
        let mut forged = line.clone();
        forged.own.chart = stranger;
        let lie = client.write_link(desk, &forged, None, hospital.member()).await.unwrap();
        let refused = client.read_link(&hospital, &lie).await;
        assert!(
            matches!(refused, Err(ClientError::Usage(UsageError::LinkMismatch(it))) if it == link)
        );

        let from = writer.entry.organisation;
        client.confirm_link(&hospital, &mut links, (&about, from), chart).await.unwrap();
        let status = client.link(&desk.actor(), link).await.unwrap().status(now());
        assert_eq!(status, LinkStatus::Proposed, "two of three have said so");
        // The same letter again, and again with another chart: the salt on the ledger's side stays.
        let side = links.book.line(link).unwrap().own;
        let again = client.confirm_link(&hospital, &mut links, (&about, from), chart).await;
        self.is_rejected(again.map(|_| ()), &Rejection::LinkConfirmedAlready(link));
        let other = client.confirm_link(&hospital, &mut links, (&about, from), stranger).await;
        assert!(matches!(other, Err(ClientError::Usage(UsageError::LinkKnown(it))) if it == link));
        assert_eq!(links.book.line(link).unwrap().own, side);
        client.approve_link(&self.officer.actor(), link).await.unwrap();
        let entry = client.link(&desk.actor(), link).await.unwrap();
        assert_eq!(entry.status(now()), LinkStatus::Confirmed);
        let answer = links.book.line(link).unwrap().clone();
        let answer = client.write_link(&hospital, &answer, None, desk.member()).await.unwrap();
        let (writer, answer, _) = client.read_link(desk, &answer).await.unwrap();
        let from = writer.entry.organisation;
        client.keep_answer(&mut clinic_links, (&answer, from)).unwrap();
        let theirs = clinic_links.book.line(link).unwrap().theirs.unwrap();
        assert_eq!(theirs.chart, chart);
        assert!(theirs.is_of(&self.nodes.chain, link, &entry, with), "it can be proven later");

        // The clinic writes in the hospital's chart, and so does the hospital.
        let normal = agent.chart(chart).unwrap().meanings().compartment("normal").unwrap();
        let new = NewRecord::new(normal, RecordKind::Result);
        for identity in [desk, &hospital] {
            let actor = identity.actor();
            let authoring = client.authoring(&actor, chart).await.unwrap();
            client.add_record(&actor, &authoring, &new, (&b"{}"[..], 2)).await.unwrap();
        }

        // It was the wrong person. What was written meanwhile is listed, the clinic's first.
        let reason = (link, LinkReversal::WrongPerson);
        client.reverse_link(desk, &mut clinic_links, reason, None).await.unwrap();
        let again = client.reverse_link(&hospital, &mut links, reason, None).await;
        self.is_rejected(again.map(|_| ()), &Rejection::LinkReversed(link));
        let line = links.book.line(link).unwrap().clone();
        let work = client.work_list(&hospital.actor(), &line).await.unwrap();
        assert_eq!(work.len(), 2);
        assert!(work[0].by_counterpart && !work[1].by_counterpart);

        // The clinic's record goes to the clinic, which files it where it belongs.
        let refiled = Refiled::of(link, &work[0].facts, Some("normal"), b"{}".to_vec()).unwrap();
        let letter = client.write_refiled(&hospital, &refiled, desk.member()).await.unwrap();
        let (_, read) = client.read_refiled(desk, &letter).await.unwrap();
        assert_eq!(read, refiled);
        assert_eq!(read.author, Some(desk.member()));
        self.with_the_patients_consent(&mut agent, &hospital, chart).await;
    }

    /// The patient's word stands for the officer's, once it is the patient's.
    async fn with_the_patients_consent(
        &self,
        agent: &mut OrganisationAgent,
        hospital: &MemberIdentity,
        chart: ChartId,
    ) {
        let (client, desk) = (self.client, &self.desk);
        let mut links = KeptLinks::open(&self.path.join("second.book"), hospital).unwrap();
        let until = now().plus_ms(3_600_000);
        let sides = (chart, desk.organisation());
        let (link, _) = client.propose_link(hospital, &mut links, sides, until).await.unwrap();
        // Before the claim the chart's key is the organisation's: it cannot speak for the patient.
        let chain = self.nodes.chain;
        let own_word = PatientsWord::sign(&agent.holder(chart).unwrap(), chain, link, true);
        let refused = client.confirm_link_by_patient(hospital, &mut links, (link, &own_word)).await;
        self.is_not_the_patient(refused.map(|_| ()));

        let mut wallet = Wallet::create(&self.path.join("wallet"), &unlock(), true).unwrap();
        let (letter, code) = client.claim_letter(agent, chart).await.unwrap();
        client.claim_chart(&mut wallet, &letter, &code).await.unwrap();
        let holder = wallet.holder(chart).unwrap();
        for (what, word) in [
            ("another link", PatientsWord::sign(&holder, chain, LinkId([9; 16]), true)),
            ("the contrary", PatientsWord::sign(&holder, chain, link, false)),
            ("the agent's key", own_word),
        ] {
            let refused = client.confirm_link_by_patient(hospital, &mut links, (link, &word)).await;
            println!("{what}");
            self.is_not_the_patient(refused.map(|_| ()));
        }
        let word = PatientsWord::sign(&holder, chain, link, true);
        client.confirm_link_by_patient(hospital, &mut links, (link, &word)).await.unwrap();
        let withdrawal = PatientsWord::sign(&holder, chain, link, false);
        let reason = (link, LinkReversal::ConsentWithdrawn);
        client.reverse_link(hospital, &mut links, reason, Some(&withdrawal)).await.unwrap();
        let entry = client.link(&holder.actor(), link).await.unwrap();
        assert_eq!(entry.status(now()), LinkStatus::Reversed);
        assert!(entry.reversed.unwrap().withdrawal.is_some());
        assert_eq!(links.book.line(link).unwrap().words.len(), 2);
    }

    fn is_not_the_patient(&self, done: Result<(), ClientError>) {
        assert!(matches!(done, Err(ClientError::Usage(UsageError::NotThePatient(_)))), "{done:?}");
    }

    fn is_rejected(&self, done: Result<(), ClientError>, why: &Rejection) {
        assert!(
            matches!(
                &done,
                Err(ClientError::Ledger(LedgerError::Rejected { rejection, .. })) if rejection == why
            ),
            "{done:?}"
        );
    }

    /// What a validator is asked for, and what it says.
    async fn asks(
        &self,
        who: &MemberIdentity,
        at: Location,
        key: &SealingKey,
        points: Vec<BlindedPoint>,
    ) -> String {
        let request = MatchRequest {
            evaluation: at,
            requester_key: key.public().to_blob(),
            points: List::from_vec(points.iter().map(BlindedPoint::to_bytes).collect()).unwrap(),
        };
        let actor = who.actor();
        let person = Person { party: actor.party(), key: actor.key().clone() };
        let body = keepwell_types::encode(&request);
        let answer = self.nodes.ask(2, &person, Method::POST, "/v1/match", body).await;
        if answer.status().is_success() { "ok".into() } else { error_of(answer).await.1 }
    }

    /// No validator evaluates anything but the points of an accepted command, for whoever signed it.
    async fn refusals(&self) {
        let (client, desk) = (self.client, &self.desk);
        let committee = client.consortium().matching().unwrap();
        let chain = self.nodes.chain;
        let named = Programme { chain: &chain, name: "p", purpose: Purpose::Treatment };
        let point = |text: &str| {
            let input = Input { rule: MatchRule::Identifier, text };
            blind(&mut rng(), committee, &named, &input).1
        };
        let (a, b) = (point("a"), point("b"));
        let (key, other_key) = (SealingKey::generate(&mut rng()), SealingKey::generate(&mut rng()));
        let evaluate = |points: Vec<BlindedPoint>| {
            Payload::MatchEvaluate(MatchEvaluate {
                programme: Text::from_string("p".into()).unwrap(),
                purpose: Purpose::Treatment,
                points: List::from_vec(points.iter().map(BlindedPoint::digest).collect()).unwrap(),
                requester_key: key.public().digest(),
            })
        };
        let decided = client.command(&desk.actor(), evaluate(vec![a])).await.unwrap();
        let at = decided.outcome().location;
        assert_eq!(self.asks(desk, at, &key, vec![a]).await, "ok");
        assert_eq!(self.asks(desk, at, &key, vec![a]).await, "ok", "idempotent");
        assert_eq!(self.asks(desk, at, &key, vec![b]).await, "other_point");
        assert_eq!(self.asks(desk, at, &key, vec![a, b]).await, "count");
        assert_eq!(self.asks(desk, at, &key, vec![]).await, "count");
        assert_eq!(self.asks(desk, at, &other_key, vec![a]).await, "other_key");
        assert_eq!(self.asks(&self.officer, at, &key, vec![a]).await, "other_requester");
        let nowhere = Location { height: at.height, index: at.index + 1 };
        assert_eq!(self.asks(desk, nowhere, &key, vec![a]).await, "no_evaluation");
        let genesis = Location { height: keepwell_types::id::Height(1), index: 0 };
        assert_eq!(self.asks(desk, genesis, &key, vec![a]).await, "no_evaluation");
        let future = Location { height: keepwell_types::id::Height(1 << 40), index: 0 };
        assert_eq!(self.asks(desk, future, &key, vec![a]).await, "behind");

        // What was refused is evaluated by nobody.
        let again = evaluate(vec![a, a]);
        let actor = desk.actor();
        let refused = client.submit(&[&actor], Draft::now(), again).await.unwrap();
        assert!(!refused.outcome().verdict.is_accepted());
        let at_refused = refused.outcome().location;
        assert_eq!(self.asks(desk, at_refused, &key, vec![a, a]).await, "no_evaluation");

        // The quota.
        let max = self.nodes.genesis.parameters.matching.unwrap().points_max as usize;
        let texts = |from: usize| (from..from + MATCH_POINTS_MAX).map(|at| at.to_string());
        for round in 0..3 {
            let points = texts(round * MATCH_POINTS_MAX).map(|text| point(&text)).collect();
            client.command(&desk.actor(), evaluate(points)).await.unwrap();
        }
        let quota = client.match_quota(&desk.actor(), desk.organisation()).await.unwrap();
        assert!(3 * MATCH_POINTS_MAX < quota.used as usize && (quota.used as usize) < max);

        // An organisation that is suspended is answered nothing, for what was accepted before either.
        let standing = OrganisationStanding { organisation: desk.organisation() };
        let suspend = Payload::OrganisationSuspend(standing);
        let administrators: Vec<_> = [0, 2, 3].map(|at| &self.nodes.administrators[at]).into();
        self.nodes.accepted(2, suspend, &administrators).await;
        assert_eq!(self.asks(desk, at, &key, vec![a]).await, "suspended");
    }
}
