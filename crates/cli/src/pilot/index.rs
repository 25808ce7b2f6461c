//! Whose the resources in FHIR files are: each patient once, whatever files speak of the patient.
//!
//! ```text
//! file ── split ──> resources, each with its owner ──> where they lie ─────────────┐
//!                   owners, with the names that the file calls them by ── join ──> patients
//! ```
//!
//! One file is in memory at a time; what is kept is where resources lie, not what they say.
//!
//! Not here: charts ([`super::load`]).

use std::{
    collections::BTreeMap,
    fs::{self, File},
    mem,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use keepwell_crypto::hash;
use keepwell_fhir::{
    bundle::{Bundle, BundleError, Owner, Resource, Warning, split},
    classify::Classification,
    patients::{Names, join},
    summary::{LINE_CHARS_MAX, one_line, printable},
};
use keepwell_types::id::Digest;

use super::Patient;
use crate::failure::Failure;

/// Bytes of one file: larger ones are passed over with a word.
const BUNDLE_BYTES_MAX: usize = 100 * 1024 * 1024;

/// What files say, and of whom.
#[derive(Default)]
pub(super) struct Index {
    inputs: Vec<Input>,
    owners: Vec<About>,
    /// What a person should look at.
    pub(super) words: Vec<String>,
}

enum Input {
    File(PathBuf),
    Made(String),
}

/// What one input has of one patient.
struct About {
    names: Names,
    title: Option<String>,
    resources: Vec<Place>,
}

/// A patient whom files speak of.
#[derive(Debug)]
pub(super) struct Found {
    title: Option<String>,
    /// What the files call the patient.
    pub(super) names: Names,
    /// What they have.
    pub(super) resources: Vec<Place>,
    /// Whether a chart was opened for the patient before.
    pub(super) is_loaded: bool,
}

/// Where a resource lies.
#[derive(Clone, Debug)]
pub(super) struct Place {
    input: usize,
    at: usize,
    len: usize,
    digest: Digest,
    /// `Type/id`, if it has an id.
    id: Option<String>,
    pub(super) class: Classification,
}

impl Index {
    /// Reads a folder and the folders in it. `reading` is told how many files are done, and of how many.
    pub(super) fn of_folder(
        folder: &Path,
        mut reading: impl FnMut(usize, usize),
    ) -> Result<Self, Failure> {
        let mut index = Self::default();
        let files = files(folder)?;
        for (done, path) in files.iter().enumerate() {
            reading(done, files.len());
            let shown = path.strip_prefix(folder).unwrap_or(path).display().to_string();
            let len = fs::metadata(path).map_err(Failure::at(path))?.len();
            if len > BUNDLE_BYTES_MAX as u64 {
                index.words.push(format!("passed over {shown}: it has {len} bytes, and a file has {BUNDLE_BYTES_MAX} at most; split it"));
                continue;
            }
            let bytes = fs::read(path).map_err(Failure::at(path))?;
            if let Err(error) = index.add(Input::File(path.clone()), &bytes, &shown) {
                index.words.push(format!("passed over {shown}: {error}"));
            }
        }
        Ok(index)
    }

    /// Takes one Bundle that is in memory.
    pub(super) fn of_made(json: String) -> Result<Self, BundleError> {
        let mut index = Self::default();
        index.add(Input::Made(json.clone()), json.as_bytes(), "what was made")?;
        Ok(index)
    }

    fn add(&mut self, input: Input, bytes: &[u8], shown: &str) -> Result<(), BundleError> {
        let bundle = split(bytes, BUNDLE_BYTES_MAX)?;
        let words = bundle.warnings.iter().filter_map(word);
        self.words.extend(words.map(|word| format!("{shown}: {word}")));
        let number = self.inputs.len();
        self.inputs.push(input);
        let mut owners: BTreeMap<_, _> = bundle
            .patients()
            .into_iter()
            .map(|owner| (owner.clone(), About::of(&bundle, owner)))
            .collect();
        for resource in &bundle.resources {
            if let Some(about) = owners.get_mut(&resource.owner) {
                about.resources.push(Place::of(resource, number));
            }
        }
        self.owners.extend(owners.into_values());
        Ok(())
    }

    /// The patients, in the order in which they were first spoken of. `loaded` are those who have a chart.
    pub(super) fn patients(&mut self, loaded: &[Patient]) -> Vec<Found> {
        let owners = mem::take(&mut self.owners);
        let known: Vec<_> = loaded
            .iter()
            .map(|it| it.names.clone())
            .chain(owners.iter().map(|it| it.names.clone()))
            .collect();
        let mut found: BTreeMap<usize, Found> = BTreeMap::new();
        for (first, about) in join(&known)[loaded.len()..].iter().zip(owners) {
            let is_loaded = *first < loaded.len();
            found.entry(*first).or_insert_with(|| Found::new(is_loaded)).take(about);
        }
        let mut found: Vec<_> = found.into_values().collect();
        for patient in &mut found {
            patient.resources = self.once(mem::take(&mut patient.resources));
        }
        found
    }

    /// Leaves out what is there already word for word, and tells of one id that says two things.
    fn once(&mut self, places: Vec<Place>) -> Vec<Place> {
        let mut kept: Vec<Place> = Vec::new();
        let mut first: BTreeMap<String, usize> = BTreeMap::new();
        for place in places {
            let known = place.id.clone().map(|id| *first.entry(id).or_insert(kept.len()));
            match known.and_then(|at| kept.get_mut(at)) {
                Some(known) if known.digest == place.digest => {
                    // The bundle around either may say that it is sensitive.
                    known.class.sensitivity = known.class.sensitivity.max(place.class.sensitivity);
                    continue;
                }
                Some(known) => self.words.push(format!(
                    "{} says one thing in {} and another in {}; both are loaded",
                    place.id.as_deref().unwrap_or_default(),
                    shown(&self.inputs[known.input]),
                    shown(&self.inputs[place.input])
                )),
                None => {}
            }
            kept.push(place);
        }
        kept
    }

    /// The bytes of a resource.
    pub(super) fn read(&self, place: &Place) -> Result<Vec<u8>, Failure> {
        let bytes = match &self.inputs[place.input] {
            Input::Made(json) => json.as_bytes()[place.at..][..place.len].to_vec(),
            Input::File(path) => {
                let mut bytes = vec![0; place.len];
                File::open(path)
                    .and_then(|file| file.read_exact_at(&mut bytes, place.at as u64))
                    .map_err(Failure::at(path))?;
                bytes
            }
        };
        if hash::sha256(&[&bytes]) == place.digest {
            return Ok(bytes);
        }
        Err(Failure::Misused(format!(
            "{} changed while it was loaded; start again when it is complete",
            shown(&self.inputs[place.input])
        )))
    }
}

fn shown(input: &Input) -> String {
    match input {
        Input::File(path) => path.display().to_string(),
        Input::Made(_) => "what was made".into(),
    }
}

/// What a person is told. Who is not in one file may be in another.
fn word(warning: &Warning) -> Option<String> {
    match warning {
        Warning::DanglingReference { .. } => None,
        Warning::SeveralPatients { .. } | Warning::ContainedPatient { .. } => {
            Some(format!("{warning}; passed over"))
        }
        Warning::UnknownType { .. } | Warning::NoResource { .. } | Warning::InvalidId { .. } => {
            Some(warning.to_string())
        }
    }
}

impl About {
    fn of(bundle: &Bundle<'_>, owner: &Owner) -> Self {
        let mut names = Names::of(bundle, owner);
        let title = match owner {
            Owner::Here(index) => {
                let json = bundle.resources[*index].json.as_bytes();
                if names.names.is_empty() {
                    // Known again by what it says, when the same file is loaded once more.
                    names.names.insert(hash::sha256(&[json]).to_string());
                }
                Some(one_line(json))
            }
            Owner::Elsewhere(_) | Owner::Several | Owner::Nobody => None,
        };
        Self { names, title, resources: Vec::new() }
    }
}

impl Found {
    fn new(is_loaded: bool) -> Self {
        Self { title: None, names: Names::default(), resources: Vec::new(), is_loaded }
    }

    fn take(&mut self, about: About) {
        self.title = self.title.take().or(about.title);
        self.names.names.extend(about.names.names);
        self.names.identifiers.extend(about.names.identifiers);
        self.resources.extend(about.resources);
    }

    /// The patient's name, for people; the reference where no file has the Patient resource.
    pub(super) fn title(&self) -> String {
        let reference = self.names.names.first().or(self.names.identifiers.first());
        let title = self.title.as_ref().or(reference);
        printable(title.map_or("a patient", String::as_str), LINE_CHARS_MAX)
    }
}

impl Place {
    fn of(resource: &Resource<'_>, input: usize) -> Self {
        Self {
            input,
            at: resource.at,
            len: resource.json.len(),
            digest: hash::sha256(&[resource.json.as_bytes()]),
            id: resource.id.as_ref().map(|id| format!("{}/{id}", resource.resource_type)),
            class: resource.classify(),
        }
    }
}

/// The JSON files in a folder and the folders in it, in the order of their paths. Links to folders are not
/// followed: they may lead back.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_path_buf()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(Failure::at(&folder))? {
            let entry = entry.map_err(Failure::at(&folder))?;
            let path = entry.path();
            if entry.file_type().map_err(Failure::at(&path))?.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it.eq_ignore_ascii_case("json"))
                && path.is_file()
            {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use keepwell_fhir::classify::Sensitivity;

    use super::*;

    const ANA: &str = r#"{"resourceType":"Patient","id":"1","name":[{"family":"Ana"}]}"#;
    const BEN: &str = r#"{"resourceType":"Patient","id":"2","name":[{"family":"Ben"}]}"#;
    const NURSE: &str = r#"{"resourceType":"Practitioner","id":"1"}"#;

    fn observation(id: &str, subject: &str) -> String {
        format!(
            r#"{{"resourceType":"Observation","id":"{id}","subject":{{"reference":"{subject}"}}}}"#
        )
    }

    fn bundle(resources: &[&str]) -> String {
        let entries: Vec<_> =
            resources.iter().map(|it| format!(r#"{{"resource":{it}}}"#)).collect();
        format!(r#"{{"resourceType":"Bundle","entry":[{}]}}"#, entries.join(", "))
    }

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        folder
    }

    /// Reads `files` and compares who is in them, with how many resources, and what a person is told.
    #[track_caller]
    fn check(files: &[(&str, &str)], patients: &[(&str, usize)], words: &[&str]) {
        let folder = folder(files);
        let mut index = Index::of_folder(folder.path(), |_, _| ()).unwrap();
        let found = index.patients(&[]);
        let titles: Vec<_> = found.iter().map(|it| (it.title(), it.resources.len())).collect();
        let patients: Vec<_> = patients.iter().map(|(title, n)| (title.to_string(), *n)).collect();
        assert_eq!(titles, patients);
        assert_eq!(index.words.len(), words.len(), "{:#?}", index.words);
        for (said, word) in index.words.iter().zip(words) {
            assert!(said.contains(word), "nothing of {word:?}: {said}");
        }
        for place in found.iter().flat_map(|it| &it.resources) {
            let resource = index.read(place).unwrap();
            assert!(resource.starts_with(b"{\"resourceType\""), "{resource:?}");
        }
    }

    #[test]
    fn files_about_one_patient_are_one_chart() {
        let (weight, height) = (observation("w", "Patient/1"), observation("h", "Patient/1"));
        let visit = bundle(&[ANA, &weight, NURSE]);
        check(
            &[("a.json", &height), ("b/c/visit.JSON", &visit), ("z.json", ANA), ("notes.txt", "x")],
            &[("Patient  Ana", 3)],
            &[],
        );
    }

    #[test]
    fn a_bundle_about_several_patients_is_divided() {
        let both = r#"{"resourceType":"Appointment","id":"b","participant":[{"actor":{"reference":"Patient/1"}},{"actor":{"reference":"Patient/2"}}]}"#;
        let visit = bundle(&[ANA, BEN, &observation("w", "Patient/2"), both]);
        check(
            &[("visit.json", &visit), ("more.json", &observation("h", "Patient/1"))],
            &[("Patient  Ana", 2), ("Patient  Ben", 2)],
            &["visit.json: byte 288: about more than one patient; passed over"],
        );
    }

    #[test]
    fn who_has_no_patient_resource_is_named_by_the_reference() {
        check(
            &[
                ("a.json", &observation("w", "Patient/9")),
                ("b.json", &observation("h", "Patient/9/_history/2")),
                ("c.json", &bundle(&[NURSE, &observation("h", "urn:uuid:ab")])),
            ],
            &[("Patient/9", 2), ("urn:uuid:ab", 1)],
            &[],
        );
    }

    #[test]
    fn what_cannot_be_loaded_is_named_and_the_rest_is_loaded() {
        let (twice, unknown) = (bundle(&[BEN, BEN]), r#"{"resourceType":"Pet","id":"1"}"#);
        let pet = bundle(&[BEN, unknown]);
        check(
            &[
                ("ana.json", ANA),
                ("broken.json", "{\"resourceType\":"),
                ("nurse.json", NURSE),
                ("package.json", "{\"name\":\"x\"}"),
                ("pet.json", &pet),
                ("twice.json", &twice),
            ],
            &[("Patient  Ana", 1), ("Patient  Ben", 1)],
            &[
                "passed over broken.json: not JSON at byte",
                "passed over nurse.json: nothing here belongs to a patient",
                "passed over package.json: no FHIR resource at byte 0",
                "pet.json: byte 122: R4 has no Pet",
                "passed over twice.json: Patient/\"2\" stands at byte",
            ],
        );
    }

    #[test]
    fn a_file_that_is_too_large_is_passed_over() {
        let folder = folder(&[("ana.json", ANA), ("large.json", "")]);
        let large = File::options().write(true).open(folder.path().join("large.json")).unwrap();
        large.set_len(BUNDLE_BYTES_MAX as u64 + 1).unwrap();
        let mut index = Index::of_folder(folder.path(), |_, _| ()).unwrap();
        assert_eq!(index.patients(&[]).len(), 1);
        assert!(index.words[0].starts_with("passed over large.json: it has 104857601 bytes"));
    }

    #[test]
    fn one_id_with_two_contents_is_loaded_twice_and_told() {
        let (one, other) =
            (observation("w", "Patient/1"), observation("w", "Patient/1/_history/2"));
        check(
            &[("a.json", ANA), ("b.json", &one), ("c.json", &one), ("d.json", &other)],
            &[("Patient  Ana", 3)],
            &["Observation/w says one thing in"],
        );
    }

    #[test]
    fn of_two_equal_resources_the_more_sensitive_counts() {
        let weight = observation("w", "Patient/1");
        let label = r#""meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSY"}]},"entry""#;
        let labelled = bundle(&[&weight]).replacen("\"entry\"", label, 1);
        let folder = folder(&[("a.json", &weight), ("b.json", &labelled)]);
        let found = Index::of_folder(folder.path(), |_, _| ()).unwrap().patients(&[]);
        let [place] = &found[0].resources[..] else { panic!("{found:?}") };
        assert_eq!(place.class.sensitivity, Sensitivity::Psychiatry);
    }

    #[test]
    fn who_has_a_chart_is_known_again() {
        let nameless = r#"{"resourceType":"Patient","name":[{"family":"Cai"}]}"#;
        let folder = folder(&[("a.json", ANA), ("b.json", BEN), ("c.json", nameless)]);
        let found = |loaded: &[Patient]| {
            Index::of_folder(folder.path(), |_, _| ()).unwrap().patients(loaded)
        };
        let loaded: Vec<_> = found(&[]).into_iter().skip(1).map(with_chart).collect();
        fs::write(folder.path().join("d.json"), observation("w", "Patient/2")).unwrap();
        let again: Vec<_> = found(&loaded).iter().map(|it| (it.title(), it.is_loaded)).collect();
        let expected = [("Patient  Ben", true), ("Patient  Cai", true), ("Patient  Ana", false)];
        assert_eq!(again, expected.map(|(title, is_loaded)| (title.to_owned(), is_loaded)));
    }

    fn with_chart(found: Found) -> Patient {
        Patient {
            name: found.title(),
            chart: keepwell_types::id::ChartId([0; 32]),
            letter: None,
            code: None,
            records: found.resources.len(),
            names: found.names,
        }
    }

    #[test]
    fn a_file_that_changes_meanwhile_is_not_loaded() {
        let folder = folder(&[("a.json", ANA)]);
        let mut index = Index::of_folder(folder.path(), |_, _| ()).unwrap();
        let found = index.patients(&[]);
        fs::write(folder.path().join("a.json"), ANA.replace("Ana", "Eve")).unwrap();
        let error = index.read(&found[0].resources[0]).unwrap_err().to_string();
        assert!(error.contains("changed while it was loaded"), "{error}");
    }
}
