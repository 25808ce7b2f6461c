"""python-hl7 over MLLP, blocking and asynchronous: answers, messages that are sent again, and the samples of others."""

import asyncio
import base64
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import hl7
from hl7.client import MLLPClient
from hl7.mllp import open_hl7_connection

HOST, PORT = os.environ["MLLP"].split(":")
# What of the samples is not taken: all three say that they are for training or debugging (MSH-11), which is 202.
REFUSED = {"ADT04-28.hl7": "AR", "LAB-ORU-1.hl7": "AR", "ORU-R01-01.hl7": "CR"}


def get(path):
    url = path if path.startswith("http") else f"{os.environ['BASE']}/{path}"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {os.environ['TOKEN']}"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def found(query):
    """All that a search finds, page by page."""
    resources, url = [], query
    while url:
        page = get(url)
        resources += [it["resource"] for it in page.get("entry", [])]
        url = next((it["url"] for it in page["link"] if it["relation"] == "next"), None)
    return resources


def said(answer):
    """The code of an answer, and its error's, of the last one if there are two."""
    text = answer.decode() if isinstance(answer, bytes) else str(answer)
    parsed = hl7.parse(text.strip("\x0b\x1c\r\n") + "\r")
    msa, errors = parsed.segment("MSA"), [it for it in parsed if str(it(0)) == "ERR"]
    # Before version 2.5 it says all in its first field.
    error = "".join(str(it(3)(0)(0)) if len(it) > 3 else str(it(1)) for it in errors[:1])
    return str(msa(1)), str(msa(2)), error


def message(event, control, *segments):
    header = f"MSH|^~\\&|EHR|HOSPITAL|||20261102100000+0100||{event}|{control}|P|2.5.1"
    return "\r".join([header, *segments]) + "\r"


PERSON = "PID|1||80011^^^^MR||Sæther^Liv||19710506|F"
ADMITTED = message("ADT^A01^ADT_A01", "p1", "EVN||20261102", PERSON, "PV1|1|I|||||||||||||||||V8001")
RESULT = message(
    "ORU^R01^ORU_R01",
    "p2",
    PERSON,
    "OBR|1|P1|F1|29463-7^Weight^LN|||20261102",
    "OBX|1|NM|29463-7^Weight^LN||72.50|kg^kg^UCUM|||||F|||20261102",
)


def messages_are_answered():
    with MLLPClient(HOST, int(PORT)) as client:
        assert said(client.send_message(ADMITTED)) == ("AA", "p1", "")
        # As the library writes what it read, and then the same again.
        for _ in range(2):
            assert said(client.send_message(hl7.parse(RESULT))) == ("AA", "p2", "")
        for bad, code in [
            (message("ADT^A01^ADT_A01", "b1", "EVN||20261102"), ("AE", "b1", "100")),
            (RESULT.replace("|HOSPITAL|", "|NOBODY|"), ("AR", "p2", "204")),
            (message("ADT^A99", "b2", PERSON), ("AR", "b2", "201")),
            (ADMITTED.replace("2.5.1", "9"), ("AR", "p1", "203")),
        ]:
            answer = client.send_message(bad)
            assert said(answer) == code, answer
            assert len(answer.decode().split("\rERR")[1]) > 40, f"it says no reason: {answer}"
    [patient] = found("Patient?identifier=80011")
    [weight] = found(f"Observation?patient={patient['id']}&code=http://loinc.org|29463-7")
    assert weight["valueQuantity"]["value"] == 72.5, weight
    assert len(found(f"DocumentReference?patient={patient['id']}")) == 2
    assert len(found(f"Encounter?patient={patient['id']}")) == 1


async def connections_do_not_wait_for_each_other():
    async def send(number):
        reader, writer = await open_hl7_connection(HOST, int(PORT), encoding="utf-8")
        writer.writemessage(hl7.parse(RESULT.replace("|p2|", f"|a{number}|").replace("72.50", str(number))))
        await writer.drain()
        answer = await reader.readmessage()
        writer.close()
        return said(answer)

    answers = await asyncio.gather(*(send(it) for it in range(60, 64)))
    assert answers == [("AA", f"a{it}", "") for it in range(60, 64)], answers


def wants_no_answer(sample):
    fields = sample.split(b"\r")[0].split(b"\n")[0].split(b"|")
    return fields[14:16] == [b"NE", b"NE"]


def samples_come_back(folder):
    """Each is taken or refused as is expected of it; what is taken comes back byte for byte, and once."""
    taken, refused = [], {}
    for file in sorted(Path(folder).glob("*.hl7")):
        sample = file.read_bytes()
        if wants_no_answer(sample):
            print(file.name, "wants no answer")
            continue
        answers = []
        for _ in range(2):
            with MLLPClient(HOST, int(PORT)) as client:
                client.socket.settimeout(60)
                answers.append(said(client.send_message(sample)))
        assert answers[0] == answers[1], (file.name, answers)
        print(file.name, answers[0])
        code, _, error = answers[0]
        if code in ("AA", "CA"):
            taken.append((file.name, sample))
        else:
            assert "202" in error, (file.name, error)
            refused[file.name] = code
    stored = []
    for patient in found("Patient?_count=100"):
        for document in found(f"DocumentReference?patient={patient['id']}&_count=100"):
            for content in document["content"]:
                url = content["attachment"].get("url", "")
                if url.startswith("Binary/"):
                    stored.append(base64.b64decode(get(url)["data"]))
    for name, sample in taken:
        assert stored.count(sample) == 1, f"{name} is stored {stored.count(sample)} times"
    assert refused == REFUSED, refused
    print(f"{len(taken)} samples were taken and came back")


messages_are_answered()
asyncio.run(connections_do_not_wait_for_each_other())
if "SAMPLES" in os.environ:
    samples_come_back(os.environ["SAMPLES"])
else:
    print("SKIPPED: no messages of others")
