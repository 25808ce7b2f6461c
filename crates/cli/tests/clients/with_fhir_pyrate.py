"""fhir-pyrate: searches of many pages as a table."""

import os

import requests
from fhir_pyrate import Pirate

session = requests.Session()
session.headers["Authorization"] = f"Bearer {os.environ['TOKEN']}"
base = os.environ["BASE"]
patient = session.post(
    f"{base}/Patient", json={"resourceType": "Patient", "name": [{"family": "Table"}]}
).json()["id"]
entries = [
    {
        "request": {"method": "POST", "url": "Observation"},
        "resource": {
            "resourceType": "Observation",
            "status": "final",
            "subject": {"reference": f"Patient/{patient}"},
            "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
            "valueQuantity": {"value": 60 + beat, "unit": "/min"},
        },
    }
    for beat in range(30)
]
answer = session.post(f"{base}/", json={"resourceType": "Bundle", "type": "batch", "entry": entries})
assert answer.status_code == 200, answer.text

pirate = Pirate(auth=session, base_url=base, print_request_url=False, num_processes=1)
table = pirate.steal_bundles_to_dataframe(
    resource_type="Observation",
    request_params={"patient": patient, "code": "8867-4", "_count": 7},
    fhir_paths=[("beats", "valueQuantity.value"), ("id", "id")],
)
assert sorted(table["beats"]) == list(range(60, 90)), table
assert table["id"].is_unique
