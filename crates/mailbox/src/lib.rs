//! Accounts and mailboxes as logs: records, snapshots, hub, delivery, retention, check.
