//! The two halves against each other: what the client writes the server reads, trees of
//! structures survive the way back, and no bytes of a server do harm.

use std::num::NonZeroU32;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use restante_proto::client::{
    CommandEncoding, LiteralSupport, Mode, ResponseEvent, ResponseFramer, ResponseLimits,
    decode_response, decode_streamed, encode_command,
};
use restante_proto::decode::decode;
use restante_proto::encode::Writer;
use restante_proto::frame::{Event, Framer, Limits};
use restante_proto::types::*;

// Commands

fn nz() -> impl Strategy<Value = NonZeroU32> {
    (1u32..).prop_filter_map("zero", NonZeroU32::new)
}

/// Bytes that any string can hold.
fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => "[ -~]{0,12}".prop_map(String::into_bytes), 1 => vec(1u8.., 0..12)]
}

fn mailbox() -> impl Strategy<Value = MailboxName> {
    prop_oneof![Just("INBOX".to_owned()), "[a-c/ &%*\"\\\\é日-]{1,8}"].prop_map(MailboxName::new)
}

fn atom() -> impl Strategy<Value = Atom> {
    "[a-zA-Z$][a-zA-Z0-9.-]{0,6}".prop_filter_map("no atom", Atom::new)
}

fn flag() -> impl Strategy<Value = Flag> {
    prop_oneof![
        Just(Flag::Seen),
        Just(Flag::Deleted),
        atom().prop_map(Flag::Keyword),
    ]
}

fn set<N: Number>() -> impl Strategy<Value = NumberSet<N>> {
    let end = || {
        prop_oneof![
            9 => nz().prop_map(|n| SetEnd::Number(N::from_nonzero(n))),
            1 => Just(SetEnd::Star)
        ]
    };
    let range = prop_oneof![
        end().prop_map(|end| SetRange {
            first: end,
            last: end
        }),
        (end(), end()).prop_map(|(first, last)| SetRange { first, last }),
    ];
    prop_oneof![
        9 => vec(range, 1..5).prop_map(|ranges| NumberSet { ranges, saved: false }),
        1 => Just(NumberSet::saved()),
    ]
}

fn messages() -> impl Strategy<Value = MessageSet> {
    prop_oneof![
        set().prop_map(MessageSet::Seq),
        set().prop_map(MessageSet::Uid)
    ]
}

fn date() -> impl Strategy<Value = Date> {
    (0i64..30_000).prop_filter_map("no day", Date::from_days_since_epoch)
}

fn search_key() -> impl Strategy<Value = SearchKey> {
    let leaf = prop_oneof![
        Just(SearchKey::All),
        Just(SearchKey::Unseen),
        Just(SearchKey::Recent),
        Just(SearchKey::SaveDateSupported),
        atom().prop_map(SearchKey::Keyword),
        text().prop_map(SearchKey::From),
        text().prop_map(SearchKey::Body),
        (text(), text()).prop_map(|(name, value)| SearchKey::Header { name, value }),
        date().prop_map(SearchKey::SentSince),
        date().prop_map(SearchKey::SavedBefore),
        (0..i64::MAX as u64).prop_map(SearchKey::Larger),
        nz().prop_map(SearchKey::Older),
        set().prop_map(SearchKey::Sequence),
        set().prop_map(SearchKey::Uid),
        (0..i64::MAX as u64).prop_map(|n| SearchKey::ModSeq {
            entry: None,
            mod_seq: ModSeq(n)
        }),
    ];
    leaf.prop_recursive(4, 20, 4, |inner| {
        let not_or = inner.clone().prop_map(|key| match key {
            // OR whose second key is an OR is one list: it is not read back as two.
            SearchKey::Or(_) => SearchKey::All,
            key => key,
        });
        prop_oneof![
            inner.clone().prop_map(|key| SearchKey::Not(Box::new(key))),
            inner
                .clone()
                .prop_map(|key| SearchKey::Fuzzy(Box::new(key))),
            vec(not_or, 2..4).prop_map(SearchKey::Or),
            vec(inner, 2..4).prop_map(SearchKey::And),
        ]
    })
}

fn returns() -> impl Strategy<Value = SearchReturn> {
    let range = prop_oneof![
        (nz(), nz()).prop_map(|(a, b)| PartialRange::First(a, b)),
        (nz(), nz()).prop_map(|(a, b)| PartialRange::Last(a, b)),
    ];
    (any::<[bool; 4]>(), option::of(range)).prop_map(|([min, count, save, all], partial)| {
        SearchReturn {
            min,
            count,
            save,
            // ALL and PARTIAL exclude one another; nothing at all means ALL.
            all: partial.is_none() && (all || !(min || count || save)),
            partial,
            ..SearchReturn::default()
        }
    })
}

fn section() -> impl Strategy<Value = Section> {
    let names = vec("[A-Za-z-]{1,8}".prop_map(String::into_bytes), 1..3);
    let text = prop_oneof![
        Just(SectionText::Header),
        Just(SectionText::Text),
        Just(SectionText::Mime),
        (names, any::<bool>()).prop_map(|(names, not)| SectionText::HeaderFields { names, not }),
    ];
    (vec(nz(), 0..3), option::of(text)).prop_map(|(part, text)| match text {
        Some(SectionText::Mime) if part.is_empty() => Section { part, text: None },
        text => Section { part, text },
    })
}

fn attribute() -> impl Strategy<Value = FetchAttribute> {
    let partial = || {
        let range = (0..u64::from(u32::MAX), 1..u64::from(u32::MAX));
        option::of(range.prop_map(|(offset, length)| Partial { offset, length }))
    };
    prop_oneof![
        Just(FetchAttribute::Envelope),
        Just(FetchAttribute::Flags),
        Just(FetchAttribute::BodyStructure),
        Just(FetchAttribute::Rfc822Header),
        Just(FetchAttribute::SaveDate),
        any::<bool>().prop_map(|lazy| FetchAttribute::Preview { lazy }),
        (section(), partial(), any::<bool>()).prop_map(|(section, partial, peek)| {
            FetchAttribute::Section {
                section,
                partial,
                peek,
            }
        }),
        (vec(nz(), 1..3), partial(), any::<bool>()).prop_map(|(part, partial, peek)| {
            FetchAttribute::Binary {
                part,
                partial,
                peek,
            }
        }),
    ]
}

fn body() -> impl Strategy<Value = CommandBody> {
    use CommandBody as C;
    let secret = || text().prop_map(Secret::new);
    let list = (
        option::of(any::<[bool; 3]>()),
        "[a-c/é]{0,4}",
        vec("[a-c/%*é ]{0,6}".prop_map(ListPattern), 1..3),
        option::of(any::<[bool; 3]>()),
    )
        .prop_map(|(select, reference, patterns, returns)| List {
            select: select.map(|[subscribed, remote, special_use]| ListSelect {
                subscribed,
                remote,
                special_use,
                recursive_match: subscribed,
            }),
            reference,
            pattern_list: patterns.len() > 1,
            patterns,
            returns: returns.map(|[subscribed, children, status]| ListReturn {
                subscribed,
                children,
                status: if status {
                    vec![StatusItem::Messages]
                } else {
                    vec![]
                },
                ..ListReturn::default()
            }),
        });
    let store = (
        messages(),
        option::of(0..u64::from(u32::MAX)),
        any::<bool>(),
        vec(flag(), 0..3),
    )
        .prop_map(|(set, unchanged, silent, flags)| {
            let unchanged_since = unchanged.map(ModSeq);
            C::Store(Store {
                set,
                unchanged_since,
                action: StoreAction::Add,
                silent,
                flags,
            })
        });
    prop_oneof![
        Just(C::Noop),
        Just(C::Expunge(None)),
        (text(), secret()).prop_map(|(user, password)| C::Login { user, password }),
        (atom(), option::of(secret())).prop_map(|(mechanism, initial_response)| {
            C::Authenticate(Authenticate {
                mechanism,
                initial_response,
            })
        }),
        (mailbox(), any::<bool>()).prop_map(|(mailbox, read_only)| {
            C::Select(Select {
                mailbox,
                read_only,
                condstore: read_only,
                qresync: None,
            })
        }),
        (mailbox(), mailbox()).prop_map(|(from, to)| C::Rename { from, to }),
        list.prop_map(C::List),
        (messages(), mailbox()).prop_map(|(set, mailbox)| C::Move { set, mailbox }),
        (messages(), vec(attribute(), 1..4)).prop_map(|(set, attributes)| {
            C::Fetch(Fetch {
                set,
                attributes,
                modifiers: FetchModifiers::default(),
            })
        }),
        store,
        (any::<bool>(), option::of(returns()), search_key()).prop_map(|(uid, returns, key)| {
            C::Search(Search {
                uid,
                returns,
                charset: Some("UTF-8".to_owned()),
                key,
            })
        }),
        vec((text(), option::of(text())), 1..3).prop_map(|fields| C::Id(Some(fields))),
        (mailbox(), vec(("[a-z]{1,6}", option::of(text())), 1..3)).prop_map(
            |(mailbox, entries)| {
                let entries = entries.into_iter().map(|(name, value)| MetadataEntry {
                    name: format!("/shared/{name}").into_bytes(),
                    value,
                });
                C::SetMetadata {
                    mailbox,
                    entries: entries.collect(),
                }
            }
        ),
    ]
}

fn literals() -> impl Strategy<Value = LiteralSupport> {
    prop_oneof![
        Just(LiteralSupport::Synchronizing),
        Just(LiteralSupport::Minus),
        Just(LiteralSupport::Plus),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_server_reads_what_a_client_writes(
        body in body(),
        literals in literals(),
        utf8 in any::<bool>(),
        split in 1usize..40,
    ) {
        let command = Command { tag: Tag::new("a1").unwrap(), body, utf8_quoted: false };
        let encoded = encode_command(&command, CommandEncoding { literals, utf8 }).unwrap();
        let mut limits = Limits::after_login();
        limits.decode.utf8 = utf8;
        let mut framer = Framer::new(limits);
        framer.set_utf8(utf8);
        let mut frames = Vec::new();
        let mut continues = 0;
        for segment in &encoded.segments {
            for piece in segment.chunks(split) {
                framer.push(piece);
                while let Some(event) = framer.next() {
                    match event {
                        Event::Command(frame) => frames.push(frame.to_vec()),
                        Event::Continue => continues += 1,
                        other => prop_assert!(false, "{other:?}"),
                    }
                }
            }
        }
        prop_assert_eq!(continues, encoded.segments.len() - 1);
        prop_assert_eq!(frames.len(), 1);
        let read = decode(&frames[0], &limits.decode);
        let Ok(read) = read else {
            return Err(TestCaseError::fail(format!("{read:?}: {}", frames[0].escape_ascii())));
        };
        prop_assert_eq!(read.body, command.body, "{}", frames[0].escape_ascii());
    }
}

// Structures

fn nstring() -> impl Strategy<Value = Option<Vec<u8>>> {
    option::of(text())
}

fn address() -> impl Strategy<Value = Address> {
    (nstring(), nstring(), nstring(), nstring()).prop_map(|(name, adl, mailbox, host)| Address {
        name,
        adl,
        mailbox,
        host,
    })
}

fn envelope() -> impl Strategy<Value = Envelope> {
    let list = || vec(address(), 0..3);
    (
        nstring(),
        nstring(),
        list(),
        list(),
        list(),
        list(),
        nstring(),
        nstring(),
    )
        .prop_map(
            |(date, subject, from, sender, to, bcc, in_reply_to, message_id)| Envelope {
                date,
                subject,
                reply_to: from.clone(),
                cc: to.clone(),
                from,
                sender,
                to,
                bcc,
                in_reply_to,
                message_id,
            },
        )
}

fn parameters() -> impl Strategy<Value = Parameters> {
    vec((text(), text()), 0..3)
}

fn extension() -> impl Strategy<Value = Option<BodyExtension>> {
    let data = prop_oneof![
        nstring().prop_map(ExtensionData::String),
        (0..i64::MAX as u64).prop_map(ExtensionData::Number),
    ];
    let data = data.prop_recursive(3, 8, 3, |inner| {
        vec(inner, 1..3).prop_map(ExtensionData::List)
    });
    let disposition =
        (text(), parameters()).prop_map(|(kind, parameters)| Disposition { kind, parameters });
    let all = (
        option::of(disposition),
        vec(text(), 0..3),
        nstring(),
        vec(data, 0..2),
    );
    option::of(
        all.prop_map(|(disposition, language, location, other)| BodyExtension {
            disposition,
            language,
            location,
            other,
        }),
    )
}

fn structure() -> impl Strategy<Value = BodyStructure> {
    let basic = || {
        (
            parameters(),
            nstring(),
            nstring(),
            text(),
            0..i64::MAX as u64,
        )
            .prop_map(|(parameters, id, description, encoding, size)| BodyBasic {
                parameters,
                id,
                description,
                encoding,
                size,
            })
    };
    let single = move |types: &'static str, kind: BoxedStrategy<SinglePartKind>| {
        (Just(types), basic(), kind, nstring(), extension()).prop_map(
            |(types, basic, kind, md5, extension)| {
                let (media_type, subtype) = types.split_once('/').unwrap();
                BodyStructure::Single(Box::new(SinglePartBody {
                    media_type: media_type.into(),
                    media_subtype: subtype.into(),
                    basic,
                    kind,
                    md5,
                    extension,
                }))
            },
        )
    };
    let leaf = prop_oneof![
        single("IMAGE/PNG", Just(SinglePartKind::Basic).boxed()),
        single(
            "text/plain",
            (0..i64::MAX as u64).prop_map(SinglePartKind::Text).boxed()
        ),
    ];
    leaf.prop_recursive(3, 12, 3, move |inner| {
        let message = (envelope(), inner.clone(), 0..i64::MAX as u64)
            .prop_map(|(e, b, n)| SinglePartKind::Message(Box::new(e), Box::new(b), n));
        prop_oneof![
            single("message/rfc822", message.boxed()),
            (vec(inner, 1..3), text(), parameters(), extension()).prop_map(
                |(parts, media_subtype, parameters, extension)| {
                    let parameters = extension.as_ref().map(|_| parameters);
                    BodyStructure::Multi(Box::new(MultipartBody {
                        parts,
                        media_subtype,
                        parameters,
                        extension,
                    }))
                }
            ),
        ]
    })
}

fn one_frame(bytes: &[u8]) -> restante_proto::client::ResponseFrame {
    let mut framer = ResponseFramer::new(ResponseLimits::default());
    framer.push(bytes);
    match framer.next_event() {
        Ok(Some(ResponseEvent::Frame(frame))) if framer.pending() == 0 => frame,
        other => panic!("{other:?}: {}", bytes.escape_ascii()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn structures_are_read_back(envelope in envelope(), structure in structure(), lenient in any::<bool>()) {
        let items = vec![
            FetchItem::Envelope(Box::new(envelope)),
            FetchItem::BodyStructure(Box::new(structure)),
        ];
        let response =
            Response::Data(UntaggedData::Fetch { seq: SeqNum::new(1).unwrap(), items });
        let mut bytes = Vec::new();
        Writer::new(&mut bytes, false).response(&response);
        let mode = if lenient { Mode::Lenient } else { Mode::Strict };
        let read = decode_response(&one_frame(&bytes), mode);
        prop_assert_eq!(read, Ok(response), "{}", bytes.escape_ascii());
    }
}

// Any bytes

const PIECES: [&str; 50] = [
    "\r\n",
    "\n",
    " ",
    "(",
    ")",
    "((",
    "))",
    "\"",
    "\\",
    "{3}\r\nabc",
    "~{2}\r\n\0a",
    "{0}\r\n",
    "{99999999999}\r\n",
    "{4+}\r\n",
    "* ",
    "+ ",
    "a1 OK ",
    "a1 NO [",
    "] ",
    "* OK [",
    "* BYE ",
    "* 1 FETCH (",
    "* 2 UIDFETCH (",
    "* 3 EXPUNGE",
    "* LIST (",
    "* STATUS x (",
    "* SEARCH 1",
    "* ESEARCH (TAG \"a\") ",
    "* THREAD ",
    "(1 2 (3)(4))",
    "* NAMESPACE ",
    "BODY[",
    "BODY[] ",
    "BODYSTRUCTURE (",
    "ENVELOPE (",
    "FLAGS (\\Seen)",
    "UID 1",
    "NIL",
    "\"x\"",
    "1:*",
    "7,8:9",
    "COPYUID 1 2 3",
    "PERMANENTFLAGS (",
    "MODSEQ (5)",
    "\"TEXT\" \"PLAIN\"",
    "HEADER.FIELDS (",
    "<0>",
    "ALL ",
    "é",
    "\u{fffd}",
];

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        12 => (0..PIECES.len()).prop_map(|at| PIECES[at].as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..6),
    ];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// Everything that comes out, decoded in every mode.
fn read(bytes: &[u8], split: usize, stream_over: Option<u64>) -> Vec<String> {
    let limits = ResponseLimits {
        stream_over,
        ..ResponseLimits::default()
    };
    let mut framer = ResponseFramer::new(limits);
    let mut out = Vec::new();
    let mut chunk = Vec::new();
    for piece in bytes.chunks(split.max(1)) {
        framer.push(piece);
        while let Ok(Some(event)) = framer.next_event() {
            match event {
                ResponseEvent::Frame(frame) => {
                    for mode in [
                        Mode::Strict,
                        Mode::StrictUtf8,
                        Mode::Lenient,
                        Mode::LenientUtf8,
                    ] {
                        out.push(format!("{:?}", decode_response(&frame, mode)));
                    }
                }
                ResponseEvent::LiteralStart { before, size } => {
                    out.push(format!(
                        "{size} {:?}",
                        decode_streamed(&before, Mode::Strict)
                    ));
                    out.push(format!("{:?}", decode_streamed(&before, Mode::Lenient)));
                }
                ResponseEvent::Chunk(bytes) => chunk.extend_from_slice(&bytes),
                ResponseEvent::LiteralEnd => out.push(format!("{:?}", std::mem::take(&mut chunk))),
            }
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_bytes_do_harm_and_no_split_matters(bytes in stream(), split in 1usize..20, over in option::of(0u64..4)) {
        let whole = read(&bytes, bytes.len(), over);
        prop_assert_eq!(read(&bytes, split, over), whole);
    }

    /// What strict reads, lenient reads as the same.
    #[test]
    fn lenient_reads_what_strict_reads(bytes in stream()) {
        let mut framer = ResponseFramer::new(ResponseLimits::default());
        framer.push(&bytes);
        while let Ok(Some(ResponseEvent::Frame(frame))) = framer.next_event() {
            for utf8 in [false, true] {
                if let Ok(strict) = decode_response(&frame, Mode::Strict.with_utf8(utf8)) {
                    let lenient = decode_response(&frame, Mode::Lenient.with_utf8(utf8));
                    prop_assert_eq!(lenient, Ok(strict));
                }
            }
        }
    }
}
