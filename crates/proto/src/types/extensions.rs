//! Types of ID, QUOTA, ACL and METADATA.

use super::mailbox_name::MailboxName;

/// The field-value pairs of ID (RFC 2971 §3.3); `None` is NIL.
pub type IdParameters = Option<Vec<(Vec<u8>, Option<Vec<u8>>)>>;

/// SETACL (RFC 4314 §3.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetAcl {
    /// The mailbox.
    pub mailbox: MailboxName,
    /// Whose rights.
    pub identifier: Vec<u8>,
    /// What happens to them.
    pub change: RightsChange,
    /// The rights: lower-case letters and digits.
    pub rights: Vec<u8>,
}

/// How SETACL changes rights (RFC 4314 §3.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum RightsChange {
    /// `+`
    Add,
    /// `-`
    Remove,
    /// Without a sign.
    Replace,
}

/// An identifier and its rights.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AclEntry {
    /// Whose rights.
    pub identifier: Vec<u8>,
    /// The rights.
    pub rights: Vec<u8>,
}

/// A quota resource (RFC 9208 §5): `STORAGE` counts units of 1024 bytes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
#[allow(missing_docs)]
pub enum QuotaResource {
    Storage,
    Message,
    Mailbox,
    AnnotationStorage,
    Other(Vec<u8>),
}

impl QuotaResource {
    /// The name on the wire.
    pub fn name(&self) -> &[u8] {
        match self {
            Self::Storage => b"STORAGE",
            Self::Message => b"MESSAGE",
            Self::Mailbox => b"MAILBOX",
            Self::AnnotationStorage => b"ANNOTATION-STORAGE",
            Self::Other(name) => name,
        }
    }

    /// The resource of this name, in any case.
    pub fn from_name(name: &[u8]) -> Self {
        [
            Self::Storage,
            Self::Message,
            Self::Mailbox,
            Self::AnnotationStorage,
        ]
        .into_iter()
        .find(|resource| resource.name().eq_ignore_ascii_case(name))
        .unwrap_or_else(|| Self::Other(name.to_vec()))
    }
}

/// Usage and limit of a resource (RFC 9208 §4.2.1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QuotaLimit {
    /// The resource.
    pub resource: QuotaResource,
    /// How much of it is used.
    pub usage: u64,
    /// How much there may be.
    pub limit: u64,
}

/// SETQUOTA (RFC 9208 §4.1.3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetQuota {
    /// The quota root.
    pub root: Vec<u8>,
    /// The new limits; those not named are taken away.
    pub limits: Vec<(QuotaResource, u64)>,
}

/// GETMETADATA (RFC 5464 §4.2). The empty mailbox name is the server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GetMetadata {
    /// The mailbox.
    pub mailbox: MailboxName,
    /// MAXSIZE: values longer than this many bytes are left out.
    pub max_size: Option<u64>,
    /// DEPTH
    pub depth: MetadataDepth,
    /// The entries asked for; at least one.
    pub entries: Vec<Vec<u8>>,
}

/// DEPTH (RFC 5464 §4.2.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum MetadataDepth {
    /// 0: the entry itself
    #[default]
    Zero,
    /// 1: and those directly below
    One,
    /// infinity: and all below
    Infinity,
}

/// An entry and its value; `None` is NIL: none, or delete it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MetadataEntry {
    /// The name, such as `/private/comment`.
    pub name: Vec<u8>,
    /// The value.
    pub value: Option<Vec<u8>>,
}
