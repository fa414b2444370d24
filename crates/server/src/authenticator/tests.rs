use std::time::Duration;

use restante_auth::VerifierOptions;
use restante_auth::password::{self, Cost};
use restante_mailbox::MailOptions;
use restante_store::{MemoryOptions, Store};

use super::*;

/// Much more than what is around it.
const COST: Cost = Cost {
    memory_kib: 8192,
    iterations: 2,
    parallelism: 1,
};

async fn directory() -> Directory {
    let store = Store::memory(MemoryOptions::default());
    let mail = Mail::open(store, MailOptions::default()).await.unwrap();
    let options = VerifierOptions {
        cost: COST,
        cache_for: Duration::ZERO,
        ..VerifierOptions::default()
    };
    let secret = mail.scram_secret([7; 32]).await.unwrap();
    Directory {
        mail,
        verifier: Verifier::new(options).unwrap(),
        seats: Seats::new(10),
        scram: Scram {
            hashes: ScramHash::ALL.to_vec(),
            iterations: 4096,
            secret: Secret::new(secret),
        },
    }
}

fn with_password(user: &str, password: &str) -> Credentials {
    Credentials {
        user: user.to_owned(),
        acting_as: None,
        proof: Proof::Password(Secret::new(password.to_owned())),
    }
}

async fn failure(directory: &Directory, user: &str, password: &str) -> LoginError {
    let credentials = with_password(user, password);
    let checked = directory.check(&credentials, &Peer::default()).await;
    checked.unwrap_err()
}

/// The work for an unknown user is that for a wrong password: as many checks, of the same cost. (Times would
/// say so too, on a machine that does nothing else.)
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_user_takes_as_long_as_a_wrong_password() {
    let directory = directory().await;
    let hash = password::hash("right", COST).unwrap();
    directory.mail.user_add("ada", Some(hash)).await.unwrap();
    directory.mail.user_add("none", None).await.unwrap();
    // One that SASLprep changes is checked twice.
    for (wrong, checks) in [("wrong", 1), ("wr\u{aa}ng", 2)] {
        for user in ["ada", "eve", "none"] {
            let before = directory.verifier.computed();
            let error = failure(&directory, user, wrong).await;
            assert!(matches!(error, LoginError::Rejected(_)));
            assert_eq!(directory.verifier.computed() - before, checks, "{user}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_however_it_was_typed() {
    let directory = directory().await;
    let hash = password::hash("caf\u{e9}", COST).unwrap();
    directory.mail.user_add("ada", Some(hash)).await.unwrap();
    for (typed, right) in [("caf\u{e9}", true), ("cafe\u{301}", true), ("cafe", false)] {
        let credentials = with_password("ada", typed);
        let checked = directory.check(&credentials, &Peer::default()).await;
        assert_eq!(checked.is_ok(), right, "{typed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_go_with_their_password() {
    let directory = directory().await;
    let hash = password::hash("first", COST).unwrap();
    let mail = &directory.mail;
    let ada = mail.user_add("ada", Some(hash)).await.unwrap();
    let keys = async || {
        directory
            .scram_keys_of("Ada", ScramHash::Sha256)
            .await
            .unwrap()
    };
    let made_up = keys().await;
    assert!(!made_up.is_real());
    let row = |password| {
        let keys = ScramKeys::derive(ScramHash::Sha256, password, 4096).unwrap();
        scram_row(ScramHash::Sha256, &keys)
    };
    assert!(mail.keep_scram_keys(&ada, &[row("first")]).await.unwrap());
    assert!(keys().await.is_real());
    // The password changes: the keys are gone at once, and who was still at it comes too late.
    let hash = password::hash("second", COST).unwrap();
    let hash = Some(hash);
    mail.user_set_password("ada", hash.clone()).await.unwrap();
    assert_eq!(keys().await.salt(), made_up.salt());
    assert!(!mail.keep_scram_keys(&ada, &[row("first")]).await.unwrap());
    assert!(!keys().await.is_real());
    mail.user_set_password_and_keys("ada", hash, vec![row("second")])
        .await
        .unwrap();
    assert!(keys().await.is_real());
    mail.user_remove("ada").await.unwrap();
    assert!(!keys().await.is_real());
    assert_eq!(mail.scram_keys(ada.account, 2).await.unwrap(), None);
    // The secret stays what it was.
    assert_eq!(mail.scram_secret([8; 32]).await.unwrap(), [7; 32]);
}
