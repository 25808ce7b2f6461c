//! Records that are added together, against four real nodes in one process.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(missing_docs)]

#[path = "../../node/tests/common/mod.rs"]
mod common;
mod support;

use common::consortium::{self, Consortium as Nodes, now};
use keepwell_client::{
    Client, ClientError,
    author::{AddedRecords, Authoring, NewRecord, SealedRecord},
    chart::Arrangement,
    error::{LedgerError, UsageError},
    identity::{Actor, OrganisationAgent},
    open::{Opening, What},
    verify::LogMark,
};
use keepwell_types::{
    access::{Purpose, RecordName},
    id::{ChartId, Version},
    limits::TRANSACTION_COMMANDS_MAX,
    member::Role,
    outcome::Rejection,
    record::{Amended, RecordKind},
    set::CompartmentSet,
};
use support::{client, enrol, unlock};

const NAMES: [(&str, bool); 1] = [("normal", false)];

#[test]
fn records_are_added_together_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_path_buf();
    consortium::run(&path.clone(), |context| async move {
        let nodes = Nodes::start(context, &path).await;
        let client = client(&nodes);
        let author = enrol(&client, &nodes, 0, &[Role::Clinician]).await;
        let keeper = enrol(&client, &nodes, 0, &[Role::KeyAgent, Role::Registrar]).await;
        let agent = OrganisationAgent::create(&path.join("agent"), keeper, &unlock(), true);
        together(&client, &nodes, (agent.unwrap(), author.actor())).await;
        nodes.stop().await;
    });
}

/// A chart, and who adds to it.
struct Desk<'a> {
    client: &'a Client,
    author: Actor,
    agent: OrganisationAgent,
    chart: ChartId,
    authoring: Authoring,
    new: NewRecord,
}

async fn together(client: &Client, nodes: &Nodes, people: (OrganisationAgent, Actor)) {
    let (mut agent, author) = people;
    let arrangement = Arrangement {
        custodians: vec![nodes.organisations[0], nodes.organisations[2]],
        contributors: vec![],
    };
    let until = now().plus_ms(3_600_000);
    let opened = client.open_chart_for_patient(&mut agent, &NAMES, &arrangement, until);
    let chart = opened.await.unwrap().chart;
    let normal = agent.chart(chart).unwrap().meanings().compartment("normal").unwrap();
    let authoring = client.authoring(&author, chart).await.unwrap();
    let new = NewRecord::new(normal, RecordKind::Result);
    let desk = Desk { client, author, agent, chart, authoring, new };
    desk.too_few_or_many().await;
    let first = desk.each_is_itself().await;
    desk.one_refuses_all(first).await;
}

impl Desk<'_> {
    async fn add(&self, records: &[(&NewRecord, &[u8])]) -> Result<AddedRecords, ClientError> {
        let records =
            records.iter().map(|(new, content)| (&self.authoring, (*new).clone(), *content));
        self.client.add_records(&self.author, records.collect()).await
    }

    /// How many records the chart has.
    async fn count(&self) -> usize {
        let keeper = self.agent.holder(self.chart).unwrap().actor();
        let records = self.client.records(&keeper, self.chart, LogMark::START);
        records.await.unwrap().len()
    }

    /// It is the caller's mistake, and nothing is sent.
    async fn too_few_or_many(&self) {
        for count in [0, TRANSACTION_COMMANDS_MAX + 1] {
            match self.add(&vec![(&self.new, &b"x"[..]); count]).await {
                Err(ClientError::Usage(UsageError::TransactionCommands { given })) => {
                    assert_eq!(given, count);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// More than are sealed at once. The first one's name is returned.
    async fn each_is_itself(&self) -> RecordName {
        let contents: Vec<Vec<u8>> = (0..20).map(|it| vec![it; 1_000 * usize::from(it)]).collect();
        let records: Vec<_> = contents.iter().map(|it| (&self.new, it.as_slice())).collect();
        let added = self.add(&records).await.unwrap();
        let locations = added.records.iter().map(|it| it.location).collect();
        let positions = self.client.positions(&self.author, self.chart, &locations).await.unwrap();
        let name =
            |it: &SealedRecord| RecordName { position: positions[&it.location], record: it.record };
        let names: Vec<_> = added.records.iter().map(name).collect();

        let holder = self.agent.holder(self.chart).unwrap();
        let (actor, all) = (holder.actor(), CompartmentSet::all());
        let state = self.client.chart(&actor, self.chart).await.unwrap();
        let (what, seeds) = (What::Compartments(all, None), holder.seeds(&state, all));
        let (chart, purpose) = (self.chart, Purpose::Operations);
        let opening = Opening { actor: &actor, chart, what: &what, purpose, seeds: &seeds };
        let opened = self.client.open(&opening).await.unwrap();
        assert_eq!(opened.records.len(), contents.len());
        for (name, content) in names.iter().zip(&contents) {
            let record = opened.records.iter().find(|it| it.facts().name == *name).unwrap();
            let mut read = Vec::new();
            self.client.read(&actor, record, &mut read).await.unwrap();
            assert_eq!(read, *content);
        }
        names[0]
    }

    /// What would follow a version that is no longer the newest is refused by its place, and all others with it.
    async fn one_refuses_all(&self, first: RecordName) {
        let amends = Some(Amended { record: first, version: Version(2) });
        let (new, follows) = (&self.new, &NewRecord { amends, ..self.new.clone() });
        self.add(&[(follows, b"second"), (new, b"another")]).await.unwrap();
        let before = self.count().await;
        for stale in [0, 2] {
            let records =
                [0, 1, 2].map(|it| (if it == stale { follows } else { new }, &b"late"[..]));
            match self.add(&records).await {
                Err(ClientError::Ledger(LedgerError::RejectedPart {
                    place, rejection, ..
                })) => {
                    assert_eq!(place, stale);
                    assert!(matches!(rejection, Rejection::NotNewest { .. }), "{rejection}");
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(self.count().await, before);
        }
    }
}
