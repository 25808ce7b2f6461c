//! What synthetic patients are called, suffer from, take and are measured by.

/// A name and code of a code system that the place of use implies.
pub(super) type Coded = (&'static str, &'static str);

/// Where people live and what they are called there.
pub(super) struct Region {
    pub(super) country: &'static str,
    pub(super) cities: &'static [&'static str],
    pub(super) women: &'static [&'static str],
    pub(super) men: &'static [&'static str],
    pub(super) families: &'static [&'static str],
}

pub(super) const REGIONS: [Region; 8] = [
    Region {
        country: "US",
        cities: &["Brockton", "Duluth", "Savannah", "Spokane"],
        women: &["Alice", "Denise", "Grace", "Joanna", "Ruth"],
        men: &["Aaron", "Calvin", "Henry", "Marcus", "Walter"],
        families: &["Abbott", "Carter", "Fletcher", "Hughes", "Sawyer", "Whitfield"],
    },
    Region {
        country: "GB",
        cities: &["Leeds", "Norwich", "Swansea"],
        women: &["Beatrix", "Eleanor", "Harriet", "Siân"],
        men: &["Alasdair", "Edmund", "Gareth", "Oliver"],
        families: &["Ashworth", "Llewellyn", "O'Rourke", "Pemberton"],
    },
    Region {
        country: "DE",
        cities: &["Köln", "Lübeck", "Würzburg"],
        women: &["Anneliese", "Käthe", "Jördis", "Sabine"],
        men: &["Götz", "Jürgen", "Matthias", "Uwe"],
        families: &["Größmann", "Müller-Weiß", "Schäfer", "Vogt"],
    },
    Region {
        country: "MX",
        cities: &["Mérida", "Oaxaca", "Querétaro"],
        women: &["Inés", "Lucía", "María José", "Ximena"],
        men: &["Andrés", "Jesús", "Raúl", "Tomás"],
        families: &["Ibáñez Peña", "Núñez", "Quiñones", "Zúñiga"],
    },
    Region {
        country: "PL",
        cities: &["Gdańsk", "Łódź", "Wrocław"],
        women: &["Agnieszka", "Małgorzata", "Zofia"],
        men: &["Łukasz", "Paweł", "Stanisław"],
        families: &["Dąbrowski", "Wójcik", "Żółkiewski"],
    },
    Region {
        country: "UA",
        cities: &["Київ", "Львів", "Харків"],
        women: &["Ганна", "Оксана", "Соломія"],
        men: &["Богдан", "Ігор", "Тарас"],
        families: &["Коваленко", "Мельник", "Шевченко"],
    },
    Region {
        country: "JP",
        cities: &["京都市", "札幌市", "那覇市"],
        women: &["恵子", "さくら", "陽菜"],
        men: &["健一", "大輔", "蓮"],
        families: &["佐藤", "髙橋", "渡邉"],
    },
    Region {
        country: "EG",
        cities: &["القاهرة", "أسوان"],
        women: &["فاطمة", "ليلى", "مريم"],
        men: &["أحمد", "خالد", "يوسف"],
        families: &["حسن", "السيد", "عبد الله"],
    },
];

pub(super) const CLINICS: [&str; 4] = [
    "Harbour Street Family Practice",
    "Lindenhof Medical Centre",
    "Northfield Community Clinic",
    "Riverside General Hospital",
];

pub(super) const CLINICIANS: [&str; 5] = [
    "Dr. Amara Okafor",
    "Dr. Elif Yılmaz",
    "Dr. Jonas Lindqvist",
    "Dr. Priya Raman",
    "Dr. Søren Holm",
];

pub(super) const INSURERS: [&str; 3] =
    ["Evergreen Mutual Health", "Meridian Care Plan", "Public Health Fund"];

/// A lasting problem (SNOMED CT) and what is taken against it (RxNorm).
pub(super) struct Problem {
    pub(super) code: Coded,
    pub(super) medicine: Coded,
    pub(super) dose: &'static str,
}

pub(super) const CHRONIC: [Problem; 6] = [
    Problem {
        code: ("59621000", "Essential hypertension"),
        medicine: ("314076", "Lisinopril 10 MG Oral Tablet"),
        dose: "One tablet every morning",
    },
    Problem {
        code: ("44054006", "Type 2 diabetes mellitus"),
        medicine: ("861007", "Metformin hydrochloride 500 MG Oral Tablet"),
        dose: "One tablet twice a day with meals",
    },
    Problem {
        code: ("55822004", "Hyperlipidemia"),
        medicine: ("617310", "Atorvastatin 20 MG Oral Tablet"),
        dose: "One tablet every evening",
    },
    Problem {
        code: ("195967001", "Asthma"),
        medicine: ("745679", "Albuterol 0.09 MG/ACTUAT Metered Dose Inhaler"),
        dose: "Two puffs when short of breath, at most four times a day",
    },
    Problem {
        code: ("235595009", "Gastroesophageal reflux disease"),
        medicine: ("198051", "Omeprazole 20 MG Delayed Release Oral Capsule"),
        dose: "One capsule before breakfast",
    },
    Problem {
        code: ("396275006", "Osteoarthritis"),
        medicine: ("198405", "Ibuprofen 400 MG Oral Tablet"),
        dose: "One tablet with food when in pain, at most three a day",
    },
];

/// A short illness, and the course of a visit for it.
pub(super) struct Illness {
    pub(super) code: Coded,
    pub(super) complaint: &'static str,
    pub(super) plan: &'static str,
    pub(super) medicine: Option<Coded>,
}

pub(super) const ACUTE: [Illness; 5] = [
    Illness {
        code: ("444814009", "Viral sinusitis"),
        complaint: "Blocked nose and pressure over the cheeks for five days, no fever.",
        plan: "Rest, saline rinses, come back if worse after ten days.",
        medicine: None,
    },
    Illness {
        code: ("10509002", "Acute bronchitis"),
        complaint: "Cough with clear phlegm for a week, worse at night.",
        plan: "Fluids and rest. No antibiotic today.",
        medicine: None,
    },
    Illness {
        code: ("43878008", "Streptococcal sore throat"),
        complaint: "Sore throat and fever of 38.6 °C since yesterday; rapid test positive.",
        plan: "Antibiotic for ten days, to be finished even when well.",
        medicine: Some(("308191", "Amoxicillin 500 MG Oral Capsule")),
    },
    Illness {
        code: ("44465007", "Sprain of ankle"),
        complaint: "Twisted the left ankle on the stairs; swollen, can bear weight.",
        plan: "Cool, raise, bandage; exercises from the third day.",
        medicine: Some(("198405", "Ibuprofen 400 MG Oral Tablet")),
    },
    Illness {
        code: ("37796009", "Migraine"),
        complaint: "Throbbing headache on one side with nausea, third time this year.",
        plan: "Diary of attacks; quiet and dark; review in six weeks.",
        medicine: None,
    },
];

/// SNOMED CT.
pub(super) const ALLERGIES: [Coded; 4] = [
    ("91936005", "Allergy to penicillin"),
    ("91935009", "Allergy to peanut"),
    ("300916003", "Latex allergy"),
    ("232347008", "Dander (animal) allergy"),
];

/// CVX.
pub(super) const VACCINES: [Coded; 4] = [
    ("140", "Influenza, seasonal, injectable, preservative free"),
    ("115", "Tdap"),
    ("187", "Zoster vaccine recombinant"),
    ("133", "Pneumococcal conjugate PCV 13"),
];

/// SNOMED CT.
pub(super) const PROCEDURES: [Coded; 4] = [
    ("73761001", "Colonoscopy"),
    ("29303009", "Electrocardiographic procedure"),
    ("127783003", "Spirometry"),
    ("80146002", "Appendectomy"),
];

/// A measurement: LOINC, UCUM unit, and the bounds of its value times ten to the power of `places`.
pub(super) struct Measure {
    pub(super) code: Coded,
    pub(super) unit: &'static str,
    pub(super) low: u32,
    pub(super) high: u32,
    pub(super) places: u32,
}

const fn measure(code: Coded, unit: &'static str, low: u32, high: u32, places: u32) -> Measure {
    Measure { code, unit, low, high, places }
}

/// A laboratory panel (LOINC) and what is measured in it.
pub(super) struct Panel {
    pub(super) code: Coded,
    pub(super) measures: [Measure; 4],
}

pub(super) const PANELS: [Panel; 3] = [
    Panel {
        code: ("24331-1", "Lipid 1996 panel - Serum or Plasma"),
        measures: [
            measure(
                ("2093-3", "Cholesterol [Mass/volume] in Serum or Plasma"),
                "mg/dL",
                140,
                260,
                0,
            ),
            measure(
                ("2571-8", "Triglyceride [Mass/volume] in Serum or Plasma"),
                "mg/dL",
                60,
                220,
                0,
            ),
            measure(
                ("2085-9", "Cholesterol in HDL [Mass/volume] in Serum or Plasma"),
                "mg/dL",
                35,
                80,
                0,
            ),
            measure(
                ("18262-6", "Cholesterol in LDL [Mass/volume] in Serum or Plasma by Direct assay"),
                "mg/dL",
                60,
                170,
                0,
            ),
        ],
    },
    Panel {
        code: ("51990-0", "Basic metabolic panel - Blood"),
        measures: [
            measure(("2345-7", "Glucose [Mass/volume] in Serum or Plasma"), "mg/dL", 720, 1_450, 1),
            measure(("2160-0", "Creatinine [Mass/volume] in Serum or Plasma"), "mg/dL", 60, 130, 2),
            measure(("2951-2", "Sodium [Moles/volume] in Serum or Plasma"), "mmol/L", 135, 145, 0),
            measure(("2823-3", "Potassium [Moles/volume] in Serum or Plasma"), "mmol/L", 35, 51, 1),
        ],
    },
    Panel {
        code: ("58410-2", "CBC panel - Blood by Automated count"),
        measures: [
            measure(
                ("6690-2", "Leukocytes [#/volume] in Blood by Automated count"),
                "10*3/uL",
                40,
                110,
                1,
            ),
            measure(("718-7", "Hemoglobin [Mass/volume] in Blood"), "g/dL", 118, 170, 1),
            measure(
                ("4544-3", "Hematocrit [Volume Fraction] of Blood by Automated count"),
                "%",
                360,
                500,
                1,
            ),
            measure(
                ("777-3", "Platelets [#/volume] in Blood by Automated count"),
                "10*3/uL",
                150,
                400,
                0,
            ),
        ],
    },
];

pub(super) const HEIGHT: Coded = ("8302-2", "Body height");
pub(super) const WEIGHT: Coded = ("29463-7", "Body weight");
pub(super) const BODY_MASS_INDEX: Coded = ("39156-5", "Body mass index (BMI) [Ratio]");
pub(super) const BLOOD_PRESSURE: Coded =
    ("85354-9", "Blood pressure panel with all children optional");
pub(super) const SYSTOLIC: Coded = ("8480-6", "Systolic blood pressure");
pub(super) const DIASTOLIC: Coded = ("8462-4", "Diastolic blood pressure");
pub(super) const HEART_RATE: Measure = measure(("8867-4", "Heart rate"), "/min", 56, 98, 0);
pub(super) const PHQ_9: Measure = measure(
    ("44261-6", "Patient Health Questionnaire 9 item (PHQ-9) total score [Reported]"),
    "{score}",
    5,
    22,
    0,
);
pub(super) const AUDIT_C: Measure =
    measure(("75626-2", "Total score [AUDIT-C]"), "{score}", 6, 12, 0);
pub(super) const VIRAL_LOAD: Measure = measure(
    ("25836-8", "HIV 1 RNA [#/volume] (viral load) in Specimen by NAA with probe detection"),
    "{copies}/mL",
    20,
    180,
    0,
);

pub(super) const PSYCHIATRIC: [Problem; 2] = [
    Problem {
        code: ("370143000", "Major depressive disorder"),
        medicine: ("312941", "Sertraline 50 MG Oral Tablet"),
        dose: "One tablet every morning",
    },
    Problem {
        code: ("21897009", "Generalized anxiety disorder"),
        medicine: ("310385", "Fluoxetine 20 MG Oral Capsule"),
        dose: "One capsule every morning",
    },
];
pub(super) const ALCOHOL: Coded = ("7200002", "Alcoholism");
pub(super) const HIV: Coded = ("86406008", "Human immunodeficiency virus infection");
