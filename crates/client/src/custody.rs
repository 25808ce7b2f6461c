//! Small objects at custodians: key sheets, sealed seeds, words of cases and what guardians hold,
//! named on the ledger by digest.
//!
//! Not here: records ([`crate::author`] stores them, [`crate::open`] fetches them).

use futures::future::join_all;
use keepwell_crypto::{
    grant::{SealedSeeds, table_digest},
    guardian::{GuardianEscrow, HandedShare},
    sheet,
    trustee::ChartEscrow,
    words::CaseWords,
};
use keepwell_ledger::state::Chart;
use keepwell_types::{
    chart::{AheadSheet, KeySheet},
    id::{ChartId, Digest, OrganisationId},
    limits::{CHART_ESCROW_BYTES_MAX, SEALED_SEEDS_BYTES_MAX},
    wire::SeedTable,
};
use reqwest::Method;

use crate::{
    Client,
    error::{ClientError, CustodyError, CustodyFault, CustodyProblem, SealedObject, UsageError},
    identity::Actor,
    node::Ask,
};

/// Bytes of a node's word that it stored something.
const STORED_BYTES_MAX: usize = 1_024;

impl Client {
    /// Publishes a chart's key sheet to its custodians. Doing it again does no harm.
    pub async fn publish_sheet(
        &self,
        actor: &Actor,
        chart: &Chart,
        sheet: &KeySheet,
    ) -> Result<(), ClientError> {
        let small = Small::Sheet(sheet::root(sheet));
        self.put_small(actor, sheet.chart, chart, small, keepwell_types::encode(sheet)).await
    }

    /// The key sheet of a chart, as the ledger commits to it.
    pub async fn sheet(
        &self,
        actor: &Actor,
        id: ChartId,
        chart: &Chart,
    ) -> Result<KeySheet, ClientError> {
        let root = chart.keys.sheet;
        self.get_small(actor, id, chart, Small::Sheet(root), |bytes| {
            let sheet: KeySheet = keepwell_types::decode(bytes, SEALED_SEEDS_BYTES_MAX).ok()?;
            (sheet.chart == id && sheet::verify(&sheet, &root).is_ok()).then_some(sheet)
        })
        .await
    }

    /// Stores the sealed seeds of a grant at the chart's custodians.
    pub(crate) async fn put_seeds(
        &self,
        actor: &Actor,
        id: ChartId,
        chart: &Chart,
        seeds: &SealedSeeds,
    ) -> Result<(), ClientError> {
        self.put_small(actor, id, chart, Small::Seeds(seeds.digest()), seeds.encode()).await
    }

    /// Stores the table of what a rotation seals to the remaining grantees.
    pub(crate) async fn put_table(
        &self,
        actor: &Actor,
        id: ChartId,
        chart: &Chart,
        table: &SeedTable,
    ) -> Result<Digest, ClientError> {
        let digest = digest_of(table);
        let bytes = keepwell_types::encode(table);
        self.put_small(actor, id, chart, Small::Table(digest), bytes).await?;
        Ok(digest)
    }

    /// The table of the latest rotation, as the ledger names it.
    pub(crate) async fn table(
        &self,
        actor: &Actor,
        id: ChartId,
        chart: &Chart,
        digest: Digest,
    ) -> Result<SeedTable, ClientError> {
        self.get_small(actor, id, chart, Small::Table(digest), |bytes| {
            let table: SeedTable = keepwell_types::decode(bytes, SEALED_SEEDS_BYTES_MAX).ok()?;
            (digest_of(&table) == digest).then_some(table)
        })
        .await
    }

    /// The sealed seeds of a grant, as the ledger names them.
    pub(crate) async fn seeds(
        &self,
        actor: &Actor,
        id: ChartId,
        chart: &Chart,
        digest: Digest,
    ) -> Result<SealedSeeds, ClientError> {
        self.get_small(actor, id, chart, Small::Seeds(digest), |bytes| {
            SealedSeeds::decode(bytes).ok().filter(|seeds| seeds.digest() == digest)
        })
        .await
    }

    /// Stores words of a case at the chart's custodians.
    pub(crate) async fn put_words(
        &self,
        actor: &Actor,
        id: ChartId,
        words: &CaseWords,
    ) -> Result<Digest, ClientError> {
        let (chart, digest) = (self.chart(actor, id).await?, words.digest());
        self.put_small(actor, id, &chart, Small::Words(digest), words.encode()).await?;
        Ok(digest)
    }

    /// Words of a case, as the ledger names them.
    pub(crate) async fn words(
        &self,
        actor: &Actor,
        id: ChartId,
        chart: &Chart,
        digest: Digest,
    ) -> Result<CaseWords, ClientError> {
        self.get_small(actor, id, chart, Small::Words(digest), |bytes| {
            CaseWords::decode(bytes).ok().filter(|words| words.digest() == digest)
        })
        .await
    }

    /// Stores what the guardians of a chart hold together.
    pub(crate) async fn put_guardian_escrow(
        &self,
        actor: &Actor,
        id: ChartId,
        chart: &Chart,
        escrow: &GuardianEscrow,
    ) -> Result<(), ClientError> {
        let small = Small::Guardians(escrow.digest());
        self.put_small(actor, id, chart, small, escrow.encode()).await
    }

    /// What the guardians of a chart hold together, as the ledger names it.
    pub(crate) async fn guardian_escrow(
        &self,
        actor: &Actor,
        id: ChartId,
        chart: &Chart,
        digest: Digest,
    ) -> Result<GuardianEscrow, ClientError> {
        self.get_small(actor, id, chart, Small::Guardians(digest), |bytes| {
            GuardianEscrow::decode(bytes).ok().filter(|escrow| escrow.digest() == digest)
        })
        .await
    }

    /// Stores a guardian's share, sealed to a successor.
    pub(crate) async fn put_share(
        &self,
        actor: &Actor,
        id: ChartId,
        chart: &Chart,
        share: &HandedShare,
    ) -> Result<(), ClientError> {
        let small = Small::Share(share.digest());
        self.put_small(actor, id, chart, small, share.encode()).await
    }

    /// A guardian's share, as the ledger names it.
    pub(crate) async fn share(
        &self,
        actor: &Actor,
        id: ChartId,
        chart: &Chart,
        digest: Digest,
    ) -> Result<HandedShare, ClientError> {
        self.get_small(actor, id, chart, Small::Share(digest), |bytes| {
            HandedShare::decode(bytes).ok().filter(|share| share.digest() == digest)
        })
        .await
    }

    /// Publishes keys of epochs to come to a chart's custodians.
    pub(crate) async fn put_ahead(
        &self,
        actor: &Actor,
        chart: &Chart,
        sheet: &AheadSheet,
    ) -> Result<(), ClientError> {
        let small = Small::Ahead(sheet::ahead_digest(sheet));
        self.put_small(actor, sheet.chart, chart, small, keepwell_types::encode(sheet)).await
    }

    /// A sheet of keys of epochs to come, as the ledger names it.
    pub(crate) async fn ahead_sheet(
        &self,
        actor: &Actor,
        id: ChartId,
        chart: &Chart,
        digest: Digest,
    ) -> Result<AheadSheet, ClientError> {
        self.get_small(actor, id, chart, Small::Ahead(digest), |bytes| {
            let sheet: AheadSheet = keepwell_types::decode(bytes, SEALED_SEEDS_BYTES_MAX).ok()?;
            (sheet.chart == id && sheet::ahead_digest(&sheet) == digest).then_some(sheet)
        })
        .await
    }

    /// Stores what a chart leaves to emergencies at its custodians.
    pub(crate) async fn put_escrow(
        &self,
        actor: &Actor,
        id: ChartId,
        chart: &Chart,
        escrow: &ChartEscrow,
    ) -> Result<(), ClientError> {
        self.put_small(actor, id, chart, Small::Escrow(escrow.digest()), escrow.encode()).await
    }

    /// What a chart leaves to emergencies, as the ledger names it.
    pub(crate) async fn chart_escrow(
        &self,
        actor: &Actor,
        id: ChartId,
        chart: &Chart,
    ) -> Result<ChartEscrow, ClientError> {
        let digest = chart.escrow.ok_or(UsageError::NotPrepared(id))?;
        self.get_small(actor, id, chart, Small::Escrow(digest), |bytes| {
            ChartEscrow::decode(bytes).ok().filter(|escrow| escrow.digest() == digest)
        })
        .await
    }

    async fn put_small(
        &self,
        actor: &Actor,
        id: ChartId,
        chart: &Chart,
        small: Small,
        bytes: Vec<u8>,
    ) -> Result<(), ClientError> {
        let ((kind, _), object) = (small.name(), small.object());
        let target = format!("/v1/charts/{id}/sealed?kind={kind}");
        let ask = Ask::with_body(Method::PUT, target, Some(actor), bytes, STORED_BYTES_MAX);
        let answers = join_all(chart.custodians.iter().map(async |custodian| {
            let problem = self.ask_custodian(*custodian, &ask).await.err()?;
            Some(CustodyFault { custodian: *custodian, object, problem })
        }))
        .await;
        let faults: Vec<_> = answers.into_iter().flatten().collect();
        let stored = chart.custodians.len() - faults.len();
        let needed = usize::from(self.consortium().genesis().parameters.custodians_min).max(1);
        if stored < needed {
            return Err(CustodyError::TooFew { object, stored, needed, faults }.into());
        }
        Ok(())
    }

    async fn get_small<T>(
        &self,
        actor: &Actor,
        id: ChartId,
        chart: &Chart,
        small: Small,
        check: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<T, ClientError> {
        let ((kind, digest), object) = (small.name(), small.object());
        let target = format!("/v1/charts/{id}/sealed/{digest}?kind={kind}");
        let ask = Ask::get(target, Some(actor), small.bytes_max());
        let mut faults = Vec::new();
        for &custodian in &chart.custodians {
            let problem = match self.ask_custodian(custodian, &ask).await {
                Ok(bytes) => match check(&bytes) {
                    Some(object) => return Ok(object),
                    None => CustodyProblem::OtherObject,
                },
                Err(problem) => problem,
            };
            faults.push(CustodyFault { custodian, object, problem });
        }
        Err(CustodyError::Unreadable { object, faults }.into())
    }

    /// Asks the node of one custodian.
    pub(crate) async fn ask_custodian(
        &self,
        custodian: OrganisationId,
        ask: &Ask<'_>,
    ) -> Result<Vec<u8>, CustodyProblem> {
        let node = self.nodes().of(custodian).ok_or(CustodyProblem::NoAddress)?;
        Ok(self.nodes().ask(node, ask).await?)
    }
}

fn digest_of(table: &SeedTable) -> Digest {
    let lines: Vec<_> = table.lines.iter().map(|line| (line.grant, line.seeds)).collect();
    table_digest(&lines)
}

/// A small object by its digest.
#[derive(Clone, Copy)]
enum Small {
    Sheet(Digest),
    Seeds(Digest),
    Table(Digest),
    Words(Digest),
    Guardians(Digest),
    Share(Digest),
    Ahead(Digest),
    Escrow(Digest),
}

impl Small {
    /// The kind and the digest by which nodes know it.
    const fn name(self) -> (&'static str, Digest) {
        match self {
            Self::Sheet(digest) => ("sheet", digest),
            Self::Seeds(digest) => ("seeds", digest),
            Self::Table(digest) => ("table", digest),
            Self::Words(digest) => ("words", digest),
            Self::Guardians(digest) => ("guardians", digest),
            Self::Share(digest) => ("share", digest),
            Self::Ahead(digest) => ("ahead", digest),
            Self::Escrow(digest) => ("escrow", digest),
        }
    }

    const fn bytes_max(self) -> usize {
        match self {
            Self::Sheet(_)
            | Self::Seeds(_)
            | Self::Table(_)
            | Self::Words(_)
            | Self::Guardians(_)
            | Self::Share(_)
            | Self::Ahead(_) => SEALED_SEEDS_BYTES_MAX,
            Self::Escrow(_) => CHART_ESCROW_BYTES_MAX,
        }
    }

    const fn object(self) -> SealedObject {
        match self {
            Self::Sheet(digest) | Self::Ahead(digest) => SealedObject::Sheet(digest),
            Self::Escrow(digest) => SealedObject::Escrow(digest),
            Self::Seeds(digest) | Self::Table(digest) => SealedObject::Seeds(digest),
            Self::Words(digest) => SealedObject::Words(digest),
            Self::Guardians(digest) | Self::Share(digest) => SealedObject::Shares(digest),
        }
    }
}
