//! For tests: a consortium of four whose keys are all here, its state's database, and servers that say
//! what they are told to say.

use std::{collections::BTreeMap, sync::Arc};

use commonware_codec::{Encode as _, RangeCfg};
use commonware_cryptography::{Sha256, sha256};
use commonware_parallel::Sequential;
use commonware_runtime::{Runner as _, Supervisor as _, buffer::paged::CacheRef, deterministic};
use commonware_storage::{
    journal::contiguous::variable::Config as LogConfig,
    mmr::{self, full::Config as MmrConfig},
    qmdb::{
        current::{VariableConfig, ordered::variable},
        floor::Proportional,
    },
    translator::EightCap,
};
use commonware_utils::{NZU16, NZU64, NZUsize};
use keepwell_crypto::{
    command::chain_id,
    keys::MemberSecret,
    matching::{self, Evaluator, MatchingCommittee, MatchingShare},
    release::Releaser,
    sign::SigningKey,
    threshold::{Committee, KeyShare, deal},
};
use keepwell_ledger::state::{Key, Value};
use keepwell_merkle::{
    block::block_id, certificate::consensus_namespace, receipt::CertifiedHeader,
};
use keepwell_types::{
    block::{Certificate, HEADER_VERSION, Header, Round, SyncTarget, Vote},
    encoding::{Blob, List, Text},
    genesis::{
        EmergencyRule, GENESIS_VERSION, Genesis, MatchingRule, OwnOrganisation, Parameters,
        Trustee, Trustees, Validator,
    },
    id::{BlockId, ChainId, Digest, Height, OrganisationId},
    limits::STATE_VALUE_BYTES_MAX,
    set::KindSet,
    time::BlockTime,
    wire::StateProof,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use crate::{
    Client, Consortium,
    client::rng,
    node::Endpoint,
    verify::{Checker, TipSeen},
};

pub(crate) const FOUNDED: BlockTime = BlockTime(1_795_000_000_000);

pub(crate) fn list<T, const MAX: usize>(items: impl IntoIterator<Item = T>) -> List<T, MAX> {
    List::from_vec(items.into_iter().collect()).unwrap()
}

/// Organisation `place` has the validator at that place.
pub(crate) fn organisation(place: u8) -> OrganisationId {
    OrganisationId([place; 16])
}

/// Trustee 1 has the secret of 201s, and so on; two of three open together.
fn trustees() -> Trustees {
    let trustee = |number: u8| {
        let secret = MemberSecret::from_bytes(&[200 + number; 32]);
        Trustee {
            name: Text::from_string(format!("Trustee {number}")).unwrap(),
            sealing: secret.sealing().public().to_blob(),
            signing: secret.signing().public(),
            organisation: None,
        }
    };
    Trustees { threshold: 2, trustees: list((1..=3).map(trustee)) }
}

pub(crate) struct World {
    pub(crate) consortium: Arc<Consortium>,
    /// In the order of the genesis file.
    consensus: Vec<SigningKey>,
    release: Vec<SigningKey>,
    shares: Vec<KeyShare>,
    evaluators: Vec<MatchingShare>,
}

impl World {
    pub(crate) fn new(name: &str) -> Self {
        let mut consensus: Vec<_> = (1..=4).map(|it| SigningKey::from_seed(&[it; 32])).collect();
        consensus.sort_by_key(SigningKey::public);
        let release: Vec<_> = (101..=104).map(|it| SigningKey::from_seed(&[it; 32])).collect();
        let (committee, shares) = deal(&mut rng(), 4, 3);
        let (matching, evaluators) = matching::deal(&mut rng(), 4, 3);
        let validators = (0..).zip(consensus.iter().zip(&release)).map(|(place, keys)| Validator {
            organisation: organisation(place),
            consensus: keys.0.public(),
            release: keys.1.public(),
        });
        let genesis = Genesis {
            version: GENESIS_VERSION,
            name: Text::from_string(name.into()).unwrap(),
            founded: FOUNDED,
            demonstration: true,
            validators: list(validators),
            committee,
            parameters: Parameters {
                own_organisation: OwnOrganisation::OptIn,
                custodians_min: 2,
                commands_per_minute_max: 6_000,
                notice: 1,
                licensed: KindSet::EMPTY,
                emergency: EmergencyRule::USUAL,
                recovery: None,
                sign_off: None,
                matching: Some(MatchingRule::USUAL),
                epoch_blocks: None,
            },
            entries: List::new(),
            trustees: Some(trustees()),
            matching: Some(matching),
        };
        let consortium = Arc::new(Consortium::new(genesis).unwrap());
        Self { consortium, consensus, release, shares, evaluators }
    }

    pub(crate) fn chain(&self) -> ChainId {
        self.consortium.chain()
    }

    /// The part of validator `place` that releases.
    pub(crate) fn releaser(&self, place: usize) -> Releaser {
        let committee = Committee::new(&self.consortium.genesis().committee).unwrap();
        Releaser::new(committee, self.shares[place].clone(), self.release[place].clone()).unwrap()
    }

    /// The part of validator `place` that evaluates.
    pub(crate) fn evaluator(&self, place: usize) -> Evaluator {
        let keys = self.consortium.genesis().matching.as_ref().unwrap();
        let committee = MatchingCommittee::new(keys).unwrap();
        let (share, key) = (self.evaluators[place].clone(), self.release[place].clone());
        Evaluator::new(committee, share, key).unwrap()
    }

    pub(crate) fn matching_share(&self, place: usize) -> MatchingShare {
        self.evaluators[place].clone()
    }

    pub(crate) fn release_key(&self, place: usize) -> &SigningKey {
        &self.release[place]
    }

    /// A header at this height, 1.5 s after the one before.
    pub(crate) fn header(&self, height: u64, state: Digest) -> Header {
        Header {
            version: HEADER_VERSION,
            chain: chain_id(self.consortium.genesis()),
            height: Height(height),
            parent: BlockId([1; 32]),
            time: FOUNDED.plus_ms(1_500 * height),
            payload: Digest([2; 32]),
            entries: 0,
            outcomes: Digest([3; 32]),
            state,
            history: Digest([4; 32]),
            sync: SyncTarget { root: Digest([5; 32]), start: 0, end: 1 },
            round: Round {
                epoch: 0,
                view: height + 1,
                parent_view: height,
                leader: self.consensus[0].public(),
            },
            next: None,
        }
    }

    /// A header with its certificate.
    pub(crate) fn certified(&self, header: Header) -> CertifiedHeader {
        let block = block_id(&header);
        let Round { epoch, view, parent_view, .. } = header.round;
        assert!(view < 128, "views here are one byte");
        let namespace = [&consensus_namespace(&self.chain())[..], b"_FINALIZE"].concat();
        let proposal = [&[0, view as u8, parent_view as u8][..], &block.0].concat();
        let signed = [&[namespace.len() as u8][..], &namespace, &proposal].concat();
        let votes = (0..3_u16).map(|validator| Vote {
            validator,
            signature: self.consensus[usize::from(validator)].sign_raw(&signed),
        });
        let certificate = Certificate { epoch, view, parent_view, block, votes: list(votes) };
        CertifiedHeader { header, ancestry: None, certificate }
    }

    /// What a client checks with that has seen `seen`, `age_ms` after the block at `height`.
    pub(crate) fn checker(&self, height: u64, age_ms: u64, seen: Option<TipSeen>) -> Checker<'_> {
        let now = FOUNDED.plus_ms(1_500 * height + age_ms);
        Checker { validators: self.consortium.validators(), seen, now }
    }

    /// The proof of one key in a state of these values, at this height.
    pub(crate) fn prove(&self, height: u64, values: &[(Key, Value)], key: Key) -> StateProof {
        let (root, value, proof) = prove(values, key);
        StateProof {
            certified: Blob::from_vec(self.certified(self.header(height, root)).encode()).unwrap(),
            value: value.map(|it| Blob::from_vec(it).unwrap()),
            proof: Blob::from_vec(proof).unwrap(),
        }
    }

    /// A client of these servers; server `place` is that of organisation `place`.
    pub(crate) fn client(&self, urls: Vec<String>) -> Client {
        let endpoints = (0..)
            .zip(urls)
            .map(|(place, url)| Endpoint { organisation: organisation(place), url })
            .collect();
        Client::new(self.consortium.clone(), endpoints, None).unwrap()
    }
}

/// The root of a state of these values, the value under `key`, and its proof: as `keepwell-engine` sets
/// the database up.
fn prove(values: &[(Key, Value)], key: Key) -> (Digest, Option<Vec<u8>>, Vec<u8>) {
    type Db<E> =
        variable::Db<mmr::Family, E, sha256::Digest, Vec<u8>, Sha256, EightCap, 32, Sequential>;
    let values: Vec<_> = values
        .iter()
        .map(|(key, value)| (sha256::Digest(key.to_bytes()), value.encode()))
        .collect();
    let key = sha256::Digest(key.to_bytes());
    deterministic::Runner::default().start(move |context| async move {
        let page_cache = CacheRef::new(NZU16!(4096), NZUsize!(64));
        let buffer = NZUsize!(1 << 16);
        let config = VariableConfig {
            merkle_config: MmrConfig {
                journal_partition: "mmr-journal".into(),
                metadata_partition: "mmr-metadata".into(),
                items_per_blob: NZU64!(1 << 10),
                write_buffer: buffer,
                replay_buffer: buffer,
                strategy: Sequential,
                page_cache: page_cache.clone(),
            },
            journal_config: LogConfig {
                partition: "log".into(),
                items_per_section: NZU64!(1 << 10),
                compression: None,
                codec_config: ((), (RangeCfg::new(0..=STATE_VALUE_BYTES_MAX), ())),
                page_cache,
                write_buffer: buffer,
                replay_buffer: buffer,
            },
            grafted_metadata_partition: "grafted".into(),
            translator: EightCap,
            init_cache: None,
            init_buffer: NZUsize!(1 << 16),
            init_concurrency: (),
        };
        let db: Db<_> = Db::init(context.child("state"), config, None).await.unwrap();
        let mut batch = db.new_batch();
        for (key, value) in values {
            batch = batch.write(key, Some(value));
        }
        let merkleized = batch.merkleize(&db, None, &mut Proportional).await.unwrap();
        let db = db.apply_batch(merkleized).await.unwrap();
        let value = db.get(&key).await.unwrap();
        let proof = match value {
            Some(_) => db.key_value_proof(key).await.unwrap().encode().to_vec(),
            None => db.exclusion_proof(&key).await.unwrap().encode().to_vec(),
        };
        (Digest(db.root().0), value, proof)
    })
}

/// What a server answers: to the beginning of a request line such as `GET /v1/tip`, these bytes.
pub(crate) type Answers = BTreeMap<String, Vec<u8>>;

/// Serves answers on loopback until the test ends; returns the address. Ranges are honoured.
pub(crate) async fn serve(answers: Answers) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answers = answers.clone();
            tokio::spawn(async move {
                let request = read_request(&mut stream).await;
                let line = request.lines().next().unwrap_or_default();
                let found = answers.iter().find(|(begin, _)| line.starts_with(begin.as_str()));
                let (status, body) = match found {
                    Some((_, body)) => stretch(&request, body),
                    None => ("404 Not Found", &br#"{"error":"not_found","message":"no"}"#[..]),
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(head.as_bytes()).await;
                let _ = stream.write_all(body).await;
            });
        }
    });
    url
}

/// Reads a request and its body; returns its head.
async fn read_request(stream: &mut tokio::net::TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut piece = [0; 4_096];
    loop {
        let len = stream.read(&mut piece).await.unwrap_or(0);
        bytes.extend_from_slice(&piece[..len]);
        let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") else {
            if len == 0 { return String::new() } else { continue }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |it| it.parse().unwrap());
        if bytes.len() >= end + 4 + length || len == 0 {
            return String::from_utf8_lossy(&bytes[..end]).into_owned();
        }
    }
}

fn stretch<'a>(request: &str, body: &'a [u8]) -> (&'static str, &'a [u8]) {
    let from = request.lines().find_map(|line| line.strip_prefix("range: bytes="));
    match from.map(|it| it.trim_end_matches('-').parse::<usize>().unwrap()) {
        Some(from) => ("206 Partial Content", &body[from.min(body.len())..]),
        None => ("200 OK", body),
    }
}
