//! ENVELOPE and BODYSTRUCTURE from values. The server sends what the message parser wrote; this
//! is for tests and tools that make responses from values.

use super::Writer;
use crate::types::{
    Address, BodyExtension, BodyStructure, Envelope, ExtensionData, MultipartBody, Parameters,
    SinglePartBody, SinglePartKind,
};

impl Writer<'_> {
    /// Appends an ENVELOPE (RFC 9051 §9, envelope).
    pub fn envelope(&mut self, envelope: &Envelope) {
        self.raw(b"(");
        self.nstring(envelope.date.as_deref());
        self.space();
        self.nstring(envelope.subject.as_deref());
        let Envelope {
            from,
            sender,
            reply_to,
            to,
            cc,
            bcc,
            ..
        } = envelope;
        for addresses in [from, sender, reply_to, to, cc, bcc] {
            self.space();
            if addresses.is_empty() {
                self.raw(b"NIL");
                continue;
            }
            self.raw(b"(");
            for Address {
                name,
                adl,
                mailbox,
                host,
            } in addresses
            {
                self.list([name, adl, mailbox, host], |w, text| {
                    w.nstring(text.as_deref())
                });
            }
            self.raw(b")");
        }
        for text in [&envelope.in_reply_to, &envelope.message_id] {
            self.space();
            self.nstring(text.as_deref());
        }
        self.raw(b")");
    }

    /// Appends a body (RFC 9051 §9, body). Values nest as deep as this function recurses.
    pub fn body_structure(&mut self, body: &BodyStructure) {
        self.raw(b"(");
        match body {
            BodyStructure::Single(single) => self.single_part(single),
            BodyStructure::Multi(multi) => self.multipart(multi),
        }
        self.raw(b")");
    }

    fn single_part(&mut self, body: &SinglePartBody) {
        self.string(&body.media_type);
        self.space();
        self.string(&body.media_subtype);
        self.space();
        self.parameters(&body.basic.parameters);
        for text in [&body.basic.id, &body.basic.description] {
            self.space();
            self.nstring(text.as_deref());
        }
        self.space();
        self.string(&body.basic.encoding);
        self.space();
        self.number(body.basic.size);
        match &body.kind {
            SinglePartKind::Basic => {}
            SinglePartKind::Text(lines) => {
                self.space();
                self.number(*lines);
            }
            SinglePartKind::Message(envelope, inner, lines) => {
                self.space();
                self.envelope(envelope);
                self.space();
                self.body_structure(inner);
                self.space();
                self.number(*lines);
            }
        }
        if body.md5.is_some() || body.extension.is_some() {
            self.space();
            self.nstring(body.md5.as_deref());
        }
        self.body_extension(body.extension.as_ref());
    }

    fn multipart(&mut self, body: &MultipartBody) {
        for part in &body.parts {
            self.body_structure(part);
        }
        self.space();
        self.string(&body.media_subtype);
        if body.parameters.is_some() || body.extension.is_some() {
            self.space();
            self.parameters(body.parameters.as_deref().unwrap_or_default());
        }
        self.body_extension(body.extension.as_ref());
    }

    fn parameters(&mut self, parameters: &[<Parameters as IntoIterator>::Item]) {
        if parameters.is_empty() {
            return self.raw(b"NIL");
        }
        self.list(
            parameters.iter().flat_map(|(name, value)| [name, value]),
            |w, text| {
                w.string(text);
            },
        );
    }

    fn body_extension(&mut self, extension: Option<&BodyExtension>) {
        let Some(extension) = extension else { return };
        self.space();
        match &extension.disposition {
            Some(disposition) => {
                self.raw(b"(");
                self.string(&disposition.kind);
                self.space();
                self.parameters(&disposition.parameters);
                self.raw(b")");
            }
            None => self.raw(b"NIL"),
        }
        self.space();
        match &extension.language[..] {
            [] => self.raw(b"NIL"),
            [language] => self.string(language),
            languages => self.list(languages, |w, language| w.string(language)),
        }
        self.space();
        self.nstring(extension.location.as_deref());
        for data in &extension.other {
            self.space();
            self.extension_data(data);
        }
    }

    fn extension_data(&mut self, data: &ExtensionData) {
        match data {
            ExtensionData::String(text) => self.nstring(text.as_deref()),
            ExtensionData::Number(n) => self.number(*n),
            ExtensionData::List(list) => self.list(list, |w, data| w.extension_data(data)),
        }
    }
}
