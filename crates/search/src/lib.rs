//! Text matching, collation, sorting and threading of messages.
