//! SCH as Appointment; AIS, AIG, AIL and AIP as what and who takes part in it.

use alloc::{format, string::String};

use keepwell_fhir::draft::{Existing, Object};
use serde_json::{Value, json};

use super::{Mapper, table};
use crate::{
    message::{Part, Segment},
    refusal::Refusal,
    time,
};

const DAY_MINUTES: u32 = 24 * 60;
/// A longer appointment is a mistake of unit.
const MINUTES_MAX: u32 = 366 * DAY_MINUTES;

impl<'m> Mapper<'m> {
    pub(super) fn appointment(&mut self, sch: Segment<'m>) {
        let mut appointment = Object::of("Appointment");
        let placer = self.reader.entity(sch.field(1), "SCH-1", "PLAC");
        let filler = self.reader.entity(sch.field(2), "SCH-2", "FILL");
        // The filler keeps the schedule; a request that it has not answered has the placer's number only.
        let known_by = self.numbered("SCH", filler.as_ref().or(placer.as_ref()));
        let ids = [placer, filler, known_by.clone()];
        appointment.list("identifier", ids.into_iter().flatten().collect());
        appointment.set("status", self.appointment_status(sch));
        appointment.put("appointmentType", self.reader.tabled(sch.field(8), "0277"));
        appointment.push("reasonCode", self.reader.tabled(sch.field(7), "0276"));
        self.times_of(&mut appointment, sch.field(11).component(4), sch.field(11).component(5));
        appointment.put("minutesDuration", self.minutes(sch, 9, 10));
        if let Some(who) = self.reader.practitioner(sch.field(16)) {
            appointment.push("participant", Some(participant(who, None)));
        }
        let existing = if self.is_trigger(&["S12"]) { Existing::Keep } else { Existing::Replace };
        let handle = self.entries.add(appointment, known_by.as_ref(), existing);
        self.schedule = Some(handle);
        self.noted = Some(handle);
    }

    /// What the event says is surer than SCH-25.
    fn appointment_status(&self, sch: Segment<'m>) -> &'static str {
        let said = self.reader.code(sch.field(25), table::appointment_status);
        match self.message.envelope().trigger.as_str() {
            "S15" => "cancelled",
            "S17" => "entered-in-error",
            "S26" => "noshow",
            // The event says that it changed, and only this what it is now.
            "S14" if said.is_none() && !sch.field(25).is_empty() && !sch.field(25).is_null() => {
                self.refuse(Refusal::Value(self.place.at(25)));
                "booked"
            }
            _ => said.unwrap_or("booked"),
        }
    }

    fn minutes(&self, segment: Segment<'m>, amount: u16, unit: u16) -> Option<u32> {
        if segment.field(amount).is_empty() {
            return None;
        }
        let count = self.reader.positive(segment.field(amount));
        let unit = self.reader.text(segment.field(unit)).unwrap_or_default().to_ascii_lowercase();
        let minutes = match unit.as_str() {
            "" | "m" | "min" | "minutes" => count,
            "h" | "hr" | "hours" => count.and_then(|count| count.checked_mul(60)),
            "s" | "sec" | "seconds" => count.map(|count| count / 60).filter(|count| *count > 0),
            _ => None,
        };
        let minutes = minutes.filter(|minutes| *minutes <= MINUTES_MAX);
        if minutes.is_none() {
            self.reader.note(segment.field(amount));
        }
        minutes
    }

    fn times_of(&self, appointment: &mut Object, start: Part<'m>, end: Part<'m>) {
        for (key, part) in [("start", start), ("end", end)] {
            if !part.is_empty() {
                appointment.put(key, self.reader.instant(part));
            }
        }
    }

    /// TQ1 of a schedule: since 2.5 it has the times, and SCH-11 only what was once asked for.
    pub(super) fn appointment_times(&mut self, start: Part<'m>, end: Part<'m>) {
        let Some(handle) = self.schedule else { return };
        let mut times = Object::default();
        self.times_of(&mut times, start, end);
        let appointment = self.entries.resource(handle);
        // A new start without an end is not of the old end.
        if times.has("start") {
            appointment.remove("end");
        }
        for key in ["start", "end"] {
            if times.has(key) {
                appointment.set(key, times.text(key));
            }
        }
    }

    pub(super) fn resource_of_appointment(&mut self, ai: Segment<'m>) {
        let Some(handle) = self.schedule else { return };
        // Deleted (table 0206): it takes no part, and is listed whole.
        if ai.field(2).raw().trim() == "D" {
            self.noted = None;
            return;
        }
        ai.field(1).text();
        self.noted = Some(handle);
        let (start, status) = match ai.name() {
            "AIS" => (4, 10),
            "AIG" => (8, 14),
            _ => (6, 12),
        };
        // A service takes no part, and has no status.
        let said = if ai.name() == "AIS" { None } else { self.reader.text(ai.field(status)) };
        let sent = ai.field(start);
        let start = if sent.is_empty() { None } else { self.reader.instant(sent) };
        let role = |field| self.reader.tabled(ai.field(field), "0182");
        let added = match ai.name() {
            "AIS" => {
                let service = self.reader.concept(ai.field(3));
                let minutes = self.minutes(ai, 7, 8);
                let appointment = self.entries.resource(handle);
                appointment.push("serviceType", service);
                appointment.fill("minutesDuration", minutes);
                // Of several services, nobody says whether they are one after the other.
                let whole = appointment.value("minutesDuration").and_then(Value::as_u64);
                if minutes.map(u64::from) != whole && minutes.is_some() {
                    self.reader.note(ai.field(7));
                }
                None
            }
            "AIL" => self.reader.location(ai.field(3)).map(|place| (place, role(4))),
            "AIP" => self.reader.practitioner(ai.field(3)).map(|who| (who, role(4))),
            _ => self.device(ai.field(3)).map(|device| (device, role(4))),
        };
        let appointment = self.entries.resource(handle);
        appointment.fill("start", start.clone());
        // Who comes later, or begins before, has a time of their own, for which there is no place.
        if start.is_some_and(|start| appointment.text("start") != start) {
            self.reader.note(sent);
        }
        if let Some((actor, role)) = added {
            let mut participant = participant(actor, said.as_deref());
            if let (Some(role), Some(fields)) = (role, participant.as_object_mut()) {
                fields.insert(String::from("type"), Value::Array([role].into()));
            }
            appointment.push("participant", Some(participant));
        }
    }

    /// A general resource, by code and name.
    fn device(&self, part: Part<'m>) -> Option<Value> {
        let concept = self.reader.concept(part)?;
        let text = |pointer| concept.pointer(pointer).cloned();
        let mut device = Object::default();
        device.set("type", "Device");
        if let (Some(system), Some(code)) = (text("/coding/0/system"), text("/coding/0/code")) {
            device.set("identifier", json!({ "system": system, "value": code }));
        }
        device
            .put("display", text("/text").or(text("/coding/0/display")).or(text("/coding/0/code")));
        device.some()
    }

    /// FHIR asks for a participant, and for the patient among them; and for both times or none.
    pub(super) fn complete_appointment(&mut self) {
        let Some(handle) = self.schedule else { return };
        if let Some(patient) = self.refer(self.patient) {
            self.entries.resource(handle).push("participant", Some(participant(patient, None)));
        }
        let appointment = self.entries.resource(handle);
        let minutes = appointment.value("minutesDuration").and_then(Value::as_u64);
        let end = minutes.and_then(|minutes| later(appointment.text("start"), minutes));
        appointment.fill("end", end);
        if !appointment.has("start") || !appointment.has("end") {
            self.untimed();
        }
    }

    /// Without both times an appointment is only proposed, cancelled or waited for (invariants app-2 and app-3).
    fn untimed(&mut self) {
        let Some(handle) = self.schedule else { return };
        let appointment = self.entries.resource(handle);
        appointment.remove("start");
        appointment.remove("end");
        let status = match appointment.text("status") {
            "cancelled" | "entered-in-error" | "noshow" => "cancelled",
            "waitlist" => "waitlist",
            _ => "proposed",
        };
        appointment.set("status", status);
        if let Some(sch) = self.message.segment("SCH") {
            let times = [4, 5].map(|at| sch.field(11).component(at));
            times.into_iter().chain([sch.field(25)]).for_each(|part| self.reader.note(part));
        }
    }
}

/// An `instant` so many minutes later, in the same zone.
fn later(start: &str, minutes: u64) -> Option<String> {
    let number = |range: core::ops::Range<usize>| start.get(range)?.parse::<u32>().ok();
    let (mut year, mut month, mut day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let total = number(11..13)? * 60 + number(14..16)? + u32::try_from(minutes).ok()?;
    for _ in 0..total / DAY_MINUTES {
        day += 1;
        if day > time::days_of(year, month) {
            (day, month) = (1, month + 1);
        }
        if month > 12 {
            (month, year) = (1, year + 1);
        }
    }
    let (hour, minute) = (total % DAY_MINUTES / 60, total % 60);
    let date = format!("{year:04}-{month:02}-{day:02}");
    (year <= 9_999).then(|| format!("{date}T{hour:02}:{minute:02}{}", &start[16..]))
}

/// One who has a status of their own, or is only expected.
fn participant(actor: Value, said: Option<&str>) -> Value {
    let status = match said.and_then(table::appointment_status) {
        Some("booked" | "arrived" | "fulfilled") => "accepted",
        Some("cancelled" | "entered-in-error") => "declined",
        _ => "needs-action",
    };
    json!({ "actor": actor, "status": status })
}
