//! A consortium in memory: a genesis file, its validators' keys, and a chain of blocks that they
//! certify. Every key and byte follows from the arguments.
#![allow(dead_code, missing_docs, unreachable_pub)]

use keepwell_crypto::{
    command::{chain_id, entry_digest, sign},
    sign::SigningKey,
};
use keepwell_merkle::{
    block,
    certificate::consensus_namespace,
    range::{self, Peaks},
    receipt::{Ancestry, CertifiedHeader, RECEIPT_VERSION, Receipt},
    tree,
};
use keepwell_types::{
    anchor::AnchorAdd,
    block::{Certificate, HEADER_VERSION, Header, Round, SyncTarget, Vote},
    command::{COMMAND_VERSION, Command, Entry, Payload},
    encoding::{List, Text},
    genesis::{
        CommitteeKeys, EmergencyRule, GENESIS_VERSION, Genesis, OwnOrganisation, Parameters,
        Validator,
    },
    id::{
        BlockId, ChainId, ChartId, CommandId, Commitment, Compartment, Digest, Epoch, Height,
        Location, MemberId, OrganisationId, PublicKey, Signature,
    },
    member::Party,
    outcome::{Outcome, Rejection, Verdict},
    record::{CustodyAcknowledgement, RecordAdd, RecordKind},
    set::KindSet,
    time::{BlockTime, Window},
};

/// A key that follows from a number.
pub fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

/// A consortium and who validates in it.
pub struct Consortium {
    pub genesis: Genesis,
    /// In the order of the genesis file.
    pub keys: Vec<SigningKey>,
}

impl Consortium {
    /// `validators` organisations, called `name`.
    pub fn of(name: &str, validators: u8) -> Self {
        let mut keys: Vec<_> = (1..=validators).map(key).collect();
        keys.sort_by_key(SigningKey::public);
        let genesis = Genesis {
            version: GENESIS_VERSION,
            name: Text::from_string(name.into()).unwrap(),
            founded: BlockTime(1_795_000_000_000),
            demonstration: true,
            validators: list((0..).zip(&keys).map(|(place, key)| validator(place, key.public()))),
            committee: CommitteeKeys {
                threshold: 3,
                key: Digest([5; 32]),
                shares: list((0..validators).map(|share| Digest([share; 32]))),
            },
            parameters: Parameters {
                own_organisation: OwnOrganisation::OptIn,
                custodians_min: 2,
                commands_per_minute_max: 6_000,
                notice: 1,
                licensed: KindSet::EMPTY,
                emergency: EmergencyRule::USUAL,
                recovery: None,
                sign_off: None,
                matching: None,
                epoch_blocks: None,
            },
            entries: List::new(),
            trustees: None,
            matching: None,
        };
        Self { genesis, keys }
    }

    pub fn chain(&self) -> ChainId {
        chain_id(&self.genesis)
    }

    /// The finalization of `header`, voted by the validators at these places.
    pub fn certify(&self, header: &Header, voters: impl IntoIterator<Item = u16>) -> Certificate {
        certify_by(&self.keys, header, voters)
    }

    /// As [`Self::certify`], by as many as must.
    pub fn certify_by_quorum(&self, header: &Header) -> Certificate {
        self.certify(header, 0..self.genesis.quorum() as u16)
    }

    /// A chain of the empty block 0 and one block for each item of `blocks`.
    pub fn chain_of(&self, blocks: Vec<Vec<(Entry, Verdict)>>) -> Chain {
        let mut chain = Chain { blocks: Vec::new(), history: Peaks::new(), nodes: Vec::new() };
        chain.append(self, Vec::new());
        blocks.into_iter().for_each(|entries| chain.append(self, entries));
        chain
    }

    /// A signed `record.add` of a clinician with two custodians, as most commands are.
    pub fn record_add(&self, number: u8) -> Entry {
        let acknowledgement = |custodian| CustodyAcknowledgement {
            custodian: OrganisationId([custodian; 16]),
            key: key(custodian).public(),
            signature: Signature([custodian; 64]),
            until: self.genesis.founded.plus_ms(86_400_000),
        };
        self.signed(
            number,
            Payload::RecordAdd(RecordAdd {
                chart: ChartId([0xc0; 32]),
                compartment: Compartment::new(3).unwrap(),
                epoch: Epoch(1),
                kind: RecordKind::Result,
                commitment: Commitment([number; 32]),
                sealed_bytes: 70_000,
                custody: list([acknowledgement(101), acknowledgement(102)]),
                approval: None,
                uniqueness: None,
                amends: None,
            }),
        )
    }

    pub fn anchor_add(&self, root: Digest, documents: u64) -> Entry {
        self.signed(200, Payload::AnchorAdd(AnchorAdd { root, documents }))
    }

    fn signed(&self, number: u8, payload: Payload) -> Entry {
        let from = self.genesis.founded;
        let command = Command {
            version: COMMAND_VERSION,
            chain: self.chain(),
            id: CommandId([number; 16]),
            window: Window { from, until: from.plus_ms(600_000) },
            signers: list([Party::Member(MemberId([7; 16]))]),
            payload,
            part: None,
        };
        Entry::Signed(sign(command, &[&key(100)]))
    }
}

/// The finalization of `header`, voted by the holders of `keys` at these places.
pub fn certify_by(
    keys: &[SigningKey],
    header: &Header,
    voters: impl IntoIterator<Item = u16>,
) -> Certificate {
    let block = block::block_id(header);
    let signed = finalization(&header.chain, &header.round, &block);
    let votes = list(voters.into_iter().map(|validator| Vote {
        validator,
        signature: keys[usize::from(validator)].sign_raw(&signed),
    }));
    let Round { epoch, view, parent_view, .. } = header.round;
    Certificate { epoch, view, parent_view, block, votes }
}

pub fn validator(place: u8, consensus: PublicKey) -> Validator {
    let release = key(100 + place).public();
    Validator { organisation: OrganisationId([place; 16]), consensus, release }
}

/// What a validator signs to finalize, in one piece and for epochs and views below 128 only.
fn finalization(chain: &ChainId, round: &Round, block: &BlockId) -> Vec<u8> {
    let Round { epoch, view, parent_view, .. } = *round;
    assert!(epoch < 128 && view < 128 && parent_view < 128, "each is one byte");
    let namespace = [&consensus_namespace(chain)[..], b"_FINALIZE"].concat();
    let proposal = [&[epoch as u8, view as u8, parent_view as u8][..], &block.0].concat();
    [&[namespace.len() as u8][..], &namespace, &proposal].concat()
}

pub fn list<T, const MAX: usize>(items: impl IntoIterator<Item = T>) -> List<T, MAX> {
    match List::from_vec(items.into_iter().collect()) {
        Ok(list) => list,
        Err(error) => panic!("{error}"),
    }
}

/// One block with its outcomes.
pub struct Block {
    pub header: Header,
    pub entries: Vec<Entry>,
    pub outcomes: Vec<Outcome>,
}

/// Blocks from height 0.
pub struct Chain {
    pub blocks: Vec<Block>,
    history: Peaks,
    nodes: Vec<Digest>,
}

impl Chain {
    fn append(&mut self, of: &Consortium, decided: Vec<(Entry, Verdict)>) {
        let height = Height(self.blocks.len() as u64);
        let time = of.genesis.founded.plus_ms(1_500 * height.0);
        let parent = self.blocks.last().map_or(BlockId([0; 32]), |it| block::block_id(&it.header));
        let (entries, verdicts): (Vec<_>, Vec<_>) = decided.into_iter().unzip();
        let outcomes: Vec<_> = (0..)
            .zip(entries.iter().zip(verdicts))
            .map(|(index, (entry, verdict))| Outcome {
                command: entry_digest(entry, index),
                location: Location { height, index },
                time,
                verdict,
            })
            .collect();
        let header = Header {
            version: HEADER_VERSION,
            chain: of.chain(),
            height,
            parent,
            time,
            payload: block::payload_digest(&entries),
            entries: entries.len() as u32,
            outcomes: block::outcome_root(&outcomes),
            state: Digest([0x57; 32]),
            history: self.history.root(),
            sync: SyncTarget { root: Digest([0x59; 32]), start: 1_000_000, end: 2_000_000 },
            round: Round {
                epoch: 0,
                view: height.0 + 1,
                parent_view: height.0,
                leader: of.keys[0].public(),
            },
            next: None,
        };
        let leaf = block::history_leaf(&block::block_id(&header));
        self.nodes.extend(self.history.push(leaf));
        self.blocks.push(Block { header, entries, outcomes });
    }

    /// The header at `height`, certified by the one at `by`.
    pub fn certified(&self, of: &Consortium, height: usize, by: usize) -> CertifiedHeader {
        let descendant = self.blocks[by].header.clone();
        let certificate = of.certify_by_quorum(&descendant);
        let ancestry = (by != height).then(|| Ancestry {
            path: range::prove(self.nodes.as_slice(), by as u64, height as u64).unwrap(),
            descendant,
        });
        CertifiedHeader { header: self.blocks[height].header.clone(), ancestry, certificate }
    }

    /// The receipt of entry `index` of the block at `height`, certified by the one at `by`.
    pub fn receipt(&self, of: &Consortium, height: usize, index: usize, by: usize) -> Receipt {
        let block = &self.blocks[height];
        let entries: Vec<_> = block.entries.iter().map(block::entry_leaf).collect();
        let outcomes: Vec<_> = block.outcomes.iter().map(block::outcome_leaf).collect();
        Receipt {
            version: RECEIPT_VERSION,
            entry: block.entries[index].clone(),
            outcome: block.outcomes[index].clone(),
            entry_path: tree::prove(&entries, index as u64).unwrap(),
            outcome_path: tree::prove(&outcomes, index as u64).unwrap(),
            certified: self.certified(of, height, by),
            handovers: None,
        }
    }
}

/// A consortium of four, and a chain in which block 2 has five entries, the last one refused.
pub fn four() -> (Consortium, Chain) {
    let four = Consortium::of("Four", 4);
    let accepted = |number| (four.record_add(number), Verdict::Accepted);
    let refused = (four.record_add(5), Verdict::Rejected(Rejection::NotGranted));
    let chain = four.chain_of(vec![
        vec![accepted(9)],
        vec![accepted(1), accepted(2), accepted(3), accepted(4), refused],
        vec![],
        vec![],
        vec![accepted(6)],
    ]);
    (four, chain)
}
