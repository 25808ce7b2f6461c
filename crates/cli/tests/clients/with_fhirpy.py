"""fhirpy, the asynchronous client: resources, pages, includes, conditions, patches, a transaction."""

import asyncio
import os

from fhirpy import AsyncFHIRClient
from fhirpy.base.exceptions import ForbiddenError, ResourceNotFound


async def main():
    client = AsyncFHIRClient(os.environ["BASE"], authorization=f"Bearer {os.environ['TOKEN']}")

    patient = client.resource(
        "Patient",
        identifier=[{"system": "urn:fhirpy", "value": "1"}],
        name=[{"family": "Søndergård", "given": ["Ida"]}],
    )
    await patient.save()
    assert patient.id, patient
    for weight in range(25):
        await client.resource(
            "Observation",
            status="final",
            subject=patient.to_reference(),
            code={"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
            effectiveDateTime=f"2026-10-{weight + 1:02}",
            valueQuantity={"value": 60 + weight / 2, "unit": "kg"},
        ).save()

    # Pages follow one another to the end.
    weights = client.resources("Observation").search(patient=patient.id, code="29463-7")
    assert len(await weights.sort("-date").limit(10).fetch_all()) == 25
    newest = (await weights.sort("-date").limit(1).fetch())[0]
    assert newest["effectiveDateTime"] == "2026-10-25", newest
    found = await client.resources("Patient").search(family="Søndergård").first()
    assert found.id == patient.id
    subject = await newest["subject"].to_resource()
    assert subject.id == patient.id
    bundle = await weights.include("Observation", "subject").limit(2).fetch_raw()
    assert {it.resource["resourceType"] for it in bundle.entry} == {"Observation", "Patient"}

    # An update, a patch, and a create that finds what is there.
    newest["status"] = "amended"
    await newest.save()
    again = await client.reference("Observation", newest.id).to_resource()
    assert again["status"] == "amended" and again["meta"]["versionId"] == "2", again
    same, created = await client.resources("Patient").search(
        identifier="urn:fhirpy|1"
    ).get_or_create(client.resource("Patient", identifier=[{"system": "urn:fhirpy", "value": "1"}]))
    assert not created and same.id == patient.id

    # All or nothing.
    named = "urn:uuid:0b7c2a3e-52b0-4a86-9a3b-6a3c3f7f1e01"
    bundle = client.resource(
        "Bundle",
        type="transaction",
        entry=[
            {
                "fullUrl": named,
                "request": {"method": "POST", "url": "Patient"},
                "resource": {"resourceType": "Patient", "name": [{"family": "Transaction"}]},
            },
            {
                "request": {"method": "POST", "url": "Condition"},
                "resource": {"resourceType": "Condition", "subject": {"reference": named}},
            },
        ],
    )
    answer = await client.execute("", method="POST", data=bundle.serialize())
    assert [it["response"]["status"][:3] for it in answer["entry"]] == ["201", "201"], answer

    # Errors are what the client knows.
    try:
        await client.reference("Patient", "nobody").to_resource()
        raise AssertionError("nobody was found")
    except ResourceNotFound:
        pass
    try:
        await client.resources("Observation").search(code="29463-7").fetch()
        raise AssertionError("all patients were searched")
    except ForbiddenError as error:
        assert "name the patient" in str(error), error


asyncio.run(main())
