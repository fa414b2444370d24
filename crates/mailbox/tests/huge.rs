//! A mailbox of a million messages costs no more to open than a small one.

use restante_mailbox::{
    DateTime, EmailId, Fill, Flags, Mail, MailOptions, MailboxName, ModSeq, Row, SpecialUse, Uid,
    UidValidity, Wanted,
};
use restante_store::{EmbeddedOptions, Store};

const MESSAGES: u32 = 1_000_000;
/// What SELECT may read of the store, with the first unseen message looked for.
const READ_BYTES_MAX: u64 = 64 << 10;

fn row(n: u32) -> Row {
    let time_s = 1_500_000_000 + i64::from(n) * 97;
    Row {
        uid: Uid::new(n).unwrap(),
        email: EmailId(((time_s as u64 * 1000) << 22) | u64::from(n % 7)),
        size: 2_000 + u64::from(n.wrapping_mul(2_654_435_761) >> 15),
        internal_date: DateTime {
            unix_s: time_s,
            zone_min: 60,
        },
        save_date_s: time_s + 3,
        // The first unseen one is in the middle.
        flags: if n == MESSAGES / 2 {
            Flags::NONE
        } else {
            Flags::SEEN
        },
        modseq: ModSeq(u64::from(n) + 1),
    }
}

#[tokio::test]
async fn a_cold_select_reads_little() {
    let dir = tempfile::tempdir().unwrap();
    let name = MailboxName::new("huge").unwrap();
    let open = async || {
        let store = Store::open(dir.path(), EmbeddedOptions::default());
        Mail::open(store.await.unwrap(), MailOptions::default())
            .await
            .unwrap()
    };
    let mail = open().await;
    let user = mail.user_add("ann", None).await.unwrap().account;
    let fill = Fill {
        uid_validity: UidValidity::new(1_500_000_000).unwrap(),
        uid_next: Uid::MIN,
        modseq: ModSeq::FIRST,
        keywords: Vec::new(),
    };
    let account = mail.account(user).await.unwrap();
    let filled = account.fill(&name, SpecialUse::NONE, fill, (1..=MESSAGES).map(row));
    filled.await.unwrap();
    drop(account);
    mail.store().close().await;
    drop(mail);

    let mail = open().await;
    let account = mail.account(user).await.unwrap();
    let before = mail.reads();
    let mailbox = account.mailbox(&name).await.unwrap();
    let snapshot = mailbox.snapshot().await.unwrap();
    assert_eq!(snapshot.exists(), MESSAGES);
    let loaded = mailbox.ensure(&snapshot, Wanted::FirstUnseen).await;
    let first = loaded.unwrap().first_unseen();
    assert!(first.is_some());
    let read = mail.reads() - before;
    println!("{read} bytes read");
    assert!(read > 0 && read <= READ_BYTES_MAX, "{read} bytes read");
    mail.store().close().await;
}
