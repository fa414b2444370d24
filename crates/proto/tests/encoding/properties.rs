//! Any response is read back as it was.

use super::*;

fn any_text() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(1u8.., 0..8)
}

fn any_mailbox() -> impl Strategy<Value = MailboxName> {
    "[^\\p{Cc}]{0,8}".prop_map(MailboxName::new)
}

fn any_flag() -> impl Strategy<Value = Flag> {
    "\\\\?[a-zA-Z$][a-zA-Z0-9.$-]{0,6}".prop_filter_map("no flag", |text| Flag::new(&text))
}

fn any_uids() -> impl Strategy<Value = UidSet> {
    prop::collection::btree_set(1u32.., 1..6)
        .prop_map(|set| UidSet::from_numbers(set.into_iter().map(uid)))
}

fn any_item() -> impl Strategy<Value = FetchItem> {
    let text = || prop::option::of(any_text().prop_map(Bytes::from));
    let part = || prop::collection::vec((1u32..).prop_map(nz), 0..3);
    prop_oneof![
        prop::collection::vec(any_flag(), 0..4).prop_map(FetchItem::Flags),
        (1u32..).prop_map(|n| FetchItem::Uid(uid(n))),
        (0..i64::MAX as u64).prop_map(FetchItem::Rfc822Size),
        (1..i64::MAX as u64).prop_map(|n| FetchItem::ModSeq(ModSeq(n))),
        (0i64..200_000_000_000, -1439i16..1440)
            .prop_map(|(s, z)| FetchItem::InternalDate(DateTime::new(s, z).unwrap())),
        (part(), prop::option::of(0..i64::MAX as u64), text()).prop_map(|(part, origin, data)| {
            FetchItem::Section {
                section: Section { part, text: None },
                origin,
                data,
            }
        }),
        (
            prop::collection::vec(prop::collection::vec(1u8..127, 1..5), 1..3),
            any::<bool>(),
            text()
        )
            .prop_map(|(names, not, data)| FetchItem::Section {
                section: Section {
                    part: vec![],
                    text: Some(SectionText::HeaderFields { names, not })
                },
                origin: None,
                data
            }),
    ]
}

fn any_data() -> impl Strategy<Value = UntaggedData> {
    let texts = || prop::collection::vec(any_text(), 1..4);
    prop_oneof![
        (1u32.., prop::collection::vec(any_item(), 1..5)).prop_map(|(n, items)| {
            UntaggedData::Fetch {
                seq: SeqNum::new(n).unwrap(),
                items,
            }
        }),
        (any::<bool>(), any_uids())
            .prop_map(|(earlier, uids)| UntaggedData::Vanished { earlier, uids }),
        any_mailbox().prop_map(|mailbox| {
            UntaggedData::List(ListEntry {
                attributes: vec![],
                separator: Some('/'),
                mailbox,
                extended: vec![],
            })
        }),
        (any_mailbox(), any::<u32>()).prop_map(|(mailbox, n)| {
            UntaggedData::Status {
                mailbox,
                values: vec![StatusValue::Messages(n)],
            }
        }),
        (any_mailbox(), texts())
            .prop_map(|(mailbox, roots)| UntaggedData::QuotaRoot { mailbox, roots }),
        prop::collection::vec((any_text(), prop::option::of(any_text())), 1..4)
            .prop_map(|fields| UntaggedData::Id(Some(fields))),
        prop::collection::vec((1u32..).prop_map(nz), 0..6)
            .prop_map(|ids| UntaggedData::Search { ids, mod_seq: None }),
    ]
}

/// The responses whose strings are anything that a user, or another server, has written.
fn any_extension_data() -> impl Strategy<Value = UntaggedData> {
    // Letters and digits (RFC 4314 §2.1).
    let rights = || "[a-z0-9]{0,6}".prop_map(String::into_bytes);
    let texts = || prop::collection::vec(any_text(), 1..4);
    let entry = || {
        (any_text(), prop::option::of(any_text()))
            .prop_map(|(name, value)| MetadataEntry { name, value })
    };
    let acl =
        (any_text(), rights()).prop_map(|(identifier, rights)| AclEntry { identifier, rights });
    let nzs = || prop::collection::vec((1u32..).prop_map(nz), 1..6);
    let mod_seq = || prop::option::of((1..i64::MAX as u64).prop_map(ModSeq));
    let url = (any_text(), prop::option::of(any_text())).prop_map(|(url, octets)| FetchedUrl {
        url,
        content: UrlContent::Plain(octets),
    });
    prop_oneof![
        (any_mailbox(), prop::collection::vec(acl, 0..3))
            .prop_map(|(mailbox, entries)| UntaggedData::Acl { mailbox, entries }),
        (
            any_mailbox(),
            any_text(),
            rights(),
            prop::collection::vec(rights(), 0..4)
        )
            .prop_map(|(mailbox, identifier, required, optional)| {
                UntaggedData::ListRights {
                    mailbox,
                    identifier,
                    required,
                    optional,
                }
            }),
        (any_mailbox(), rights())
            .prop_map(|(mailbox, rights)| UntaggedData::MyRights { mailbox, rights }),
        (any_mailbox(), prop::collection::vec(entry(), 1..4))
            .prop_map(|(mailbox, entries)| UntaggedData::Metadata { mailbox, entries }),
        (any_mailbox(), texts())
            .prop_map(|(mailbox, entries)| UntaggedData::MetadataChanged { mailbox, entries }),
        texts().prop_map(UntaggedData::Language),
        (any_text(), prop::collection::vec(any_text(), 0..3))
            .prop_map(|(active, matching)| UntaggedData::Comparator { active, matching }),
        texts().prop_map(UntaggedData::GenUrlAuth),
        prop::collection::vec(url, 1..3).prop_map(UntaggedData::UrlFetch),
        (nzs(), mod_seq()).prop_map(|(ids, mod_seq)| UntaggedData::Search { ids, mod_seq }),
        (nzs(), mod_seq()).prop_map(|(ids, mod_seq)| UntaggedData::Sort { ids, mod_seq }),
        any::<u32>().prop_map(UntaggedData::Exists),
        prop::collection::vec(any_flag(), 0..5).prop_map(UntaggedData::Flags),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn responses_are_read_back(data in any_data(), utf8 in any::<bool>()) {
        let response = Response::Data(data);
        let bytes = encode(&response, utf8);
        prop_assert_eq!(read_back(&bytes, utf8), response);
    }

    #[test]
    fn responses_of_extensions_are_read_back(data in any_extension_data(), utf8 in any::<bool>()) {
        let response = Response::Data(data);
        let bytes = encode(&response, utf8);
        prop_assert_eq!(read_back(&bytes, utf8), response);
    }
}
