/**
 * Every limit of the ledger. Bytes are of the canonical encoding unless a line says otherwise.
 *
 * Written by `npm run schema` out of `crates/types/src/limits.rs`. Change that, not this.
 */
export const LIMITS = {
  /** Bytes of one signed command. */
  COMMAND_BYTES_MAX: 65_536,
  /** Parties that sign one command. */
  SIGNERS_MAX: 16,
  /**
   * Longest time from `valid_from` to `valid_until` of a command, in milliseconds of block time; those that add
   * records may have `UPLOAD_BYTES_PER_MS` more.
   */
  COMMAND_WINDOW_MS_MAX: 600_000n,
  /** Bytes of a sealed body for which the command that adds it may have a millisecond more: 8 Mbit/s, a slow line. */
  UPLOAD_BYTES_PER_MS: 1_000n,
  /** Commands in one block. */
  BLOCK_COMMANDS_MAX: 4_096,
  /** Bytes of all commands in one block. */
  BLOCK_BYTES_MAX: 1_048_576,
  /** Commands of one transaction. */
  TRANSACTION_COMMANDS_MAX: 1_024,
  /** Bytes of all entries of one transaction, as a block carries them: whatever else waits, it fits the next block. */
  TRANSACTION_BYTES_MAX: 786_432,
  /** Bytes of one block header. */
  HEADER_BYTES_MAX: 1_024,
  /** How far ahead of its own clock a validator still votes for a block, in milliseconds. */
  BLOCK_AHEAD_MS_MAX: 1_000n,
  /** Bytes of a block as validators send it to each other: header, entries, and their lengths. */
  BLOCK_WIRE_BYTES_MAX: 1_065_990,
  /** Validators of one epoch. */
  VALIDATORS_MAX: 64,
  /**
   * Blocks of an epoch where the genesis file does not say: an hour and three quarters without traffic, and less with.
   */
  EPOCH_BLOCKS_USUAL: 4_096,
  /** Blocks of the shortest epoch. */
  EPOCH_BLOCKS_MIN: 8,
  /** Validators of a set that others than its holders deal to: a dealing to all of them fits a command. */
  RESHARE_VALIDATORS_MAX: 48,
  /** Validators that join in one change: with all approvals, a motion for it fits a value of the state. */
  JOINS_MAX: 12,
  /** Bytes of a dealing: some 1,200 for each receiver. */
  DEALING_BYTES_MAX: 61_440,
  /** Shares that one validator complains about, or opens: for both keys, one of each of the others. */
  COMPLAINTS_MAX: 128,
  /** Bytes of the card of a validator that is to join. */
  VALIDATOR_CARD_BYTES_MAX: 1_024,
  /** Entries of the genesis file. */
  GENESIS_COMMANDS_MAX: 4_096,
  /** Bytes of a genesis file. */
  GENESIS_BYTES_MAX: 4_194_304,
  /** Bytes of a founder's card. */
  FOUNDER_CARD_BYTES_MAX: 8_192,
  /** Bytes of what one founder posts in one round: a dealing to each of the others, for two keys. */
  POST_BYTES_MAX: 262_144,
  /** Bytes of a whole founding: the draft, and the posts of all founders. */
  FOUNDING_BYTES_MAX: 33_554_432,
  /** Bytes of a draft of a genesis file: the file's own, and the founders' cards. */
  DRAFT_BYTES_MAX: 4_194_304,
  /** Organisations of one consortium, suspended ones included. */
  ORGANISATIONS_MAX: 1_024,
  /**
   * Organisations in standing at one time: more than two thirds of their administrators sign a decision of the
   * consortium together, and `SIGNERS_MAX` can. Motions could carry more; a consortium that found one waiting for ever
   * would have no other way.
   */
  IN_STANDING_MAX: 23,
  /** Administrators' keys of one organisation. */
  ADMINISTRATORS_MAX: 8,
  /** Motions of one organisation's administrators that wait. */
  MOTIONS_MAX: 8,
  /** Longest time that a motion waits, in milliseconds of block time (30 days). */
  MOTION_WAIT_MS_MAX: 2_592_000_000n,
  /** Approvals of one motion that count: every key of every organisation in standing, present and former. */
  MOTION_APPROVALS_MAX: 368,
  /** Longest time that former keys count beside the new ones, in milliseconds of block time (30 days). */
  KEY_OVERLAP_MS_MAX: 2_592_000_000n,
  /** Bytes of an organisation's or consortium's public name. */
  NAME_BYTES_MAX: 64,
  /** Bytes of a public address. */
  ADDRESS_BYTES_MAX: 256,
  /** Compartments of every chart, used or not. */
  COMPARTMENTS: 16,
  /** Compartments of every chart that need separate consent, used or not. */
  SEPARATE_CONSENT: 4,
  /** Custodians that a chart names. */
  CUSTODIANS_MAX: 8,
  /** Organisations beside the chart's own that may author in it. */
  CONTRIBUTORS_MAX: 16,
  /** Parties whose approval one record may need: a hundred at once, with room. */
  APPROVERS_MAX: 128,
  /** Steps of one sign-off rule, one after the other. */
  SIGN_OFF_STEPS_MAX: 8,
  /** Seats and branches in one step of a sign-off rule: as many seats as approvers, and branches above them. */
  SIGN_OFF_NEEDS_MAX: 160,
  /** Levels of the tree of one step of a sign-off rule. */
  SIGN_OFF_DEPTH_MAX: 4,
  /** Sign-off rules of one consortium: one for each kind of record. */
  SIGN_OFF_RULES_MAX: 16,
  /** Sealed object: bytes of plaintext (10 GiB). */
  RECORD_BYTES_MAX: 10_737_418_240n,
  /**
   * Sealed object: bytes of the ciphertext at a custodian, padding (Padmé adds at most 12 %), headers and tags
   * included.
   */
  SEALED_BYTES_MAX: 12_884_901_888n,
  /** Custodians of all versions of one record together. */
  RECORD_CUSTODIANS_MAX: 32,
  /** Time in which custodians erase what is redacted, in milliseconds of block time (30 days). */
  ERASURE_MS: 2_592_000_000n,
  /** Credentials of one member, ended ones included. */
  CREDENTIALS_MAX: 16,
  /** Bytes of the public designation of where or for what a credential holds. */
  CREDENTIAL_SCOPE_BYTES_MAX: 32,
  /** Longest emergency access that a consortium can allow, in milliseconds of block time (4 hours). */
  EMERGENCY_MS_MAX: 14_400_000n,
  /** Emergency accesses of one chart that the state remembers. */
  EMERGENCIES_MAX: 16,
  /** Emergency accesses of one chart that one member has open. */
  EMERGENCIES_OPEN_MAX: 2,
  /** Guardians of one chart, over all groups. As many recoveries can be open: each guardian starts one at a time. */
  GUARDIANS_MAX: 16,
  /** Groups of guardians of one chart. */
  GUARDIAN_GROUPS_MAX: 4,
  /** Longest time that a recovery waits for approvals and its end, in milliseconds of block time (60 days). */
  RECOVERY_MS_MAX: 5_184_000_000n,
  /** Longest delay of a recovery that a consortium can choose, in milliseconds (30 days): half of what it waits. */
  RECOVERY_DELAY_MS_MAX: 2_592_000_000n,
  /** Proxies of one chart. */
  PROXIES_MAX: 8,
  /** Longest time that a proxy is named for, and that a patient is a minor, in milliseconds (22 years). */
  PROXY_MS_MAX: 695_692_800_000n,
  /** Trustees of one consortium: each gets a sealed share of each line of each escrow. */
  TRUSTEES_MAX: 7,
  /** Epochs of a compartment whose keys are published ahead. */
  EPOCHS_AHEAD_MAX: 4,
  /** Keys of epochs to come on one sheet: of compartments of separate consent there are none. */
  AHEAD_LINES_MAX: 48,
  /** Epochs so far of one compartment in an escrow. */
  ESCROW_EPOCHS_MAX: 64,
  /** Lines of an escrow: for each ordinary compartment its epochs so far, and each epoch ahead. */
  ESCROW_LINES_MAX: 60,
  /**
   * Bytes of all that a chart leaves to emergencies: for each line a share of some 1,200 bytes for each trustee, with
   * room.
   */
  CHART_ESCROW_BYTES_MAX: 655_360,
  /** Members of an organisation whose emergencies are counted one by one; older ones are counted together. */
  EMERGENCY_MEMBERS_MAX: 128,
  /** Emergencies of an organisation's members that wait for review and are listed; the newest are. */
  EMERGENCIES_WAITING_MAX: 128,
  /** Statements in one case, half of them of either side. */
  CASE_STATEMENTS_MAX: 8,
  /** Organisations that a case was brought to the attention of. */
  CASE_TOLD_MAX: 32,
  /** Bytes of one text in a case: two dense pages. */
  CASE_TEXT_BYTES_MAX: 8_192,
  /** Members of the answering organisation that the key of a case is handed to at once. */
  CASE_HANDED_MAX: 16,
  /** Versions of a record that the key of a case is attached to at once: as many as one access opens by name. */
  CASE_ATTACHED_MAX: 32,
  /** Cases about one record that are attached to what is disclosed of it. */
  RECORD_CASES_MAX: 8,
  /** Bytes of an encoded capsule with its salt. */
  CAPSULE_BYTES_MAX: 2_048,
  /** Holders of one escrow. */
  ESCROW_HOLDERS_MAX: 16,
  /** Bytes of what is shared out in one escrow. */
  ESCROW_SECRET_BYTES_MAX: 65_536,
  /** Bytes of an encoded escrow: its secret, and a sealed share for each holder. */
  ESCROW_BYTES_MAX: 98_304,
  /** Bytes of one leaf of a sealed body: the header and one chunk. */
  CONTENT_LEAF_BYTES_MAX: 1_048_640,
  /** Bytes of an encoded path in a tree. */
  PATH_BYTES_MAX: 2_304,
  /** Bytes of an answer to a challenge. */
  CHALLENGE_ANSWER_BYTES_MAX: 1_053_504,
  /** Grants in force for one subject (member, role, organisation, everyone) of one chart. */
  GRANTS_PER_SUBJECT_MAX: 64,
  /** Records that one grant can name. */
  GRANT_RECORDS_MAX: 16,
  /** Care teams of one chart. */
  TEAMS_MAX: 8,
  /** Members of one care team. */
  TEAM_MEMBERS_MAX: 32,
  /** Groups that one member is in. */
  MEMBER_GROUPS_MAX: 16,
  /** Grants that were ever made by passing one grant on. */
  PASSED_ON_MAX: 16,
  /** Requests of one organisation in one chart that wait for an answer. */
  OPEN_REQUESTS_MAX: 8,
  /** Longest time that a request waits, in milliseconds of block time (30 days). */
  REQUEST_WAIT_MS_MAX: 2_592_000_000n,
  /** Bytes of the sealed part of a grant: a seed for every compartment in up to 64 epochs, with room. */
  SEALED_SEEDS_BYTES_MAX: 65_536,
  /** Records that one access names. */
  ACCESS_RECORDS_MAX: 32,
  /** Latest accesses that a grant with a count remembers it was counted for; only those are released. */
  COUNTED_ACCESSES_MAX: 64,
  /** Age of an access, in milliseconds of block time, after which no validator releases for it. */
  RELEASE_AGE_MS_MAX: 120_000n,
  /** Capsules in one request for a release. */
  RELEASE_CAPSULES_MAX: 256,
  /** Blinded points of one `match.evaluate`: twelve persons with every key, or more with fewer. */
  MATCH_POINTS_MAX: 64,
  /** Bytes of the name of a matching programme. */
  MATCH_PROGRAMME_BYTES_MAX: 32,
  /** Points that a consortium can allow one organisation in one period: every evaluation answers one guess. */
  MATCH_POINTS_PER_PERIOD_MAX: 100_000,
  /** Shortest period of that quota, in milliseconds of block time (a day). */
  MATCH_PERIOD_MS_MIN: 86_400_000n,
  /** Age of an evaluation, in milliseconds of block time, after which no validator answers for it. */
  MATCH_AGE_MS_MAX: 120_000n,
  /** Longest time that a link waits to be confirmed, in milliseconds of block time (30 days). */
  LINK_WAIT_MS_MAX: 2_592_000_000n,
  /** Documents under one anchor. */
  ANCHOR_DOCUMENTS_MAX: 1_099_511_627_776n,
  /** Slots in which the ids of recent commands are remembered. */
  REPLAY_SLOTS: 65_536,
  /** Live ids in one replay slot; a command that finds its slot full is refused and may be sent again. */
  REPLAY_IDS_PER_SLOT_MAX: 512,
  /** Bytes of one value of the state. */
  STATE_VALUE_BYTES_MAX: 32_768,
  /** Bytes of a receipt. */
  RECEIPT_BYTES_MAX: 65_536,
  /** Hand-overs that a receipt may bring with it: monthly ones of twenty years. */
  HANDOVERS_MAX: 256,
  /** Hand-overs of one page. */
  HANDOVERS_PAGE_MAX: 16,
  /** Bytes of a hand-over. */
  HANDOVER_BYTES_MAX: 49_152,
  /** Bytes of all hand-overs that are kept together. */
  HANDOVERS_BYTES_MAX: 12_582_912,
  /** Bytes of a receipt with hand-overs, as a file. */
  RECEIPT_FILE_BYTES_MAX: 12_648_448,
  /** Steps of a Merkle path: trees have at most 2^48 leaves. */
  PATH_STEPS_MAX: 48,
  /** Difference between a signed request's time and the node's clock, in milliseconds. */
  REQUEST_SKEW_MS_MAX: 60_000n,
} as const;
