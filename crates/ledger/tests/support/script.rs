//! Lines of scripts, and the commands that they stand for.

use std::{collections::BTreeMap, str::FromStr};

use keepwell_crypto::{
    command::record_id,
    custody::{sign_custody, version_of},
    sign::SigningKey,
};
use keepwell_ledger::state::{Chart, Key, Value};
use keepwell_types::{
    access::{
        AccessOpen, BreakGlass, EmergencyClose, EmergencyReason, EmergencyReview, EmergencySecond,
        Purpose, RecordName, Target,
    },
    anchor::AnchorAdd,
    case::{CaseAcknowledge, CaseDecide, CaseDecision, CaseExtend, CaseOpen, CaseStatement},
    chart::{
        ChartArrange, ChartClaim, ChartKeys, ChartOpen, ChartPrepare, ClaimTicket,
        CompartmentRotate, KeysAhead,
    },
    command::{Part, Payload, SignedCommand},
    credential::{CredentialIssue, CredentialStanding},
    encoding::{List, Text},
    grant::{
        Answer, Effect, GrantAnswer, GrantGive, GrantLimit, GrantPass, GrantRequest, GrantRevoke,
        GrantRevokeOrganisation, GrantTerms, GrantWithdraw, Grantee, RefusalReason, RequestReason,
        TeamArrange,
    },
    guardian::{
        Guardian, GuardianGroup, GuardianPolicy, GuardianSet, RecoveryApprove, RecoveryEnd,
        RecoveryFinish, RecoveryStart,
    },
    id::*,
    limits::{COMPARTMENTS, SEALED_BYTES_MAX},
    link::{Confirmation, LinkConfirm, LinkPropose, LinkReversal, LinkReverse},
    matching::MatchEvaluate,
    member::{
        Administrators, GroupForm, MemberAssign, MemberEnrol, MemberRotate, MemberStanding,
        OrganisationRotate, OrganisationStanding, Party, Role,
    },
    motion::{Act, MotionApprove, MotionOpen, MotionWithdraw},
    protocol::Upgrade,
    proxy::{ChartClose, ChartMinor, ProxyAdd, ProxyEnd, ProxyTerms},
    record::{
        Amended, CustodyAcknowledgement, CustodyStatement, RecordAdd, RecordApprove, RecordErased,
        RecordKeep, RecordRedact, RecordRestrict, RecordRetract, RecordWithdraw, RedactionGround,
    },
    set::{CompartmentSet, RoleSet, Set, Word},
    signoff::{ApprovalRule, Approver, AtLeast, Meaning, Need, Seat, Step},
    time::{BlockTime, Window},
};

use super::{
    START, World, admit, case_id, chart_id, credential_id, grant_id, group_id, hashed, key,
    link_id, member_id, motion_id, organisation_id, proxy_id, request_id, sign_as, team_id,
};

/// Compartments that need separate consent in charts of scripts.
const SEPARATE: &str = "12,13,14,15";

/// One line of a script.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) text: String,
    pub(crate) time: BlockTime,
    pub(crate) who: String,
    pub(crate) verb: String,
    pub(crate) what: String,
    pub(crate) details: BTreeMap<String, String>,
    pub(crate) expected: String,
}

pub(crate) fn lines(script: &str) -> Vec<Line> {
    script.lines().map(str::trim).filter(|line| !line.is_empty()).map(Line::parse).collect()
}

impl Line {
    fn parse(text: &str) -> Self {
        let mut words: Vec<&str> = text.split_whitespace().collect();
        let expected = words.pop().expect("a line ends with a verdict").into();
        let mut words = words.into_iter();
        let mut next = || words.next().expect("time, who, command, what").to_string();
        let (time, who, verb, what) = (instant(&next()), next(), next(), next());
        let details = words
            .map(|word| word.split_once('=').unwrap_or((word, "")))
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        Self { text: text.into(), time, who, verb, what, details, expected }
    }

    /// The command of this line, signed.
    pub(crate) fn command(&self, world: &mut World) -> SignedCommand {
        self.command_as(world, None)
    }

    /// The same, as a part of a transaction.
    pub(crate) fn command_as(&self, world: &mut World, part: Option<Part>) -> SignedCommand {
        let signers: Vec<_> = self.who.split('+').map(|name| self.signer(world, name)).collect();
        let payload = self.payload(world);
        let mut signed = world.sign(&signers, payload);
        let mut command = signed.command.clone();
        command.part = part;
        if let Some(window) = self.detail("window") {
            let (from, until) = window.split_once("..").expect("a window is from..until");
            command.window = Window { from: instant(from), until: instant(until) };
        }
        if self.detail("chain").is_some() {
            command.chain = ChainId([8; 32]);
        }
        if let Some(version) = self.detail("version") {
            command.version = version.parse().unwrap();
        }
        if let Payload::RecordAdd(add) = &mut command.payload {
            let id = (command.id, command.window.until);
            let record = record_id(&command.chain, &add.chart, signers[0].0, id.0, id.1);
            add.custody = self.custody(command.chain, record, add);
        }
        if command != signed.command {
            signed = sign_as(command, &signers);
        }
        signed
    }

    /// Remembers what later lines refer to.
    pub(crate) fn note_accepted(&self, world: &mut World) {
        match self.verb.as_str() {
            "add" => {
                let command = world.last_command.clone().unwrap();
                let chart = command.command().payload.chart().unwrap();
                let view = world.block.as_ref().unwrap().view();
                let count = view.chart_log(chart).unwrap().unwrap().count;
                let position = LogPosition(count.0 - 1);
                let entry = view.record(chart, position).unwrap().unwrap();
                let name = RecordName { position, record: entry.record };
                world.named.insert(self.what.clone(), (name, entry.commitment));
            }
            "break" => {
                let view = world.block.as_ref().unwrap().view();
                let count = view.chart_log(self.chart()).unwrap().unwrap().count;
                world.emergencies.insert(self.what.clone(), LogPosition(count.0 - 1));
            }
            "recover" => {
                let view = world.block.as_ref().unwrap().view();
                let count = view.chart_log(self.chart()).unwrap().unwrap().count;
                world.recoveries.insert(self.what.clone(), LogPosition(count.0 - 1));
            }
            "finish" => {
                let party = Party::Controller(self.chart());
                world.seeds.insert(party, format!("next:{}", self.successor()));
            }
            "claim" => {
                let party = Party::Controller(chart_id(&self.what));
                world.seeds.insert(party, format!("wallet:{}", self.what));
            }
            "rotate" => {
                let party = Party::Member(member_id(&self.what));
                world.seeds.insert(party, format!("new:{}", self.what));
            }
            _ => {}
        }
    }

    /// `act=expel:clinic`, or `act=upgrade:2 from=4100`.
    fn act(&self) -> Act {
        let (verb, name) = self.detail("act").unwrap().split_once(':').unwrap();
        if verb == "upgrade" {
            let from = self.detail("from").map(|it| Height(it.parse().unwrap()));
            return Act::Upgrade(Upgrade { to: Protocol(name.parse().unwrap()), from });
        }
        let it = OrganisationStanding { organisation: organisation_id(name) };
        match verb {
            "admit" => {
                let Payload::OrganisationAdmit(it) = admit(name, true) else {
                    unreachable!("that is what it makes")
                };
                Act::Admit(it)
            }
            "suspend" => Act::Suspend(it),
            "reinstate" => Act::Reinstate(it),
            "expel" => Act::Expel(it),
            "rotate" => Act::Rotate(self.organisation_rotate(name)),
            other => panic!("no such act: {other}"),
        }
    }

    /// `keys=ann,bob needed=2 custodian=new overlap=t50`: keys named for the organisation.
    fn organisation_rotate(&self, name: &str) -> OrganisationRotate {
        let named = |who: &str| key(&format!("administrator:{name}:{who}")).public();
        let keys = self.detail("keys").unwrap_or("ann").split(',').filter(|it| !it.is_empty());
        let keys = List::from_vec(keys.map(named).collect()).unwrap();
        let needed = self.detail("needed").unwrap_or("1").parse().unwrap();
        let custodian = self.detail("custodian").unwrap_or(name);
        OrganisationRotate {
            organisation: organisation_id(name),
            administrators: Administrators { keys, needed },
            custodian: Some(key(&format!("custodian:{custodian}")).public()),
            overlap_until: self.detail("overlap").map(instant),
        }
    }

    fn detail(&self, name: &str) -> Option<&str> {
        self.details.get(name).map(String::as_str)
    }

    fn chart(&self) -> ChartId {
        chart_id(self.detail("in").unwrap_or("c1"))
    }

    fn signer(&self, world: &World, name: &str) -> (Party, SigningKey) {
        let (name, false_key) = match name.strip_suffix('!') {
            Some(name) => (name, true),
            None => (name, false),
        };
        let (party, seed) = party(name);
        let seed = world.seeds.get(&party).filter(|_| !name.contains(':')).unwrap_or(&seed);
        let seed = if false_key { "nobody" } else { seed };
        (party, key(seed))
    }

    fn payload(&self, world: &World) -> Payload {
        let organisation = organisation_id(&self.what);
        let member = member_id(&self.what);
        match self.verb.as_str() {
            "admit" => admit(&self.what, true),
            "suspend_organisation" => {
                Payload::OrganisationSuspend(OrganisationStanding { organisation })
            }
            "reinstate_organisation" => {
                Payload::OrganisationReinstate(OrganisationStanding { organisation })
            }
            "expel_organisation" => {
                Payload::OrganisationExpel(OrganisationStanding { organisation })
            }
            "enrol" => Payload::MemberEnrol(MemberEnrol {
                member,
                organisation: organisation_id(self.detail("of").unwrap()),
                signing: key(&format!("member:{}", self.what)).public(),
                sealing: Digest(hashed("sealing", &self.what)),
                roles: self.roles(),
            }),
            "rotate" => Payload::MemberRotate(MemberRotate {
                member,
                signing: key(&format!("new:{}", self.what)).public(),
                sealing: Digest(hashed("sealing:new", &self.what)),
                overlap_until: self.detail("overlap").map(instant),
            }),
            "rotate_organisation" => {
                Payload::OrganisationRotate(self.organisation_rotate(&self.what))
            }
            "move" => Payload::MotionOpen(MotionOpen {
                motion: motion_id(&self.what),
                act: self.act(),
                until: instant(self.detail("until").unwrap_or("t1000")),
            }),
            "agree" => Payload::MotionApprove(MotionApprove {
                motion: motion_id(&self.what),
                act: self.act(),
            }),
            "drop" => Payload::MotionWithdraw(MotionWithdraw { motion: motion_id(&self.what) }),
            "assign" => Payload::MemberAssign(MemberAssign {
                member,
                roles: self.roles(),
                groups: self.named("groups", group_id),
            }),
            "form" => Payload::GroupForm(GroupForm {
                group: group_id(&self.what),
                organisation: organisation_id(self.detail("of").unwrap()),
                purposes: words(self.detail("purposes").unwrap_or("TREAT")),
            }),
            "team" => Payload::TeamArrange(TeamArrange {
                chart: self.chart(),
                team: team_id(&self.what),
                members: self.named("members", member_id),
            }),
            "suspend" => Payload::MemberSuspend(MemberStanding { member }),
            "reinstate" => Payload::MemberReinstate(MemberStanding { member }),
            "open" => Payload::ChartOpen(self.chart_open()),
            "claim" => Payload::ChartClaim(ChartClaim {
                chart: chart_id(&self.what),
                keys: chart_keys(&format!("wallet:{}", self.what)),
                inherited: match self.detail("letter") {
                    Some(letter) => Digest(hashed("sheet", letter)),
                    None => sheet_of(world, chart_id(&self.what)),
                },
            }),
            "arrange" => Payload::ChartArrange(ChartArrange {
                chart: chart_id(&self.what),
                custodians: self.organisations("custodians", "hospital,clinic"),
                contributors: self.organisations("contributors", ""),
                claim: self.ticket(),
            }),
            "advance" => Payload::CompartmentRotate(CompartmentRotate {
                chart: chart_id(&self.what),
                compartments: self.compartments(),
                sheet: Digest(hashed("sheet", &self.text)),
                seeds: Digest(hashed("seeds", &self.text)),
            }),
            "add" => Payload::RecordAdd(self.record_add(world)),
            "restrict" => Payload::RecordRestrict(self.restriction(world)),
            "lift" => Payload::RecordLift(self.restriction(world)),
            "redact" => Payload::RecordRedact(RecordRedact {
                chart: self.chart(),
                record: world.name(&self.what),
                ground: RedactionGround::from_str(self.detail("ground").unwrap_or("error"))
                    .unwrap(),
            }),
            "keep" => Payload::RecordKeep(RecordKeep {
                chart: self.chart(),
                record: world.name(&self.what),
            }),
            "erased" => Payload::RecordErased(RecordErased {
                chart: self.chart(),
                record: world.name(&self.what),
            }),
            "approve" => Payload::RecordApprove(self.record_approve(world)),
            "retract" => Payload::RecordRetract(RecordRetract {
                chart: self.chart(),
                record: world.name(&self.what),
            }),
            "unpropose" => Payload::RecordWithdraw(RecordWithdraw {
                chart: self.chart(),
                record: world.name(&self.what),
            }),
            "give" => Payload::GrantGive(GrantGive {
                chart: self.chart(),
                grant: grant_id(&self.what),
                terms: self.terms(world),
                seeds: Digest(hashed("seeds", &self.what)),
            }),
            "limit" => Payload::GrantLimit(GrantLimit {
                chart: self.chart(),
                grant: grant_id(&self.what),
                compartments: self.compartments(),
                kinds: words(self.detail("kinds").unwrap_or("all")),
                purposes: words(self.detail("purposes").unwrap_or("TREAT")),
                window: self.grant_window(),
                accesses_max: self.detail("max").map(|it| it.parse().unwrap()),
            }),
            "revoke" => Payload::GrantRevoke(GrantRevoke {
                chart: self.chart(),
                grant: grant_id(&self.what),
            }),
            "revoke_all" => Payload::GrantRevokeOrganisation(GrantRevokeOrganisation {
                chart: self.chart(),
                organisation,
            }),
            "pass" => Payload::GrantPass(GrantPass {
                chart: self.chart(),
                from: grant_id(self.detail("of").unwrap()),
                grant: grant_id(&self.what),
                terms: self.terms(world),
                seeds: Digest(hashed("seeds", &self.what)),
            }),
            "ask" => Payload::GrantRequest(GrantRequest {
                chart: self.chart(),
                request: request_id(&self.what),
                terms: self.terms(world),
                reason: RequestReason::Treatment,
                note: None,
                until: instant(self.detail("waits").unwrap_or("t1000")),
            }),
            "answer" => Payload::GrantAnswer(GrantAnswer {
                chart: self.chart(),
                request: request_id(&self.what),
                answer: match self.detail("grant") {
                    None => Answer::Refuse(RefusalReason::NotNeeded),
                    Some(grant) => Answer::Give {
                        grant: grant_id(grant),
                        terms: self.terms(world),
                        seeds: Digest(hashed("seeds", grant)),
                    },
                },
            }),
            "withdraw" => Payload::GrantWithdraw(GrantWithdraw {
                chart: self.chart(),
                request: request_id(&self.what),
            }),
            "issue" => Payload::CredentialIssue(CredentialIssue {
                member: member_id(self.detail("to").unwrap()),
                credential: credential_id(&self.what),
                kind: self.detail("kind").unwrap_or("licence").parse().unwrap(),
                scope: Text::from_string("US-CA".into()).unwrap(),
                window: self.grant_window(),
                evidence: Digest(hashed("evidence", &self.what)),
            }),
            "suspend_credential" => Payload::CredentialSuspend(self.credential()),
            "reinstate_credential" => Payload::CredentialReinstate(self.credential()),
            "revoke_credential" => Payload::CredentialRevoke(self.credential()),
            "prepare" => Payload::ChartPrepare(ChartPrepare {
                chart: chart_id(&self.what),
                emergency: self.compartments(),
                escrow: Digest(hashed("escrow", &self.text)),
                ahead: self.detail("ahead").map(|last| self.keys_ahead(last)),
            }),
            "break" => Payload::BreakGlass(BreakGlass {
                chart: self.chart(),
                compartments: compartments(self.detail("compartments").unwrap_or("1")),
                reason: EmergencyReason::Danger,
                until: instant(self.detail("ends").unwrap_or("t50")),
            }),
            "second" => Payload::EmergencySecond(EmergencySecond {
                chart: self.chart(),
                emergency: world.emergency(&self.what),
            }),
            "review" => Payload::EmergencyReview(EmergencyReview {
                chart: self.chart(),
                emergency: world.emergency(&self.what),
                finding: self.detail("finding").unwrap_or("justified").parse().unwrap(),
            }),
            "close" => Payload::EmergencyClose(EmergencyClose {
                chart: self.chart(),
                emergency: world.emergency(&self.what),
            }),
            "case" => Payload::CaseOpen(CaseOpen {
                chart: self.chart(),
                case: case_id(&self.what),
                kind: self.detail("kind").unwrap_or("amendment").parse().unwrap(),
                record: self.detail("of").map(|record| world.name(record)),
                statement: self.detail("says").map(|words| Digest(hashed("request", words))),
            }),
            "decide" => Payload::CaseDecide(CaseDecide {
                chart: self.chart(),
                case: case_id(&self.what),
                decision: match self.detail("deny") {
                    None => CaseDecision::Accept,
                    Some(ground) => CaseDecision::Deny {
                        ground: ground.parse().unwrap(),
                        statement: Digest(hashed("denial", &self.what)),
                    },
                },
            }),
            "extend" => Payload::CaseExtend(CaseExtend {
                chart: self.chart(),
                case: case_id(&self.what),
                statement: Digest(hashed("extension", &self.what)),
            }),
            "state" => Payload::CaseState(CaseStatement {
                chart: self.chart(),
                case: case_id(&self.what),
                statement: Digest(hashed("statement", &self.text)),
            }),
            "acknowledge" => Payload::CaseAcknowledge(CaseAcknowledge {
                chart: self.chart(),
                case: case_id(&self.what),
            }),
            "guard" => Payload::GuardianSet(GuardianSet {
                chart: chart_id(&self.what),
                policy: self.policy(),
                escrow: Digest(hashed("escrow", &self.text)),
            }),
            "recover" => Payload::RecoveryStart(RecoveryStart {
                chart: self.chart(),
                ground: self.detail("ground").unwrap_or("lost").parse().unwrap(),
                successor: self.successor_key(world),
                sealing: Digest(hashed("sealing", self.successor())),
                share: Digest(hashed("share", &self.text)),
            }),
            "vouch" => Payload::RecoveryApprove(RecoveryApprove {
                chart: self.chart(),
                recovery: world.recovery(&self.what),
                successor: self.successor_key(world),
                share: Digest(hashed("share", &self.text)),
            }),
            "unvouch" => Payload::RecoveryWithdraw(RecoveryEnd {
                chart: self.chart(),
                recovery: world.recovery(&self.what),
            }),
            "veto" => Payload::RecoveryVeto(RecoveryEnd {
                chart: self.chart(),
                recovery: world.recovery(&self.what),
            }),
            "finish" => Payload::RecoveryFinish(RecoveryFinish {
                chart: self.chart(),
                recovery: world.recovery(&self.what),
                keys: chart_keys(&format!("next:{}", self.successor())),
                replaces: match self.detail("sheet") {
                    Some(sheet) => Digest(hashed("sheet", sheet)),
                    None => sheet_of(world, self.chart()),
                },
                epochs: match self.detail("epoch") {
                    Some(epoch) => [Epoch(epoch.parse().unwrap()); 16],
                    None => epochs_of(world, self.chart()),
                },
            }),
            "name_proxy" => Payload::ProxyAdd(ProxyAdd {
                chart: self.chart(),
                proxy: proxy_id(&self.what),
                signing: key(&format!("proxy:{}", self.what)).public(),
                sealing: Digest(hashed("sealing:proxy", &self.what)),
                terms: ProxyTerms {
                    powers: words(self.detail("powers").unwrap_or("all")),
                    compartments: self.compartments(),
                    window: self.proxy_window(),
                },
            }),
            "end_proxy" => {
                Payload::ProxyEnd(ProxyEnd { chart: self.chart(), proxy: proxy_id(&self.what) })
            }
            "minor" => Payload::ChartMinor(ChartMinor {
                chart: chart_id(&self.what),
                until: instant(self.detail("until").unwrap()),
            }),
            "close_chart" => Payload::ChartClose(ChartClose { chart: chart_id(&self.what) }),
            "evaluate" => Payload::MatchEvaluate(MatchEvaluate {
                programme: Text::from_string(self.what.clone()).unwrap(),
                purpose: Purpose::from_str(self.detail("for").unwrap_or("TREAT")).unwrap(),
                points: self.named("points", |name| Digest(hashed("point", name))),
                requester_key: Digest([9; 32]),
            }),
            "propose" => Payload::LinkPropose(LinkPropose {
                link: link_id(&self.what),
                with: organisation_id(self.detail("with").unwrap_or("clinic")),
                commitment: Commitment(hashed("side", &self.text)),
                until: instant(self.detail("waits").unwrap_or("t1000")),
            }),
            "confirm" => Payload::LinkConfirm(LinkConfirm {
                link: link_id(&self.what),
                confirmation: match (self.detail("officer"), self.detail("patient")) {
                    (None, None) => Confirmation::Side(Commitment(hashed("side", &self.text))),
                    (None, Some(_)) => Confirmation::Patient(Digest(hashed("consent", &self.what))),
                    (Some(_), _) => Confirmation::Officer,
                },
            }),
            "reverse" => Payload::LinkReverse(LinkReverse {
                link: link_id(&self.what),
                reason: LinkReversal::from_str(self.detail("because").unwrap_or("wrong_person"))
                    .unwrap(),
                withdrawal: self.detail("signed").map(|it| Digest(hashed("withdrawal", it))),
            }),
            "read" => Payload::AccessOpen(self.access_open(world)),
            "anchor" => Payload::AnchorAdd(AnchorAdd {
                root: Digest(hashed("anchor", &self.text)),
                documents: self.what.parse().unwrap(),
            }),
            verb => panic!("no such command: {verb}"),
        }
    }

    /// `groups=2:@ann,@ben;1:hugh min=2 executor=heir`
    fn policy(&self) -> GuardianPolicy {
        let groups = self.detail("groups").unwrap_or_default().split(';');
        let groups = groups.filter(|it| !it.is_empty()).map(|group| {
            let (min, names) = group.split_once(':').expect("a group is min:name,name");
            GuardianGroup {
                guardians: listed(names, guardian),
                approvals_min: min.parse().unwrap(),
            }
        });
        GuardianPolicy {
            groups: List::from_vec(groups.collect()).unwrap(),
            groups_min: self.detail("min").unwrap_or("1").parse().unwrap(),
            executor: self.detail("executor").map(|it| key(&format!("next:{it}")).public()),
        }
    }

    fn successor(&self) -> &str {
        self.detail("to").unwrap_or("phone")
    }

    /// The new key; `to=own` is the one that the chart has.
    fn successor_key(&self, world: &World) -> PublicKey {
        match self.successor() {
            "own" => self.signer(world, "c1").1.public(),
            name => key(&format!("next:{name}")).public(),
        }
    }

    fn proxy_window(&self) -> Window {
        let from = self.detail("from").map_or(START, instant);
        Window { from, until: instant(self.detail("ends").unwrap_or("t1000")) }
    }

    fn chart_open(&self) -> ChartOpen {
        ChartOpen {
            chart: chart_id(&self.what),
            keys: chart_keys(&format!("controller:{}", self.what)),
            separate_consent: compartments(self.detail("separate").unwrap_or(SEPARATE)),
            custodians: self.organisations("custodians", "hospital,clinic"),
            contributors: self.organisations("contributors", "lab"),
            claim: self.ticket(),
        }
    }

    /// The ticket of `code:c1`, or of what `code` says.
    fn ticket(&self) -> Option<ClaimTicket> {
        let code = self.detail("code").unwrap_or(&self.what);
        let until = instant(self.detail("claim")?);
        Some(ClaimTicket { key: key(&format!("code:{code}")).public(), until })
    }

    fn record_add(&self, world: &World) -> RecordAdd {
        let named = self.detail("approval").map(named_parties);
        let approval = self.detail("rule").map(rule).or(named);
        let compartment = self.detail("compartment").unwrap_or("1").parse().unwrap();
        RecordAdd {
            chart: self.chart(),
            compartment: Compartment::new(compartment).unwrap(),
            epoch: Epoch(self.detail("epoch").unwrap_or("0").parse().unwrap()),
            kind: self.detail("kind").unwrap_or("result").parse().unwrap(),
            commitment: Commitment(hashed("commitment", &self.what)),
            sealed_bytes: match self.detail("bytes").unwrap_or("1000") {
                "max" => SEALED_BYTES_MAX,
                "max+1" => SEALED_BYTES_MAX + 1,
                bytes => bytes.parse().unwrap(),
            },
            custody: List::new(),
            approval,
            uniqueness: self.detail("tag").map(|tag| UniquenessTag(hashed("tag", tag))),
            amends: self.detail("amends").map(|record| Amended {
                record: world.name(record),
                version: Version(self.detail("version_is").unwrap_or("2").parse().unwrap()),
            }),
        }
    }

    /// Keys of the compartments up to an epoch, it included.
    fn keys_ahead(&self, last: &str) -> KeysAhead {
        let until = Epoch(last.parse::<u32>().unwrap() + 1);
        let of = self.detail("of").map_or_else(|| self.compartments(), compartments);
        let until = core::array::from_fn(|at| {
            let has_keys = of.contains(Compartment::new(at as u8).unwrap());
            if has_keys { until } else { Epoch(0) }
        });
        KeysAhead { sheet: Digest(hashed("ahead", &self.text)), until }
    }

    fn credential(&self) -> CredentialStanding {
        CredentialStanding {
            member: member_id(self.detail("of").unwrap()),
            credential: credential_id(&self.what),
        }
    }

    fn restriction(&self, world: &World) -> RecordRestrict {
        RecordRestrict {
            chart: self.chart(),
            record: world.name(&self.what),
            restrictions: words(self.detail("of").unwrap_or("self_pay")),
        }
    }

    fn custody<const MAX: usize>(
        &self,
        chain: ChainId,
        record: RecordId,
        add: &RecordAdd,
    ) -> List<CustodyAcknowledgement, MAX> {
        let names = self.detail("custody").unwrap_or("hospital,clinic").split(',');
        let until = self.detail("kept").map_or(START.plus_ms(1 << 40), instant);
        let acknowledge = |name: &str| {
            let (name, seed) = match name.strip_suffix('!') {
                Some(name) => (name, "nobody".to_string()),
                None => (name, format!("custodian:{name}")),
            };
            let statement = CustodyStatement {
                chain,
                custodian: organisation_id(name),
                record,
                version: version_of(add),
                commitment: add.commitment,
                sealed_bytes: add.sealed_bytes,
                until,
            };
            let key = key(&seed);
            CustodyAcknowledgement {
                custodian: statement.custodian,
                key: key.public(),
                signature: sign_custody(&key, &statement),
                until,
            }
        };
        List::from_vec(names.filter(|it| !it.is_empty()).map(acknowledge).collect()).unwrap()
    }

    fn record_approve(&self, world: &World) -> RecordApprove {
        let commitment = match (self.detail("commitment"), world.named.get(&self.what)) {
            (None, Some((_, commitment))) => *commitment,
            (Some(_), _) | (None, None) => Commitment([0; 32]),
        };
        let record = world.name(&self.what);
        let rule = rule_of(world, self.chart(), record.record);
        let own = |number: &u8| {
            let place = rule.as_ref().and_then(|rule| rule.seat(*number));
            place.is_some_and(|place| place.seat.who == approver(&self.who))
        };
        let seat = match self.detail("seat") {
            Some(number) => number.parse().unwrap(),
            None => (0..u8::MAX).find(own).unwrap_or(0),
        };
        let place = rule.as_ref().and_then(|rule| rule.seat(seat));
        let meaning = match self.detail("meaning") {
            Some(meaning) => meaning.parse().unwrap(),
            None => place.map_or(Meaning::Approval, |place| place.meaning),
        };
        RecordApprove { chart: self.chart(), record, commitment, meaning, seat }
    }

    fn terms(&self, world: &World) -> GrantTerms {
        let effect = if self.detail("deny").is_some() { Effect::Deny } else { Effect::Allow };
        GrantTerms {
            effect,
            grantee: grantee(self.detail("to").unwrap_or("drey")),
            compartments: self.compartments(),
            kinds: words(self.detail("kinds").unwrap_or("all")),
            records: List::from_vec(self.records(world)).unwrap(),
            purposes: words(self.detail("purposes").unwrap_or("TREAT")),
            window: self.grant_window(),
            accesses_max: self.detail("max").map(|it| it.parse().unwrap()),
            separate_consent: self.detail("separate").is_some(),
            onward: self.detail("onward").is_some(),
        }
    }

    fn access_open(&self, world: &World) -> AccessOpen {
        let target = match self.detail("until") {
            None => {
                let named = match self.what.as_str() {
                    "nothing" => Vec::new(),
                    names => names.split(',').map(|it| world.name(it)).collect(),
                };
                Target::Records(List::from_vec(named).unwrap())
            }
            Some(until) => Target::Compartments {
                compartments: compartments(&self.what),
                until: LogPosition(until.parse().unwrap()),
            },
        };
        AccessOpen {
            chart: self.chart(),
            target,
            purpose: Purpose::from_str(self.detail("for").unwrap_or("TREAT")).unwrap(),
            reader_key: Digest([9; 32]),
            notice: self.detail("notice").unwrap_or("1").parse().unwrap(),
        }
    }

    fn compartments(&self) -> CompartmentSet {
        compartments(self.detail("compartments").unwrap_or("ordinary"))
    }

    fn records(&self, world: &World) -> Vec<RecordName> {
        let names = self.detail("records").unwrap_or_default().split(',');
        names.filter(|it| !it.is_empty()).map(|it| world.name(it)).collect()
    }

    fn roles(&self) -> RoleSet {
        words(self.detail("roles").unwrap_or("clinician"))
    }

    fn grant_window(&self) -> Window {
        let from = self.detail("from").map_or(START, instant);
        Window { from, until: self.detail("ends").map_or(START.plus_ms(1 << 40), instant) }
    }

    fn organisations<const MAX: usize>(
        &self,
        name: &str,
        default: &str,
    ) -> List<OrganisationId, MAX> {
        listed(self.detail(name).unwrap_or(default), organisation_id)
    }

    fn named<T, const MAX: usize>(&self, name: &str, id: fn(&str) -> T) -> List<T, MAX> {
        listed(self.detail(name).unwrap_or_default(), id)
    }
}

/// The ids of names with commas between them.
fn listed<T, const MAX: usize>(names: &str, id: fn(&str) -> T) -> List<T, MAX> {
    let names = names.split(',').filter(|it| !it.is_empty());
    List::from_vec(names.map(id).collect()).unwrap()
}

/// `t5`, `t5+1`, `t5-1`: seconds from the start, and milliseconds from there.
pub(crate) fn instant(text: &str) -> BlockTime {
    let text = text.strip_prefix('t').expect("an instant begins with t");
    let at = text.find(['+', '-']).unwrap_or(text.len());
    let (seconds, ms) = text.split_at(at);
    let seconds: u64 = seconds.parse().unwrap();
    let ms: i64 = if ms.is_empty() { 0 } else { ms.parse().unwrap() };
    BlockTime(START.plus_ms(seconds * 1_000).0.checked_add_signed(ms).unwrap())
}

/// A party, and the seed of the key that it starts with.
pub(crate) fn party(name: &str) -> (Party, String) {
    if let Some(code) = name.strip_prefix("code:") {
        let chart = code.split(':').next().expect("there is a first part");
        return (Party::Claimant(chart_id(chart)), name.into());
    }
    if let Some(chart) = name.strip_prefix("wallet:") {
        return (Party::Controller(chart_id(chart)), name.into());
    }
    if let Some(organisation) = name.strip_prefix("custodian:") {
        return (Party::Custodian(organisation_id(organisation)), name.into());
    }
    if let Some(member) = name.strip_prefix("new:") {
        return (Party::Member(member_id(member)), name.into());
    }
    if let Some(name) = name.strip_prefix('@') {
        let (_, chart) = name.split_once('/').unwrap_or((name, "c1"));
        return (Party::Guardian(chart_id(chart)), guardian_seed(name));
    }
    if name.starts_with("next:") {
        return (Party::Successor(chart_id("c1")), name.into());
    }
    if let Some(proxy) = name.strip_prefix("proxy:") {
        return (Party::Proxy(chart_id("c1"), proxy_id(proxy)), name.into());
    }
    if let Some((organisation, _)) = name.split_once(':') {
        return (
            Party::Administrator(organisation_id(organisation)),
            format!("administrator:{name}"),
        );
    }
    let is_chart = name.starts_with('c') && name[1..].parse::<u32>().is_ok();
    let is_organisation =
        ["hospital", "clinic", "lab", "insurer", "pharmacy", "board", "medboard", "otherboard"]
            .contains(&name)
            || name.starts_with("site");
    if is_chart {
        (Party::Controller(chart_id(name)), format!("controller:{name}"))
    } else if is_organisation {
        (Party::Administrator(organisation_id(name)), format!("administrator:{name}"))
    } else {
        (Party::Member(member_id(name)), format!("member:{name}"))
    }
}

/// The seed of a guardian's key for one chart.
fn guardian_seed(name: &str) -> String {
    format!("guardian:{name}")
}

/// `@ann`, a key, or a member.
fn guardian(name: &str) -> Guardian {
    match name.strip_prefix('@') {
        Some(key_of) => Guardian::Key(key(&guardian_seed(key_of)).public()),
        None => Guardian::Member(member_id(name)),
    }
}

pub(crate) fn grantee(text: &str) -> Grantee {
    let parts: Vec<&str> = text.split(':').collect();
    match parts[..] {
        ["everyone"] => Grantee::Everyone,
        ["team", name] => Grantee::Team(team_id(name)),
        ["group", name] => Grantee::Group(group_id(name)),
        ["organisation", name] => Grantee::Organisation(organisation_id(name)),
        ["role", name, role] => Grantee::Role {
            organisation: organisation_id(name),
            role: Role::from_str(role).unwrap(),
        },
        [name] => Grantee::Member(member_id(name)),
        _ => panic!("no such grantee: {text}"),
    }
}

/// `2:drey,carl,c1`: one step in which so many of these named parties approve.
fn named_parties(text: &str) -> ApprovalRule {
    let (min, parties) = text.split_once(':').expect("a rule is min:party,party");
    let parties: Vec<_> = parties.split(',').filter(|it| !it.is_empty()).collect();
    let branches = parties.len().try_into().unwrap();
    let root = Need::AtLeast(AtLeast { min: min.parse().unwrap(), branches });
    let seats = parties.into_iter().map(|it| Need::Seat(Seat { who: approver(it), min: 1 }));
    let needs = List::from_vec([root].into_iter().chain(seats).collect()).unwrap();
    let step = Step { meaning: Meaning::Approval, needs };
    ApprovalRule { steps: List::from_vec(vec![step]).unwrap(), within_ms: None }
}

/// The seat of one named party.
fn approver(name: &str) -> Approver {
    match party(name.trim_end_matches('!')).0 {
        Party::Member(id) => Approver::Member(id),
        Party::Administrator(id) => Approver::Administrator(id),
        Party::Controller(_) => Approver::Patient,
        Party::Claimant(_)
        | Party::Custodian(_)
        | Party::Proxy(..)
        | Party::Guardian(_)
        | Party::Successor(_)
        | Party::Validator(_) => Approver::Author,
    }
}

/// A rule as people write it, without spaces, in which `$drey` is the id of that member or organisation.
pub(crate) fn rule(text: &str) -> ApprovalRule {
    let mut parts = text.split('$');
    let mut written = parts.next().unwrap().to_string();
    for part in parts {
        let end = part.find(|it: char| !it.is_ascii_alphanumeric()).unwrap_or(part.len());
        let id = if let Party::Administrator(id) = party(&part[..end]).0 {
            id.to_string()
        } else {
            member_id(&part[..end]).to_string()
        };
        written += &(id + &part[end..]);
    }
    written.parse().unwrap()
}

/// The rule that a record has by now.
fn rule_of(world: &World, chart: ChartId, record: RecordId) -> Option<ApprovalRule> {
    let view = world.block.as_ref().expect("a block is open").view();
    let loaded = view.proposal(chart, record).ok().flatten().map(|it| it.rule.clone());
    loaded.or_else(|| match world.stored(&Key::Proposal(chart, record)) {
        Some(Value::Proposal(proposal)) => Some(proposal.rule),
        Some(_) | None => None,
    })
}

/// The root of the sheet that a chart has by now.
fn sheet_of(world: &World, chart: ChartId) -> Digest {
    entry_of(world, chart).map_or(Digest([0; 32]), |entry| entry.keys.sheet)
}

fn epochs_of(world: &World, chart: ChartId) -> [Epoch; COMPARTMENTS] {
    entry_of(world, chart).map_or([Epoch(0); COMPARTMENTS], |entry| entry.epochs)
}

fn entry_of(world: &World, chart: ChartId) -> Option<Chart> {
    let view = world.block.as_ref().expect("a block is open").view();
    let loaded = view.chart(chart).ok().flatten().cloned();
    loaded.or_else(|| match world.stored(&Key::Chart(chart)) {
        Some(Value::Chart(entry)) => Some(entry),
        Some(_) | None => None,
    })
}

fn chart_keys(seed: &str) -> ChartKeys {
    ChartKeys {
        signing: key(seed).public(),
        sealing: Digest(hashed("sealing", seed)),
        sheet: Digest(hashed("sheet", seed)),
    }
}

pub(crate) fn compartments(text: &str) -> CompartmentSet {
    match text {
        "ordinary" => CompartmentSet::all().without(compartments(SEPARATE)),
        "none" => CompartmentSet::EMPTY,
        numbers => {
            numbers.split(',').map(|it| Compartment::new(it.parse().unwrap()).unwrap()).collect()
        }
    }
}

/// `all`, `none`, or words with commas between them.
pub(crate) fn words<T>(text: &str) -> Set<T>
where
    T: Word + FromStr<Err: std::fmt::Debug>,
{
    match text {
        "all" => Set::all(),
        "none" => Set::EMPTY,
        words => words.split(',').map(|it| T::from_str(it).unwrap()).collect(),
    }
}
