//! ENVELOPE and BODYSTRUCTURE as values (RFC 9051 §7.5.2). The server half sends bytes that the
//! message parser made; these types are what a client reads.

/// A text that may be NIL, as bytes.
type NString = Option<Vec<u8>>;

/// An ENVELOPE. Empty address lists are NIL on the wire.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct Envelope {
    pub date: NString,
    pub subject: NString,
    pub from: Vec<Address>,
    pub sender: Vec<Address>,
    pub reply_to: Vec<Address>,
    pub to: Vec<Address>,
    pub cc: Vec<Address>,
    pub bcc: Vec<Address>,
    pub in_reply_to: NString,
    pub message_id: NString,
}

/// An address, or the begin (host NIL, mailbox a name) or end (both NIL) of a group.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Address {
    /// The display name.
    pub name: NString,
    /// The source route.
    pub adl: NString,
    /// The local part, or the name of a group.
    pub mailbox: NString,
    /// The domain.
    pub host: NString,
}

/// Parameters of a header field: names and values; none is NIL on the wire.
pub type Parameters = Vec<(Vec<u8>, Vec<u8>)>;

/// The structure of a body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BodyStructure {
    /// One part.
    Single(Box<SinglePartBody>),
    /// Parts in a multipart.
    Multi(Box<MultipartBody>),
}

/// A body of one part (body-type-1part).
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct SinglePartBody {
    pub media_type: Vec<u8>,
    pub media_subtype: Vec<u8>,
    pub basic: BodyBasic,
    pub kind: SinglePartKind,
    /// Content-MD5; `None` also if there is no extension data.
    pub md5: NString,
    /// Extension data after MD5; `None` for BODY or where the server ended early.
    pub extension: Option<BodyExtension>,
}

/// What every single part has (body-fields).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct BodyBasic {
    pub parameters: Parameters,
    pub id: NString,
    pub description: NString,
    pub encoding: Vec<u8>,
    /// Bytes, as encoded.
    pub size: u64,
}

/// What some single parts have besides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SinglePartKind {
    /// Nothing.
    Basic,
    /// Text, with its number of lines.
    Text(u64),
    /// A message, with its number of lines.
    Message(Box<Envelope>, Box<BodyStructure>, u64),
}

/// A multipart body (body-type-mpart).
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct MultipartBody {
    pub parts: Vec<BodyStructure>,
    pub media_subtype: Vec<u8>,
    /// `None` if there is no extension data.
    pub parameters: Option<Parameters>,
    /// Extension data after the parameters.
    pub extension: Option<BodyExtension>,
}

/// The extension data common to all bodies. What the server left out is as if NIL.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs)]
pub struct BodyExtension {
    pub disposition: Option<Disposition>,
    pub language: Vec<Vec<u8>>,
    pub location: NString,
    /// Data that no RFC defines yet.
    pub other: Vec<ExtensionData>,
}

/// Content-Disposition.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Disposition {
    pub kind: Vec<u8>,
    pub parameters: Parameters,
}

/// body-extension
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum ExtensionData {
    String(NString),
    Number(u64),
    List(Vec<ExtensionData>),
}
