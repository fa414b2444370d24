//! Commands of extensions.

use super::*;

#[test]
fn quota_acl_metadata() {
    assert_eq!(
        body("SETQUOTA \"\" (STORAGE 512 message 5)"),
        CommandBody::SetQuota(SetQuota {
            root: vec![],
            limits: vec![(QuotaResource::Storage, 512), (QuotaResource::Message, 5)]
        })
    );
    assert_eq!(
        body("GETQUOTA !partition/sda4"),
        CommandBody::GetQuota(b"!partition/sda4".to_vec())
    );
    assert_eq!(
        body("GETQUOTAROOT inbox"),
        CommandBody::GetQuotaRoot(name("INBOX"))
    );
    let CommandBody::SetAcl(acl) = body("Setacl INBOX/Drafts John +lrswicda") else {
        panic!()
    };
    assert_eq!(acl.rights, b"lrswicda");
    assert_eq!(acl.change, RightsChange::Add);
    assert_eq!(body("MYRIGHTS INBOX"), CommandBody::MyRights(name("INBOX")));
    assert!(try_body("SETACL INBOX John lrQswicda").is_err());
    assert_eq!(
        body("LISTRIGHTS ~/Mail/saved smith"),
        CommandBody::ListRights {
            mailbox: name("~/Mail/saved"),
            identifier: b"smith".to_vec()
        }
    );
    // RFC 5464 §4.2; the options before the mailbox (grammar) and after it (examples).
    for line in [
        "GETMETADATA (DEPTH 1 MAXSIZE 1024) \"INBOX\" (/private/filters/values /shared/comment)",
        "GETMETADATA \"INBOX\" (DEPTH 1 MAXSIZE 1024) (/private/filters/values /shared/comment)",
    ] {
        let CommandBody::GetMetadata(get) = body(line) else {
            panic!()
        };
        assert_eq!(get.depth, MetadataDepth::One);
        assert_eq!(get.max_size, Some(1024));
        assert_eq!(get.entries.len(), 2);
    }
    let CommandBody::GetMetadata(get) = body("GETMETADATA \"\" /shared/comment") else {
        panic!()
    };
    assert_eq!(get.mailbox.as_str(), "");
    assert_eq!(
        body("SETMETADATA INBOX (/private/comment ~{3+}\r\na\0b /shared/comment NIL)"),
        CommandBody::SetMetadata {
            mailbox: name("INBOX"),
            entries: vec![
                MetadataEntry {
                    name: b"/private/comment".to_vec(),
                    value: Some(b"a\0b".to_vec())
                },
                MetadataEntry {
                    name: b"/shared/comment".to_vec(),
                    value: None
                }
            ]
        }
    );
    assert!(try_body("GETMETADATA INBOX comment").is_err());
    assert!(try_body("GETMETADATA INBOX /private/*").is_err());
}

#[test]
fn notify() {
    // RFC 5465 §3.1 and §5.1, in part
    let line = "NOTIFY SET STATUS (selected MessageNew (uid body.peek[header.fields (to)]) MessageExpunge) \
        (subtree Lists (MessageNew MessageExpunge FlagChange))";
    assert!(
        matches!(
            try_body(line),
            Ok(CommandBody::Notify(Notify::Set { groups, .. })) if groups.len() == 2
        ),
        "the RFC's own examples leave out the parentheses of the grammar"
    );
    let line = "NOTIFY SET STATUS (selected (MessageNew (uid body.peek[header.fields (to)]) MessageExpunge)) \
        (subtree Lists (MessageNew MessageExpunge FlagChange Frobbed)) (inboxes NONE)";
    let CommandBody::Notify(Notify::Set {
        status: true,
        groups,
    }) = body(line)
    else {
        panic!()
    };
    assert_eq!(groups.len(), 3);
    assert_eq!(groups[2].events, NotifyEvents::None);
    assert_eq!(
        groups[1].mailboxes,
        MailboxFilter::Subtree(vec![name("Lists")])
    );
    let NotifyEvents::Events(events) = &groups[0].events else {
        panic!()
    };
    assert!(matches!(&events[0], NotifyEvent::MessageNew(fetch) if fetch.len() == 2));
    assert_eq!(events[1], NotifyEvent::Named(EventName::MessageExpunge));
    let NotifyEvents::Events(events) = &groups[1].events else {
        panic!()
    };
    assert_eq!(events[3], NotifyEvent::Other(atom("Frobbed")));
    assert_eq!(body("NOTIFY NONE"), CommandBody::Notify(Notify::None));
}

#[test]
fn other_extensions() {
    for (line, expected) in [
        (
            "UIDBATCHES 2000",
            CommandBody::UidBatches {
                size: nz(2000),
                batches: None,
            },
        ),
        (
            "UIDBATCHES 500 10:20",
            CommandBody::UidBatches {
                size: nz(500),
                batches: Some((nz(10), nz(20))),
            },
        ),
        ("LANGUAGE", CommandBody::Language(vec![])),
        (
            "LANGUAGE FR-CA \"EN-CA\"",
            CommandBody::Language(vec![b"FR-CA".to_vec(), b"EN-CA".to_vec()]),
        ),
        (
            "COMPARATOR \"cz;*\" i;basic",
            CommandBody::Comparator(vec![b"cz;*".to_vec(), b"i;basic".to_vec()]),
        ),
        (
            "CANCELUPDATE \"B01\" \"B02\"",
            CommandBody::CancelUpdate(vec![b"B01".to_vec(), b"B02".to_vec()]),
        ),
        (
            "URLFETCH \"imap://x\"",
            CommandBody::UrlFetch(vec![UrlFetch::simple("imap://x")]),
        ),
        (
            "URLFETCH (\"imap://x\") imap://y (imap://z BODYPARTSTRUCTURE binary)",
            CommandBody::UrlFetch(vec![
                UrlFetch::simple("imap://x"),
                UrlFetch::simple("imap://y"),
                UrlFetch {
                    structure: true,
                    data: Some(UrlData::Binary),
                    ..UrlFetch::simple("imap://z")
                },
            ]),
        ),
        (
            "GENURLAUTH \"imap://x\" INTERNAL",
            CommandBody::GenUrlAuth(vec![(b"imap://x".to_vec(), atom("INTERNAL"))]),
        ),
        (
            "RESETKEY",
            CommandBody::ResetKey {
                mailbox: None,
                mechanisms: vec![],
            },
        ),
        (
            "RESETKEY INBOX XSAMPLE",
            CommandBody::ResetKey {
                mailbox: Some(name("INBOX")),
                mechanisms: vec![atom("XSAMPLE")],
            },
        ),
    ] {
        assert_eq!(body(line), expected, "{line}");
    }
}
