//! Columns against what they are derived from.

use std::sync::Arc;

use proptest::prelude::*;
use restante_mailbox::{
    Append, DateTime, EmailId, EmailRow, FlagNames, Mail, MailOptions, Mailbox, MailboxName, Uid,
    Wanted,
};
use restante_search::{Collation, EnvelopeField, Needle, envelope_text};
use restante_store::{MemoryOptions, Store};

use crate::columns::{Answer, Derived, References, SortText, read, sent_date, thread_id};

const FIELDS: [EnvelopeField; 6] = [
    EnvelopeField::Subject,
    EnvelopeField::From,
    EnvelopeField::To,
    EnvelopeField::Cc,
    EnvelopeField::Bcc,
    EnvelopeField::MessageId,
];
const TEXTS: [SortText; 6] = [
    SortText::BaseSubject,
    SortText::From,
    SortText::To,
    SortText::Cc,
    SortText::DisplayFrom,
    SortText::DisplayTo,
];

/// A message whose header has some of the fields, with texts that needles are parts of.
fn message() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        "[a-cA-C ]{0,6}",
        "[aÄäß\u{fdfa}ﬁ]{0,4}",
        Just("=?utf-8?Q?=C3=84b?=".to_owned())
    ];
    let subject = prop_oneof![
        6 => text.clone(),
        // Longer than what is kept.
        1 => text.clone().prop_map(|text| format!("{}a{text}", "b".repeat(9000))),
    ];
    let address = (text, "[a-c]{1,3}@[a-c]{1,2}").prop_map(|(name, at)| format!("{name} <{at}>"));
    let addresses = prop::collection::vec(address, 0..3).prop_map(|all| all.join(", "));
    let id = "<[a-c]@[a-c]>";
    (
        prop::option::of(subject),
        prop::option::of(addresses.clone()),
        prop::option::of(addresses.clone()),
        prop::option::of(addresses),
        prop::option::of("[0-9] Jul 20[0-9]{2} 1[0-9]:00:00 [+-]0[0-9]00"),
        (
            prop::option::of(id),
            prop::option::of("(<[a-c]@[a-c]> ){0,3}"),
        ),
    )
        .prop_map(|(subject, from, to, cc, date, (id, references))| {
            let mut header = String::new();
            let fields = [
                ("Subject", subject),
                ("From", from),
                ("To", to),
                ("Cc", cc),
                ("Date", date),
                ("Message-ID", id),
                ("References", references),
            ];
            for (name, value) in fields {
                if let Some(value) = value {
                    header += &format!("{name}: {value}\r\n");
                }
            }
            header + "\r\n"
        })
}

pub(crate) async fn mailbox() -> (Arc<Mail>, Arc<Mailbox>) {
    let store = Store::memory(MemoryOptions::default());
    let mail = Mail::open(store, MailOptions::default())
        .await
        .expect("opens");
    let user = mail.user_add("alice", None).await.expect("a user");
    let account = mail.account(user.account).await.expect("an account");
    let mailbox = account.mailbox(&MailboxName::inbox()).await.expect("INBOX");
    (mail, mailbox)
}

pub(crate) async fn append(
    mailbox: &Arc<Mailbox>,
    messages: &[impl AsRef<[u8]>],
) -> Vec<(Uid, EmailId)> {
    let account = mailbox.account();
    let mut batch = Vec::new();
    for message in messages {
        let email = account.new_email_from(message.as_ref()).await;
        batch.push(Append {
            email: email.expect("a message"),
            flags: FlagNames::default(),
            internal_date: DateTime::utc(0),
        });
    }
    mailbox.append(batch).await.expect("appended");
    let snapshot = mailbox.snapshot().await.expect("a snapshot");
    let loaded = mailbox.ensure(&snapshot, Wanted::All).await.expect("rows");
    let rows = loaded.rows_at(0..snapshot.exists());
    rows.map(|row| (row.uid, row.email)).collect()
}

fn by_collation<T: Copy>(of: [T; 6], column: fn(T, Collation) -> Derived) -> Vec<Derived> {
    let all = Collation::ALL.iter();
    all.flat_map(|collation| of.map(|of| column(of, *collation)))
        .collect()
}

/// Asks every column about these messages and compares with their emails.
async fn compare(mailbox: &Arc<Mailbox>, messages: &[(Uid, EmailId)], needles: &[&str]) {
    let account = mailbox.account();
    let ids: Vec<EmailId> = messages.iter().map(|message| message.1).collect();
    let emails = account.emails(&ids).await.expect("emails");
    let uid = |at: usize| messages[at].0;
    let of_rows = [
        Derived::Sent,
        Derived::Thread,
        Derived::Place,
        Derived::References,
    ];
    let columns: Vec<Derived> = of_rows
        .into_iter()
        .chain(by_collation(FIELDS, Derived::Envelope))
        .chain(by_collation(TEXTS, Derived::Sort))
        .collect();
    let values = read(mailbox, &columns, messages).await.expect("columns");
    for (column, values) in columns.iter().zip(&values) {
        let mut seen = 0;
        values.each(uid, |at, value| {
            assert_eq!(at, seen, "in order, each once");
            seen += 1;
            let (Some(email), Some(value)) = (&emails[at], value) else {
                assert_eq!(emails[at].is_some(), value.is_some());
                return;
            };
            let keys = email.sort_keys().expect("sort keys");
            match column {
                Derived::Sent => assert_eq!(sent_date(value), email.sent_date()),
                Derived::Thread => assert_eq!(thread_id(value), Some(email.thread().0)),
                Derived::Place => {
                    let place = EmailRow::of_place(email.id(), value).expect("a place");
                    let facts = |row: &EmailRow| (*row.blob(), row.size(), row.header_bytes());
                    assert_eq!(facts(&place), facts(email));
                }
                Derived::References => {
                    let references = References::of(value);
                    assert_eq!(references.is_reply, keys.is_reply);
                    assert_eq!(references.message_id, keys.message_id);
                    assert_eq!(references.references().collect::<Vec<_>>(), keys.references);
                }
                Derived::Sort(text, collation) => {
                    let text = match text {
                        SortText::BaseSubject => &keys.base_subject,
                        SortText::From => &keys.from,
                        SortText::To => &keys.to,
                        SortText::Cc => &keys.cc,
                        SortText::DisplayFrom => &keys.display_from,
                        SortText::DisplayTo => &keys.display_to,
                    };
                    let mut form = Vec::new();
                    collation.fold(text, &mut form);
                    assert_eq!(value, form);
                }
                Derived::Envelope(..) => {}
            }
        });
        assert_eq!(seen, messages.len());
        let Derived::Envelope(field, collation) = column else {
            continue;
        };
        for needle in needles {
            let needle = &Needle::new(needle, *collation);
            let mut seen = 0;
            values.find(needle, uid, |at, answer| {
                assert_eq!(at, seen, "in order, each once");
                seen += 1;
                let Some(email) = &emails[at] else {
                    assert_eq!(answer, Answer::Gone);
                    return;
                };
                let mut text = String::new();
                let there = envelope_text(email.envelope(), *field, &mut text);
                match answer {
                    Answer::Unknown => assert!(text.len() > 700),
                    answer => assert_eq!(answer, Answer::Is(there && needle.is_in(&text))),
                }
            });
            assert_eq!(seen, messages.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    /// Some messages are asked for, then others; what is in memory of the first is taken from there.
    #[test]
    fn as_what_they_are_derived_from(
        texts in prop::collection::vec(message(), 1..12),
        first in any::<u16>(),
        second in any::<u16>(),
        needles in prop::collection::vec("[a-cÄß]{0,2}|<[a-c]", 1..4),
    ) {
        let needles: Vec<&str> = needles.iter().map(String::as_str).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let (_mail, mailbox) = mailbox().await;
            let all = append(&mailbox, &texts).await;
            for mask in [first, second, u16::MAX] {
                let some = all.iter().enumerate().filter(|(at, _)| mask >> at & 1 == 1);
                let some: Vec<_> = some.map(|(_, message)| *message).collect();
                compare(&mailbox, &some, &needles).await;
            }
        });
    }
}

#[tokio::test]
async fn blocks_and_messages_without_email() {
    let (_mail, mailbox) = mailbox().await;
    let texts: Vec<String> = (0..4200)
        .map(|n| format!("Subject: number {n}\r\n\r\n"))
        .collect();
    let mut all = Vec::new();
    for some in texts.chunks(1000) {
        all = append(&mailbox, some).await;
    }
    let needles = ["NUMBER 20", "number 20", ""];
    compare(&mailbox, &all[2000..2100], &needles).await;
    // An email that is not there any more, at a block's beginning, its end, and between.
    for at in [0, 3000, 4094, 4095, 4199] {
        all[at].1 = EmailId(1);
    }
    compare(&mailbox, &all, &needles).await;
    compare(&mailbox, &all[3000..3001], &needles).await;
    compare(&mailbox, &[], &needles).await;
}
