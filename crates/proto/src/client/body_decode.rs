//! Decodes ENVELOPE, BODY and BODYSTRUCTURE.
//!
//! First by the grammar; a lenient decoder that fails reads the value as a tree of lists and
//! strings instead, and takes from it what it can recognise.

use super::cursor::{Cursor, DEPTH_MAX, Result};
use super::tree::Node;
use crate::types::{
    Address, BodyBasic, BodyExtension, BodyStructure, Disposition, Envelope, ExtensionData,
    MultipartBody, Parameters, SinglePartBody, SinglePartKind,
};

/// `envelope`, or in lenient mode anything that resembles one.
pub(super) fn envelope(c: &mut Cursor<'_>) -> Result<Envelope> {
    let start = c.clone();
    match envelope_strict(c) {
        Err(_) if start.lenient() => {
            *c = start;
            Ok(envelope_from(&Node::decode(c)?))
        }
        result => result,
    }
}

/// `body`, or in lenient mode anything that resembles one.
pub(super) fn body(c: &mut Cursor<'_>) -> Result<BodyStructure> {
    let start = c.clone();
    match body_strict(c, 0) {
        Err(_) if start.lenient() => {
            *c = start;
            Ok(body_from(&Node::decode(c)?))
        }
        result => result,
    }
}

/// ```abnf
/// envelope = "(" env-date SP env-subject SP env-from SP env-sender SP env-reply-to SP env-to
///            SP env-cc SP env-bcc SP env-in-reply-to SP env-message-id ")"
/// ```
/// RFC 9051 §9
fn envelope_strict(c: &mut Cursor<'_>) -> Result<Envelope> {
    c.byte(b'(', "envelope")?;
    let date = nstring(c)?;
    c.space()?;
    let subject = nstring(c)?;
    let from = addresses(c)?;
    let sender = addresses(c)?;
    let reply_to = addresses(c)?;
    let to = addresses(c)?;
    let cc = addresses(c)?;
    let bcc = addresses(c)?;
    c.space()?;
    let in_reply_to = nstring(c)?;
    c.space()?;
    let message_id = nstring(c)?;
    c.byte(b')', "end of envelope")?;
    Ok(Envelope {
        date,
        subject,
        from,
        sender,
        reply_to,
        to,
        cc,
        bcc,
        in_reply_to,
        message_id,
    })
}

/// `SP ("(" 1*address ")" / nil)`
fn addresses(c: &mut Cursor<'_>) -> Result<Vec<Address>> {
    c.space()?;
    let mut addresses = Vec::new();
    if c.nil() {
        return Ok(addresses);
    }
    c.byte(b'(', "list of addresses or NIL")?;
    loop {
        addresses.push(address(c)?);
        if c.lenient() {
            c.skip_spaces();
        }
        if c.take_if(b')') {
            return Ok(addresses);
        }
    }
}

/// `address = "(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")"`
fn address(c: &mut Cursor<'_>) -> Result<Address> {
    c.byte(b'(', "address")?;
    let name = nstring(c)?;
    c.space()?;
    let adl = nstring(c)?;
    c.space()?;
    let mailbox = nstring(c)?;
    c.space()?;
    let host = nstring(c)?;
    c.byte(b')', "end of address")?;
    Ok(Address {
        name,
        adl,
        mailbox,
        host,
    })
}

/// `body = "(" (body-type-1part / body-type-mpart) ")"`
fn body_strict(c: &mut Cursor<'_>, depth: usize) -> Result<BodyStructure> {
    if depth > DEPTH_MAX {
        return c.error("body of bounded depth");
    }
    c.byte(b'(', "body")?;
    let body = if c.peek() == Some(b'(') {
        BodyStructure::Multi(Box::new(multipart(c, depth)?))
    } else {
        BodyStructure::Single(Box::new(single_part(c, depth)?))
    };
    c.byte(b')', "end of body")?;
    Ok(body)
}

/// ```abnf
/// body-type-mpart = 1*body SP media-subtype [SP body-ext-mpart]
/// body-ext-mpart  = body-fld-param [SP body-fld-dsp [SP body-fld-lang [SP body-fld-loc
///                   *(SP body-extension)]]]
/// ```
fn multipart(c: &mut Cursor<'_>, depth: usize) -> Result<MultipartBody> {
    let mut parts = Vec::new();
    while c.peek() == Some(b'(') {
        parts.push(body_strict(c, depth + 1)?);
        if c.lenient() {
            c.skip_spaces_before(b'(');
        }
    }
    c.space()?;
    let media_subtype = c.string()?.into();
    let mut parameters = None;
    let mut extension = None;
    if c.more()? {
        parameters = Some(body_parameters(c)?);
        extension = body_extension(c, depth)?;
    }
    Ok(MultipartBody {
        parts,
        media_subtype,
        parameters,
        extension,
    })
}

/// ```abnf
/// body-type-1part = (body-type-basic / body-type-msg / body-type-text) [SP body-ext-1part]
/// body-fields     = body-fld-param SP body-fld-id SP body-fld-desc SP body-fld-enc SP
///                   body-fld-octets
/// ```
fn single_part(c: &mut Cursor<'_>, depth: usize) -> Result<SinglePartBody> {
    let media_type: Vec<u8> = c.string()?.into();
    c.space()?;
    let media_subtype: Vec<u8> = c.string()?.into();
    c.space()?;
    let parameters = body_parameters(c)?;
    c.space()?;
    let id = nstring(c)?;
    c.space()?;
    let description = nstring(c)?;
    c.space()?;
    let encoding = c.string()?.into();
    c.space()?;
    // The grammar says number; a part of more than 4 GiB can only be said in 64 bits.
    let size = c.number64()?;
    let basic = BodyBasic {
        parameters,
        id,
        description,
        encoding,
        size,
    };
    let kind = part_kind(c, &media_type, &media_subtype, depth)?;
    let mut md5 = None;
    let mut extension = None;
    if c.more()? {
        md5 = nstring(c)?;
        extension = body_extension(c, depth)?;
    }
    Ok(SinglePartBody {
        media_type,
        media_subtype,
        basic,
        kind,
        md5,
        extension,
    })
}

fn nstring(c: &mut Cursor<'_>) -> Result<Option<Vec<u8>>> {
    Ok(c.nstring()?.map(Vec::from))
}

fn is_message(media_type: &[u8], subtype: &[u8]) -> bool {
    media_type.eq_ignore_ascii_case(b"message")
        && (subtype.eq_ignore_ascii_case(b"rfc822") || subtype.eq_ignore_ascii_case(b"global"))
}

fn part_kind(
    c: &mut Cursor<'_>,
    media_type: &[u8],
    subtype: &[u8],
    depth: usize,
) -> Result<SinglePartKind> {
    if media_type.eq_ignore_ascii_case(b"text") {
        c.space()?;
        return Ok(SinglePartKind::Text(c.number64()?));
    }
    if !is_message(media_type, subtype) {
        return Ok(SinglePartKind::Basic);
    }
    c.space()?;
    let envelope = Box::new(envelope_strict(c)?);
    c.space()?;
    let body = Box::new(body_strict(c, depth + 1)?);
    c.space()?;
    Ok(SinglePartKind::Message(envelope, body, c.number64()?))
}

/// `body-fld-param = "(" string SP string *(SP string SP string) ")" / nil`
fn body_parameters(c: &mut Cursor<'_>) -> Result<Parameters> {
    let mut parameters = Parameters::new();
    if c.nil() {
        return Ok(parameters);
    }
    c.byte(b'(', "parameters or NIL")?;
    loop {
        let name = c.string()?;
        c.space()?;
        // Some servers send NIL for a parameter without a value.
        let value = if c.lenient() {
            c.nstring()?.unwrap_or_default()
        } else {
            c.string()?
        };
        parameters.push((name.into(), value.into()));
        if c.take_if(b')') {
            return Ok(parameters);
        }
        c.space()?;
    }
}

/// `[SP body-fld-dsp [SP body-fld-lang [SP body-fld-loc *(SP body-extension)]]]`
fn body_extension(c: &mut Cursor<'_>, depth: usize) -> Result<Option<BodyExtension>> {
    if !c.more()? {
        return Ok(None);
    }
    let mut extension = BodyExtension::default();
    if !c.nil() {
        c.byte(b'(', "disposition or NIL")?;
        let kind = c.string()?.into();
        c.space()?;
        let parameters = body_parameters(c)?;
        c.byte(b')', "end of disposition")?;
        extension.disposition = Some(Disposition { kind, parameters });
    }
    if !c.more()? {
        return Ok(Some(extension));
    }
    if c.take_if(b'(') {
        loop {
            extension.language.push(c.string()?.into());
            if c.take_if(b')') {
                break;
            }
            c.space()?;
        }
    } else {
        extension.language.extend(nstring(c)?);
    }
    if !c.more()? {
        return Ok(Some(extension));
    }
    extension.location = nstring(c)?;
    while c.more()? {
        extension.other.push(extension_data(c, depth)?);
    }
    Ok(Some(extension))
}

/// `body-extension = nstring / number / number64 / "(" body-extension *(SP body-extension) ")"`
fn extension_data(c: &mut Cursor<'_>, depth: usize) -> Result<ExtensionData> {
    if depth > DEPTH_MAX {
        return c.error("body extension of bounded depth");
    }
    if c.take_if(b'(') {
        let mut list = vec![extension_data(c, depth + 1)?];
        while !c.take_if(b')') {
            c.space()?;
            list.push(extension_data(c, depth + 1)?);
        }
        return Ok(ExtensionData::List(list));
    }
    if c.peek().is_some_and(|b| b.is_ascii_digit()) {
        return Ok(ExtensionData::Number(c.number64()?));
    }
    Ok(ExtensionData::String(nstring(c)?))
}

// What follows recognises what it can in a tree. It never fails.

fn envelope_from(node: &Node) -> Envelope {
    let field = |i: usize| node.item(i).and_then(Node::string);
    let list = |i: usize| node.item(i).map(addresses_from).unwrap_or_default();
    Envelope {
        date: field(0),
        subject: field(1),
        from: list(2),
        sender: list(3),
        reply_to: list(4),
        to: list(5),
        cc: list(6),
        bcc: list(7),
        in_reply_to: field(8),
        message_id: field(9),
    }
}

fn addresses_from(node: &Node) -> Vec<Address> {
    let field = |address: &Node, i: usize| address.item(i).and_then(Node::string);
    let items = node.items();
    // A single address without its list.
    let one = items
        .first()
        .is_some_and(|first| !matches!(first, Node::List(_)));
    let addresses = if one {
        std::slice::from_ref(node)
    } else {
        items
    };
    addresses
        .iter()
        .filter(|address| !address.items().is_empty())
        .map(|address| Address {
            name: field(address, 0),
            adl: field(address, 1),
            mailbox: field(address, 2),
            host: field(address, 3),
        })
        .collect()
}

/// A multipart has lists first. One without parts begins with its subtype and then parameters
/// (`("alternative" ("boundary" "x") NIL NIL)`: Gmail, QQ, Yandex), or with NIL.
fn body_from(node: &Node) -> BodyStructure {
    let items = node.items();
    let parts = items
        .iter()
        .take_while(|item| matches!(item, Node::List(_)))
        .count();
    let headless = parts == 0
        && items
            .get(1)
            .is_none_or(|second| matches!(second, Node::List(_)))
        && items.first().and_then(Node::string).is_some();
    let no_parts = items.len() > 1
        && items[0] == Node::Nil
        && items[1].string().is_some()
        && items
            .get(2)
            .is_none_or(|third| matches!(third, Node::List(_)));
    if parts == 0 && !headless && !no_parts {
        return BodyStructure::Single(Box::new(single_from(items)));
    }
    let rest = &items[parts + usize::from(no_parts)..];
    BodyStructure::Multi(Box::new(MultipartBody {
        parts: items[..parts].iter().map(body_from).collect(),
        media_subtype: rest
            .first()
            .and_then(Node::string)
            .unwrap_or(b"mixed".to_vec()),
        parameters: rest.get(1).map(parameters_from),
        extension: extension_from(rest.get(2..).unwrap_or_default()),
    }))
}

fn single_from(items: &[Node]) -> SinglePartBody {
    let string = |i: usize| items.get(i).and_then(Node::string);
    let media_type = string(0).unwrap_or(b"application".to_vec());
    let media_subtype = string(1).unwrap_or(b"octet-stream".to_vec());
    let number = |i: usize| items.get(i).and_then(Node::number).unwrap_or(0);
    let embedded = is_message(&media_type, &media_subtype)
        && matches!(
            (items.get(7), items.get(8)),
            (Some(Node::List(_)), Some(Node::List(_)))
        );
    let (kind, next) = if media_type.eq_ignore_ascii_case(b"text") {
        // Some servers leave out the lines, or say NIL.
        let there = items.get(7).is_some_and(|n| n.number().is_some());
        (SinglePartKind::Text(number(7)), if there { 8 } else { 7 })
    } else if embedded {
        let envelope = Box::new(envelope_from(&items[7]));
        (
            SinglePartKind::Message(envelope, Box::new(body_from(&items[8])), number(9)),
            10,
        )
    } else {
        (SinglePartKind::Basic, 7)
    };
    SinglePartBody {
        basic: BodyBasic {
            parameters: items.get(2).map(parameters_from).unwrap_or_default(),
            id: string(3),
            description: string(4),
            encoding: string(5).unwrap_or(b"7bit".to_vec()),
            size: number(6),
        },
        kind,
        md5: string(next),
        extension: extension_from(items.get(next + 1..).unwrap_or_default()),
        media_type,
        media_subtype,
    }
}

fn parameters_from(node: &Node) -> Parameters {
    node.items()
        .chunks(2)
        .filter_map(|pair| {
            let value = pair.get(1).and_then(Node::string).unwrap_or_default();
            Some((pair[0].string()?, value))
        })
        .collect()
}

fn extension_from(items: &[Node]) -> Option<BodyExtension> {
    let disposition = items.first()?;
    let disposition = match disposition {
        Node::List(list) => list.first().and_then(Node::string).map(|kind| Disposition {
            kind,
            parameters: list.get(1).map(parameters_from).unwrap_or_default(),
        }),
        // Some servers send the bare word.
        other => other.string().map(|kind| Disposition {
            kind,
            parameters: Parameters::new(),
        }),
    };
    let language = items.get(1).map(|node| match node {
        Node::List(list) => list.iter().filter_map(Node::string).collect(),
        other => other.string().into_iter().collect(),
    });
    Some(BodyExtension {
        disposition,
        language: language.unwrap_or_default(),
        location: items.get(2).and_then(Node::string),
        other: items.iter().skip(3).map(data_from).collect(),
    })
}

fn data_from(node: &Node) -> ExtensionData {
    match node {
        Node::Nil => ExtensionData::String(None),
        Node::List(list) => ExtensionData::List(list.iter().map(data_from).collect()),
        Node::Atom(_) | Node::String(_) => match node.number() {
            Some(number) => ExtensionData::Number(number),
            None => ExtensionData::String(node.string()),
        },
    }
}
