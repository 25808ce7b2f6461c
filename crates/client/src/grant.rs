//! Grants: given, limited, revoked and listed by whoever controls a chart; accepted by the grantee.
//!
//! ```text
//! giver     seeds of every epoch so far ── sealed to the grantee, bound to the terms ──> custodians
//!           grant.give {terms, digest of the sealed seeds} ──> ledger
//!           notice {chart, grant, terms, meanings} ── sealed to the grantee ──> grantee
//! grantee   notice ──> grant on the ledger ──> sealed seeds ──> seeds
//! ```
//!
//! # Invariants
//!
//! * Seeds are sealed to a key whose digest the ledger has for the grantee, never to one that someone
//!   just handed over.
//! * Seeds open under the terms that were signed, byte for byte, also when the grant was limited since. Terms that were
//!   changed on the way give the grantee nothing.
//! * A prohibition carries no seeds, nor does a grant to many that names no key agent, or one that was passed on: their
//!   readers are written letters ([`crate::key_letter`]).
//! * After a rotation whoever reads on by a grant of its own has the new seeds, sealed under the terms that were
//!   signed; other readers are to be given them again ([`Rotated::left_behind`]). Whoever reads no more has the old
//!   ones: they open what was added before, with an access that is allowed.
//!
//! The notice tells the grantee what to look for, since chart and grant have random ids. It is sealed:
//! its meanings say which compartment is psychiatry.
//!
//! Not here: whether a grant allows something, which the ledger decides at each access.

use std::collections::{BTreeMap, BTreeSet};

use keepwell_crypto::{
    grant::{Binding, SEEDS_MAX, SealedSeeds, open_seeds, seal_seeds, table_digest},
    seal::{OpenError, SealingKey, SealingPublic},
};
use keepwell_ledger::state::{Chart, Grant, Member};
use keepwell_merkle::receipt::{Receipt, VerifiedReceipt};
use keepwell_types::{
    command::Payload,
    encoding::List,
    grant::{
        Effect, GrantGive, GrantLimit, GrantPass, GrantRevoke, GrantRevokeOrganisation, GrantTerms,
        Grantee, TeamArrange,
    },
    id::{ChainId, ChartId, Digest, GrantId, LogPosition, MemberId, OrganisationId, TeamId},
    member::Role,
    set::CompartmentSet,
    wire::{SeedTable, SeedTableLine},
};
use minicbor::{Decode, Encode};

use crate::{
    Client,
    chart::Meanings,
    client::{Decided, random, rng},
    error::{ClientError, KeyError, UsageError},
    identity::{Actor, ChartHolder, Seeds},
    sealed::Sealed,
    verify::{LogLine, LogMark, VerifiedLog},
};

const NOTICE_DOMAIN: &str = "keepwell/client/grant-notice/v1";
/// Stands for the digest of sealed seeds where there are none.
const NO_SEEDS: Digest = Digest([0; 32]);

/// To whom seeds are sealed: the grantee, or the key agent of the organisation that is one.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// A member.
    pub member: MemberId,
    /// Its public key, as the member or its organisation hands it out.
    pub key: SealingPublic,
}

/// What a grantee is told.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct GrantNotice {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// The grant.
    #[n(1)]
    pub grant: GrantId,
    /// Its terms, as they were signed.
    #[n(2)]
    pub terms: GrantTerms,
    /// What the compartments in it are for.
    #[n(3)]
    pub meanings: Meanings,
}

impl GrantNotice {
    /// Sealed to the grantee.
    pub fn seal(&self, chain: &ChainId, to: &SealingPublic) -> Vec<u8> {
        Sealed::seal(to, NOTICE_DOMAIN, &[&chain.0], self).encode()
    }

    /// Opens what [`Self::seal`] made.
    pub fn open(chain: &ChainId, key: &SealingKey, bytes: &[u8]) -> Result<Self, OpenError> {
        Sealed::decode(bytes)?.open(key, NOTICE_DOMAIN, &[&chain.0])
    }
}

/// A grant that was given.
#[derive(Clone, Debug)]
pub struct GivenGrant {
    /// Its id.
    pub grant: GrantId,
    /// The proof.
    pub decided: Decided,
    /// For the grantee.
    pub notice: GrantNotice,
}

/// A grant as it stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListedGrant {
    /// Its id.
    pub grant: GrantId,
    /// Terms as given or limited last, uses, and when it was revoked.
    pub entry: Grant,
}

/// A rotation, and what it could not do.
#[derive(Clone, Debug)]
pub struct Rotated {
    /// The proof.
    pub decided: Decided,
    /// Grants in force whose grantees have no new seeds: no key of theirs is known, they are no single member,
    /// the grant was passed on, or something is forbidden to them. Who shall read on is given another grant, or
    /// written a letter with the new keys.
    pub left_behind: Vec<GrantId>,
}

/// Seals the seeds of a grant under its terms; pure but for the randomness.
fn seal_for(
    chain: &ChainId,
    (chart, grant): (ChartId, GrantId),
    terms: &GrantTerms,
    to: &SealingPublic,
    seeds: &Seeds,
) -> Result<SealedSeeds, UsageError> {
    if seeds.len() > SEEDS_MAX {
        return Err(UsageError::TooManyEpochs);
    }
    let binding = Binding { chain, chart: &chart, grant: &grant, terms };
    let seeds: Vec<_> =
        seeds.iter().map(|(compartment, epoch, seed)| (compartment, epoch, seed.clone())).collect();
    Ok(seal_seeds(&mut rng(), &binding, to, &seeds)?)
}

/// Opens the seeds of a grant, under its terms.
pub fn open_for(
    chain: &ChainId,
    (chart, grant): (ChartId, GrantId),
    terms: &GrantTerms,
    key: &SealingKey,
    sealed: &SealedSeeds,
) -> Result<Seeds, KeyError> {
    let binding = Binding { chain, chart: &chart, grant: &grant, terms };
    let opened =
        open_seeds(&binding, key, sealed).map_err(|error| KeyError::Seeds { grant, error })?;
    let mut seeds = Seeds::default();
    for (compartment, epoch, seed) in opened {
        seeds.insert(compartment, epoch, seed);
    }
    Ok(seeds)
}

impl Client {
    /// Gives a grant. What allows a member something needs `to`. For an organisation or a role `to` may be its key
    /// agent; readers of a grant without `to` are written letters with keys ([`crate::key_letter`]). What forbids
    /// needs nobody's key.
    pub async fn give_grant(
        &self,
        holder: &ChartHolder,
        terms: GrantTerms,
        to: Option<&Recipient>,
        meanings: &Meanings,
    ) -> Result<GivenGrant, ClientError> {
        let (actor, id, grant) = (holder.actor(), holder.chart(), GrantId(random()));
        let seeds = self.hand_over_seeds(holder, grant, &terms, to).await?;
        let give = GrantGive { chart: id, grant, terms: terms.clone(), seeds };
        let decided = self.command(&actor, Payload::GrantGive(give)).await?;
        let meanings = meanings.of(terms.compartments);
        Ok(GivenGrant { grant, decided, notice: GrantNotice { chart: id, grant, terms, meanings } })
    }

    /// Stores what a new grant gives, sealed under its terms, at the chart's custodians.
    pub(crate) async fn hand_over_seeds(
        &self,
        holder: &ChartHolder,
        grant: GrantId,
        terms: &GrantTerms,
        to: Option<&Recipient>,
    ) -> Result<Digest, ClientError> {
        if terms.effect == Effect::Deny {
            return Ok(NO_SEEDS);
        }
        let (actor, id) = (holder.actor(), holder.chart());
        let to = match (to, terms.grantee) {
            (Some(to), _) => to,
            (None, Grantee::Member(_)) => return Err(UsageError::NoGranteeKey.into()),
            (
                None,
                Grantee::Role { .. }
                | Grantee::Organisation(_)
                | Grantee::Everyone
                | Grantee::Team(_)
                | Grantee::Group(_),
            ) => return Ok(NO_SEEDS),
        };
        self.check_recipient(&actor, terms.grantee, to).await?;
        let chart = self.chart(&actor, id).await?;
        let seeds = holder.seeds(&chart, terms.compartments);
        let sealed = seal_for(&self.consortium().chain(), (id, grant), terms, &to.key, &seeds)?;
        self.put_seeds(&actor, id, &chart, &sealed).await?;
        Ok(sealed.digest())
    }

    /// Whether the key is the one that the ledger has for the grantee or its key agent.
    async fn check_recipient(
        &self,
        actor: &Actor,
        grantee: Grantee,
        to: &Recipient,
    ) -> Result<(), ClientError> {
        let member = self.member(actor, to.member).await?;
        let is_agent = member.roles.contains(Role::KeyAgent);
        let fits = match grantee {
            Grantee::Member(grantee) => grantee == to.member,
            Grantee::Role { organisation, .. } | Grantee::Organisation(organisation) => {
                is_agent && member.organisation == organisation
            }
            // Nobody holds a key for everyone, for a team or for a group.
            Grantee::Everyone | Grantee::Team(_) | Grantee::Group(_) => false,
        };
        if !fits {
            return Err(UsageError::NoGranteeKey.into());
        }
        Ok(is_key_of(&member, &to.key)?)
    }

    /// Whether the key is the one that the ledger has for the member.
    pub(crate) async fn check_key(&self, actor: &Actor, to: &Recipient) -> Result<(), ClientError> {
        Ok(is_key_of(&self.member(actor, to.member).await?, &to.key)?)
    }

    /// Passes a grant on to another member, on these terms. Its keys go with a letter: whoever passes a grant on may
    /// store nothing in the chart.
    pub async fn pass_grant(
        &self,
        actor: &Actor,
        (chart, from): (ChartId, GrantId),
        terms: GrantTerms,
    ) -> Result<(GrantId, Decided), ClientError> {
        let grant = GrantId(random());
        let pass = GrantPass { chart, from, grant, terms, seeds: NO_SEEDS };
        Ok((grant, self.command(actor, Payload::GrantPass(pass)).await?))
    }

    /// Leaves a grant with less.
    pub async fn limit_grant(
        &self,
        holder: &ChartHolder,
        limit: GrantLimit,
    ) -> Result<Decided, ClientError> {
        self.command(&holder.actor(), Payload::GrantLimit(limit)).await
    }

    /// Ends a grant.
    ///
    /// From the next command on nothing is released for it. The grantee still holds the seeds of the epochs
    /// so far; [`Self::rotate_compartments`] makes them worthless for what comes.
    pub async fn revoke_grant(
        &self,
        holder: &ChartHolder,
        grant: GrantId,
    ) -> Result<Decided, ClientError> {
        let payload = Payload::GrantRevoke(GrantRevoke { chart: holder.chart(), grant });
        self.command(&holder.actor(), payload).await
    }

    /// Gives new keys to the compartments that a grant has lost, and to the grantees who read on. What was tried before
    /// and cut off is completed; where nothing is left to do there is no rotation.
    pub async fn rotate_lost(
        &self,
        holder: &ChartHolder,
        grant: GrantId,
    ) -> Result<Option<Rotated>, ClientError> {
        let log = self.log(&holder.actor(), holder.chart(), LogMark::START).await?;
        let lost = Lost::by(grant, &log);
        if !lost.with_old_keys.is_empty() {
            return Ok(Some(self.rotate_compartments(holder, lost.with_old_keys).await?));
        }
        if !lost.ever.is_empty() {
            // An earlier try may have rotated, and been cut off before the keys were published.
            self.publish_keys(holder).await?;
        }
        Ok(None)
    }

    /// Ends, for every reader of an organisation, all that was granted in the chart so far.
    pub async fn revoke_organisation(
        &self,
        holder: &ChartHolder,
        organisation: OrganisationId,
    ) -> Result<Decided, ClientError> {
        let revoke = GrantRevokeOrganisation { chart: holder.chart(), organisation };
        self.command(&holder.actor(), Payload::GrantRevokeOrganisation(revoke)).await
    }

    /// Says who is in a care team of the chart, a new one unless it is named; with nobody in it, the team
    /// is no more.
    pub async fn arrange_team(
        &self,
        holder: &ChartHolder,
        team: Option<TeamId>,
        members: Vec<MemberId>,
    ) -> Result<(TeamId, Decided), ClientError> {
        let team = team.unwrap_or_else(|| TeamId(random()));
        let members = List::from_vec(members).map_err(|_| UsageError::TooManyInTeam)?;
        let arrange = TeamArrange { chart: holder.chart(), team, members };
        Ok((team, self.command(&holder.actor(), Payload::TeamArrange(arrange)).await?))
    }

    /// Seals the seeds of every grant in force to its grantee, of the epochs that `chart` has, and stores
    /// them. Returns the table of them, and the grants that it could not seal.
    pub(crate) async fn reseal(
        &self,
        holder: &ChartHolder,
        chart: &Chart,
    ) -> Result<(SeedTable, Vec<GrantId>), ClientError> {
        let (actor, id, chain) = (holder.actor(), holder.chart(), self.consortium().chain());
        let log = self.log(&actor, id, LogMark::START).await?;
        let now = log.header().header().time;
        let (mut lines, mut left_behind) = (BTreeMap::new(), Vec::new());
        let (mut in_force, mut ended) = (Vec::new(), BTreeSet::new());
        for (grant, signed) in given(&log) {
            let entry = self.grant(&actor, id, grant).await?;
            // What was passed on ends with what it comes from, which was given before it.
            let with_ground = entry.passed.is_some_and(|passed| ended.contains(&passed.from));
            if with_ground || entry.revoked_at.is_some() || entry.terms.window.until <= now {
                ended.insert(grant);
            } else {
                in_force.push((grant, signed, entry));
            }
        }
        let forbidden: BTreeSet<_> = in_force
            .iter()
            .filter(|(_, _, entry)| entry.terms.effect == Effect::Deny)
            .map(|(_, _, entry)| entry.terms.grantee)
            .collect();
        for (grant, signed, entry) in in_force {
            if entry.terms.effect == Effect::Deny {
                continue;
            }
            let key = match entry.terms.grantee {
                // What was passed on may have lost its ground, and whoever is forbidden something has to be
                // given the rest again: new keys go to nobody in doubt.
                Grantee::Member(_) if entry.passed.is_some() => None,
                grantee @ Grantee::Member(_) if forbidden.contains(&grantee) => None,
                Grantee::Member(member) => {
                    let organisation = self.member(&actor, member).await?.organisation;
                    if cut_off_in(&log, organisation).is_some_and(|cut| entry.position < cut) {
                        continue;
                    }
                    self.member_key(&actor, member).await.ok()
                }
                Grantee::Role { .. }
                | Grantee::Organisation(_)
                | Grantee::Everyone
                | Grantee::Team(_)
                | Grantee::Group(_) => None,
            };
            let Some(key) = key else {
                left_behind.push(grant);
                continue;
            };
            let seeds = holder.seeds(chart, entry.terms.compartments);
            let sealed = seal_for(&chain, (id, grant), signed, &key, &seeds)?;
            self.put_seeds(&actor, id, chart, &sealed).await?;
            lines.insert(grant, sealed.digest());
        }
        let lines = lines.into_iter().map(|(grant, seeds)| SeedTableLine { grant, seeds });
        let lines = List::from_vec(lines.collect()).map_err(|_| UsageError::TooManyGrantees)?;
        Ok((SeedTable { lines }, left_behind))
    }

    /// The digest of a grant's newest seeds: what it was given with, unless a rotation brought others.
    async fn newest_seeds(
        &self,
        actor: &Actor,
        (id, grant): (ChartId, GrantId),
        chart: &Chart,
        given: Digest,
    ) -> Digest {
        let Some(table) = chart.seeds.filter(|table| *table != table_digest(&[])) else {
            return given;
        };
        // Without the table, what was sealed before the rotation can still be read.
        let Ok(table) = self.table(actor, id, chart, table).await else { return given };
        let line = table.lines.iter().find(|line| line.grant == grant);
        line.map_or(given, |line| line.seeds)
    }

    /// Every grant of a chart that was ever given, as it stands. The list is complete: it comes from the
    /// chart's log.
    pub async fn grants(
        &self,
        actor: &Actor,
        chart: ChartId,
        known: LogMark,
    ) -> Result<Vec<ListedGrant>, ClientError> {
        let log = self.log(actor, chart, known).await?;
        let mut grants = Vec::new();
        for grant in given_in(&log) {
            let entry = self.grant(actor, chart, grant).await?;
            grants.push(ListedGrant { grant, entry });
        }
        Ok(grants)
    }

    /// Takes up a grant: fetches the sealed seeds and opens them with the grantee's key.
    ///
    /// `terms` are those of the notice. Without a notice they are asked for: what stands in the state are not those
    /// that were signed, once the grant was limited.
    pub async fn accept_grant(
        &self,
        actor: &Actor,
        key: &SealingKey,
        (id, grant): (ChartId, GrantId),
        terms: Option<&GrantTerms>,
    ) -> Result<(Grant, Seeds), ClientError> {
        let entry = self.grant(actor, id, grant).await?;
        let chart: Chart = self.chart(actor, id).await?;
        if entry.seeds == NO_SEEDS {
            return Err(KeyError::GrantWithoutKeys(grant).into());
        }
        let newest = self.newest_seeds(actor, (id, grant), &chart, entry.seeds).await;
        let sealed = self.seeds(actor, id, &chart, newest).await?;
        let chain = self.consortium().chain();
        let signed = match terms {
            Some(terms) => terms.clone(),
            None => self.signed_terms(actor, (id, grant), entry.position).await?,
        };
        let seeds = open_for(&chain, (id, grant), &signed, key, &sealed)?;
        Ok((entry, seeds))
    }

    /// The terms of a grant as they were signed, by the receipt of what gave it.
    async fn signed_terms(
        &self,
        actor: &Actor,
        (chart, grant): (ChartId, GrantId),
        position: LogPosition,
    ) -> Result<GrantTerms, ClientError> {
        let signed = |_: &Receipt, proven: &VerifiedReceipt| {
            let given = proven.entry().payload().given_grant();
            given.filter(|(it, _)| *it == grant).map(|(_, terms)| terms.clone())
        };
        self.entry_at(actor, (chart, position), signed).await
    }
}

fn is_key_of(member: &Member, key: &SealingPublic) -> Result<(), UsageError> {
    if member.sealing == key.digest() { Ok(()) } else { Err(UsageError::OtherGranteeKey) }
}

/// The grants that were given, in answer to a request and by passing on included, in order.
pub fn given_in(log: &VerifiedLog) -> impl Iterator<Item = GrantId> {
    given(log).map(|(grant, _)| grant)
}

/// The grants that were given, with the terms that were signed.
pub(crate) fn given(log: &VerifiedLog) -> impl Iterator<Item = (GrantId, &GrantTerms)> {
    let accepted = log.lines().iter().filter(|line| line.outcome.verdict.is_accepted());
    accepted.filter_map(|line| line.entry.payload().given_grant())
}

/// Compartments that a permission had and has no longer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Lost {
    /// All of them.
    ever: CompartmentSet,
    /// Those whose keys have not moved since.
    with_old_keys: CompartmentSet,
}

impl Lost {
    fn by(grant: GrantId, log: &VerifiedLog) -> Self {
        let accepted = log.lines().iter().filter(|line| line.outcome.verdict.is_accepted());
        Self::in_order(grant, accepted.map(|line| line.entry.payload()))
    }

    fn in_order<'a>(grant: GrantId, accepted: impl Iterator<Item = &'a Payload>) -> Self {
        let nothing = CompartmentSet::EMPTY;
        let (mut has, mut lost) = (nothing, Self { ever: nothing, with_old_keys: nothing });
        for payload in accepted {
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "no other command moves keys, or takes from a grant"
            )]
            let keeps = match payload {
                Payload::GrantLimit(it) if it.grant == grant => it.compartments,
                Payload::GrantRevoke(it) if it.grant == grant => nothing,
                Payload::CompartmentRotate(it) => {
                    lost.with_old_keys = lost.with_old_keys.without(it.compartments);
                    continue;
                }
                other => match other.given_grant() {
                    Some((it, terms)) if it == grant && terms.effect == Effect::Allow => {
                        has = terms.compartments;
                        continue;
                    }
                    Some(_) | None => continue,
                },
            };
            let gone = has.without(keeps);
            lost.ever = lost.ever.or(gone);
            lost.with_old_keys = lost.with_old_keys.or(gone);
            has = has.and(keeps);
        }
        lost
    }
}

/// Up to where grants do not reach the readers of an organisation.
fn cut_off_in(log: &VerifiedLog, organisation: OrganisationId) -> Option<LogPosition> {
    let accepted = log.lines().iter().rev().filter(|line| line.outcome.verdict.is_accepted());
    let cuts = |line: &&LogLine| matches!(line.entry.payload(), Payload::GrantRevokeOrganisation(it) if it.organisation == organisation);
    accepted.into_iter().find(cuts).map(|line| line.position)
}

#[cfg(test)]
mod tests {
    use keepwell_types::{
        chart::CompartmentRotate,
        id::{Compartment, Epoch},
        set::{KindSet, PurposeSet},
        time::{BlockTime, Window},
    };

    use super::*;

    const CHAIN: ChainId = ChainId([1; 32]);
    const CHART: ChartId = ChartId([2; 32]);
    const GRANT: GrantId = GrantId([3; 16]);

    fn terms() -> GrantTerms {
        GrantTerms {
            effect: Effect::Allow,
            grantee: Grantee::Member(MemberId([4; 16])),
            compartments: [1, 2].into_iter().filter_map(Compartment::new).collect(),
            kinds: KindSet::all(),
            records: List::new(),
            purposes: PurposeSet::all(),
            window: Window { from: BlockTime(10), until: BlockTime(20) },
            accesses_max: None,
            separate_consent: false,
            onward: false,
        }
    }

    fn seeds() -> Seeds {
        let holder = ChartHolder::derive(&[5; 32], CHART);
        let mut seeds = Seeds::default();
        for compartment in terms().compartments.iter() {
            for epoch in [Epoch(0), Epoch(1)] {
                seeds.insert(compartment, epoch, holder.epoch_seed(compartment, epoch).unwrap());
            }
        }
        seeds
    }

    #[test]
    fn seeds_open_under_the_terms_that_were_signed_and_no_others() {
        let (key, other) = (SealingKey::generate(&mut rng()), SealingKey::generate(&mut rng()));
        let sealed = seal_for(&CHAIN, (CHART, GRANT), &terms(), &key.public(), &seeds()).unwrap();
        let opened = open_for(&CHAIN, (CHART, GRANT), &terms(), &key, &sealed).unwrap();
        assert!(opened.iter().eq(seeds().iter()));

        type Change = fn(&mut GrantTerms);
        let changes: [Change; 5] = [
            |terms| terms.window.until = BlockTime(21),
            |terms| terms.compartments = CompartmentSet::all(),
            |terms| terms.accesses_max = Some(1),
            |terms| terms.grantee = Grantee::Everyone,
            |terms| terms.separate_consent = true,
        ];
        for change in changes {
            let mut changed = terms();
            change(&mut changed);
            let opened = open_for(&CHAIN, (CHART, GRANT), &changed, &key, &sealed);
            assert!(matches!(opened, Err(KeyError::Seeds { grant: GRANT, .. })), "{changed:?}");
        }
        for (chain, place, key) in [
            (ChainId([9; 32]), (CHART, GRANT), &key),
            (CHAIN, (ChartId([9; 32]), GRANT), &key),
            (CHAIN, (CHART, GrantId([9; 16])), &key),
            (CHAIN, (CHART, GRANT), &other),
        ] {
            let opened = open_for(&chain, place, &terms(), key, &sealed);
            assert!(matches!(opened, Err(KeyError::Seeds { .. })), "{chain:?} {place:?}");
        }
    }

    fn set(indices: &[u8]) -> CompartmentSet {
        indices.iter().copied().filter_map(Compartment::new).collect()
    }

    fn lost(commands: &[Payload]) -> (CompartmentSet, CompartmentSet) {
        let lost = Lost::in_order(GRANT, commands.iter());
        (lost.ever, lost.with_old_keys)
    }

    #[test]
    fn keys_move_once_for_what_a_grant_has_lost() {
        let give = |grant, effect| {
            let terms = GrantTerms { effect, compartments: set(&[1, 2, 3]), ..terms() };
            Payload::GrantGive(GrantGive { chart: CHART, grant, terms, seeds: NO_SEEDS })
        };
        let limit = |grant, left: &[u8]| {
            let (kinds, purposes, window) = (KindSet::all(), PurposeSet::all(), terms().window);
            let compartments = set(left);
            let accesses_max = None;
            Payload::GrantLimit(GrantLimit {
                chart: CHART,
                grant,
                compartments,
                kinds,
                purposes,
                window,
                accesses_max,
            })
        };
        let revoke = |grant| Payload::GrantRevoke(GrantRevoke { chart: CHART, grant });
        let rotate = |moved: &[u8]| {
            let (sheet, seeds) = (NO_SEEDS, NO_SEEDS);
            let compartments = set(moved);
            Payload::CompartmentRotate(CompartmentRotate {
                chart: CHART,
                compartments,
                sheet,
                seeds,
            })
        };
        let (given, other) = (give(GRANT, Effect::Allow), GrantId([9; 16]));
        assert_eq!(lost(std::slice::from_ref(&given)), (set(&[]), set(&[])));
        let cut_off = [given.clone(), limit(GRANT, &[1])];
        assert_eq!(lost(&cut_off), (set(&[2, 3]), set(&[2, 3])));
        let half = [&cut_off[..], &[rotate(&[2, 5])]].concat();
        assert_eq!(lost(&half), (set(&[2, 3]), set(&[3])));
        let whole = [&half[..], &[rotate(&[3]), revoke(GRANT)]].concat();
        assert_eq!(lost(&whole), (set(&[1, 2, 3]), set(&[1])));
        // What moved before the grant ended has not moved since.
        let early = [given.clone(), rotate(&[1, 2, 3]), revoke(GRANT)];
        assert_eq!(lost(&early), (set(&[1, 2, 3]), set(&[1, 2, 3])));
        let others = [given, give(other, Effect::Allow), limit(other, &[1]), revoke(other)];
        assert_eq!(lost(&others), (set(&[]), set(&[])));
        let prohibition = [give(GRANT, Effect::Deny), revoke(GRANT)];
        assert_eq!(lost(&prohibition), (set(&[]), set(&[])));
    }

    #[test]
    fn a_notice_is_for_its_grantee() {
        let (key, other) = (SealingKey::generate(&mut rng()), SealingKey::generate(&mut rng()));
        let (meanings, _) = Meanings::draw(&mut rng(), &[("psychiatry", false)]).unwrap();
        let notice = GrantNotice { chart: CHART, grant: GRANT, terms: terms(), meanings };
        let sealed = notice.seal(&CHAIN, &key.public());
        assert_eq!(GrantNotice::open(&CHAIN, &key, &sealed), Ok(notice));
        assert!(!sealed.windows(10).any(|it| it == b"psychiatry"));
        assert!(GrantNotice::open(&CHAIN, &other, &sealed).is_err());
        assert!(GrantNotice::open(&ChainId([9; 32]), &key, &sealed).is_err());
        assert!(GrantNotice::open(&CHAIN, &key, &sealed[..sealed.len() - 1]).is_err());
    }
}
