"""hl7apy: messages that it builds and validates, sent over MLLP; the answers are valid for it."""

import json
import os
import socket
import urllib.request

from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.core import Message
from hl7apy.parser import parse_message

HOST, PORT = os.environ["MLLP"].split(":")


def get(path):
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
    request = urllib.request.Request(f"{os.environ['BASE']}/{path}", headers=headers)
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def sent(connection, framed):
    """The answer to a message, as hl7apy reads it."""
    connection.sendall(framed.encode())
    answer = b""
    while not answer.endswith(b"\x1c\r"):
        answer += connection.recv(4096)
    return parse_message(answer[1:-2].decode(), validation_level=VALIDATION_LEVEL.TOLERANT)


def person(event, structure, control, number="80021"):
    message = Message(structure, version="2.5.1")
    message.msh.msh_3, message.msh.msh_4 = "EHR", "HOSPITAL"
    message.msh.msh_7 = "20261102100000+0100"
    message.msh.msh_9 = f"ADT^{event}^{structure}"
    message.msh.msh_10, message.msh.msh_11 = control, "P"
    message.evn.evn_2 = "20261102095900"
    message.pid.pid_3 = f"{number}^^^^MR"
    message.pid.pid_5 = "Lindqvist^Åsa"
    message.pid.pid_7, message.pid.pid_8 = "19800229", "F"
    message.pv1.pv1_2 = "I"
    message.pv1.pv1_19 = f"V{number}"
    return message


with socket.create_connection((HOST, int(PORT)), timeout=60) as connection:
    message = person("A01", "ADT_A01", "h1")
    message.validate()
    for _ in range(2):
        answer = sent(connection, message.to_mllp())
        assert answer.msa.msa_1.value == "AA" and answer.msa.msa_2.value == "h1", answer.value
    answer = sent(connection, person("A04", "ADT_A01", "h2").to_mllp())
    assert answer.msa.msa_1.value == "AA", answer.value
    # A day that there is not, and a facility that nobody listed.
    wrong = person("A01", "ADT_A01", "h3", "80022").to_mllp().replace("|HOSPITAL|", "|ELSEWHERE|")
    answer = sent(connection, wrong)
    assert answer.msa.msa_1.value == "AR" and answer.err.err_3.err_3_1.value == "204", answer.value
    wrong = person("A01", "ADT_A01", "h4", "").to_mllp().replace("PID|", "ZID|")
    answer = sent(connection, wrong)
    assert answer.msa.msa_1.value == "AE" and answer.err.value, answer.value

[entry] = get("Patient?identifier=80021")["entry"]
assert entry["resource"]["name"][0]["given"] == ["Åsa"], entry
patient = entry["resource"]["id"]
assert len(get(f"Encounter?patient={patient}")["entry"]) == 1
assert len(get(f"DocumentReference?patient={patient}")["entry"]) == 2
assert not get("Patient?identifier=80022").get("entry")
