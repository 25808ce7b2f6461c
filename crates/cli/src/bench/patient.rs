//! A patient for the benchmarks that seal and open for real: a chart with keys that someone holds.

use std::time::Duration;

use keepwell_client::{
    Client, ClientError,
    author::{AddedRecord, NewRecord},
    chart::{Arrangement, Meanings, NewChart, random_chart},
    grant::Recipient,
    identity::{ChartHolder, Seeds},
};
use keepwell_node::{clock::Clock, random::rng};
use keepwell_types::encoding::List;
use keepwell_types::{
    access::{Purpose, RecordName},
    command::Payload,
    grant::{Effect, GrantTerms, Grantee},
    id::{ChartId, Compartment, OrganisationId},
    record::RecordKind,
    set::{CompartmentSet, KindSet, PurposeSet},
    time::{BlockTime, Window},
};
use rand_core::Rng as _;
use tokio::io::AsyncRead;
use zeroize::Zeroizing;

use super::{BenchError, fleet::Node};

const COMPARTMENT_NAME: &str = "general";
/// How long a grant lasts.
const GRANT: Duration = Duration::from_secs(3_600);

/// A chart, and the keys of whoever controls it.
pub(super) struct Patient {
    holder: ChartHolder,
    meanings: Meanings,
    compartment: Compartment,
}

impl Patient {
    /// Opens a chart at `home`, with these custodians.
    pub(super) async fn admit(
        client: &Client,
        home: &Node,
        custodians: Vec<OrganisationId>,
    ) -> Result<Self, BenchError> {
        let mut root = Zeroizing::new([0; 32]);
        rng().fill_bytes(&mut *root);
        let holder = ChartHolder::derive(&root, random_chart());
        let arrangement = Arrangement { custodians, contributors: Vec::new() };
        let names = [(COMPARTMENT_NAME, false)];
        let new = NewChart::draw(&holder, &names, &arrangement, None).map_err(ClientError::from)?;
        let compartment = new.meanings.compartment(COMPARTMENT_NAME).map_err(ClientError::from)?;
        client.command(&home.identity.actor(), Payload::ChartOpen(new.open)).await?;
        client.publish_keys(&holder).await?;
        Ok(Self { holder, meanings: new.meanings, compartment })
    }

    /// The chart.
    pub(super) const fn chart(&self) -> ChartId {
        self.holder.chart()
    }

    /// The compartments that its records are in.
    pub(super) fn compartments(&self) -> CompartmentSet {
        CompartmentSet::EMPTY.with(self.compartment)
    }

    /// A record of this patient, before it is sealed.
    pub(super) const fn record(&self) -> NewRecord {
        NewRecord::new(self.compartment, RecordKind::Document)
    }

    /// Seals, stores and adds one record.
    pub(super) async fn add(
        &self,
        client: &Client,
        author: &Node,
        content: (impl AsyncRead + Unpin, u64),
    ) -> Result<AddedRecord, BenchError> {
        let actor = author.identity.actor();
        let authoring = client.authoring(&actor, self.chart()).await?;
        Ok(client.add_record(&actor, &authoring, &self.record(), content).await?)
    }

    /// How commands name a record that was added.
    pub(super) async fn name(
        &self,
        client: &Client,
        author: &Node,
        added: &AddedRecord,
    ) -> Result<RecordName, BenchError> {
        let actor = author.identity.actor();
        let position = client.position(&actor, self.chart(), &added.decided).await?;
        Ok(RecordName { position, record: added.record })
    }

    /// Lets the member of another organisation read for treatment; returns the keys it then has.
    pub(super) async fn grant(&self, client: &Client, reader: &Node) -> Result<Seeds, BenchError> {
        let member = reader.identity.member();
        let terms = GrantTerms {
            effect: Effect::Allow,
            grantee: Grantee::Member(member),
            compartments: CompartmentSet::EMPTY.with(self.compartment),
            kinds: KindSet::all(),
            records: List::new(),
            purposes: PurposeSet::EMPTY.with(Purpose::Treatment),
            window: Window {
                from: BlockTime(0),
                until: Clock.now().plus_ms(GRANT.as_millis() as u64),
            },
            accesses_max: None,
            separate_consent: false,
            onward: false,
        };
        let to = Recipient { member, key: reader.identity.sealing_public() };
        let given =
            client.give_grant(&self.holder, terms.clone(), Some(&to), &self.meanings).await?;
        let (actor, key) = (reader.identity.actor(), reader.identity.sealing());
        let name = (self.chart(), given.grant);
        let (_, seeds) = client.accept_grant(&actor, &key, name, Some(&terms)).await?;
        Ok(seeds)
    }
}
