//! Every command survives: what the client half writes, the framer and the decoder read back.

use std::num::NonZeroU32;

use proptest::collection::vec as some;
use proptest::option;
use proptest::prelude::*;
use restante_proto::client::{
    AppendEncoder, AppendMessage, CommandEncoding, LiteralSupport, encode_command,
};
use restante_proto::decode::{DecodeOptions, decode};
use restante_proto::frame::{Event, Framer, Limits};
use restante_proto::types::*;

/// Sends `command` as a client does, waiting where it must; gives what the server understands.
fn round_trip(command: &Command, encoding: CommandEncoding) -> Command {
    let encoded = encode_command(command, encoding).expect("can be encoded");
    let mut limits = Limits::after_login();
    limits.decode.utf8 = encoding.utf8;
    let options: DecodeOptions = limits.decode;
    let mut framer = Framer::new(limits);
    let mut segments = encoded.segments.iter().peekable();
    while let Some(segment) = segments.next() {
        framer.push(segment);
        let event = framer.next();
        match event {
            Some(Event::Continue) => assert!(segments.peek().is_some()),
            Some(Event::Command(frame)) => {
                assert!(segments.peek().is_none());
                let decoded = decode(frame, &options);
                return decoded.unwrap_or_else(|e| panic!("{e}: {}", frame.escape_ascii()));
            }
            other => panic!("{other:?} after {}", segment.escape_ascii()),
        }
    }
    panic!("the command does not end")
}

fn nz() -> impl Strategy<Value = NonZeroU32> {
    prop_oneof![1u32..10, 1u32..].prop_map(|n| NonZeroU32::new(n).unwrap())
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        "[ -~]{0,8}".prop_map(String::into_bytes),
        "\\PC{0,5}".prop_map(String::into_bytes),
        some(1u8.., 0..8),
    ]
}

fn atom() -> impl Strategy<Value = Atom> {
    "[A-Za-z$][A-Za-z0-9=.$-]{0,8}".prop_filter_map("no atom", Atom::new)
}

fn mailbox() -> impl Strategy<Value = MailboxName> {
    prop_oneof![Just("INBOX".to_owned()), "[a-zA-Z&/ \"\\\\%*é日😀]{1,8}"]
        .prop_map(MailboxName::new)
}

fn set<N: Number + 'static>() -> impl Strategy<Value = NumberSet<N>> {
    let end = || {
        prop_oneof![
            4 => nz().prop_map(|n| SetEnd::Number(N::from_nonzero(n))),
            1 => Just(SetEnd::Star)
        ]
    };
    let range = (end(), end()).prop_map(|(first, last)| SetRange { first, last });
    prop_oneof![
        6 => some(range, 1..5).prop_map(|ranges| NumberSet { ranges, saved: false }),
        1 => Just(NumberSet::saved()),
    ]
}

fn plain_set<N: Number + 'static>() -> impl Strategy<Value = NumberSet<N>> {
    some((nz(), nz()), 1..4).prop_map(|ranges| {
        NumberSet::from_ranges(
            ranges
                .into_iter()
                .map(|(a, b)| (N::from_nonzero(a), N::from_nonzero(b))),
        )
    })
}

fn messages() -> impl Strategy<Value = MessageSet> {
    prop_oneof![
        set().prop_map(MessageSet::Seq),
        set().prop_map(MessageSet::Uid)
    ]
}

fn mod_seq() -> impl Strategy<Value = ModSeq> {
    (0..=i64::MAX as u64).prop_map(ModSeq)
}

fn flag() -> impl Strategy<Value = Flag> {
    prop_oneof![
        Just(Flag::Seen),
        Just(Flag::Deleted),
        atom().prop_map(Flag::Keyword),
        "X[A-Z]{1,5}".prop_map(|text| Flag::new(&format!("\\{text}")).unwrap()),
    ]
}

fn partial_range() -> impl Strategy<Value = PartialRange> {
    (any::<bool>(), nz(), nz()).prop_map(|(last, a, b)| {
        if last {
            PartialRange::Last(a, b)
        } else {
            PartialRange::First(a, b)
        }
    })
}

fn attribute() -> impl Strategy<Value = FetchAttribute> {
    use FetchAttribute as A;
    let part = || some(nz(), 0..3);
    let partial = || {
        option::of((0..1u64 << 62, 1..1u64 << 62))
            .prop_map(|p| p.map(|(offset, length)| Partial { offset, length }))
    };
    let fields = (
        some(text().prop_filter("empty", |name| !name.is_empty()), 1..4),
        any::<bool>(),
    )
        .prop_map(|(names, not)| SectionText::HeaderFields { names, not });
    let section = (
        part(),
        option::of(prop_oneof![
            Just(SectionText::Header),
            Just(SectionText::Text),
            Just(SectionText::Mime),
            fields,
        ]),
    )
        .prop_filter("MIME has a part", |(part, text)| {
            !(part.is_empty() && *text == Some(SectionText::Mime))
        });
    prop_oneof![
        prop::sample::select(vec![
            A::Envelope,
            A::Flags,
            A::InternalDate,
            A::Rfc822Size,
            A::Rfc822,
            A::Rfc822Peek,
            A::Rfc822Header,
            A::Rfc822Text,
            A::Body,
            A::BodyStructure,
            A::Uid,
            A::ModSeq,
            A::EmailId,
            A::ThreadId,
            A::SaveDate,
            A::Preview { lazy: true },
            A::Preview { lazy: false },
        ]),
        (section, partial(), any::<bool>()).prop_map(|((part, text), partial, peek)| {
            A::Section {
                section: Section { part, text },
                partial,
                peek,
            }
        }),
        (part(), partial(), any::<bool>()).prop_map(|(part, partial, peek)| A::Binary {
            part,
            partial,
            peek
        }),
        part().prop_map(A::BinarySize),
    ]
}

fn date() -> impl Strategy<Value = Date> {
    (-719_528i64..=2_932_896).prop_map(|days| Date::from_days_since_epoch(days).unwrap())
}

fn key() -> impl Strategy<Value = SearchKey> {
    use SearchKey as K;
    let id = "[A-Za-z0-9_-]{1,9}".prop_map(|id| ObjectId::new(id).unwrap());
    let leaf = prop_oneof![
        prop::sample::select(vec![
            K::All,
            K::Answered,
            K::Deleted,
            K::Draft,
            K::Flagged,
            K::Seen,
            K::Unanswered,
            K::Undeleted,
            K::Undraft,
            K::Unflagged,
            K::Unseen,
            K::New,
            K::Old,
            K::Recent,
            K::SaveDateSupported,
        ]),
        (0..9usize, text()).prop_map(|(which, text)| match which {
            0 => K::Bcc(text),
            1 => K::Cc(text),
            2 => K::From(text),
            3 => K::To(text),
            4 => K::Subject(text),
            5 => K::Body(text),
            6 => K::Text(text),
            _ => K::Header {
                name: text.clone(),
                value: text
            },
        }),
        // RFC 5466 §4
        "[a-zA-Z0-9!#&'+,._-]{1,12}".prop_map(|name: String| K::Filter(name.into_bytes())),
        (0..9usize, date()).prop_map(|(which, date)| match which {
            0 => K::Before(date),
            1 => K::On(date),
            2 => K::Since(date),
            3 => K::SentBefore(date),
            4 => K::SentOn(date),
            5 => K::SentSince(date),
            6 => K::SavedBefore(date),
            7 => K::SavedOn(date),
            _ => K::SavedSince(date),
        }),
        atom().prop_map(K::Keyword),
        atom().prop_map(K::Unkeyword),
        (0..1u64 << 63).prop_map(K::Larger),
        (0..1u64 << 63).prop_map(K::Smaller),
        set().prop_map(K::Sequence),
        set().prop_map(K::Uid),
        nz().prop_map(K::Older),
        nz().prop_map(K::Younger),
        nz().prop_map(|uid| K::UidAfter(Uid::new(uid.get()).unwrap())),
        nz().prop_map(|uid| K::UidBefore(Uid::new(uid.get()).unwrap())),
        mod_seq().prop_map(|mod_seq| K::ModSeq {
            entry: None,
            mod_seq
        }),
        mod_seq().prop_map(|mod_seq| K::ModSeq {
            entry: Some(ModSeqEntry {
                name: b"/flags/\\draft".to_vec(),
                kind: EntryType::Shared
            }),
            mod_seq
        }),
        id.clone().prop_map(K::EmailId),
        id.prop_map(K::ThreadId),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|key| K::Not(Box::new(key))),
            inner.clone().prop_map(|key| K::Fuzzy(Box::new(key))),
            some(inner.clone(), 2..4).prop_map(K::And),
            // The decoder's form: an OR is never the last of an OR.
            some(inner, 2..4)
                .prop_filter("OR in OR", |keys| !matches!(keys.last(), Some(K::Or(_))))
                .prop_map(K::Or),
        ]
    })
}

fn returns() -> impl Strategy<Value = SearchReturn> {
    (
        any::<[bool; 7]>(),
        option::of(partial_range()),
        option::of(some(attribute(), 0..3)),
    )
        .prop_map(
            |([min, max, all, count, save, context, relevancy], partial, update)| {
                let some = min || max || count || save || context || relevancy;
                let other = some || partial.is_some() || update.is_some();
                let all = (all || !other) && partial.is_none();
                SearchReturn {
                    min,
                    max,
                    all,
                    count,
                    save,
                    partial,
                    update,
                    context,
                    relevancy,
                }
            },
        )
}

fn charset() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "UTF-8".to_owned(),
        "US-ASCII".to_owned(),
        "ISO-8859-1".to_owned(),
    ])
}

fn filter() -> impl Strategy<Value = MailboxFilter> {
    use MailboxFilter as F;
    prop_oneof![
        prop::sample::select(vec![F::Selected, F::Inboxes, F::Personal, F::Subscribed]),
        some(mailbox(), 1..3).prop_map(F::Subtree),
        some(mailbox(), 1..3).prop_map(F::SubtreeOne),
        some(mailbox(), 1..3).prop_map(F::Mailboxes),
    ]
}

fn searches() -> impl Strategy<Value = CommandBody> {
    let sort_key = prop::sample::select(vec![
        SortKey::Arrival,
        SortKey::Cc,
        SortKey::Date,
        SortKey::From,
        SortKey::Size,
        SortKey::Subject,
        SortKey::To,
        SortKey::DisplayFrom,
        SortKey::DisplayTo,
        SortKey::Relevancy,
    ]);
    let criteria = some(
        (any::<bool>(), sort_key).prop_map(|(reverse, key)| SortCriterion { reverse, key }),
        1..4,
    );
    let algorithm = prop::sample::select(vec![
        ThreadAlgorithm::OrderedSubject,
        ThreadAlgorithm::References,
        ThreadAlgorithm::Refs,
        ThreadAlgorithm::Other(Atom::new("X-FOO").unwrap()),
    ]);
    prop_oneof![
        (
            any::<bool>(),
            option::of(returns()),
            option::of(charset()),
            key()
        )
            .prop_map(|(uid, returns, charset, key)| CommandBody::Search(Search {
                uid,
                returns,
                charset,
                key
            })),
        (
            any::<bool>(),
            option::of(returns()),
            criteria,
            charset(),
            key()
        )
            .prop_map(
                |(uid, returns, criteria, charset, key)| CommandBody::Sort(Sort {
                    uid,
                    returns,
                    criteria,
                    charset,
                    key
                })
            ),
        (any::<bool>(), algorithm, charset(), key()).prop_map(|(uid, algorithm, charset, key)| {
            CommandBody::Thread(Thread {
                uid,
                algorithm,
                charset,
                key,
            })
        }),
        (
            option::of(some(filter(), 1..3)),
            option::of(returns()),
            option::of(charset()),
            key()
        )
            .prop_map(|(mailboxes, returns, charset, key)| {
                let scope = mailboxes.map(|mailboxes| SearchScope { mailboxes });
                CommandBody::Esearch(EsearchCommand {
                    scope,
                    returns,
                    charset,
                    key,
                })
            }),
    ]
}

fn mailboxes() -> impl Strategy<Value = CommandBody> {
    let items = || prop::sample::subsequence(StatusItem::ALL.to_vec(), 1..4);
    let special_use = some(prop::sample::select(SpecialUse::ALL.to_vec()), 0..3);
    let pattern = || "[a-z%*/é]{1,6}".prop_map(ListPattern);
    let select = any::<[bool; 4]>().prop_map(|[subscribed, remote, recursive, special_use]| {
        let recursive_match = recursive && (subscribed || special_use);
        ListSelect {
            subscribed,
            remote,
            recursive_match,
            special_use,
        }
    });
    let list_return = (
        any::<[bool; 4]>(),
        option::of(items()),
        option::of(Just(b"/private/x".to_vec())),
    )
        .prop_map(
            |([subscribed, children, special_use, my_rights], status, entry)| ListReturn {
                subscribed,
                children,
                special_use,
                my_rights,
                status: status.unwrap_or_default(),
                metadata: entry.into_iter().collect(),
            },
        );
    let list = (
        option::of(select),
        "[a-z/é]{0,4}",
        some(pattern(), 1..3),
        option::of(list_return),
    )
        .prop_map(|(select, reference, patterns, returns)| {
            let pattern_list = patterns.len() > 1;
            CommandBody::List(List {
                select,
                reference,
                patterns,
                pattern_list,
                returns,
            })
        });
    let known = option::of((plain_set(), plain_set()));
    let qresync = (nz(), mod_seq(), option::of(plain_set()), known).prop_map(
        |(n, mod_seq, known_uids, known_match)| QResync {
            uid_validity: UidValidity(n),
            mod_seq,
            known_uids,
            known_match,
        },
    );
    prop_oneof![
        mailbox().prop_map(CommandBody::Delete),
        mailbox().prop_map(CommandBody::Subscribe),
        mailbox().prop_map(CommandBody::Unsubscribe),
        (mailbox(), mailbox()).prop_map(|(from, to)| CommandBody::Rename { from, to }),
        (mailbox(), special_use).prop_map(|(mailbox, special_use)| CommandBody::Create {
            mailbox,
            special_use
        }),
        (mailbox(), items()).prop_map(|(mailbox, items)| CommandBody::Status { mailbox, items }),
        (mailbox(), any::<[bool; 2]>(), option::of(qresync)).prop_map(
            |(mailbox, [read_only, condstore], qresync)| CommandBody::Select(Select {
                mailbox,
                read_only,
                condstore,
                qresync
            })
        ),
        list,
        ("[a-z/]{0,4}", pattern())
            .prop_map(|(reference, pattern)| CommandBody::Lsub { reference, pattern }),
        ("[a-z/]{0,4}", pattern())
            .prop_map(|(reference, pattern)| CommandBody::Xlist { reference, pattern }),
        ("[a-z/]{0,4}", pattern())
            .prop_map(|(reference, pattern)| CommandBody::Rlist { reference, pattern }),
        ("[a-z/]{0,4}", pattern())
            .prop_map(|(reference, pattern)| CommandBody::Rlsub { reference, pattern }),
    ]
}

fn messages_commands() -> impl Strategy<Value = CommandBody> {
    let modifiers = (
        option::of(mod_seq()),
        any::<bool>(),
        option::of(partial_range()),
    );
    let action = prop::sample::select(vec![
        StoreAction::Add,
        StoreAction::Remove,
        StoreAction::Replace,
    ]);
    prop_oneof![
        (messages(), some(attribute(), 1..4), modifiers).prop_map(
            |(set, attributes, (changed_since, vanished, partial))| {
                let vanished = vanished && changed_since.is_some() && set.is_uid();
                let partial = partial.filter(|_| set.is_uid());
                let modifiers = FetchModifiers {
                    changed_since,
                    vanished,
                    partial,
                };
                CommandBody::Fetch(Fetch {
                    set,
                    attributes,
                    modifiers,
                })
            }
        ),
        (
            messages(),
            option::of(mod_seq()),
            action,
            any::<bool>(),
            some(flag(), 0..4)
        )
            .prop_map(
                |(set, unchanged_since, action, silent, flags)| CommandBody::Store(Store {
                    set,
                    unchanged_since,
                    action,
                    silent,
                    flags
                })
            ),
        (messages(), mailbox()).prop_map(|(set, mailbox)| CommandBody::Copy { set, mailbox }),
        (messages(), mailbox()).prop_map(|(set, mailbox)| CommandBody::Move { set, mailbox }),
        set().prop_map(|set| CommandBody::Expunge(Some(set))),
    ]
}

fn others() -> impl Strategy<Value = CommandBody> {
    use CommandBody as C;
    let event = prop_oneof![
        some(attribute(), 0..3).prop_map(NotifyEvent::MessageNew),
        prop::sample::select(EventName::ALL[1..].to_vec()).prop_map(NotifyEvent::Named),
    ];
    let events = prop_oneof![
        Just(NotifyEvents::None),
        some(event, 1..4).prop_map(NotifyEvents::Events)
    ];
    let groups = some(
        (filter(), events).prop_map(|(mailboxes, events)| EventGroup { mailboxes, events }),
        1..4,
    );
    let resource = prop_oneof![Just(QuotaResource::Storage), Just(QuotaResource::Message)];
    let change = prop::sample::select(vec![
        RightsChange::Add,
        RightsChange::Remove,
        RightsChange::Replace,
    ]);
    let depth = prop::sample::select(vec![
        MetadataDepth::Zero,
        MetadataDepth::One,
        MetadataDepth::Infinity,
    ]);
    let entry = || "/(private|shared)/[a-z]{1,5}".prop_map(String::into_bytes);
    let value = option::of(some(any::<u8>(), 0..8));
    prop_oneof![
        prop::sample::select(vec![
            C::Capability,
            C::Noop,
            C::Logout,
            C::StartTls,
            C::Namespace,
            C::Idle,
            C::Close,
            C::Unselect,
            C::Check,
            C::CompressDeflate,
            C::Unauthenticate,
            C::GetJmapAccess,
            C::Expunge(None),
            C::Id(None),
            C::Notify(Notify::None),
        ]),
        (text(), text()).prop_map(|(user, password)| C::Login {
            user,
            password: Secret::new(password)
        }),
        (atom(), option::of(some(any::<u8>(), 0..8))).prop_map(|(mechanism, initial)| {
            C::Authenticate(Authenticate {
                mechanism,
                initial_response: initial.map(Secret::new),
            })
        }),
        some(atom(), 1..3).prop_map(C::Enable),
        some((text(), option::of(text())), 1..3).prop_map(|fields| C::Id(Some(fields))),
        (any::<bool>(), groups)
            .prop_map(|(status, groups)| C::Notify(Notify::Set { status, groups })),
        text().prop_map(C::GetQuota),
        mailbox().prop_map(C::GetQuotaRoot),
        (text(), some((resource, 0..1u64 << 62), 0..3))
            .prop_map(|(root, limits)| C::SetQuota(SetQuota { root, limits })),
        (mailbox(), text(), change, "[a-z0-9]{0,5}").prop_map(
            |(mailbox, identifier, change, rights)| {
                C::SetAcl(SetAcl {
                    mailbox,
                    identifier,
                    change,
                    rights: rights.into_bytes(),
                })
            }
        ),
        (mailbox(), text()).prop_map(|(mailbox, identifier)| C::DeleteAcl {
            mailbox,
            identifier
        }),
        (mailbox(), text()).prop_map(|(mailbox, identifier)| C::ListRights {
            mailbox,
            identifier
        }),
        mailbox().prop_map(C::GetAcl),
        mailbox().prop_map(C::MyRights),
        (
            mailbox(),
            option::of(0..1u64 << 32),
            depth,
            some(entry(), 1..3)
        )
            .prop_map(
                |(mailbox, max_size, depth, entries)| C::GetMetadata(GetMetadata {
                    mailbox,
                    max_size,
                    depth,
                    entries
                })
            ),
        (
            mailbox(),
            some(
                (entry(), value).prop_map(|(name, value)| MetadataEntry { name, value }),
                1..3
            )
        )
            .prop_map(|(mailbox, entries)| C::SetMetadata { mailbox, entries }),
        (nz(), option::of((nz(), nz())))
            .prop_map(|(size, batches)| C::UidBatches { size, batches }),
        some(text(), 0..3).prop_map(C::Language),
        some(text(), 0..3).prop_map(C::Comparator),
        some(
            (text(), any::<bool>(), 0..3u8).prop_map(|(url, structure, data)| UrlFetch {
                url,
                structure,
                data: [None, Some(UrlData::Body), Some(UrlData::Binary)][usize::from(data)],
            }),
            1..3
        )
        .prop_map(C::UrlFetch),
        some("[a-z0-9]{1,5}".prop_map(String::into_bytes), 1..3).prop_map(C::CancelUpdate),
        some((text(), atom()), 1..3).prop_map(C::GenUrlAuth),
        (mailbox(), some(atom(), 0..3)).prop_map(|(mailbox, mechanisms)| C::ResetKey {
            mailbox: Some(mailbox),
            mechanisms
        }),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let body = prop_oneof![searches(), mailboxes(), messages_commands(), others()];
    ("[A-Za-z0-9.]{1,6}", body).prop_map(|(tag, body)| Command {
        tag: Tag::new(tag).unwrap(),
        body,
        utf8_quoted: false,
    })
}

fn encoding() -> impl Strategy<Value = CommandEncoding> {
    let literals = prop::sample::select(vec![
        LiteralSupport::Synchronizing,
        LiteralSupport::Minus,
        LiteralSupport::Plus,
    ]);
    (literals, any::<bool>()).prop_map(|(literals, utf8)| CommandEncoding { literals, utf8 })
}

fn message() -> impl Strategy<Value = (AppendMessage, Vec<u8>)> {
    let date = option::of((0i64..200_000_000_000, -1439i16..1440))
        .prop_map(|date| date.map(|(seconds, zone)| DateTime::new(seconds, zone).unwrap()));
    (
        some(flag(), 0..3),
        date,
        any::<[bool; 2]>(),
        some(any::<u8>(), 0..20),
    )
        .prop_map(|(flags, internal_date, [literal8, utf8], text)| {
            let size = text.len() as u64;
            (
                AppendMessage {
                    flags,
                    internal_date,
                    size,
                    literal8,
                    utf8,
                },
                text,
            )
        })
}

fn target() -> impl Strategy<Value = ReplaceTarget> {
    prop_oneof![
        nz().prop_map(|n| ReplaceTarget::Uid(SetEnd::Number(Uid(n)))),
        nz().prop_map(|n| ReplaceTarget::Seq(SetEnd::Number(SeqNum(n)))),
        Just(ReplaceTarget::Uid(SetEnd::Star)),
        Just(ReplaceTarget::Seq(SetEnd::Star)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn commands_survive(command in command(), encoding in encoding()) {
        let mut decoded = round_trip(&command, encoding);
        // How it was quoted is not a part of the command.
        prop_assert!(encoding.utf8 || !decoded.utf8_quoted);
        decoded.utf8_quoted = false;
        prop_assert_eq!(decoded, command);
    }

    #[test]
    fn appends_survive(
        replace in option::of(target()),
        mailbox in mailbox(),
        mut messages in some(message(), 1..4),
        encoding in encoding(),
    ) {
        let tag = Tag::new("a1").unwrap();
        let mut encoder = match replace {
            Some(target) => AppendEncoder::replace(&tag, target, &mailbox, encoding).unwrap(),
            None => AppendEncoder::append(&tag, &mailbox, encoding).unwrap(),
        };
        messages.truncate(if replace.is_some() { 1 } else { 4 });
        let mut limits = Limits::after_login();
        limits.decode.utf8 = encoding.utf8;
        let mut framer = Framer::new(limits);
        for (index, (message, text)) in messages.iter().enumerate() {
            let encoded = encoder.message(message);
            let (last, before) = encoded.segments.split_last().unwrap();
            for segment in before {
                framer.push(segment);
                prop_assert_eq!(framer.next(), Some(Event::Continue));
            }
            framer.push(last);
            let head = AppendHead {
                tag: tag.clone(),
                mailbox: mailbox.clone(),
                replace,
                index: index as u32,
                flags: message.flags.clone(),
                internal_date: message.internal_date,
                data: AppendData::Literal(LiteralHead {
                    size: message.size,
                    literal8: message.literal8 || message.utf8,
                    utf8: message.utf8,
                    synchronizing: encoded.wait_after_last,
                }),
            };
            prop_assert_eq!(framer.next(), Some(Event::Message(head)));
            framer.accept();
            framer.push(text);
            if !text.is_empty() {
                prop_assert_eq!(framer.next(), Some(Event::Chunk(text.clone().into())));
            }
            prop_assert_eq!(framer.next(), Some(Event::LiteralEnd));
            prop_assert_eq!(framer.next(), None);
        }
        framer.push(encoder.finish());
        prop_assert_eq!(framer.next(), Some(Event::AppendEnd));
        prop_assert!(framer.is_idle());
    }
}
