//! Places for uploads: so many at one time, and so many of them of one organisation, so that none keeps
//! the others out.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use keepwell_types::{id::OrganisationId, wire::ORGANISATION_UPLOADS_MAX};

use super::CustodyError;

/// Uploads of bodies at one time.
pub const UPLOADS_MAX: usize = 64;

/// The uploads that run.
#[derive(Default)]
pub(super) struct Uploads(Mutex<Running>);

#[derive(Default)]
struct Running {
    uploads: usize,
    of: BTreeMap<OrganisationId, usize>,
    declared_bytes: u64,
}

impl Uploads {
    /// Takes a place, for as long as the value lives.
    pub(super) fn begin(
        &self,
        organisation: OrganisationId,
        declared: u64,
    ) -> Result<Upload<'_>, CustodyError> {
        let running = &mut *self.running();
        if running.uploads >= UPLOADS_MAX {
            return Err(CustodyError::Busy { max: UPLOADS_MAX });
        }
        let own = running.of.entry(organisation).or_default();
        if *own >= ORGANISATION_UPLOADS_MAX {
            return Err(CustodyError::OrganisationBusy { max: ORGANISATION_UPLOADS_MAX });
        }
        *own += 1;
        running.uploads += 1;
        running.declared_bytes += declared;
        Ok(Upload { uploads: self, organisation, declared })
    }

    /// Bytes that the uploads that run may still bring.
    pub(super) fn declared_bytes(&self) -> u64 {
        self.running().declared_bytes
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.0.lock().expect("nobody panics while holding this lock")
    }
}

/// An upload that runs.
pub(super) struct Upload<'a> {
    uploads: &'a Uploads,
    organisation: OrganisationId,
    declared: u64,
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        let running = &mut *self.uploads.running();
        running.uploads -= 1;
        running.declared_bytes -= self.declared;
        if let Some(own) = running.of.get_mut(&self.organisation) {
            *own -= 1;
            if *own == 0 {
                running.of.remove(&self.organisation);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_organisation_takes_all_places() {
        let uploads = Uploads::default();
        let begin = |organisation: u8| uploads.begin(OrganisationId([organisation; 16]), 10);
        let mut first: Vec<_> = (0..ORGANISATION_UPLOADS_MAX).map(|_| begin(1).unwrap()).collect();
        assert!(matches!(begin(1), Err(CustodyError::OrganisationBusy { .. })));
        let mut others = Vec::new();
        for organisation in 2.. {
            match begin(organisation) {
                Ok(upload) => others.push(upload),
                Err(error) => {
                    assert!(matches!(error, CustodyError::Busy { max: UPLOADS_MAX }), "{error}");
                    break;
                }
            }
        }
        assert_eq!(first.len() + others.len(), UPLOADS_MAX);
        first.pop();
        assert_eq!(uploads.declared_bytes(), 10 * (UPLOADS_MAX as u64 - 1));
        drop(begin(1).unwrap());
        drop((first, others));
        assert_eq!(uploads.declared_bytes(), 0);
    }
}
