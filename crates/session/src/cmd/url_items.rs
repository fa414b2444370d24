//! URLFETCH with items: the structure of a part, and its octets decoded or as they are (RFC 5524).

use std::ops::Range;

use restante_mailbox::{EmailRow, MailError, clamp};
use restante_message::{Decoder, Encoding, Measure};
use restante_proto::client::{
    Mode, ResponseEvent, ResponseFramer, ResponseLimits, decode_response,
};
use restante_proto::types::{
    BodyStructure, FetchAttribute, FetchItem, Partial, Response, SinglePartKind, UntaggedData,
    UrlData, UrlFetch,
};

use super::fetch::SectionOctets;
use super::url_auth::Part;
use crate::cx::Cx;
use crate::reply::Failure;

/// What was asked of a part.
pub(super) struct Items {
    structure: Option<BodyStructure>,
    data: Option<Data>,
}

enum Data {
    Body(Part),
    /// `None`: its encoding is not known.
    Binary(Option<Decoded>),
}

/// A part that is decoded while it is sent.
struct Decoded {
    part: Part,
    decoder: Decoder,
    /// Of the message.
    range: Range<u64>,
    has_nul: bool,
    /// Of the decoded octets.
    wanted: Range<u64>,
}

/// Looks for what is asked of a part. `None`: it is no part that has a structure and an encoding, but a
/// header, say; or it cannot be read.
pub(super) async fn extended(part: Part, wanted: &UrlFetch) -> Result<Option<Items>, Failure> {
    let Some((path, partial)) = part_path(&part) else {
        // As it is, it can be had.
        return match (wanted.structure, wanted.data) {
            (false, Some(UrlData::Body)) => Ok(part.small().await?.map(|part| Items {
                structure: None,
                data: Some(Data::Body(part)),
            })),
            _ => Ok(None),
        };
    };
    let mut structure = None;
    if wanted.structure {
        structure = whole_structure(&part.email)
            .as_ref()
            .and_then(|whole| structure_of(whole, &path).cloned());
        if structure.is_none() {
            return Ok(None);
        }
    }
    let data = match wanted.data {
        None => None,
        Some(UrlData::Body) => match part.small().await? {
            Some(part) => Some(Data::Body(part)),
            None => return Ok(None),
        },
        Some(UrlData::Binary) => {
            let decoder = decoder(&part.email, &path)?;
            let decoded = match decoder {
                Some((decoder, range)) => {
                    let measured = measure(&part, decoder.clone(), range.clone()).await;
                    let measure = match measured {
                        Err(MailError::Damaged { .. } | MailError::Expunged) => return Ok(None),
                        measured => measured?,
                    };
                    if let Some(structure) = &mut structure {
                        describe_decoded(structure, &measure);
                    }
                    Some(Decoded {
                        part,
                        decoder,
                        range,
                        has_nul: measure.has_nul(),
                        wanted: cut(measure.octets(), partial),
                    })
                }
                None => None,
            };
            Some(Data::Binary(decoded))
        }
    };
    Ok(Some(Items { structure, data }))
}

impl Items {
    pub(super) async fn tell(self, cx: &mut Cx) -> Result<(), Failure> {
        if let Some(structure) = &self.structure {
            let mut writer = cx.writer();
            writer.raw(b"(BODYPARTSTRUCTURE ");
            writer.body_structure(structure);
            writer.raw(if self.data.is_some() { b") " } else { b")" });
        }
        match self.data {
            Some(Data::Body(part)) => {
                cx.writer().raw(b"(BODY ");
                part.tell(cx).await?;
                cx.writer().raw(b")");
            }
            Some(Data::Binary(None)) => cx.writer().raw(b"(BINARY NIL)"),
            Some(Data::Binary(Some(decoded))) => {
                cx.writer().raw(b"(BINARY ");
                decoded.tell(cx).await?;
                cx.writer().raw(b")");
            }
            None => {}
        }
        Ok(())
    }
}

impl Decoded {
    async fn tell(mut self, cx: &mut Cx) -> Result<(), Failure> {
        // RFC 5524 §5: a literal8 where there is NUL.
        let tilde = if self.has_nul { "~" } else { "" };
        let size = self.wanted.end - self.wanted.start;
        cx.write(format_args!("{tilde}{{{size}}}\r\n"));
        let mut decoded = Vec::new();
        let mut at = 0;
        while at < self.wanted.end {
            decoded.clear();
            // The length is said: what cannot be read now ends the connection.
            let failed = |error| Failure::Io(std::io::Error::other(error));
            let step = read_step(&self.part, &mut self.range, &mut self.decoder, &mut decoded);
            let goes_on = step.await.map_err(failed)?;
            let end = at + decoded.len() as u64;
            let from = self.wanted.start.clamp(at, end) - at;
            let to = self.wanted.end.clamp(at, end) - at;
            cx.conn
                .out()
                .extend_from_slice(&decoded[from as usize..to as usize]);
            cx.conn.flush_if_large().await?;
            at = end;
            if !goes_on && at < self.wanted.end {
                return Err(Failure::Io(std::io::ErrorKind::InvalidData.into()));
            }
        }
        Ok(())
    }
}

/// Decodes a little more; false after the end.
async fn read_step(
    part: &Part,
    range: &mut Range<u64>,
    decoder: &mut Decoder,
    decoded: &mut Vec<u8>,
) -> Result<bool, MailError> {
    if range.start >= range.end {
        decoder.finish(decoded);
        return Ok(false);
    }
    let step = SectionOctets::step(range);
    range.start = step.end;
    let octets = part.account.read(&part.email, step).await?;
    decoder.push(&octets, decoded);
    Ok(true)
}

/// How long the decoded part is, and what the octets are like.
async fn measure(
    part: &Part,
    mut decoder: Decoder,
    mut range: Range<u64>,
) -> Result<Lines, MailError> {
    let mut lines = Lines::default();
    let mut decoded = Vec::new();
    loop {
        decoded.clear();
        let goes_on = read_step(part, &mut range, &mut decoder, &mut decoded).await?;
        lines.add(&decoded);
        if !goes_on {
            return Ok(lines);
        }
    }
}

/// The decoded octets as lines.
#[derive(Debug, Default)]
struct Lines {
    measure: Measure,
    /// How many end.
    count: u64,
    /// The octets of the line that goes on.
    length: usize,
    after_cr: bool,
    has_high: bool,
    /// A bare CR or LF, or a line that is too long for SMTP.
    is_broken: bool,
}

impl Lines {
    fn add(&mut self, decoded: &[u8]) {
        self.measure.add(decoded);
        for &octet in decoded {
            self.is_broken |= self.after_cr != (octet == b'\n');
            self.after_cr = octet == b'\r';
            self.has_high |= !octet.is_ascii();
            match octet {
                b'\n' => {
                    self.count += 1;
                    self.length = 0;
                }
                b'\r' => {}
                _ => self.length += 1,
            }
            self.is_broken |= self.length > LONGEST_LINE;
        }
    }

    fn octets(&self) -> u64 {
        self.measure.octets
    }

    fn has_nul(&self) -> bool {
        self.measure.has_nul
    }

    /// The identity encoding that says most (RFC 2045 §2.7 to §2.9).
    fn encoding(&self) -> &'static [u8] {
        match () {
            () if self.has_nul() || self.is_broken || self.after_cr => b"BINARY",
            () if self.has_high => b"8BIT",
            () => b"7BIT",
        }
    }
}

/// The longest line of 7bit and 8bit data, without its CRLF (RFC 2045 §2.7).
const LONGEST_LINE: usize = 998;

/// The part that a URL names, and the range of its octets; `None` if it names something else.
fn part_path(part: &Part) -> Option<(Vec<u32>, Option<Partial>)> {
    match part.named.attributes.first()? {
        FetchAttribute::Section {
            section, partial, ..
        } if section.text.is_none() => {
            let path = section.part.iter().map(|number| number.get());
            Some((path.collect(), *partial))
        }
        _ => None,
    }
}

/// The decoder of a part and where it is. `None`: the encoding is not known.
fn decoder(email: &EmailRow, path: &[u32]) -> Result<Option<(Decoder, Range<u64>)>, MailError> {
    if path.is_empty() {
        // The message with its header: nothing around it is encoded.
        let decoder = Decoder::new(Encoding::Binary).ok();
        return Ok(decoder.map(|decoder| (decoder, 0..email.size())));
    }
    let structure = email.structure()?;
    let part = structure.part(path);
    Ok(part.and_then(|part| {
        let decoder = Decoder::for_binary(part).ok()?;
        Some((decoder, clamp(part.body.clone(), email.size())))
    }))
}

fn cut(octets: u64, partial: Option<Partial>) -> Range<u64> {
    match partial {
        Some(partial) => {
            let start = partial.offset.min(octets);
            start..start.saturating_add(partial.length).min(octets)
        }
        None => 0..octets,
    }
}

/// The structure of the message as it is kept, read back.
fn whole_structure(email: &EmailRow) -> Option<BodyStructure> {
    let mut line = b"* 1 FETCH (BODYSTRUCTURE ".to_vec();
    line.extend_from_slice(email.bodystructure());
    line.extend_from_slice(b")\r\n");
    let mut framer = ResponseFramer::new(ResponseLimits::default());
    framer.push(&line);
    let Ok(Some(ResponseEvent::Frame(frame))) = framer.next_event() else {
        return None;
    };
    match decode_response(&frame, Mode::LenientUtf8) {
        Ok(Response::Data(UntaggedData::Fetch { items, .. })) => {
            items.into_iter().find_map(|item| match item {
                FetchItem::BodyStructure(structure) => Some(*structure),
                _ => None,
            })
        }
        _ => None,
    }
}

/// The structure of a part (RFC 9051 §6.4.5.1: how parts are numbered).
fn structure_of<'s>(whole: &'s BodyStructure, path: &[u32]) -> Option<&'s BodyStructure> {
    let mut at = whole;
    for (depth, number) in path.iter().enumerate() {
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        let inside = match at {
            BodyStructure::Multi(_) => at,
            // A message that is not taken apart is its own part 1.
            BodyStructure::Single(_) if depth == 0 => at,
            BodyStructure::Single(part) => match &part.kind {
                SinglePartKind::Message(_, body, _) => body,
                _ => return None,
            },
        };
        at = match inside {
            BodyStructure::Multi(multi) => multi.parts.get(index)?,
            BodyStructure::Single(_) if index == 0 => inside,
            BodyStructure::Single(_) => return None,
        };
    }
    Some(at)
}

/// The structure of what is decoded (RFC 5524 §3.2).
fn describe_decoded(structure: &mut BodyStructure, lines: &Lines) {
    let BodyStructure::Single(part) = structure else {
        return;
    };
    let encoded = [&b"base64"[..], b"quoted-printable"]
        .iter()
        .any(|name| part.basic.encoding.eq_ignore_ascii_case(name));
    if !encoded {
        return;
    }
    part.basic.encoding = lines.encoding().to_vec();
    part.basic.size = lines.octets();
    if let SinglePartKind::Text(count) = &mut part.kind {
        *count = lines.count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_encoding_is_the_narrowest_that_holds() {
        let long = [&[b'x'; LONGEST_LINE][..], b"\r\n"].concat();
        let longer = [&[b'x'; LONGEST_LINE + 1][..], b"\r\n"].concat();
        for (octets, encoding) in [
            (&b""[..], &b"7BIT"[..]),
            (b"a\r\nb", b"7BIT"),
            (&long, b"7BIT"),
            (b"caf\xc3\xa9\r\n", b"8BIT"),
            (&longer, b"BINARY"),
            (b"a\nb", b"BINARY"),
            (b"a\rb", b"BINARY"),
            (b"a\r", b"BINARY"),
            (b"a\x00b", b"BINARY"),
        ] {
            let mut lines = Lines::default();
            // In steps that part CR from LF.
            octets.chunks(1).for_each(|step| lines.add(step));
            assert_eq!(lines.encoding(), encoding, "{octets:?}");
        }
    }
}
