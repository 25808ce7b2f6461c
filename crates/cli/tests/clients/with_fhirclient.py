"""fhirclient of SMART, in Python: models of resources, checked as they are read."""

import os

from fhirclient import client
from fhirclient.models import codeableconcept, coding, fhirdatetime, observation, patient
from fhirclient.models import fhirreference, humanname, quantity

smart = client.FHIRClient(settings={"app_id": "keepwell", "api_base": os.environ["BASE"]})
smart.server.session.headers["Authorization"] = f"Bearer {os.environ['TOKEN']}"

# The statement of what is served is one that its models take.
smart.server.get_capability(True)

person = patient.Patient()
person.name = [humanname.HumanName({"family": "Okafor", "given": ["Ngozi"]})]
created = person.create(smart.server)
assert created["id"], created
person = patient.Patient.read(created["id"], smart.server)
assert smart.human_name(person.name[0]) == "Ngozi Okafor"

weight = observation.Observation()
weight.status = "final"
weight.subject = fhirreference.FHIRReference({"reference": f"Patient/{person.id}"})
weight.code = codeableconcept.CodeableConcept()
weight.code.coding = [coding.Coding({"system": "http://loinc.org", "code": "29463-7"})]
weight.effectiveDateTime = fhirdatetime.FHIRDateTime("2026-10-01")
weight.valueQuantity = quantity.Quantity({"value": 64.25, "unit": "kg"})
weight = observation.Observation(weight.create(smart.server))

search = observation.Observation.where(struct={"patient": person.id, "code": "29463-7"})
found = list(search.perform_resources(smart.server))
assert [it.valueQuantity.value for it in found] == [64.25], found
found[0].status = "amended"
found[0].update(smart.server)
assert observation.Observation.read(weight.id, smart.server).status == "amended"
