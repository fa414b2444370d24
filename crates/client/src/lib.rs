//! An asynchronous IMAP client library.
