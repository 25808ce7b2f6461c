//! Seeds that are sealed with a grant, and key sheets.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use keepwell_crypto::{
    grant::{Binding, SEEDS_MAX, SealedSeeds, Seed, open_seeds, seal_seeds, table_digest},
    keys::{ChartSecret, EpochSeed, MemberSecret},
    seal::{OpenError, SealError, SealingKey, SealingPublic},
    sheet::{self, SheetError},
};
use keepwell_types::{
    DecodeError,
    chart::KeySheet,
    encoding::List,
    grant::{Effect, GrantTerms, Grantee},
    id::{ChainId, ChartId, Compartment, Digest, Epoch, GrantId, MemberId},
    limits::{COMPARTMENTS, SEALED_SEEDS_BYTES_MAX},
    set::{CompartmentSet, KindSet, PurposeSet},
    time::{BlockTime, Window},
};
use support::{CHAIN, CHART, CountingRng, ROOT, compartment};

fn terms() -> GrantTerms {
    GrantTerms {
        effect: Effect::Allow,
        grantee: Grantee::Member(MemberId([1; 16])),
        compartments: CompartmentSet::EMPTY.with(compartment(2)),
        kinds: KindSet::all(),
        records: List::new(),
        purposes: PurposeSet::all(),
        window: Window { from: BlockTime(0), until: BlockTime(99) },
        accesses_max: Some(10),
        separate_consent: false,
        onward: false,
    }
}

fn seed(index: u8, epoch: u32) -> Seed {
    let secret = ChartSecret::derive(&ROOT, CHART);
    let (compartment, epoch) = (compartment(index), Epoch(epoch));
    (compartment, epoch, secret.epoch_seed(compartment, epoch))
}

fn grantee() -> SealingKey {
    MemberSecret::from_bytes(&[2; 32]).sealing()
}

const GRANT: GrantId = GrantId([6; 16]);

fn sealed(rng: &mut CountingRng, seeds: &[Seed]) -> Result<SealedSeeds, SealError> {
    let terms = terms();
    let binding = Binding { chain: &CHAIN, chart: &CHART, grant: &GRANT, terms: &terms };
    seal_seeds(rng, &binding, &grantee().public(), seeds)
}

fn open(sealed: &SealedSeeds) -> Result<Vec<Seed>, OpenError> {
    let terms = terms();
    let binding = Binding { chain: &CHAIN, chart: &CHART, grant: &GRANT, terms: &terms };
    open_seeds(&binding, &grantee(), sealed)
}

#[test]
fn a_grantee_opens_the_seeds_in_order() {
    let rng = &mut CountingRng::new("seeds");
    let sealed = sealed(rng, &[seed(3, 0), seed(2, 1), seed(2, 0)]).unwrap();
    assert_eq!(open(&sealed).unwrap(), [seed(2, 0), seed(2, 1), seed(3, 0)]);
    let bytes = sealed.encode();
    let decoded = SealedSeeds::decode(&bytes).unwrap();
    assert_eq!(decoded.digest(), sealed.digest());
    let cut = SealedSeeds::decode(&bytes[..bytes.len() - 1]);
    assert!(matches!(cut, Err(DecodeError::Malformed { .. })));
    assert_eq!(open(&self::sealed(rng, &[]).unwrap()), Ok(Vec::new()));
}

#[test]
fn changed_terms_open_nothing() {
    let sealed = sealed(&mut CountingRng::new("terms"), &[seed(2, 0)]).unwrap();
    type Change = fn(&mut GrantTerms);
    let changes: [(&str, Change); 9] = [
        ("effect", |it| it.effect = Effect::Deny),
        ("grantee", |it| it.grantee = Grantee::Everyone),
        ("compartments", |it| it.compartments = CompartmentSet::all()),
        ("kinds", |it| it.kinds = KindSet::EMPTY),
        ("records", |it| it.records = List::from_vec(vec![record()]).unwrap()),
        ("purposes", |it| it.purposes = PurposeSet::EMPTY),
        ("window", |it| it.window.until = BlockTime(100)),
        ("accesses", |it| it.accesses_max = None),
        ("separate consent", |it| it.separate_consent = true),
    ];
    for (name, change) in changes {
        let mut terms = terms();
        change(&mut terms);
        let binding = Binding { chain: &CHAIN, chart: &CHART, grant: &GRANT, terms: &terms };
        let opened = open_seeds(&binding, &grantee(), &sealed);
        assert_eq!(opened, Err(OpenError::WrongKey), "{name}");
    }
    let (terms, chain, chart, grant) =
        (terms(), ChainId([0; 32]), ChartId([0; 32]), GrantId([0; 16]));
    let honest = Binding { chain: &CHAIN, chart: &CHART, grant: &GRANT, terms: &terms };
    for (name, binding) in [
        ("chain", Binding { chain: &chain, ..honest }),
        ("chart", Binding { chart: &chart, ..honest }),
        ("grant", Binding { grant: &grant, ..honest }),
    ] {
        let opened = open_seeds(&binding, &grantee(), &sealed);
        assert_eq!(opened, Err(OpenError::WrongKey), "{name}");
    }
    let stranger = MemberSecret::from_bytes(&[3; 32]).sealing();
    assert_eq!(open_seeds(&honest, &stranger, &sealed), Err(OpenError::WrongKey));
}

fn record() -> keepwell_types::access::RecordName {
    keepwell_types::access::RecordName {
        position: keepwell_types::id::LogPosition(0),
        record: keepwell_types::id::RecordId([0; 32]),
    }
}

#[test]
fn the_most_seeds_fit_and_no_more() {
    let rng = &mut CountingRng::new("most");
    let all = |epochs: u32| -> Vec<Seed> {
        let compartments = Compartment::all();
        compartments
            .flat_map(|compartment| {
                (0..epochs).map(move |epoch| {
                    let seed = EpochSeed::from_bytes(&[compartment.index(); 32]);
                    (compartment, Epoch(u32::MAX - epoch), seed)
                })
            })
            .collect()
    };
    let most = sealed(rng, &all(64)).unwrap();
    assert!(most.encode().len() <= SEALED_SEEDS_BYTES_MAX);
    assert_eq!(SealedSeeds::decode(&most.encode()), Ok(most.clone()));
    assert_eq!(open(&most).unwrap().len(), SEEDS_MAX);
    assert_eq!(sealed(rng, &all(65)), Err(SealError::Seeds { max: SEEDS_MAX }));
    let twice = [seed(2, 0), seed(2, 0)];
    assert_eq!(sealed(rng, &twice), Err(SealError::Seeds { max: SEEDS_MAX }));
}

#[test]
fn seeds_out_of_order_are_refused() {
    // Sealed by hand: lines in the wrong order, and a line too short.
    let rng = &mut CountingRng::new("order");
    let terms = keepwell_types::encode(&terms());
    let parts: [&[u8]; 4] = [&CHAIN.0, &CHART.0, &GRANT.0, &terms];
    let line = |index: u8| [&[0x83, index, 0, 0x58, 32][..], &[7; 32]].concat();
    let mut seal = |lines: &[u8]| {
        let (encapsulated, ciphertext) = keepwell_crypto::seal::seal(
            rng,
            &grantee().public(),
            "keepwell/grant/seeds/v1",
            &parts,
            lines,
        );
        let head = |len: usize| [0x59, (len >> 8) as u8, len as u8];
        let short = [0x58, ciphertext.len() as u8];
        let bytes = [&[0x83, 1][..], &head(encapsulated.len()), &encapsulated, &short, &ciphertext]
            .concat();
        open(&SealedSeeds::decode(&bytes).unwrap())
    };
    let two = |first: u8, second: u8| [&[0x82][..], &line(first), &line(second)].concat();
    assert_eq!(seal(&two(1, 2)).map(|seeds| seeds.len()), Ok(2));
    assert_eq!(seal(&two(2, 1)), Err(OpenError::Seeds));
    assert_eq!(seal(&two(1, 1)), Err(OpenError::Seeds));
    let not_canonical = [&[0x81][..], &[0x83, 0x18, 1, 0, 0x58, 32], &[7; 32]].concat();
    assert_eq!(seal(&not_canonical), Err(OpenError::Encoding(DecodeError::NotCanonical)));
}

#[test]
fn the_table_of_a_rotation_depends_on_each_line() {
    let table = [(GRANT, Digest([1; 32])), (GrantId([7; 16]), Digest([2; 32]))];
    let mut swapped = table;
    (swapped[0].1, swapped[1].1) = (swapped[1].1, swapped[0].1);
    assert_ne!(table_digest(&table), table_digest(&swapped));
    assert_ne!(table_digest(&table), table_digest(&table[..1]));
}

fn key_sheet() -> KeySheet {
    let mut epochs = [Epoch(0); COMPARTMENTS];
    epochs[3] = Epoch(5);
    sheet::sheet(&ChartSecret::derive(&ROOT, CHART), CHART, &epochs)
}

#[test]
fn a_sheet_and_its_lines_are_checked_against_the_root() {
    let sheet = key_sheet();
    let root = sheet::root(&sheet);
    let digests = sheet::line_digests(&sheet);
    assert_eq!(sheet::verify(&sheet, &root), Ok(()));
    let key = sheet::verify_line(&CHART, &sheet.lines[3], &digests, &root).unwrap();
    assert_eq!(key, support::epoch_key(3, 5).public());

    let line = |place: usize, digests: &[Digest]| {
        sheet::verify_line(&CHART, &sheet.lines[place], digests, &root).err()
    };
    let mut exchanged = sheet.lines[3].clone();
    exchanged.key = sheet.lines[4].key.clone();
    let exchanged = sheet::verify_line(&CHART, &exchanged, &digests, &root);
    assert_eq!(exchanged.err(), Some(SheetError::Line(compartment(3))), "another key");
    let mut changed = digests.clone();
    changed.swap(0, 1);
    let given = sheet::verify_line(&CHART, &sheet.lines[0], &changed, &root);
    assert!(matches!(given, Err(SheetError::Root { expected, .. }) if expected == root));
    assert_eq!(line(0, &digests[..15]), Some(SheetError::Lines));
    let other_chart = sheet::verify_line(&ChartId([0; 32]), &sheet.lines[0], &digests, &root).err();
    assert!(matches!(other_chart, Some(SheetError::Root { .. })));
}

#[test]
fn a_sheet_has_a_line_for_each_compartment_in_order() {
    let changes: [fn(&mut Vec<keepwell_types::chart::KeyLine>); 3] =
        [|lines| lines.swap(0, 1), |lines| drop(lines.pop()), |lines| lines[1] = lines[0].clone()];
    for change in changes {
        let mut sheet = key_sheet();
        let mut lines = sheet.lines.to_vec();
        change(&mut lines);
        sheet.lines = List::from_vec(lines).unwrap();
        // The controller put such a root on the ledger.
        let root = sheet::root(&sheet);
        assert_eq!(sheet::verify(&sheet, &root), Err(SheetError::Lines));
    }
}

#[test]
fn a_key_that_is_none_is_refused() {
    let mut sheet = key_sheet();
    let mut lines = sheet.lines.to_vec();
    // ML-KEM's coefficients above q: FIPS 203, section 7.2.
    lines[2].key =
        keepwell_types::encoding::Blob::from_vec(vec![0xff; SealingPublic::LEN]).unwrap();
    sheet.lines = List::from_vec(lines).unwrap();
    let (root, digests) = (sheet::root(&sheet), sheet::line_digests(&sheet));
    let line = sheet::verify_line(&CHART, &sheet.lines[2], &digests, &root);
    assert_eq!(line.err(), Some(SheetError::Key(compartment(2))));
    assert_eq!(SealingPublic::from_bytes(&[1; 31]).err(), Some(SealError::PublicKey));
}
