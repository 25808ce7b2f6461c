//! Every limit of the ledger, in one place.
//!
//! A limit may grow in a later protocol version; it may never shrink while blocks made under the
//! larger one exist. Bytes are of the canonical encoding unless a line says otherwise.

/// Bytes of one signed command.
pub const COMMAND_BYTES_MAX: usize = 64 * 1024;
/// Parties that sign one command.
pub const SIGNERS_MAX: usize = 16;
/// Longest time from `valid_from` to `valid_until` of a command, in milliseconds of block time; those that add
/// records may have [`UPLOAD_BYTES_PER_MS`] more.
pub const COMMAND_WINDOW_MS_MAX: u64 = 10 * 60 * 1_000;
/// Bytes of a sealed body for which the command that adds it may have a millisecond more: 8 Mbit/s, a slow line.
pub const UPLOAD_BYTES_PER_MS: u64 = 1_000;
/// Commands in one block.
pub const BLOCK_COMMANDS_MAX: usize = 4_096;
/// Bytes of all commands in one block.
pub const BLOCK_BYTES_MAX: usize = 1024 * 1024;
/// Commands of one transaction.
pub const TRANSACTION_COMMANDS_MAX: usize = 1_024;
/// Bytes of all entries of one transaction, as a block carries them: whatever else waits, it fits the next block.
pub const TRANSACTION_BYTES_MAX: usize = BLOCK_BYTES_MAX / 4 * 3;
/// Bytes of one block header.
pub const HEADER_BYTES_MAX: usize = 1_024;
/// How far ahead of its own clock a validator still votes for a block, in milliseconds.
pub const BLOCK_AHEAD_MS_MAX: u64 = 1_000;
/// Bytes of a block as validators send it to each other: header, entries, and their lengths.
pub const BLOCK_WIRE_BYTES_MAX: usize =
    6 + HEADER_BYTES_MAX + BLOCK_COMMANDS_MAX * 4 + BLOCK_BYTES_MAX;

/// Validators of one epoch.
pub const VALIDATORS_MAX: usize = 64;
/// Blocks of an epoch where the genesis file does not say: an hour and three quarters without traffic, and less with.
pub const EPOCH_BLOCKS_USUAL: u32 = 4_096;
/// Blocks of the shortest epoch.
pub const EPOCH_BLOCKS_MIN: u32 = 8;
/// Validators of a set that others than its holders deal to: a dealing to all of them fits a command.
pub const RESHARE_VALIDATORS_MAX: usize = 48;
/// Validators that join in one change: with all approvals, a motion for it fits a value of the state.
pub const JOINS_MAX: usize = 12;
/// Bytes of a dealing: some 1,200 for each receiver.
pub const DEALING_BYTES_MAX: usize = 60 * 1024;
/// Shares that one validator complains about, or opens: for both keys, one of each of the others.
pub const COMPLAINTS_MAX: usize = 2 * VALIDATORS_MAX;
/// Bytes of the card of a validator that is to join.
pub const VALIDATOR_CARD_BYTES_MAX: usize = 1_024;
/// Entries of the genesis file.
pub const GENESIS_COMMANDS_MAX: usize = 4_096;
/// Bytes of a genesis file.
pub const GENESIS_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a founder's card.
pub const FOUNDER_CARD_BYTES_MAX: usize = 8 * 1024;
/// Bytes of what one founder posts in one round: a dealing to each of the others, for two keys.
pub const POST_BYTES_MAX: usize = 256 * 1024;
/// Bytes of a whole founding: the draft, and the posts of all founders.
pub const FOUNDING_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Bytes of a draft of a genesis file: the file's own, and the founders' cards.
pub const DRAFT_BYTES_MAX: usize = GENESIS_BYTES_MAX;
/// Organisations of one consortium, suspended ones included.
pub const ORGANISATIONS_MAX: usize = 1_024;
/// Organisations in standing at one time: more than two thirds of their administrators sign a decision of
/// the consortium together, and [`SIGNERS_MAX`] can. Motions could carry more; a consortium that found one
/// waiting for ever would have no other way.
pub const IN_STANDING_MAX: u32 = 23;
/// Administrators' keys of one organisation.
pub const ADMINISTRATORS_MAX: usize = 8;
/// Motions of one organisation's administrators that wait.
pub const MOTIONS_MAX: usize = 8;
/// Longest time that a motion waits, in milliseconds of block time (30 days).
pub const MOTION_WAIT_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1_000;
/// Approvals of one motion that count: every key of every organisation in standing, present and former.
pub const MOTION_APPROVALS_MAX: usize = 2 * ADMINISTRATORS_MAX * IN_STANDING_MAX as usize;
/// Longest time that former keys count beside the new ones, in milliseconds of block time (30 days).
pub const KEY_OVERLAP_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1_000;
/// Bytes of an organisation's or consortium's public name.
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of a public address.
pub const ADDRESS_BYTES_MAX: usize = 256;

/// Compartments of every chart, used or not.
pub const COMPARTMENTS: usize = 16;
/// Compartments of every chart that need separate consent, used or not.
pub const SEPARATE_CONSENT: usize = 4;
/// Custodians that a chart names.
pub const CUSTODIANS_MAX: usize = 8;
/// Organisations beside the chart's own that may author in it.
pub const CONTRIBUTORS_MAX: usize = 16;
/// Parties whose approval one record may need: a hundred at once, with room.
pub const APPROVERS_MAX: usize = 128;
/// Steps of one sign-off rule, one after the other.
pub const SIGN_OFF_STEPS_MAX: usize = 8;
/// Seats and branches in one step of a sign-off rule: as many seats as approvers, and branches above them.
pub const SIGN_OFF_NEEDS_MAX: usize = 160;
/// Levels of the tree of one step of a sign-off rule.
pub const SIGN_OFF_DEPTH_MAX: usize = 4;
/// Sign-off rules of one consortium: one for each kind of record.
pub const SIGN_OFF_RULES_MAX: usize = 16;
/// Sealed object: bytes of plaintext (10 GiB).
pub const RECORD_BYTES_MAX: u64 = 10 * 1024 * 1024 * 1024;
/// Sealed object: bytes of the ciphertext at a custodian, padding (Padmé adds at most 12 %), headers and tags included.
pub const SEALED_BYTES_MAX: u64 = 12 * 1024 * 1024 * 1024;
/// Custodians of all versions of one record together.
pub const RECORD_CUSTODIANS_MAX: usize = 32;
/// Time in which custodians erase what is redacted, in milliseconds of block time (30 days).
pub const ERASURE_MS: u64 = 30 * 24 * 60 * 60 * 1_000;
/// Credentials of one member, ended ones included.
pub const CREDENTIALS_MAX: usize = 16;
/// Bytes of the public designation of where or for what a credential holds.
pub const CREDENTIAL_SCOPE_BYTES_MAX: usize = 32;
/// Longest emergency access that a consortium can allow, in milliseconds of block time (4 hours).
pub const EMERGENCY_MS_MAX: u64 = 4 * 60 * 60 * 1_000;
/// Emergency accesses of one chart that the state remembers.
pub const EMERGENCIES_MAX: usize = 16;
/// Emergency accesses of one chart that one member has open.
pub const EMERGENCIES_OPEN_MAX: usize = 2;
/// Guardians of one chart, over all groups. As many recoveries can be open: each guardian starts one at a time.
pub const GUARDIANS_MAX: usize = 16;
/// Groups of guardians of one chart.
pub const GUARDIAN_GROUPS_MAX: usize = 4;
/// Longest time that a recovery waits for approvals and its end, in milliseconds of block time (60 days).
pub const RECOVERY_MS_MAX: u64 = 60 * 24 * 60 * 60 * 1_000;
/// Longest delay of a recovery that a consortium can choose, in milliseconds (30 days): half of what it waits.
pub const RECOVERY_DELAY_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1_000;
/// Proxies of one chart.
pub const PROXIES_MAX: usize = 8;
/// Longest time that a proxy is named for, and that a patient is a minor, in milliseconds (22 years).
pub const PROXY_MS_MAX: u64 = 22 * 366 * 24 * 60 * 60 * 1_000;
/// Trustees of one consortium: each gets a sealed share of each line of each escrow.
pub const TRUSTEES_MAX: usize = 7;
/// Epochs of a compartment whose keys are published ahead.
pub const EPOCHS_AHEAD_MAX: usize = 4;
/// Keys of epochs to come on one sheet: of compartments of separate consent there are none.
pub const AHEAD_LINES_MAX: usize = (COMPARTMENTS - SEPARATE_CONSENT) * EPOCHS_AHEAD_MAX;
/// Epochs so far of one compartment in an escrow.
pub const ESCROW_EPOCHS_MAX: usize = 64;
/// Lines of an escrow: for each ordinary compartment its epochs so far, and each epoch ahead.
pub const ESCROW_LINES_MAX: usize = (COMPARTMENTS - SEPARATE_CONSENT) * (1 + EPOCHS_AHEAD_MAX);
/// Bytes of all that a chart leaves to emergencies: for each line a share of some 1,200 bytes for each
/// trustee, with room.
pub const CHART_ESCROW_BYTES_MAX: usize = 640 * 1024;
/// Members of an organisation whose emergencies are counted one by one; older ones are counted together.
pub const EMERGENCY_MEMBERS_MAX: usize = 128;
/// Emergencies of an organisation's members that wait for review and are listed; the newest are.
pub const EMERGENCIES_WAITING_MAX: usize = 128;
/// Statements in one case, half of them of either side.
pub const CASE_STATEMENTS_MAX: usize = 8;
/// Organisations that a case was brought to the attention of.
pub const CASE_TOLD_MAX: usize = 32;
/// Bytes of one text in a case: two dense pages.
pub const CASE_TEXT_BYTES_MAX: usize = 8 * 1024;
/// Members of the answering organisation that the key of a case is handed to at once.
pub const CASE_HANDED_MAX: usize = 16;
/// Versions of a record that the key of a case is attached to at once: as many as one access opens by name.
pub const CASE_ATTACHED_MAX: usize = ACCESS_RECORDS_MAX;
/// Cases about one record that are attached to what is disclosed of it.
pub const RECORD_CASES_MAX: usize = 8;
/// Bytes of an encoded capsule with its salt.
pub const CAPSULE_BYTES_MAX: usize = 2_048;

/// Holders of one escrow.
pub const ESCROW_HOLDERS_MAX: usize = 16;
/// Bytes of what is shared out in one escrow.
pub const ESCROW_SECRET_BYTES_MAX: usize = 64 * 1024;
/// Bytes of an encoded escrow: its secret, and a sealed share for each holder.
pub const ESCROW_BYTES_MAX: usize = 96 * 1024;

/// Bytes of one leaf of a sealed body: the header and one chunk.
pub const CONTENT_LEAF_BYTES_MAX: usize = 1024 * 1024 + 64;
/// Bytes of an encoded path in a tree.
pub const PATH_BYTES_MAX: usize = 2_304;
/// Bytes of an answer to a challenge.
pub const CHALLENGE_ANSWER_BYTES_MAX: usize =
    CONTENT_LEAF_BYTES_MAX + CAPSULE_BYTES_MAX + PATH_BYTES_MAX + 512;

/// Grants in force for one subject (member, role, organisation, everyone) of one chart.
pub const GRANTS_PER_SUBJECT_MAX: usize = 64;
/// Records that one grant can name.
pub const GRANT_RECORDS_MAX: usize = 16;
/// Care teams of one chart.
pub const TEAMS_MAX: usize = 8;
/// Members of one care team.
pub const TEAM_MEMBERS_MAX: usize = 32;
/// Groups that one member is in.
pub const MEMBER_GROUPS_MAX: usize = 16;
/// Grants that were ever made by passing one grant on.
pub const PASSED_ON_MAX: u8 = 16;
/// Requests of one organisation in one chart that wait for an answer.
pub const OPEN_REQUESTS_MAX: usize = 8;
/// Longest time that a request waits, in milliseconds of block time (30 days).
pub const REQUEST_WAIT_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1_000;
/// Bytes of the sealed part of a grant: a seed for every compartment in up to 64 epochs, with room.
pub const SEALED_SEEDS_BYTES_MAX: usize = 64 * 1024;
/// Records that one access names.
pub const ACCESS_RECORDS_MAX: usize = 32;
/// Latest accesses that a grant with a count remembers it was counted for; only those are released.
pub const COUNTED_ACCESSES_MAX: usize = 64;
/// Age of an access, in milliseconds of block time, after which no validator releases for it.
pub const RELEASE_AGE_MS_MAX: u64 = 120 * 1_000;
/// Capsules in one request for a release.
pub const RELEASE_CAPSULES_MAX: usize = 256;

/// Blinded points of one `match.evaluate`: twelve persons with every key, or more with fewer.
pub const MATCH_POINTS_MAX: usize = 64;
/// Bytes of the name of a matching programme.
pub const MATCH_PROGRAMME_BYTES_MAX: usize = 32;
/// Points that a consortium can allow one organisation in one period: every evaluation answers one guess.
pub const MATCH_POINTS_PER_PERIOD_MAX: u32 = 100_000;
/// Shortest period of that quota, in milliseconds of block time (a day).
pub const MATCH_PERIOD_MS_MIN: u64 = 24 * 60 * 60 * 1_000;
/// Age of an evaluation, in milliseconds of block time, after which no validator answers for it.
pub const MATCH_AGE_MS_MAX: u64 = 120 * 1_000;
/// Longest time that a link waits to be confirmed, in milliseconds of block time (30 days).
pub const LINK_WAIT_MS_MAX: u64 = 30 * 24 * 60 * 60 * 1_000;

/// Documents under one anchor.
pub const ANCHOR_DOCUMENTS_MAX: u64 = 1 << 40;

/// Slots in which the ids of recent commands are remembered.
pub const REPLAY_SLOTS: u32 = 1 << 16;
/// Live ids in one replay slot; a command that finds its slot full is refused and may be sent again.
pub const REPLAY_IDS_PER_SLOT_MAX: usize = 512;

/// Bytes of one value of the state.
pub const STATE_VALUE_BYTES_MAX: usize = 32 * 1024;
/// Bytes of a receipt.
pub const RECEIPT_BYTES_MAX: usize = 64 * 1024;
/// Hand-overs that a receipt may bring with it: monthly ones of twenty years.
pub const HANDOVERS_MAX: usize = 256;
/// Hand-overs of one page.
pub const HANDOVERS_PAGE_MAX: usize = 16;
/// Bytes of a hand-over.
pub const HANDOVER_BYTES_MAX: usize = 48 * 1024;
/// Bytes of all hand-overs that are kept together.
pub const HANDOVERS_BYTES_MAX: usize = HANDOVERS_MAX * HANDOVER_BYTES_MAX;
/// Bytes of a receipt with hand-overs, as a file.
pub const RECEIPT_FILE_BYTES_MAX: usize = RECEIPT_BYTES_MAX + HANDOVERS_BYTES_MAX;
/// Steps of a Merkle path: trees have at most 2^48 leaves.
pub const PATH_STEPS_MAX: usize = 48;

/// Difference between a signed request's time and the node's clock, in milliseconds.
pub const REQUEST_SKEW_MS_MAX: u64 = 60 * 1_000;
