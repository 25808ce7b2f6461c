//! Matching: whether two organisations know the same person, asked of the validators without telling them
//! who it is.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    access::Purpose,
    encoding::{List, Text},
    id::Digest,
    limits::{MATCH_POINTS_MAX, MATCH_PROGRAMME_BYTES_MAX},
    set::vocabulary,
};

vocabulary! {
    /// By what two charts are compared: each rule makes one exact key, or none where something is missing.
    MatchRule {
        /// An identifier with its system.
        Identifier = 0, "identifier";
        /// The last four digits of the social security number, and the date of birth.
        LastFourAndBirth = 1, "last_four_and_birth";
        /// The sound of the family name, the date of birth, and the administrative sex.
        SoundAndBirth = 2, "sound_and_birth";
        /// All names, the date of birth, and the postal code.
        NameBirthAndPostal = 3, "name_birth_and_postal";
    }
}

/// What a matching programme is called: public, and the same at every organisation that takes part.
pub type ProgrammeName = Text<MATCH_PROGRAMME_BYTES_MAX>;

/// `match.evaluate`: signed by a registrar or a gateway. It names points, not persons.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct MatchEvaluate {
    /// For which programme.
    #[n(0)]
    pub programme: ProgrammeName,
    /// What for. It is signed, and everyone sees it.
    #[n(1)]
    pub purpose: Purpose,
    /// Digests of the blinded points, in the order in which they are evaluated.
    #[n(2)]
    pub points: List<Digest, MATCH_POINTS_MAX>,
    /// Digest of the fresh key that the answers are sealed to.
    #[n(3)]
    pub requester_key: Digest,
}
