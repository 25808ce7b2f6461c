//! What comes before what in the ledger (docs/consent.md), as far as a Consent tells.

use keepwell_types::{
    grant::{GrantTerms, Grantee},
    set::{CompartmentSet, KindSet},
};

/// Whether all of `inner` are of `outer` for certain. Whose member someone is, a Consent does not say.
pub(super) fn covers(outer: Grantee, inner: Grantee) -> bool {
    match (outer, inner) {
        (Grantee::Everyone, _) => true,
        (Grantee::Organisation(whole), Grantee::Role { organisation, .. }) => whole == organisation,
        _ => outer == inner,
    }
}

/// Whether somebody may ask for something that both are about. Two organisations, and two members, are apart.
pub(super) fn meets(one: &GrantTerms, other: &GrantTerms) -> bool {
    let are_apart = subject_rank(one.grantee) == subject_rank(other.grantee)
        && matches!(one.grantee, Grantee::Member(_) | Grantee::Organisation(_))
        && one.grantee != other.grantee;
    !are_apart && !one.compartments.and(other.compartments).is_empty()
}

/// How specific a subject is to the ledger.
pub(super) const fn subject_rank(grantee: Grantee) -> u8 {
    match grantee {
        Grantee::Member(_) => 3,
        Grantee::Role { .. } | Grantee::Team(_) | Grantee::Group(_) => 2,
        Grantee::Organisation(_) => 1,
        Grantee::Everyone => 0,
    }
}

/// How specific an object is to the ledger.
pub(super) fn object_rank(terms: &GrantTerms, separate_consent: CompartmentSet) -> u8 {
    let nameable = if terms.separate_consent {
        separate_consent
    } else {
        CompartmentSet::all().without(separate_consent)
    };
    if !terms.records.is_empty() {
        3
    } else if terms.kinds != KindSet::all() {
        2
    } else {
        u8::from(terms.compartments != nameable)
    }
}
