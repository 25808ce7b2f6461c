//! Every limit on a message, in one place. Beyond them a message is refused, never cut.

/// Bytes of one message, and so of one frame: a scanned document in base64 fits.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes outside frames after which a peer is told apart from one that speaks MLLP.
pub const GARBAGE_BYTES_MAX: u64 = 4 * 1024;
/// Segments of one message.
pub const SEGMENTS_MAX: usize = 16 * 1024;
/// Field, repetition, component and subcomponent separators of one message.
pub const SEPARATORS_MAX: usize = 512 * 1024;
/// Bytes of the first segment, which is read before anything else is known.
pub const HEADER_BYTES_MAX: usize = 8 * 1024;
/// Bytes of a control id: 199 in version 2.8, and fewer before.
pub const CONTROL_ID_BYTES_MAX: usize = 199;
/// Repetitions of one field that are read.
pub const REPETITIONS_MAX: usize = 1_024;
/// Line breaks that one `\.sp n\` makes.
pub const SPACE_LINES_MAX: usize = 64;
/// Paths that a report of what was not mapped names; more are counted.
pub const UNMAPPED_MAX: usize = 4_096;
/// Timings of one order of a medicine; each is a dosage, and more are listed as unmapped.
pub const TIMINGS_MAX: usize = 64;
/// Bytes of each identifier or code that others are made of.
pub const IDENTIFIER_BYTES_MAX: usize = 512;
/// Values of one result that are told apart; more are one text.
pub const VALUES_MAX: usize = 64;
/// Bytes of what every dosage of an order repeats.
pub const DOSAGE_BYTES_MAX: usize = 16 * 1024;
/// Changes of a zone's clocks: two a year for five centuries.
pub const ZONE_CHANGES_MAX: usize = 1_024;
