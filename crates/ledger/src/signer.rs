//! Signers: whose key a signature must be of, and who is barred from acting.
//!
//! A [`Verified`] says that certain keys signed. Here the state says whose keys they are, at the height
//! of execution: a key that was changed or a member that was suspended one command earlier counts no
//! more.
//!
//! # Invariants
//!
//! * The key is compared before anything else of a signer is looked at, so that a stranger learns
//!   nothing from a refusal, and cannot use up what belongs to someone else.
//! * Where an organisation needs several administrators, none of them alone acts for it; each asks and is counted
//!   alone.
//! * Suspension stops acts. It does not undo what was done, and does not stop patients: whoever has
//!   claimed a chart controls it whatever becomes of its organisation.
//! * A proxy acts only by a power that it was given, while it is in force. What no power stands for (keys,
//!   guardians, proxies, redaction, the end of a chart) is the controller's alone.

use alloc::{collections::BTreeMap, vec::Vec};

use keepwell_crypto::command::Verified;
use keepwell_types::{
    guardian::{Guardian, GuardianPlace},
    id::{ChartId, MemberId, OrganisationId, ProxyId, PublicKey},
    member::Party,
    outcome::Rejection,
    proxy::Power,
    set::CompartmentSet,
    time::BlockTime,
    validators::{Seat, sits},
};

use crate::{
    decide::{Case, Halt},
    state::{
        Account, Chart, Guardians, Member, MotionApproval, Organisation, Proxy, RecordEntry,
        Recovery,
    },
    view::{Lacks, View},
};

/// By what right a command is decided.
#[derive(Clone, Copy)]
pub(crate) enum Authority<'a> {
    /// It stands in the genesis file, which everyone in the consortium has accepted.
    Genesis,
    /// Its signers signed it.
    Signed(&'a Verified),
    /// These administrators approved it one by one.
    Approved(&'a [MotionApproval]),
}

/// Who acts in a chart.
#[derive(Clone, Copy)]
pub(crate) enum Actor<'a> {
    Member { id: MemberId, member: &'a Member },
    Controller,
    Proxy { id: ProxyId, proxy: &'a Proxy },
}

impl Actor<'_> {
    pub(crate) const fn party(&self, chart: ChartId) -> Party {
        match self {
            Self::Member { id, .. } => Party::Member(*id),
            Self::Controller => Party::Controller(chart),
            Self::Proxy { id, .. } => Party::Proxy(chart, *id),
        }
    }

    /// Whether what the actor lets others do ends no later than what it may do itself.
    pub(crate) fn check_until(&self, until: BlockTime) -> Result<(), Rejection> {
        match self {
            Self::Proxy { id, proxy } if proxy.terms.window.until < until => {
                Err(Rejection::OutsideProxy(*id))
            }
            Self::Proxy { .. } | Self::Controller | Self::Member { .. } => Ok(()),
        }
    }

    /// Whether a proxy that asks something about a record in all its versions names the first of them: a later
    /// one may be in another compartment.
    pub(crate) fn check_names_first(&self, entry: &RecordEntry) -> Result<(), Rejection> {
        match self {
            Self::Proxy { id, .. } if entry.record != entry.original => {
                Err(Rejection::OutsideProxy(*id))
            }
            Self::Proxy { .. } | Self::Controller | Self::Member { .. } => Ok(()),
        }
    }

    /// Whether the actor may act in these compartments, as far as that is bounded at all.
    pub(crate) fn check_within(&self, compartments: CompartmentSet) -> Result<(), Rejection> {
        match self {
            Self::Proxy { id, proxy } if !proxy.terms.compartments.includes(compartments) => {
                Err(Rejection::OutsideProxy(*id))
            }
            Self::Proxy { .. } | Self::Controller | Self::Member { .. } => Ok(()),
        }
    }
}

/// One signer and the key that signed.
#[derive(Clone, Copy)]
struct Signer {
    party: Party,
    key: PublicKey,
}

impl Signer {
    fn must_have(&self, key: &PublicKey) -> Result<(), Rejection> {
        self.must(self.key == *key)
    }

    fn must(&self, has_its_key: bool) -> Result<(), Rejection> {
        if has_its_key { Ok(()) } else { Err(Rejection::KeyNotOfSigner(self.party)) }
    }
}

/// The organisation that answers for a command, and which of its quotas the command uses, after checking
/// that its first signer signed it and may act at all at `now`.
///
/// It is that of the member or administrator who acts, or that of the chart where a patient does.
pub fn accountable(
    view: &View,
    now: BlockTime,
    command: &Verified,
) -> Result<(OrganisationId, Account), Halt> {
    let signer = signers(command).next().ok_or(Rejection::WrongSigners)?;
    match signer.party {
        Party::Member(id) => {
            let member = signing_member(view, signer, id, now)?;
            Ok((member.organisation, Account::Members))
        }
        Party::Controller(id) => {
            let chart = signing_controller(view, signer, id)?;
            Ok((chart.organisation, Account::Charts))
        }
        Party::Claimant(id) => {
            let chart = known_chart(view, id)?;
            let ticket = chart.claim.ok_or(Rejection::NotClaimable(id))?;
            signer.must_have(&ticket.key)?;
            Ok((chart.organisation, Account::Charts))
        }
        Party::Proxy(chart, id) => {
            signing_proxy(view, signer, (chart, id), now)?;
            Ok((known_chart(view, chart)?.organisation, Account::Charts))
        }
        Party::Guardian(id) => {
            signing_guardian(view, signer, id)?;
            Ok((known_chart(view, id)?.organisation, Account::Guardians))
        }
        Party::Successor(id) => {
            signing_successor(view, signer, id, now)?;
            Ok((known_chart(view, id)?.organisation, Account::Guardians))
        }
        Party::Administrator(id) => {
            signing_administrator(view, signer, id, now)?;
            Ok((id, Account::Administrator))
        }
        Party::Custodian(id) => {
            signing_custodian(view, signer, id, now)?;
            Ok((id, Account::Custodian))
        }
        Party::Validator(id) => {
            signing_validator(view, signer, id)?;
            Ok((id, Account::Validators))
        }
    }
}

/// A custodian answers for what it holds, suspended or not.
fn signing_custodian(
    view: &View,
    signer: Signer,
    id: OrganisationId,
    now: BlockTime,
) -> Result<(), Halt> {
    let organisation = known_organisation(view, id)?;
    organisation.custodian.ok_or(Rejection::NotCustodian(id))?;
    Ok(signer.must(organisation.has_custodian(&signer.key, now))?)
}

/// A validator answers for its share, suspended or not; so does one that is to validate.
fn signing_validator(view: &View, signer: Signer, id: OrganisationId) -> Result<(), Halt> {
    let is = |seats: &[Seat]| sits(seats, id, &signer.key);
    let present = view.validators()?.is_some_and(|it| is(&it.set.seats));
    let next = view.changing()?.is_some_and(|it| is(&it.seats));
    Ok(signer.must(present || next)?)
}

fn signing_administrator(
    view: &View,
    signer: Signer,
    id: OrganisationId,
    now: BlockTime,
) -> Result<(), Halt> {
    signer.must(known_organisation(view, id)?.has_administrator(&signer.key, now))?;
    organisation_in_standing(view, id).map(|_| ())
}

fn signing_member(
    view: &View,
    signer: Signer,
    id: MemberId,
    now: BlockTime,
) -> Result<&Member, Halt> {
    signer.must(known_member(view, id)?.signs_with(&signer.key, now))?;
    member_in_standing(view, id)
}

fn signing_controller(view: &View, signer: Signer, id: ChartId) -> Result<&Chart, Halt> {
    signer.must_have(&known_chart(view, id)?.keys.signing)?;
    controlled_chart(view, id)
}

fn signing_proxy(
    view: &View,
    signer: Signer,
    (chart, id): (ChartId, ProxyId),
    now: BlockTime,
) -> Result<&Proxy, Halt> {
    let proxy = known_proxy(view, chart, id)?;
    signer.must_have(&proxy.signing)?;
    proxy_in_force(view, chart, id, now)
}

/// The guardian's key, if it is one of the chart's.
fn signing_guardian(view: &View, signer: Signer, id: ChartId) -> Result<GuardianPlace, Halt> {
    let policy = view.guardians(id)?.map(|it| &it.policy);
    let place = policy.and_then(|it| it.place_of(&Guardian::Key(signer.key)));
    Ok(place.ok_or(Rejection::KeyNotOfSigner(signer.party))?)
}

/// The first recovery that waits to bring the chart to this key.
fn signing_successor(
    view: &View,
    signer: Signer,
    id: ChartId,
    now: BlockTime,
) -> Result<&Recovery, Halt> {
    let open = view.recoveries(id)?.map_or(&[][..], |it| &it.open);
    let waits = |it: &&Recovery| it.successor == signer.key && now < it.until;
    Ok(open.iter().find(waits).ok_or(Rejection::KeyNotOfSigner(signer.party))?)
}

/// A proxy, if the chart has it.
pub(crate) fn known_proxy(view: &View, chart: ChartId, id: ProxyId) -> Result<&Proxy, Halt> {
    let all = view.proxies(chart)?.map_or(&[][..], |it| &it.all);
    Ok(all.iter().find(|it| it.proxy == id).ok_or(Rejection::UnknownProxy(id))?)
}

/// A proxy, if it may act at `now`.
pub(crate) fn proxy_in_force(
    view: &View,
    chart: ChartId,
    id: ProxyId,
    now: BlockTime,
) -> Result<&Proxy, Halt> {
    let proxy = known_proxy(view, chart, id)?;
    controlled_chart(view, chart)?;
    if !proxy.terms.window.contains(now) {
        return Err(Rejection::ProxyNotInForce(id).into());
    }
    Ok(proxy)
}

/// A member and its organisation, neither of them suspended.
pub(crate) fn member_in_standing(view: &View, id: MemberId) -> Result<&Member, Halt> {
    let member = known_member(view, id)?;
    if member.suspended {
        return Err(Rejection::MemberSuspended(id).into());
    }
    organisation_in_standing(view, member.organisation)?;
    Ok(member)
}

/// Whether `key` is an administrator's, at `now`, of an organisation that is not suspended.
pub(crate) fn administrator_in_standing(
    view: &View,
    organisation: OrganisationId,
    key: &PublicKey,
    now: BlockTime,
) -> Result<bool, Lacks> {
    let entry = view.organisation(organisation)?;
    Ok(entry.is_some_and(|it| !it.suspended && it.has_administrator(key, now)))
}

/// An organisation that is not suspended.
pub(crate) fn organisation_in_standing(
    view: &View,
    id: OrganisationId,
) -> Result<&Organisation, Halt> {
    let organisation = known_organisation(view, id)?;
    if organisation.suspended {
        return Err(Rejection::OrganisationSuspended(id).into());
    }
    Ok(organisation)
}

/// The chart, if whoever holds its keys may act: an organisation's key agent may not while the
/// organisation is suspended.
pub(crate) fn controlled_chart(view: &View, id: ChartId) -> Result<&Chart, Halt> {
    let chart = known_chart(view, id)?;
    if chart.claim.is_some() {
        organisation_in_standing(view, chart.organisation)?;
    }
    Ok(chart)
}

pub(crate) fn known_organisation(view: &View, id: OrganisationId) -> Result<&Organisation, Halt> {
    Ok(view.organisation(id)?.ok_or(Rejection::UnknownOrganisation(id))?)
}

pub(crate) fn known_member(view: &View, id: MemberId) -> Result<&Member, Halt> {
    Ok(view.member(id)?.ok_or(Rejection::UnknownMember(id))?)
}

pub(crate) fn known_chart(view: &View, id: ChartId) -> Result<&Chart, Halt> {
    Ok(view.chart(id)?.ok_or(Rejection::UnknownChart(id))?)
}

fn signers(command: &Verified) -> impl ExactSizeIterator<Item = Signer> {
    let parties = command.command().signers.iter();
    parties.zip(command.signatures()).map(|(party, by)| Signer { party: *party, key: by.key })
}

impl<'a> Case<'a> {
    /// The member who signed, alone.
    pub(crate) fn acting_member(&self) -> Result<(MemberId, &'a Member), Halt> {
        let [signer] = self.exactly()?;
        match signer.party {
            Party::Member(id) => Ok((id, signing_member(self.view, signer, id, self.now())?)),
            Party::Controller(_)
            | Party::Claimant(_)
            | Party::Administrator(_)
            | Party::Custodian(_)
            | Party::Proxy(..)
            | Party::Guardian(_)
            | Party::Successor(_)
            | Party::Validator(_) => Err(Rejection::WrongSigners.into()),
        }
    }

    /// The custodian that signed, alone.
    pub(crate) fn acting_custodian(&self) -> Result<OrganisationId, Halt> {
        let [signer] = self.exactly()?;
        let Party::Custodian(id) = signer.party else { return Err(Rejection::WrongSigners.into()) };
        signing_custodian(self.view, signer, id, self.now())?;
        Ok(id)
    }

    /// The release key of the validator that signed, alone: of the present set, or of the next.
    pub(crate) fn acting_validator(&self) -> Result<PublicKey, Halt> {
        let [signer] = self.exactly()?;
        let Party::Validator(id) = signer.party else { return Err(Rejection::WrongSigners.into()) };
        signing_validator(self.view, signer, id)?;
        Ok(signer.key)
    }

    /// The chart, whose controller signed, alone.
    pub(crate) fn acting_controller(&self, chart: ChartId) -> Result<&'a Chart, Halt> {
        let [signer] = self.exactly()?;
        match signer.party {
            Party::Controller(id) if id == chart => signing_controller(self.view, signer, chart),
            Party::Proxy(of, id) if of == chart => Err(Rejection::OutsideProxy(id).into()),
            Party::Controller(_) | Party::Member(_) | Party::Proxy(..) => {
                Err(Rejection::NotController(chart).into())
            }
            Party::Claimant(_)
            | Party::Administrator(_)
            | Party::Custodian(_)
            | Party::Guardian(_)
            | Party::Successor(_)
            | Party::Validator(_) => Err(Rejection::WrongSigners.into()),
        }
    }

    /// Who controls `chart`, or acts for its patient with `power`, and signed alone; and the chart.
    pub(crate) fn acting_with(
        &self,
        chart: ChartId,
        power: Power,
    ) -> Result<(Actor<'a>, &'a Chart), Halt> {
        let [signer] = self.exactly()?;
        if !matches!(signer.party, Party::Proxy(of, _) if of == chart) {
            return Ok((Actor::Controller, self.acting_controller(chart)?));
        }
        self.actor_with(chart, power)
    }

    /// The member, the controller of `chart` or its proxy with `power` who signed, alone; and the chart.
    pub(crate) fn actor_with(
        &self,
        chart: ChartId,
        power: Power,
    ) -> Result<(Actor<'a>, &'a Chart), Halt> {
        let [signer] = self.exactly()?;
        let id = match signer.party {
            Party::Proxy(of, id) if of == chart => id,
            Party::Proxy(..)
            | Party::Member(_)
            | Party::Controller(_)
            | Party::Claimant(_)
            | Party::Administrator(_)
            | Party::Custodian(_)
            | Party::Guardian(_)
            | Party::Successor(_)
            | Party::Validator(_) => return self.actor(chart),
        };
        let proxy = signing_proxy(self.view, signer, (chart, id), self.now())?;
        if !proxy.terms.powers.contains(power) {
            return Err(Rejection::OutsideProxy(id).into());
        }
        Ok((Actor::Proxy { id, proxy }, known_chart(self.view, chart)?))
    }

    /// Whether this proxy of the chart signed, alone, and is in force.
    pub(crate) fn is_of_proxy(&self, chart: ChartId, id: ProxyId) -> Result<bool, Halt> {
        let [signer] = self.exactly()?;
        if signer.party != Party::Proxy(chart, id) {
            return Ok(false);
        }
        signing_proxy(self.view, signer, (chart, id), self.now())?;
        Ok(true)
    }

    /// The guardian of `chart` who signed, alone: with a key of its own, or as a member in standing.
    pub(crate) fn acting_guardian(&self, chart: ChartId) -> Result<GuardianPlace, Halt> {
        let [signer] = self.exactly()?;
        let stranger = Rejection::NotGuardian(chart);
        match signer.party {
            Party::Guardian(id) if id == chart => signing_guardian(self.view, signer, chart),
            Party::Member(id) => {
                signing_member(self.view, signer, id, self.now())?;
                let Guardians { policy, .. } =
                    self.view.guardians(chart)?.ok_or(stranger.clone())?;
                Ok(policy.place_of(&Guardian::Member(id)).ok_or(stranger)?)
            }
            Party::Guardian(_)
            | Party::Controller(_)
            | Party::Claimant(_)
            | Party::Administrator(_)
            | Party::Custodian(_)
            | Party::Proxy(..)
            | Party::Successor(_)
            | Party::Validator(_) => Err(stranger.into()),
        }
    }

    /// Whoever signed alone is to control `chart`, with `new`.
    pub(crate) fn acting_successor(&self, chart: ChartId, new: &PublicKey) -> Result<(), Halt> {
        let [signer] = self.exactly()?;
        if signer.party != Party::Successor(chart) {
            return Err(Rejection::WrongSigners.into());
        }
        signing_successor(self.view, signer, chart, self.now())?;
        Ok(signer.must_have(new)?)
    }

    /// The member or the controller of `chart` who signed, alone, and the chart.
    pub(crate) fn actor(&self, chart: ChartId) -> Result<(Actor<'a>, &'a Chart), Halt> {
        let [signer] = self.exactly()?;
        match signer.party {
            Party::Member(id) => {
                let member = signing_member(self.view, signer, id, self.now())?;
                Ok((Actor::Member { id, member }, known_chart(self.view, chart)?))
            }
            Party::Controller(_) | Party::Proxy(..) => {
                Ok((Actor::Controller, self.acting_controller(chart)?))
            }
            Party::Claimant(_)
            | Party::Administrator(_)
            | Party::Custodian(_)
            | Party::Guardian(_)
            | Party::Successor(_)
            | Party::Validator(_) => Err(Rejection::WrongSigners.into()),
        }
    }

    /// Whoever signed alone, or as its administrators an organisation, in standing; of charts, the controller of `chart` only, or its proxy that may sign.
    pub(crate) fn approver(&self, chart: ChartId) -> Result<Party, Halt> {
        if let Authority::Signed(command) = self.authority
            && let Some(Party::Administrator(id)) = command.command().signers.first()
        {
            self.by_administrators(*id)?;
            return Ok(Party::Administrator(*id));
        }
        let [signer] = self.exactly()?;
        match signer.party {
            Party::Member(id) => signing_member(self.view, signer, id, self.now()).map(|_| ())?,
            Party::Controller(_) => self.acting_controller(chart).map(|_| ())?,
            Party::Proxy(of, _) if of == chart => {
                self.actor_with(chart, Power::Sign).map(|_| ())?
            }
            Party::Administrator(_)
            | Party::Claimant(_)
            | Party::Custodian(_)
            | Party::Proxy(..)
            | Party::Guardian(_)
            | Party::Successor(_)
            | Party::Validator(_) => return Err(Rejection::WrongSigners.into()),
        }
        Ok(signer.party)
    }

    /// The holder of the chart's one-time code and the keeper of the new key signed.
    pub(crate) fn claimed_by(&self, chart: ChartId, new: &PublicKey) -> Result<&'a Chart, Halt> {
        let [claimant, controller] = self.exactly()?;
        let parties = (claimant.party, controller.party);
        if parties != (Party::Claimant(chart), Party::Controller(chart)) {
            return Err(Rejection::WrongSigners.into());
        }
        let entry = known_chart(self.view, chart)?;
        let ticket = entry.claim.ok_or(Rejection::NotClaimable(chart))?;
        claimant.must_have(&ticket.key)?;
        controller.must_have(new)?;
        if ticket.until <= self.now() {
            return Err(Rejection::ClaimExpired { until: ticket.until }.into());
        }
        Ok(entry)
    }

    /// The administrator who signed, alone, and with which key.
    pub(crate) fn acting_administrator(&self) -> Result<(OrganisationId, PublicKey), Halt> {
        let [signer] = self.exactly()?;
        let Party::Administrator(id) = signer.party else {
            return Err(Rejection::WrongSigners.into());
        };
        signing_administrator(self.view, signer, id, self.now())?;
        Ok((id, signer.key))
    }

    /// As many administrators of `organisation` as it needs signed, and nobody else, or the genesis file says it.
    pub(crate) fn by_administrators(&self, organisation: OrganisationId) -> Result<(), Halt> {
        let enough = |it: &Organisation, keys: &[PublicKey]| it.is_spoken_for(keys, self.now());
        self.by_enough(organisation, enough)
    }

    /// [`Self::by_administrators`] with present keys, or [`Self::by_consortium`].
    pub(crate) fn by_present_administrators_or_consortium(
        &self,
        organisation: OrganisationId,
    ) -> Result<(), Halt> {
        match self.by_enough(organisation, Organisation::is_presently_spoken_for) {
            Err(Halt::Rejected(own)) => match self.by_consortium() {
                // What the organisation itself lacks is nearer to whoever signed.
                Err(Halt::Rejected(_)) => Err(own.into()),
                by @ (Ok(()) | Err(Halt::Lacks(_))) => by,
            },
            by @ (Ok(()) | Err(Halt::Lacks(_))) => by,
        }
    }

    fn by_enough(
        &self,
        organisation: OrganisationId,
        enough: impl Fn(&Organisation, &[PublicKey]) -> bool,
    ) -> Result<(), Halt> {
        let administrators = match self.authority {
            Authority::Genesis => return known_organisation(self.view, organisation).map(|_| ()),
            Authority::Signed(command) => self.signing_administrators(signers(command))?,
            Authority::Approved(approvals) => {
                // Others may approve it as well, and do not speak for this one.
                let mut own = self.approving_administrators(approvals)?;
                own.retain(|(of, _)| *of == organisation);
                own
            }
        };
        self.spoken_for(organisation, &administrators, enough)
    }

    /// The administrators of the member's organisation and the keeper of the member's new key signed,
    /// or the genesis file says it.
    pub(crate) fn by_administrators_and_new_key(
        &self,
        organisation: OrganisationId,
        member: MemberId,
        new: &PublicKey,
    ) -> Result<(), Halt> {
        let command = match self.authority {
            Authority::Genesis => return Ok(()),
            Authority::Signed(command) => command,
            Authority::Approved(_) => return Err(Rejection::WrongSigners.into()),
        };
        let administrators = signers(command).len().saturating_sub(1);
        let keeper = signers(command).nth(administrators).ok_or(Rejection::WrongSigners)?;
        if keeper.party != Party::Member(member) {
            return Err(Rejection::WrongSigners.into());
        }
        let administrators = signers(command).take(administrators);
        let enough = |it: &Organisation, keys: &[PublicKey]| it.is_spoken_for(keys, self.now());
        self.spoken_for(organisation, &self.signing_administrators(administrators)?, enough)?;
        Ok(keeper.must_have(new)?)
    }

    /// Administrators of more than two thirds of the organisations in standing signed, of each as many as it needs,
    /// or the genesis file says it.
    pub(crate) fn by_consortium(&self) -> Result<(), Halt> {
        let administrators = match self.authority {
            Authority::Genesis => return Ok(()),
            Authority::Signed(command) => self.signing_administrators(signers(command))?,
            Authority::Approved(approvals) => self.approving_administrators(approvals)?,
        };
        let mut keys: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (organisation, key) in administrators {
            keys.entry(organisation).or_default().push(key);
        }
        let mut signed = 0;
        for (organisation, keys) in keys {
            let entry = known_organisation(self.view, organisation)?;
            signed += u32::from(entry.is_spoken_for(&keys, self.now()));
        }
        let organisations = self.view.organisations()?;
        let needed = organisations.map_or(1, |it| it.administrators_min());
        if signed < needed {
            return Err(Rejection::TooFewAdministrators { signed, needed }.into());
        }
        Ok(())
    }

    /// Whether `organisation` is spoken for by these, all of them its own.
    fn spoken_for(
        &self,
        organisation: OrganisationId,
        administrators: &[(OrganisationId, PublicKey)],
        enough: impl Fn(&Organisation, &[PublicKey]) -> bool,
    ) -> Result<(), Halt> {
        if administrators.iter().any(|(of, _)| *of != organisation) {
            return Err(Rejection::WrongSigners.into());
        }
        let keys: Vec<_> = administrators.iter().map(|(_, key)| *key).collect();
        let entry = known_organisation(self.view, organisation)?;
        if enough(entry, &keys) {
            return Ok(());
        }
        let (signed, needed) = (keys.len() as u32, entry.administrators.needed);
        Err(Rejection::TooFewAdministrators { signed, needed }.into())
    }

    /// Who signed, if each is an administrator in standing and none is there twice.
    fn signing_administrators(
        &self,
        signers: impl Iterator<Item = Signer>,
    ) -> Result<Vec<(OrganisationId, PublicKey)>, Halt> {
        let mut administrators = Vec::new();
        for signer in signers {
            let Party::Administrator(id) = signer.party else {
                return Err(Rejection::WrongSigners.into());
            };
            signing_administrator(self.view, signer, id, self.now())?;
            if administrators.contains(&(id, signer.key)) {
                return Err(Rejection::WrongSigners.into());
            }
            administrators.push((id, signer.key));
        }
        Ok(administrators)
    }

    /// Who approved and may still.
    fn approving_administrators(
        &self,
        approvals: &[MotionApproval],
    ) -> Result<Vec<(OrganisationId, PublicKey)>, Halt> {
        let mut administrators = Vec::new();
        for MotionApproval { organisation, key } in approvals {
            if administrator_in_standing(self.view, *organisation, key, self.now())? {
                administrators.push((*organisation, *key));
            }
        }
        Ok(administrators)
    }

    /// The signers, if there are exactly `N`; the genesis file has none.
    fn exactly<const N: usize>(&self) -> Result<[Signer; N], Rejection> {
        let Authority::Signed(command) = self.authority else {
            return Err(Rejection::WrongSigners);
        };
        let mut signers = signers(command);
        if signers.len() != N {
            return Err(Rejection::WrongSigners);
        }
        Ok(core::array::from_fn(|_| signers.next().expect("there are as many as were counted")))
    }
}
