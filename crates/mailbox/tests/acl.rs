//! Rights that others have: with the tree, in the index, and gone with what they belong to.

mod common;

use restante_mailbox::{MailboxName, Rights, RightsChange, SpecialUse, Who};

use common::{Engine, World};

fn name(name: &str) -> MailboxName {
    MailboxName::new(name).unwrap()
}

#[tokio::test]
async fn rights_follow_the_mailbox() {
    let world = World::new(Engine::Embedded).await;
    let account = world.account().await;
    world.mail.user_add("bob", None).await.unwrap();
    let bob = Who::new("bob", []);
    let read = Rights::LOOKUP | Rights::READ;
    let id = account.create(&name("a"), SpecialUse::NONE).await.unwrap();
    assert!(world.mail.sharing_with(&bob).await.unwrap().is_empty());

    account
        .set_acl(id, "bob", RightsChange::Add(read))
        .await
        .unwrap();
    account
        .set_acl(id, "bob", RightsChange::Add(Rights::SEEN))
        .await
        .unwrap();
    account
        .set_acl(id, "bob", RightsChange::Remove(Rights::SEEN))
        .await
        .unwrap();
    let tree = account.tree().await.unwrap();
    assert_eq!(tree.rights(id, &bob), read);
    assert_eq!(world.mail.sharing_with(&bob).await.unwrap(), [account.id()]);

    // What is below takes it over, once.
    let child = account
        .create(&name("a/b/c"), SpecialUse::NONE)
        .await
        .unwrap();
    account
        .set_acl(id, "bob", RightsChange::Replace(Rights::NONE))
        .await
        .unwrap();
    account.rename(&name("a"), &name("z")).await.unwrap();
    let account_id = account.id();
    drop(account);
    let world = world.crash().await;
    let account = world.mail.account(account_id).await.unwrap();
    let tree = account.tree().await.unwrap();
    assert_eq!(tree.rights(id, &bob), Rights::NONE);
    assert_eq!(tree.rights(child, &bob), read);
    assert_eq!(tree.by_id(child).unwrap().0, &name("z/b/c"));
    assert_eq!(world.mail.sharing_with(&bob).await.unwrap(), [account.id()]);

    account.delete(&name("z/b/c")).await.unwrap();
    account.delete(&name("z/b")).await.unwrap();
    assert!(world.mail.sharing_with(&bob).await.unwrap().is_empty());
    world.check().await;
}

#[tokio::test]
async fn nobody_inherits_rights_with_a_name() {
    let world = World::new(Engine::Embedded).await;
    let account = world.account().await;
    let inbox = account
        .tree()
        .await
        .unwrap()
        .get(&MailboxName::inbox())
        .unwrap()
        .id;
    world.mail.user_add("bob", None).await.unwrap();
    account
        .set_acl(inbox, "bob", RightsChange::Add(Rights::ALL))
        .await
        .unwrap();
    account
        .set_acl(inbox, "anyone", RightsChange::Add(Rights::LOOKUP))
        .await
        .unwrap();
    world.mail.user_remove("bob").await.unwrap();
    world.mail.user_add("bob", None).await.unwrap();
    let tree = account.tree().await.unwrap();
    assert_eq!(tree.rights(inbox, &Who::new("bob", [])), Rights::LOOKUP);

    // The rights of a group do not go with a user who was called as it is written.
    account
        .set_acl(inbox, "$staff", RightsChange::Add(Rights::READ))
        .await
        .unwrap();
    for user in ["$staff", "anyone"] {
        world.mail.user_add(user, None).await.unwrap();
        world.mail.user_remove(user).await.unwrap();
    }
    let tree = account.tree().await.unwrap();
    let both = Rights::LOOKUP | Rights::READ;
    assert_eq!(tree.rights(inbox, &Who::new("eve", ["staff"])), both);

    // An owner who is gone shares nothing.
    world.mail.user_remove(common::USER).await.unwrap();
    assert!(
        world
            .mail
            .sharing_with(&Who::new("eve", []))
            .await
            .unwrap()
            .is_empty()
    );
}
