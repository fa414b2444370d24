//! Decoded octets of parts: `BINARY[…]` and `BINARY.SIZE[…]` (RFC 9051 §6.4.5; RFC 3516 §4.2).
//!
//! The size stands before the octets, so a large part is decoded twice: to measure it, and to send it.

use std::ops::Range;

use restante_mailbox::{MailError, clamp};
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
        let mut kept = Vec::new();
        let (measure, wanted) = self.measure(message, &part, item, &mut kept).await?;
        if item.size_only {
            let (out, size) = (cx.conn.out(), measure.octets);
            response.items.binary_size(out, &item.part, size);
            return Ok(());
        }
        // IMAP4rev2 has no place for an origin here (RFC 9051 §9, msg-att-static; erratum 7246).
        let origin = item.partial.map(|partial| partial.offset);
        let origin = origin.filter(|_| !cx.enabled.rev2());
        let size = wanted.end - wanted.start;
        let out = cx.conn.out();
        response
            .items
            .binary(out, &item.part, origin, size, measure.has_nul);
        if part.range.end - part.range.start < KEPT_BYTES {
            out.extend_from_slice(&kept[wanted.start as usize..wanted.end as usize]);
            return Ok(response.flush_if_large(cx).await?);
        }
        self.decode(cx, response, message, part, wanted).await
    }

    /// Decodes a part to measure it: all of it, and which of it is wanted. Keeps the octets of a small
    /// part.
    async fn measure(
        &self,
        message: &Message<'_>,
        part: &Part,
        item: &Binary,
        kept: &mut Vec<u8>,
    ) -> Result<(Measure, Range<u64>), MailError> {
        let keep = part.range.end - part.range.start < KEPT_BYTES;
        let mut decoder = part.decoder.clone();
        let mut measure = Measure::default();
        let mut range = part.range.clone();
        while range.start < range.end {
            let octets = self.read(message, step(&range)).await?;
            range.start += octets.len() as u64;
            let from = if keep { kept.len() } else { 0 };
            kept.truncate(from);
            decoder.push(&octets, kept);
            measure.add(&kept[from..]);
        }
        let from = if keep { kept.len() } else { 0 };
        kept.truncate(from);
        decoder.finish(kept);
        measure.add(&kept[from..]);
        let wanted = cut(0..measure.octets, item.partial);
        Ok((measure, wanted))
    }

    /// Decodes a part again to send what is wanted of it, whose literal was announced.
    async fn decode(
        &mut self,
        cx: &mut Cx,
        response: &mut Response,
        message: &Message<'_>,
        mut part: Part,
        wanted: Range<u64>,
    ) -> Result<(), Missing> {
        let mut decoded = Vec::new();
        // Octets decoded before these.
        let mut at = 0;
        let mut sent = wanted.start;
        while sent < wanted.end {
            decoded.clear();
            if part.range.start < part.range.end {
                match self.read(message, step(&part.range)).await {
                    Ok(octets) => {
                        part.range.start += octets.len() as u64;
                        part.decoder.push(&octets, &mut decoded);
                    }
                    Err(MailError::Damaged { .. }) => part.range.start = part.range.end,
                    Err(error) => return Err(Missing::All(error.into())),
                }
            } else {
                part.decoder.finish(&mut decoded);
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
