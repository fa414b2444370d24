//! Decoded octets of parts: `BINARY[…]` and `BINARY.SIZE[…]` (RFC 9051 §6.4.5; RFC 3516 §4.2).
//!
//! The size stands before the octets, so a large part is decoded twice: to measure it, and to send it.
//! A client that takes a part piece by piece has each decoded once only: the session keeps the
//! measure and the place where the last piece ended.

use std::ops::Range;

use restante_mailbox::{EmailId, MailError, clamp};
use restante_message::{Decoder, Encoding, Measure};

use super::message::{Fetcher, Message, Missing, Response};
use super::octets::{STEP, cut, step};
use super::plan::Binary;
use super::{Problem, problem_is};
use crate::cx::Cx;

/// A part with fewer encoded octets is decoded once, in memory.
const KEPT_BYTES: u64 = 64 << 10;

/// A part that can be decoded.
struct Part {
    range: Range<u64>,
    decoder: Decoder,
}

/// A place in a part up to which it was decoded.
#[derive(Debug, Clone)]
struct Place {
    /// The octets that are still encoded, as octets of the message.
    range: Range<u64>,
    decoder: Decoder,
    /// Octets decoded so far.
    at: u64,
}

/// What is known of the part of which a piece was fetched last.
#[derive(Debug)]
pub(crate) struct Mark {
    email: EmailId,
    path: Vec<u32>,
    measure: Measure,
    /// Not after the end of the piece.
    place: Place,
}

impl Fetcher<'_> {
    pub(super) async fn binary(
        &mut self,
        cx: &mut Cx,
        response: &mut Response,
        message: &mut Message<'_>,
        item: &Binary,
    ) -> Result<(), Missing> {
        let Some(part) = part(message, item)? else {
            let out = cx.conn.out();
            match item.size_only {
                // As long as the NIL that BINARY would give.
                true => response.items.binary_size(out, &item.part, 0),
                false => response.items.binary_nil(out, &item.part),
            }
            return Ok(());
        };
        let email = message.email.id();
        let mark = self.mark.take();
        let mark = mark.filter(|mark| mark.email == email && mark.path == item.path);
        let mut kept = Vec::new();
        let small = part.range.end - part.range.start < KEPT_BYTES;
        let (measure, place) = match mark {
            Some(mark) if !small => (mark.measure, Some(mark.place)),
            _ => (self.measure(message, &part, small, &mut kept).await?, None),
        };
        let start = || Place {
            range: part.range.clone(),
            decoder: part.decoder.clone(),
            at: 0,
        };
        let mut mark = Box::new(Mark {
            email,
            path: item.path.clone(),
            measure,
            place: place.unwrap_or_else(start),
        });
        if item.size_only {
            let out = cx.conn.out();
            response.items.binary_size(out, &item.part, measure.octets);
            self.mark = Some(mark);
            return Ok(());
        }
        let wanted = cut(0..measure.octets, item.partial);
        // IMAP4rev2 has no place for an origin here (RFC 9051 §9, msg-att-static; erratum 7246).
        let origin = item.partial.map(|partial| partial.offset);
        let origin = origin.filter(|_| !cx.enabled.rev2());
        let size = wanted.end - wanted.start;
        let out = cx.conn.out();
        response
            .items
            .binary(out, &item.part, origin, size, measure.has_nul);
        if small {
            out.extend_from_slice(&kept[wanted.start as usize..wanted.end as usize]);
            return Ok(response.flush_if_large(cx).await?);
        }
        if mark.place.at > wanted.start {
            mark.place = start();
        }
        let place = &mut mark.place;
        self.decode(cx, response, message, place, wanted).await?;
        self.mark = item.partial.is_some().then_some(mark);
        Ok(())
    }

    /// Decodes a part to measure it. Keeps the octets of a small part.
    async fn measure(
        &mut self,
        message: &Message<'_>,
        part: &Part,
        keep: bool,
        kept: &mut Vec<u8>,
    ) -> Result<Measure, MailError> {
        let mut decoder = part.decoder.clone();
        let mut measure = Measure::default();
        let mut range = part.range.clone();
        loop {
            let from = if keep { kept.len() } else { 0 };
            kept.truncate(from);
            let ends = range.start >= range.end;
            if ends {
                decoder.finish(kept);
            } else {
                let octets = self.read(message, step(&range)).await?;
                range.start += octets.len() as u64;
                decoder.push(&octets, kept);
            }
            measure.add(&kept[from..]);
            if ends {
                return Ok(measure);
            }
        }
    }

    /// Decodes a part from a place on to send what is wanted of it, whose literal was announced. The
    /// place becomes one that is near the end of what was wanted.
    async fn decode(
        &mut self,
        cx: &mut Cx,
        response: &mut Response,
        message: &Message<'_>,
        place: &mut Place,
        wanted: Range<u64>,
    ) -> Result<(), Missing> {
        let Place {
            mut range,
            mut decoder,
            mut at,
        } = place.clone();
        let mut decoded = Vec::new();
        let mut sent = wanted.start;
        while sent < wanted.end {
            // Line ends can double the octets of a step: only near the end a copy is worth it.
            if at <= wanted.end && at + 2 * STEP >= wanted.end && range.start < range.end {
                *place = Place {
                    range: range.clone(),
                    decoder: decoder.clone(),
                    at,
                };
            }
            decoded.clear();
            if range.start < range.end {
                match self.read(message, step(&range)).await {
                    Ok(octets) => {
                        range.start += octets.len() as u64;
                        decoder.push(&octets, &mut decoded);
                    }
                    Err(MailError::Damaged { .. }) => range.start = range.end,
                    Err(error) => return Err(Missing::All(error.into())),
                }
            } else {
                decoder.finish(&mut decoded);
                let left = (wanted.end - at).saturating_sub(decoded.len() as u64);
                if left > 0 {
                    // It was longer a moment ago: what was announced is sent all the same.
                    problem_is(&mut self.problem, Problem::Damaged);
                    decoded.resize(decoded.len() + left.min(STEP) as usize, b' ');
                }
            }
            let end = at + decoded.len() as u64;
            let from = sent.clamp(at, end) - at;
            let to = wanted.end.clamp(at, end) - at;
            if from < to {
                let octets = &decoded[from as usize..to as usize];
                cx.conn.out().extend_from_slice(octets);
                sent = at + to;
                response.flush_if_large(cx).await?;
            }
            at = end;
        }
        Ok(())
    }
}

/// The part that a path names, if there is one.
fn part(message: &mut Message<'_>, item: &Binary) -> Result<Option<Part>, Missing> {
    let size = message.email.size();
    if item.path.is_empty() {
        // The message with its header: nothing around it is encoded.
        let decoder = Decoder::new(Encoding::Binary).map_err(unknown)?;
        return Ok(Some(Part {
            range: 0..size,
            decoder,
        }));
    }
    let Some(part) = message.structure()?.part(&item.path) else {
        return Ok(None);
    };
    let decoder = Decoder::for_binary(part).map_err(unknown)?;
    Ok(Some(Part {
        range: clamp(part.body.clone(), size),
        decoder,
    }))
}

fn unknown(_: restante_message::UnknownEncoding) -> Missing {
    Missing::Item(Problem::UnknownEncoding)
}
