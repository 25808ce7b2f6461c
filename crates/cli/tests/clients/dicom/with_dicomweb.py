"""pydicom's own test files, stored and retrieved with dicomweb-client."""

import json
import os
import urllib.request
from io import BytesIO

import pydicom
import requests
from dicomweb_client.api import DICOMwebClient
from pydicom.data import get_testdata_file

BASE, TOKEN = os.environ["BASE"], os.environ["TOKEN"]
FILES = ["CT_small.dcm", "MR_small.dcm", "image_dfl.dcm", "MR_small_bigendian.dcm"]

session = requests.Session()
session.headers["Authorization"] = f"Bearer {TOKEN}"
client = DICOMwebClient(os.environ["DICOMWEB"], session=session)

datasets = []
for name in FILES:
    dataset = pydicom.dcmread(get_testdata_file(name, download=False))
    dataset.PatientID = f"PY-{name}"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    dataset.StudyInstanceUID = pydicom.uid.generate_uid()
    dataset.SeriesInstanceUID = pydicom.uid.generate_uid()
    patient = {
        "resourceType": "Patient",
        "identifier": [{"system": os.environ["SYSTEM"], "value": dataset.PatientID}],
    }
    made = session.post(f"{BASE}/Patient", json=patient, headers={"Content-Type": "application/fhir+json"})
    assert made.status_code == 201, made.text
    datasets.append(dataset)

for dataset in datasets:
    answer = client.store_instances([dataset])
    assert len(answer.ReferencedSOPSequence) == 1, answer
    assert "FailedSOPSequence" not in answer, answer
    again = client.store_instances([dataset])
    assert again.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == dataset.SOPInstanceUID, again
    uids = (dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID)
    for syntax in [None, (("application/dicom", "*"),)]:
        back = client.retrieve_instance(*uids, media_types=syntax)
        assert back == dataset, uids
    assert [it.SOPInstanceUID for it in client.retrieve_study(uids[0])] == [uids[2]]
    assert len(client.retrieve_series(*uids[:2])) == 1

# Whom nobody knows is refused, with what to do.
stranger = datasets[0]
stranger.PatientID = "nobody"
stranger.SOPInstanceUID = stranger.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
try:
    answer = client.store_instances([stranger])
    raise AssertionError(f"it was stored: {answer}")
except requests.HTTPError as error:
    assert error.response.status_code == 409, error
    assert "create the Patient" in error.response.text, error.response.text

print(f"{len(FILES)} files of pydicom are stored, and come back equal")
